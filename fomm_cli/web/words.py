"""Settings in the words of `fomm animate`: read from JSON, and said again as the command that does the same."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from PIL import ImageColor

from fomm_cli.animate import backdrop
from fomm_cli.animate.crops import check_crop
from fomm_cli.animate.inputs import check_settings
from fomm_cli.animate.layouts import LAYOUTS
from fomm_cli.animate.marking import MARKS
from fomm_cli.animate.parts import parse_face
from fomm_cli.animate.settings import COLOURS, EXTENDS, Paste, Settings, parse_size, parse_time
from fomm_cli.animate.subject import MOTION
from fomm_cli.errors import FommError, nearest
from fomm_cli.media.badge import CORNERS
from fomm_cli.motion.controls import Controls

FORMATS = ["mp4", "webm", "mov", "mkv", "gif", "webp", "apng"]

DEFAULTS: dict[str, Any] = {
    "weights": "",
    "mode": "relative",
    "adapt-scale": True,
    "anchor": "auto",
    "crop-source": "auto",
    "crop-driving": "auto",
    "size": "",
    "max-size": "",
    "detail": 1.0,
    "paste-back": False,
    "face": "",
    "drive": "",
    "extend": "hold",
    "pin": "",
    "feather": 0.1,
    "colour-match": "border",
    "background": "keep",
    "mask": "",
    "matte": "",
    "set": "",
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
    "crop-json": False,
    "mark": "tag",
    "badge": "none",
    "format": "mp4",
}
"""Options of `fomm animate` without their dashes in front; "" is an option left out, `format` its output's suffix.

What may be said several times there stands here with spaces between: `face`, `drive`, `set`. Where a picture is named
there, `mask` and `background`, stands the id of one that was sent.
"""

_ID = re.compile("[0-9a-f]{32}")
_REPEATED = ("face", "drive", "set")
_RANGES: dict[str, tuple[float, float]] = {
    "detail": (0, 1.0),
    "feather": (0, 0.3),
    "pin": (0, 0.4),
    "crf": (0, 63),
    "max-size": (16, 65536),
}


class Asked(NamedTuple):
    """What a visitor asked for.

    words    all of `DEFAULTS`
    changed  those that are not as `fomm animate` has them by default
    drive    which faces are driven by files of their own, by ids
    names    what the visitor calls the pictures that words name, known once they were `found`
    """

    settings: Settings
    words: dict[str, Any]
    changed: dict[str, Any]
    drive: dict[int, str]
    names: Mapping[str, str] = MappingProxyType({})

    @property
    def pictures(self) -> dict[str, str]:
        """Words that name pictures, and the ids they name."""
        named = {"mask": self.words["mask"], "background": self.words["background"]}
        return {word: id for word, id in named.items() if (word == "mask" and id) or _ID.fullmatch(id)}

    def found(self, files: Mapping[str, tuple[Path, str]]) -> Asked:
        """The same, its pictures by their paths here and by the names their visitor gave them."""
        paths: dict[str, Any] = {word: path if word == "mask" else str(path) for word, (path, _) in files.items()}
        names = {word: name for word, (_, name) in files.items()}
        return self._replace(settings=replace(self.settings, **paths), names=names)


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
    marked = badge != "none"
    _one_of("mark", words["mark"], [word for word in MARKS if word != "none" or not marked])
    _one_of("matte", words["matte"], ["", MOTION])
    _one_of("badge", words["badge"], CORNERS if marked else ["none", *CORNERS])
    for name, (least, most) in _RANGES.items():
        if words[name] != "" and not least <= (value := _amount(name, words[name], type(most))) <= most:
            raise FommError(f"{name} {value:g} is out of range.", f"It goes from {least:g} to {most:g}.")
    pasted = _paste(words)
    words["background"] = _background(words["background"], words["format"])
    check_crop(words["crop-source"], still=True)
    check_crop(words["crop-driving"])
    settings = Settings(
        mode=words["mode"],
        adapt_scale=words["adapt-scale"],
        anchor=words["anchor"],
        crop_source=words["crop-source"],
        crop_driving=words["crop-driving"],
        size=parse_size(words["size"]) if words["size"] else None,
        max_size=int(words["max-size"]) if words["max-size"] else None,
        detail=words["detail"],
        paste=pasted,
        background=words["background"],
        mask=Path(words["mask"]) if words["mask"] else None,
        matte=words["matte"] or None,
        crop_json=Path(beside("result")) if words["crop-json"] else None,  # where is the server's business
        mark=words["mark"],
        options=tuple(words["set"].split()),
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
    changed = {name: word for name, word in words.items() if word != alone[name]}
    return Asked(settings, words, changed, dict(_driven(each) for each in words["drive"].split()))


_NUMBERS = {"anchor", "size", "start", "end", "pin", "max-size"}
_CONTROLS = ("motion-scale", "head", "expression", "lock", "smooth", "clamp", "loop")


def _paste(words: dict[str, Any]) -> Paste | None:
    """What is put back, and how; refused where words do not go together, as `fomm animate` does."""
    faces = tuple(words["face"].split())
    if not faces and not words["paste-back"]:
        for name in ("drive", "pin"):
            if words[name]:
                raise FommError(f"{name} is for what is put back into the whole picture.", "Ask for paste-back.")
        return None
    for face in faces:
        parse_face(face)
    if faces and words["crop-source"] != "auto":
        raise FommError("face and crop-source both say what moves.", "Give one of them.")
    if words["size"]:
        raise FommError("What is put back has the source's size.", "Leave out size.")
    if words["drive"] and words["loop"] != "none":
        raise FommError("loop is for one driving.", "Leave out drive.")
    _one_of("extend", words["extend"], EXTENDS)
    _one_of("colour-match", words["colour-match"], COLOURS)
    pin = float(words["pin"]) if words["pin"] else None
    return Paste(faces, (), words["extend"], pin, words["feather"], words["colour-match"])


def _driven(text: str) -> tuple[int, str]:
    number, is_pair, file = text.partition("=")
    if not is_pair or not number.isdecimal() or len(number) > 4 or not file:
        raise FommError(f"{text[:40]!r} is no driving of a face.", "Write its number and a file's id: 1=5f0c...")
    return int(number), file


def _background(text: str, suffix: str) -> str:
    """A word, a colour as #rrggbb, or an id: what a visitor writes is never taken for a path."""
    if text == "alpha":
        backdrop.check_alpha(Path(f"result.{suffix}"))
    if text in backdrop.WORDS or _ID.fullmatch(text):
        return text
    try:
        red, green, blue, *_ = ImageColor.getrgb(text)
    except ValueError:
        hint = f"{nearest(text, backdrop.WORDS)} Or a colour: green, #00ff00. Or a picture of yours."
        raise FommError(f"There is no background {text!r}.", hint) from None
    return f"#{red:02x}{green:02x}{blue:02x}"


def command(
    asked: Asked, source: str, driving: str, output: str, weights: str | None, drives: Mapping[int, str] | None = None
) -> str:
    """The line for a shell that makes the same file; options as they are by default are left out.

    weights  what is used where the visitor did not say, None = the default ones
    drives   the names of the files in `asked.drive`
    """
    line = ["fomm", "animate", _operand(source), _operand(driving), "-o", _operand(output)]
    words = ({} if weights is None else {"weights": weights}) | asked.changed
    for name, value in words.items():
        if name == "format":
            continue
        if name in _REPEATED:
            said = value.split() if name != "drive" else [f"{n}={file}" for n, file in (drives or {}).items()]
            line += [part for each in said for part in (f"--{name}", each)]
        elif name == "crop-json":
            line += ["--crop-json", _operand(beside(output))]
        elif isinstance(value, bool):
            line.append(f"--{name}" if value else f"--no-{name}")
        elif name in asked.names:
            line += [f"--{name}", _operand(asked.names[name])]
        else:
            line += [f"--{name}", f"{value:g}" if isinstance(value, float) else str(value)]
    return shlex.join(line)


def beside(output: str) -> str:
    """What the file is called that tells where the parts of a result lie."""
    return f"{Path(output).stem}.json"


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
        value = f"{value:.10g}" if isinstance(value, float) else str(value)[:1000]
    if not fits:
        raise FommError(f"{name} cannot be {str(value)[:80]!r}.", f"By default it is {default!r}.")
    return value


def _amount(name: str, value: Any, kind: type) -> float:
    try:
        return float(kind(value))
    except ValueError:
        raise FommError(f"{name} cannot be {value[:80]!r}.", "It is a number.") from None


def _one_of(name: str, value: str, known: list[str]) -> None:
    if value not in known:
        raise FommError(f"There is no {name} {value!r}.", nearest(value, known))
