"""`fomm eval reconstruction`: the first frame of every test clip, driven by the clip itself."""

from __future__ import annotations

from pathlib import Path

import typer

WEIGHTS = typer.Option([], "--weights", "-w", metavar="NAME|FILE", help="What to measure. Repeatable: one table.")
BASELINE = typer.Option([], "--baseline", metavar="NAME", help="A floor in the same table: copy. Repeatable.")
DETECTORS = typer.Option("face", "--detectors", metavar="NAME", help="For AKD, MKR, AED: see `fomm eval detectors`.")
NETWORK = typer.Option([], "--network", metavar="NAME=FILE", help="A detector's network by path. Repeatable.")
LPIPS = typer.Option(None, "--lpips-weights", metavar="FILE", help="torchvision's AlexNet, for LPIPS; else downloaded.")
SIZE = typer.Option(None, "--size", metavar="PX", min=16, help="Side of the frames; the weights' own by default.")
BATCH = typer.Option(8, "--batch", metavar="N", min=1, help="Frames at once.")
SEED = typer.Option(0, "--seed", min=0, help="Of the split, random pairs and the bootstrap.")
DEVICE = typer.Option("auto", "--device", help="auto, cpu, cuda, cuda:N or mps.")
OUT = typer.Option(
    None, "--out", "-o", metavar="DIR", help="Write results.json and report.html there; the same command resumes."
)
FORCE = typer.Option(False, "--force", help="Replace the report of another evaluation in --out.")
JSON = typer.Option(False, "--json", help="Print one JSON document instead of a table.")


def reconstruction(
    data: Path = typer.Option(..., "--data", metavar="DIR", help="The data set: clips, or folders train/ and test/."),
    weights: list[str] = WEIGHTS,
    baseline: list[str] = BASELINE,
    metrics: str = typer.Option("l1,psnr,ssim", "--metrics", metavar="LIST", help="Of l1,psnr,ssim,lpips,akd,mkr,aed."),
    detectors: str = DETECTORS,
    network: list[str] = NETWORK,
    lpips_weights: Path | None = LPIPS,
    paper: str = typer.Option(
        "auto", "--paper", metavar="SET", help="Show the paper's rows for vox, taichi, nemo or bair; auto, none."
    ),
    size: int | None = SIZE,
    batch: int = BATCH,
    seed: int = SEED,
    limit: int = typer.Option(0, "--limit", metavar="N", min=0, help="Only the first N clips; 0 = all."),
    device: str = DEVICE,
    out: Path | None = OUT,
    force: bool = FORCE,
    as_json: bool = JSON,
) -> None:
    """Measure how well weights rebuild the test clips from their first frames.

    Every frame counts, the first included, as in the published evaluation. Frames are compared as the network
    makes them, before any video encoding. Under torchrun the clips are shared among the processes.
    """
    from fomm_cli.commands.eval_output import finish, progress
    from fomm_cli.data.clips import ClipRef
    from fomm_cli.data.split import find_split
    from fomm_cli.errors import FommError
    from fomm_cli.evaluate import measures, records, report, runner, setup, sheets
    from fomm_cli.evaluate.paper import which
    from fomm_cli.evaluate.ranks import join
    from fomm_cli.evaluate.reconstruction import measure
    from fomm_cli.train.memory import keep_freed_memory

    keep_freed_memory()
    rows = which(paper, data)
    split = find_split(data, seed)
    refs = split.test[:limit] if limit else split.test
    if not refs:
        raise FommError(f"{data} has no test clips.", "A set of one clip only trains: add a test/ folder.")
    request = setup.Request(
        weights=tuple(weights),
        baselines=tuple(baseline),
        metrics=measures.chosen(metrics),
        detectors=detectors,
        networks=setup.networks(network),
        lpips=lpips_weights,
        size=size,
        batch=batch,
        device=device,
    )
    with join() as ranks, progress(len(refs), ranks) as bar:
        parts = setup.prepare(request, ranks, bar.say)
        about = {"data": str(data), "split": split.layout, **parts.about}
        question = {"task": "reconstruction", **about, "clips": [ref.name for ref in refs], "seed": seed}
        store = runner.report_folder(out, question, force, ranks)

        def one(ref: ClipRef, digest: str) -> records.Record:
            return measure(
                ref, digest, parts.methods, parts.measures, parts.observers, parts.size, parts.batch, parts.device
            )

        found = runner.run(refs, lambda ref: records.digest(ref.path), one, ranks, store, bar.step)
        if not ranks.first:
            return
        result = report.document("reconstruction", found, parts.names, parts.metrics, seed, about, rows)
        figures = []
        if out is not None:
            by_name = {ref.name: ref for ref in refs}
            shown = parts.names[-1]
            by = report.ranking(found, shown, parts.metrics)
            for place, name, value in sheets.picked(report.per_clip(found, shown, by)):
                caption = f"{place} clip of {shown}: {name}, {report.title(by)} {value:.4f}"
                ref = by_name[name]
                figures.append(sheets.reconstruction_sheet(ref, parts.methods, parts.size, parts.device, caption))
    finish(result, figures, out, as_json)
