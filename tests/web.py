"""A server in this process, a server in one of its own, and a browser in front of it; nothing waits for ever."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from starlette.testclient import TestClient

from fomm_cli.web.app import make_app
from fomm_cli.web.desk import Desk
from fomm_cli.web.rules import Rules
from fomm_cli.web.serve import listen
from fomm_cli.web.vault import Vault
from tests.engines import GreyEngine

OURS = {"X-Fomm": "1"}
ADDRESS = "http://127.0.0.1:7860"


def until(found: Callable[[], Any], seconds: float = 60, what: str = "it") -> Any:
    """What `found` gives as soon as that is true; fails where it never is."""
    end = time.monotonic() + seconds
    while not (given := found()):
        assert time.monotonic() < end, f"{what} did not happen within {seconds:g} s"
        time.sleep(0.02)
    return given


class SlowEngine(GreyEngine):
    """Takes its time with every batch."""

    def __init__(self, seconds: float = 0.05, batch: int = 4) -> None:
        super().__init__(batch=batch)
        self.seconds = seconds

    def render(self, *given: Any) -> np.ndarray:
        time.sleep(self.seconds)
        return super().render(*given)


class House:
    """A server in this process."""

    def __init__(self, folder: Path, engine: Any = None, **rules: Any) -> None:
        self.rules = replace(Rules(work=folder, max_upload=1 << 20, max_side=300), **rules)
        self.vault = Vault(self.rules)
        self.desk = Desk(lambda name: engine or GreyEngine(), self.vault, self.rules)
        self.app = make_app(self.desk, self.vault, self.rules)

    def visitor(self, address: str = ADDRESS, **headers: str) -> TestClient:
        return TestClient(self.app, base_url=address, headers={**OURS, **headers})

    def close(self) -> None:
        self.desk.close()
        self.vault.close()


@contextmanager
def houses(work: Path) -> Iterator[Callable[..., House]]:
    """Makes servers by their rules, closed at the end however that comes."""
    made: list[House] = []

    def build(*given: Any, **rules: Any) -> House:
        made.append(House(work, *given, **rules))
        return made[-1]

    try:
        yield build
    finally:
        for house in made:
            house.close()


@contextmanager
def listening(house: House) -> Iterator[str]:
    """The address of a server in this process, for a browser."""
    door = listen("127.0.0.1", 18700)
    settings = uvicorn.Config(house.app, log_level="warning", timeout_graceful_shutdown=2)
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
    thread.start()
    try:
        until(lambda: server.started, what="the start of the server")
        yield f"http://127.0.0.1:{door.getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(30)
        door.close()


def upload(visitor: TestClient, path: Path, name: str | None = None) -> str:
    answer = visitor.post("/api/upload", params={"name": name or path.name}, content=path.read_bytes())
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def finish(visitor: TestClient, id: str) -> dict[str, Any]:
    """A job when it is over, as its events tell it."""
    over = {"done", "failed", "cancelled"}
    until(lambda: visitor.get(f"/api/jobs/{id}").json()["state"] in over, what="the end of a job")
    with visitor.stream("GET", f"/api/jobs/{id}/events") as events:
        *_, last = (line.removeprefix("data: ") for line in events.iter_lines() if line.startswith("data: "))
    return dict(json.loads(last))


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


# ------------------------------------------------------------------------------------------------- in earnest


class Served:
    """`fomm web` in a process of its own, started at once; `address` waits for it.

    work  the parent of its work folder
    """

    def __init__(self, work: Path, *options: str) -> None:
        work.mkdir(parents=True, exist_ok=True)
        self.work, self._said = work, work.parent / f"{work.name}.txt"
        line = [sys.executable, "-m", "fomm_cli", "web", "--port", "18760", "--work", str(work), *options]
        with self._said.open("wb") as out:
            environment = {**os.environ, "NO_COLOR": "1"}
            self.process = subprocess.Popen(line, stdout=out, stderr=subprocess.STDOUT, env=environment)

    @property
    def address(self) -> str:
        """What it prints once it serves."""
        ended = self.process.poll
        until(lambda: "Ctrl-C" in self._said.read_text() or ended() is not None, 280, "the start of the server")
        assert ended() is None, self._said.read_text()
        return next(each for each in self._said.read_text().split() if each.startswith("http"))


@contextmanager
def serving(work: Path, *options: str) -> Iterator[Served]:
    """A server that is gone afterwards."""
    served = Served(work, *options)
    try:
        yield served
    finally:
        served.process.kill()
        served.process.wait(30)
