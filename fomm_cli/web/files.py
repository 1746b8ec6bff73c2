"""Files that visitors bring and fetch, and what can be seen in them."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice
from typing import Any

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from fomm_cli.errors import FommError
from fomm_cli.media.image import Frame, open_image, read_image
from fomm_cli.media.kinds import is_picture
from fomm_cli.media.probe import probe
from fomm_cli.media.video import Reading, read_frames
from fomm_cli.motion import file as motion_file
from fomm_cli.web.access import visitor_of
from fomm_cli.web.answers import encoded
from fomm_cli.web.rules import RefusedError, Rules
from fomm_cli.web.vault import Stored, Vault, discard, hidden

THUMB = 64
"""Pixels a side of a strip's pictures."""

_SHOWN = {
    **{
        ".png": "image/png",
        ".jpg": "image/jpeg",
        ".jpeg": "image/jpeg",
        ".webp": "image/webp",
        ".gif": "image/gif",
        ".apng": "image/apng",
    },
    **{".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"},
    ".mkv": "video/x-matroska",
}
"""What a browser may take a file for; everything else is bytes to be saved."""


class Files:
    """The handlers of files."""

    def __init__(self, vault: Vault, rules: Rules) -> None:
        self.vault, self.rules = vault, rules

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/upload", self.upload, methods=["POST"]),
            Route("/api/files/{id}", self.file, methods=["GET", "DELETE"]),
            Route("/api/files/{id}/picture", self.picture),
            Route("/api/files/{id}/strip", self.strip),
        ]

    async def upload(self, request: Request) -> Response:
        """A file as the body; its name in the query says what to call it. Refused at the byte that is too many."""
        owner, limit = visitor_of(request), self.rules.max_upload
        announced = request.headers.get("content-length", "0")
        size = int(announced) if announced.isdecimal() and len(announced) < 20 else limit + 1
        if size > limit:
            raise _too_large(limit)
        self.vault.room(owner, size)
        file = self.vault.new(owner, request.query_params.get("name", ""))
        try:
            written = 0
            with file.path.open("xb") as target:
                async for chunk in request.stream():
                    written += len(chunk)
                    if written > limit:
                        raise _too_large(limit)
                    await run_in_threadpool(target.write, chunk)
            if not written:
                raise FommError(f"{file.name} is empty.", "Choose another file.")
            self.vault.room(owner, 0 if announced != "0" else written)
            return JSONResponse(await run_in_threadpool(self._received, file), 201)
        except BaseException:
            discard(file)
            raise

    async def file(self, request: Request) -> Response:
        file = self.vault.find(visitor_of(request), request.path_params["id"])
        if request.method == "DELETE":
            await run_in_threadpool(self.vault.remove, visitor_of(request), file.id)
            return Response(status_code=204)
        kind = _SHOWN.get(file.path.suffix, "application/octet-stream")
        saved = "download" in request.query_params or kind == "application/octet-stream"
        return FileResponse(
            file.path,
            media_type=kind,
            filename=file.name,
            content_disposition_type="attachment" if saved else "inline",
        )

    async def picture(self, request: Request) -> Response:
        """A picture, or a clip's first frame, as any browser shows it."""
        file = self.vault.find(visitor_of(request), request.path_params["id"])
        shown = await run_in_threadpool(_picture, file)
        shown.thumbnail((1024, 1024))
        return Response(encoded(shown), media_type="image/webp")

    async def strip(self, request: Request) -> Response:
        """Twelve frames of a clip side by side, evenly spread over it."""
        file = self.vault.find(visitor_of(request), request.path_params["id"])
        return Response(await run_in_threadpool(_strip, file, 12), media_type="image/webp")

    def _received(self, file: Stored) -> dict[str, Any]:
        try:
            told = self.told(file)
        except FommError as error:
            raise hidden(error, file) from error
        self.vault.keep(file)
        return told

    def told(self, file: Stored) -> dict[str, Any]:
        """What a file is, found once; refused where it is nothing of ours, too large or too long."""
        if not file.told:
            file.told = self._look(file)
        return {"id": file.id, "name": file.name, "bytes": file.size, **file.told}

    def _look(self, file: Stored) -> dict[str, Any]:
        if motion_file.is_motion(file.path):
            motion = motion_file.load(file.path)
            self._check_seconds(file, motion.duration)
            return {"kind": "motion", "frames": len(motion), "rate": float(motion.rate)}
        if is_picture(file.path):
            with open_image(file.path) as image:
                size, moves = image.size, getattr(image, "is_animated", False)
            self._check_side(file, *size)
            if not moves:
                height, width = read_image(file.path).shape[:2]
                return {"kind": "picture", "width": width, "height": height}
        info = probe(file.path)
        self._check_side(file, info.width, info.height)
        self._check_seconds(file, info.duration)
        return {
            "kind": "clip",
            "width": info.width,
            "height": info.height,
            "frames": info.frames,
            "rate": float(info.rate),
            "duration": None if info.duration is None else float(info.duration),
            "sound": info.has_audio,
        }

    def _check_side(self, file: Stored, width: int, height: int) -> None:
        if file.owner and max(width, height) > self.rules.max_side:
            raise FommError(
                f"It is {width} x {height} pixels; up to {self.rules.max_side} a side are taken.", "Scale it down."
            )

    def _check_seconds(self, file: Stored, duration: Fraction | None) -> None:
        limit = self.rules.max_seconds
        if file.owner and duration is not None and duration > limit:
            raise FommError(f"It lasts {float(duration):.0f} seconds; up to {limit:g} are taken.", "Cut it.")


def first(file: Stored) -> Frame:
    """A picture, or a clip's first frame."""
    try:
        still = file.told.get("kind") != "clip" and is_picture(file.path)
        return read_image(file.path) if still else next(read_frames(file.path, 0, 1))
    except (FommError, StopIteration) as error:
        raise RefusedError(404, f"{file.name} has no picture.") from error


def _picture(file: Stored) -> Image.Image:
    return Image.fromarray(first(file))


def _strip(file: Stored, count: int) -> bytes:
    duration = file.told.get("duration")
    if file.told.get("kind") != "clip" or not duration:
        raise RefusedError(404, f"{file.name} has no strip.")
    shown = Image.new("RGB", (count * THUMB, THUMB))
    last = None
    for place in range(count):
        begin = Fraction(duration) * (2 * place + 1) / (2 * count)
        try:
            last = next(islice(read_frames(file.path, 0, 1, Reading(begin=begin)), 1), last)
        except FommError as error:
            raise hidden(error, file) from error
        if last is not None:
            thumb = Image.fromarray(last)
            side = min(thumb.size)
            left, top = (thumb.width - side) / 2, (thumb.height - side) / 2
            middle = thumb.resize((THUMB, THUMB), box=(left, top, left + side, top + side))
            shown.paste(middle, (place * THUMB, 0))
    return encoded(shown)


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, f"The file is larger than {limit / (1 << 20):.0f} MB.", "Cut or compress it.")
