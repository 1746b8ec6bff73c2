"""Options that several verbs share: one spelling, one help text each.

The words of an enum are those of the room that obeys it (tests/test_help.py compares); they stand here again so that
`fomm --help` need not import the rooms.
"""

from __future__ import annotations

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class Mode(StrEnum):
    RELATIVE = "relative"
    ABSOLUTE = "absolute"
    AVD = "avd"


class Layout(StrEnum):
    RESULT = "result"
    SIDE_BY_SIDE = "side-by-side"
    KEYPOINTS = "keypoints"


class Audio(StrEnum):
    DRIVING = "driving"
    NONE = "none"


class EngineName(StrEnum):
    AUTO = "auto"
    PLAIN = "plain"
    FUSED = "fused"


class PrecisionName(StrEnum):
    AUTO = "auto"
    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Stored(StrEnum):
    FLOAT16 = "float16"
    INT8 = "int8"


class ClipFormat(StrEnum):
    PACKED = "packed"
    MP4 = "mp4"
    PNG = "png"


class Fit(StrEnum):
    STRETCH = "stretch"
    SQUARE = "square"


class LoggerName(StrEnum):
    WANDB = "wandb"


class Who(StrEnum):
    PERSON = "person"
    CARTOON = "cartoon"


class Partition(StrEnum):
    TRAIN = "train"
    TEST = "test"


def _offline(value: bool) -> None:
    if value:
        os.environ["HF_HUB_OFFLINE"] = "1"  # the Hub's client and processes started from here obey it too


Weights = Annotated[
    str | None,
    typer.Option(
        "--weights", metavar="NAME|FILE|hf://…|DIR", help="What the network has learned: see `fomm weights list`."
    ),
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")]
EngineChoice = Annotated[EngineName, typer.Option("--engine", help="auto is fused, the quicker one.")]
Precision = Annotated[PrecisionName, typer.Option("--precision", help="Keypoints are always fp32.")]
FaceNetwork = Annotated[
    Path | None,
    typer.Option("--face-detector", metavar="FILE", help="Finds faces instead of the bundled network RFB-320."),
]
AudioTrack = Annotated[
    int | None,
    typer.Option("--audio-track", metavar="N", min=1, help="Which sound track, from 1; else the clip's default one."),
]
Start = Annotated[str, typer.Option("--start", metavar="TIME", help="Where in the clip to begin: 83.5 or 1:23.5.")]
End = Annotated[str | None, typer.Option("--end", metavar="TIME", help="Where in the clip to stop.")]
AllowDamaged = Annotated[
    bool, typer.Option("--allow-damaged", help="Use what can be read of a damaged clip, with a warning.")
]
FamilyOptions = Annotated[
    list[str],
    typer.Option(
        "--set", metavar="KEY=VALUE", help="An option of these weights' family, as their page says. Repeatable."
    ),
]
ModeChoice = Annotated[Mode | None, typer.Option("--mode", help="Of the motion; the weights' own, mostly relative.")]
AdaptScale = Annotated[
    bool | None,
    typer.Option("--adapt-scale/--no-adapt-scale", help="Relative: fit movements to the source's size, or not."),
]
Crf = Annotated[int, typer.Option("--crf", min=0, max=63, help="Video quality; lower is better and larger.")]
Offline = Annotated[
    bool, typer.Option("--offline", callback=_offline, help="Fetch nothing: what is not here yet is refused.")
]
"""Acts by itself: HF_HUB_OFFLINE for the rest of the command."""
Force = Annotated[bool, typer.Option("--force", help="Replace what is there already.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead.")]
StoreAs = Annotated[
    Stored | None,
    typer.Option("--store", help="Kernels rounded: half or a quarter of the size. [default: as they are]"),
]
Runs = Annotated[Path, typer.Option("--runs", metavar="DIR", help="Where run folders are.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="The run's folder, name or number, or `last`.")]
Set = Annotated[
    list[str],
    typer.Option("--set", metavar="KEY=VALUE", help="Override a key, e.g. train.batch_size=8. Repeatable."),
]
NONE: list[str] = []
"""The default of `Set`."""
