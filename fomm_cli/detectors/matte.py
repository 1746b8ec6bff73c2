"""What of a picture is its subject, by a network of rembg, the extra `matte`, which fetches what it is asked for."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fomm_cli.detectors.networks import missing
from fomm_cli.errors import FommError, nearest


def check_matte(name: str) -> None:
    """Refuse, before any work, what cannot be asked: the package is not there, or knows no such network."""
    if importlib.util.find_spec("rembg") is None:
        error = missing("rembg, which tells subject from background,", "matte")
        raise FommError(error.what, f"{error.hint}, or use --matte motion, which needs nothing.")
    known = _sessions()
    if name not in known:
        raise FommError(f"rembg has no network {name!r}.", nearest(name, ["motion", *known]))


def matte(picture: NDArray[np.uint8], name: str) -> NDArray[np.uint8]:
    """The transparency (H, W) of a picture (H, W, 3), 255 where its subject is."""
    import rembg

    try:
        found: Any = rembg.remove(picture, session=rembg.new_session(name), only_mask=True)
    except Exception as error:  # it fetches by one library and runs by another: each has errors of its own
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise FommError(f"rembg's network {name} gave no mask: {said}", "Make a mask yourself: --mask FILE.") from error
    shown = np.asarray(found)
    shown = shown if shown.ndim == 2 else shown[..., 0]
    if shown.shape != picture.shape[:2] or shown.dtype != np.uint8:
        raise FommError(f"rembg's network {name} gave no mask of the picture's size.", "Take another network.")
    if not shown.any():
        raise FommError(
            f"rembg's network {name} sees no subject.", "Take another network, or make a mask: --mask FILE."
        )
    return np.ascontiguousarray(shown)


def _sessions() -> list[str]:
    from rembg.sessions import sessions_names

    return [str(name) for name in sessions_names]
