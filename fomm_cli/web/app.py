"""The HTTP API, and the page that uses nothing else. docs/web.md is its description."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles

from fomm_cli.animate.layouts import LAYOUTS
from fomm_cli.animate.marking import MARKS
from fomm_cli.animate.settings import COLOURS, EXTENDS
from fomm_cli.engine.base import usual_motion
from fomm_cli.errors import FommError
from fomm_cli.media.badge import CORNERS
from fomm_cli.motion.controls import CLAMPS, LOCKS, LOOPS
from fomm_cli.motion.edit import FORMS
from fomm_cli.version import __version__
from fomm_cli.web.access import Gate
from fomm_cli.web.answers import explain, plain
from fomm_cli.web.desk import Desk
from fomm_cli.web.files import Files
from fomm_cli.web.live import Stage
from fomm_cli.web.motions import Motions
from fomm_cli.web.rules import Rules
from fomm_cli.web.vault import Vault
from fomm_cli.web.words import FORMATS, defaults
from fomm_cli.web.work import Work
from fomm_cli.weights.catalogue import CATALOGUE, DEFAULT

PAGE = Path(__file__).parent / "page"


def make_app(desk: Desk, vault: Vault, rules: Rules) -> Starlette:
    """The application."""
    files, work = Files(vault, rules), Work(desk, vault)
    site = Site(desk, vault, rules, files)

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
        Route("/api/weights", site.weights),
        *files.routes,
        *work.routes,
        *Motions(desk, vault, files, work).routes,
        WebSocketRoute("/api/live", Stage(desk, vault).enter),
        Mount("/page", StaticFiles(directory=PAGE)),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Gate, rules=rules)],
        exception_handlers={FommError: explain, HTTPException: plain, ClientDisconnect: plain},
        lifespan=life,
    )


class Site:
    """The handlers of the page itself and of what it needs to know."""

    def __init__(self, desk: Desk, vault: Vault, rules: Rules, files: Files) -> None:
        self.desk, self.vault, self.rules, self.files = desk, vault, rules, files

    async def sweep(self) -> None:
        """Remove what nobody uses any more, once a minute."""
        while True:
            await asyncio.sleep(60)
            await run_in_threadpool(self.vault.expire, self.desk.busy())

    async def page(self, request: Request) -> Response:
        return FileResponse(PAGE / "index.html", media_type="text/html")

    async def state(self, request: Request) -> Response:
        """What a page needs to know before anything is asked of it; `?weights=NAME` of others than the server's."""
        name = request.query_params.get("weights", "")
        engine = await run_in_threadpool(self.desk.engines.get, name)
        own, options = self.desk.engines.own, engine.family.Options.model_json_schema()
        found = self.vault.examples(name or own, engine.detector)
        examples = [await run_in_threadpool(self.files.told, file) for file in found]
        return JSONResponse(
            {
                "version": __version__,
                "engine": engine.name,
                "size": list(engine.size),
                "defaults": defaults(usual_motion(engine), self.rules.badge),
                "words": {
                    "mode": [mode for mode in engine.family.modes if mode != "avd" or engine.disentangles],
                    "lock": LOCKS,
                    "clamp": CLAMPS,
                    "loop": LOOPS,
                    "layout": list(LAYOUTS),
                    "format": FORMATS,
                    "mark": [word for word in MARKS if word != "none" or self.rules.badge == "none"],
                    "badge": CORNERS if self.rules.badge != "none" else ["none", *CORNERS],
                    "colour-match": COLOURS,
                    "extend": EXTENDS,
                    "operations": FORMS,
                },
                "options": options["properties"],
                "holds": engine.motion_size is not None,
                "clips": engine.family.takes_clips,
                "limits": {
                    "upload": self.rules.max_upload,
                    "seconds": self.rules.max_seconds,
                    "side": self.rules.max_side,
                },
                "examples": examples,
            }
        )

    async def weights(self, request: Request) -> Response:
        """Every name of the catalogue, whether it is on this machine, and which are those in use."""
        rows = [
            {
                "name": entry.name,
                "domain": entry.domain,
                "size": list(entry.size),
                "here": entry.path.is_file(),
                "offered": self.desk.engines.offers(entry.name),
                "weights_licence": entry.weights_licence,
                "data_licence": entry.data_licence,
            }
            for entry in CATALOGUE.values()
        ]
        own = self.desk.engines.own or DEFAULT
        # A path of this machine is nobody's business.
        return JSONResponse({"used": own if own in CATALOGUE else Path(own).name, "weights": rows})
