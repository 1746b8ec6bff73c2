"""The data of a run: found as the run was told, and on a resume the same as it was."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

from fomm_cli.data.fingerprint import Fingerprint, differences, fingerprint
from fomm_cli.data.split import Split, find_split
from fomm_cli.errors import FommError
from fomm_cli.files.disk import explain_os_error, write_text
from fomm_cli.train.run import Options, Run, read_json


def find(run: Run, options: Options, resume: bool) -> Split:
    """The clips. A list of test clips was copied into the run when it began: that copy counts."""
    listed = run.split if resume and run.split.is_file() else options.split
    return find_split(options.data, options.seed, None if listed is None else Path(listed))


_ANEW = "Remove it: a resume then takes the data as it finds it, and notes that."


def remember(run: Run, options: Options, split: Split, resume: bool, accept: bool) -> str:
    """Write down what a new run is fed with; compare it with what a resumed one was fed with.

    accept   a resume goes on whatever differs
    returns  a line on what differs, if that is accepted
    Raises FommError where it is not.
    """
    now = fingerprint(split)
    note = ""
    if resume and run.data.is_file():
        try:
            differing = differences(Fingerprint.from_json(read_json(run.data)), now)
        except ValueError as error:
            raise FommError(f"{run.data} does not tell what the run was fed with.", _ANEW) from error
        if differing and not accept:
            raise FommError(
                f"{options.data} is not the data set that {run.folder.name} was fed with: {'; '.join(differing)}.",
                "Name the right one with --data. Or go on with this one, --accept-data: what follows is then not that "
                "of an uninterrupted run.",
            )
        note = f"Other data than before, as accepted: {'; '.join(differing)}." if differing else ""
    if not run.data.is_file() or note:
        write_text(run.data, json.dumps(now.to_json()) + "\n", force=True)
    if resume:
        told = run.read_options()
        if told.data != options.data:  # where it was moved to, for the next time
            write_text(run.options, json.dumps(asdict(replace(told, data=options.data)), indent=1) + "\n", force=True)
    elif options.split is not None:
        try:
            shutil.copyfile(options.split, run.split)
        except OSError as error:
            raise explain_os_error(error, run.split) from error
    return note
