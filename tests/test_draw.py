"""Pictures of keypoints, flow and occlusion say what they should."""

from __future__ import annotations

import numpy as np
import pytest

from fomm_cli import draw


def grid(size: int = 16) -> np.ndarray:
    line = np.linspace(-1, 1, size)
    return np.stack(np.meshgrid(line, line), axis=-1)


def test_keypoints_land_where_they_are() -> None:
    image = np.full((65, 65, 3), 100, dtype=np.uint8)
    out = draw.keypoints(image, [[-1, -1], [0, 0], [1, 0.5]])
    for index, (x, y) in enumerate([(0, 0), (32, 32), (64, 48)]):
        assert np.abs(out[y, x].astype(int) - draw.colour(index)).max() < 40
    assert out[10, 50].tolist() == [100] * 3
    assert image[0, 0].tolist() == [100] * 3, "the given picture is left alone"
    assert len({draw.colour(i) for i in range(20)}) == 20


def test_keypoints_bear_wild_values() -> None:
    image = np.zeros((32, 32, 3), dtype=np.uint8)
    out = draw.keypoints(image, [[np.nan, 0], [5, 5], [0, 0]], np.full((3, 2, 2), 1e6))
    assert out[16, 16].max() > 100
    straight = draw.keypoints(image, [[0, 0]], np.eye(2)[None])
    assert (straight[16, 20:] > 20).any(), "the first axis points right"
    assert (straight[20:, 16] > 20).any(), "the second axis points down"


def test_flow_is_white_where_nothing_moves() -> None:
    assert (draw.flow(grid()) == 255).all()
    right = draw.flow(grid() + np.array([0.5, 0]), size=(40, 50))
    assert right.shape == (40, 50, 3)
    assert right[20, 20].tolist() == [255, 0, 0]
    left = draw.flow(grid() - np.array([0.5, 0]))
    assert np.abs(left[8, 8].astype(int) - [0, 255, 255]).max() < 8


def test_occlusion_is_grey() -> None:
    out = draw.occlusion(np.array([[[0.0, 0.5], [1.0, 2.0]]]))
    assert out[..., 0].tolist() == [[0, 128], [255, 255]]
    assert draw.occlusion(np.ones((4, 4)), (8, 6)).shape == (8, 6, 3)


def test_row_and_sheet() -> None:
    red = np.zeros((10, 12, 3), dtype=np.uint8)
    red[..., 0] = 200
    assert draw.row([red, red], gap=3).shape == (10, 27, 3)
    page = draw.sheet([[red, None], [red, red[:5]]], ["one", "two"], ["first", "second"])
    assert (page == (200, 0, 0)).all(axis=-1).sum() == 12 * 25
    bare = draw.sheet([[red]], gap=2)
    assert bare.shape == (14, 16, 3)
    with pytest.raises(ValueError, match="at least one"):
        draw.sheet([])
