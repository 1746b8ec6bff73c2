"""Pictures of every mode come in as uint8 RGB; damaged, huge and missing ones are named."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fomm_cli.boxes import Box, center_box, pad_box, shaped
from fomm_cli.errors import FommError
from fomm_cli.media import image as images
from fomm_cli.media.image import crop, fit, read_image, resize, write_image


def saved(tmp_path: Path, image: Image.Image, name: str = "a.png", **options: object) -> np.ndarray:
    image.save(tmp_path / name, **options)  # type: ignore[arg-type]
    return read_image(tmp_path / name)


def test_colour_modes(tmp_path: Path) -> None:
    red = Image.new("RGB", (20, 10), (255, 0, 0))
    assert saved(tmp_path, red)[5, 5].tolist() == [255, 0, 0]
    assert saved(tmp_path, red.convert("CMYK"), "c.tif")[5, 5].tolist() == [255, 0, 0]
    assert np.abs(saved(tmp_path, red.convert("CMYK"), "c.jpg")[5, 5].astype(int) - [255, 0, 0]).max() < 10
    assert saved(tmp_path, red.quantize(4))[5, 5].tolist() == [255, 0, 0]
    assert saved(tmp_path, Image.new("L", (8, 8), 77))[1, 1].tolist() == [77] * 3
    assert saved(tmp_path, Image.new("1", (8, 8), 1))[1, 1].tolist() == [255] * 3
    assert saved(tmp_path, red.convert("YCbCr"), "y.jpg").shape == (10, 20, 3)


def test_alpha_goes_over_white(tmp_path: Path) -> None:
    clear = Image.new("RGBA", (8, 8), (200, 0, 0, 0))
    clear.paste((0, 0, 255, 255), (0, 0, 4, 8))
    clear.putpixel((7, 7), (0, 0, 0, 128))
    read = saved(tmp_path, clear)
    assert read[2, 2].tolist() == [0, 0, 255]
    assert read[2, 6].tolist() == [255, 255, 255], "the colour under full transparency does not count"
    assert read[7, 7].tolist() == [127, 127, 127]
    palette = Image.new("P", (8, 8), 0)
    palette.putpalette([9, 9, 9, 0, 255, 0])
    palette.paste(1, (0, 0, 4, 8))
    read = saved(tmp_path, palette, "p.png", transparency=0)
    assert read[2, 2].tolist() == [0, 255, 0]
    assert read[2, 6].tolist() == [255, 255, 255]
    assert saved(tmp_path, Image.new("LA", (8, 8), (0, 0)))[0, 0].tolist() == [255] * 3


def test_deep_grey_keeps_its_upper_byte(tmp_path: Path) -> None:
    levels = (np.arange(256, dtype=np.uint16) * 257).reshape(16, 16)
    read = saved(tmp_path, Image.fromarray(levels))
    assert np.array_equal(read[..., 0], np.arange(256).reshape(16, 16))
    dark = np.full((16, 16), 200, dtype=np.uint16)
    assert saved(tmp_path, Image.fromarray(dark))[0, 0].tolist() == [1] * 3, "dark is not stretched"
    wide = Image.fromarray(levels.astype(np.int32))
    assert np.array_equal(saved(tmp_path, wide, "i.tif")[..., 0], np.arange(256).reshape(16, 16))
    real = Image.fromarray(np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16))
    assert np.array_equal(saved(tmp_path, real, "f.tif")[..., 0], np.arange(256).reshape(16, 16))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    """The upright picture has one bright corner; whatever way it is stored, it comes back upright."""
    upright = np.zeros((6, 10, 3), dtype=np.uint8)
    upright[0, 0], upright[0, 9] = 255, 90
    turns = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.fromarray(np.ascontiguousarray(turns[orientation]))
    assert np.array_equal(saved(tmp_path, stored, exif=exif), upright)


def test_the_first_frame_of_an_animation(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (8, 8), (n, 0, 0)) for n in (50, 150)]
    for name in ("a.png", "a.webp"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        assert read_image(tmp_path / name)[0, 0, 0] == 50


def test_one_pixel_is_a_picture(tmp_path: Path) -> None:
    assert saved(tmp_path, Image.new("RGB", (1, 1), (1, 2, 3))).tolist() == [[[1, 2, 3]]]


def bomb(path: Path, width: int, height: int) -> Path:
    """A PNG of a few kilobytes that says it has so many pixels, all black."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    data = zlib.compress(b"\0" * 4096)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b""))
    return path


@pytest.mark.filterwarnings("error")
def test_a_bomb_is_refused_before_it_unpacks(tmp_path: Path) -> None:
    for side in (20_000, 12_000):
        with pytest.raises(FommError, match=r"too large|more than 128 million") as caught:
            read_image(bomb(tmp_path / "b.png", side, side))
        assert "Scale it down" in caught.value.hint


def test_large_is_not_yet_a_bomb(tmp_path: Path) -> None:
    assert images.MAX_PIXELS > 108_000_000, "the largest usual camera"
    wide = saved(tmp_path, Image.new("L", (20_000, 4), 9))
    assert wide.shape == (4, 20_000, 3)


def test_what_is_no_picture_is_named(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "page.jpg").write_text("<html>404</html>")
    (tmp_path / "empty.jpg").write_bytes(b"")
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for name in ("cut.png", "cut.jpg", "cut.webp"):
        noise.save(tmp_path / name)
        data = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(data[: len(data) // 2])
    for name, said in (
        ("text.png", "not a picture"),
        ("page.jpg", "web page"),
        ("empty.jpg", "is empty"),
        ("absent.jpg", "does not exist"),
        ("cut.png", "damaged"),
        ("cut.jpg", "damaged"),
        ("cut.webp", "damaged|not a picture"),
        (".", "folder"),
    ):
        with pytest.raises(FommError, match=said):
            read_image(tmp_path / name)


def test_write_image_is_atomic(tmp_path: Path) -> None:
    picture = np.random.default_rng(0).integers(0, 255, (9, 7, 3), dtype=np.uint8)
    write_image(tmp_path / "o.png", picture)
    assert np.array_equal(read_image(tmp_path / "o.png"), picture)
    with pytest.raises(FommError, match="exists already"):
        write_image(tmp_path / "o.png", picture)
    write_image(tmp_path / "o.png", picture[::-1], force=True)
    with pytest.raises(FommError, match="suffix"):
        write_image(tmp_path / "o.xyz", picture)
    assert [p.name for p in tmp_path.iterdir()] == ["o.png"]


def test_resize_keeps_what_fits_and_does_not_alias() -> None:
    picture = np.random.default_rng(0).integers(0, 255, (32, 48, 3), dtype=np.uint8)
    assert resize(picture, (32, 48)) is picture
    assert resize(picture, (10, 20)).shape == (10, 20, 3)
    assert resize(picture, (100, 90)).shape == (100, 90, 3)
    stripes = np.zeros((256, 256, 3), dtype=np.uint8)
    stripes[:, ::2] = 255
    small = resize(stripes, (48, 48))[4:-4, 4:-4]
    assert np.abs(small.astype(int) - 127).max() <= 3, "stripes finer than a pixel become grey"


def test_boxes() -> None:
    assert center_box(10, 30) == Box(10, 0, 10, 10)
    assert center_box(100, 100, 2.0) == Box(0, 25, 100, 50)
    assert center_box(10, 40, 0.5) == Box(17, 0, 5, 10)
    assert pad_box(10, 30) == Box(0, -10, 30, 30)
    assert pad_box(30, 10, 2.0) == Box(-25, 0, 60, 30)
    assert shaped(Box(10, 20, 30, 40), 1.0) == Box(5, 20, 40, 40)
    assert shaped(Box(0, 0, 30, 40), 2.0) == Box(-25, 0, 80, 40)


@pytest.mark.parametrize("side", [100, 112, 384])
def test_a_side_that_is_no_power_of_two_fits_pictures_of_every_height(side: int) -> None:
    for height in range(100, 420, 3):  # 112 * (116 / 112) is a little more than 116
        assert fit(np.zeros((height, 275, 3), np.uint8), (side, side)).shape == (side, side, 3)


def test_fit_is_centred_to_a_fraction_of_a_pixel_and_never_squashes() -> None:
    ramp = np.repeat(np.arange(41, dtype=np.uint8)[None] * 5, 20, axis=0)[..., None].repeat(3, axis=2)
    square = fit(ramp, (10, 10))  # the window is 20 wide and begins at 10.5: its middle is the ramp's
    assert abs(float(square.mean()) - 100) < 0.6
    assert np.array_equal(fit(ramp, (10, 10), Box(0, 0, 41, 20)), square)
    assert np.array_equal(fit(ramp, (20, 20), Box(3, 0, 20, 20)), ramp[:, 3:23])
    beyond = fit(ramp, (20, 20), Box(-20, 0, 20, 20))
    assert (beyond == ramp[0, 0]).all(), "the edge goes on"


def test_crop_continues_the_edge_outside() -> None:
    picture = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    assert np.array_equal(crop(picture, Box(1, 1, 3, 2)), picture[1:3, 1:4])
    wide = crop(picture, Box(-2, -1, 9, 6))
    assert wide.shape == (6, 9, 3)
    assert np.array_equal(wide, np.pad(picture, ((1, 1), (2, 2), (0, 0)), mode="edge"))
