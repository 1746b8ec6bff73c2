"""Settings in the words of `fomm animate`: all of them, for every family of weights, and the command they come to."""

from __future__ import annotations

import io
import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from fomm_cli.engine.choose import make_engine
from fomm_cli.files.listener import listener
from fomm_cli.model.thin_plate.family import ThinPlate
from fomm_cli.web import desk
from fomm_cli.web.words import command, read
from tests import live_portrait
from tests.clips import shades, write_clip
from tests.engines import GreyEngine
from tests.test_subject import DISC, DiscEngine, disc
from tests.web import House, finish, houses, until, upload


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Callable[..., House]]:
    with houses(tmp_path / "work") as build:
        yield build


@pytest.fixture
def house(build: Callable[..., House]) -> House:
    return build()


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("media")
    Image.new("RGB", (80, 40), (90, 90, 90)).save(folder / "two.png")
    write_clip(folder / "clip.mp4", shades(9, 32, 32))
    write_clip(folder / "still.mp4", shades(1, 32, 32) * 4)
    return folder


def preview(visitor: TestClient, **asked: Any) -> tuple[np.ndarray, dict[str, Any]]:
    """A frame of what a job would make, and what is told of it."""
    answer = visitor.post("/api/preview", json=asked)
    assert answer.status_code == 200, answer.text
    picture = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))
    return picture.astype(int), json.loads(answer.headers["x-fomm-still"])


def test_settings_are_those_of_animate(house: House) -> None:
    visitor = house.visitor()
    for settings, said in (
        ({"heads": 1}, "heads"),
        ({"head": 4}, "head 4"),
        ({"head": "big"}, "big"),
        ({"crop-source": "motion"}, "motion"),
        ({"crop-driving": "../x"}, "../x"),
        ({"anchor": "last"}, "last"),
        ({"mode": "sideways"}, "sideways"),
        ({"format": "exe"}, "exe"),
        ({"badge": "middle"}, "middle"),
        ({"face": "ears"}, "ears"),
        ({"detail": 2}, "detail 2"),
        ({"face": "all", "crop-source": "pad"}, "both"),
        ({"paste-back": True, "size": 64}, "source's size"),
        ({"crf": True}, "True"),
        ({"pin": 0.1}, "put back"),
        ({"drive": "0=clip"}, "put back"),
        ({"paste-back": True, "pin": "0.5"}, "pin 0.5"),
        ({"paste-back": True, "pin": "wide"}, "wide"),
        ({"paste-back": True, "pin": "nan"}, "nan"),
        ({"paste-back": True, "feather": 0.4}, "feather 0.4"),
        ({"paste-back": True, "extend": "shrink"}, "shrink"),
        ({"paste-back": True, "colour-match": "red"}, "red"),
        ({"paste-back": True, "drive": "clip"}, "clip"),
        ({"face": "all", "drive": "0=clip", "loop": "cut"}, "one driving"),
        ({"max-size": "8"}, "max-size 8"),
        ({"max-size": "99.5"}, "99.5"),
        ({"background": "/etc/passwd"}, "/etc/passwd"),
        ({"background": "alpha"}, "mp4"),
        ({"set": "region=lip"}, "region=lip"),
        ([], "settings"),
    ):
        answer = visitor.post("/api/jobs", json={"source": "portrait", "driving": "clip", "settings": settings})
        assert answer.status_code == 400, settings
        assert said in answer.json()["what"]
    assert visitor.post("/api/jobs", content=b"{").status_code == 400
    assert visitor.post("/api/jobs", content=bytes(100_000)).status_code == 413


def test_the_command_is_one_that_the_shell_takes_apart() -> None:
    asked = read({"adapt-scale": False, "lock": "place,size", "crop-source": "1,2,30,30", "force-motion": True})
    line = command(asked, "my face; rm -rf.png", "-x.mp4", "out put.mp4", "toon-128")
    assert shlex.split(line) == [
        *("fomm", "animate", "my face; rm -rf.png", "./-x.mp4", "-o", "out put.mp4", "--weights", "toon-128"),
        *("--no-adapt-scale", "--crop-source", "1,2,30,30", "--lock", "place,size", "--force-motion"),
    ]


def test_each_face_is_driven_by_its_own_clip(house: House, media: Path) -> None:
    visitor = house.visitor()
    source, driving, other = (upload(visitor, media / name) for name in ("two.png", "clip.mp4", "still.mp4"))
    settings = {"face": "0,0,32,32 48,8,32,32", "drive": f"1={other}", "pin": 0, "detail": 0, "feather": 0.0}
    settings |= {"colour-match": "off", "anchor": "first", "extend": "loop"}
    asked = {"source": source, "driving": driving, "settings": settings}
    picture, told = preview(visitor, frame=8, **asked)
    assert told["faces"] == [[0, 0, 32, 32], [48, 8, 32, 32]]
    assert picture[16, 16, 0] > 110, "it brightens as its clip does"
    assert abs(picture[24, 64, 0] - 90) <= 3, "its own clip does not"
    last = finish(visitor, visitor.post("/api/jobs", json=asked).json()["id"])
    assert (last["state"], last["frames"]) == ("done", 9)
    said = "--face 0,0,32,32 --face 48,8,32,32 --drive 1=still.mp4 --extend loop --pin 0"
    assert said in last["command"]
    stranger = house.visitor()
    theirs = asked | {"source": "portrait", "driving": "clip"}
    assert stranger.post("/api/jobs", json=theirs).status_code == 404, "a file of somebody else"
    asked["settings"] = settings | {"drive": f"7={other}"}
    assert "no face 7" in visitor.post("/api/preview", json=asked).json()["what"]


def test_a_background_is_a_word_or_a_colour_never_a_file(house: House, media: Path) -> None:
    assert read({"background": "green"}).settings.background == "#008000"
    assert read({"background": "#0f0"}).changed == {"background": "#00ff00"}
    assert read({"background": "alpha", "format": "webm"}).settings.background == "alpha"


def test_pictures_of_a_visitor_stand_behind_and_tell_the_subject(build: Callable[..., House], tmp_path: Path) -> None:
    house = build(DiscEngine())
    visitor, stranger = house.visitor(), house.visitor()
    Image.fromarray(disc()).save(tmp_path / "who.png")
    Image.fromarray(np.where(DISC, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    Image.new("RGB", (50, 40), (0, 200, 0)).save(tmp_path / "wood.png")
    write_clip(tmp_path / "clip.mp4", shades(3, 32, 32))
    who, mask, wood, clip = (
        upload(visitor, tmp_path / f"{name}") for name in ("who.png", "mask.png", "wood.png", "clip.mp4")
    )
    asked: dict[str, Any] = {"source": who, "driving": clip}
    for subject in ({"mask": mask}, {"matte": "motion"}):
        picture, _ = preview(visitor, **asked, settings={"background": wood, **subject})
        assert np.abs(picture[2:4, 2:4] - (0, 200, 0)).max() < 20, subject
        assert np.abs(picture[16:18, 13:15] - (220, 140, 40)).mean() < 40, subject
    settings = {"background": wood, "mask": mask, "mark": "full"}
    for suffix in ("webp", "apng"):
        given = {**asked, "settings": {**settings, "format": suffix}}
        last = finish(visitor, visitor.post("/api/jobs", json=given).json()["id"])
        assert last["state"] == "done", last
        assert shlex.split(last["command"])[4:] == [
            *("-o", f"who-clip.{suffix}", "--background", "wood.png", "--mask", "mask.png", "--mark", "full"),
        ]
        answer = visitor.get(f"/api/files/{last['file']}")
        assert answer.headers["content-type"] == f"image/{suffix}"
        assert Image.open(io.BytesIO(answer.content)).n_frames == 3
        assert str(house.vault.folder).encode() not in answer.content
    refused = (
        (visitor, {"mask": mask}, 400, "background, which is kept"),
        (visitor, {"background": wood, "mask": mask, "matte": "motion"}, 400, "both say where"),
        (visitor, {"background": wood, "matte": "u2net"}, 400, "no matte 'u2net'"),
        (visitor, {"background": wood, "mask": clip}, 400, "clip.mp4 is no picture"),
        (visitor, {"background": wood, "mask": wood}, 400, "wood.png is 50 x 40 pixels, but who.png"),
        (stranger, {"background": wood, "mask": mask}, 404, "no such file"),
    )
    for client, settings, status, said in refused:
        pair = asked if client is visitor else {"source": "portrait", "driving": "clip"}
        answer = client.post("/api/preview", json={**pair, "settings": settings})
        assert (answer.status_code, said in answer.json()["what"]) == (status, True), answer.text


def test_editors_are_told_where_parts_lie(house: House, media: Path) -> None:
    visitor = house.visitor()
    asked = {"source": upload(visitor, media / "two.png"), "driving": upload(visitor, media / "clip.mp4")}
    settings = {"face": "0,0,32,32", "pin": 0, "detail": 0, "anchor": "first", "crop-json": True}
    last = finish(visitor, visitor.post("/api/jobs", json={**asked, "settings": settings}).json()["id"])
    assert "--crop-json two-clip.json" in last["command"]
    told = visitor.get(f"/api/files/{last['crop']}").json()
    assert (told["source"]["name"], told["parts"][0]["driving"]) == ("two.png", "clip.mp4")
    assert told["parts"][0]["box"] == [0, 0, 32, 32]


def test_where_results_are_badged_they_are_marked(build: Callable[..., House]) -> None:
    visitor = build(badge="top-left").visitor()
    assert visitor.get("/api/state").json()["words"]["mark"] == ["tag", "full"]
    asked = {"source": "portrait", "driving": "clip", "settings": {"mark": "none"}}
    assert "no mark 'none'" in visitor.post("/api/jobs", json=asked).json()["what"]


def test_weights_of_every_family_say_what_they_can(build: Callable[..., House]) -> None:
    engine = GreyEngine()
    state = build(engine).visitor().get("/api/state").json()
    assert (state["words"]["mode"], state["options"], state["holds"]) == (["relative", "absolute"], {}, False)
    engine.family, engine.disentangles = ThinPlate(), True  # type: ignore[assignment]
    visitor = build(engine).visitor()
    assert visitor.get("/api/state").json()["words"]["mode"] == ["relative", "absolute", "avd"]
    asked = {"source": "portrait", "driving": "clip", "settings": {"adapt-scale": False}}
    assert "always scaled" in visitor.post("/api/jobs", json=asked).json()["what"]
    engine.disentangles = False
    assert visitor.get("/api/state").json()["words"]["mode"] == ["relative", "absolute"]


def test_options_of_a_family_reach_its_network(build: Callable[..., House], tmp_path: Path) -> None:
    for name in ("source", "driving0"):
        pixels = live_portrait.picture(name, 64)[0].permute(1, 2, 0).numpy()
        Image.fromarray(np.rint(255 * pixels).astype(np.uint8)).save(tmp_path / f"{name}.png")
    write_clip(tmp_path / "clip.mp4", [np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("source", "driving0")])
    house = build(make_engine(live_portrait.model(), "plain"))
    visitor = house.visitor()
    state = visitor.get("/api/state").json()
    assert state["options"]["region"]["enum"] == ["all", "exp", "pose", "lip", "eyes"]
    assert state["options"]["stitching"]["type"] == "boolean"
    asked = {"source": upload(visitor, tmp_path / "source.png"), "driving": upload(visitor, tmp_path / "clip.mp4")}
    usual = {"crop-source": "center", "anchor": "first"}
    frames = [preview(visitor, frame=1, **asked, settings=usual | {"set": said})[0] for said in ("", "region=lip")]
    assert abs(frames[0] - frames[1]).max() > 3
    wishes = usual | {"set": "region=lip multiplier=1.3"}
    job = visitor.post("/api/jobs", json=asked | {"settings": wishes}).json()
    assert job["command"].endswith("--set region=lip --set multiplier=1.3")
    assert finish(visitor, job["id"])["state"] == "done"
    for said, what in (("region=nose", "region"), ("multiplier=9", "multiplier"), ("nose=1", "nose=1")):
        answer = visitor.post("/api/jobs", json=asked | {"settings": {"set": said}})
        assert answer.status_code == 400
        assert what in answer.json()["what"]
    assert state["clips"], "a clip moves in its own pictures"
    asked["source"] = asked["driving"]
    over = finish(visitor, visitor.post("/api/jobs", json=asked | {"settings": usual}).json()["id"])
    assert (over["state"], over["frames"]) == ("done", 2)
    told = visitor.get(f"/api/files/{over['file']}")
    assert told.headers["content-type"] == "video/mp4"
    answer = visitor.post("/api/preview", json=asked | {"settings": usual})
    assert answer.json() == {"what": "clip.mp4 is a clip: there is no preview of it.", "hint": "Animate it."}
    over = finish(visitor, visitor.post("/api/jobs", json=asked | {"settings": usual | {"size": "256"}}).json()["id"])
    assert "takes no --size" in over["error"]["what"]


def test_clips_of_families_that_move_pictures_are_refused(house: House, media: Path) -> None:
    visitor = house.visitor()
    assert not visitor.get("/api/state").json()["clips"]
    asked = {"source": upload(visitor, media / "clip.mp4"), "driving": "clip"}
    refused = {"what": "The source, clip.mp4, is no picture.", "hint": "The picture comes first, the clip second."}
    assert visitor.post("/api/preview", json=asked).json() == refused
    assert finish(visitor, visitor.post("/api/jobs", json=asked).json()["id"])["error"] == refused


def test_weights_that_are_not_here_are_not_fetched(house: House) -> None:
    visitor = house.visitor()
    for name in ("vox-256", "../x", "hf://a/b"):
        asked = {"source": "portrait", "driving": "clip", "settings": {"weights": name}}
        answer = visitor.post("/api/jobs", json=asked)
        assert answer.status_code == 400
        assert "not here" in answer.json()["what"]
    asked["settings"] = {"weights": "toon-128"}
    assert "--weights toon-128" in visitor.post("/api/jobs", json=asked).json()["command"]
    assert visitor.get("/api/state", params={"weights": "toon-128"}).json()["engine"] == "grey"


def test_weights_are_fetched_only_where_that_is_allowed(
    build: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    def offered(house: House) -> set[str]:
        return {each["name"] for each in house.visitor().get("/api/weights").json()["weights"] if each["offered"]}

    closed = build()
    assert "toon-128" in offered(closed)
    assert "vox-256" not in offered(closed)
    assert closed.visitor().post("/api/weights", json={"weights": "vox-256"}).status_code == 400
    visitor = build(fetch=True).visitor()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    answer = visitor.get("/api/state", params={"weights": "vox-256"})
    assert answer.status_code == 400
    assert "downloaded first" in answer.json()["what"]
    for name in ("hf://a/b", "../x", 7):
        assert visitor.post("/api/weights", json={"weights": name}).status_code == 400
    over = finish(visitor, visitor.post("/api/weights", json={"weights": "vox-256"}).json()["id"])
    assert over["state"] == "failed"
    assert "vox-256 could not be fetched" in over["error"]["what"]
    assert "by hand" in over["error"]["hint"]


def test_a_download_tells_how_far_it_is_and_can_be_cancelled(
    build: Callable[..., House], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, house = Event(), build(fetch=True)
    visitor = house.visitor()

    def fetch(name: str) -> None:
        heard = listener.get()
        assert heard is not None
        heard.progress(3_000_000, 12_000_000)
        assert gate.wait(60)
        heard.progress(12_000_000, 12_000_000)

    monkeypatch.setattr(desk, "fetch", fetch)
    ids = [visitor.post("/api/weights", json={"weights": "vox-256"}).json()["id"] for _ in range(2)]

    def job(id: str) -> Any:
        return visitor.get(f"/api/jobs/{id}").json()

    until(lambda: job(ids[0])["done"] == 3_000_000)
    assert [job(ids[0])[key] for key in ("stage", "total", "file")] == ["download", 12_000_000, None]
    finish(visitor, visitor.post("/api/jobs", json={"source": "portrait", "driving": "clip"}).json()["id"])
    assert job(ids[0])["state"] == "running", "what is animated does not wait for it"
    for id in ids:
        visitor.delete(f"/api/jobs/{id}")
    gate.set()
    assert finish(visitor, ids[0])["state"] == "cancelled"
    assert finish(visitor, ids[1])["state"] == "cancelled"
