"""Many animations with one engine: a driving is detected once for all its sources, a source encoded once for all its
drivings, a failure costs one result, and what is done is not done again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fomm_cli.animate.clip import render_clip
from fomm_cli.animate.crops import check_crop
from fomm_cli.animate.driving import open_driving
from fomm_cli.animate.inputs import check_asked
from fomm_cli.animate.journal import Journal, stamp
from fomm_cli.animate.kept import Kept, driving_bytes, scene_bytes
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.settings import Output, Progress, Settings
from fomm_cli.animate.whole import check_stage, open_stage
from fomm_cli.animate.worklist import Item
from fomm_cli.engine.base import Engine
from fomm_cli.errors import FommError
from fomm_cli.shards import Shard
from fomm_cli.weights.identity import file_of


@dataclass(frozen=True)
class Wishes:
    """How a batch is worked off.

    weights        of items that do not name their own
    layout         what results show
    redo, retry    do again what is done; what failed before
    force          overwrite files that are not the batch's own
    stop_on_error  leave the rest when one fails
    cache          bytes of sources and motions that are kept for the next item
    """

    weights: str | None = None
    layout: str = "result"
    redo: bool = False
    retry: bool = False
    force: bool = False
    stop_on_error: bool = False
    cache: int = 512 << 20


def animate_batch(
    items: Sequence[Item],
    folder: Path,
    open_engine: Callable[[str | None], Engine],
    settings: Settings,
    wishes: Wishes,
    shard: Shard | None = None,
    progress: Progress | None = None,
) -> list[dict[str, Any]]:
    """Animate the items of a batch into `folder`; what became of each of this share's, in their order.

    open_engine   makes the engine of some weights; called when first something is to be rendered
    Every outcome is a line of the folder's journal: index, source, driving, output, status ("done", "failed"), error,
    frames, seconds, fps, anchor, pose_distance, cut, warnings, key. In what is returned the status of what was done, or
    failed, before is "skipped".
    """
    shard, report = shard or Shard(), progress or (lambda *_: None)
    order = sorted(items, key=lambda item: (item.own.get("weights", ""), str(item.driving), item.number))
    share = order[len(order) * (shard.index - 1) // shard.count : len(order) * shard.index // shard.count]
    journal = Journal(folder, shard)
    desk = _Desk(open_engine, wishes, settings)
    outcomes: list[dict[str, Any]] = []
    try:
        for count, item in enumerate(share, 1):
            outcomes.append(_settle(item, journal, desk))
            report("batch", count, len(share))
            if wishes.stop_on_error and outcomes[-1]["status"] == "failed":
                break
    finally:
        journal.close()
    return sorted(outcomes, key=lambda outcome: outcome["index"])


def _settle(item: Item, journal: Journal, desk: _Desk) -> dict[str, Any]:
    told = {"index": item.number, "source": str(item.source), "driving": str(item.driving), "output": item.output}
    key = desk.key(item)
    status = journal.status(item.output, key)
    wishes = desk.wishes
    if status == "done" and not wishes.redo:
        if journal.last(item.output).get("status") == "started":
            journal.write({**told, "status": "done", "key": key})
        return {**journal.last(item.output), **told, "status": "skipped"}
    if status == "failed" and not (wishes.retry or wishes.redo):
        return {**journal.last(item.output), **told, "status": "skipped"}
    try:
        if status == "foreign" and not wishes.force:
            raise FommError(
                f"{journal.folder / item.output} exists already and is not this batch's.",
                "Choose another folder or --name, or overwrite it with --force.",
            )
        journal.begin(item.output, key)
        outcome = {**told, "status": "done", **desk.animate(item, journal.folder / item.output), "key": key}
    except FommError as error:
        outcome = {**told, "status": "failed", "error": {"what": error.what, "hint": error.hint}, "key": key}
    except Exception as error:  # whatever a decoder, a driver or a library says: it costs this result, not the batch
        desk.forget()
        what = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        outcome = {**told, "status": "failed", "error": {"what": what, "hint": ""}, "key": key}
    journal.write(outcome)
    return outcome


class _Desk:
    """The engine, and the sources and drivings that are open."""

    def __init__(self, open_engine: Callable[[str | None], Engine], wishes: Wishes, settings: Settings) -> None:
        self.wishes, self.settings = wishes, settings
        self._open_engine = open_engine
        self._runner: Runner | None = None
        self._weights: str | None = None
        self._kept = Kept(wishes.cache)

    def key(self, item: Item) -> str:
        """What a result depends on: the same key, the same bytes."""
        weights = item.own.get("weights", self.wishes.weights)
        own = {**asdict(self.settings), **item.own, "layout": self.wishes.layout, "force": None}
        files = [stamp(path) for path in (item.source, item.driving)]
        return hashlib.sha256(
            json.dumps([own, weights, stamp(file_of(weights)), files], sort_keys=True, default=str).encode()
        ).hexdigest()

    def animate(self, item: Item, output: Path) -> dict[str, Any]:
        """Render one item; what is to be told of it."""
        own = {name: value for name, value in item.own.items() if name != "weights"}
        settings = replace(self.settings, force=True, **own)  # type: ignore[arg-type]
        check_asked(item.source, item.driving, [Output(output, self.wishes.layout)], settings)
        check_crop(settings.crop_source, still=True)
        check_crop(settings.crop_driving)
        for path in (item.source, item.driving):
            if not path.exists():
                raise FommError(f"{path} does not exist.", "Check the path, or --root.")
        runner = self._running(item.own.get("weights", self.wishes.weights))
        settings = settings.agreed(runner.engine)
        check_stage(runner.engine, settings)
        family = runner.engine.family.configured(settings.options)
        family.check_asked(settings.carrying[0], clip=False)
        scene = self._kept.get(
            ("source", item.source, settings.crop_source),
            lambda: open_stage(runner, item.source, settings, family, clips=True),
            scene_bytes,
        )
        driving = self._kept.get(
            ("driving", item.driving, settings.crop_driving),
            lambda: open_driving(item.driving, runner.engine, settings, lambda *_: None),
            driving_bytes,
        )
        report = render_clip(scene, driving, [Output(output, self.wishes.layout)], settings, lambda *_: None)
        self._kept.weigh()
        return {
            "frames": report.frames,
            "seconds": round(report.seconds, 3),
            "fps": round(report.frames / max(report.seconds, 1e-9), 2),
            "anchor": report.anchor,
            "pose_distance": report.distance,
            "cut": report.cut,
            "warnings": report.warnings,
        }

    def forget(self) -> None:
        """Start anew with the next item: after an error of the device nothing on it can be trusted."""
        self._runner = None
        self._kept.clear()

    def _running(self, weights: str | None) -> Runner:
        if self._runner is None or weights != self._weights:
            self.forget()
            self._runner, self._weights = Runner(self._open_engine(weights)), weights
        return self._runner
