"""Motions by the words of `fomm motion`: read from clips, looked at, edited, joined."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from fomm_cli.errors import FommError, counted
from fomm_cli.motion import file as motion_file
from fomm_cli.motion.describe import plot, summary
from fomm_cli.motion.edit import blend, concat, edit, parse
from fomm_cli.motion.motion import Motion
from fomm_cli.web.access import visitor_of
from fomm_cli.web.answers import asked_in, number
from fomm_cli.web.desk import FASTEST, Desk
from fomm_cli.web.files import Files
from fomm_cli.web.vault import Stored, Vault, discard, hidden
from fomm_cli.web.work import Work, stem

SUFFIX = ".motion" + motion_file.SUFFIX
MOST = 20
"""Operations at a time."""


class Motions:
    """The handlers; whatever is made is a file of its visitor's, as if it had been uploaded."""

    def __init__(self, desk: Desk, vault: Vault, files: Files, work: Work) -> None:
        self.desk, self.vault, self.files, self.work = desk, vault, files, work

    @property
    def routes(self) -> list[Route]:
        return [
            Route("/api/motion/extract", self.extract, methods=["POST"]),
            Route("/api/motion/edit", self.edit, methods=["POST"]),
            Route("/api/motion/blend", self.blend, methods=["POST"]),
            Route("/api/motion/concat", self.concat, methods=["POST"]),
            Route("/api/motion/{id}", self.show),
            Route("/api/motion/{id}/plot", self.plot),
        ]

    async def extract(self, request: Request) -> Response:
        """A job whose file is the motion of a clip."""
        owner, given = visitor_of(request), await asked_in(request)
        clip = self.vault.find(owner, given.get("clip"))
        crop, audio, private = given.get("crop", "center"), given.get("audio", "none"), given.get("private", False)
        if audio not in ("none", "embed") or not isinstance(private, bool):
            raise FommError("audio is none or embed, private true or false.")
        words = {"crop-driving": crop, "audio": "driving" if audio == "embed" else "none"}
        asked = await run_in_threadpool(self.desk.asked, words | {"weights": given.get("weights", "")})
        output = self.vault.new(owner, f"{stem(clip.name)}{SUFFIX}")
        line = ["fomm", "motion", "extract", clip.name, "-o", output.name]
        if weights := asked.words["weights"] or self.desk.engines.own:
            line += ["--weights", weights]
        line += ["--crop", crop] * (crop != "center") + ["--audio", audio] * (audio != "none")
        said = shlex.join([*line, *["--private"] * private])
        return self.work.accepted(self.desk.extraction(owner, clip, asked, private, output, said))

    async def show(self, request: Request) -> Response:
        """What `fomm motion show` tells."""
        motion, _ = await self._found(request, request.path_params["id"])
        return JSONResponse(await run_in_threadpool(summary, motion))

    async def plot(self, request: Request) -> Response:
        """Its curves, as PNG."""
        motion, file = await self._found(request, request.path_params["id"])
        picture = self.vault.new(file.owner, f"{stem(file.name)}.png")
        try:
            await run_in_threadpool(plot, motion, picture.path)
            return Response(picture.path.read_bytes(), media_type="image/png")
        finally:
            discard(picture)

    async def edit(self, request: Request) -> Response:
        """Another motion, by operations in their order."""
        given = await asked_in(request)
        motion, file = await self._found(request, given.get("motion"))
        operations = given.get("operations")
        if not isinstance(operations, list) or not all(isinstance(each, str) for each in operations):
            raise FommError("The operations are no list of words.", 'Give some, as ["reverse", "speed=0.5"].')
        if not 0 < len(operations) <= MOST:
            raise FommError(f"{counted(len(operations), 'operation')} at a time are not done.", f"Up to {MOST} are.")

        def made() -> tuple[Motion, list[str]]:
            self._foresee(motion, operations)
            return edit(motion, operations)

        return await self._made(request, file, "edit", operations, made)

    async def blend(self, request: Request) -> Response:
        """Between two."""
        given = await asked_in(request)
        (motion, file), (other, second) = await self._two(request, given)
        weight = number(given.get("weight", 0.5), "weight", float)
        words = [second.name, "--weight", f"{weight:g}"]
        return await self._made(request, file, "blend", words, lambda: (blend(motion, other, weight), []))

    async def concat(self, request: Request) -> Response:
        """One after another."""
        given = await asked_in(request)
        (motion, file), (other, second) = await self._two(request, given)
        fade = number(given.get("fade", 8), "fade")
        if not 0 <= fade <= 1000:
            raise FommError(f"fade {fade} is out of range.", "It goes from 0 to 1000 frames.")
        self._check_length(len(motion) + len(other))
        words = [second.name, "--fade", str(fade)]
        return await self._made(request, file, "concat", words, lambda: (concat(motion, other, fade), []))

    async def _two(self, request: Request, given: dict[str, Any]) -> tuple[Any, Any]:
        return await self._found(request, given.get("motion")), await self._found(request, given.get("other"))

    async def _found(self, request: Request, id: Any) -> tuple[Motion, Stored]:
        file = self.vault.find(visitor_of(request), id)
        if not motion_file.is_motion(file.path):
            raise FommError(f"{file.name} is no motion file.", "Extract its motion first.")
        try:
            return await run_in_threadpool(motion_file.load, file.path), file
        except FommError as error:
            raise hidden(error, file) from error

    async def _made(
        self, request: Request, file: Stored, verb: str, words: list[str], make: Callable[[], tuple[Motion, list[str]]]
    ) -> Response:
        """Keep what a verb makes of a file; its name, what it is, and the line that makes the same."""
        owner = visitor_of(request)
        self.vault.room(owner)
        output = self.vault.new(owner, f"{_next(stem(file.name))}{SUFFIX}")

        def work() -> dict[str, Any]:
            motion, warnings = make()
            motion_file.save(replace(motion, history=(*motion.history, shlex.join([verb, *words]))), output.path)
            told = self.files.told(output)
            self.vault.keep(output)
            line = shlex.join(["fomm", "motion", verb, file.name, *words, "-o", output.name])
            return told | {"warnings": warnings, "command": line}

        try:
            return JSONResponse(await run_in_threadpool(work), 201)
        except FommError as error:
            discard(output)
            raise hidden(error, file, output) from error

    def _foresee(self, motion: Motion, operations: list[str]) -> None:
        """Refuse what would become too long, before it is made."""
        seconds, rate = float(motion.duration), float(motion.rate)
        for text in operations:
            name, value = parse(text)
            if name == "speed":
                seconds /= float(value)
            elif name == "repeat":
                seconds *= value
            elif name == "hold":
                seconds += float(value)
            elif name == "resample":
                rate = float(value)
            elif (name, value) == ("loop", "pingpong"):
                seconds *= 2
            self._check_length(max(seconds * rate, len(motion) * seconds / max(float(motion.duration), 1e-9)))

    def _check_length(self, frames: float) -> None:
        if frames > self.desk.rules.max_seconds * FASTEST:
            raise FommError(f"It would have {frames:.0f} frames.", "Cut it, or repeat it less.")


def _next(name: str) -> str:
    """Another name: talk, talk-2, talk-3."""
    match = re.fullmatch(r"(.*)-(\d{1,4})", name)
    return f"{match[1]}-{int(match[2]) + 1}" if match else f"{name}-2"
