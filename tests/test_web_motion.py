"""Motions over HTTP, in the words of `fomm motion`; and what else is seen in a clip or a picture."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from fomm_cli.animate.parts import Found
from fomm_cli.motion.file import load
from tests.clips import shades, write_clip
from tests.web import House, finish, houses, upload


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    Image.new("RGB", (60, 40), (90, 90, 90)).save(folder / "face.png")
    write_clip(folder / "clip.mp4", shades(24, 32, 32))
    return folder


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with houses(tmp_path / "work") as build:
        yield build()


def extracted(visitor: TestClient, clip: str, **asked: object) -> str:
    job = visitor.post("/api/motion/extract", json={"clip": clip, **asked})
    assert job.status_code == 202, job.text
    last = finish(visitor, job.json()["id"])
    assert last["state"] == "done", last
    return str(last["file"])


def test_a_motion_is_extracted_edited_and_drives(house: House, media: Path, tmp_path: Path) -> None:
    visitor = house.visitor()
    motion = extracted(visitor, upload(visitor, media / "clip.mp4"))
    told = visitor.get(f"/api/motion/{motion}").json()
    assert told["frames"] == 24
    assert told["history"] == ["extract clip.mp4 -o clip.motion.safetensors"]
    edited = visitor.post("/api/motion/edit", json={"motion": motion, "operations": ["trim=f4:f20", "reverse"]}).json()
    assert (edited["kind"], edited["frames"], edited["name"]) == ("motion", 16, "clip-2.motion.safetensors")
    assert edited["command"] == (
        "fomm motion edit clip.motion.safetensors trim=f4:f20 reverse -o clip-2.motion.safetensors"
    )
    saved = tmp_path / "got.safetensors"
    saved.write_bytes(visitor.get(f"/api/files/{edited['id']}?download").content)
    assert load(saved).history[-1] == "edit trim=f4:f20 reverse"
    picture = Image.open(io.BytesIO(visitor.get(f"/api/motion/{edited['id']}/plot").content))
    assert picture.format == "PNG"
    asked = {"source": "portrait", "driving": edited["id"]}
    last = finish(visitor, visitor.post("/api/jobs", json=asked).json()["id"])
    assert (last["state"], last["frames"]) == ("done", 16)


def test_two_motions_are_blended_and_joined(house: House, media: Path) -> None:
    visitor = house.visitor()
    clip = upload(visitor, media / "clip.mp4")
    pair = {"motion": extracted(visitor, clip), "other": extracted(visitor, clip, private=True)}
    mixed = visitor.post("/api/motion/blend", json=pair | {"weight": 0.25}).json()
    assert mixed["frames"] == 24
    assert mixed["command"].startswith(
        "fomm motion blend clip.motion.safetensors clip.motion.safetensors --weight 0.25"
    )
    joined = visitor.post("/api/motion/concat", json=pair | {"fade": 4}).json()
    assert joined["frames"] == 48
    for verb, wrong in (("blend", {"weight": "much"}), ("blend", {"weight": 2}), ("concat", {"fade": -1})):
        assert visitor.post(f"/api/motion/{verb}", json=pair | wrong).status_code == 400


@pytest.mark.parametrize(
    ("operations", "said"),
    [
        (["repeat=1000", "repeat=1000"], "frames"),
        (["hold=99999"], "frames"),
        (["speed=1/1000"], "frames"),
        (["resample=99999"], "frames"),
        (["dance"], "dance"),
        (["trim=9:10"], "No frame"),
        ([], "0 operations"),
        ("reverse", "list"),
        (["reverse"] * 21, "21 operations"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(
    house: House, media: Path, operations: list[str] | str, said: str
) -> None:
    visitor = house.visitor()
    motion = extracted(visitor, upload(visitor, media / "clip.mp4"))
    before = len(list(house.vault.folder.iterdir()))
    answer = visitor.post("/api/motion/edit", json={"motion": motion, "operations": operations})
    assert answer.status_code == 400
    assert said in answer.json()["what"]
    assert len(list(house.vault.folder.iterdir())) == before


def test_motions_are_their_visitors(house: House, media: Path) -> None:
    visitor, other = house.visitor(), house.visitor()
    motion = extracted(visitor, upload(visitor, media / "clip.mp4"))
    for answer in (
        other.get(f"/api/motion/{motion}"),
        other.get(f"/api/motion/{motion}/plot"),
        other.post("/api/motion/edit", json={"motion": motion, "operations": ["reverse"]}),
        other.post("/api/motion/extract", json={"clip": motion}),
    ):
        assert answer.status_code == 404
    assert visitor.get("/api/motion/clip").status_code == 400, "no motion file"
    assert visitor.post("/api/motion/extract", json={"clip": motion, "audio": "loud"}).status_code == 400
    job = visitor.post("/api/motion/extract", json={"clip": motion}).json()
    assert "motion file already" in finish(visitor, job["id"])["error"]["what"]


def test_a_part_of_a_clip_drives(house: House, media: Path) -> None:
    visitor = house.visitor()
    clip = upload(visitor, media / "clip.mp4")
    asked = {"source": "portrait", "driving": clip, "settings": {"start": 0.2, "end": "0.6"}}
    last = finish(visitor, visitor.post("/api/jobs", json=asked).json()["id"])
    assert last["frames"] == 10
    assert "--start 0.2 --end 0.6" in last["command"]
    asked["driving"] = extracted(visitor, clip)
    last = finish(visitor, visitor.post("/api/jobs", json=asked).json()["id"])
    assert "clip.motion.safetensors is a motion file" in last["error"]["what"]


def test_a_strip_shows_a_clip_from_its_begin_to_its_end(house: House, media: Path) -> None:
    visitor = house.visitor()
    answer = visitor.get(f"/api/files/{upload(visitor, media / 'clip.mp4')}/strip")
    strip = np.asarray(Image.open(io.BytesIO(answer.content)).convert("L")).astype(int)
    assert strip.shape == (64, 12 * 64)
    greys = strip[32, 32::64]
    assert (np.diff(greys) > 0).all(), "the clip brightens"
    assert visitor.get("/api/files/portrait/strip").status_code == 404


def test_faces_are_found_from_left_to_right(house: House, media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(*_: object) -> list[Found]:
        return [Found((2, 10, 12, 20), (2, 10, 12, 20)), Found((30, 10, 50, 30), (30, 10, 50, 30))]

    monkeypatch.setattr("fomm_cli.web.desk.find", found)
    visitor = house.visitor()
    answer = visitor.post("/api/faces", json={"file": upload(visitor, media / "face.png")}).json()
    (x, y, width, height), other = answer["faces"]
    assert 10 <= width == height <= 40
    assert x <= 2
    assert y <= 10
    assert other[0] > x
