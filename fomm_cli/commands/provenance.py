"""`fomm provenance`: what a file says of how it was made, and what that is worth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from fomm_cli.commands.options import Json
from fomm_cli.errors import FommError, printable


def provenance(
    file: Path = typer.Argument(..., metavar="FILE", help="Any clip or picture, or a folder of pictures."),
    as_json: Json = False,
) -> None:
    """Tell what FILE says of how it was made, and what that proves.

    Metadata are a claim that anybody can write and anybody can remove; a signature proves who made it and that nothing
    was changed since. That nothing is said proves nothing.
    """
    from fomm_cli.media.provenance import read_mark
    from fomm_cli.media.sequence import image_files

    mark = read_mark(file)
    looked = image_files(file)[0] if file.is_dir() else file
    signed, why = _signed(looked)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "mark": mark, "signed": signed, "unread": why}, indent=2))
        return
    typer.echo(f"Metadata   {_of_mark(mark)}")
    for name, value in (mark["record"] or {}).items():
        if value and name not in {"synthetic", "digital_source_type"}:
            typer.echo(printable(f"           {name}: {json.dumps(value) if not isinstance(value, str) else value}"))
    typer.echo(f"Signature  {why or _of_signature(signed)}")


def _of_mark(mark: dict[str, Any]) -> str:
    if mark["record"] is not None:
        return printable(f"{mark['comment']}. A claim: anybody can write it, anybody can remove it.")
    if mark["source_type"] is not None:
        return "Says it was made in part by a trained network (IPTC). A claim."
    return printable(f'Nothing of fomm\'s. Comment: "{mark["comment"]}"') if mark["comment"] else "Nothing is said."


def _of_signature(signed: dict[str, Any] | None) -> str:
    if signed is None:
        return "None."
    if signed["state"] == "Invalid":
        return printable(f"INVALID ({', '.join(signed['problems'])}): changed since it was signed, or damaged.")
    who, when = signed["signer"] or "somebody who is not told", signed["time"]
    listed = "who is on a list of trusted ones" if signed["state"] == "Trusted" else "who is on no list of trusted ones"
    time = f", at {when}" if when else ", at a time that is not witnessed"
    return printable(f"Valid: by {who}, {listed}{time}. Nothing was changed since.")


def _signed(path: Path) -> tuple[dict[str, Any] | None, str]:
    """What the signature is worth, and why it was not looked at."""
    from fomm_cli.media.signing import read_signed

    try:
        return read_signed(path), ""
    except FommError as error:
        return None, f"Not looked at: {error.what} {error.hint}"
