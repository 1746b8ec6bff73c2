"""The HTTP API: what it does, what it refuses, and what stays of it."""

from __future__ import annotations

import io
import json
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
from starlette.testclient import TestClient

from fomm_cli.commands.app import main
from fomm_cli.errors import FommError
from fomm_cli.media.video import probe
from fomm_cli.motion import file as motion_file
from fomm_cli.web.rules import Rules
from fomm_cli.web.vault import Vault
from fomm_cli.weights.catalogue import MOTIONS
from tests.clips import shades, write_clip
from tests.web import ADDRESS, House, SlowEngine, finish, houses, left, until, upload


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
    Image.new("RGB", (40, 40), (90, 90, 90)).save(folder / "face.png")
    write_clip(folder / "clip.mp4", shades(9, 32, 32))
    write_clip(folder / "long.mp4", shades(80, 32, 32))
    return folder


def test_a_picture_is_animated(house: House, media: Path, tmp_path: Path) -> None:
    visitor = house.visitor()
    source, driving = upload(visitor, media / "face.png"), upload(visitor, media / "clip.mp4")
    wishes = {"source": source, "driving": driving, "settings": {"anchor": "first", "head": 0.5}}
    job = visitor.post("/api/jobs", json=wishes)
    assert job.status_code == 202
    last = finish(visitor, job.json()["id"])
    assert (last["state"], last["frames"], last["anchor"]) == ("done", 9, 0)
    assert last["command"] == "fomm animate face.png clip.mp4 -o face-clip.mp4 --anchor first --head 0.5"
    saved = visitor.get(f"/api/files/{last['file']}", params={"download": "1"})
    assert saved.headers["content-disposition"] == 'attachment; filename="face-clip.mp4"'
    (tmp_path / "got.mp4").write_bytes(saved.content)
    assert probe(tmp_path / "got.mp4").frames == 9
    assert visitor.get(f"/api/files/{last['file']}", headers={"Range": "bytes=0-9"}).status_code == 206
    assert [each["id"] for each in visitor.get("/api/jobs").json()] == [last["id"]]


def test_a_preview_is_that_frame_of_the_result(house: House, media: Path) -> None:
    visitor = house.visitor()
    source, driving = upload(visitor, media / "face.png"), upload(visitor, media / "clip.mp4")
    frames = {}
    for scale in (0, 1):
        asked = {"source": source, "driving": driving, "frame": 8}
        asked["settings"] = {"anchor": "first", "motion-scale": scale}
        answer = visitor.post("/api/preview", json=asked)
        told = json.loads(answer.headers["x-fomm-still"])
        assert (told["frame"], told["frames"], told["anchor"]) == (8, 9, 0)
        assert (told["crop_source"], told["crop_driving"]) == ([0, 0, 40, 40], [0, 0, 32, 32])
        frames[scale] = np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB")).astype(int)
    assert abs(frames[0] - 90).max() <= 3, "no movement: the source itself"
    assert frames[1].mean() > frames[0].mean() + 20, "the engine of this test brightens as the clip does"
    seen = [count for call, count in house.desk.engines.first._engine.calls if call == "detect"]  # type: ignore[attr-defined]
    assert sum(seen) == 1 + 9, "the clip is looked at once, whatever the number of previews"


def test_examples_are_everybodys_and_stay(house: House) -> None:
    visitor = house.visitor()
    offered = [each["id"] for each in visitor.get("/api/state").json()["examples"]]
    assert offered == ["portrait", "clip", "portrait.png", "driving.mp4"], "first those whom the weights know"
    assert [file.id for file in house.vault.examples("toon-128", "")] == [*offered[2:], *offered[:2]]
    moved = [file.id for file in house.vault.examples("vox-256", motion_file.load(next(iter(MOTIONS))).detector)]
    assert moved == [*offered, *(f"face-128-{name}.motion" for name in ("look", "nod", "smile"))]
    assert visitor.get("/api/files/face-128-nod.motion?download").status_code == 200
    assert visitor.get("/api/files/portrait.png/picture").status_code == 200
    assert visitor.get("/api/files/portrait/picture").headers["content-type"] == "image/webp"
    assert visitor.delete("/api/files/portrait").status_code == 403
    assert visitor.get("/api/files/clip").status_code == 200


def test_visitors_do_not_see_each_other(house: House, media: Path) -> None:
    one, other = house.visitor(), house.visitor()
    file = upload(one, media / "face.png")
    asked = {"source": file, "driving": upload(one, media / "clip.mp4")}
    job = one.post("/api/jobs", json=asked).json()["id"]
    finish(one, job)
    assert one.get(f"/api/files/{file}").status_code == 200
    for answer in (
        other.get(f"/api/files/{file}"),
        other.delete(f"/api/files/{file}"),
        other.get(f"/api/files/{file}/picture"),
        other.get(f"/api/jobs/{job}"),
        other.get(f"/api/jobs/{job}/events"),
        other.delete(f"/api/jobs/{job}"),
        other.post("/api/jobs", json=asked),
        other.post("/api/preview", json=asked),
    ):
        assert answer.status_code == 404
        assert set(answer.json()) == {"what", "hint"}
    assert other.get("/api/jobs").json() == []
    cookie = one.get("/api/state"), other.get("/").headers.get("set-cookie", "")
    assert "set-cookie" not in cookie[0].headers, "a visitor keeps the cookie"
    fresh = house.visitor().get("/").headers["set-cookie"]
    assert "HttpOnly" in fresh
    assert "SameSite=Strict" in fresh


@pytest.mark.parametrize("id", ["..", "%2e%2e", "..%2f..%2fetc%2fpasswd", "0" * 32, "%00", "fomm-web-x"])
def test_ids_are_no_paths(house: House, id: str) -> None:
    assert house.visitor().get(f"/api/files/{id}").status_code == 404


@pytest.mark.parametrize("name", ["../../evil.png", "/etc/passwd", "a\0b.png", "x" * 5000 + ".png", "ü\n.sh", ""])
def test_names_of_visitors_do_not_reach_the_disk(house: House, media: Path, name: str) -> None:
    id = upload(house.visitor(), media / "face.png", name or None)
    assert {path.parent for path in left(house.vault.folder)} == {house.vault.folder}
    assert all(path.name in (id, f"{id}.png") for path in left(house.vault.folder))


def test_uploads_are_limited_before_and_while_they_come(house: House, tmp_path: Path) -> None:
    visitor, limit = house.visitor(), house.rules.max_upload

    def endless() -> Iterator[bytes]:
        for _ in range(40):
            yield bytes(limit // 20)

    assert visitor.post("/api/upload", content=bytes(limit + 1)).status_code == 413
    assert visitor.post("/api/upload", content=endless()).status_code == 413, "no length is announced"
    assert left(house.vault.folder) == []


def test_what_is_no_media_is_refused_in_our_words(house: House, media: Path) -> None:
    visitor = house.visitor()
    answer = visitor.post("/api/upload", params={"name": "a.png"}, content=b"not a picture")
    assert answer.status_code == 400
    assert str(house.vault.folder) not in answer.text
    assert "a.png" in answer.json()["what"]
    assert visitor.post("/api/upload", params={"name": "a.png"}, content=b"").status_code == 400
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n"
    assert visitor.post("/api/upload", params={"name": "a.mp4"}, content=playlist).status_code == 400
    large = visitor.post("/api/upload", params={"name": "a.png"}, content=_png(400, 20))
    assert "400 x 20" in large.json()["what"]
    assert left(house.vault.folder) == []


def _png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_driving_may_be_too_long(build: Callable[..., House], media: Path) -> None:
    house = build(max_seconds=2.0)
    answer = house.visitor().post("/api/upload", params={"name": "l.mp4"}, content=(media / "long.mp4").read_bytes())
    assert answer.status_code == 400
    assert "3 seconds" in answer.json()["what"]


def test_jobs_wait_in_turn_and_are_cancelled(build: Callable[..., House], media: Path) -> None:
    house = build(SlowEngine(batch=1), queue=1)
    visitor = house.visitor()
    asked = {"source": upload(visitor, media / "face.png"), "driving": upload(visitor, media / "long.mp4")}
    first, second = (visitor.post("/api/jobs", json=asked).json() for _ in range(2))
    assert second["place"] == 1
    third = visitor.post("/api/jobs", json=asked)
    assert third.status_code == 429
    assert visitor.delete(f"/api/jobs/{second['id']}").json()["state"] == "cancelled"
    until(lambda: visitor.get(f"/api/jobs/{first['id']}").json()["stage"] == "render", what="rendering")
    assert visitor.post("/api/preview", json=asked).status_code == 200, "a preview does not wait for the job"
    assert visitor.get(f"/api/jobs/{first['id']}").json()["state"] == "running"
    visitor.delete(f"/api/jobs/{first['id']}")
    assert finish(visitor, first["id"])["state"] == "cancelled"
    assert len(left(house.vault.folder)) == 2, "what was uploaded, and nothing half made"


def test_a_failure_costs_one_job_and_names_files_as_the_visitor_does(house: House, media: Path) -> None:
    visitor = house.visitor()
    clip = upload(visitor, media / "clip.mp4", "film.mp4")
    asked = {"source": clip, "driving": clip}
    last = finish(visitor, visitor.post("/api/jobs", json=asked).json()["id"])
    assert last["state"] == "failed"
    assert "film.mp4" in last["error"]["what"]
    assert str(house.vault.folder) not in json.dumps(last)
    asked["source"] = "portrait"
    assert finish(visitor, visitor.post("/api/jobs", json=asked).json()["id"])["state"] == "done"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1.evil.example:7860"}, 403),
        ({"Host": "10.0.0.1"}, 403),
        ({"Host": "[::1"}, 403),
        ({"Host": "localhost:9"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://127.0.0.1:7861"}, 403),
        ({"Origin": "http://127.0.0.1:7860"}, 200),
    ],
)
def test_other_pages_are_not_served(house: House, headers: dict[str, str], status: int) -> None:
    assert house.visitor(**headers).get("/api/state").status_code == status


def test_what_is_made_for_others_is_marked(build: Callable[..., House], media: Path) -> None:
    visitor = build(badge="bottom-right").visitor()
    asked = {"source": upload(visitor, media / "face.png"), "driving": upload(visitor, media / "clip.mp4")}
    frame = Image.open(io.BytesIO(visitor.post("/api/preview", json=asked).content)).convert("L")
    assert np.ptp(np.asarray(frame)[:16, :16]) < 10
    assert np.ptp(np.asarray(frame)[16:, 16:]) > 40
    job = visitor.post("/api/jobs", json=asked).json()
    assert finish(visitor, job["id"])["command"].endswith("--badge bottom-right")
    assert visitor.post("/api/jobs", json=asked | {"settings": {"badge": "none"}}).status_code == 400
    assert visitor.post("/api/jobs", json=asked | {"settings": {"badge": "top-left"}}).status_code == 202


def test_changes_need_our_header_and_answers_carry_the_policy(house: House) -> None:
    bare = TestClient(house.app, base_url=ADDRESS)
    assert bare.post("/api/jobs", json={}).status_code == 403
    assert bare.delete("/api/files/clip").status_code == 403
    for path in ("/", "/api/state", "/api/files/clip", "/api/files/none", "/page/index.html"):
        headers = bare.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'"), path
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"


def test_elsewhere_a_token_is_asked_for(build: Callable[..., House]) -> None:
    house = build(host="0.0.0.0", token="s3cret")
    address = "http://192.168.0.7:7860"
    visitor = house.visitor(address)
    assert house.visitor("http://rebound.example").get("/").status_code == 403
    assert visitor.get("/").status_code == 401
    assert visitor.get("/api/files/clip").status_code == 401
    assert visitor.get("/?token=wrong").status_code == 401
    assert visitor.get("/api/state", headers={"Authorization": "Bearer s3cret"}).status_code == 200
    assert visitor.get("/?token=s3cret").status_code == 200, "the page, by a cookie"
    assert "s3cret" not in str(dict(visitor.cookies))
    assert visitor.get("/api/state").status_code == 200


def test_the_work_folder_is_ours_alone_and_goes(tmp_path: Path, media: Path) -> None:
    house = House(tmp_path)
    folder = house.vault.folder
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    upload(house.visitor(), media / "face.png")
    users = tmp_path / "fomm-web-photos"
    users.mkdir(mode=0o755)
    Vault(house.rules).close()
    assert folder.is_dir(), "it is held"
    house.close()
    assert left(tmp_path) == []
    assert users.is_dir(), "not closed to others, so not one of ours"


@pytest.mark.skipif(sys.platform == "win32", reason="a folder there cannot be locked")
def test_what_a_killed_server_left_goes_with_the_next(tmp_path: Path) -> None:
    script = """
from pathlib import Path
import os, signal, sys
from fomm_cli.web.rules import Rules
from fomm_cli.web.vault import Vault
(Vault(Rules(work=Path(sys.argv[1]))).folder / "face.png").write_bytes(b"x")
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script, str(tmp_path)], timeout=60)
    assert killed.returncode == -signal.SIGKILL
    assert [path.name for path in left(tmp_path)] == ["face.png"]
    Vault(Rules(work=tmp_path)).close()
    assert list(tmp_path.iterdir()) == []


def test_a_server_is_as_large_after_many_jobs_as_after_few(house: House, media: Path) -> None:
    visitor = house.visitor()
    asked = {"source": upload(visitor, media / "face.png"), "driving": upload(visitor, media / "clip.mp4")}

    def work(jobs: int) -> tuple[int, int, int]:
        for _ in range(jobs):
            last = finish(visitor, visitor.post("/api/jobs", json=asked).json()["id"])
            assert visitor.delete(f"/api/files/{last['file']}").status_code == 204
        ours = [thread for thread in threading.enumerate() if thread.name.startswith("fomm")]
        return len(left(house.vault.folder)), len(ours), len(house.vault._files)

    few = work(3)
    assert work(9) == few
    assert few[0] == 2


def test_unused_files_go(house: House, media: Path) -> None:
    visitor = house.visitor()
    file, used = upload(visitor, media / "face.png"), upload(visitor, media / "face.png")
    house.vault._files[file].used -= 2 * house.rules.keep
    house.vault._files[used].used -= 2 * house.rules.keep
    house.vault.expire({used})
    assert [visitor.get(f"/api/files/{id}").status_code for id in (file, used)] == [404, 200]
    visitor.delete(f"/api/files/{used}")
    assert left(house.vault.folder) == []


def test_a_visitor_has_a_share_of_the_disk(build: Callable[..., House], media: Path) -> None:
    house = build(quota=1000)
    answer = house.visitor().post("/api/upload", params={"name": "x.png"}, content=bytes(1001))
    assert answer.status_code == 507


def test_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["web", "--host", "0.0.0.0"]) == 2
    assert "--token" in capsys.readouterr().err
    assert main(["web", "--max-upload", "much"]) == 2
    assert main(["web", "--token", "a b", "--host", "0.0.0.0"]) == 2
    assert main(["web", "--certfile", "a.pem"]) == 2
    assert main(["web", "--certfile", "a.pem", "--keyfile", "b.pem"]) == 1
    assert "PEM" in capsys.readouterr().err


def test_the_next_free_port_is_taken() -> None:
    from fomm_cli.web.serve import listen

    first = listen("127.0.0.1", 17860)
    second = listen("127.0.0.1", first.getsockname()[1])
    assert second.getsockname()[1] > first.getsockname()[1]
    first.close()
    second.close()
    with pytest.raises(FommError, match="address"):
        listen("no-such-host.invalid", 17860)
