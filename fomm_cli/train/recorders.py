"""Where a training's numbers and pictures go beside its own files: TensorBoard, Weights & Biases."""

from __future__ import annotations

import os
import uuid
from typing import Any, Protocol

from fomm_cli.config.schema import Config
from fomm_cli.draw import Picture
from fomm_cli.errors import FommError
from fomm_cli.files.disk import write_text
from fomm_cli.train.run import Options, Run


class Recorder(Protocol):
    """Takes what the run's files hold too; steps never go back."""

    def scalars(self, step: int, values: dict[str, float]) -> None: ...

    def picture(self, step: int, name: str, picture: Picture) -> None:
        """uint8 RGB (H, W, 3)."""
        ...

    def close(self) -> None: ...


def recorders(run: Run, config: Config, options: Options, step: int) -> list[Recorder]:
    """Those that the options ask for, told the config; `step` is the last one made before.

    Raises FommError where a package is not installed.
    """
    found: list[Recorder] = []
    if options.tensorboard:
        found.append(TensorBoard(run, config, step))
    if options.logger == "wandb":
        found.append(Wandb(run, config))
    return found


class TensorBoard:
    """Event files in the run's folder; what an interrupted run wrote after its last checkpoint is not shown."""

    def __init__(self, run: Run, config: Config, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise FommError("TensorBoard is not installed.", "pip install 'fomm-cli[tensorboard]'") from error
        self._writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=step + 1 if step else None)
        self._writer.add_text("config", "    " + config.to_yaml().replace("\n", "\n    "))  # Markdown's plain text

    def scalars(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def picture(self, step: int, name: str, picture: Picture) -> None:
        self._writer.add_image(name, picture, step, dataformats="HWC")
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()


class Wandb:
    """A run of Weights & Biases that a resume goes on with. Project, mode and key: by that package's own settings."""

    def __init__(self, run: Run, config: Config) -> None:
        try:
            import wandb
        except ImportError as error:
            raise FommError("Weights & Biases is not installed.", "pip install 'fomm-cli[wandb]'") from error
        name = run.folder / "wandb-id.txt"
        if not name.is_file():
            write_text(name, uuid.uuid4().hex[:12] + "\n")
        self._wandb = wandb
        self._run: Any = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "fomm"),
            id=name.read_text(encoding="utf-8").strip(),
            name=run.folder.name,
            dir=str(run.folder),
            config=config.model_dump(mode="json"),
            resume="allow",
        )

    def scalars(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def picture(self, step: int, name: str, picture: Picture) -> None:
        self._run.log({name: self._wandb.Image(picture)}, step=step)

    def close(self) -> None:
        self._run.finish()
