"""What has become of every video and clip: a journal that outlives `kill -9` and merges with those of others."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from fomm_cli.acquire.reasons import Reason
from fomm_cli.errors import FommError
from fomm_cli.files.disk import claim, explain_os_error
from fomm_cli.shards import Shard

VERSION = 1


@dataclass
class Record:
    """The last that is known of one video or clip.

    state    done or failed
    reason   why it failed
    frames   of a clip that is done
    """

    state: str
    reason: str = ""
    message: str = ""
    frames: int = 0
    video: str = ""
    partition: str = ""


@dataclass
class State:
    """The records of one journal, or of several together."""

    plans: dict[str, dict[str, Any]] = field(default_factory=dict)
    videos: dict[str, Record] = field(default_factory=dict)
    clips: dict[str, Record] = field(default_factory=dict)

    @property
    def planned(self) -> tuple[int, int]:
        """Videos and clips that the plans name together: the shares of one division of the work add up."""
        totals: dict[str, list[int]] = {}
        for plan in self.plans.values():
            total = totals.setdefault(str(plan.get("shard", "1/1")).partition("/")[2], [0, 0])
            total[0] += int(plan.get("videos", 0))
            total[1] += int(plan.get("clips", 0))
        return max((total[0] for total in totals.values()), default=0), max((t[1] for t in totals.values()), default=0)

    @property
    def settings(self) -> dict[str, Any]:
        """The settings of the clips in this folder; {} before the first plan."""
        return next((plan["settings"] for plan in self.plans.values() if "settings" in plan), {})

    def apply(self, entry: Mapping[str, Any], journal: str) -> None:
        """One line of a journal; later lines win, and nothing undoes a finished clip but a `forget`."""
        kind, name = entry.get("kind"), str(entry.get("name", ""))
        if kind == "plan":
            self.plans[journal] = dict(entry)
            return
        table = {"video": self.videos, "clip": self.clips}.get(str(kind))
        if table is None or not name:
            return
        known = {key: entry[key] for key in Record.__dataclass_fields__ if key in entry}
        if entry.get("state") == "forgotten":
            table.pop(name, None)
        elif entry.get("state") == "done" or table.get(name, Record("")).state != "done":
            table[name] = Record(**known)


def journal_name(shard: Shard) -> str:
    """Each share of the work has a journal of its own, so that no two machines write to one file."""
    return shard.journal("manifest")


def read_state(folder: str | Path) -> State:
    """All journals of a folder together: copying the folders of several machines into one merges them."""
    state = State()
    for path in sorted(Path(folder).glob("manifest*.jsonl")):
        for entry in _entries(path):
            state.apply(entry, path.name)
    return state


def _entries(path: Path) -> Iterable[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            lines = file.read().split("\n")
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    for line in lines:
        with contextlib.suppress(ValueError):  # a line that a kill cut short says nothing
            entry = json.loads(line)
            if isinstance(entry, dict):
                yield entry


class Manifest:
    """The journal of one run: every event is a line, on disk before the next thing is begun.

    Only one process at a time may write it; what it holds and what the folder's other journals hold is `state`.
    """

    def __init__(self, folder: Path, shard: Shard, settings: Mapping[str, Any]) -> None:
        self.folder, self.path = folder, folder / journal_name(shard)
        self._lock = threading.Lock()
        self._file = self._open()
        try:
            self.state = read_state(folder)
            different = {key: value for key, value in self.state.settings.items() if settings.get(key, value) != value}
            if different:
                key, value = next(iter(different.items()))
                raise FommError(
                    f"{folder} holds clips made with {key} {value}, not {settings[key]}.",
                    "Go on with the same settings, or choose another --out.",
                )
        except BaseException:
            self._file.close()
            raise

    def _open(self) -> TextIO:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            cut_short = self.path.exists() and self.path.read_bytes()[-1:] not in (b"", b"\n")
            if cut_short:  # what follows must not be added to half a line
                with self.path.open("ab") as broken:
                    broken.write(b"\n")
            file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise explain_os_error(error, self.path) from error
        if not claim(file):
            file.close()
            raise FommError(
                f"Another process is writing {self.path}.",
                "Wait for it, or give each machine or process its own share with --shard I/N.",
            )
        return file

    def plan(self, videos: int, clips: int, settings: Mapping[str, Any], **more: Any) -> None:
        """Note what this run set out to do; a later plan replaces an earlier one of the same journal."""
        self._write(
            {"kind": "plan", "version": VERSION, "videos": videos, "clips": clips, "settings": dict(settings), **more}
        )

    def clip(self, name: str, video: str, partition: str, frames: int) -> None:
        """A clip is whole and in its place."""
        self._write(
            {"kind": "clip", "name": name, "state": "done", "video": video, "partition": partition, "frames": frames}
        )

    def clip_failed(self, name: str, video: str, partition: str, reason: Reason, message: str) -> None:
        """A clip of a video that was had could not be cut."""
        self._write({"kind": "clip", "name": name, "state": "failed", "video": video, "partition": partition,
                     "reason": str(reason), "message": message})  # fmt: skip

    def video(self, name: str, reason: Reason | None = None, message: str = "") -> None:
        """A video is finished with: all its clips are decided, or it could not be had, for a reason."""
        state = "done" if reason is None else "failed"
        self._write({"kind": "video", "name": name, "state": state, "reason": str(reason or ""), "message": message})

    def forget(self, kind: str, name: str) -> None:
        """A video or clip is to be tried again."""
        self._write({"kind": kind, "name": name, "state": "forgotten"})

    def _write(self, entry: dict[str, Any]) -> None:
        line = json.dumps({**entry, "time": round(time.time(), 3)}, ensure_ascii=False) + "\n"
        with self._lock:
            try:
                self._file.write(line)
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise explain_os_error(error, self.path) from error
            self.state.apply(entry, self.path.name)

    def close(self) -> None:
        """Let go of the journal; another process may then write it."""
        self._file.close()

    def __enter__(self) -> Manifest:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass(frozen=True)
class Summary:
    """The totals of a folder, in distinct videos and clips.

    videos_failed, clips_failed   reason -> how many; the clips of a video that could not be had count under its reason
    """

    videos: int
    videos_done: int
    videos_failed: dict[str, int]
    clips: int
    clips_done: int
    clips_failed: dict[str, int]
    frames: int
    partitions: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        return dict(self.__dict__)


def summarize(state: State) -> Summary:
    """Count what a state says."""
    videos, clips = state.planned
    done = [record for record in state.clips.values() if record.state == "done"]
    lost = Counter(record.reason for record in state.clips.values() if record.state == "failed")
    finished = sum(record.state == "done" for record in state.videos.values())
    failed = Counter(record.reason for record in state.videos.values() if record.state == "failed")
    return Summary(
        videos=max(videos, len(state.videos)),
        videos_done=finished,
        videos_failed=dict(sorted(failed.items())),
        clips=max(clips, len(state.clips)),
        clips_done=len(done),
        clips_failed=dict(sorted(lost.items())),
        frames=sum(record.frames for record in done),
        partitions=dict(sorted(Counter(record.partition for record in done).items())),
    )
