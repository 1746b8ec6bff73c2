"""What a training tells: metrics.jsonl, warnings, a progress bar, and whoever else is to hear of it."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from fomm_cli.data.pairs import Failure
from fomm_cli.device import peak_memory
from fomm_cli.draw import Picture
from fomm_cli.files.disk import explain_os_error, write_text
from fomm_cli.processes import World, gather
from fomm_cli.train.recorders import Recorder
from fomm_cli.train.run import Run

JUMP = 3.0
SPIKE = 10.0
COLLAPSE = 0.1


class Log:
    """Collects each step's values on the device and writes them a window at a time.

    names    of the values of a step
    console  where people read; None is silent
    total    steps of the whole training, for the progress bar
    world    of processes that log the same steps: the first writes
    others   are told the numbers and pictures too, and are closed with the log
    """

    def __init__(
        self,
        run: Run,
        names: list[str],
        device: torch.device,
        total: int,
        console: Console | None = None,
        world: World | None = None,
        others: Sequence[Recorder] = (),
    ) -> None:
        self.run, self.names, self.device, self.world = run, names, device, world or World()
        self.write = self.world.first
        self.console = console if self.write else None
        self.others = others
        self._waiting: list[tuple[dict[str, Any], Tensor, list[str]]] = []
        self._failures: list[Failure] = []
        self._unreadable: set[str] = set()
        self._data_time = 0.0
        self._since = time.perf_counter()
        self._told = 0.0
        self._usual: float | None = None
        self._usual_norms: dict[str, float] = {}
        self._warned: set[str] = set()
        self.skipped_in_a_row = 0
        self.total = total
        self.progress: Progress | None = None
        if self.console is not None and self.console.is_terminal:
            self.progress = Progress(
                TextColumn("{task.completed}/{task.total}"),
                BarColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
                console=self.console,
            )
            self.task = self.progress.add_task("", total=total)
            self.progress.start()

    def say(self, line: str) -> None:
        """A line for people."""
        if self.console is not None:
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)

    def step(
        self, head: dict[str, Any], values: Tensor, names: list[str], failures: Iterable[Failure], data_time: float
    ) -> None:
        """One step: `head` (step, epoch, rates), the device's values, the pairs' names, the clips that could not be
        read for them, seconds waited for data.
        """
        self._waiting.append((head, values, names))
        self._failures.extend(failures)
        self._data_time += data_time

    def flush(self, batch_size: int) -> None:
        """Wait for the device and write the window's steps, so that they are on disk before a checkpoint is."""
        if not self._waiting:
            return
        rows = torch.stack([values for _, values, _ in self._waiting]).cpu().tolist()  # the one wait for the device
        count = len(rows)
        seconds = (time.perf_counter() - self._since) / count
        rates = {
            "step_time": round(seconds, 6),
            "data_time": round(self._data_time / count, 6),
            "pairs_per_second": round(batch_size / seconds, 3),
            "memory_gib": round(peak_memory(self.device), 3),
        }
        lines, bad = [], []
        for (head, _, names), row in zip(self._waiting, rows, strict=True):
            values = dict(zip(self.names, row, strict=True))
            skipped = bool(values.pop("skipped"))
            self.skipped_in_a_row = self.skipped_in_a_row + 1 if skipped else 0
            entry = {**head, **{key: _finite(value) for key, value in values.items()}, **rates}
            lines.append(entry | ({"skipped": True} if skipped else {}))
            if skipped:
                pairs = gather(names, self.world)  # all processes skip the same steps
                bad.append({**head, "pairs": pairs, "values": {key: str(value) for key, value in values.items()}})
            else:
                self._watch(head["step"], values)
        if self.write:
            append(self.run.metrics, lines)
            if bad:
                append(self.run.nonfinite, bad)
                self.say(
                    f"step {bad[0]['step']}: a loss or gradient is not finite, {len(bad)} step(s) skipped; "
                    f"the pairs stand in {self.run.nonfinite.name}"
                )
            for other in self.others:
                for entry in lines:
                    other.scalars(entry["step"], {key: one for key, one in entry.items() if isinstance(one, float)})
            self._show(lines[-1])
        self._tell_unreadable()
        self._waiting.clear()
        self.restart()

    def restart(self) -> None:
        """Forget the time spent since the last window: it was no training."""
        self._data_time, self._since = 0.0, time.perf_counter()

    def close(self) -> None:
        if self.progress is not None:
            self.progress.stop()
        for other in self.others:
            other.close()

    def validated(self, step: int, numbers: dict[str, float | None], sheet: Picture) -> None:
        """Tell the others of a validation."""
        known = {f"validation/{name}": value for name, value in numbers.items() if value is not None}
        for other in self.others:
            other.scalars(step, known)
            other.picture(step, "validation/samples", sheet)

    def _tell_unreadable(self) -> None:
        """Each clip that could not be read once, whichever process met it."""
        for failure in gather(self._failures, self.world):
            if failure.clip not in self._unreadable:
                self._unreadable.add(failure.clip)
                self.say(f"skipping a clip that cannot be read ({len(self._unreadable)} so far): {failure.reason}")
        self._failures = []

    def _show(self, entry: dict[str, Any]) -> None:
        def number(key: str, form: str) -> str:
            return "-" if entry.get(key) is None else format(entry[key], form)

        text = (
            f"epoch {entry['epoch']}  loss {number('loss', '.4g')}  spread {number('keypoint_spread', '.3f')}  "
            f"{entry['step_time'] * 1000:.0f} ms/step ({entry['data_time'] * 1000:.0f} waiting for data), "
            f"{entry['pairs_per_second']:.1f} pairs/s"
        )
        if self.progress is not None:
            self.progress.update(self.task, completed=entry["step"], description=text)
        elif time.monotonic() - self._told > 30 or self._told == 0:
            self._told = time.monotonic()
            self.say(f"step {entry['step']}/{self.total}  {text}")

    def _watch(self, step: int, values: dict[str, float]) -> None:
        """Warn of the ways in which these trainings die: jumping gradients and losses, keypoints that fall together."""
        for name in [name for name in values if name.startswith("grad_norm_")]:
            norm, usual = values[name], self._usual_norms.get(name)
            if usual and norm > SPIKE * usual and step > 20 and name not in self._warned:
                # Adam forgets the mean gradient in a few steps and its size in a thousand: one spike is one huge step.
                self._warned.add(name)
                self.say(
                    f"step {step}: {name} is {norm:.3g}, usually {usual:.3g}. Such spikes can undo hours of training; "
                    f"--set train.clip_grad_norm={max(1, round(1.5 * usual))} would bound them (said once)"
                )
            self._usual_norms[name] = norm if not usual else 0.98 * usual + 0.02 * min(norm, SPIKE * usual)
        loss = values["loss"]
        if self._usual is not None and loss > JUMP * self._usual and step > 20:
            self.say(f"step {step}: the loss jumped to {loss:.4g} from about {self._usual:.4g}")
        self._usual = loss if self._usual is None else 0.98 * self._usual + 0.02 * loss
        spread = values["keypoint_spread"]
        if step > 200 and spread < COLLAPSE and "collapse" not in self._warned and "equivariance_value" in values:
            self._warned.add("collapse")
            self.say(
                f"step {step}: the keypoints have collapsed (mean distance {spread:.3f} in units of [-1, 1]). If it "
                "stays so, start anew with another --seed or lower rates."
            )


def append(path: Path, entries: list[dict[str, Any]]) -> None:
    """Add lines to a JSONL file and wait until they are on disk."""
    try:
        with path.open("a", encoding="utf-8") as file:
            file.write("".join(json.dumps(entry) + "\n" for entry in entries))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise explain_os_error(error, path) from error


def truncate(path: Path, step: int) -> None:
    """Drop lines of later steps, and a half-written last one: what a resumed run will write again."""
    if not path.is_file():
        return
    kept = [json.dumps(entry) + "\n" for entry in read(path) if entry["step"] <= step]
    write_text(path, "".join(kept), force=True)


def read(path: Path) -> list[dict[str, Any]]:
    """All whole lines of a JSONL file that are of a step; none if there is no file."""
    found = []
    if path.is_file():
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the last line of a run that was killed while writing
            if isinstance(entry, dict) and isinstance(entry.get("step"), int):
                found.append(entry)
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None  # JSON has no NaN
