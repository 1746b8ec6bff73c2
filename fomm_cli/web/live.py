"""The camera of a visitor: one WebSocket, one frame in flight, one live visitor an engine.

The client speaks JSON: {"type": "start", "source": ID, "settings": {...}}, also for another source later, and then
{"type": "controls", "settings": {...}} and {"type": "anchor", "seconds": 5} whenever it likes; a frame is binary:
uint32 number, float64 time in ms (little-endian), then a JPEG. Each frame is answered by one with the same twelve
bytes, before the next is looked at. The server says {"type": "wait", "place": N}, {"type": "ready"} and
{"type": "error", "what": ..., "hint": ...}.
"""

from __future__ import annotations

import asyncio
import io
import json
import math
import struct
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
        live: Live | None = None
        while True:
            async with asyncio.timeout(SILENCE):
                message = await socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            data = message.get("bytes")
            if data is None:
                live = await self._told(socket, live, message.get("text") or "")
            elif live is None:
                raise FommError("A frame came before the start.", "Say which source is to move first.")
            else:
                # In one turn: nobody's batch comes between seeing and rendering.
                turn = self.desk.engines.turns.take(_answer, live, data)
                await socket.send_bytes(await asyncio.wrap_future(turn))

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
