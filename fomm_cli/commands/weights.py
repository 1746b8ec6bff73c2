"""`fomm weights list | info | fetch | convert | stats`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer

from fomm_cli.commands.options import NONE, Device, Force, Json, Set, StoreAs
from fomm_cli.errors import printable

weights_app = typer.Typer(
    name="weights",
    no_args_is_help=True,
    help="Find, fetch, inspect and convert weights.",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@weights_app.command("list")
def list_weights(as_json: Json = False) -> None:
    """Every name that --weights knows: what it animates, its licences, where it comes from, whether it is here."""
    from fomm_cli.files import disk
    from fomm_cli.weights.catalogue import CATALOGUE, DEFAULT

    rows: list[dict[str, Any]] = []
    for entry in CATALOGUE.values():
        here = entry.path.is_file()
        rows.append(
            {
                "name": entry.name,
                "default": entry.name == DEFAULT,
                "domain": entry.domain,
                "size": list(entry.size),
                "megabytes": round(entry.path.stat().st_size / 1e6, 1) if here else entry.megabytes,
                "here": here,
                "bundled": entry.bundled,
                "path": str(entry.path) if here else None,
                "sha256": disk.sha256(entry.path) if here else None,
                "weights_licence": entry.weights_licence,
                "data_licence": entry.data_licence,
                "home": entry.home,
                "by_hand": entry.by_hand,
                "original": None if entry.original is None else asdict(entry.original),
                "sources": [
                    {"address": s.address, "cited": s.cited, "md5": s.md5, "sha256": s.sha256, "note": s.note}
                    for s in entry.sources
                ],
            }
        )
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    for row in rows:
        _print_entry(row)
    typer.echo("Published models come in their makers' files: `fomm weights fetch NAME` downloads and converts one.")
    typer.echo("A file you have already: fomm weights convert vox-cpk.pth.tar -o vox-256.safetensors")


def _print_entry(row: dict[str, Any]) -> None:
    where = "here" if row["here"] else "missing" if row["bundled"] else "not fetched"
    height, width = row["size"]
    typer.secho(f"{row['name']:<16}", bold=True, nl=False)
    typer.echo(
        f"{row['domain']} · {width}x{height} · {row['megabytes']} MB · {where}{' · default' if row['default'] else ''}"
    )
    lines = [("weights", row["weights_licence"]), ("data", row["data_licence"]), ("home", row["home"])]
    for source in row["sources"]:
        known = f"md5 {source['md5']}" if source["md5"] else source["sha256"] or "no published hash"
        lines.append(("from", f"{source['address']} ({'; '.join(filter(None, (known, source['note'])))})"))
    lines.append(("by hand", row["by_hand"]))
    if original := row["original"]:
        lines.append(("original", f"{original['size']} bytes, sha256 {original['sha256']}"))
    lines += [("sha256", row["sha256"]), ("file", row["path"])] if row["here"] else []
    for title, value in lines:
        if value:
            typer.echo(f"  {title:<9} {value}")
    typer.echo()


@weights_app.command()
def info(
    weights: str = typer.Argument(..., metavar="WEIGHTS", help="A name, a file, hf://..., or a published .pth.tar."),
    as_json: Json = False,
) -> None:
    """What a weights file says of itself: architecture, parameters, precision, hash, origin."""
    from fomm_cli.files import disk
    from fomm_cli.weights.load import resolve

    path = resolve(weights, fetching=False)
    facts = _checkpoint_facts(path) if _is_checkpoint(path) else _header_facts(path)
    facts |= {"path": str(path), "bytes": path.stat().st_size, "sha256": disk.sha256(path)}
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    height, width = facts["config"]["data"]["frame_shape"]
    lines = [
        ("file", facts["path"]),
        ("kind", facts["kind"]),
        ("name", facts["config"]["name"]),
        ("about", facts["config"]["description"]),
        ("frames", f"{width}x{height} pixels"),
        ("size", f"{facts['bytes'] / 1e6:.2f} MB"),
        ("sha256", facts["sha256"]),
        ("numbers", ", ".join(f"{count / 1e6:.2f} M {name}" for name, count in facts["parameters"].items())),
        ("stored as", ", ".join(facts["dtypes"])),
        *_architecture(facts["config"]["model"]),
        *[(f"from {key}", _plain(value)) for key, value in facts["provenance"].items() if value not in (None, {}, "")],
        *[("assumed", f"{key} = {_plain(value)}") for key, value in facts["assumed"].items()],
    ]
    _print_lines(lines)


@weights_app.command()
def fetch(
    name: str = typer.Argument(
        ..., metavar="NAME", help="A name of `fomm weights list`, or hf://owner/repo, hf://owner/repo/file@revision."
    ),
    output: Path | None = typer.Option(None, "-o", "--output", help="Copy the weights file here as well."),
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Bring weights to this machine; a published .pth.tar is checked and converted on arrival."""
    import shutil

    from fomm_cli.files import disk
    from fomm_cli.weights.fetch import fetch as fetch_weights

    if output is not None:
        disk.check_free(output, force)
    fetched = fetch_weights(name, force)
    path = fetched.path
    if output is not None:
        with disk.atomic_path(output, force) as temporary:
            shutil.copyfile(path, temporary)
        path = output
    digest = disk.sha256(path)
    if as_json:
        facts = {"path": str(path), "source": fetched.source, "note": fetched.note, "sha256": digest}
        typer.echo(json.dumps(facts | {"failed": fetched.failed}, indent=2))
        return
    _print_lines([("weights", str(path)), ("source", fetched.source), ("note", fetched.note), ("sha256", digest)])


@weights_app.command()
def convert(
    source: Path = typer.Argument(..., metavar="CHECKPOINT", help="A published .pth.tar, as downloaded."),
    output: Path = typer.Option(..., "-o", "--output", help="The .safetensors file to write."),
    config: str | None = typer.Option(
        None,
        "--config",
        help="A preset, our YAML or an upstream YAML; by default the architecture is read off the file.",
    ),
    overrides: Set = NONE,
    align_corners: bool | None = typer.Option(
        None,
        "--align-corners/--no-align-corners",
        help="The warp's convention: no for checkpoints trained on torch 1.3 or newer. [default: align]",
    ),
    store: StoreAs = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Turn a published checkpoint into one self-sufficient weights file."""
    import torch

    from fomm_cli.errors import FommError
    from fomm_cli.files import disk
    from fomm_cli.weights.convert import convert as convert_weights

    if output.suffix != ".safetensors":
        raise FommError(f"{output} does not end in .safetensors.", f"Write -o {output.name.split('.')[0]}.safetensors.")
    if align_corners is not None:
        overrides = [*overrides, f"model.align_corners={str(align_corners).lower()}"]
    done = convert_weights(source, output, config, overrides, getattr(torch, store) if store else None, force=force)
    facts: dict[str, Any] = {
        "path": str(output),
        "sha256": disk.sha256(output),
        "bytes": output.stat().st_size,
        "epoch": done.epoch,
        "assumed": done.assumed,
        "dropped": done.dropped,
        "counters_filled": done.filled,
        "discriminator": done.discriminator is not None,
        "config": done.config.model_dump(mode="json"),
    }
    if as_json:
        typer.echo(json.dumps(facts, indent=2))
        return
    lines = [
        ("weights", str(output)),
        ("name", done.config.name),
        ("size", f"{facts['bytes'] / 1e6:.2f} MB"),
        ("sha256", facts["sha256"]),
        ("epoch", done.epoch),
        *_architecture(facts["config"]["model"], done.discriminator is not None),
        *[("assumed", f"{key} = {_plain(value)}") for key, value in done.assumed.items()],
        ("dropped", f"{', '.join(done.dropped)} (constants)" if done.dropped else None),
    ]
    _print_lines(lines)
    if done.assumed:
        typer.echo("The file does not tell what is assumed here: change it with --set KEY=VALUE or --config.", err=True)


@weights_app.command()
def stats(
    weights: str = typer.Argument(..., metavar="WEIGHTS", help="A name, a file or hf://..."),
    data: Path = typer.Option(..., "--data", metavar="DIR", help="The data set that the network was trained on."),
    output: Path | None = typer.Option(None, "-o", "--output", help="Write the weights here, with what was measured."),
    pairs: int = typer.Option(200, "--pairs", metavar="N", min=1, help="Pairs of frames to look at."),
    seed: int = typer.Option(0, "--seed", help="Of their choice."),
    device: Device = "auto",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Measure how far movements go in a network's data, which is what `--clamp auto` goes by.

    `fomm train` does so at its end; this is for weights from elsewhere.
    """
    from fomm_cli.evaluate.reach import measured

    reach = measured(weights, data, output, pairs, seed, device, force)
    if as_json:
        typer.echo(json.dumps({"reach": reach._asdict(), "path": None if output is None else str(output)}))
        return
    _print_lines(
        [
            ("points", f"99.9 % move less than {reach.shift:.3f}, in units of [-1, 1]"),
            ("frames", f"99.9 % change by less than {reach.frame:.3f}, the norm of the logarithm"),
            ("weights", None if output is None else str(output)),
        ]
    )


def _is_checkpoint(path: Path) -> bool:
    from fomm_cli.weights.header import looks_like_checkpoint

    return looks_like_checkpoint(path)


def _header_facts(path: Path) -> dict[str, Any]:
    from fomm_cli.weights.header import read_header

    header = read_header(path)
    parameters = {"in total": header.parameters()} | {part: header.parameters(part) for part in header.parts}
    return {
        "kind": f"fomm weights, written by fomm {header.written_by}",
        "parameters": parameters,
        "dtypes": header.dtypes(),
        "config": header.config.model_dump(mode="json"),
        "provenance": header.provenance,
        "assumed": {},
    }


def _checkpoint_facts(path: Path) -> dict[str, Any]:
    from fomm_cli.weights.convert import read_published

    read = read_published(path)
    parameters: dict[str, int] = {"in total": 0}
    dtypes: dict[str, int] = {}
    for name, value in read.state.items():
        if value.is_floating_point():
            for part in ("in total", name.partition(".")[0]):
                parameters[part] = parameters.get(part, 0) + value.numel()
            kind = str(value.dtype).removeprefix("torch.")
            dtypes[kind] = dtypes.get(kind, 0) + value.numel()
    return {
        "kind": "published checkpoint (a torch pickle; `fomm weights convert` makes it a weights file)",
        "parameters": parameters,
        "dtypes": dtypes,
        "config": read.config.model_dump(mode="json"),
        "provenance": {"epoch": read.epoch},
        "assumed": read.assumed,
    }


def _architecture(model: dict[str, Any], discriminator: bool = True) -> list[tuple[str, str]]:
    """One line for each section of the model config, as `key value` pairs."""
    sections = [name for name, value in model.items() if isinstance(value, dict)]
    top = ", ".join(f"{key} {_plain(value)}" for key, value in model.items() if key not in sections)
    lines = [("model", top)]
    for name in sections:
        if name != "discriminator" or discriminator:
            lines.append((name, ", ".join(f"{key} {_plain(value)}" for key, value in model[name].items())))
    return lines


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False)
    return f"{value:g}" if isinstance(value, float) else str(value)


def _print_lines(lines: list[tuple[str, Any]]) -> None:
    shown = [(printable(title), value) for title, value in lines if value not in (None, "")]
    width = max(len(title) for title, _ in shown)
    for title, value in shown:
        typer.echo(f"{title:<{width}}  {printable(str(value))}")
