"""Cut-out sources: transparency moves with the picture, into every format that has it, or before something else."""

from __future__ import annotations

import importlib.util
import sys
from fractions import Fraction
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from fomm_cli.animate.backdrop import Backdrop, on_checks, parse_background
from fomm_cli.animate.clip import animate_clip
from fomm_cli.animate.settings import Output, Paste, Settings
from fomm_cli.commands.app import main
from fomm_cli.engine.plain import PlainEngine
from fomm_cli.errors import FommError
from fomm_cli.media.cutout import bled, read_cutout
from fomm_cli.media.image import read_image, write_image
from fomm_cli.media.video import VideoWriter
from tests.engines import GreyEngine, tiny_model
from tests.test_compose import picture

Y, X = np.mgrid[:96, :96]
ALPHA = np.clip((36 - np.hypot(X - 48, Y - 48)) * 60 + 128, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def engine() -> PlainEngine:
    return PlainEngine(tiny_model())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A disc cut out (disc.png), the same whole (whole.png) with its mask, a background, three driving frames."""
    folder = tmp_path_factory.mktemp("cut")
    colours = picture(96, 96, 3)
    Image.fromarray(np.dstack([colours, ALPHA])).save(folder / "disc.png")
    write_image(folder / "whole.png", colours)
    write_image(folder / "mask.png", np.repeat(ALPHA[..., None], 3, axis=2))
    write_image(folder / "behind.png", picture(64, 80, 4))
    (folder / "clip").mkdir()
    for number in range(3):
        write_image(folder / "clip" / f"{number}.png", picture(32, 32, number))
    return folder


def made(engine: Any, folder: Path, out: Path, source: str = "disc.png", **more: Any) -> np.ndarray:
    settings = Settings(anchor="first", force=True, **more)
    animate_clip(engine, folder / source, folder / "clip", [Output(out)], settings)
    return np.stack([np.asarray(Image.open(path)) for path in sorted(out.glob("*.png"))])


@pytest.mark.parametrize("paste", [None, Paste(("10,10,80,80",))])
def test_transparency_moves_with_the_picture(
    engine: PlainEngine, folder: Path, tmp_path: Path, paste: Paste | None
) -> None:
    frames = made(engine, folder, tmp_path / "o", background="alpha", paste=paste, size=None if paste else "source")
    assert frames.shape == (3, 96, 96, 4)
    source = np.asarray(Image.open(folder / "disc.png"))
    assert np.abs(frames[0, ..., 3].astype(int) - ALPHA).max() <= 2  # driven by its anchor, the source itself
    sure = ALPHA == 255
    assert np.abs(frames[0][sure][:, :3].astype(int) - source[sure][:, :3]).max() <= 2
    assert np.abs(frames[1, ..., 3].astype(int) - ALPHA).max() > 40
    by_mask = made(
        engine, folder, tmp_path / "m", "whole.png", background="alpha", mask=folder / "mask.png", size="source"
    )
    if paste is None:
        np.testing.assert_array_equal(by_mask[..., 3], frames[..., 3])


def test_no_fringe_before_black_and_white(engine: PlainEngine, folder: Path, tmp_path: Path) -> None:
    source = np.asarray(Image.open(folder / "disc.png")).astype(float)
    share = source[..., 3:] / 255
    for colour, level in (("black", 0), ("#ffffff", 255)):
        frame = made(engine, folder, tmp_path / colour.strip("#"), background=colour, size="source")[0]
        truth = share * source[..., :3] + (1 - share) * level
        assert np.abs(frame - truth)[8:-8, 8:-8].max() <= 3
        assert frame.shape == (96, 96, 3)
    frames = made(engine, folder, tmp_path / "behind", background=str(folder / "behind.png"))
    assert frames.shape == (3, 32, 32, 3)  # the network's own size


def test_a_frozen_background_stays_bit_for_bit(engine: PlainEngine, folder: Path, tmp_path: Path) -> None:
    frames = made(
        engine, folder, tmp_path / "o", "whole.png", background="freeze", mask=folder / "mask.png", size="source"
    )
    source = read_image(folder / "whole.png")
    far = np.hypot(X - 48, Y - 48) > 36 + 4 + 12  # the disc, its reach, and its movement
    assert far.sum() > 500
    for frame in frames:
        np.testing.assert_array_equal(frame[far & _still(frames, source)], source[far & _still(frames, source)])
    alpha = np.zeros((96, 96), np.uint8)
    still = np.dstack([source, ALPHA])
    moved = Backdrop("freeze", still)(np.dstack([255 - source, alpha]))
    changed = (moved != source).any(axis=2)
    assert changed[ALPHA == 255].mean() > 0.9  # behind the head the network's own background is shown
    assert not changed[np.hypot(X - 48, Y - 48) > 36 + 5].any()


def _still(frames: np.ndarray, source: np.ndarray) -> np.ndarray:
    """The corners, which no movement of this disc reaches."""
    corner = np.zeros(source.shape[:2], bool)
    corner[:6, :6] = corner[:6, -6:] = corner[-6:, :6] = corner[-6:, -6:] = True
    return corner


def clear_frames(path: Path) -> list[np.ndarray]:
    """The frames of a file with their transparency; ffmpeg's own VP9 decoder drops it."""
    if path.suffix in {".webp", ".apng"}:
        with Image.open(path) as image:
            return [np.asarray(each.convert("RGBA")) for each in ImageSequence.Iterator(image)]
    with av.open(str(path)) as container:
        stream: Any = container.streams.video[0]
        if path.suffix == ".webm":
            decoder: Any = av.CodecContext.create("libvpx-vp9", "r")
            found = [frame for packet in container.demux(stream) for frame in decoder.decode(packet)]
        else:
            found = list(container.decode(stream))
        return [frame.reformat(format="rgba").to_ndarray() for frame in found]


@pytest.mark.parametrize("name", ["a.webm", "a.mov", "a.gif", "a.webp", "a.apng", "frames"])
def test_formats_with_transparency(tmp_path: Path, name: str) -> None:
    shown = [np.dstack([np.full((95, 97, 3), 60 + 40 * n, np.uint8), np.roll(_odd(), 5 * n, axis=1)]) for n in range(4)]
    with VideoWriter(tmp_path / name, Fraction(25)) as writer:
        for frame in shown:
            writer.write(frame)
    path = tmp_path / name
    read = [np.asarray(Image.open(each)) for each in sorted(path.glob("*.png"))] if path.is_dir() else None
    read = read or clear_frames(path)
    assert len(read) == 4
    for wanted, found in zip(shown, read, strict=True):
        there = np.where(wanted[..., 3] < 128, 0, 255) if name == "a.gif" else wanted[..., 3]
        assert np.abs(found[..., 3].astype(int) - there).mean() < 1
        assert np.abs(found[20:70, 45:50, :3].astype(int) - wanted[20:70, 45:50, :3]).mean() < 6


def _odd() -> np.ndarray:
    y, x = np.mgrid[:95, :97]
    return np.clip((36 - np.hypot(x - 42, y - 46)) * 40 + 128, 0, 255).astype(np.uint8)


def test_colours_go_on_beyond_the_edge(folder: Path) -> None:
    colours, alpha = read_cutout(folder / "disc.png")
    assert colours.shape == (96, 96, 3)
    np.testing.assert_array_equal(alpha, ALPHA)
    red = np.full((40, 40, 3), (200, 10, 10), np.uint8)
    alpha = np.zeros((40, 40), np.uint8)
    alpha[:, :20] = 255
    red[:, 20:] = (0, 255, 0)  # what a careless editor leaves where nothing is to be seen
    edge = bled(red, alpha)
    assert np.abs(edge[:, 20:26].astype(int) - (200, 10, 10)).max() <= 4
    assert (edge[:, 34:] == 255).all()


def test_what_is_refused(
    engine: PlainEngine, folder: Path, tmp_path: Path, tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FommError, match="has no transparency: what is background"):
        made(engine, folder, tmp_path / "o", "whole.png", background="alpha")
    with pytest.raises(FommError, match="32 x 32 pixels, but"):
        made(engine, folder, tmp_path / "o", background="alpha", mask=folder / "clip" / "0.png")
    with pytest.raises(FommError, match="gives no flow"):
        made(GreyEngine(), folder, tmp_path / "o", background="alpha")
    with pytest.raises(FommError, match="no background 'fuchsa'"):
        parse_background("fuchsa")
    line = ["animate", str(folder / "disc.png"), str(folder / "clip"), "--weights", str(tiny)]
    assert main([*line, "--background", "alpha", "-o", str(tmp_path / "o.mp4")]) == 1
    assert "has no transparency" in " ".join(capsys.readouterr().err.split())
    assert main([*line, "--background", "nowhere.jpg", "-o", str(tmp_path / "o.mp4")]) == 2
    assert main([*line, "--mask", str(folder / "mask.png"), "-o", str(tmp_path / "o.mp4")]) == 1
    beside = ["--background", "alpha", "--layout", "side-by-side", "-o", str(tmp_path / "both.mp4")]
    assert main([*line, *beside]) == 0  # shown before a chequer board
    assert main([*line, "--background", "alpha", "-o", str(tmp_path / "clear.webm"), "--badge", "top-left"]) == 0
    assert clear_frames(tmp_path / "clear.webm")[0].shape == (32, 32, 4)


@pytest.fixture
def rembg(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A stand-in for the package, whose networks would have to be fetched: its subject is the disc."""
    module = ModuleType("rembg")
    module.__spec__ = ModuleSpec("rembg", None)
    module.new_session = lambda name: name  # type: ignore[attr-defined]
    module.remove = lambda picture, session, only_mask: ALPHA  # type: ignore[attr-defined]
    sessions = ModuleType("rembg.sessions")
    sessions.sessions_names = ["u2net", "isnet-anime"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rembg", module)
    monkeypatch.setitem(sys.modules, "rembg.sessions", sessions)
    return module


def test_a_matte_is_a_mask(engine: PlainEngine, folder: Path, tmp_path: Path, rembg: Any) -> None:
    cut = {"background": "alpha", "size": "source"}
    matted = made(engine, folder, tmp_path / "a", "whole.png", matte="u2net", **cut)
    masked = made(engine, folder, tmp_path / "b", "whole.png", mask=folder / "mask.png", **cut)
    np.testing.assert_array_equal(matted, masked)
    with pytest.raises(FommError, match="no network 'u2nett'") as refused:
        made(engine, folder, tmp_path / "o", "whole.png", matte="u2nett", **cut)
    assert "u2net" in refused.value.hint
    for found, said in ((ALPHA * 0, "sees no subject"), (ALPHA[:8], "of the picture's size")):
        rembg.remove = lambda *_, found=found, **__: found
        with pytest.raises(FommError, match=said):
            made(engine, folder, tmp_path / "o", "whole.png", matte="u2net", **cut)

    def offline(*_: Any, **__: Any) -> None:
        raise ConnectionError("no way there\nand more")

    rembg.remove = offline
    with pytest.raises(FommError, match=r"gave no mask: no way there\nMake"):
        made(engine, folder, tmp_path / "o", "whole.png", matte="u2net", **cut)
    with pytest.raises(FommError, match="both say where"):
        made(engine, folder, tmp_path / "o", "whole.png", matte="u2net", mask=folder / "mask.png", **cut)


def test_without_rembg_its_line_is_said(engine: PlainEngine, folder: Path, tmp_path: Path) -> None:
    if importlib.util.find_spec("rembg") is not None:
        pytest.skip("rembg is installed")
    with pytest.raises(FommError, match="rembg") as refused:
        made(engine, folder, tmp_path / "o", "whole.png", matte="u2net", background="alpha")
    assert refused.value.hint == 'pip install "fomm-cli[matte]", or use --matte motion, which needs nothing.'


def test_checks() -> None:
    board = on_checks(np.zeros((32, 32, 4), np.uint8))
    assert board[0, 0, 0] == 255
    assert board[0, 8, 0] == 204
    plain = picture(32, 32)
    assert on_checks(plain) is plain
