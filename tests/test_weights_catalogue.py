"""The catalogue: honest entries, and published checkpoints fetched, checked and converted."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from fomm_cli.commands.app import main
from fomm_cli.config import reading as configs
from fomm_cli.errors import FommError
from fomm_cli.files.disk import ASSETS
from fomm_cli.model.families import family_of
from fomm_cli.weights import catalogue
from fomm_cli.weights.catalogue import CATALOGUE, DEFAULT, Source
from fomm_cli.weights.fetch import fetch
from fomm_cli.weights.file import expected_shapes
from fomm_cli.weights.header import read_header
from fomm_cli.weights.load import load_model, resolve
from tests.hub_server import Hub, HubServer

CITED = "https://example.org/page"


@pytest.fixture
def hub() -> Iterator[Hub]:
    with HubServer() as running:
        yield running


@pytest.fixture
def checkpoint(golden: Path) -> bytes:
    return (golden / "kp_discriminator.pth.tar").read_bytes()


@pytest.fixture(autouse=True)
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("FOMM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    return tmp_path / "cache"


def offer(monkeypatch: pytest.MonkeyPatch, golden: Path, tmp_path: Path, *sources: Source) -> None:
    """Let the name `tiny` stand for the small reference network, with these sources."""
    import yaml

    preset = tmp_path / "tiny.yaml"
    variant = json.loads((golden / "configs.json").read_text())["kp_discriminator"]
    preset.write_text(yaml.safe_dump({"model_params": variant}))
    monkeypatch.setitem(
        CATALOGUE, "tiny", replace(CATALOGUE["vox-256"], name="tiny", preset=str(preset), sources=sources)
    )


def test_every_entry_is_complete_and_cites_its_addresses() -> None:
    assert DEFAULT in CATALOGUE
    assert CATALOGUE[DEFAULT].bundled
    for name, entry in CATALOGUE.items():
        assert name == entry.name
        assert entry.weights_licence
        assert entry.data_licence
        assert configs.load(entry.preset).data.frame_shape == entry.size
        for source in entry.sources:
            assert source.address.startswith(("https://", "hf://"))
            assert source.cited.startswith("https://")
            assert source.md5 is None or len(bytes.fromhex(source.md5)) == 16
            assert source.sha256 is None or len(bytes.fromhex(source.sha256)) == 32


def test_stated_sizes_are_those_of_the_presets() -> None:
    published = [entry for entry in CATALOGUE.values() if not entry.bundled]
    assert len(published) == 18
    for entry in published:
        config = configs.load(entry.preset)
        later = [part for part in family_of(config.model).optional_parts if part in ("discriminator", "avd")]
        numbers = sum(math.prod(shape) for shape in expected_shapes(config, later).values())
        assert entry.megabytes == round(numbers * 4 / 1e6)


def test_one_line_says_which_weights_are_bundled_and_which_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    from fomm_cli.weights import load

    assert catalogue.BUNDLED[0] == catalogue.DEFAULT
    own = {entry.name: entry for entry in catalogue._OWN}
    assert set(catalogue.BUNDLED) <= set(own)
    for entry in own.values():
        assert entry.sample in catalogue.SAMPLES
        assert not entry.successor or entry.successor in own
        assert (entry.name in CATALOGUE) == (entry.name in catalogue.BUNDLED)
    for sample in catalogue.SAMPLES.values():
        assert sample.portrait.is_file()
        assert sample.driving.is_file()
    monkeypatch.setitem(load.DROPPED, "old-64", "new-64")
    with pytest.raises(FommError, match="does not come with fomm any more") as caught:
        resolve("old-64")
    assert "--weights new-64" in caught.value.hint


def test_the_list_names_licences_homes_and_hashes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "list"]) == 0
    out = capsys.readouterr().out
    for word in (
        DEFAULT,
        "vox-adv-256",
        "MIT",
        "VoxCeleb",
        "not fetched",
        "no published hash",
        "its page on the Hub was not seen",
        "fomm weights convert",
    ):
        assert word in out
    assert main(["weights", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows.keys() == CATALOGUE.keys()
    assert not rows["vox-256"]["here"]
    assert rows["vox-256"]["sources"][0]["cited"]


def test_a_published_checkpoint_is_fetched_checked_and_converted(
    hub: Hub, checkpoint: bytes, golden: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.pages["/vox.pth.tar"] = checkpoint
    md5 = hashlib.md5(checkpoint).hexdigest()
    offer(monkeypatch, golden, tmp_path, Source(f"{hub.address}/vox.pth.tar", CITED, md5=md5))
    fetched = fetch("tiny")
    assert fetched.source == f"{hub.address}/vox.pth.tar"
    assert CITED in fetched.note
    header = read_header(fetched.path)
    assert header.provenance["source"] == fetched.source
    assert header.provenance["converted_sha256"] == hashlib.sha256(checkpoint).hexdigest()
    assert header.provenance["assumed"] == {}
    assert "discriminator" in header.parts
    assert load_model("tiny", "cpu").config.num_kp == 5
    assert list((cache / "downloads").iterdir()) == []  # the pickle is not kept
    asked = len(hub.log)
    assert fetch("tiny").source is None
    assert len(hub.log) == asked


def test_a_name_that_is_not_here_is_fetched_at_first_use(
    hub: Hub,
    checkpoint: bytes,
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.pages["/vox.pth.tar"] = checkpoint
    offer(monkeypatch, golden, tmp_path, Source(f"{hub.address}/vox.pth.tar", CITED))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(FommError, match="not on this machine") as refused:
        load_model("tiny", "cpu")
    assert "fomm weights fetch tiny" in refused.value.hint
    monkeypatch.delenv("HF_HUB_OFFLINE")
    assert main(["export", "tiny", "-o", str(tmp_path / "out"), "--offline"]) == 1
    assert "--offline" in capsys.readouterr().err
    assert not hub.log
    assert main(["weights", "info", "tiny"]) == 1, "what only describes fetches nothing"
    capsys.readouterr()
    assert load_model("tiny", "cpu").config.num_kp == 5
    assert capsys.readouterr() == ("", ""), "a library is silent"
    CATALOGUE["tiny"].path.unlink()
    asked = len(hub.log)
    picture = str(ASSETS / "portrait.png")
    animate = ["animate", picture, picture, "-o", str(tmp_path / "out.gif"), "--weights", "tiny", "--device", "cpu"]
    wrong = [*animate, "--crop-source", "9999,0,8,8"]
    assert main(wrong) == 1
    assert not hub.log[asked:], "what is wrong is said before anything is fetched"
    capsys.readouterr()
    assert main(animate) == 0
    error = capsys.readouterr().err
    assert "Fetching tiny, about 250 MB" in error
    assert "MIT" in error


def test_the_next_source_is_tried_when_one_fails(
    hub: Hub,
    checkpoint: bytes,
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.pages |= {"/page.pth.tar": b"<!doctype html>quota", "/other.pth.tar": checkpoint, "/good.pth.tar": checkpoint}
    offer(
        monkeypatch,
        golden,
        tmp_path,
        Source(f"{hub.address}/gone.pth.tar", CITED),
        Source(f"{hub.address}/page.pth.tar", CITED),
        Source(f"{hub.address}/other.pth.tar", CITED, md5="0" * 32),
        Source(f"{hub.address}/good.pth.tar", CITED),
    )
    assert main(["weights", "fetch", "tiny", "--json"]) == 0
    out, err = capsys.readouterr()
    facts = json.loads(out)
    assert facts["source"].endswith("/good.pth.tar")
    assert len(facts["failed"]) == 3
    assert "nobody publishes a hash" in facts["note"]
    assert hashlib.sha256(checkpoint).hexdigest() in facts["note"]
    assert "404" in err
    assert "web page" in err
    assert "its md5 is" in err


def test_a_wrong_hash_leaves_nothing_behind(
    hub: Hub, checkpoint: bytes, golden: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.pages["/vox.pth.tar"] = checkpoint
    offer(monkeypatch, golden, tmp_path, Source(f"{hub.address}/vox.pth.tar", CITED, sha256="0" * 64))
    with pytest.raises(FommError, match="sha256") as caught:
        fetch("tiny")
    assert "fomm weights convert FILE.pth.tar" in caught.value.hint
    assert not [path for path in cache.rglob("*") if path.is_file()]


def test_a_good_download_outlives_a_result_that_cannot_be_written(
    hub: Hub, checkpoint: bytes, golden: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.pages["/vox.pth.tar"] = checkpoint
    offer(monkeypatch, golden, tmp_path, Source(f"{hub.address}/vox.pth.tar", CITED))
    cache.mkdir(exist_ok=True)
    (cache / "weights").write_text("in the way")
    with pytest.raises(FommError, match="could not be"):
        fetch("tiny")
    assert [path.read_bytes() for path in (cache / "downloads").iterdir()] == [checkpoint]
    (cache / "weights").unlink()
    asked = len(hub.log)
    assert fetch("tiny").source == f"{hub.address}/vox.pth.tar"
    assert len(hub.log) == asked


def test_another_architecture_than_the_name_says_is_refused(
    hub: Hub, golden: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.pages["/vox.pth.tar"] = (golden / "zero_order.pth.tar").read_bytes()
    offer(monkeypatch, golden, tmp_path, Source(f"{hub.address}/vox.pth.tar", CITED))
    with pytest.raises(FommError, match="does not fit its architecture"):
        fetch("tiny")


def test_offline_fetches_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["weights", "fetch", "bair-256"]) == 1
    error = capsys.readouterr().err
    assert "HF_HUB_OFFLINE" in error
    assert "by hand" in error
    assert main(["weights", "fetch", "vox-265"]) == 1
    assert "Did you mean 'vox-256'?" in capsys.readouterr().err


def test_bundled_weights_that_are_missing_are_reported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("fomm_cli.files.disk.ASSETS", tmp_path / "nothing")
    assert main(["weights", "fetch", DEFAULT, "-o", str(tmp_path / "copy.safetensors")]) == 1
    assert f"The bundled weights {DEFAULT} are missing" in capsys.readouterr().err
    assert not (tmp_path / "copy.safetensors").exists()
