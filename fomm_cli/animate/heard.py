"""The sound of a driving on its way to what is written: as it is, or as the loop has it."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from fomm_cli.animate.driving import Driving
from fomm_cli.animate.settings import Output, Settings
from fomm_cli.media.looped import write_loop
from fomm_cli.media.write import MOVIES
from fomm_cli.motion.loops import Loop


class Heard:
    """What writers of the outputs take their sound from.

    path   a file, None = there is no sound, or none is wanted. Of a loop it is written by `follow`.
    track  which of its tracks, None = the one a player plays
    span   the stretch of it, (begin, end) in its seconds; end None = all the rest
    """

    def __init__(
        self, driving: Driving, outputs: Sequence[Output], settings: Settings, stack: contextlib.ExitStack
    ) -> None:
        """The files stay as long as `stack` is open."""
        self.path: Path | None = None
        self.track: int | None = None
        self.span: tuple[Fraction, Fraction | None] = Fraction(0), None
        self._clip: Path | None = None
        self._begin, self._track = Fraction(0), settings.audio_track
        self.possible = settings.audio == "driving" and any(takes_sound(path) for path, _ in outputs)
        if not (self.possible and driving.has_sound):
            return
        self._clip, self._begin = stack.enter_context(driving.sound())
        if settings.controls.loop == "none":
            self.path, self.track, self.span = self._clip, self._track, (self._begin, settings.end)
        else:
            self.path = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fomm-"))) / "loop.wav"

    def follow(self, loop: Loop | None) -> None:
        """Make the sound of this loop, before the first frame is written."""
        if loop is not None and self._clip is not None and self.path is not None:
            begin, end = self._begin + loop.begin, self._begin + loop.end
            write_loop(self.path, self._clip, begin, end, loop.back, self._track)

    def missed(self, driving: Driving, heard: bool) -> list[str]:
        """The warning that there was a sound which nobody hears now."""
        if heard or not self.possible or not (self.path or driving.mute):
            return []
        return [f"The sound of {driving.path} was left out: {driving.mute or 'none of it can be decoded'}."]


def takes_sound(path: str | Path) -> bool:
    return Path(path).suffix.lower() in MOVIES
