"""`fomm eval animation`: one subject driven by another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from fomm_cli.commands import eval_reconstruction as shared

if TYPE_CHECKING:
    from fomm_cli.evaluate.setup import Request
    from fomm_cli.evaluate.testset import ClipSet

_MODES = ("relative", "absolute")


def animation(
    data: str = typer.Option("toon", "--data", metavar="toon|DIR", help="The procedural set, or a set of real clips."),
    weights: list[str] = shared.WEIGHTS,
    baseline: list[str] = typer.Option(["copy"], "--baseline", metavar="NAME", help="A floor in the table."),
    mode: str = typer.Option("relative,absolute", "--mode", metavar="LIST", help="relative, absolute, or both."),
    metrics: str | None = typer.Option(
        None, "--metrics", metavar="LIST", help="toon: l1,psnr,ssim,lpips. Real clips: pose,mkr,identity,fid."
    ),
    identities: int = typer.Option(200, "--identities", metavar="N", min=1, help="toon: how many held-out people."),
    frames: int = typer.Option(8, "--frames", metavar="N", min=1, help="toon: driving frames, 1/3 second apart."),
    pairs: Path | None = typer.Option(None, "--pairs", metavar="CSV", help="Real clips: source,driving[,frame]."),
    count: int = typer.Option(50, "--count", metavar="N", min=1, help="Real clips: random pairs, without --pairs."),
    adapt_scale: bool = typer.Option(True, "--adapt-scale/--no-adapt-scale", help="As in `fomm animate`."),
    detectors: str = shared.DETECTORS,
    network: list[str] = shared.NETWORK,
    lpips_weights: Path | None = shared.LPIPS,
    fid_weights: Path | None = shared.FID,
    part: str = shared.PART,
    size: int | None = shared.SIZE,
    batch: int = shared.BATCH,
    seed: int = shared.SEED,
    device: str = shared.DEVICE,
    out: Path | None = shared.OUT,
    force: bool = shared.FORCE,
    as_json: bool = shared.JSON,
) -> None:
    """Measure how well weights bring one subject to life with the motion of another.

    On `toon` the true answer is known and is compared with, on people nobody trained on. On real clips detectors tell
    whether the pose is followed and the identity kept.
    """
    from fomm_cli.device import keep_freed_memory
    from fomm_cli.errors import FommError, nearest
    from fomm_cli.evaluate import setup, testset
    from fomm_cli.weights.catalogue import DEFAULT

    modes = [name.strip() for name in mode.split(",") if name.strip()]
    for name in modes:
        if name not in _MODES:
            raise FommError(f"There is no mode {name!r}.", nearest(name, list(_MODES)))
    keep_freed_memory()
    on_toon = data == "toon"
    request = setup.Request(
        weights=tuple(weights or ([DEFAULT] if on_toon else [])),
        baselines=tuple(baseline),
        metrics=_metrics(metrics, on_toon),
        detectors=detectors,
        networks=setup.networks(network),
        lpips=lpips_weights,
        inception=fid_weights,
        keeps=out is not None,
        size=size,
        batch=batch,
        device=device,
    )
    if on_toon:
        asked = {"identities": identities, "frames": frames}
        _toon(request, modes, asked, seed, adapt_scale, out, force, as_json)
    else:
        found = testset.find(Path(data), seed, part)
        _real(request, modes, found, Path(data), pairs, count, seed, adapt_scale, out, force, as_json)


def _metrics(text: str | None, on_toon: bool) -> tuple[str, ...]:
    from fomm_cli.evaluate.measures import PICTURE_METRICS, chosen

    known = PICTURE_METRICS if on_toon else ("pose", "mkr", "identity", "fid")
    return chosen(text or ("l1,psnr,ssim" if on_toon else "pose,mkr,identity"), known)


def _toon(
    request: Request,
    modes: list[Any],
    asked: dict[str, int],
    seed: int,
    adapt_scale: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    import hashlib

    from fomm_cli.commands.eval_output import finish, progress
    from fomm_cli.data.toon import VERSION
    from fomm_cli.evaluate import report, runner, setup, sheets
    from fomm_cli.evaluate.animation import Person, against_truth, columns
    from fomm_cli.evaluate.ranks import join
    from fomm_cli.evaluate.toon import RATE, People

    persons = [Person(number) for number in range(asked["identities"])]
    with join() as ranks, progress(len(persons), ranks) as bar:
        parts = setup.prepare(request, ranks, bar.say)
        side = min(parts.size) if parts.size else 128
        people = People(asked["frames"], side, seed, parts.device)
        table = columns(parts.methods, modes)
        about = {**parts.about, "data": f"toon {VERSION}, held-out people", **asked, "rate": RATE, "modes": modes}
        about |= {"adapt_scale": adapt_scale, "size": [side, side]}
        store = runner.report_folder(out, {"task": "animation", **about, "seed": seed}, force, ranks)

        def digest(person: Person) -> str:
            address = f"toon {VERSION} seed {seed} {person.name} frames {people.frames} rate {RATE} side {side}"
            return hashlib.sha256(address.encode()).hexdigest()

        def one(person: Person, found: str) -> Any:
            return against_truth(person, found, table, people, parts.measures, adapt_scale)

        done = runner.run(persons, digest, one, ranks, store, bar.step)
        if not ranks.first:
            return
        names = [name for name, _, _ in table]
        result = report.document("animation", done, names, parts.metrics, seed, about)
        report.over_copy(result, done, seed)
        figures = []
        if out is not None:
            by_name = {person.name: person for person in persons}
            for name, caption in _picked(done, table, parts.metrics):
                figures.append(sheets.toon_sheet(by_name[name], table, people, adapt_scale, caption))
    finish(result, figures, out, as_json)


def _picked(done: list[Any], table: list[Any], metrics: tuple[str, ...]) -> list[tuple[str, str]]:
    """(name, caption) of the best, median and worst clip of the first network, or else of the first column."""
    from fomm_cli.evaluate import report, sheets

    shown = next((name for name, method, _ in table if method.size is not None), table[0][0])
    by = report.ranking(done, shown, metrics)
    ranked = sheets.picked(report.per_clip(done, shown, by))
    return [(name, f"{place} of {shown}: {name}, {report.title(by)} {value:.4f}") for place, name, value in ranked]


def _real(
    request: Request,
    modes: list[Any],
    found: ClipSet,
    data: Path,
    listed: Path | None,
    count: int,
    seed: int,
    adapt_scale: bool,
    out: Path | None,
    force: bool,
    as_json: bool,
) -> None:
    import hashlib

    from fomm_cli.commands.eval_output import finish, progress
    from fomm_cli.evaluate import pairs, records, report, runner, setup, sheets
    from fomm_cli.evaluate.animation import columns, of_pair
    from fomm_cli.evaluate.ranks import join

    chosen = pairs.read(listed, [*found.clips, *found.others]) if listed else pairs.draw(found.clips, count, seed)
    needed = {"pose": "akd", "mkr": "mkr", "identity": "aed", "fid": "fid"}
    with join() as ranks, progress(len(chosen), ranks) as bar:
        parts = setup.prepare(request, ranks, bar.say, tuple(needed[metric] for metric in request.metrics))
        table = columns(parts.methods, modes)
        about = {**parts.about, "data": str(data), "split": found.layout, "modes": modes, "adapt_scale": adapt_scale}
        about |= {"pairs": str(listed) if listed else f"{len(chosen)} random ones of the test clips"}
        question = {"task": "animation", **about, "clips": [pair.name for pair in chosen], "seed": seed}
        store = runner.report_folder(out, question, force, ranks, parts.inception is not None)

        def digest(pair: pairs.Pair) -> str:
            both = records.digest(pair.source.path) + records.digest(pair.driving.path)
            return hashlib.sha256(both.encode()).hexdigest()

        def one(pair: pairs.Pair, hashed: str) -> Any:
            shelf, p = parts.shelf(), parts
            record = of_pair(pair, hashed, table, p.observers, p.size, p.batch, p.device, adapt_scale, shelf)
            if shelf is not None and store is not None:
                store.keep(pair.name, shelf.arrays())
            return record

        done = runner.run(chosen, digest, one, ranks, store, bar.step)
        if not ranks.first:
            return
        names = [name for name, _, _ in table]
        result = report.document("animation", done, names, parts.metrics, seed, about)
        runner.complete(result, done, store, names, parts.inception is not None)
        figures = []
        if out is not None:
            by_name = {pair.name: pair for pair in chosen}
            for name, caption in _picked(done, table, parts.metrics):
                figures.append(sheets.pair_sheet(by_name[name], table, parts.size, parts.device, adapt_scale, caption))
    finish(result, figures, out, as_json)
