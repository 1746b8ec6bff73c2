"""Turned crops and their way back give the original's numbers; openings are measured off 68 points."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from fomm_cli.boxes import Box
from fomm_cli.detectors.framing import DRIVING, LIDS, SOURCE, Rectangle, from_face, from_points, ratios
from fomm_cli.media import affine
from fomm_cli.media.image import crop, resize
from tests import live_portrait as lp


@pytest.fixture(scope="module")
def stored() -> dict[str, NDArray[Any]]:
    return {name: tensor.numpy() for name, tensor in lp.tensors("functions").items()}


def drawn(name: str, side: int) -> NDArray[np.uint8]:
    picture = lp.picture(name, side)[0].permute(1, 2, 0).numpy()
    return np.rint(255 * picture).astype(np.uint8)


@pytest.mark.parametrize("which", range(3))
def test_rectangles_and_matrices(stored: dict[str, NDArray[Any]], which: int) -> None:
    at = f"crop.{which}"
    found = from_points(stored[f"{at}.points68"], SOURCE)
    np.testing.assert_allclose((found.x, found.y), stored[f"{at}.center"], atol=1e-3)
    np.testing.assert_allclose((found.side, found.side), stored[f"{at}.size"], atol=1e-3)
    np.testing.assert_allclose(found.angle, stored[f"{at}.angle"][0], atol=5e-4)
    for rectangle, kind in ((found, "rotated"), (found._replace(angle=0.0), "upright")):
        matrix = rectangle.matrix(512)
        np.testing.assert_allclose(matrix, stored[f"{at}.{kind}.o2c"], atol=2e-2)
        np.testing.assert_allclose(affine.inverse(matrix), stored[f"{at}.{kind}.c2o"], atol=2e-2)
    box = from_points(stored[f"{at}.points68"], DRIVING)
    assert box.angle == 0
    np.testing.assert_allclose(box.edges(), stored[f"{at}.driving_box"], atol=1e-3)


def test_driving_clips_take_the_mean_of_their_squares(stored: dict[str, NDArray[Any]]) -> None:
    several = [from_points(stored[f"crop.{which}.points68"], DRIVING).edges() for which in range(3)]
    np.testing.assert_allclose(np.mean(several, axis=0), stored["crop.average_box"], atol=1e-3)


def test_crop_and_paste(stored: dict[str, NDArray[Any]]) -> None:
    picture, other = drawn("picture", 320)[:240], drawn("drawn", 512)
    matrix = from_points(stored["paste.points68"], SOURCE).matrix(512)
    np.testing.assert_allclose(matrix, stored["paste.o2c"][:2], atol=2e-2)
    cut = affine.crop(picture, matrix, (512, 512))
    small = cut.reshape(256, 2, 256, 2, 3).mean(axis=(1, 3))[::4, ::4]
    assert np.abs(small - stored["paste.crop256"]).max() <= 1

    mask = np.floor(255 * affine.border_mask(512, 16, 16)) / 255
    paste = affine.Paste(matrix, mask.astype(np.float32), picture.shape[:2], antialias=False)
    result = paste(picture, other)
    difference = np.abs(result[::2, ::2].astype(int) - stored["paste.result"])
    assert difference.max() <= 1
    assert difference.mean() < 0.05
    untouched = np.ones(picture.shape[:2], dtype=bool)
    untouched[paste.box.top : paste.box.top + paste.box.height, paste.box.left : paste.box.left + paste.box.width] = 0
    assert (result[untouched] == picture[untouched]).all()
    assert untouched.any()
    assert np.abs(paste(picture, cut)[2:-2, 2:-2].astype(int) - picture[2:-2, 2:-2]).mean() < 0.5


def test_a_shrinking_crop_does_not_alias() -> None:
    checks = np.zeros((400, 400, 3), np.uint8)
    checks[::2, 1::2] = checks[1::2, ::2] = 255
    matrix = Rectangle(200.2, 199.7, 300, 0.3).matrix(64)
    smooth = affine.sample(checks, matrix, (64, 64))
    rough = affine.sample(checks, matrix, (64, 64), antialias=False)
    assert smooth.std() < 0.2 * rough.std()
    assert abs(smooth.mean() - 127.5) < 1


def test_an_upright_box_is_what_crop_and_resize_give() -> None:
    picture = drawn("picture", 320)
    box = Box(40, 60, 128, 128)
    ours = affine.crop(picture, affine.box_matrix(box, (256, 256)), (256, 256))
    theirs = resize(crop(picture, box), (256, 256))
    assert np.abs(ours[4:-4, 4:-4].astype(int) - theirs[4:-4, 4:-4]).mean() < 1


def test_a_crop_wholly_outside_is_black_and_pastes_nothing() -> None:
    picture = drawn("picture", 64)
    matrix = Rectangle(500, 500, 40, 0.2).matrix(32)
    assert not affine.crop(picture, matrix, (32, 32)).any()
    paste = affine.Paste(matrix, affine.border_mask(32, 2, 2), (64, 64))
    assert (paste(picture, np.full((32, 32, 3), 255, np.uint8)) == picture).all()


def test_face_boxes_stand_for_points() -> None:
    face = (100.0, 50.0, 200.0, 190.0)
    found = from_face(face, SOURCE)
    assert found.side == pytest.approx(1.81 * 140, rel=0.01)
    assert found.x == pytest.approx(149.5)
    assert found.y == pytest.approx(119.5 - 0.085 * 140, abs=1)
    driving = from_face(face, DRIVING)
    assert driving.side == pytest.approx(1.73 * 140, rel=0.01)
    assert driving.y == pytest.approx(119.5 - 0.03 * 140, abs=1)


def test_openings() -> None:
    points = np.zeros((68, 2))
    for corner, opening in ((36, 0.3), (42, 0.1)):
        at = np.arange(3) * 10.0  # the corner, and the lids at thirds
        points[corner], points[corner + 3] = (0, 0), (30, 0)
        for lid, sign in ((corner + 1, -1), (corner + 4, 1)):
            height = sign * 30 * opening * LIDS / 2
            order = at[1:] if sign < 0 else at[:0:-1]
            points[lid], points[lid + 1] = (order[0], height), (order[1], height)
    points[48], points[54], points[62], points[66] = (0, 0), (50, 0), (25, -5), (25, 5)
    np.testing.assert_allclose(ratios(points), (0.3, 0.1, 0.2), rtol=1e-4)
