"""What a live visitor has said and was not answered yet. Nothing queues: of frames the newest is kept."""

from __future__ import annotations

import asyncio
import time
from collections import deque

from starlette.websockets import WebSocket

WORDS = 32
"""Messages in words that may wait; then nothing more is read until one was heard."""


class Inbox:
    """Filled by one task, emptied by another.

    arrived  when the newest frame came, by `time.monotonic`
    """

    def __init__(self) -> None:
        self.arrived = 0.0
        self._words: deque[str] = deque()
        self._frame: bytes | None = None
        self._over = False
        self._news = asyncio.Event()
        self._room = asyncio.Semaphore(WORDS)

    async def fill(self, socket: WebSocket) -> None:
        """Until the visitor has gone."""
        try:
            while (message := await socket.receive())["type"] != "websocket.disconnect":
                if message.get("bytes") is None:
                    await self._room.acquire()
                self.put(message.get("bytes"), message.get("text") or "")
        finally:
            self._over = True
            self._news.set()

    def put(self, frame: bytes | None, words: str = "") -> None:
        """A frame, or words."""
        if frame is None:
            self._words.append(words)
        else:
            self._frame, self.arrived = frame, time.monotonic()
        self._news.set()

    async def next(self) -> str | bytes | None:
        """Words in their order, then the newest frame, then None, when the visitor has gone."""
        await self._news.wait()
        if self._over:
            return None
        if self._words:
            self._room.release()
            said: str | bytes | None = self._words.popleft()
        else:
            said, self._frame = self._frame, None
        if not self._words and self._frame is None:
            self._news.clear()
        return said


class Pace:
    """When to ask for the next frame: so long before the one at hand is finished as a frame takes to come.

    Then an engine does not wait, and what it gets is not old.
    """

    def __init__(self) -> None:
        self._turn, self._way = 0.0, 0.0

    @property
    def patience(self) -> float:
        """Seconds from the begin of a turn until the next frame is asked for."""
        return max(0.0, self._turn - 2 * self._way)

    def took(self, turn: float) -> None:
        """Seconds the engine needed."""
        self._turn = turn

    def came(self, way: float) -> None:
        """Seconds from the asking to the frame."""
        self._way += (way - self._way) / 4
