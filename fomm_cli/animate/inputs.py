"""What can be refused before a network is loaded: words that mean nothing, files, crops in numbers, outputs' names."""

from __future__ import annotations

from pathlib import Path

from fomm_cli.animate.backdrop import check_alpha, parse_background
from fomm_cli.animate.crops import WORDS, crop_box
from fomm_cli.animate.layouts import LAYOUTS
from fomm_cli.animate.scene import check_picture, is_clip, read_source
from fomm_cli.animate.settings import Output, Settings, parse_anchor
from fomm_cli.animate.subject import MOTION
from fomm_cli.detectors.matte import check_matte
from fomm_cli.errors import FommError, nearest
from fomm_cli.files.disk import check_distinct, check_free
from fomm_cli.files.folder import check_ours
from fomm_cli.media.container import open_media, sound_stream
from fomm_cli.media.sequence import is_sequence
from fomm_cli.media.signing import Signer, check_signable
from fomm_cli.media.video import Reading, probe, read_frames
from fomm_cli.motion.file import is_motion


def check_asked(source: Path, driving: Path, outputs: list[Output], settings: Settings) -> None:
    """The words and the names, before any file is read."""
    check_settings(settings)
    if driving.suffix.lower() in {".pkl", ".pickle"}:
        raise FommError(
            f"{driving} is a pickle, which may run code when it is read: it stays closed.",
            "Take the clip that it was made from.",
        )
    timed = settings.begin or settings.end is not None or settings.audio_track is not None
    if is_motion(driving) and timed:
        raise FommError(f"{driving} is a motion file.", "--start, --end and --audio-track are for clips.")
    drivings = [clip for _, clip in settings.paste.drive] if settings.paste else []
    parse_background(settings.background)
    if settings.crop_json is not None:
        check_distinct(settings.crop_json, source, driving, *drivings, *(Path(path) for path, _ in outputs))
        check_free(settings.crop_json, settings.force)
    if settings.sign is not None and settings.mark == "none":
        raise FommError("There is nothing to sign with --mark none.", "Leave out one of the two.")
    for path, layout in outputs:
        if settings.sign is not None:
            check_signable(Path(path))
        if settings.background == "alpha" and layout == "result":
            check_alpha(Path(path))
        if layout not in LAYOUTS:
            raise FommError(f"There is no layout {layout!r}.", nearest(layout, list(LAYOUTS)))
        for read in (source, driving, *drivings):
            check_distinct(Path(path), read)


def check_settings(settings: Settings) -> None:
    """Refuse words that mean nothing."""
    if settings.carrying[0] == "relative" or not settings.controls.idle:
        parse_anchor(settings.anchor)
    if settings.end is not None and settings.end <= settings.begin:
        raise FommError("Nothing lies between --start and --end.", "--end is counted from the clip's begin, too.")
    if settings.mask is not None and settings.matte is not None:
        raise FommError("--mask and --matte both say where the subject is.", "Give one of them.")
    if (settings.mask is not None or settings.matte is not None) and settings.background == "keep":
        raise FommError("A mask tells subject from background, which is kept.", "Say what becomes of it: --background.")
    if settings.matte not in (None, MOTION):
        check_matte(settings.matte)


def check_inputs(source: Path, driving: Path, outputs: list[Output], settings: Settings) -> None:
    """All of it, with a look at both files."""
    check_asked(source, driving, outputs, settings)
    if settings.sign is not None:
        Signer(*settings.sign)
    for path, _ in outputs:
        _check_output(Path(path), settings.force)
    if not is_clip(source):  # of a clip the family says whether it may be a source
        picture = read_source(source)
        check_picture(source, picture)
        _check_box(settings.crop_source, (picture.shape[0], picture.shape[1]))
    if is_motion(driving):
        return
    info = probe(driving, settings.fps)
    _check_box(settings.crop_driving, (info.height, info.width))
    how = Reading(settings.fps, settings.begin, settings.end, [] if settings.allow_damaged else None)
    if next(read_frames(driving, 0, 1, how), None) is None:
        lasts = "" if info.duration is None else f"It lasts {float(info.duration):.2f} seconds."
        raise FommError(f"{driving} has no frames between --start and --end.", lasts)
    whole = not settings.begin and settings.end is None
    if whole and settings.anchor.isdecimal() and info.frames is not None and int(settings.anchor) >= info.frames:
        raise FommError(
            f"There is no frame {settings.anchor} in the driving: it has {info.frames}.",
            "--anchor takes the number of a driving frame, from 0, or first, or auto.",
        )
    if settings.audio == "driving" and settings.audio_track is not None and not is_sequence(driving):
        with open_media(driving) as container:
            sound_stream(container, settings.audio_track)


def _check_box(text: str, size: tuple[int, int]) -> None:
    if text not in WORDS:
        crop_box(text, size, 1.0)


def _check_output(path: Path, force: bool) -> None:
    if path.is_dir() and path.suffix:
        raise FommError(f"{path} is a folder, not a file.", "Name a file inside it.")
    if path.is_dir() and force:
        check_ours(path, path)
    elif path.exists() and not force and not (path.is_dir() and not any(path.iterdir())):
        raise FommError(f"{path} exists already.", "Choose another name, or overwrite it with --force.")
