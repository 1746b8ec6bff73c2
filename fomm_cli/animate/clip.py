"""From files to files: a source picture and a driving clip in, animated clips out, in bounded memory at any length."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Generator, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fomm_cli.animate.backdrop import Backdrop, on_checks
from fomm_cli.animate.compose import Part
from fomm_cli.animate.crops import told
from fomm_cli.animate.driving import Driving, open_driving
from fomm_cli.animate.heard import Heard
from fomm_cli.animate.inputs import check_asked
from fomm_cli.animate.layouts import LAYOUTS, Step
from fomm_cli.animate.marking import mark_of
from fomm_cli.animate.redirect import redirect_clip
from fomm_cli.animate.role import Role, cast
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import is_clip
from fomm_cli.animate.settings import Face, Output, Progress, Report, Settings, Still
from fomm_cli.animate.sidecar import write_sidecar
from fomm_cli.animate.stream import threaded
from fomm_cli.animate.whole import Stage, check_stage, open_stage
from fomm_cli.engine.base import Engine
from fomm_cli.engine.choose import as_engine
from fomm_cli.errors import FommError
from fomm_cli.media.badge import badged
from fomm_cli.media.image import Frame
from fomm_cli.media.signing import Signer
from fomm_cli.media.video import VideoWriter
from fomm_cli.model.pose import pick
from fomm_cli.motion.motion import jitter
from fomm_cli.weights.catalogue import DEFAULT

_AHEAD = 1 << 27
"""Bytes of composed frames that may wait to be written."""

_NONE: Frame = np.zeros((0, 0, 3), np.uint8)

__all__ = ["Output", "Report", "Settings", "animate", "animate_clip", "render_clip", "render_still"]


def animate(
    source: str | Path,
    driving: str | Path,
    output: str | Path,
    weights: Any = None,
    layout: str = "result",
    progress: Progress | None = None,
    **settings: Any,
) -> Report:
    """Make a picture move like a clip, from files to a file; what `fomm animate` does.

    >>> animate("portrait.png", "clip.mp4", "moving.mp4", weights="vox-256", crop_source="face")

    weights   what `open_engine` takes, or an engine, which serves any number of calls; None = the default weights
    layout    what the output shows: a name of `layouts.LAYOUTS`
    settings  fields of `Settings`
    """
    engine = as_engine(weights or DEFAULT)
    return animate_clip(engine, source, driving, [Output(output, layout)], Settings(**settings), progress)


def animate_clip(
    engine: Engine,
    source: str | Path,
    driving: str | Path,
    outputs: list[Output],
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Animate `source` (a picture) by `driving` (a clip or a motion file) into every output.

    Everything is detected once and rendered once, whatever the number of outputs. First comes the motion of the whole
    clip (some hundred bytes a frame), then its rendering; the clip is read again only where a layout shows it.
    """
    settings, progress = (settings or Settings()).agreed(engine), progress or (lambda *_: None)
    source, driving = Path(source), Path(driving)
    check_asked(source, driving, outputs, settings)
    check_stage(engine, settings)
    begun, runner = time.perf_counter(), Runner(engine)
    family = engine.family.configured(settings.options)
    redirects = family.takes_clips and is_clip(source)
    family.check_asked(settings.carrying[0], redirects)
    moving = open_driving(driving, engine, settings, progress)
    if redirects:
        crop = family.crop if settings.crop_source == "auto" else settings.crop_source
        return redirect_clip(runner, family, source, crop, moving, outputs, settings, progress)
    stage = open_stage(runner, source, settings, family)
    others = {
        number: open_driving(path, engine, settings, progress)
        for number, path in (settings.paste.drive if settings.paste else ())
    }
    report = render_clip(stage, moving, outputs, settings, progress, others)
    if settings.crop_json is not None:
        write_sidecar(settings.crop_json, stage, report, settings.force)
    report.seconds = time.perf_counter() - begun
    return report


def render_clip(
    stage: Stage,
    driving: Driving,
    outputs: list[Output],
    settings: Settings,
    progress: Progress,
    others: Mapping[int, Driving] | None = None,
) -> Report:
    """The same with a source and a driving that are open already; both may serve again.

    others  what else drives some of the source's faces, by their numbers
    """
    begun, count = time.perf_counter(), 0
    for path, layout in outputs:
        _check_layout(stage, driving, path, layout, settings)
    drivings = [driving.path, *(other.path for other in (others or {}).values())]
    mark = mark_of(stage.runner.engine, stage.path, drivings, settings)
    signer = Signer(*settings.sign) if settings.sign is not None and mark is not None else None
    with contextlib.ExitStack() as stack:
        sound = Heard(driving, outputs, settings, stack)
        writers = [
            (
                LAYOUTS[layout],
                stack.enter_context(
                    VideoWriter(
                        path,
                        driving.rate,
                        crf=settings.crf,
                        audio_from=sound.path,
                        force=settings.force,
                        time_base=driving.time_base,
                        track=sound.track,
                        span=sound.span,
                        mark=mark,
                        signer=signer,
                    )
                ),
            )
            for path, layout in outputs
        ]
        roles = cast(stage.faces, driving, others or {}, settings, progress)
        sound.follow(roles[0].steered.loop)
        shown = driving if any(layout != "result" for _, layout in outputs) else None
        timing, points = roles[0].steered.motion, []
        drawn = threaded(_drawn(roles, shown), 4 * stage.runner.batch)
        composed = _composed(stage, drawn, settings.background)
        depth = min(4, _AHEAD // (6 * stage.size[0] * stage.size[1]))  # a thread has one at hand, too
        with contextlib.closing(threaded(composed, depth) if depth else composed) as ready:
            for count, step in enumerate(ready, 1):
                for picture, writer in writers:
                    frame = picture(stage, step)
                    if settings.badge is not None:
                        frame = badged(frame, settings.badge)
                    writer.write(frame, step.time, step.lasts)
                points.append(step.moved[0][step.row])
                progress("render", count, len(timing))
    warnings = [said for role in roles for said in role.warnings] + list(driving.warnings)
    heard = any(writer.heard for _, writer in writers)
    warnings += sound.missed(driving, heard)
    first = roles[0]
    return Report(
        outputs=[Path(path) for path, _ in outputs],
        frames=count,
        size=stage.size,
        rate=timing.rate,
        variable_rate=timing.variable_rate,
        has_audio=heard,
        crop_source=stage.box,
        crop_driving=driving.box,
        anchor=first.anchor.index if first.anchor else None,
        distance=first.anchor.distance if first.anchor else None,
        seconds=time.perf_counter() - begun,
        clamped=first.steered.clamped,
        jitter=jitter(np.stack(points)) * (min(stage.runner.engine.output_size) - 1) / 2,
        loop_jump=first.steered.loop_jump,
        cut=told(stage.how, driving.how),
        warnings=list(dict.fromkeys([*stage.warnings, *warnings])),
        faces=[_told(role) for role in roles] if settings.paste else [],
        heads=first.heads,
    )


def render_still(
    stage: Stage,
    driving: Driving,
    row: int,
    settings: Settings,
    progress: Progress,
    others: Mapping[int, Driving] | None = None,
) -> Still:
    """One frame of what `render_clip` would render; the motion of a driving is read once and kept by it."""
    roles = cast(stage.faces, driving, others or {}, settings, progress)
    first = roles[0]
    row = min(max(row, 0), len(first.steered.motion) - 1)
    parts = [next(role.scene.draw(role.moved(slice(row, row + 1))[1])) for role in roles]
    warnings = [said for role in roles for said in role.warnings]
    frame = stage.compose(parts)
    if settings.background != "keep":
        frame = on_checks(Backdrop(settings.background, stage.still)(frame))
    return Still(frame, row, len(first.steered.motion), first.anchor, warnings)


def _drawn(roles: list[Role], shown: Driving | None) -> Iterator[tuple[list[Part], Step]]:
    """Batch by batch: the motion of each role made its source's; with what was seen, and the pictures it was seen in.

    Steps have no result yet.
    """
    first = roles[0]
    size, timing = first.scene.runner.batch, first.steered.motion
    pictures = None if shown is None else threaded(shown.read(), 2 * size)
    with contextlib.closing(pictures) if pictures is not None else contextlib.nullcontext():
        for start in range(0, len(timing), size):
            span = slice(start, min(start + size, len(timing)))
            frames: list[Frame | None] = [None] * (span.stop - start)
            if pictures is not None:
                frames = [frame for frame, _, _ in islice(pictures, len(frames))]
                if len(frames) < span.stop - start:
                    raise FommError("The driving clip changed while it was read.", "Run the command again.")
            poses, moved = first.moved(span)
            if frames[0] is not None:  # a layout that shows the driving marks what was seen in it
                poses = pick(first.seen.poses, span)
            drawn = [first.scene.draw(moved), *(role.scene.draw(role.moved(span)[1]) for role in roles[1:])]
            for row, parts in enumerate(zip(*drawn, strict=True)):
                at = start + row
                step = Step(_NONE, timing.times[at], timing.lasts(at), frames[row], poses, moved, row)
                yield list(parts), step


def _composed(
    stage: Stage, drawn: Generator[tuple[list[Part], Step], None, None], background: str
) -> Generator[Step, None, None]:
    backdrop = None if background == "keep" else Backdrop(background, stage.still)
    with contextlib.closing(drawn):
        for parts, step in drawn:
            frame = stage.compose(parts)
            yield step._replace(result=frame if backdrop is None else backdrop(frame))


def _check_layout(stage: Stage, driving: Driving, path: str | Path, layout: str, settings: Settings) -> None:
    if layout == "result":
        return
    why = ""
    if not driving.has_pictures:
        why = "a motion file has no pictures"
    elif settings.controls.loop != "none":
        why = "a loop is shown alone"
    elif settings.paste is not None and settings.paste.extend == "stop":
        why = "with --extend stop the result may end before it"
    if why:
        raise FommError(f"{path} cannot show the driving: {why}.", "Use --layout result.")
    if layout == "keypoints" and settings.paste is not None:
        why = "they belong to parts of the picture"
        raise FommError(f"{path} cannot show keypoints: {why}.", "Leave out --paste-back.")


def _told(role: Role) -> Face:
    anchor = role.anchor
    return Face(
        role.scene.box,
        role.driving.path,
        anchor.index if anchor else None,
        anchor.distance if anchor else None,
        role.heads,
    )
