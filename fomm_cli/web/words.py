"""Settings in the words of `fomm animate`: read from JSON, and said again as the command that does the same."""

from __future__ import annotations

import shlex
from typing import Any, NamedTuple

from fomm_cli.animate.crops import check_crop
from fomm_cli.animate.faces import parse_face
from fomm_cli.animate.inputs import check_settings
from fomm_cli.animate.layouts import LAYOUTS
from fomm_cli.animate.settings import Paste, Settings, parse_size, parse_time
from fomm_cli.errors import FommError, nearest
from fomm_cli.media.badge import CORNERS
from fomm_cli.motion.controls import Controls

FORMATS = ["mp4", "webm", "mov", "mkv", "gif"]

DEFAULTS: dict[str, Any] = {
    "weights": "",
    "mode": "relative",
    "adapt-scale": True,
    "anchor": "auto",
    "crop-source": "auto",
    "crop-driving": "auto",
    "size": "",
    "detail": 1.0,
    "paste-back": False,
    "face": "",
    "start": "0",
    "end": "",
    "allow-damaged": False,
    "motion-scale": 1.0,
    "head": 1.0,
    "expression": 1.0,
    "lock": "none",
    "smooth": 0.0,
    "clamp": "auto",
    "loop": "none",
    "force-motion": False,
    "layout": "result",
    "audio": "driving",
    "crf": 18,
    "badge": "none",
    "format": "mp4",
}
"""Options of `fomm animate` without their dashes in front; "" is an option left out, `format` its output's suffix."""


class Asked(NamedTuple):
    """What a visitor asked for.

    words    all of `DEFAULTS`
    changed  those that are not as `fomm animate` has them by default
    """

    settings: Settings
    words: dict[str, Any]
    changed: dict[str, Any]


def defaults(usual: tuple[str, bool] = ("relative", True), badge: str = "none") -> dict[str, Any]:
    """What is so where nobody says.

    usual  of an engine: the mode, and whether relative movements are scaled
    badge  where this server marks what it makes
    """
    return DEFAULTS | {"mode": usual[0], "adapt-scale": usual[1], "badge": badge}


def read(given: Any, usual: tuple[str, bool] = ("relative", True), badge: str = "none") -> Asked:
    """Settings from a JSON object; what is not in it stays as it is by default, see `defaults`.

    Raises FommError for an unknown word and for a value that the option would not take.
    """
    if not isinstance(given, dict):
        raise FommError("The settings are no object.", 'Give names and values, as {"head": 0.5}.')
    words, alone = defaults(usual, badge), defaults(usual)
    for name, value in given.items():
        if name not in DEFAULTS:
            raise FommError(f"There is no setting {name!r}.", nearest(str(name), list(DEFAULTS)))
        words[name] = _like(DEFAULTS[name], name, value)
    _one_of("layout", words["layout"], list(LAYOUTS))
    _one_of("audio", words["audio"], ["driving", "none"])
    _one_of("format", words["format"], FORMATS)
    _one_of("badge", words["badge"], CORNERS if badge != "none" else ["none", *CORNERS])
    if words["face"]:
        parse_face(words["face"])
        if words["crop-source"] != "auto":
            raise FommError("face and crop-source both say what moves.", "Give one of them.")
    if words["size"] and (words["face"] or words["paste-back"]):
        raise FommError("What is put back has the source's size.", "Leave out size.")
    if not 0 <= words["detail"] <= 1:
        raise FommError(f"detail {words['detail']:g} is out of range.", "It goes from 0 to 1.")
    if not 0 <= words["crf"] <= 63:
        raise FommError(f"crf {words['crf']} is out of range.", "It goes from 0 to 63.")
    check_crop(words["crop-source"], still=True)
    check_crop(words["crop-driving"])
    settings = Settings(
        mode=words["mode"],
        adapt_scale=words["adapt-scale"],
        anchor=words["anchor"],
        crop_source=words["crop-source"],
        crop_driving=words["crop-driving"],
        size=parse_size(words["size"]) if words["size"] else None,
        detail=words["detail"],
        paste=Paste(faces=(words["face"],) if words["face"] else ()) if words["face"] or words["paste-back"] else None,
        badge=None if words["badge"] == "none" else words["badge"],
        begin=parse_time(words["start"]),
        end=parse_time(words["end"]) if words["end"] else None,
        allow_damaged=words["allow-damaged"],
        controls=Controls(*(words[name] for name in _CONTROLS)),
        force_motion=words["force-motion"],
        audio=words["audio"],
        crf=words["crf"],
    )
    check_settings(settings)
    return Asked(settings, words, {name: word for name, word in words.items() if word != alone[name]})


_NUMBERS = {"anchor", "size", "start", "end"}
_CONTROLS = ("motion-scale", "head", "expression", "lock", "smooth", "clamp", "loop")


def command(asked: Asked, source: str, driving: str, output: str, weights: str | None) -> str:
    """The line for a shell that makes the same file; options as they are by default are left out.

    weights  what is used where the visitor did not say, None = the default ones
    """
    line = ["fomm", "animate", _operand(source), _operand(driving), "-o", _operand(output)]
    words = ({} if weights is None else {"weights": weights}) | asked.changed
    for name, value in words.items():
        if name == "format":
            continue
        if isinstance(value, bool):
            line.append(f"--{name}" if value else f"--no-{name}")
        else:
            line += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(line)


def _operand(name: str) -> str:
    return f"./{name}" if name.startswith("-") else name


def _like(default: Any, name: str, value: Any) -> Any:
    """A value of its option's type; numbers may stand for text, as in "anchor": 12."""
    if isinstance(default, bool):
        fits = isinstance(value, bool)
    elif isinstance(default, float):
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        value = float(value) if fits else value
    elif isinstance(default, int):
        fits = isinstance(value, int) and not isinstance(value, bool)
    else:
        fits = isinstance(value, str) or (type(value) in (int, float) and name in _NUMBERS)
        value = f"{value:.10g}" if isinstance(value, float) else str(value)[:200]
    if not fits:
        raise FommError(f"{name} cannot be {str(value)[:80]!r}.", f"By default it is {default!r}.")
    return value


def _one_of(name: str, value: str, known: list[str]) -> None:
    if value not in known:
        raise FommError(f"There is no {name} {value!r}.", nearest(value, known))
