"""The HTTP API, and the page that uses nothing else. docs/web.md is its description."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from fomm_cli.animate.layouts import LAYOUTS
from fomm_cli.errors import FommError
from fomm_cli.media.image import open_image, read_image
from fomm_cli.media.kinds import is_picture
from fomm_cli.media.probe import probe
from fomm_cli.media.video import read_frames
from fomm_cli.motion import file as motion_file
from fomm_cli.motion.controls import CLAMPS, LOCKS, LOOPS
from fomm_cli.version import __version__
from fomm_cli.web.access import Gate, visitor_of
from fomm_cli.web.desk import Desk, Job
from fomm_cli.web.live import Stage
from fomm_cli.web.rules import RefusedError, Rules
from fomm_cli.web.vault import Stored, Vault, discard, hidden
from fomm_cli.web.words import DEFAULTS, FORMATS, command, read
from fomm_cli.weights.catalogue import CATALOGUE

PAGE = Path(__file__).parent / "page"

SMALL = 64 << 10
"""Bytes of a request that is no file."""

_SHOWN = {
    **{".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".webp": "image/webp", ".gif": "image/gif"},
    **{".mp4": "video/mp4", ".m4v": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm"},
    ".mkv": "video/x-matroska",
}
"""What a browser may take a file for; everything else is bytes to be saved."""


def make_app(desk: Desk, vault: Vault, rules: Rules, weights: str | None = None) -> Starlette:
    """The application; `weights` is what `--weights` said, None = the default ones."""
    site = Site(desk, vault, rules, weights)

    @contextlib.asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        sweeping = asyncio.create_task(site.sweep())
        try:
            yield
        finally:
            sweeping.cancel()

    routes = [
        Route("/", site.page),
        Route("/api/state", site.state),
        Route("/api/weights", site.weights_list),
        Route("/api/upload", site.upload, methods=["POST"]),
        Route("/api/preview", site.preview, methods=["POST"]),
        Route("/api/jobs", site.jobs, methods=["GET", "POST"]),
        Route("/api/jobs/{id}", site.job, methods=["GET", "DELETE"]),
        Route("/api/jobs/{id}/events", site.events),
        Route("/api/files/{id}", site.file, methods=["GET", "DELETE"]),
        Route("/api/files/{id}/picture", site.picture),
        WebSocketRoute("/api/live", Stage(desk, vault).enter),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Gate, rules=rules)],
        exception_handlers={FommError: _explain, HTTPException: _plain, ClientDisconnect: _plain},
        lifespan=life,
    )


class Site:
    """The handlers; each takes a request and answers it, in JSON where it is not a file."""

    def __init__(self, desk: Desk, vault: Vault, rules: Rules, weights: str | None) -> None:
        self.desk, self.vault, self.rules, self.weights = desk, vault, rules, weights

    async def sweep(self) -> None:
        """Remove what nobody uses any more, once a minute."""
        while True:
            await asyncio.sleep(60)
            await run_in_threadpool(self.vault.expire, self.desk.busy())

    async def page(self, request: Request) -> Response:
        return FileResponse(PAGE / "index.html", media_type="text/html")

    async def state(self, request: Request) -> Response:
        """What a page needs to know before anything is asked of it."""
        engine = self.desk.engine
        examples = [await run_in_threadpool(self._told, self.vault.find("", name)) for name in ("portrait", "clip")]
        return JSONResponse(
            {
                "version": __version__,
                "engine": engine.name,
                "size": list(engine.size),
                "defaults": DEFAULTS,
                "words": {
                    "mode": list(engine.family.modes),
                    "lock": LOCKS,
                    "clamp": CLAMPS,
                    "loop": LOOPS,
                    "layout": list(LAYOUTS),
                    "format": FORMATS,
                },
                "limits": {
                    "upload": self.rules.max_upload,
                    "seconds": self.rules.max_seconds,
                    "side": self.rules.max_side,
                },
                "examples": examples,
            }
        )

    async def weights_list(self, request: Request) -> Response:
        """Every name of the catalogue, whether it is on this machine, and which are those in use."""
        rows = [
            {
                "name": entry.name,
                "domain": entry.domain,
                "size": list(entry.size),
                "here": entry.path.is_file(),
                "weights_licence": entry.weights_licence,
                "data_licence": entry.data_licence,
            }
            for entry in CATALOGUE.values()
        ]
        # A path of this machine is nobody's business.
        used = self.weights if self.weights is None or self.weights in CATALOGUE else Path(self.weights).name
        return JSONResponse({"used": used, "weights": rows})

    # ---------------------------------------------------------------------------------------------------- files

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
        return await run_in_threadpool(self._picture, file)

    def _picture(self, file: Stored) -> Response:
        try:
            still = file.told.get("kind") != "clip" and is_picture(file.path)
            frame = read_image(file.path) if still else next(read_frames(file.path, 0, 1))
        except (FommError, StopIteration) as error:
            raise RefusedError(404, f"{file.name} has no picture.") from error
        shown = Image.fromarray(frame)
        shown.thumbnail((1024, 1024))
        return Response(_encoded(shown), media_type="image/webp")

    def _received(self, file: Stored) -> dict[str, Any]:
        try:
            told = self._told(file)
        except FommError as error:
            raise hidden(error, file) from error
        self.vault.keep(file)
        return told

    def _told(self, file: Stored) -> dict[str, Any]:
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

    # ----------------------------------------------------------------------------------------------------- work

    async def preview(self, request: Request) -> Response:
        """One frame of what a job of these settings would make; what is to be known of it in X-Fomm-Still."""
        given = await _json(request)
        source, driving = self._pair(request, given)
        row = given.get("frame", 0)
        if type(row) is not int:
            raise FommError(f"{str(row)[:20]!r} is no frame.", "Frames are numbers, from 0.")
        asked = read(given.get("settings", {}))
        self.desk.engine.family.check_mode(asked.settings.mode)
        still = await run_in_threadpool(self.desk.still, source, driving, row, asked.settings)
        told = {
            "frame": still.row,
            "frames": still.frames,
            "anchor": still.anchor.index if still.anchor else None,
            "pose_distance": still.anchor.distance if still.anchor else None,
            "warnings": still.warnings,
        }
        picture = await run_in_threadpool(_encoded, Image.fromarray(still.frame))
        return Response(picture, media_type="image/webp", headers={"X-Fomm-Still": json.dumps(told)})

    async def jobs(self, request: Request) -> Response:
        owner = visitor_of(request)
        if request.method == "GET":
            return JSONResponse([job.told(self.desk.place(job)) for job in self.desk.of(owner)])
        given = await _json(request)
        source, driving = self._pair(request, given)
        asked = read(given.get("settings", {}))
        output = self.vault.new(owner, _result(source.name, driving.name, asked.words["format"]))
        line = command(asked.words, source.name, driving.name, output.name, self.weights)
        job = self.desk.submit(Job(owner, source, driving, output, asked, line))
        return JSONResponse(job.told(self.desk.place(job)), 202)

    async def job(self, request: Request) -> Response:
        job = self.desk.find(visitor_of(request), request.path_params["id"])
        if request.method == "DELETE":
            self.desk.cancel(job)
        return JSONResponse(job.told(self.desk.place(job)))

    async def events(self, request: Request) -> Response:
        job = self.desk.find(visitor_of(request), request.path_params["id"])
        return StreamingResponse(self._events(job), media_type="text/event-stream")

    async def _events(self, job: Job) -> AsyncIterator[str]:
        """The job's state at once, whenever it changes (ten times a second at most), and when it is over."""
        last, quiet = "", 0
        while True:
            over = job.over
            told = json.dumps(job.told(self.desk.place(job)))
            if told != last:
                last, quiet = told, 0
                yield f"data: {told}\n\n"
            if over:
                return
            quiet += 1
            if quiet % 100 == 0:
                yield ": still here\n\n"  # for proxies that close what is silent
            await asyncio.sleep(0.1)

    def _pair(self, request: Request, given: dict[str, Any]) -> tuple[Stored, Stored]:
        owner = visitor_of(request)
        return self.vault.find(owner, given.get("source")), self.vault.find(owner, given.get("driving"))


def _result(source: str, driving: str, suffix: str) -> str:
    stems = [Path(name).stem.removesuffix(".motion")[:40] for name in (source, driving)]
    return f"{'-'.join(stems)}.{suffix}"


def _encoded(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=90, method=0)
    return buffer.getvalue()


async def _json(request: Request) -> dict[str, Any]:
    """The body as an object; a small one."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > SMALL:
            raise RefusedError(413, "The request is too large.", "Upload files with POST /api/upload.")
    try:
        given = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise FommError("The request is no JSON.", "Send an object with source, driving and settings.") from error
    if not isinstance(given, dict):
        raise FommError("The request is no object.", "Send an object with source, driving and settings.")
    return given


def _too_large(limit: int) -> RefusedError:
    return RefusedError(413, f"The file is larger than {limit / (1 << 20):.0f} MB.", "Cut or compress it.")


async def _explain(request: Request, error: Exception) -> Response:
    assert isinstance(error, FommError)
    status = error.status if isinstance(error, RefusedError) else 400
    return JSONResponse({"what": error.what, "hint": error.hint}, status)


async def _plain(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 400
    what = {404: "There is nothing here.", 405: "That is not done here."}.get(status, "The request broke off.")
    return JSONResponse({"what": what, "hint": ""}, status)
