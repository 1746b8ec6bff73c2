"""The camera of a visitor: one WebSocket, the newest frame, one live visitor an engine.

The client speaks JSON: {"type": "start", "source": ID, "settings": {...}}, also for another source later, and then
{"type": "controls", "settings": {...}} and {"type": "anchor", "seconds": 5} whenever it likes; a frame is binary:
uint32 number, float64 time in ms (little-endian), then a JPEG. A frame is answered by one with the same twelve bytes.
The server says {"type": "wait", "place": N}, {"type": "ready"}, {"type": "error", "what": ..., "hint": ...}, and
{"type": "next"} when it is time for another frame: one is computed while one is on its way. Of those that come unasked
the newest is taken and the others are passed over.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import struct
import time
from typing import Any

import numpy as np
from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.websockets import WebSocket, WebSocketDisconnect

from fomm_cli.animate.live import Live
from fomm_cli.errors import FommError
from fomm_cli.media.image import BROKEN_IMAGE, Frame
from fomm_cli.web.access import visitor_of
from fomm_cli.web.answers import number
from fomm_cli.web.desk import Desk
from fomm_cli.web.inbox import Inbox, Pace
from fomm_cli.web.vault import Vault

HEADER = struct.Struct("<Id")
LARGEST = 512 << 10
"""Bytes of a frame."""
PIXELS = 2_000_000
SILENCE = 10.0
"""Seconds after which a visitor who says nothing makes room for the next."""
WAITING = 10
"""Visitors that may wait."""


class Stage:
    """Who is live, and who waits."""

    def __init__(self, desk: Desk, vault: Vault) -> None:
        self.desk, self.vault = desk, vault
        self._line: list[WebSocket] = []

    async def enter(self, socket: WebSocket) -> None:
        """One visitor, from the handshake to the end."""
        await socket.accept()
        if len(self._line) > WAITING:
            await socket.close(1013)
            return
        self._line.append(socket)
        try:
            while (place := self._line.index(socket)) > 0:
                await socket.send_json({"type": "wait", "place": place})
                await asyncio.sleep(0.5)
            await socket.send_json({"type": "ready"})
            await self._perform(socket)
        except WebSocketDisconnect:
            pass
        except TimeoutError:
            await _end(socket, FommError("Nothing was heard for ten seconds.", "Start again."))
        except FommError as error:
            await _end(socket, error)
        except Exception as error:  # whatever a network says: it costs this visitor, and who waits comes on
            await _end(socket, FommError(f"It failed unexpectedly ({type(error).__name__}).", "Start again."))
        finally:
            self._line.remove(socket)

    async def _perform(self, socket: WebSocket) -> None:
        inbox, live = Inbox(), None
        filling = asyncio.create_task(inbox.fill(socket))
        pace, asked = Pace(), 0.0
        try:
            while True:
                async with asyncio.timeout(SILENCE):
                    said = await inbox.next()
                if said is None:
                    return
                if isinstance(said, str):
                    live = await self._told(socket, live, said)
                    continue
                if live is None:
                    raise FommError("A frame came before the start.", "Say which source is to move first.")
                if asked:
                    pace.came(inbox.arrived - asked)
                begun = time.monotonic()
                # In one turn: nobody's batch comes between seeing and rendering.
                turn = asyncio.wrap_future(self.desk.engines.turns.take(_answer, live, said))
                await asyncio.wait([turn], timeout=pace.patience)
                asked = time.monotonic()
                await socket.send_json({"type": "next"})
                await socket.send_bytes(await turn)
                pace.took(time.monotonic() - begun)
        finally:
            filling.cancel()

    async def _told(self, socket: WebSocket, live: Live | None, text: str) -> Live | None:
        try:
            given: Any = json.loads(text[: 64 << 10])
            kind = given["type"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise FommError("That is no message.", "Send JSON with a type.") from error
        if kind == "anchor" and live is not None:
            live.recentre(number(given.get("seconds", 0), "seconds", float))
            return live
        asked = await run_in_threadpool(self.desk.asked, given.get("settings", {}))
        if kind == "controls" and live is not None:
            live.steer(asked.settings.controls)
            return live
        if kind != "start":
            raise FommError(f"There is no message {str(kind)[:40]!r} here.", "Known: start, controls, anchor.")
        source = self.vault.find(visitor_of(socket), given.get("source"))
        scene = await run_in_threadpool(self.desk.scene, source, asked)
        settings = asked.settings
        return Live(scene, settings.controls, *settings.carrying, settings.badge)


def _answer(live: Live, data: bytes) -> bytes:
    if not HEADER.size < len(data) <= LARGEST:
        raise FommError(f"A frame of {len(data)} bytes is not taken.", f"Up to {LARGEST >> 10} kB are.")
    _, milliseconds = HEADER.unpack_from(data)
    if not math.isfinite(milliseconds):
        raise FommError("A frame's time is no number.", "Send milliseconds.")
    buffer = io.BytesIO()
    Image.fromarray(live(_decoded(data[HEADER.size :]), milliseconds / 1000)).save(buffer, "JPEG", quality=88)
    return data[: HEADER.size] + buffer.getvalue()


def _decoded(data: bytes) -> Frame:
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as image:
            if image.width * image.height > PIXELS:
                raise FommError(f"A frame of {image.width} x {image.height} pixels is not taken.", "Scale it down.")
            return np.asarray(image.convert("RGB"))
    except BROKEN_IMAGE as error:
        raise FommError("A frame is no JPEG.", "Send what a canvas gives as image/jpeg.") from error


async def _end(socket: WebSocket, error: FommError) -> None:
    try:
        await socket.send_json({"type": "error", "what": error.what, "hint": error.hint})
        await socket.close(1000)
    except (WebSocketDisconnect, RuntimeError, OSError):
        pass
