"""The journal of a fetch: whatever ends a run, what was finished stays known, once."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fomm_cli.acquire.manifest import Manifest, journal_name, read_state, summarize
from fomm_cli.acquire.reasons import Reason
from fomm_cli.errors import FommError
from fomm_cli.shards import Shard

SETTINGS = {"size": 256, "format": "packed", "fit": "square"}


def fill(folder: Path, shard: Shard, first: int, count: int) -> None:
    with Manifest(folder, shard, SETTINGS) as manifest:
        manifest.plan(count, 2 * count, SETTINGS, shard=str(shard))
        for number in range(first, first + count):
            manifest.clip(f"v{number}#a", f"v{number}", "train", 10)
            manifest.clip(f"v{number}#b", f"v{number}", "test", 5)
            manifest.video(f"v{number}")


def test_what_is_written_is_read(tmp_path: Path) -> None:
    fill(tmp_path, Shard(), 0, 2)
    with Manifest(tmp_path, Shard(), SETTINGS) as manifest:
        assert manifest.state.clips["v1#b"].frames == 5
        manifest.clip_failed("v9#a", "v9", "train", Reason.GONE, "deleted")
        manifest.video("v9", Reason.GONE, "deleted")
    summary = summarize(read_state(tmp_path))
    assert (summary.videos_done, summary.clips_done, summary.frames) == (2, 4, 30)
    assert summary.videos_failed == summary.clips_failed == {"gone": 1}
    assert summary.partitions == {"test": 2, "train": 2}


def test_a_line_cut_short_by_a_kill_says_nothing(tmp_path: Path) -> None:
    fill(tmp_path, Shard(), 0, 1)
    path = tmp_path / "manifest.jsonl"
    with path.open("ab") as file:
        file.write(b'{"kind": "clip", "name": "v1#a", "state": "do')
    with Manifest(tmp_path, Shard(), SETTINGS) as manifest:
        assert "v1#a" not in manifest.state.clips
        manifest.clip("v1#a", "v1", "train", 3)
    assert read_state(tmp_path).clips["v1#a"].frames == 3
    assert len(read_state(tmp_path).clips) == 3


def test_nothing_undoes_a_finished_clip_but_forgetting(tmp_path: Path) -> None:
    with Manifest(tmp_path, Shard(), SETTINGS) as manifest:
        manifest.clip("a", "v", "train", 3)
        manifest.clip_failed("a", "v", "train", Reason.NETWORK, "late")
        assert manifest.state.clips["a"].state == "done"
        manifest.forget("clip", "a")
        assert "a" not in manifest.state.clips
    assert "a" not in read_state(tmp_path).clips


def test_journals_of_several_machines_add_up(tmp_path: Path) -> None:
    for index in (1, 2, 3):
        fill(tmp_path, Shard(index, 3), 10 * index, 2)
    summary = summarize(read_state(tmp_path))
    assert (summary.videos, summary.videos_done, summary.clips, summary.clips_done) == (6, 6, 12, 12)
    assert journal_name(Shard(2, 3)) == "manifest-2-of-3.jsonl"
    with Manifest(tmp_path, Shard(), SETTINGS) as manifest:  # one machine goes on with the work of three
        manifest.plan(6, 12, SETTINGS, shard="1/1")
        assert len(manifest.state.clips) == 12
    assert summarize(read_state(tmp_path)).clips == 12


def test_other_settings_are_refused(tmp_path: Path) -> None:
    fill(tmp_path, Shard(), 0, 1)
    with pytest.raises(FommError, match="size 256, not 512"):
        Manifest(tmp_path, Shard(), {**SETTINGS, "size": 512})
    Manifest(tmp_path, Shard(), SETTINGS).close()  # and the refusal has let go of the journal


def test_only_one_process_writes(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from fomm_cli.acquire.manifest import Manifest; "
        "from fomm_cli.shards import Shard; from fomm_cli.errors import FommError\n"
        "try: Manifest(Path(sys.argv[1]), Shard(), {})\n"
        "except FommError as error: sys.exit(7)"
    )
    with Manifest(tmp_path, Shard(), SETTINGS):
        assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 7
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == 0
