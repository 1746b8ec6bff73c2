"""Commands in processes of their own, for tests that kill them, signal them and wait for them, started in a moment.

Python with torch takes seconds to start. So one process of the session imports everything, runs nothing, keeps to one
thread, and forks a child for each command: with a pid, standard streams, folder, environment and exit code of its own.
What is imported when, and by a real start, is for `subprocess` to test.
"""

from __future__ import annotations

import functools
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Command:
    """A running `fomm ARGUMENTS`.

    first   statements that run before it
    said    what it wrote to stderr so far, `printed` what to stdout
    """

    def __init__(
        self, *arguments: Any, cwd: Path | None = None, env: Mapping[str, str] | None = None, first: str = ""
    ) -> None:
        self.returncode: int | None = None
        self._out, self._err = (tempfile.TemporaryFile() for _ in range(2))  # noqa: SIM115 - closed with the command
        self.pid = _ask(
            {"argv": [*map(str, arguments)], "cwd": str(cwd or Path.cwd()), "env": dict(env or {}), "first": first},
            [self._out.fileno(), self._err.fileno()],
        )

    def poll(self) -> int | None:
        """Its exit code, None while it runs; -9 of one that was killed."""
        if self.returncode is None:
            self.returncode = _ask({"poll": self.pid})
        return self.returncode

    def wait(self, seconds: float = 240) -> int:
        """Its exit code, as soon as there is one; ends it where that takes longer."""
        end = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > end:
                self.kill()
                raise TimeoutError(f"fomm did not end within {seconds:g} s: {self.said}")
            time.sleep(0.005)
        return code

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    @property
    def printed(self) -> str:
        return _all(self._out)

    @property
    def said(self) -> str:
        return _all(self._err)


def run(*arguments: Any, **options: Any) -> Command:
    """One that has ended."""
    command = Command(*arguments, **options)
    command.wait()
    return command


def together(*arguments: Any, count: int = 2, **options: Any) -> list[Command]:
    """`count` of one run, as torchrun would start them; not waited for."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    own = [{**shared, "RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(count)]
    return [Command(*arguments, env=env, **options) for env in own]


def _all(file: Any) -> str:
    return os.pread(file.fileno(), 1 << 24, 0).decode()


@functools.cache
def _nest() -> socket.socket:
    """The line to the process that forks; it ends when this one does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    subprocess.Popen(
        [sys.executable, "-m", "tests.processes", str(theirs.fileno())],
        pass_fds=[theirs.fileno()],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    theirs.close()
    ours.settimeout(120)
    return ours


def _ask(wish: dict[str, Any], files: list[int] | None = None) -> Any:
    line = _nest()
    socket.send_fds(line, [json.dumps(wish).encode()], files or [])
    answer = line.recv(1 << 16)
    assert answer, "the process that starts commands is gone"
    return json.loads(answer)


def _serve(line: socket.socket) -> dict[str, Any] | None:
    """Answer until nobody asks; in a child the wish that it was forked for."""
    while True:
        text, files, _, _ = socket.recv_fds(line, 1 << 20, 2)
        if not text:
            return None
        wish = json.loads(text)
        if "poll" in wish:
            pid, status = os.waitpid(wish["poll"], os.WNOHANG)
            line.send(json.dumps(os.waitstatus_to_exitcode(status) if pid else None).encode())
        elif pid := os.fork():
            for file in files:
                os.close(file)
            line.send(json.dumps(pid).encode())
        else:
            line.close()
            for standard, file in enumerate(files, 1):
                os.dup2(file, standard)
                os.close(file)
            return wish


def _be(wish: dict[str, Any]) -> int:
    os.chdir(wish["cwd"])
    os.environ.update(wish["env"])
    sys.argv = ["fomm", *wish["argv"]]
    exec(wish["first"], {})
    return main(wish["argv"])


if __name__ == "__main__":
    import fomm_cli.animate.batch
    import fomm_cli.animate.clip
    import fomm_cli.engine.fused
    import fomm_cli.evaluate.report
    import fomm_cli.train.loop  # noqa: F401
    from fomm_cli.commands.app import main

    threads = Path("/proc/self/task")
    assert not threads.exists() or len(list(threads.iterdir())) == 1, "who forks must have one thread"
    gc.freeze()  # a child looks through what it made itself alone
    wished = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.exit(0 if wished is None else _be(wished))
