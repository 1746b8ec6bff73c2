"""Outputs are whole or absent; downloads resume, are checked, and say what is wrong."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from fomm_cli.errors import FommError
from fomm_cli.files import disk, download

BODY = bytes(range(256)) * 4000


def names(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_atomic_path_appears_only_when_finished(tmp_path: Path) -> None:
    final = tmp_path / "new" / "result.mp4"
    with disk.atomic_path(final) as temporary:
        assert temporary.parent == final.parent
        assert temporary.suffix == ".mp4"
        temporary.write_bytes(b"done")
        assert not final.exists()
    assert final.read_bytes() == b"done"
    assert names(final.parent) == ["result.mp4"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_atomic_path_leaves_nothing_after_an_error(tmp_path: Path, failure: type[BaseException]) -> None:
    def stop_halfway() -> None:
        with disk.atomic_path(tmp_path / "x.txt") as temporary:
            temporary.write_text("half")
            raise failure

    with pytest.raises(failure):
        stop_halfway()
    assert names(tmp_path) == []


def test_existing_output_needs_force(tmp_path: Path) -> None:
    final = tmp_path / "x.txt"
    final.write_text("old")
    with pytest.raises(FommError, match="exists already") as caught:
        disk.write_text(final, "new")
    assert "--force" in caught.value.hint
    assert final.read_text() == "old"
    disk.write_text(final, "new", force=True)
    assert final.read_text() == "new"


def test_output_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FommError, match="could not be written"), disk.atomic_path(tmp_path / "file" / "x.mp4"):
        pytest.fail("the body must not run")
    with pytest.raises(FommError, match="is a folder"), disk.atomic_path(tmp_path, force=True):
        pytest.fail("the body must not run")


def test_full_disk_is_explained_and_leaves_nothing(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="limits a file's size, which only POSIX systems can")
    assert resource
    script = (
        "import resource, sys; from fomm_cli.files import disk; from fomm_cli.errors import FommError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: disk.write_text(sys.argv[1], 'x' * 5000)\n"
        "except FommError as error: print(error.what)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "x.txt")], capture_output=True, text=True)
    assert "no space is left" in done.stdout, done.stderr
    assert names(tmp_path) == []


def test_atomic_folder_replaces_as_a_whole_and_protects_strangers(tmp_path: Path) -> None:
    final = tmp_path / "frames"
    with disk.atomic_folder(final) as temporary:
        (temporary / "0.png").write_text("a")
    with pytest.raises(FommError, match="exists already"), disk.atomic_folder(final):
        pytest.fail("the body must not run")
    with disk.atomic_folder(final, force=True, pattern="*.png") as temporary:
        (temporary / "1.png").write_text("b")
    assert names(final) == ["1.png"]
    (final / "thesis.txt").write_text("mine")
    with (
        pytest.raises(FommError, match=r"thesis\.txt"),
        disk.atomic_folder(final, force=True, pattern="*.png"),
    ):
        pytest.fail("the body must not run")
    with pytest.raises(ValueError, match="stop"), disk.atomic_folder(tmp_path / "other"):
        raise ValueError("stop")
    assert names(tmp_path) == ["frames"]
    assert names(final) == ["1.png", "thesis.txt"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 3\n", "Git-LFS pointer"),
        (b"\xef\xbb\xbf\n<!DOCTYPE html><html>quota</html>", "web page"),
    ],
)
def test_wrong_payloads_are_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(FommError, match=said):
        disk.check_payload(path, "the weights file")
    path.write_bytes(b"\x08\x00\x00\x00anything else")
    disk.check_payload(path, "the weights file")
    with pytest.raises(FommError, match="does not exist"):
        disk.check_payload(tmp_path / "absent", "the weights file")


def test_cache_dir_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FOMM_CACHE", str(tmp_path / "c"))
    assert disk.cache_dir() == tmp_path / "c"
    monkeypatch.delenv("FOMM_CACHE")
    assert disk.cache_dir() == Path.home() / ".cache" / "fomm"


class Server(ThreadingHTTPServer):
    """Serves BODY at /file with ranges; breaks off the first `breaks` answers halfway."""

    breaks = 0
    busy = 0
    etag = '"one"'
    body = BODY

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/file"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        server = self.server
        if self.path != "/file":
            self.send_error(404)
            return
        if server.busy:
            server.busy -= 1
            self.send_error(503)
            return
        asked = self.headers.get("Range")
        server.ranges.append(asked)
        start = int(asked[6:-1]) if asked and self.headers.get("If-Range") == server.etag else 0
        if start >= len(server.body):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.body)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        rest = server.body[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if server.breaks:
            server.breaks -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Server() as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


DIGEST = hashlib.sha256(BODY).hexdigest()


def test_fetch_resumes_checks_and_reports(server: Server, tmp_path: Path) -> None:
    server.breaks, server.busy = 2, 1
    seen: list[tuple[int, int | None]] = []
    got = download.fetch(server.url, tmp_path / "f.bin", sha256=DIGEST, progress=lambda *at: seen.append(at))
    assert got.read_bytes() == BODY
    assert server.ranges[0] is None
    assert server.ranges[1:] == [f"bytes={len(BODY) // 2}-", f"bytes={len(BODY) * 3 // 4}-"]
    assert seen[-1] == (len(BODY), len(BODY))
    assert names(tmp_path) == ["f.bin"]
    download.fetch(server.url, tmp_path / "f.bin", sha256=DIGEST)
    assert len(server.ranges) == 3, "a file with the right digest is not fetched again"


def test_fetch_goes_on_in_a_later_call_unless_the_file_changed(server: Server, tmp_path: Path) -> None:
    server.breaks = 1
    with pytest.raises(FommError, match="could not be downloaded"):
        download.fetch(server.url, tmp_path / "f.bin", attempts=1)
    assert not (tmp_path / "f.bin").exists()
    server.etag, server.body = '"two"', BODY[::-1]
    assert download.fetch(server.url, tmp_path / "f.bin").read_bytes() == BODY[::-1]
    assert names(tmp_path) == ["f.bin"]


def test_fetch_accepts_a_part_that_was_already_whole(server: Server, tmp_path: Path) -> None:
    (tmp_path / ".f.bin.download").write_bytes(BODY)
    note = {"url": server.url, "version": server.etag}
    (tmp_path / ".f.bin.download.json").write_text(json.dumps(note))
    assert download.fetch(server.url, tmp_path / "f.bin", sha256=DIGEST).read_bytes() == BODY
    assert server.ranges == [f"bytes={len(BODY)}-"]


def test_fetch_at_once_downloads_once(server: Server, tmp_path: Path) -> None:
    """As the processes of one training do; the lock is between open files, so threads stand for them."""
    together = threading.Barrier(4)

    def one(_: int) -> bytes:
        together.wait()
        return download.fetch(server.url, tmp_path / "f.bin", sha256=DIGEST).read_bytes()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(one, range(4))) == [BODY] * 4
    assert server.ranges == [None]
    assert names(tmp_path) == ["f.bin"]


def test_fetch_refuses_what_is_not_expected(server: Server, tmp_path: Path) -> None:
    with pytest.raises(FommError, match="not the expected file"):
        download.fetch(server.url, tmp_path / "f.bin", sha256="0" * 64)
    with pytest.raises(FommError, match="404"):
        download.fetch(server.url + "x", tmp_path / "f.bin")
    with pytest.raises(FommError, match="not an http"):
        download.fetch("file:///etc/hostname", tmp_path / "f.bin")
    assert names(tmp_path) == []


def test_fetch_says_that_nobody_answers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(download.time, "sleep", lambda seconds: None)
    with Server() as closed:
        url = closed.url
    with pytest.raises(FommError, match="could not be downloaded") as caught:
        download.fetch(url, tmp_path / "f.bin", attempts=2)
    assert "where it stopped" in caught.value.hint


def test_temporary_names_keep_to_the_length_a_file_system_takes(tmp_path: Path) -> None:
    final = tmp_path / ("n" * 240 + ".mp4")
    with disk.atomic_path(final) as temporary:
        temporary.write_text("x")
    assert os.listdir(tmp_path) == [final.name]  # noqa: PTH208 - the raw names, hidden ones included
