"""Fetching through real yt-dlp from a real server on the loopback that misbehaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fomm_cli.acquire.addresses import check_template, expand, refusal
from fomm_cli.acquire.manifest import read_state, summarize
from fomm_cli.acquire.reasons import Failure, Reason
from fomm_cli.acquire.supply import Downloader, Wishes
from fomm_cli.acquire.table import read_table
from fomm_cli.commands.app import main
from fomm_cli.data.clips import open_clip
from fomm_cli.errors import FommError
from tests.movies import number_of, write_movie
from tests.video_server import VideoServer

IDS = ["good1", "-good2", "missing3", "forbidden4", "busy5", "stall6", "short7", "page8", "hop9", "login10"]
GOOD = ["good1", "-good2", "busy5"]
QUICK = ["--size", "32", "--workers", "2", "--timeout", "0.6", "--retries", "1", "--backoff", "0.1"]


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("www")
    first = write_movie(folder / "good1.mp4", 60)
    for name in [*IDS[1:], *(f"slow{i}" for i in range(6))]:
        (folder / f"{name}.mp4").write_bytes(first.read_bytes())
    return folder


@pytest.fixture
def server(movies: Path) -> Iterator[VideoServer]:
    server = VideoServer(movies)
    yield server
    server.close()


def table(path: Path, ids: list[str]) -> Path:
    rows = ["video_id,start,end,bbox,fps,width,height,partition,person_id"]
    for place, name in enumerate(ids):
        rows.append(f"{name},0,20,0-0-128-96,25,128,96,train,p{place % 3}")
        rows.append(f"{name},15,45,0-0-128-96,25,128,96,test,p{place % 3}")
    path.write_text("\n".join(rows) + "\n")
    return path


def fetch(source: Path, out: Path, server: VideoServer, *more: str) -> list[str]:
    address = f"{server.address}/any/{{video_id}}.mp4"
    return ["dataset", "fetch", str(source), "--out", str(out), "--url-template", address, *QUICK, *more]


def clips(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in whole_clips(out)}


def whole_clips(out: Path) -> list[Path]:
    return sorted(path for path in out.glob("t*/*.zip") if not path.name.startswith("."))


def test_every_outcome(tmp_path: Path, server: VideoServer, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    argv = fetch(table(tmp_path / "t.csv", IDS), out, server)
    assert main(argv) == 0
    said = capsys.readouterr()
    assert "total              10       20" in said.out
    state = read_state(out)
    reasons = {name: record.reason for name, record in state.videos.items()}
    assert reasons == {
        **dict.fromkeys(GOOD, ""), "missing3": "gone", "forbidden4": "forbidden", "stall6": "network",
        "short7": "network", "page8": "no-format", "hop9": "refused", "login10": "private",
    }  # fmt: skip
    assert "404" in state.videos["missing3"].message  # the site's own words are kept
    assert server.requests["busy5.mp4"] == 4  # refused twice, then looked at and downloaded
    assert len(clips(out)) == 6
    for name in clips(out):
        start, end = (int(part) for part in Path(name).stem.split("#")[-2:])
        assert [number_of(frame) for frame in open_clip(out / name)] == list(range(start, end))
    assert not list((out / ".videos").glob("*.mp4"))

    # A second run asks only for what failed in passing; --retry asks for what it names, too.
    before = dict(server.requests)
    assert main(argv) == 0
    assert {name for name in server.requests if server.requests[name] != before[name]} == {"stall6.mp4", "short7.mp4"}
    (server.folder / "later.mp4").write_bytes((server.folder / "good1.mp4").read_bytes())
    assert main([*argv, "--retry", "gone"]) == 0
    asked = {name for name in server.requests if server.requests[name] != before.get(name, 0)}
    assert asked == {"missing3.mp4", "stall6.mp4", "short7.mp4"}

    assert main(["dataset", "status", str(out), "--json", "--failed"]) == 0
    status = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (status["videos_done"], status["clips_done"], status["frames"]) == (3, 6, 150)
    assert {entry["name"] for entry in status["failures"]} == set(IDS) - set(GOOD)


def test_a_killed_run_goes_on_and_ends_the_same(tmp_path: Path, movies: Path) -> None:
    """`kill -9` in the middle: no finished clip is lost or cut again, and the files are those of a run in one go."""
    ids = [f"slow{i}" for i in range(6)]
    source = table(tmp_path / "t.csv", ids)
    server = VideoServer(movies)
    try:
        assert main(fetch(source, tmp_path / "whole", server)) == 0
        server.pause = 0.15
        out = tmp_path / "killed"
        argv = fetch(source, out, server)
        running = subprocess.Popen(
            [sys.executable, "-m", "fomm_cli", *argv], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while len(whole_clips(out)) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.killpg(running.pid, signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
        finished = {path: path.stat().st_mtime_ns for path in whole_clips(out)}
        assert 3 <= len(finished) < 12
        (out / "train" / ".p0#slow0#000000#000020.deadbeef.part.zip").write_bytes(b"left by the kill")
        server.pause = 0.0
        asked = dict(server.requests)
        assert main(argv) == 0
    finally:
        server.close()
    assert clips(out) == clips(tmp_path / "whole")
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    whole = {path.name.split("#")[1] for path in finished if path.parent.name == "train"} & {
        path.name.split("#")[1] for path in finished if path.parent.name == "test"
    }
    assert all(server.requests[f"{name}.mp4"] == asked[f"{name}.mp4"] for name in whole)
    assert not [path for path in (out / "train").iterdir() if path.name.startswith(".")]
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines() if line.endswith("}")]
    done = [line["name"] for line in lines if line["kind"] == "clip" and line["state"] == "done"]
    assert sorted(done) == sorted(set(done))
    assert len(done) == 12
    assert summarize(read_state(out)).videos_done == 6


def test_a_run_killed_before_a_videos_end_was_noted_ends_it(tmp_path: Path, server: VideoServer) -> None:
    out = tmp_path / "out"
    argv = fetch(table(tmp_path / "t.csv", list(GOOD)[:2]), out, server)
    assert main(argv) == 0
    journal = out / "manifest.jsonl"
    entries = [json.loads(line) for line in journal.read_text().splitlines()]
    kept = [entry for entry in entries if (entry["kind"], entry.get("name")) != ("video", "good1")]
    journal.write_text("".join(json.dumps(entry) + "\n" for entry in kept))
    leftover = out / ".videos" / "good1.0.mp4"  # as a download is called
    leftover.parent.mkdir(exist_ok=True)
    leftover.write_bytes((server.folder / "good1.mp4").read_bytes())
    before = dict(server.requests)
    assert summarize(read_state(out)).videos_done == 1
    assert main(argv) == 0
    assert summarize(read_state(out)).videos_done == 2
    assert dict(server.requests) == before
    assert not leftover.exists()


def test_a_finished_clip_that_was_not_noted_is_adopted(tmp_path: Path, server: VideoServer) -> None:
    source, out = table(tmp_path / "t.csv", ["good1"]), tmp_path / "out"
    assert main(fetch(source, out, server)) == 0
    stamps = {path: path.stat().st_mtime_ns for path in whole_clips(out)}
    journal = out / "manifest.jsonl"
    journal.write_text(journal.read_text().splitlines()[0] + "\n")
    asked = server.requests.total()
    assert main(fetch(source, out, server)) == 0
    assert server.requests.total() == asked
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    assert summarize(read_state(out)).clips_done == 2


def test_a_deleted_clip_is_cut_again(tmp_path: Path, server: VideoServer) -> None:
    source, out = table(tmp_path / "t.csv", ["good1"]), tmp_path / "out"
    assert main(fetch(source, out, server, "--keep-videos")) == 0
    assert [path.name for path in (out / "videos").iterdir()] == ["good1.mp4.mp4"]
    before = clips(out)
    (out / "test" / "p0#good1#000015#000045.zip").unlink()
    asked = server.requests.total()
    assert main(fetch(source, out, server, "--keep-videos")) == 0
    assert clips(out) == before
    assert server.requests.total() == asked  # the kept video serves


def test_shards_share_a_folder(tmp_path: Path, server: VideoServer, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = table(tmp_path / "t.csv", GOOD), tmp_path / "out"
    assert main(fetch(source, out, server, "--shard", "1/2")) == 0
    assert {path.name for path in (out / "train").iterdir()} == {
        "p0#good1#000000#000020.zip",
        "p2#busy5#000000#000020.zip",
    }
    assert main(fetch(source, out, server, "--shard", "2/2")) == 0
    capsys.readouterr()
    assert main(["dataset", "status", str(out), "--json"]) == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["videos"], status["videos_done"], status["clips"], status["clips_done"]) == (3, 3, 6, 6)


def test_local_videos_give_the_same_clips(tmp_path: Path, server: VideoServer, movies: Path) -> None:
    source = table(tmp_path / "t.csv", ["good1", "-good2", "absent"])
    assert main(fetch(source, tmp_path / "web", server, "--subset", "4")) == 0
    argv = ["dataset", "fetch", str(source), "--videos", str(movies), "--out", str(tmp_path / "local"), "--size", "32"]
    assert main(argv) == 0
    assert clips(tmp_path / "web") == clips(tmp_path / "local")
    assert read_state(tmp_path / "local").videos["absent"].reason == "absent"
    assert (movies / "good1.mp4").exists()


def test_dry_run_touches_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = table(tmp_path / "t.csv", GOOD)
    assert main(["dataset", "fetch", str(source), "--dry-run", "--partition", "test", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert [clip["file"] for clip in plan["clips"]] == [
        f"test/p{i}#{name}#000015#000045.zip" for i, name in enumerate(GOOD)
    ]
    assert plan["clips"][0]["crop"] == [0, -16, 128, 128]
    assert main(["dataset", "fetch", str(source), "--dry-run", "--fit", "stretch"]) == 0
    assert "crop 128x96+0+0 of 128x96 -> 256" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_nothing_at_all_is_a_failure(tmp_path: Path, server: VideoServer, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(fetch(table(tmp_path / "t.csv", ["missing3"]), tmp_path / "out", server)) == 1
    assert "Not one clip" in capsys.readouterr().err


def test_a_server_that_goes_on_refusing_stops_the_run(
    tmp_path: Path, server: VideoServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.refusals = 1000
    out = tmp_path / "out"
    assert main(fetch(table(tmp_path / "t.csv", ["busy5"]), out, server, "--patience", "0.0001")) == 1
    assert "still refuses" in capsys.readouterr().err
    assert not read_state(out).videos  # it is neither done nor failed
    server.refusals = 0
    assert main(fetch(table(tmp_path / "t.csv", ["busy5"]), out, server)) == 0


def test_the_same_doubt_of_every_video_stops_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from fomm_cli.acquire.manifest import Manifest
    from fomm_cli.acquire.workers import Fetch, Job
    from fomm_cli.shards import Shard

    class Doubting:
        def fetch(self, video: str) -> Path:
            raise Failure(Reason.BOT_CHECK, "Sign in to confirm you're not a bot")

        def discard(self, video: str) -> None: ...
        def close(self) -> None: ...

    cuts = read_table(table(tmp_path / "t.csv", [f"v{i}" for i in range(20)])).cuts
    job = Job(cuts, tmp_path / "out", workers=1)
    with Manifest(job.out, Shard(), job.settings) as manifest:
        with pytest.raises(FommError, match="no robot"):
            Fetch(job, manifest, lambda line: None, Doubting).run()
        assert len(manifest.state.videos) == 2  # all others are still to come


def test_a_full_disk_stops_the_run_and_blames_no_video(tmp_path: Path) -> None:
    from fomm_cli.acquire.manifest import Manifest
    from fomm_cli.acquire.workers import Fetch, Job
    from fomm_cli.shards import Shard

    class Full:
        def fetch(self, video: str) -> Path:
            raise Failure(Reason.DISK, "no space left on device")

        def discard(self, video: str) -> None: ...
        def close(self) -> None: ...

    job = Job(read_table(table(tmp_path / "t.csv", ["a", "b"])).cuts, tmp_path / "out", workers=2)
    with Manifest(job.out, Shard(), job.settings) as manifest:
        with pytest.raises(FommError, match="Nothing more can be written"):
            Fetch(job, manifest, lambda line: None, Full).run()
        assert not manifest.state.videos


def test_limits_of_one_download(tmp_path: Path, server: VideoServer) -> None:
    template = f"{server.address}/any/{{video_id}}.mp4"
    for wishes, reason in (
        (Wishes(template, max_bytes=100), Reason.TOO_LARGE),
        (Wishes(template, max_wait=0.0), Reason.TOO_SLOW),
    ):
        downloader = Downloader(tmp_path, wishes)
        with pytest.raises(Failure) as caught:
            downloader.fetch("good1")
        assert caught.value.reason == reason
        downloader.discard("good1")
        downloader.close()
    assert not list(tmp_path.iterdir())


def test_a_partial_download_is_resumed(tmp_path: Path, server: VideoServer, movies: Path) -> None:
    whole = (movies / "good1.mp4").read_bytes()
    (tmp_path / "good1.mp4.mp4.part").write_bytes(whole[: len(whole) // 2])
    downloader = Downloader(tmp_path, Wishes(f"{server.address}/any/{{video_id}}.mp4"))
    assert downloader.find("good1") is None
    path = downloader.fetch("good1")
    assert path.read_bytes() == whole
    assert downloader.find("good1") == path
    assert downloader.find("good") is None
    downloader.close()


def test_no_other_program_downloads(tmp_path: Path, server: VideoServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """yt-dlp hands playlists that it cannot read to ffmpeg, which would open whatever they name."""
    from yt_dlp.postprocessor import FFmpegPostProcessor

    program = tmp_path / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho 'ffmpeg version 7.0 Copyright'\necho \"$@\" >> '{tmp_path}/started'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setattr(FFmpegPostProcessor, "_version_cache", {None: None})
    downloader = Downloader(tmp_path / "videos", Wishes(f"{server.address}/any/{{video_id}}.mp4", retries=0))
    with pytest.raises(Failure) as caught:
        downloader.fetch("playlist1")
    downloader.close()
    assert caught.value.reason == Reason.NO_FORMAT
    assert not (tmp_path / "started").exists()


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://host/x", "http:///x", "javascript:1", "http://127.0.0.1/", "http://[::1]/", "http://10.0.0.8/x",
     "http://169.254.169.254/latest/meta-data", "http://localhost:80/", "http://0.0.0.0/", "http://[::ffff:127.0.0.1]/"],
)  # fmt: skip
def test_addresses_that_are_not_opened(url: str) -> None:
    assert refusal(url) is not None


def test_addresses_that_are_opened() -> None:
    assert refusal("https://93.184.216.34/x.mp4") is None
    assert refusal("http://127.0.0.1:8000/x.mp4", frozenset({"127.0.0.1"})) is None


def test_templates() -> None:
    template = check_template("https://host/{video_id}.mp4")
    assert expand(template, "-a b/../c?d") == "https://host/-a%20b%2F..%2Fc%3Fd.mp4"
    for bad in (
        "file:///{video_id}",
        "/home/{video_id}.mp4",
        "https://{video_id}/x",
        "https://host/x",
        "https://host/{id}{video_id}",
    ):
        with pytest.raises(FommError):
            check_template(bad)


@pytest.mark.parametrize(
    "argv",
    [
        ["t.csv"],
        ["t.csv", "--out", "o", "--format", "avi"],
        ["t.csv", "--out", "o", "--fit", "squash"],
        ["t.csv", "--out", "o", "--rate", "fast"],
        ["t.csv", "--out", "o", "--retry", "bored"],
        ["t.csv", "--out", "o", "--videos", ".", "--url-template", "https://host/{video_id}"],
    ],
)
def test_wrong_usage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, argv: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    table(tmp_path / "t.csv", ["a"])
    assert main(["dataset", "fetch", *argv]) == 2


def test_sets_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dataset", "fetch", "ted", "--out", str(tmp_path)]) == 1
    assert "start = end = 0" in capsys.readouterr().err
    assert main(["dataset", "fetch", "voxx", "--out", str(tmp_path)]) == 1
    assert "vox" in capsys.readouterr().err
    assert main(["dataset", "status", str(tmp_path)]) == 1


def test_the_list_comes_from_the_first_home_that_has_it(
    tmp_path: Path, server: VideoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fomm_cli.acquire.sets import VideoSet, metadata
    from fomm_cli.files.disk import sha256

    monkeypatch.setenv("FOMM_CACHE", str(tmp_path / "cache"))
    published = table(server.folder / "list.mp4", GOOD)
    digest = sha256(published)
    homes = tuple(f"{server.address}/{way}/list.mp4" for way in ("missing", "good"))
    chosen = VideoSet("some", "", homes, digest, "")
    path = metadata(chosen)
    assert len(read_table(path).cuts) == 6
    asked = server.requests.total()
    assert metadata(chosen) == path  # from the cache
    assert server.requests.total() == asked
    with pytest.raises(FommError, match="not the expected file") as caught:
        metadata(VideoSet("other", "", homes[1:], "0" * 64, ""))
    assert homes[1] in caught.value.hint
