"""The picture of how weights come to a frame: what stands in it is what the network computed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from fomm_cli import draw
from fomm_cli.config.reading import load
from fomm_cli.errors import FommError
from fomm_cli.evaluate.anatomy import SIDE, anatomy
from fomm_cli.media.image import fit
from fomm_cli.model.first_order.dense import candidates
from fomm_cli.model.geometry import coordinate_grid
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.pixels import to_frames, to_tensor
from fomm_cli.weights.file import build_model
from tests import live_portrait
from tests.evaluation import SMALL

COMMON = [each for each in SMALL if "detector" not in each and "num_kp" not in each and "bottleneck" not in each]
REGIONS = [each for each in SMALL if "detector" in each]
PLATE = ["dense_motion.num_blocks=3", "generator.num_down_blocks=3", "dense_motion.scale_factor=0.5", "resnet_width=8"]
WAYS = {
    "toon-64": [*SMALL, "model.num_kp=6"],
    "tps-toon-128": [*COMMON, *(f"model.{each}" for each in PLATE)],
    "mraa-toon-128": [*COMMON, *REGIONS],
}


def network(preset: str) -> AnimationModel:
    torch.manual_seed(0)
    return build_model(load(preset, WAYS[preset])).eval().requires_grad_(False)


def frames(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("preset", list(WAYS))
def test_result_and_background_of_each_family(preset: str) -> None:
    model = network(preset)
    source, driving = frames(32)
    sheet = anatomy(model, source, driving)
    pictures = to_tensor(np.stack([source, driving]))
    poses = [model.detect(pictures[at : at + 1]) for at in (0, 1)]
    result = model.render(model.encode(pictures[:1]), *poses).prediction
    top, step = 4 + 18, SIDE + 4  # heading and gap of a sheet
    cell = sheet[top : top + SIDE, -step:-4]
    # A number that lies between two levels may fall to either side.
    assert np.abs(cell.astype(int) - fit(to_frames(result)[0], (SIDE, SIDE))).max() <= 1
    still = sheet[2 * top + step : 2 * top + step + SIDE, -6 * step : -5 * step - 4]
    assert (still[20:-20, 20:-20] >= 254).all(), "candidate 0 looks at itself"


def test_candidates_are_the_networks_own() -> None:
    from fomm_cli.evaluate.anatomy import _looks

    model = network("toon-64")
    pictures = to_tensor(frames(32))
    source, driving = model.detect(pictures[:1]), model.detect(pictures[1:])
    small = torch.zeros(1, 3, 32, 32)
    own = candidates(source, driving, coordinate_grid(32, 32, like=source.value))[0]
    for shown, flow in zip(_looks(model, small, source, driving), own, strict=True):
        inside = (flow.abs() < 0.999).all(-1).numpy()
        assert inside.any()
        assert np.abs(shown[inside].astype(int) - draw.flow(flow)[inside].astype(int)).max() <= 8


def test_volumes_are_refused() -> None:
    with pytest.raises(FommError, match="move a volume"):
        anatomy(live_portrait.model(), *frames(64))
