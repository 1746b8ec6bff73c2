"""The motion of a clip: what a detector saw of it, frame by frame, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomm_cli.errors import FommError
from fomm_cli.model.families import family_of
from fomm_cli.model.pose import pick
from fomm_cli.model.relative import Reach, Space, in_blocks

CLOSE = 0.3
"""Up to here poses are alike."""

FAR = 0.5
"""A distance from here on is a pose so different that the result will suffer; between two frames it is a cut."""

SIZE = 0.3
"""The root mean square radius of a usual pose, in units of [-1, 1]: where a motion does not tell its own."""


@dataclass(frozen=True)
class Anchor:
    """A driving frame that stands for the source's pose.

    index     number of the driving frame, from 0; None where the motion is already relative to one that is not told
    distance  between its pose and the source's, in sizes of the pose; below 0.3 is close
    pose      its pose, a batch of one
    """

    index: int | None
    distance: float | None
    pose: Any


@dataclass(frozen=True)
class Motion:
    """Poses and their times, T of each; immutable, so that what is made of it is another.

    poses          the family's pose, a NamedTuple of float32 arrays (T, ...); fields that do not exist are None
    times          seconds since the begin of the clip, strictly increasing
    last           seconds the last frame is shown, None = one step of the rate
    rate           frames per second, exact; the average where times are uneven
    size           (H, W) of the frames the detector saw, the network's
    family         name of the family of models whose pose it is
    detector       "sha256:..." of the detector's weights; "" = not known
    reach          how far movements go in what it was trained on; None = not measured
    time_base      seconds per tick of the clip's clock
    variable_rate  whether frames come at uneven times
    relative       poses are movements from an anchor that is not told: they fit any source and show no head
    anchor         the row chosen as the anchor when the motion was read, None = none was
    partner        `partner[k]`: the point that takes the place of point k in a mirror; None = not measured
    residual       how far mirrored points lie from their partners, root mean square, in units of [-1, 1]
    history        the commands that made it, the oldest first
    notes          what else a file says of it: text under names
    sound          bytes of a sound file (m4a) whose times count from the clip's begin
    """

    poses: Any
    times: tuple[Fraction, ...]
    rate: Fraction
    size: tuple[int, int]
    family: str = "first_order"
    detector: str = ""
    time_base: Fraction = Fraction(1, 90_000)
    variable_rate: bool = False
    relative: bool = False
    anchor: int | None = None
    partner: tuple[int, ...] | None = None
    residual: float = 0.0
    history: tuple[str, ...] = ()
    notes: Mapping[str, str] = field(default_factory=dict)
    sound: bytes | None = None
    last: Fraction | None = None
    reach: Reach | None = None

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, span: slice) -> Motion:
        """Some of its frames, their times counted from the first of them."""
        rows = range(*span.indices(len(self)))
        if not rows:
            raise FommError("No frame of the motion is left.", f"It has {len(self)}.")
        first = self.times[rows[0]]
        return self.take(rows, [self.times[row] - first for row in rows])

    @property
    def seconds(self) -> NDArray[np.float64]:
        """The times as numbers."""
        return np.array([float(time) for time in self.times])

    @property
    def duration(self) -> Fraction:
        """Seconds from the first frame to the end of the last."""
        return self.times[-1] - self.times[0] + self.lasts(len(self) - 1)

    def lasts(self, row: int) -> Fraction:
        """Seconds one of its frames is shown: until the next."""
        if row + 1 < len(self):
            return self.times[row + 1] - self.times[row]
        return self.last if self.last is not None else 1 / self.rate

    @property
    def nbytes(self) -> int:
        """Bytes it takes in memory, about."""
        arrays = sum(part.nbytes for part in self.poses if part is not None)
        return arrays + 200 * len(self) + len(self.sound or b"")

    def at(self, row: int) -> Any:
        """The pose of one frame, a batch of one."""
        return pick(self.poses, slice(row, row + 1))

    def take(self, rows: Sequence[int], times: Sequence[Fraction]) -> Motion:
        """These frames at these times. Sound does not follow, and of the anchor only what is still there."""
        order = list(rows)
        anchor = order.index(self.anchor) if self.anchor in order else None
        same = len(order) == len(self) and tuple(times) == self.times
        return replace(
            self,
            poses=pick(self.poses, order),
            times=tuple(times),
            anchor=anchor,
            sound=self.sound if same else None,
            last=self.last if order[-1] == len(self) - 1 else None,
        )

    # ------------------------------------------------------------------------------------------------- the anchor

    def nearest(self, source: Any) -> Anchor:
        """The frame nearest in pose to `source` (a batch of one); of nearly equal ones (within 2 %) the earliest."""
        found = family_of(self.family).distance(source, self.poses)
        return self.anchored(source, int(np.argmax(found <= found.min() * 1.02 + 1e-4)))

    def anchored(self, source: Any, choice: str | int) -> Anchor:
        """The anchor by name: "auto" the nearest frame, "first", or a frame's number."""
        if self.relative:
            return Anchor(None, None, self.rest(0))
        if choice == "auto":
            return self.nearest(source)
        row = 0 if choice == "first" else int(choice)
        if not 0 <= row < len(self):
            raise FommError(
                f"There is no frame {row} in the driving: it has {len(self)}.",
                "--anchor takes the number of a driving frame, from 0, or first, or auto.",
            )
        pose = self.at(row)
        return Anchor(row, float(family_of(self.family).distance(source, pose)[0]), pose)

    def rest(self, row: int) -> Any:
        """The pose that others are relative to where this row is the anchor, a batch of one."""
        return self.space(row).anchor if self.relative else self.at(row)

    def space(self, anchor: int | None = None) -> Space:
        """The relative space about one of its frames: the one named, else the one chosen when it was read, else 0."""
        row = self.anchor if anchor is None else anchor
        space = family_of(self.family).space(self.at(row or 0))
        return family_of(self.family).space(space.neutral) if self.relative else space

    def steps(self, gap: int = 1) -> NDArray[np.float64]:
        """How far each pose is from the one `gap` frames before it, in sizes of the pose; (T - gap,)."""
        return self.apart(range(len(self) - gap), range(gap, len(self)))

    def apart(self, first: Sequence[int], second: Sequence[int]) -> NDArray[np.float64]:
        """The distance of each of some frames from each of as many others, in sizes of the pose."""
        if self.relative:  # movements alone have no size to be measured in
            channels = self.space().channels(self.poses)
            return np.sqrt(np.square(channels[list(second)] - channels[list(first)]).mean(axis=1)) / SIZE
        family, one, other = family_of(self.family), np.asarray(first, np.intp), np.asarray(second, np.intp)

        def distance(rows: slice) -> NDArray[np.float64]:
            return family.distance(pick(self.poses, one[rows]), pick(self.poses, other[rows]))

        return in_blocks(distance, len(one))


def jitter(points: NDArray[Any]) -> float:
    """Root mean square of second differences of points (T, K, 2) from frame to frame; 0 for less than three frames."""
    return float(np.sqrt(np.square(np.diff(points, 2, axis=0)).mean())) if len(points) > 2 else 0.0


def unlike(motion: Motion, family: str, pose: Any = None) -> str:
    """Why a motion can never go with weights of a family, one of whose poses is `pose`; "" where it could."""
    if motion.family != family:
        return f"it is motion of {motion.family}, the weights are of {family}"
    if pose is None:
        return ""
    beside = family_of(family).beside
    ours, theirs = (
        {name: None if part is None else part.shape[1:] for name, part in each._asdict().items() if name not in beside}
        for each in (motion.poses, pose)
    )
    if ours["value"] != theirs["value"]:
        return f"it has {motion.poses[0].shape[1]} points, the weights have {pose[0].shape[1]}"
    return "" if ours == theirs else "its points come with other things than those of the weights"


STRANGE = "it comes from another detector or an unknown one, and point 3 of one network is not point 3 of another"


def check_fit(motion: Motion, family: str, pose: Any, detector: str, forced: bool = False) -> list[str]:
    """Refuse a motion that these weights cannot use; warnings, where `forced` lets one of another detector pass.

    pose, detector   a pose of the weights, of batch 1, and the identity of what saw it
    """
    if why := unlike(motion, family, pose):
        raise FommError(f"The motion does not fit these weights: {why}.", "Extract it again with them.")
    if motion.detector and motion.detector == detector:
        return []
    if not forced:
        raise FommError(
            f"The motion does not fit these weights: {STRANGE}.",
            "Extract it with them, or go on nevertheless with --force-motion.",
        )
    return [f"The motion may not fit: {STRANGE}."]
