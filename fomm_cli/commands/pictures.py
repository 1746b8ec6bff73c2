"""What becomes of the picture as options: its size, and what is put back into it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fomm_cli.errors import FommError, UsageError

if TYPE_CHECKING:
    from fomm_cli.animate.settings import Credentials, Paste


class Extend(StrEnum):
    HOLD = "hold"
    LOOP = "loop"
    STOP = "stop"


class ColourMatch(StrEnum):
    BORDER = "border"
    OFF = "off"


class MarkKind(StrEnum):
    TAG = "tag"
    FULL = "full"
    NONE = "none"


class Corner(StrEnum):
    TOP_LEFT = "top-left"
    TOP_RIGHT = "top-right"
    BOTTOM_LEFT = "bottom-left"
    BOTTOM_RIGHT = "bottom-right"


_PANEL, _FILE = "Picture", "Provenance"

Size = Annotated[
    str | None,
    typer.Option(
        "--size",
        metavar="PX|source",
        help="Shorter side of the frames, or the source's own; else the network's.",
        rich_help_panel=_PANEL,
    ),
]
MaxSize = Annotated[
    int | None,
    typer.Option(
        "--max-size", metavar="PX", min=16, help="Shrink the source first, to this longer side.", rich_help_panel=_PANEL
    ),
]
Detail = Annotated[
    float,
    typer.Option(
        "--detail", min=0, max=1, help="How much of the source's own detail to carry along.", rich_help_panel=_PANEL
    ),
]
PasteBack = Annotated[
    bool | None,
    typer.Option(
        "--paste-back/--no-paste-back", help="Put what moves back into the whole source.", rich_help_panel=_PANEL
    ),
]
FaceChoice = Annotated[
    list[str],
    typer.Option(
        "--face",
        metavar="largest|all|N,…|x,y,w,h",
        help="What of the source moves, put back: faces from the left, from 0, or a box. Repeatable.",
        rich_help_panel=_PANEL,
    ),
]
Drive = Annotated[
    list[str],
    typer.Option(
        "--drive",
        metavar="N=CLIP",
        help="What drives the Nth of these faces instead of DRIVING. Repeatable.",
        rich_help_panel=_PANEL,
    ),
]
ExtendChoice = Annotated[
    Extend, typer.Option("--extend", help="For faces whose own clip is over first.", rich_help_panel=_PANEL)
]
Pin = Annotated[
    float | None,
    typer.Option("--pin", min=0, max=0.4, help="Share of the crop held at its border: 0.2.", rich_help_panel=_PANEL),
]
Feather = Annotated[
    float,
    typer.Option(
        "--feather", min=0, max=0.3, help="Share of the crop that fades into the source.", rich_help_panel=_PANEL
    ),
]
ColourChoice = Annotated[
    ColourMatch,
    typer.Option("--colour-match", help="Fit what is put back to what is round it, or not.", rich_help_panel=_PANEL),
]

Background = Annotated[
    str,
    typer.Option(
        "--background",
        metavar="keep|freeze|alpha|COLOUR|FILE",
        help="Behind a subject cut out by transparency, --mask or --matte.",
        rich_help_panel=_PANEL,
    ),
]
Mask = Annotated[
    Path | None,
    typer.Option("--mask", metavar="FILE", help="A picture, white where the subject is.", rich_help_panel=_PANEL),
]
Matte = Annotated[
    str | None,
    typer.Option(
        "--matte",
        metavar="motion|NAME",
        help="Find it: what the weights would move, or by a network of rembg (extra matte).",
        rich_help_panel=_PANEL,
    ),
]
CropJson = Annotated[
    Path | None,
    typer.Option(
        "--crop-json", metavar="FILE", help="Also tell editors where parts lie in the source.", rich_help_panel=_PANEL
    ),
]
MarkChoice = Annotated[
    MarkKind, typer.Option("--mark", help="What the file says of how it was made.", rich_help_panel=_FILE)
]
BadgeChoice = Annotated[
    Corner | None, typer.Option("--badge", help='A visible "AI" in a corner of every frame.', rich_help_panel=_FILE)
]
Sign = Annotated[
    Path | None,
    typer.Option("--sign", metavar="CERT.pem", help="Sign it (C2PA, extra c2pa), with --key.", rich_help_panel=_FILE),
]
Key = Annotated[
    Path | None, typer.Option("--key", metavar="KEY.pem", help="The certificate's key.", rich_help_panel=_FILE)
]
Timestamp = Annotated[
    str | None,
    typer.Option("--timestamp", metavar="URL", help="An authority to witness the time.", rich_help_panel=_FILE),
]


def credentials(sign: Path | None, key: Path | None, timestamp: str | None) -> Credentials | None:
    """The options of signing as one value; a certificate goes with its key."""
    from fomm_cli.animate.settings import Credentials

    if sign is None or key is None:
        if sign is not None or key is not None or timestamp is not None:
            raise UsageError("--sign CERT.pem goes with --key KEY.pem.")
        return None
    return Credentials(sign, key, timestamp)


def paste(
    wanted: bool | None,
    faces: list[str],
    drive: list[str],
    extend: str,
    pin: float | None,
    feather: float,
    colour_match: str,
    crop_source: str,
    size: str | None,
    loop: str,
) -> Paste | None:
    """The options of paste-back as one value, None without it; what does not go together is wrong usage."""
    from fomm_cli.animate.parts import parse_face
    from fomm_cli.animate.settings import Paste

    asked = [("--drive", drive), ("--pin", pin is not None), ("--face", faces)]
    if wanted is False or (wanted is None and not faces):
        for name, given in asked:
            if given:
                raise UsageError(f"{name} is for what is put back into the whole source: add --paste-back.")
        return None
    if faces and crop_source != "auto":
        raise UsageError("--face and --crop-source both say what moves: give one of them.")
    if size is not None:
        raise UsageError("--size: what is put back has the source's size. --max-size shrinks that first.")
    if drive and loop != "none":
        raise UsageError("--loop is for one driving; leave out --drive.")
    for text in faces:
        try:
            parse_face(text)
        except FommError as error:
            raise UsageError(f"--face: {error.what} {error.hint}") from error
    return Paste(tuple(faces), tuple(_drive(text) for text in drive), str(extend), pin, feather, str(colour_match))


def _drive(text: str) -> tuple[int, Path]:
    number, is_pair, clip = text.partition("=")
    if not is_pair or not number.isdecimal() or len(number) > 4 or not clip:
        raise UsageError(f"--drive: {text!r} is no driving of a face. Write its number and a clip: 1=clip.mp4.")
    path = Path(clip)
    if not path.exists():
        raise UsageError(f"--drive: {path} does not exist.")
    return int(number), path
