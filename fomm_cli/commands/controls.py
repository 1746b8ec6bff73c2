"""The controls of motion as options: one spelling for every verb that animates."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from fomm_cli.errors import FommError

if TYPE_CHECKING:
    from fomm_cli.motion.controls import Controls


class Clamp(StrEnum):
    AUTO = "auto"
    OFF = "off"


class Loop(StrEnum):
    NONE = "none"
    CUT = "cut"
    PINGPONG = "pingpong"


_PANEL = "Motion"

MotionScale = Annotated[
    float, typer.Option("--motion-scale", min=0, max=3, help="How much of all movement.", rich_help_panel=_PANEL)
]
Head = Annotated[
    float, typer.Option("--head", min=0, max=3, help="Of the head's movement; 0: still.", rich_help_panel=_PANEL)
]
Expression = Annotated[
    float, typer.Option("--expression", min=0, max=3, help="Of all but the head's.", rich_help_panel=_PANEL)
]
Lock = Annotated[
    str,
    typer.Option(
        "--lock",
        metavar="none|head|place|size|turn",
        help="What of the head stays as in the anchor; several with commas.",
        rich_help_panel=_PANEL,
    ),
]
Smooth = Annotated[
    float, typer.Option("--smooth", min=0, max=1, help="Average jitter away; 0.5 is much.", rich_help_panel=_PANEL)
]
ClampChoice = Annotated[
    Clamp, typer.Option("--clamp", help="Keep enlarged movements from tearing.", rich_help_panel=_PANEL)
]
LoopChoice = Annotated[Loop, typer.Option("--loop", help="End where it begins.", rich_help_panel=_PANEL)]
ForceMotion = Annotated[
    bool,
    typer.Option("--force-motion", help="Use a motion file of another detector.", rich_help_panel=_PANEL),
]


def controls(
    motion_scale: float, head: float, expression: float, lock: str, smooth: float, clamp: str, loop: str
) -> Controls:
    """The options as one value; words that mean nothing are wrong usage."""
    from fomm_cli.motion.controls import Controls

    try:
        return Controls(motion_scale, head, expression, lock, smooth, str(clamp), str(loop))
    except FommError as error:
        raise typer.BadParameter(f"{error.what} {error.hint}", param_hint="'--lock'") from error
