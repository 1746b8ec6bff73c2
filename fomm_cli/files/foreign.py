"""Files from elsewhere that a part of fomm needs: found here, or fetched from their public homes and verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fomm_cli.errors import FommError
from fomm_cli.files import disk, download
from fomm_cli.files.listener import announce


@dataclass(frozen=True)
class Foreign:
    """One such file.

    what      it is, for sentences: "the face-box network"
    file      its path below the cache folder
    urls      its public homes; the first that answers is taken, and whichever it is, it must have the digest
    sha256    of the file, or its first digits where its publisher tells no more; None where the user checks the content
    licence   of its publisher, as short as possible; may be empty
    flag      what to type to give the file instead: "--lpips-weights FILE"
    home      the page of its makers, for people; empty = the last address
    """

    what: str
    file: str
    urls: tuple[str, ...]
    sha256: str | None
    licence: str
    flag: str
    home: str = ""

    @property
    def cached(self) -> Path:
        """Where a fetched copy is, or will be."""
        return disk.cache_dir() / self.file

    def find(self, path: str | Path | None = None, say: Callable[[str], None] | None = None) -> Path:
        """A given file as it is; else the cached one; else a download.

        say   told of the download before it begins; None = `listener.announce`
        Raises FommError: not there, none of its homes answers, not the expected file.
        """
        if path is not None:
            disk.check_payload(path, self.what)
            return Path(path)
        if not self.cached.is_file():
            terms = f" ({self.licence})" if self.licence else ""
            (say or announce)(f"Fetching {self.what}{terms} from {self.home or self.urls[0]}")
        failure = FommError(f"{self.what} has no known address.")
        for url in self.urls:
            try:
                return download.fetch(url, self.cached, self.sha256)
            except FommError as error:
                failure = error
        what = self.what[:1].upper() + self.what[1:]
        raise FommError(
            f"{what} could not be downloaded: {failure.what}",
            f"Download it yourself from {self.home or self.urls[-1]} and give it: {self.flag}.",
        ) from failure
