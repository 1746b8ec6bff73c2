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
from fomm_cli.files import disk, download, folder

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
    with folder.atomic_folder(final) as temporary:
        (temporary / "0.png").write_text("a")
    with pytest.raises(FommError, match="exists already"), folder.atomic_folder(final):
        pytest.fail("the body must not run")
    with folder.atomic_folder(final, force=True) as temporary:
        (temporary / "1.png").write_text("b")
    assert names(final) == [folder.MANIFEST, "1.png"]
    with pytest.raises(ValueError, match="stop"), folder.atomic_folder(tmp_path / "other"):
        raise ValueError("stop")
    assert names(tmp_path) == ["frames"]


@pytest.mark.parametrize("mine", ["thesis.txt", "holiday.png", "1.png", "deep/in/it.txt", "empty/", "link.png"])
def test_force_removes_nothing_that_is_not_ours(tmp_path: Path, mine: str) -> None:
    final = tmp_path / "frames"
    with folder.atomic_folder(final) as temporary:
        (temporary / "0.png").write_text("a")
        (temporary / "1.png").write_text("b")
    if mine.endswith("/"):
        (final / mine).mkdir()
    elif mine == "link.png":
        (final / mine).symlink_to("0.png")
    else:
        (final / mine).parent.mkdir(parents=True, exist_ok=True)
        (final / mine).write_text("precious")
    before = sorted(str(path) for path in final.rglob("*"))
    with pytest.raises(FommError, match=mine.rstrip("/")), folder.atomic_folder(final, force=True):
        pytest.fail("the body must not run")
    assert sorted(str(path) for path in final.rglob("*")) == before


def test_force_refuses_a_folder_without_or_with_a_strange_manifest(tmp_path: Path) -> None:
    final = tmp_path / "mine"
    final.mkdir()
    (final / "0.png").write_text("a")
    for told in (
        None,
        "no json",
        "[1]",
        '{"written_by": "fomm"}',
        "[" * 100_000,
        '{"written_by": "x", "files": {"0.png": 1}}',
    ):
        if told is not None:
            (final / folder.MANIFEST).write_text(told)
        with pytest.raises(FommError, match=r"0\.png"), folder.atomic_folder(final, force=True):
            pytest.fail("the body must not run")
    assert (final / "0.png").read_text() == "a"


def test_what_is_put_there_meanwhile_stays(tmp_path: Path) -> None:
    final = tmp_path / "frames"
    with folder.atomic_folder(final) as temporary:
        (temporary / "0.png").write_text("a")

    def replace() -> None:
        with folder.atomic_folder(final, force=True) as temporary:
            (temporary / "0.png").write_text("b")
            (final / "new.txt").write_text("precious")

    with pytest.raises(FommError, match=r"new\.txt"):
        replace()
    assert names(final) == [folder.MANIFEST, "0.png", "new.txt"]
    assert (final / "0.png").read_text() == "a"
    assert names(tmp_path) == ["frames"]


@pytest.mark.skipif(os.name != "posix", reason="links need rights elsewhere")
def test_links_are_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with folder.atomic_folder(tmp_path / "link") as temporary:
        (temporary / "0.png").write_text("a")
    assert names(tmp_path / "real") == [folder.MANIFEST, "0.png"]
    (tmp_path / "file.txt").symlink_to("there.txt")
    disk.write_text(tmp_path / "file.txt", "through")
    assert (tmp_path / "there.txt").read_text() == "through"
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file.txt").is_symlink()
    assert names(tmp_path) == ["file.txt", "link", "real", "there.txt"]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_of_two_writers_of_one_output_one_is_refused(tmp_path: Path, kind: str) -> None:
    def write(text: str) -> None:
        if kind == "file":
            with disk.atomic_path(tmp_path / "o", claimed=True) as temporary:
                temporary.write_text(text)
        else:
            with folder.atomic_folder(tmp_path / "o") as temporary:
                (temporary / "a").write_text(text)

    outer = disk.atomic_path(tmp_path / "o", claimed=True) if kind == "file" else folder.atomic_folder(tmp_path / "o")
    with outer as temporary:
        (temporary if kind == "file" else temporary / "a").write_text("first")
        with pytest.raises(FommError, match="another process"):
            write("second")
    assert (tmp_path / "o" if kind == "file" else tmp_path / "o" / "a").read_text() == "first"
    assert names(tmp_path) == ["o"]


def test_a_name_taken_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    def write() -> None:
        with disk.atomic_path(tmp_path / "o.txt") as temporary:
            temporary.write_text("late")
            (tmp_path / "o.txt").write_text("early")

    with pytest.raises(FommError, match="appeared"):
        write()
    assert (tmp_path / "o.txt").read_text() == "early"
    assert names(tmp_path) == ["o.txt"]


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_writer_left_is_begun_anew(tmp_path: Path, kind: str) -> None:
    opened = "disk.atomic_path('o.bin', claimed=True)" if kind == "file" else "folder.atomic_folder('o.bin')"
    program = (
        "import os, signal\nfrom fomm_cli.files import disk, folder\n"
        f"with {opened} as t:\n    (t / 'x' if t.is_dir() else t).write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, env=here)
    assert len(os.listdir(tmp_path)) == 1  # noqa: PTH208 - hidden names included
    if kind == "file":
        with disk.atomic_path(tmp_path / "o.bin", claimed=True) as temporary:
            assert temporary.read_bytes() == b""
    else:
        with folder.atomic_folder(tmp_path / "o.bin") as temporary:
            assert names(temporary) == []
    assert names(tmp_path) == ["o.bin"]


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
def test_a_file_has_the_mode_that_umask_leaves(tmp_path: Path) -> None:
    def replaced(temporary: Path) -> None:  # as libraries do that write a file of their own
        temporary.unlink()
        temporary.touch(mode=0o600)

    before = os.umask(0o027)
    try:
        with disk.atomic_path(tmp_path / "w") as temporary:
            replaced(temporary)
    finally:
        os.umask(before)
    assert (tmp_path / "w").stat().st_mode & 0o777 == 0o640


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
    for stem in ("n" * 240, "成" * 80, "é" * 120):
        final = tmp_path / (stem + ".mp4")
        for claimed in (False, True):
            with disk.atomic_path(final, force=True, claimed=claimed) as temporary:
                temporary.write_text("x")
        with folder.atomic_folder(tmp_path / stem) as temporary:
            pass
        assert sorted(os.listdir(tmp_path)) == sorted([final.name, stem])  # noqa: PTH208 - hidden ones included
        (tmp_path / stem / folder.MANIFEST).unlink()
        (tmp_path / stem).rmdir()
        final.unlink()


def test_an_output_is_no_input_by_whatever_name(tmp_path: Path) -> None:
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(b"frames")
    (tmp_path / "hard.mp4").hardlink_to(clip)
    (tmp_path / "soft.mp4").symlink_to(clip)
    for name in ("clip.mp4", "hard.mp4", "soft.mp4", "../" + tmp_path.name + "/clip.mp4"):
        with pytest.raises(FommError, match="is an input"):
            disk.check_distinct(tmp_path / name, tmp_path / "else.mp4", clip)
    with pytest.raises(FommError, match="an input, lies in"):
        disk.check_distinct(tmp_path, clip)
    disk.check_distinct(tmp_path / "result.mp4", clip)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names")
@pytest.mark.parametrize("reads", ["payload", "torch", "clip", "list"])
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path, reads: str) -> None:
    from fomm_cli.data.clips import open_clip
    from fomm_cli.data.split import named
    from fomm_cli.files.torch_file import read_tensors

    pipe = tmp_path / "pipe.mp4"
    os.mkfifo(pipe)
    read = {
        "payload": lambda: disk.check_payload(pipe, "a file"),
        "torch": lambda: read_tensors(pipe, "checkpoint", ""),
        "clip": lambda: open_clip(pipe),
        "list": lambda: named(pipe, []),
    }[reads]
    # The other end is open, so that a failure is no hang: what is read is empty.
    other = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        with pytest.raises(FommError, match="is a pipe or a device"):
            read()
    finally:
        os.close(other)
