"""The one way a torch file is opened: tensors and plain containers, and nothing that could run."""

from __future__ import annotations

import pickle
import re
import warnings
from pathlib import Path
from typing import Any

import torch

from fomm_cli.errors import FommError
from fomm_cli.files.disk import check_endless, explain_os_error


def read_tensors(path: str | Path, what: str, hint: str) -> Any:
    """What `torch.save` wrote, on the CPU.

    what   it should be, for sentences: "checkpoint"
    hint   what to do about a damaged one
    Raises FommError: damaged or of another kind; refused, because its pickle names code.
    """
    check_endless(path)
    try:
        with warnings.catch_warnings():  # of other pickle protocols than its own it warns, and reads or refuses them
            warnings.simplefilter("ignore", UserWarning)
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL\s+`?([\w.]+)", str(error))
        if named is None:
            raise FommError(f"{path} is not a readable {what}: truncated or altered.", hint) from error
        raise FommError(
            f"{path} was refused: beside plain tensors its pickle names {named[1][:60]}, which could run code when "
            "loaded.",
            "Use a file from a source you trust. If this one is yours, save it again with tensors, numbers, lists and "
            "dicts only.",
        ) from error
    except MemoryError:
        raise
    except OSError as error:
        raise explain_os_error(error, path, "read") from error
    except Exception as error:  # a damaged pickle fails in every way there is: EOFError, KeyError, RuntimeError, ...
        raise FommError(
            f"{path} is not a readable {what}: truncated or damaged ({type(error).__name__}).", hint
        ) from error
