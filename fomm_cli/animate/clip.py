"""From files to files: a source picture and a driving clip in, animated clips out, in bounded memory at any length."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from fomm_cli.animate.driving import Driving, open_driving
from fomm_cli.animate.inputs import check_asked
from fomm_cli.animate.layouts import LAYOUTS, Step
from fomm_cli.animate.redirect import redirect_clip
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import Scene, is_clip, open_scene
from fomm_cli.animate.settings import Output, Progress, Report, Settings, Still, parse_anchor
from fomm_cli.animate.stream import threaded
from fomm_cli.engine.base import Engine, check_motion
from fomm_cli.engine.choose import as_engine
from fomm_cli.errors import FommError
from fomm_cli.media.image import Frame
from fomm_cli.media.video import VideoWriter
from fomm_cli.model.pose import pick
from fomm_cli.motion.controls import Steered, steer
from fomm_cli.motion.fit import check_fit
from fomm_cli.motion.motion import CLOSE, FAR, Anchor, Motion, jitter
from fomm_cli.weights.catalogue import DEFAULT

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
    settings, progress = settings or Settings(), progress or (lambda *_: None)
    source, driving = Path(source), Path(driving)
    check_motion(engine, settings.mode, settings.adapt_scale)
    check_asked(source, driving, outputs, settings)
    begun, runner = time.perf_counter(), Runner(engine)
    family = engine.family.configured(settings.options)
    moving = open_driving(driving, engine.size, settings, progress, family.crop)
    crop = family.crop if settings.crop_source == "auto" else settings.crop_source
    if family.takes_clips and is_clip(source):
        return redirect_clip(runner, family, source, crop, moving, outputs, settings, progress)
    scene = open_scene(runner, source, crop, settings.face_detector, family=family, size=settings.size)
    report = render_clip(scene, moving, outputs, settings, progress)
    report.seconds = time.perf_counter() - begun
    return report


def render_clip(
    scene: Scene, driving: Driving, outputs: list[Output], settings: Settings, progress: Progress
) -> Report:
    """The same with a source and a driving that are open already; both may serve again."""
    begun, count = time.perf_counter(), 0
    for path, layout in outputs:
        if layout != "result" and (not driving.has_pictures or settings.controls.loop != "none"):
            why = "a loop is shown alone" if driving.has_pictures else "a motion file has no pictures"
            raise FommError(f"{path} cannot show the driving: {why}.", "Use --layout result.")
    sounds = settings.audio == "driving" and driving.has_sound and settings.controls.loop == "none"
    with contextlib.ExitStack() as stack:
        sound, begin = stack.enter_context(driving.sound()) if sounds else (None, Fraction(0))
        writers = [
            (
                LAYOUTS[layout],
                stack.enter_context(
                    VideoWriter(
                        path,
                        driving.rate,
                        crf=settings.crf,
                        audio_from=sound,
                        force=settings.force,
                        time_base=driving.time_base,
                        track=settings.audio_track,
                        span=(begin, settings.end),
                    )
                ),
            )
            for path, layout in outputs
        ]
        motion = driving.motion(scene.runner, progress)
        engine = scene.runner.engine
        warnings = check_fit(motion, engine.family.name, scene.pose, engine.detector, settings.force_motion)
        anchor, steered = _steered(scene, motion, settings)
        shown = driving if any(layout != "result" for _, layout in outputs) else None
        steps, points = _steps(scene, motion, steered, settings, shown), []
        with contextlib.closing(threaded(steps, 4 * scene.runner.batch)) as ready:
            for count, step in enumerate(ready, 1):
                for picture, writer in writers:
                    writer.write(picture(scene, step), step.time, step.lasts)
                points.append(step.moved[0][step.row])
                progress("render", count, len(steered.motion))
    if anchor is not None and anchor.distance is not None and anchor.distance > FAR:
        warnings.append(_far(anchor))
    warnings += driving.warnings
    heard = any(writer.heard for _, writer in writers)
    if (sounds or (driving.mute and settings.audio == "driving")) and not heard and _take_sound(outputs):
        why = driving.mute or "none of it can be decoded"
        warnings.append(f"The sound of {driving.path} was left out: {why}.")
    if settings.controls.loop != "none" and settings.audio == "driving" and driving.has_sound:
        warnings.append("A loop has no sound.")
    return Report(
        outputs=[Path(path) for path, _ in outputs],
        frames=count,
        size=scene.size,
        rate=motion.rate,
        variable_rate=motion.variable_rate,
        has_audio=heard,
        crop_source=scene.box,
        crop_driving=driving.box,
        anchor=anchor.index if anchor else None,
        distance=anchor.distance if anchor else None,
        seconds=time.perf_counter() - begun,
        clamped=steered.clamped,
        jitter=jitter(np.stack(points)) * (min(engine.output_size) - 1) / 2,
        loop_jump=steered.loop_jump,
        warnings=[*warnings, *steered.warnings],
    )


def render_still(scene: Scene, driving: Driving, row: int, settings: Settings, progress: Progress) -> Still:
    """One frame of what `render_clip` would render; the motion of the driving is read once and kept by it."""
    motion = driving.motion(scene.runner, progress)
    engine = scene.runner.engine
    warnings = check_fit(motion, engine.family.name, scene.pose, engine.detector, settings.force_motion)
    anchor, steered = _steered(scene, motion, settings)
    row = min(max(row, 0), len(steered.motion) - 1)
    moved = scene.transfer(steered.motion.at(row), steered.anchor, settings.mode, settings.adapt_scale)
    if anchor is not None and anchor.distance is not None and anchor.distance > FAR:
        warnings.append(_far(anchor))
    return Still(next(scene.render(moved)), row, len(steered.motion), anchor, [*warnings, *steered.warnings])


def _steered(scene: Scene, motion: Motion, settings: Settings) -> tuple[Anchor | None, Steered]:
    """The motion as the source takes it, and the frame that stands for the source; none where nothing is relative."""
    if settings.mode != "relative":
        if motion.relative:
            raise FommError("This motion was extracted with --private: it is relative.", "Use --mode relative.")
        if settings.controls.idle:
            return None, Steered(motion, None)
    anchor = motion.anchored(scene.pose, parse_anchor(settings.anchor))
    return anchor, steer(motion, settings.controls, anchor.index)


def _steps(scene: Scene, seen: Motion, steered: Steered, settings: Settings, shown: Driving | None) -> Iterator[Step]:
    """Batch by batch: the steered motion made the source's; with what was `seen`, and the pictures it was seen in."""
    size, timing = scene.runner.batch, steered.motion
    pictures = None if shown is None else threaded(shown.read(), 2 * size)
    initial = steered.anchor
    if initial is not None and len(seen) == 1:
        initial = scene.family.resting(initial)
    with contextlib.closing(pictures) if pictures is not None else contextlib.nullcontext():
        for start in range(0, len(timing), size):
            span = slice(start, min(start + size, len(timing)))
            frames: list[Frame | None] = [None] * (span.stop - start)
            if pictures is not None:
                frames = [frame for frame, _, _ in islice(pictures, len(frames))]
                if len(frames) < span.stop - start:
                    raise FommError("The driving clip changed while it was read.", "Run the command again.")
            poses = pick(timing.poses, span)
            moved = scene.transfer(poses, initial, settings.mode, settings.adapt_scale)
            if frames[0] is not None:  # a layout that shows the driving marks what was seen in it
                poses = pick(seen.poses, span)
            for row, result in enumerate(scene.render(moved)):
                at = start + row
                yield Step(result, timing.times[at], timing.lasts(at), frames[row], poses, moved, row)


def _take_sound(outputs: list[Output]) -> bool:
    return any(Path(path).suffix.lower() not in {"", ".gif"} for path, _ in outputs)


def _far(anchor: Anchor) -> str:
    return (
        f"The nearest driving frame ({anchor.index}) is far from the source's pose (distance {anchor.distance:.2f}, "
        f"close is below {CLOSE}): expect distortions. Choose a source that looks the same way, or crop both alike "
        "(--crop-source, --crop-driving)."
    )
