"""What a server allows, and the refusals it gives."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fomm_cli.errors import FommError

LOCAL = {"localhost", "127.0.0.1", "::1"}


class RefusedError(FommError):
    """An answer other than 400: `status` is that of HTTP."""

    def __init__(self, status: int, what: str, hint: str = "") -> None:
        super().__init__(what, hint)
        self.status = status


@dataclass(frozen=True)
class Rules:
    """How `fomm web` serves.

    host         the address listened on
    token        what a visitor must know; "" = nothing
    max_upload   bytes of one file
    max_seconds  of a driving
    max_side     pixels, the longer side of a picture or clip
    jobs, queue  animations made at a time, and how many more may wait
    keep         seconds that a file is kept after it was last used
    quota        bytes of one visitor's files; of all visitors together five times as many
    work         the folder in which the work folder is made; None = the system's for temporary files
    badge        the corner in which all that is made is marked, where a visitor names no other; "none"
    fetch        whether a visitor's wish may download weights
    certificate  files of a certificate chain and its key, for https; None = http
    """

    host: str = "127.0.0.1"
    token: str = ""
    max_upload: int = 200 << 20
    max_seconds: float = 120
    max_side: int = 8192
    jobs: int = 1
    queue: int = 20
    keep: float = 3600
    quota: int = 2 << 30
    work: Path | None = None
    badge: str = "none"
    fetch: bool = False
    certificate: tuple[Path, Path] | None = None

    @property
    def local(self) -> bool:
        """Whether nobody but this machine is served."""
        return self.host in LOCAL
