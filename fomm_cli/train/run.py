"""A run: a numbered folder with all that a training was told, did and made.

runs/00001-toon-128/
    config.yaml        the whole config
    options.json       where and how: data, seed, device, intervals
    data.json          names, lengths and sizes of the clips; split.txt, names to test on, where some were given
    environment.json   versions, machine, git commit
    metrics.jsonl      one line a step
    validation.jsonl   one line a validation
    nonfinite.jsonl    one line a skipped step (only if there was one)
    checkpoints/       last.pt, best.pt, step-*.pt
    samples/           a sheet a validation
    weights.safetensors   the finished network
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fomm_cli.config import reading as configs
from fomm_cli.config.schema import Config
from fomm_cli.device import versions
from fomm_cli.errors import FommError
from fomm_cli.files.disk import claim, write_text


@dataclass(frozen=True)
class Options:
    """Where and how a training runs; what is learned stands in the config.

    data                 folder of the data set
    split                file that names the test clips; None: by folders, or a share
    seed                 of the initial weights and of every draw
    device               auto, cpu, cuda, cuda:N or mps
    workers              processes that read pairs; None chooses by the number of processors
    memory               GiB of decoded frames to keep, for clips whose frames cannot be read singly
    perceptual_weights   file of the perceptual network
    init                 weights to start from
    checkpoint_minutes   time between checkpoints; 0 = by steps only
    checkpoint_steps     steps between checkpoints; 0 = by time only
    keep                 checkpoints to keep, the last among them
    milestone_epochs     epochs between checkpoints that stay; 0 = none
    validate_epochs      epochs between validations; 0 = none
    validate_clips       test clips to validate on; 0 = all
    validate_metrics     what a validation measures, as `fomm eval --metrics`; what lacks its networks is left out
    detectors            suite that finds the points of AKD
    log_every            steps between writing metrics and waiting for the device
    tensorboard          write event files too
    logger               another one that is told: wandb
    """

    data: str
    split: str | None = None
    seed: int = 0
    device: str = "auto"
    workers: int | None = None
    memory: float = 1.0
    perceptual_weights: str | None = None
    init: str | None = None
    checkpoint_minutes: float = 10.0
    checkpoint_steps: int = 0
    keep: int = 2
    milestone_epochs: int = 0
    validate_epochs: int = 1
    validate_clips: int = 50
    validate_metrics: str = "l1,psnr,lpips,akd"
    detectors: str = "face"
    log_every: int = 10
    tensorboard: bool = False
    logger: str | None = None

    def absolute(self) -> Options:
        """The same with whole paths: a run may go on from another folder."""

        def whole(path: str | None) -> str | None:
            return None if path is None else str(Path(path).resolve())

        weights, split = whole(self.perceptual_weights), whole(self.split)
        return replace(self, data=str(Path(self.data).resolve()), perceptual_weights=weights, split=split)


@dataclass(frozen=True)
class Run:
    """The paths of a run folder."""

    folder: Path

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    @property
    def options(self) -> Path:
        return self.folder / "options.json"

    @property
    def data(self) -> Path:
        return self.folder / "data.json"

    @property
    def split(self) -> Path:
        return self.folder / "split.txt"

    @property
    def environment(self) -> Path:
        return self.folder / "environment.json"

    @property
    def metrics(self) -> Path:
        return self.folder / "metrics.jsonl"

    @property
    def validation(self) -> Path:
        return self.folder / "validation.jsonl"

    @property
    def nonfinite(self) -> Path:
        return self.folder / "nonfinite.jsonl"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def last(self) -> Path:
        return self.checkpoints / "last.pt"

    @property
    def best(self) -> Path:
        return self.checkpoints / "best.pt"

    @property
    def samples(self) -> Path:
        return self.folder / "samples"

    @property
    def weights(self) -> Path:
        return self.folder / "weights.safetensors"

    def read_config(self) -> Config:
        return configs.load(self.config)

    def read_options(self) -> Options:
        content = read_json(self.options)
        known = {field.name for field in fields(Options)}
        unknown = sorted(set(content) - known)
        if unknown:
            raise FommError(f"{self.options} holds unknown options: {', '.join(unknown)}.")
        try:
            return TypeAdapter(Options).validate_python(content)
        except ValidationError as error:
            wrong = ", ".join(f"{'.'.join(map(str, issue['loc']))}: {issue['msg']}" for issue in error.errors())
            raise FommError(f"{self.options} was changed to what cannot be: {wrong}.", "Undo the change.") from error


@contextmanager
def claimed(run: Run) -> Iterator[None]:
    """The run is this process's until the block ends, as `files.claim` has it.

    Raises FommError where another process trains it: two would write over each other's steps.
    """
    with run.environment.open("ab") as file:  # a file that training never opens: closing any handle would end the claim
        if not claim(file, inherited=False):  # else its reading processes would hold on after a `kill -9`
            raise FommError(
                f"{run.folder} is being trained by another process.", "Wait until it ends, or stop it with Ctrl-C."
            )
        yield


def is_claimed(run: Run) -> bool:
    """Whether a process of this machine trains the run now; False where the system has no locks."""
    try:
        with run.environment.open("rb") as file:
            return not claim(file, inherited=False, shared=True)
    except OSError:
        return False


NUMBERED = re.compile(r"(\d{5,})-")


def create(root: str | Path, config: Config, options: Options) -> Run:
    """A fresh folder below `root`, one number higher than the highest there, with what the training was told."""
    root = Path(root)
    try:
        root.mkdir(parents=True, exist_ok=True)
        taken = [int(match[1]) for item in root.iterdir() if (match := NUMBERED.match(item.name))]
        number = max(taken, default=0) + 1
        while True:  # another training may take the number in the same moment
            folder = root / f"{number:05d}-{re.sub(r'[^A-Za-z0-9._-]+', '-', config.name)}"
            try:
                folder.mkdir()
                break
            except FileExistsError:
                number += 1
        run = Run(folder)
        run.checkpoints.mkdir()
        run.samples.mkdir()
    except OSError as error:
        raise FommError(
            f"No run folder can be made in {root}: {error.strerror}.", "Choose another with --runs."
        ) from error
    write_text(run.config, config.to_yaml())
    write_text(run.options, json.dumps(asdict(options), indent=1) + "\n")
    write_text(run.environment, json.dumps(environment(), indent=1) + "\n")
    return run


def find(root: str | Path, name: str) -> Run:
    """A run by its folder, its name below `root`, its number, or `last`."""
    if (Path(name) / "config.yaml").is_file():
        return Run(Path(name))
    runs = everything(root)
    if name == "last" and runs:
        return runs[-1]
    for run in runs:
        if run.folder.name == name or (name.isdecimal() and int(NUMBERED.match(run.folder.name)[1]) == int(name)):  # type: ignore[index]
            return run
    known = ", ".join(run.folder.name for run in runs[-5:])
    hint = f"The latest in {root}: {known}." if known else f"There are none in {root}: name a folder, or give --runs."
    raise FommError(f"There is no run {name}.", hint)


def everything(root: str | Path) -> list[Run]:
    """All runs below `root`, by number."""
    root = Path(root)
    if not root.is_dir():
        return []
    found = [(int(match[1]), item) for item in root.iterdir() if (match := NUMBERED.match(item.name))]
    return [Run(item) for _, item in sorted(found) if (item / "config.yaml").is_file()]


def environment() -> dict[str, Any]:
    """What a run depends on besides its config: versions, machine, the code's commit."""
    import torch

    found: dict[str, Any] = {
        **versions(),
        "git": commit(Path(__file__).parent),
        "command": sys.argv,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.device_count():
        found["cuda"] = torch.version.cuda
        found["gpus"] = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
    return found


def commit(folder: Path) -> str | None:
    """The git commit of the code, "-dirty" appended where tracked files were changed.

    None where the code is not tracked, as in an environment inside somebody else's repository.
    """

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; FommError for anything else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise FommError(f"{path} cannot be read: {error}", "A run folder made by `fomm train` is needed.") from error
    if not isinstance(content, dict):
        raise FommError(f"{path} does not hold a JSON object.")
    return content
