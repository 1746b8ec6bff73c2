"""Where the frames of one clip go: a packed zip, a video or a folder of images, whole or not at all.

Each open clip crops, resizes and encodes in a thread of its own, while the video is decoded on.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np

from fomm_cli.data.clips import open_clip
from fomm_cli.data.pack import write_clip
from fomm_cli.detectors.geometry import Box
from fomm_cli.errors import FommError
from fomm_cli.media.image import Box as Area
from fomm_cli.media.image import crop, resize

Format = Literal["packed", "mp4", "png"]
SUFFIX: dict[Format, str] = {"packed": ".zip", "mp4": ".mp4", "png": ""}
CRF = 12  # of mp4 clips: what is cut once is compressed twice, so the second time must cost little
_AHEAD = 4  # pictures that wait for a writer; more would only take memory


class ClipWriter:
    """Takes whole pictures in order; the clip appears under its name when it is closed without an error.

    box    what of each picture belongs to the clip
    size   pixels of both sides of its frames
    """

    def __init__(self, kind: Format, path: Path, rate: Fraction, box: Box, size: int, force: bool) -> None:
        self.kind, self.path, self.rate, self.force = kind, path, rate, force
        self._box, self._size = Area(*box), (size, size)
        self._queue: queue.Queue[np.ndarray | bool] = queue.Queue(_AHEAD)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=f"write {path.name}", daemon=True)
        self._thread.start()

    def write(self, picture: np.ndarray) -> None:
        """Add a picture, uint8 (H, W, 3); waits for the writer. Raises what has gone wrong there."""
        self._put(picture)
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """All pictures are there: finish the clip and give it its name."""
        self._put(True)
        self._thread.join()
        if self._error is not None:
            raise self._error

    def abandon(self) -> None:
        """Leave nothing behind."""
        self._put(False)
        self._thread.join()

    def _put(self, item: np.ndarray | bool) -> None:
        while self._thread.is_alive():
            try:
                self._queue.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def _frames(self) -> Iterator[np.ndarray]:
        while True:
            item = self._queue.get()
            if isinstance(item, bool):
                if not item:
                    raise _AbandonedError
                return
            yield resize(crop(item, self._box), self._size)

    def _run(self) -> None:
        try:
            if self.kind == "packed":
                write_clip(self.path, self._frames(), rate=self.rate, force=self.force)
                return
            from fomm_cli.media.video import VideoWriter

            with VideoWriter(self.path, rate=self.rate, crf=CRF, force=self.force) as writer:
                for frame in self._frames():
                    writer.write(frame)
        except _AbandonedError:
            pass
        except BaseException as error:  # it is raised where the pictures come from, whatever it is
            self._error = error


class _AbandonedError(Exception):
    """Makes the writers' contexts clean up as after an error."""


def count_frames(path: Path) -> int:
    """How many frames a clip holds that is in its place already; 0 if it cannot be read."""
    try:
        clip = open_clip(path)
    except FommError:
        return 0
    try:
        return len(clip)
    finally:
        clip.close()
