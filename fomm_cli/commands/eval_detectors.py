"""`fomm eval detectors`: what looks at faces and bodies for AKD, MKR and AED."""

from __future__ import annotations

import json

import typer


def detectors(as_json: bool = typer.Option(False, "--json", help="Print one JSON document instead.")) -> None:
    """List the detectors: what each measures, its licence and source, whether it is ready, and how to get it."""
    from fomm_cli.detectors.choice import SUITES, available
    from fomm_cli.detectors.networks import NETWORKS

    suites = [
        {
            "name": suite.name,
            "does": suite.does,
            "metrics": list(suite.metrics),
            "networks": list(suite.networks),
            "licence": suite.licence,
            "source": suite.source,
            "installed": available(suite),
            "install": suite.install,
        }
        for suite in SUITES.values()
    ]
    networks = [
        {
            "name": network.name,
            "does": network.does,
            "licence": network.licence,
            "source": network.source,
            "urls": list(network.urls),
            "sha256": network.sha256,
            "cached": network.cached.is_file(),
            "file": str(network.cached),
        }
        for network in NETWORKS.values()
    ]
    if as_json:
        typer.echo(json.dumps({"detectors": suites, "networks": networks}, indent=2))
        return
    typer.secho("Detectors (--detectors NAME)", bold=True)
    for suite in SUITES.values():
        ready = "installed" if available(suite) else f"not installed: {suite.install}"
        typer.echo(f"{suite.name:<16}{suite.does} · {', '.join(suite.metrics).upper()} · {ready}")
        origin = f"networks {', '.join(suite.networks)}" if suite.networks else suite.source
        typer.echo(f"{'':<16}{suite.licence} · {origin}")
    typer.secho("\nNetworks (--network NAME=FILE; fetched on first use otherwise)", bold=True)
    for network in NETWORKS.values():
        here = "here" if network.cached.is_file() else "not fetched yet"
        typer.echo(f"{network.name:<16}{network.does} · {here}")
        typer.echo(f"{'':<16}{network.licence} · {network.source}")
        typer.echo(f"{'':<16}sha256 {network.sha256}")
