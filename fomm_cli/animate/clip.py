"""From files to files: a source picture and a driving clip in, animated clips out, in bounded memory at any length."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fomm_cli import draw
from fomm_cli.animate.anchor import CLOSE, FAR, Anchor, anchor_at, find_anchor
from fomm_cli.animate.animator import Animator, check_frame, joined
from fomm_cli.animate.crops import crop_box, needs_frames
from fomm_cli.animate.settings import LAYOUTS, Output, Progress, Report, Settings, parse_anchor
from fomm_cli.animate.stream import batched, threaded
from fomm_cli.boxes import Box
from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError, nearest
from fomm_cli.media.image import Frame, fit, read_image
from fomm_cli.media.video import VideoInfo, VideoWriter, probe, read_frames, read_timed
from fomm_cli.media.write import MOVIES
from fomm_cli.model.types import Keypoints

__all__ = ["Output", "Report", "Settings", "animate_clip"]


class Step(NamedTuple):
    """A frame on its way to the writers; `driving` is None where no layout shows it."""

    result: Frame
    time: Fraction
    driving: Frame | None
    pose: Keypoints
    moved: Keypoints


def animate_clip(
    engine: Engine,
    source: str | Path,
    driving: str | Path,
    outputs: list[Output],
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> Report:
    """Animate `source` (a picture) by `driving` (a video, GIF, picture or folder of pictures) into every output.

    Everything is rendered once, whatever the number of outputs. With the automatic anchor the clip's keypoints are
    detected in a first pass and kept (some hundred bytes a frame); the second renders from them.
    """
    files = [Output(Path(path), layout) for path, layout in outputs]
    job = _Job(engine, Path(source), Path(driving), files, settings or Settings(), progress or (lambda *_: None))
    return job.run()


class _Job:
    def __init__(
        self, engine: Engine, source: Path, driving: Path, outputs: list[Output], settings: Settings, progress: Progress
    ) -> None:
        for path, layout in outputs:
            if layout not in LAYOUTS:
                raise FommError(f"There is no layout {layout!r}.", nearest(layout, LAYOUTS))
            _check_distinct(Path(path), source, driving)
        self.anchor_choice = parse_anchor(settings.anchor) if settings.mode == "relative" else "first"
        self.driving, self.outputs, self.settings, self.progress = driving, outputs, settings, progress
        self.warnings: list[str] = []
        self.info: VideoInfo = probe(driving)
        self.begun = time.perf_counter()
        picture = _read_source(source)
        _explained(source, picture)
        aspect = engine.size[1] / engine.size[0]
        self.size = engine.size
        self.box_source = crop_box(settings.crop_source, _extent(picture), aspect, picture, settings.face_detector)
        self.box_driving = self._driving_box(aspect)
        fitted = self._fit(picture, settings.crop_source, self.box_source)
        self.animator = Animator(engine, fitted, settings.mode, settings.adapt_scale)
        self.shows_driving = any(output.layout != "result" for output in outputs)

    def _driving_box(self, aspect: float) -> Box:
        text, info = self.settings.crop_driving, self.info
        first = next(read_frames(self.driving, 0, 1), None)
        if first is None:
            raise FommError(f"{self.driving} has no frames.", "Export the clip again.")
        _explained(self.driving, first)
        if not needs_frames(text):
            return crop_box(text, _extent(first), aspect)
        with contextlib.closing(threaded(read_frames(self.driving))) as frames:
            seen = _counted(frames, self.progress, "crop", info.frames)
            return crop_box(text, _extent(first), aspect, seen, self.settings.face_detector)

    def _fit(self, picture: Frame, text: str, box: Box) -> Frame:
        return fit(picture, self.size, None if text == "center" else box)  # the middle, to fractions of a pixel

    def run(self) -> Report:
        audio = self.driving if self.settings.audio == "driving" and self.info.has_audio else None
        anchor: Anchor | None = None
        count = 0
        with contextlib.ExitStack() as stack:
            writers = [
                (
                    output.layout,
                    stack.enter_context(
                        VideoWriter(
                            output.path,
                            self.info.rate,
                            crf=self.settings.crf,
                            audio_from=audio,
                            force=self.settings.force,
                            time_base=self.info.time_base,
                        )
                    ),
                )
                for output in self.outputs
            ]
            anchor, steps = self._steps()
            with contextlib.closing(threaded(steps, 4 * self.animator.batch)) as ready:
                for step in ready:
                    for layout, writer in writers:
                        writer.write(self._picture(layout, step), step.time)
                    count += 1
                    self.progress("render", count, self.total)
        if anchor is None and self.settings.mode == "relative":
            anchor = self.first
        if anchor is not None and anchor.distance > FAR:
            self.warnings.append(_far(anchor))
        return Report(
            outputs=[Path(output.path) for output in self.outputs],
            frames=count,
            size=self.size,
            rate=self.info.rate,
            variable_rate=self.info.variable_rate,
            has_audio=audio is not None and any(_has_sound(Path(output.path)) for output in self.outputs),
            crop_source=self.box_source,
            crop_driving=self.box_driving,
            anchor=anchor.index if anchor else None,
            distance=anchor.distance if anchor else None,
            seconds=time.perf_counter() - self.begun,
            warnings=self.warnings,
        )

    # ------------------------------------------------------------------------------------------------- the passes

    def _read(self, stop: int | None = None) -> Iterator[tuple[Frame, Fraction]]:
        """Driving frames in the network's size; decoding and resizing run in threads of their own."""
        with contextlib.closing(threaded(read_timed(self.driving, 0, stop), 4)) as decoded:
            for frame, at in decoded:
                yield self._fit(frame, self.settings.crop_driving, self.box_driving), at

    def _steps(self) -> tuple[Anchor | None, Iterator[Step]]:
        """The anchor, where a first pass was needed for it, and the frames to come."""
        self.total = self.info.frames
        self.first: Anchor | None = None
        if self.settings.mode == "absolute" or self.anchor_choice == "first":
            return None, self._one_pass()
        if isinstance(self.anchor_choice, int):
            anchor = self._numbered(self.anchor_choice)
            self.animator.anchor = anchor.pose
            return anchor, self._one_pass()
        poses, times = self._keypoints()
        anchor = find_anchor(self.animator.pose, poses)
        self.animator.anchor = anchor.pose
        self.total = len(times)
        return anchor, self._second_pass(poses, times)

    def _numbered(self, index: int) -> Anchor:
        frame = next(read_frames(self.driving, index, index + 1), None)
        if frame is None:
            has = f": it has {self.info.frames}" if self.info.frames else ""
            raise FommError(
                f"There is no frame {index} in {self.driving}{has}.",
                "--anchor takes the number of a driving frame, from 0, or first, or auto.",
            )
        pose = self.animator.detect([self._fit(frame, self.settings.crop_driving, self.box_driving)])
        return anchor_at(self.animator.pose, pose, 0, index)

    def _keypoints(self) -> tuple[Keypoints, list[Fraction]]:
        """The first pass: every frame's keypoints and time, and nothing else of it."""
        poses: list[Keypoints] = []
        times: list[Fraction] = []
        with contextlib.closing(threaded(self._read(), 2 * self.animator.batch)) as frames:
            for batch in batched(frames, self.animator.batch):
                poses.append(self.animator.detect(frame for frame, _ in batch))
                times += [at for _, at in batch]
                self.progress("detect", len(times), self.info.frames)
        if not times:
            raise FommError(f"{self.driving} has no frames.", "Export the clip again.")
        return joined(poses), times

    def _one_pass(self) -> Iterator[Step]:
        with contextlib.closing(threaded(self._read(), 2 * self.animator.batch)) as frames:
            for batch in batched(frames, self.animator.batch):
                pose = self.animator.detect(frame for frame, _ in batch)
                if self.first is None and self.settings.mode == "relative":
                    self.first = anchor_at(self.animator.pose, pose, 0, 0)
                yield from self._rendered(pose, [at for _, at in batch], [frame for frame, _ in batch])

    def _second_pass(self, poses: Keypoints, times: list[Fraction]) -> Iterator[Step]:
        """From the keypoints alone; the clip is read again only where a layout shows it."""
        step = self.animator.batch
        source: Any = threaded(self._read(), 2 * step) if self.shows_driving else None
        with contextlib.closing(source) if source is not None else contextlib.nullcontext():
            for start in range(0, len(times), step):
                span = slice(start, min(start + step, len(times)))
                frames = None if source is None else [frame for frame, _ in islice(source, span.stop - span.start)]
                if frames is not None and len(frames) < span.stop - span.start:
                    raise FommError(f"{self.driving} changed while it was read.", "Run the command again.")
                yield from self._rendered(poses.apply(lambda array, s=span: array[s]), times[span], frames)

    def _rendered(self, pose: Keypoints, times: list[Fraction], frames: list[Frame] | None) -> Iterator[Step]:
        moved = self.animator.transfer(pose)
        for row, result in enumerate(self.animator.render(pose)):
            one = slice(row, row + 1)
            yield Step(
                result,
                times[row],
                frames[row] if frames is not None and self.shows_driving else None,
                pose.apply(lambda array, s=one: array[s]),
                moved.apply(lambda array, s=one: array[s]),
            )

    def _picture(self, layout: str, step: Step) -> Frame:
        if layout == "result" or step.driving is None:
            return step.result
        pictures = [self.animator.source, step.driving, step.result]
        if layout == "keypoints":
            poses = [self.animator.pose, step.pose, step.moved]
            pictures = [
                draw.keypoints(picture, pose[0][0], None if pose[1] is None else pose[1][0])
                for picture, pose in zip(pictures, poses, strict=True)
            ]
        return np.concatenate(pictures, axis=1)


def _counted(frames: Iterable[Frame], progress: Progress, doing: str, total: int | None) -> Iterator[Frame]:
    for count, frame in enumerate(frames, 1):
        progress(doing, count, total)
        yield frame


def _extent(picture: Frame) -> tuple[int, int]:
    return picture.shape[0], picture.shape[1]


def _far(anchor: Anchor) -> str:
    return (
        f"The nearest driving frame ({anchor.index}) is far from the source's pose (distance {anchor.distance:.2f}, "
        f"close is below {CLOSE}): expect distortions. Choose a source that looks the same way, or crop both alike "
        "(--crop-source, --crop-driving)."
    )


def _read_source(path: Path) -> Frame:
    try:
        return read_image(path)
    except FommError as error:
        if path.is_dir() or path.suffix.lower() in {*MOVIES, ".avi", ".mpg", ".mpeg"}:
            raise FommError(
                f"The source, {path}, is no picture.", "The picture comes first, the clip second."
            ) from error
        raise


def _has_sound(path: Path) -> bool:
    return path.suffix.lower() not in {"", ".gif"}


def _check_distinct(output: Path, *inputs: Path) -> None:
    for path in inputs:
        if output.resolve() == path.resolve():
            raise FommError(f"{output} is an input: it is not overwritten.", "Name another output with -o.")


def _explained(path: Path, picture: Frame) -> None:
    try:
        check_frame(picture)
    except FommError as error:
        raise FommError(error.what.replace("The picture", str(path), 1), error.hint) from error
