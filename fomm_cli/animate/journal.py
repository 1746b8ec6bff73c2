"""What became of every item of a batch, line by line in a file beside the results."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path
from typing import Any

from fomm_cli.errors import FommError
from fomm_cli.files import disk
from fomm_cli.shards import Shard


def stamp(path: Path) -> list[Any] | None:
    """Size and time of change of a file, or of what lies in a folder; None for nothing."""
    if path.is_dir():
        inside = sorted(each for each in path.iterdir() if not each.name.startswith("."))
        return [[each.name, *_told(each)] for each in inside] or None
    return _told(path) if path.exists() else None


def _told(path: Path) -> list[int]:
    found = path.stat()
    return [found.st_size, found.st_mtime_ns]


class Journal:
    """The journals of a folder, of which this process writes its own: a line before an item is begun, one after it.

    A line is written at once and whole. Only one process at a time may write a journal.
    """

    def __init__(self, folder: Path, shard: Shard) -> None:
        self.folder = folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = (folder / shard.journal("batch")).open("ab", buffering=0)
        except OSError as error:
            raise disk.explain_os_error(error, folder) from error
        if not disk.claim(self._file):
            self._file.close()
            raise FommError(f"Another process is at work in {folder}.", "Wait for it, or share the work with --shard.")
        self._last: dict[str, dict[str, Any]] = {}
        self._ours: set[str] = set()
        for path in sorted(folder.glob("batch*.jsonl")):
            self._read(path)
        self._file.write(b"\n" if self._torn else b"")

    def _read(self, path: Path) -> None:
        data = path.read_bytes()
        if path.name == Path(self._file.name).name:
            self._torn = bool(data) and not data.endswith(b"\n")
        for line in data.splitlines():
            with contextlib.suppress(ValueError, KeyError, TypeError):  # a line that a kill cut short says nothing
                entry = json.loads(line)
                self._last[str(entry["output"])] = entry
                if entry["status"] == "done":
                    self._ours.add(entry["output"])

    _torn = False

    def close(self) -> None:
        self._file.close()

    def status(self, output: str, key: str) -> str:
        """What is known of an item: "done", "failed" or "open"; "foreign" where somebody else's file has its name."""
        entry, there = self._last.get(output, {}), stamp(self.folder / output)
        same = entry.get("key") == key
        if there is None:
            return "failed" if same and entry.get("status") == "failed" else "open"
        if entry.get("status") == "started" and there != entry.get("was"):
            self._ours.add(output)  # it came whole and the process ended before it could say so
            return "done" if same else "open"
        if output not in self._ours:
            return "foreign"
        return str(entry["status"]) if same and entry.get("status") in ("done", "failed") else "open"

    def last(self, output: str) -> dict[str, Any]:
        """The last line about an output."""
        return self._last.get(output, {})

    def begin(self, output: str, key: str) -> None:
        self.write({"output": output, "status": "started", "key": key, "was": stamp(self.folder / output)})

    def write(self, entry: dict[str, Any]) -> None:
        self._last[entry["output"]] = entry
        if entry["status"] == "done":
            self._ours.add(entry["output"])
        try:
            os.write(self._file.fileno(), (json.dumps(entry, ensure_ascii=False) + "\n").encode())
        except OSError as error:
            raise disk.explain_os_error(error, self._file.name) from error
