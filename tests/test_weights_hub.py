"""Names that resolve through the Hub, with the real client against a Hub on this machine.

The client reads its environment when it is imported, so each test runs the command in a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from fomm_cli.errors import FommError
from fomm_cli.weights.hub import HubFile
from tests import processes
from tests.hub_server import COMMIT, Hub, HubServer


class Ran(NamedTuple):
    """A finished command."""

    code: int
    out: str
    err: str

    @property
    def path(self) -> Path:
        """The file that `--json` names."""
        return Path(json.loads(self.out)["path"])


@pytest.fixture
def hub() -> Iterator[Hub]:
    with HubServer() as running:
        yield running


def run(hub: Hub | None, tmp_path: Path, *arguments: str, **environment: str) -> Ran:
    """`fomm ARGUMENTS` with all caches under `tmp_path`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "FOMM_"))}
    kept |= {
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "FOMM_CACHE": str(tmp_path / "fomm"),
        "NO_PROXY": "*",
        **({"HF_ENDPOINT": hub.address} if hub else {}),
        **environment,
    }
    first = "import os, sys; assert 'huggingface_hub' not in sys.modules; os.environ.clear(); "
    done = processes.run(*arguments, first=f"{first}os.environ.update({kept!r})")
    return Ran(done.wait(), done.printed, done.said)


def refused(ran: Ran, *words: str) -> None:
    assert ran.code == 1, ran
    assert "Traceback" not in ran.err
    for word in words:
        assert word in ran.err, ran.err


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("hf://owner/repo", HubFile("owner/repo")),
        ("hf://owner/repo/a/b.safetensors", HubFile("owner/repo", "a/b.safetensors")),
        ("hf://owner/repo@v1", HubFile("owner/repo", None, "v1")),
        ("hf://owner/repo/b.safetensors@refs/pr/1", HubFile("owner/repo", "b.safetensors", "refs/pr/1")),
        ("hf://spaces/owner/repo/w.pth.tar", HubFile("owner/repo", "w.pth.tar", None, "space")),
    ],
)
def test_addresses_are_taken_apart_and_written_back(address: str, parts: HubFile) -> None:
    assert HubFile.parse(address) == parts
    assert str(parts) == address


@pytest.mark.parametrize(
    "address",
    ["hf://", "hf://owner", "hf://owner/", "hf://spaces/owner", "hf://o/r@", "hf://o//f", "hf://o/r@v/f.safetensors"],
)
def test_malformed_addresses_are_refused(address: str) -> None:
    with pytest.raises(FommError):
        HubFile.parse(address)


def test_a_file_is_fetched_once_and_then_needs_no_network(hub: Hub, tmp_path: Path) -> None:
    hub.add("someone/toons", {"model.safetensors": b"weights" * 1000})
    first = run(hub, tmp_path, "weights", "fetch", "hf://someone/toons", "--json")
    assert first.code == 0, first.err
    assert first.path.read_bytes() == b"weights" * 1000
    assert json.loads(first.out)["sha256"] == hashlib.sha256(b"weights" * 1000).hexdigest()
    bodies = len(hub.asked("GET", "/store/"))
    again = run(hub, tmp_path, "weights", "fetch", "hf://someone/toons", "--json")
    assert again.path == first.path
    assert len(hub.asked("GET", "/store/")) == bodies  # the second time only the version was asked for
    asked = len(hub.log)
    offline = run(hub, tmp_path, "weights", "fetch", "hf://someone/toons", "--json", HF_HUB_OFFLINE="1")
    assert offline.path == first.path
    assert len(hub.log) == asked


def test_offline_without_the_file_says_so(hub: Hub, tmp_path: Path) -> None:
    hub.add("someone/toons", {"model.safetensors": b"x"})
    refused(run(hub, tmp_path, "weights", "info", "hf://someone/toons", HF_HUB_OFFLINE="1"), "HF_HUB_OFFLINE")
    assert hub.log == []


def test_a_named_file_of_a_revision(hub: Hub, tmp_path: Path) -> None:
    hub.add("someone/toons", {"model.safetensors": b"wrong", "deep/other.safetensors": b"right"}, revisions=("v2",))
    ran = run(hub, tmp_path, "weights", "fetch", "hf://someone/toons/deep/other.safetensors@v2", "--json")
    assert ran.code == 0, ran.err
    assert ran.path.read_bytes() == b"right"
    refused(run(hub, tmp_path, "weights", "fetch", "hf://someone/toons@v3"), "no revision v3")


def test_the_only_weights_file_is_found_online_and_off(hub: Hub, tmp_path: Path) -> None:
    hub.add("someone/toons", {"README.md": b"#", "toons.safetensors": b"the one"})
    ran = run(hub, tmp_path, "weights", "fetch", "hf://someone/toons", "--json")
    assert ran.code == 0, ran.err
    assert ran.path.read_bytes() == b"the one"
    offline = run(hub, tmp_path, "weights", "fetch", "hf://someone/toons", "--json", HF_HUB_OFFLINE="1")
    assert offline.code == 0, offline.err
    assert offline.path == ran.path


def test_several_or_no_weights_files_are_listed(hub: Hub, tmp_path: Path) -> None:
    hub.add("someone/many", {"a.safetensors": b"a", "b.safetensors": b"b"})
    refused(
        run(hub, tmp_path, "weights", "fetch", "hf://someone/many"), "2 weights files", "a.safetensors, b.safetensors"
    )
    hub.add("someone/old", {"vox-cpk.pth.tar": b"p"})
    refused(
        run(hub, tmp_path, "weights", "fetch", "hf://someone/old"),
        "no .safetensors file",
        "fomm weights fetch hf://someone/old/vox-cpk.pth.tar",
    )


def test_a_broken_transfer_is_resumed(hub: Hub, tmp_path: Path) -> None:
    content = os.urandom(1 << 20) * 24  # the client writes in pieces of 10 MiB
    hub.add("someone/toons", {"model.safetensors": content})
    hub.cut = 1
    ran = run(hub, tmp_path, "weights", "fetch", "hf://someone/toons", "--json")
    assert ran.code == 0, ran.err
    assert ran.path.read_bytes() == content
    assert [headers.get("range") for headers in hub.asked("GET", "/store/")] == [None, f"bytes={10 << 20}-"]


def test_a_private_repository_needs_the_token_which_stays_at_the_hub(hub: Hub, tmp_path: Path) -> None:
    hub.add("someone/secret", {"model.safetensors": b"private"}, token="hf_sesame")
    refused(run(hub, tmp_path, "weights", "fetch", "hf://someone/secret"), "private", "HF_TOKEN")
    ran = run(hub, tmp_path, "weights", "fetch", "hf://someone/secret", "--json", HF_TOKEN="hf_sesame")
    assert ran.code == 0, ran.err
    assert ran.path.read_bytes() == b"private"
    assert hub.asked("HEAD", "/resolve/")[-1]["authorization"] == "Bearer hf_sesame"
    assert "authorization" not in hub.asked("GET", "/store/")[-1]  # the store is another host


def test_what_is_not_there(hub: Hub, tmp_path: Path) -> None:
    refused(run(hub, tmp_path, "weights", "fetch", "hf://nobody/nothing"), "does not exist, or is private")
    hub.add("someone/toons", {"model.safetensors": b"x"})
    refused(
        run(hub, tmp_path, "weights", "fetch", "hf://someone/toons/gone.safetensors"), "has no file gone.safetensors"
    )
    hub.add("someone/gated", {"model.safetensors": b"x"}, gated=True)
    refused(run(hub, tmp_path, "weights", "fetch", "hf://someone/gated"), "is gated", "Accept the terms")
    refused(run(hub, tmp_path, "weights", "fetch", "hf://so me/thing"), "no name of a repository")


def test_a_copy_is_written_where_asked_and_not_over_anything(hub: Hub, tmp_path: Path) -> None:
    hub.add("someone/toons", {"model.safetensors": b"copied"}, revisions=(COMMIT,))
    target = tmp_path / "mine.safetensors"
    address = f"hf://someone/toons@{COMMIT}"
    assert run(hub, tmp_path, "weights", "fetch", address, "-o", str(target)).code == 0
    assert target.read_bytes() == b"copied"
    target.write_bytes(b"precious")
    refused(run(hub, tmp_path, "weights", "fetch", address, "-o", str(target)), "exists already", "--force")
    assert target.read_bytes() == b"precious"
