"""`export.json`, the card of an export: untrusted like its folder, so read as a model and checked in itself."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, PrivateAttr, ValidationError, model_validator

from fomm_cli.config.reading import completed
from fomm_cli.config.schema import AnimateConfig
from fomm_cli.errors import FommError
from fomm_cli.files.disk import sha256
from fomm_cli.model.family import Usual

FORMAT = 2
"""Since 2 `render` takes a taper and gives the flow too, where the family has them."""

Side = Annotated[int, Field(strict=True, ge=8, le=8192)]


class Port(BaseModel):
    """An input or output of a graph; an axis that is a word may have any length."""

    name: str
    shape: list[int | str]

    @property
    def lengths(self) -> list[int | None]:
        return lengths(self.shape)


class Graph(BaseModel):
    """One file, with the hash it had when it was exported."""

    file: str
    sha256: str
    inputs: list[Port] = Field(min_length=1)
    outputs: list[Port] = Field(min_length=1)


class Card(BaseModel):
    """What a runtime needs to know of the graphs of an export."""

    version: Literal[1, 2]
    format: Literal["onnx", "pt2"]
    precision: str
    size: tuple[Side, Side]
    output_size: tuple[Side, Side] | None = None
    motion_size: tuple[int, int] | None = None
    detector: str = ""
    graphs: dict[str, Graph]
    config: dict[str, Any]
    _usual: Usual = PrivateAttr(Usual())

    @property
    def usual(self) -> Usual:
        """How the weights' authors animate."""
        return self._usual

    @model_validator(mode="after")
    def _agrees(self) -> Card:
        missing = sorted({"detect", "encode", "render"} - set(self.graphs))
        if missing:
            raise ValueError(f"it tells of no graph {missing[0]}")
        if any(Path(graph.file).name != graph.file for graph in self.graphs.values()):
            raise ValueError("a graph lies outside the folder")
        if not isinstance(self.config.get("model"), dict):
            raise ValueError("it holds no config of a model")
        self._usual = AnimateConfig.model_validate(completed(self.config).get("animate", {})).usual
        for name, taken in (("detect", "image"), ("encode", "source")):
            frames = self.graphs[name].inputs[0]
            if frames.name != taken:
                raise ValueError(f"{name} takes {frames.name}, not {taken}")
            if frames.lengths[2:] != list(self.size):
                raise ValueError(f"{name} takes frames of another size than {list(self.size)}")
        return self


def lengths(shape: Sequence[Any]) -> list[int | None]:
    """The lengths of axes, None where one is free."""
    return [length if isinstance(length, int) else None for length in shape]


def read_card(folder: Path) -> Card:
    """`export.json` of an export whose files are all there, each with the hash written down."""
    path = folder / "export.json"
    if not path.is_file():
        raise FommError(f"{folder} holds no export.json.", "Make an export with `fomm export WEIGHTS -o DIR`.")
    try:
        card = Card.model_validate_json(path.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        said = first["msg"].removeprefix("Value error, ")
        told = f"{where}: {said}" if where else said
        raise FommError(f"{path} is damaged, or of another version: {told}.", "Export again.") from error
    for graph in card.graphs.values():
        file = folder / graph.file
        if not file.is_file():
            raise FommError(f"{file} is missing.", "Copy the whole folder, or export again.")
        if sha256(file) != graph.sha256:
            raise FommError(f"{file} is not the file that was exported: its hash differs.", "Export again.")
    return card
