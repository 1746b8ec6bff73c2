"""Tracks: one thing followed through the pictures of one shot."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image, ImageFilter

from fomm_cli.boxes import Edges, overlap, union
from fomm_cli.detectors.protocol import BoxDetector

_SIZE = (48, 27)

_BINS = 8

CHANGE = 0.10  # mean change of a pixel, of 1, that a cut has at least

COLOURS = 0.30  # share of the pixels whose colour class has no counterpart in the picture before

JUMP = 3.0  # times the usual change of this shot


class ShotFinder:
    """Told of pictures in order, says of each whether a new shot begins with it.

    A cut changes most pixels and the colours of the whole, and far more than the motion around it does.
    """

    def __init__(self) -> None:
        self._last: np.ndarray | None = None
        self._colours: np.ndarray | None = None
        self._usual = 0.0

    def cut(self, frame: np.ndarray) -> bool:
        """Whether the picture, uint8 (H, W, 3), is the first of a shot; never true of the very first picture."""
        step = max(1, min(frame.shape[1] // (4 * _SIZE[0]), frame.shape[0] // (4 * _SIZE[1])))
        small = Image.fromarray(np.ascontiguousarray(frame[::step, ::step])).resize(_SIZE, Image.Resampling.BOX)
        picture = np.asarray(small, np.float32) / 255.0
        classes = (picture * (_BINS - 0.01)).astype(np.int64) @ np.array([_BINS * _BINS, _BINS, 1])
        colours = np.bincount(classes.ravel(), minlength=_BINS**3) / classes.size
        last, before = self._last, self._colours
        self._last, self._colours = picture, colours
        if last is None or before is None:
            return False
        change = float(np.abs(picture - last).mean())
        shift = float(np.abs(colours - before).sum()) / 2
        found = change > CHANGE and shift > COLOURS and change > JUMP * self._usual
        self._usual = 0.0 if found else 0.8 * self._usual + 0.2 * change
        return found


@dataclass
class Track:
    """A stretch of pictures that show one thing.

    start, end   picture numbers; `end` is not part of it
    first        its box in the first picture, which later ones must overlap
    box          around its boxes in all pictures
    score        the surest that the detector was
    why          why it ended, in words
    """

    start: int
    end: int
    first: Edges
    box: Edges
    score: float = 1.0
    why: str = ""

    def __len__(self) -> int:
        return self.end - self.start


class Finder(Protocol):
    """Told of all pictures in order, returns tracks as they end."""

    def look(self, number: int, frame: np.ndarray, cut: bool) -> list[Track]:
        """The tracks that have ended before this picture; `cut` says that a new shot begins with it."""
        ...

    def finish(self) -> list[Track]:
        """The tracks that go on to the last picture."""
        ...


@dataclass(frozen=True)
class Rules:
    """When pictures belong together.

    iou          of a box with the first of its track, at least
    max_frames   of a track; what goes on longer becomes another one
    patience     pictures in a row in which a thing may be missed
    every        look only at every so many-th picture
    """

    iou: float = 0.25
    max_frames: int = 1024
    patience: int = 5
    every: int = 1


class BoxFinder:
    """Follows what a detector finds: a box belongs to the track whose first box it overlaps most."""

    def __init__(self, detector: BoxDetector, rules: Rules | None = None) -> None:
        self.detector, self.rules = detector, rules or Rules()
        self._active: list[Track] = []
        self._next = 0

    def look(self, number: int, frame: np.ndarray, cut: bool) -> list[Track]:
        rules = self.rules
        ended = self._end(lambda track: True, "cut") if cut else []
        ended += self._end(lambda track: number - track.start >= rules.max_frames, "max-frames")
        if number < self._next and not cut and not ended:
            self._extend(number)
            return ended
        self._next = number + rules.every
        found = self.detector.detect(frame)
        pairs = sorted(
            (
                (overlap(track.first, one.box), i, j)
                for i, track in enumerate(self._active)
                for j, one in enumerate(found)
            ),
            reverse=True,
        )
        matched: set[int] = set()
        taken: set[int] = set()
        for share, i, j in pairs:
            if share > rules.iou and i not in matched and j not in taken:
                track = self._active[i]
                track.box, track.end = union(track.box, found[j].box), number + 1
                track.score = max(track.score, found[j].score)
                matched.add(i)
                taken.add(j)
        ended += self._end(lambda track: number + 1 - track.end > rules.patience + rules.every - 1, "lost")
        for j, one in enumerate(found):
            if j not in taken and not any(overlap(track.box, one.box) > 0.6 for track in self._active):
                self._active.append(Track(number, number + 1, one.box, one.box, one.score))
        return ended

    def _extend(self, number: int) -> None:
        """Between looks a thing that was there at the last one is taken to be there still."""
        for track in self._active:
            if track.end == number:
                track.end = number + 1

    def _end(self, over: Callable[[Track], bool], why: str) -> list[Track]:
        ended = [track for track in self._active if over(track)]
        self._active = [track for track in self._active if track not in ended]
        for track in ended:
            track.why = why
        return ended

    def finish(self) -> list[Track]:
        return self._end(lambda track: True, "end of video")


NOISE = 0.03  # change of brightness, of 1, below which a pixel counts as still

STILL = 1e-4  # mean change of a pixel and picture below which a shot counts as still


class MotionFinder:
    """Follows whatever moves: one track a shot, around the part of the picture that changes.

    The box holds all but the outermost `margin` of the change at each side, so that a flickering pixel does not count.
    """

    def __init__(self, max_frames: int = 1024, margin: float = 0.01) -> None:
        self.max_frames, self.margin = max_frames, margin
        self._last: np.ndarray | None = None
        self._sum: np.ndarray | None = None
        self._start = self._number = 0
        self._scale = (1.0, 1.0)

    def look(self, number: int, frame: np.ndarray, cut: bool) -> list[Track]:
        grey = self._grey(frame)
        ended: list[Track] = []
        if self._last is None or self._sum is None:
            self._start, self._sum = number, np.zeros_like(grey)
        elif cut or number - self._start >= self.max_frames:
            ended = self._close("cut" if cut else "max-frames")
            self._start, self._sum = number, np.zeros_like(grey)
        else:
            change = np.abs(grey - self._last)
            change[change < NOISE] = 0.0
            self._sum += change
        self._last, self._number = grey, number
        return ended

    def _grey(self, frame: np.ndarray) -> np.ndarray:
        """The picture's brightness in [0, 1], small and a little blurred: compression noise must not count."""
        height, width = frame.shape[:2]
        scale = min(1.0, 160 / max(height, width))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        self._scale = width / size[0], height / size[1]
        image = Image.fromarray(frame).resize(size, Image.Resampling.BOX, reducing_gap=2.0).convert("L")
        return np.asarray(image.filter(ImageFilter.BoxBlur(1)), np.float32) / 255.0

    def _close(self, why: str) -> list[Track]:
        total = self._sum
        if total is None:
            return []
        length = self._number + 1 - self._start
        mass = float(total.sum())
        if mass < STILL * total.size * max(length - 1, 1):
            whole = (0.0, 0.0, total.shape[1] * self._scale[0], total.shape[0] * self._scale[1])
            return [Track(self._start, self._number + 1, whole, whole, 0.0, "nothing moves")]
        left, right = self._span(total.sum(axis=0))
        top, bottom = self._span(total.sum(axis=1))
        box = (left * self._scale[0], top * self._scale[1], right * self._scale[0], bottom * self._scale[1])
        return [Track(self._start, self._number + 1, box, box, 1.0, why)]

    def _span(self, profile: np.ndarray) -> tuple[float, float]:
        """Where the middle of a profile begins and ends, all but `margin` of its mass at each end."""
        share = np.cumsum(profile) / profile.sum()
        first = int(np.searchsorted(share, self.margin, side="right"))
        last = int(np.searchsorted(share, 1.0 - self.margin))
        return float(first), float(min(last, len(profile) - 1) + 1)

    def finish(self) -> list[Track]:
        return self._close("end of video")


class GivenBox:
    """One box for the whole picture sequence, split at cuts."""

    def __init__(self, box: Edges, max_frames: int = 1024) -> None:
        self.box, self.max_frames = box, max_frames
        self._start = self._number = -1

    def look(self, number: int, frame: np.ndarray, cut: bool) -> list[Track]:
        ended = []
        if self._start >= 0 and (cut or number - self._start >= self.max_frames):
            ended = [Track(self._start, number, self.box, self.box, 1.0, "cut" if cut else "max-frames")]
            self._start = number
        self._start = number if self._start < 0 else self._start
        self._number = number
        return ended

    def finish(self) -> list[Track]:
        if self._start < 0:
            return []
        return [Track(self._start, self._number + 1, self.box, self.box, 1.0, "end of video")]


def find_tracks(frames: Iterable[tuple[int, np.ndarray]], finder: Finder) -> Iterator[Track]:
    """All tracks of numbered pictures, as they end; shots are told apart here."""
    shots = ShotFinder()
    for number, frame in frames:
        yield from finder.look(number, frame, shots.cut(frame))
    yield from finder.finish()
