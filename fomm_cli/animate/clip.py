"""From files to files: a source picture and a driving clip in, animated clips out, in bounded memory at any length."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from fomm_cli.animate.driving import Clip
from fomm_cli.animate.layouts import LAYOUTS, Step
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import Scene, open_scene
from fomm_cli.animate.settings import Output, Progress, Report, Settings, parse_anchor
from fomm_cli.animate.stream import threaded
from fomm_cli.animate.transfer import check_mode, transfer
from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError, nearest
from fomm_cli.media.image import Frame
from fomm_cli.media.video import VideoWriter
from fomm_cli.motion.motion import CLOSE, FAR, Anchor, Motion, pick

__all__ = ["Output", "Report", "Settings", "animate_clip", "render_clip"]


def animate_clip(
    engine: Engine,
    source: str | Path,
    driving: str | Path,
    outputs: list[Output],
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Animate `source` (a picture) by `driving` (a video, GIF, picture or folder of pictures) into every output.

    Everything is detected once and rendered once, whatever the number of outputs. First comes the motion of the whole
    clip (some hundred bytes a frame), then its rendering; the clip is read again only where a layout shows it.
    """
    settings, progress = settings or Settings(), progress or (lambda *_: None)
    source, driving = Path(source), Path(driving)
    check_settings(settings)
    for path, layout in outputs:
        if layout not in LAYOUTS:
            raise FommError(f"There is no layout {layout!r}.", nearest(layout, list(LAYOUTS)))
        _check_distinct(Path(path), source, driving)
    begun, runner = time.perf_counter(), Runner(engine)
    clip = Clip(driving, engine.size, settings, progress)
    scene = open_scene(runner, source, settings.crop_source, settings.face_detector)
    report = render_clip(scene, clip, outputs, settings, progress)
    report.seconds = time.perf_counter() - begun
    return report


def render_clip(scene: Scene, clip: Clip, outputs: list[Output], settings: Settings, progress: Progress) -> Report:
    """The same with a source and a clip that are open already; both may serve again."""
    begun, count, warnings = time.perf_counter(), 0, list[str]()
    sound = clip.path if settings.audio == "driving" and clip.info.has_audio else None
    with contextlib.ExitStack() as stack:
        writers = [
            (
                LAYOUTS[layout],
                stack.enter_context(
                    VideoWriter(
                        path,
                        clip.info.rate,
                        crf=settings.crf,
                        audio_from=sound,
                        force=settings.force,
                        time_base=clip.info.time_base,
                    )
                ),
            )
            for path, layout in outputs
        ]
        motion = clip.motion(scene.runner, progress)
        anchor = motion.anchored(scene.pose, parse_anchor(settings.anchor)) if settings.mode == "relative" else None
        shown = clip if any(layout != "result" for _, layout in outputs) else None
        with contextlib.closing(
            threaded(_steps(scene, motion, anchor, settings, shown), 4 * scene.runner.batch)
        ) as steps:
            for count, step in enumerate(steps, 1):
                for picture, writer in writers:
                    writer.write(picture(scene, step), step.time, step.lasts)
                progress("render", count, len(motion))
    if anchor is not None and anchor.distance is not None and anchor.distance > FAR:
        warnings.append(_far(anchor))
    return Report(
        outputs=[Path(path) for path, _ in outputs],
        frames=count,
        size=scene.runner.engine.size,
        rate=motion.rate,
        variable_rate=motion.variable_rate,
        has_audio=sound is not None and any(_has_sound(Path(path)) for path, _ in outputs),
        crop_source=scene.box,
        crop_driving=clip.box,
        anchor=anchor.index if anchor else None,
        distance=anchor.distance if anchor else None,
        seconds=time.perf_counter() - begun,
        warnings=warnings,
    )


def _steps(
    scene: Scene, motion: Motion, anchor: Anchor | None, settings: Settings, shown: Clip | None
) -> Iterator[Step]:
    """Batch by batch: poses made the source's, rendered; with the driving frames of the clip `shown`."""
    size = scene.runner.batch
    pictures = None if shown is None else threaded(shown.read(), 2 * size)
    initial = None if anchor is None else anchor.pose
    with contextlib.closing(pictures) if pictures is not None else contextlib.nullcontext():
        for start in range(0, len(motion), size):
            span = slice(start, min(start + size, len(motion)))
            frames: list[Frame | None] = [None] * (span.stop - start)
            if pictures is not None:
                frames = [frame for frame, _, _ in islice(pictures, len(frames))]
                if len(frames) < span.stop - start:
                    raise FommError("The driving clip changed while it was read.", "Run the command again.")
            poses = pick(motion.poses, span)
            moved = transfer(scene.pose, poses, initial, settings.mode, settings.adapt_scale)
            for row, result in enumerate(scene.render(moved)):
                at = start + row
                yield Step(result, motion.times[at], motion.lasts(at), frames[row], poses, moved, row)


def check_settings(settings: Settings) -> None:
    """Refuse, before any file is read, words that mean nothing."""
    check_mode(settings.mode)
    if settings.mode == "relative":
        parse_anchor(settings.anchor)


def _far(anchor: Anchor) -> str:
    return (
        f"The nearest driving frame ({anchor.index}) is far from the source's pose (distance {anchor.distance:.2f}, "
        f"close is below {CLOSE}): expect distortions. Choose a source that looks the same way, or crop both alike "
        "(--crop-source, --crop-driving)."
    )


def _has_sound(path: Path) -> bool:
    return path.suffix.lower() not in {"", ".gif"}


def _check_distinct(output: Path, *inputs: Path) -> None:
    for path in inputs:
        if output.resolve() == path.resolve():
            raise FommError(f"{output} is an input: it is not overwritten.", "Name another output with -o.")
