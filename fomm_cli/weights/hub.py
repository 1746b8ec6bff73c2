"""Files on the Hugging Face Hub, through its own client: its cache, HF_ENDPOINT, HF_HUB_OFFLINE, HF_TOKEN.

An address is `hf://owner/repo[/path/to/file][@revision]`; `hf://spaces/...` and `hf://datasets/...` exist too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fomm_cli.errors import FommError
from fomm_cli.files.disk import sha256
from fomm_cli.files.listener import offline

SCHEME = "hf://"
_KINDS = {"spaces": "space", "datasets": "dataset", "models": "model"}
_USUAL = "model.safetensors"
_ATTEMPTS = 2  # newer clients resume a broken transfer by themselves, older ones when they are called again
_FORM = "Write hf://owner/repo, hf://owner/repo/file.safetensors or hf://owner/repo/file.safetensors@revision."


@dataclass(frozen=True)
class HubFile:
    """One file of one repository; `file` None means the only weights file there, `revision` None the main branch."""

    repo: str
    file: str | None = None
    revision: str | None = None
    kind: str = "model"

    @classmethod
    def parse(cls, address: str) -> HubFile:
        """The parts of an hf:// address; FommError when it is not one."""
        rest, at, revision = address.removeprefix(SCHEME).partition("@")
        pieces = rest.split("/")
        kind = "model"
        if pieces[0] in _KINDS:
            kind, pieces = _KINDS[pieces[0]], pieces[1:]
        if not address.startswith(SCHEME) or len(pieces) < 2 or not all(pieces) or (at and not revision):
            raise FommError(f"{address} is not an address on the Hub.", _FORM)
        if revision.endswith((".safetensors", ".tar")):
            raise FommError(f"{address} names the revision before the file.", _FORM)
        return cls("/".join(pieces[:2]), "/".join(pieces[2:]) or None, revision or None, kind)

    def __str__(self) -> str:
        kind = "" if self.kind == "model" else f"{self.kind}s/"
        file = f"/{self.file}" if self.file else ""
        return f"{SCHEME}{kind}{self.repo}{file}{f'@{self.revision}' if self.revision else ''}"


def download(address: str, force: bool = False) -> Path:
    """The file behind an hf:// address, from the cache or the network; HF's client keeps and names the cache.

    force   fetch it again, whatever the cache holds. A file there that was damaged is fetched again by itself
    Raises FommError: no such repository, revision or file; private or gated; offline and not cached; a failed transfer.
    """
    wanted = HubFile.parse(address)
    found = _found(wanted, force)
    return _found(wanted, True) if _is_damaged(found) and not offline() else found


def _found(wanted: HubFile, force: bool) -> Path:
    if wanted.file is not None:
        return _get(wanted, wanted.file, force)
    try:
        return _get(wanted, _USUAL, force)
    except _NoSuchFileError:
        return _get(wanted, _only_weights(wanted), force)


def _is_damaged(path: Path) -> bool:
    """Whether a cached file is not what was fetched: the client names a large file's blob by its sha256.

    The hash takes its time and is only asked where the file cannot be opened.
    """
    from safetensors import SafetensorError, safe_open

    digest = path.resolve().name
    if len(digest) != 64 or path.suffix != ".safetensors":
        return False
    try:
        with safe_open(str(path), framework="np"):
            return False
    except (SafetensorError, OSError):
        return sha256(path) != digest


class _NoSuchFileError(FommError):
    """The repository is there, the file is not."""


def _get(wanted: HubFile, file: str, force: bool = False) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    for attempt in range(1, _ATTEMPTS + 1):
        try:
            found = hf_hub_download(
                wanted.repo,
                file,
                repo_type=wanted.kind,
                revision=wanted.revision,
                local_files_only=offline(),
                force_download=force and not offline(),
            )
            return Path(found)
        except LocalEntryNotFoundError as error:  # nothing in the cache, and the Hub could not be asked
            if wanted.file is None and (cached := _cached(wanted)) is not None:
                return cached
            raise _translate(wanted, error) from error
        except EntryNotFoundError as error:
            raise _NoSuchFileError(
                f"{wanted} does not exist: {wanted.repo} has no file {file}.",
                f"See which files it has, then write {SCHEME}{wanted.repo}/FILE.",
            ) from error
        except (HfHubHTTPError, HFValidationError) as error:
            raise _translate(wanted, error) from error
        except (
            Exception
        ) as error:  # its HTTP library's errors pass through the client, and that library has changed twice
            if attempt == _ATTEMPTS:
                raise _translate(wanted, error) from error
    raise AssertionError("unreachable")


def _only_weights(wanted: HubFile) -> str:
    """The one .safetensors of the repository."""
    from huggingface_hub import HfApi

    try:
        names = HfApi().list_repo_files(wanted.repo, repo_type=wanted.kind, revision=wanted.revision)
    except Exception as error:
        raise _translate(wanted, error) from error
    weights = sorted(name for name in names if name.endswith(".safetensors"))
    if len(weights) == 1:
        return weights[0]
    if weights:
        shown = ", ".join(weights[:10]) + (" ..." if len(weights) > 10 else "")
        raise FommError(
            f"{wanted} has {len(weights)} weights files: {shown}.", f"Name one: {SCHEME}{wanted.repo}/FILE."
        )
    pickles = sorted(name for name in names if name.endswith((".pth.tar", ".pth")))
    hint = f"Fetch and convert it: fomm weights fetch {SCHEME}{wanted.repo}/{pickles[0]}" if pickles else _FORM
    raise FommError(f"{wanted} has no .safetensors file.", hint)


def _cached(wanted: HubFile) -> Path | None:
    """The one weights file of this revision that the cache already holds."""
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(wanted.repo, repo_type=wanted.kind, revision=wanted.revision, local_files_only=True)
    except Exception:  # not there, in one of the client's many ways to say so
        return None
    found = sorted(Path(folder).rglob("*.safetensors"))
    return found[0] if len(found) == 1 else None


def _translate(wanted: HubFile, error: Exception) -> FommError:
    """The client's exception as one sentence each for what and what to do."""
    from huggingface_hub.utils import (
        GatedRepoError,
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    if isinstance(error, HFValidationError):
        return FommError(f"{wanted.repo} is no name of a repository on the Hub.", _FORM)
    if isinstance(error, GatedRepoError):
        return FommError(
            f"{wanted} is gated: its owner asks for consent first.",
            f"Accept the terms on the page of {wanted.repo}, then log in with `hf auth login` or set HF_TOKEN.",
        )
    if isinstance(error, RevisionNotFoundError):
        return FommError(f"{wanted} does not exist: {wanted.repo} has no revision {wanted.revision}.", _FORM)
    if isinstance(error, RepositoryNotFoundError):
        return FommError(
            f"{wanted} does not exist, or is private.",
            "Check the name; for a private repository log in with `hf auth login` or set HF_TOKEN.",
        )
    offline = isinstance(error, OfflineModeIsEnabled) or isinstance(error.__cause__, OfflineModeIsEnabled)
    if offline or (isinstance(error, LocalEntryNotFoundError) and error.__cause__ is None):
        return FommError(
            f"{wanted} is not in the cache, and HF_HUB_OFFLINE forbids asking the Hub.",
            "Unset HF_HUB_OFFLINE and run once with a network.",
        )
    if isinstance(error, LocalEntryNotFoundError):
        return FommError(
            f"{wanted} is not in the cache, and the Hub did not answer ({_first_line(error.__cause__ or error)}).",
            "Check the network, and HF_ENDPOINT if it is set; then run the command again.",
        )
    if isinstance(error, HfHubHTTPError) and error.response is not None and error.response.status_code in (401, 403):
        return FommError(
            f"{wanted} may not be read: the Hub answered {error.response.status_code}.",
            "Log in with `hf auth login` or set HF_TOKEN to a token that may read it.",
        )
    return FommError(
        f"{wanted} could not be downloaded ({_first_line(error)}).", "Run the command again; if it persists, try later."
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0].rstrip(". ")
    return text[:200] or type(error).__name__
