"""Previews, and jobs with what is heard of them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from fomm_cli.errors import FommError
from fomm_cli.web.access import visitor_of
from fomm_cli.web.answers import asked_in, encoded, number
from fomm_cli.web.desk import Desk
from fomm_cli.web.job import Job
from fomm_cli.web.vault import Stored, Vault
from fomm_cli.web.words import Asked


class Work:
    """The handlers of what takes an engine."""

    def __init__(self, desk: Desk, vault: Vault) -> None:
        self.desk, self.vault = desk, vault

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/preview", self.preview, methods=["POST"]),
            Route("/api/faces", self.faces, methods=["POST"]),
            Route("/api/weights", self.fetch, methods=["POST"]),
            Route("/api/jobs", self.jobs, methods=["GET", "POST"]),
            Route("/api/jobs/{id}", self.job, methods=["GET", "DELETE"]),
            Route("/api/jobs/{id}/events", self.events),
        ]

    async def preview(self, request: Request) -> Response:
        """One frame of what a job of these settings would make; what is to be known of it in X-Fomm-Still."""
        given = await asked_in(request)
        source, driving = self._pair(request, given)
        row = number(given.get("frame", 0), "frame")
        asked, pictures = self._found(request, await run_in_threadpool(self.desk.asked, given.get("settings", {})))
        others = self._others(request, asked)
        still, stage, moving = await run_in_threadpool(self.desk.still, source, driving, row, asked, others, pictures)
        told = {
            "frame": still.row,
            "frames": still.frames,
            "anchor": still.anchor.index if still.anchor else None,
            "pose_distance": still.anchor.distance if still.anchor else None,
            "crop_source": list(stage.box),
            "crop_driving": None if moving.box is None else list(moving.box),
            "faces": [list(part.box) for part in stage.faces] if asked.settings.paste else [],
            "warnings": still.warnings,
        }
        picture = await run_in_threadpool(encoded, Image.fromarray(still.frame))
        return Response(picture, media_type="image/webp", headers={"X-Fomm-Still": json.dumps(told)})

    async def faces(self, request: Request) -> Response:
        """The squares, x, y, w, h, that these weights would see around each face of a picture, from left to right."""
        given = await asked_in(request)
        file = self.vault.find(visitor_of(request), given.get("file"))
        asked = await run_in_threadpool(self.desk.asked, {"weights": given.get("weights", "")})
        found = await run_in_threadpool(self.desk.faces, file, asked)
        return JSONResponse({"faces": [list(box) for box in found]})

    async def fetch(self, request: Request) -> Response:
        """A job that brings weights here."""
        name = (await asked_in(request)).get("weights")
        if not isinstance(name, str):
            raise FommError("No weights are named.", 'Give {"weights": NAME}.')
        return self.accepted(self.desk.fetching(visitor_of(request), name))

    async def jobs(self, request: Request) -> Response:
        """A visitor's jobs; or one more."""
        owner = visitor_of(request)
        if request.method == "GET":
            told = [job.told(self.desk.place(job)) for job in self.desk.of(owner)]
            for each in told:
                each["file"] = each["file"] if self.vault.holds(each["file"]) else None
            return JSONResponse(told)
        given = await asked_in(request)
        source, driving = self._pair(request, given)
        asked, pictures = self._found(request, await run_in_threadpool(self.desk.asked, given.get("settings", {})))
        output = self.vault.new(owner, _result(source.name, driving.name, asked.words["format"]))
        others = self._others(request, asked)
        return self.accepted(self.desk.animation(owner, source, driving, asked, output, others, pictures))

    async def job(self, request: Request) -> Response:
        job = self.desk.find(visitor_of(request), request.path_params["id"])
        if request.method == "DELETE":
            self.desk.cancel(job)
        return JSONResponse(job.told(self.desk.place(job)))

    async def events(self, request: Request) -> Response:
        job = self.desk.find(visitor_of(request), request.path_params["id"])
        return StreamingResponse(self._events(job), media_type="text/event-stream")

    def accepted(self, job: Job) -> Response:
        return JSONResponse(job.told(self.desk.place(job)), 202)

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

    def _others(self, request: Request, asked: Asked) -> dict[int, Stored]:
        owner = visitor_of(request)
        return {number: self.vault.find(owner, id) for number, id in asked.drive.items()}

    def _found(self, request: Request, asked: Asked) -> tuple[Asked, list[Stored]]:
        """What was asked with the pictures that it names, mask and background, and these."""
        owner = visitor_of(request)
        files = {word: self.vault.find(owner, id) for word, id in asked.pictures.items()}
        for file in files.values():
            if file.told.get("kind") != "picture":
                raise FommError(f"{file.name} is no picture.", "Choose one.")
        return asked.found({word: (file.path, file.name) for word, file in files.items()}), list(files.values())


def _result(source: str, driving: str, suffix: str) -> str:
    return f"{stem(source)}-{stem(driving)}.{suffix}"


def stem(name: str) -> str:
    """What a file is called, for the name of another."""
    return Path(name).stem.removesuffix(".motion")[:40]
