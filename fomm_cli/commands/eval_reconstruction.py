"""`fomm eval reconstruction`: the first frame of every test clip, driven by the clip itself."""

from __future__ import annotations

from pathlib import Path

import typer

WEIGHTS = typer.Option([], "--weights", "-w", metavar="NAME|FILE", help="What to measure. Repeatable: one table.")
BASELINE = typer.Option([], "--baseline", metavar="NAME", help="A floor in the same table: copy. Repeatable.")
DETECTORS = typer.Option("face", "--detectors", metavar="NAME", help="For AKD, MKR, AED: see `fomm eval detectors`.")
NETWORK = typer.Option([], "--network", metavar="NAME=FILE", help="A detector's network by path. Repeatable.")
LPIPS = typer.Option(None, "--lpips-weights", metavar="FILE", help="torchvision's AlexNet, for LPIPS; else downloaded.")
FID = typer.Option(None, "--fid-weights", metavar="FILE", help="torch-fidelity's Inception, for FID; else downloaded.")
PART = typer.Option("test", "--part", metavar="test|all", help="Which clips of the set.")
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
    metrics: str = typer.Option(
        "l1,psnr,ssim", "--metrics", metavar="LIST", help="Of l1,psnr,ssim,lpips,akd,mkr,aed,fid."
    ),
    detectors: str = DETECTORS,
    network: list[str] = NETWORK,
    lpips_weights: Path | None = LPIPS,
    fid_weights: Path | None = FID,
    part: str = PART,
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
    from fomm_cli.device import keep_freed_memory
    from fomm_cli.evaluate import measures, records, report, runner, setup, sheets, testset
    from fomm_cli.evaluate.paper import which
    from fomm_cli.evaluate.ranks import join
    from fomm_cli.evaluate.reconstruction import measure

    keep_freed_memory()
    rows = which(paper, data)
    found = testset.find(data, seed, part)
    refs = found.clips[:limit] if limit else found.clips
    request = setup.Request(
        weights=tuple(weights),
        baselines=tuple(baseline),
        metrics=measures.chosen(metrics),
        detectors=detectors,
        networks=setup.networks(network),
        lpips=lpips_weights,
        inception=fid_weights,
        keeps=out is not None,
        size=size,
        batch=batch,
        device=device,
    )
    with join() as ranks, progress(len(refs), ranks) as bar:
        parts = setup.prepare(request, ranks, bar.say)
        about = {"data": str(data), "split": found.layout, **parts.about}
        question = {"task": "reconstruction", **about, "clips": [ref.name for ref in refs], "seed": seed}
        store = runner.report_folder(out, question, force, ranks, parts.inception is not None)

        def one(ref: ClipRef, digest: str) -> records.Record:
            shelf = parts.shelf()
            p = parts
            record = measure(ref, digest, p.methods, p.measures, p.observers, p.size, p.batch, p.device, shelf)
            if shelf is not None and store is not None:
                store.keep(ref.name, shelf.arrays())
            return record

        done = runner.run(refs, lambda ref: records.digest(ref.path), one, ranks, store, bar.step)
        if not ranks.first:
            return
        result = report.document("reconstruction", done, parts.names, parts.metrics, seed, about, rows)
        runner.complete(result, done, store, parts.names, parts.inception is not None)
        figures = []
        if out is not None:
            by_name = {ref.name: ref for ref in refs}
            shown = parts.names[-1]
            by = report.ranking(done, shown, parts.metrics)
            for place, name, value in sheets.picked(report.per_clip(done, shown, by)):
                caption = f"{place} clip of {shown}: {name}, {report.title(by)} {value:.4f}"
                ref = by_name[name]
                figures.append(sheets.reconstruction_sheet(ref, parts.methods, parts.size, parts.device, caption))
    finish(result, figures, out, as_json)
