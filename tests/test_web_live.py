"""The camera over a WebSocket: a frame for a frame, one visitor at a time, nothing trusted."""

from __future__ import annotations

import io
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Semaphore
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")
from starlette.testclient import WebSocketTestSession
from starlette.websockets import WebSocketDisconnect

from fomm_cli.animate.live import Live
from fomm_cli.animate.runner import Runner
from fomm_cli.animate.scene import Scene
from fomm_cli.errors import FommError
from fomm_cli.model.first_order.family import FirstOrder
from fomm_cli.motion.controls import Controls
from fomm_cli.web import live as stage
from fomm_cli.web.inbox import Inbox, Pace
from tests.engines import GreyEngine
from tests.web import ADDRESS, House, houses, until

WS = ADDRESS.replace("http", "ws") + "/api/live"
START = {"type": "start", "source": "portrait"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with houses(tmp_path / "work") as build:
        yield build()


def grey(level: int, size: tuple[int, int] = (32, 32)) -> np.ndarray:
    return np.full((*size, 3), level, dtype=np.uint8)


def packed(number: int, level: int, size: tuple[int, int] = (32, 32)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey(level, size)).save(buffer, "JPEG", quality=95)
    return struct.pack("<Id", number, 40.0 * number) + buffer.getvalue()


def shown(data: bytes) -> float:
    return float(np.asarray(Image.open(io.BytesIO(data[12:]))).mean())


def answered(socket: WebSocketTestSession) -> bytes:
    """The next frame; the server asked for another before it came."""
    assert socket.receive_json() == {"type": "next"}
    return socket.receive_bytes()


def said(socket: WebSocketTestSession) -> dict[str, object]:
    """The last thing the server says before it hangs up."""
    answer: dict[str, object] = {"type": "next"}
    while answer["type"] == "next":
        answer = socket.receive_json()
    with pytest.raises(WebSocketDisconnect):
        socket.receive_json()
    return answer


def scene(level: int = 100) -> Scene:
    return Scene(Runner(GreyEngine()), grey(level))


def test_the_first_frame_is_the_source_and_the_next_ones_move_it() -> None:
    live = Live(scene(), Controls())
    levels = [live(grey(level), n / 25)[0, 0, 0] for n, level in enumerate((60, 60, 80))]
    assert levels == [100, 100, 120]
    live.recentre()
    assert live(grey(80), 1.0)[0, 0, 0] == 100


def test_for_some_seconds_the_nearest_pose_becomes_the_anchor(monkeypatch: pytest.MonkeyPatch) -> None:
    def distance(family: FirstOrder, source: Any, driving: Any) -> np.ndarray:
        return np.abs(driving.value - source.value).mean(axis=(1, 2))

    monkeypatch.setattr(FirstOrder, "distance", distance)
    live = Live(scene(), Controls())
    live(grey(60), 0.0)
    live.recentre(5.0)
    seen = [(150, 1.0), (110, 2.0), (140, 3.0), (95, 4.0), (99, 6.5), (100, 7.0)]
    levels = [int(live(grey(level), at)[0, 0, 0]) for level, at in seen]
    assert levels == [100, 100, 130, 100, 104, 105], "95 was nearest while it was sought"


def test_controls_act_from_the_next_frame_on() -> None:
    live = Live(scene(), Controls(motion_scale=0.0))
    live(grey(60), 0.0)
    assert live(grey(90), 0.04)[0, 0, 0] == 100
    live.steer(Controls())
    assert live(grey(90), 0.08)[0, 0, 0] == 130
    with pytest.raises(FommError, match="loop"):
        live.steer(Controls(loop="cut"))


def test_smoothing_follows_and_arrives() -> None:
    live = Live(scene(), Controls(smooth=0.5))
    live(grey(60), 0.0)
    levels = [int(live(grey(90), 0.04 * n)[0, 0, 0]) for n in range(1, 40)]
    assert 100 < levels[0] < 130
    assert levels == sorted(levels)
    assert abs(levels[-1] - 130) <= 1


def test_a_frame_for_a_frame(house: House) -> None:
    with house.visitor().websocket_connect(WS) as socket:
        assert socket.receive_json() == {"type": "ready"}
        socket.send_json(START)
        levels = []
        for number, level in enumerate((60, 60, 90)):
            socket.send_bytes(packed(number, level))
            answer = answered(socket)
            assert struct.unpack("<Id", answer[:12]) == (number, 40.0 * number)
            levels.append(shown(answer))
        assert abs(levels[1] - levels[0]) < 0.5
        assert levels[2] > levels[0] + 15
        socket.send_json({"type": "anchor"})
        socket.send_bytes(packed(3, 90))
        assert abs(shown(answered(socket)) - levels[0]) < 0.5
        socket.send_json(START | {"source": "portrait.png"})
        socket.send_bytes(packed(4, 90))
        assert abs(shown(answered(socket)) - levels[0]) > 3, "another portrait"


class GatedEngine(GreyEngine):
    """Renders a frame when it is let."""

    def __init__(self) -> None:
        super().__init__()
        self.waits, self.gate = Event(), Semaphore(0)

    def render(self, *given: Any) -> np.ndarray:
        self.waits.set()
        assert self.gate.acquire(timeout=60)
        return super().render(*given)


def test_a_slow_engine_takes_the_newest_frame_and_nothing_queues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, came, put = GatedEngine(), [], Inbox.put

    def counted(inbox: Inbox, frame: bytes | None, words: str = "") -> None:
        put(inbox, frame, words)
        came.append(frame is not None)

    monkeypatch.setattr(Inbox, "put", counted)
    with houses(tmp_path / "work") as build, build(engine).visitor().websocket_connect(WS) as socket:
        socket.receive_json()
        socket.send_json(START)
        socket.send_bytes(packed(0, 60))
        assert engine.waits.wait(60)
        tracemalloc.start()
        for number in range(1, 201):
            socket.send_bytes(packed(number, 60) + bytes(200_000))
        until(lambda: sum(came) == 201, what="the last frame")
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert held < 2_000_000, "of 40 MB"
        socket.send_json({"type": "controls", "settings": {"head": 0.5}})
        engine.gate.release(2)
        numbers = [struct.unpack_from("<I", answered(socket))[0] for _ in range(2)]
        assert numbers == [0, 200], "what came in between is passed over"
        assert [what for what, _ in engine.calls].count("detect") == 3, "the source, and these"


def test_the_next_frame_is_asked_for_as_long_before_as_it_takes_to_come() -> None:
    pace = Pace()
    assert pace.patience == 0, "at once, where nothing is known"
    for _ in range(30):
        pace.took(0.100)
        pace.came(0.010)
    assert pace.patience == pytest.approx(0.080, abs=1e-4)
    for _ in range(30):
        pace.came(0.500)
    assert pace.patience == 0, "at once, where the way is longer than the work"


@pytest.mark.parametrize(
    ("message", "what"),
    [
        (packed(0, 60)[:12] + b"no picture", "no JPEG"),
        (packed(0, 60)[:7], "bytes"),
        (bytes(stage.LARGEST + 1), "bytes"),
        (packed(0, 60, (1500, 1500)), "1500 x 1500"),
        (struct.pack("<Id", 0, float("nan")) + packed(0, 60)[12:], "number"),
        ("{", "no message"),
        ('{"type": "dance"}', "dance"),
        ('{"type": "controls", "settings": {"head": 9}}', "head 9"),
        ('{"type": "anchor", "seconds": "long"}', "long"),
    ],
)
def test_what_is_no_frame_ends_it_with_a_reason(house: House, message: bytes | str, what: str) -> None:
    with house.visitor().websocket_connect(WS) as socket:
        socket.receive_json()
        socket.send_json(START)
        (socket.send_bytes if isinstance(message, bytes) else socket.send_text)(message)  # type: ignore[operator]
        answer = said(socket)
        assert answer["type"] == "error"
        assert what in str(answer["what"])


def test_a_network_that_fails_says_so_and_the_next_visitor_comes_on(house: House) -> None:
    def fail(frames: np.ndarray) -> None:
        raise RuntimeError("no such device")

    kept, house.desk.engines.first._engine.detect = house.desk.engines.first._engine.detect, fail  # type: ignore[attr-defined]
    with house.visitor().websocket_connect(WS) as socket:
        socket.receive_json()
        socket.send_json(START)
        assert "unexpectedly (RuntimeError)" in str(said(socket)["what"])
    house.desk.engines.first._engine.detect = kept  # type: ignore[attr-defined]
    with house.visitor().websocket_connect(WS) as socket:
        assert socket.receive_json() == {"type": "ready"}


def test_a_source_must_be_ones_own(house: House) -> None:
    with house.visitor().websocket_connect(WS) as socket:
        socket.receive_json()
        socket.send_json({"type": "start", "source": "0" * 32})
        assert "no such file" in str(said(socket)["what"])


def test_one_is_live_and_others_wait(house: House) -> None:
    visitor = house.visitor()
    with visitor, visitor.websocket_connect(WS) as first:
        first.receive_json()
        with visitor.websocket_connect(WS) as second:
            assert second.receive_json() == {"type": "wait", "place": 1}
            first.close()
            told = next(said for _ in range(100) if (said := second.receive_json())["type"] != "wait")
            assert told == {"type": "ready"}


def test_who_says_nothing_makes_room(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "SILENCE", 0.05)
    with house.visitor().websocket_connect(WS) as socket:
        assert socket.receive_json() == {"type": "ready"}
        assert "ten seconds" in str(said(socket)["what"])


def test_other_pages_do_not_get_in(house: House) -> None:
    for address, origin in ((WS, "https://evil.example"), (WS.replace("127.0.0.1", "evil.example"), ADDRESS)):
        with pytest.raises(WebSocketDisconnect), house.visitor(Origin=origin).websocket_connect(address):
            pass
