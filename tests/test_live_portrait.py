"""LivePortrait's networks and rules give the original's numbers; the tiny ones here, the full ones on their own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fomm_cli.errors import FommError
from fomm_cli.model.geometry import warp
from fomm_cli.model.live_portrait import pose, published, volume
from fomm_cli.model.live_portrait.detector import degrees, keypoints, rotations
from fomm_cli.model.live_portrait.family import LivePortrait
from fomm_cli.model.live_portrait.pose import Finish, HeadPose
from fomm_cli.model.pose import joined, mapped, pick
from tests import live_portrait as lp

# Largest absolute error: of the tiny networks, of the full ones.
BOUNDS = {
    "volume": (2e-5, 1e-4),
    "stage": (2e-5, 1e-4),
    "degrees": (3e-4, 3e-4),
    "pose": (5e-6, 1e-5),
    "maps": (2e-5, 2e-4),
    "flow": (3e-6, 1e-5),
    "inside": (3e-4, 3e-3),
    "image": (3e-5, 2e-4),
    "points": (3e-6, 1e-5),
    "chain": (1e-4, 3e-4),
}


def sampled(name: str, value: Tensor, like: Tensor) -> Tensor:
    """The part of a tensor that the reference keeps."""
    if value.shape == like.shape:
        return value
    if value.shape[1:] != like.shape[1:] and value[:, ::4].shape == like.shape:
        return value[:, ::4]
    if value.dim() == 5:
        return value[:, ::3, ::5, ::5] if value.shape[-1] == 3 else value[:, ::7, ::3, ::5, ::5]
    return value[:, :, ::5, ::5] if value.shape[1] <= 3 else value[:, ::7, ::5, ::5]


class Reference:
    """The reference tensors of one size; what was compared is counted."""

    def __init__(self, size: str) -> None:
        self.tensors = lp.tensors(size)
        self.bound = {kind: bounds[size == "full"] for kind, bounds in BOUNDS.items()}
        self.seen: set[str] = set()

    def check(self, name: str, value: Tensor, kind: str) -> None:
        like = self.tensors[name]
        value = value.reshape(like.shape) if value.numel() == like.numel() else sampled(name, value, like)
        torch.testing.assert_close(value, like, atol=self.bound[kind], rtol=0, msg=lambda told: f"{name}: {told}")
        self.seen.add(name)


@pytest.mark.parametrize("size", ["tiny", pytest.param("full", marks=pytest.mark.full)])
@torch.inference_mode()
def test_networks_give_the_original_numbers(size: str) -> None:
    model, reference = lp.model(size), Reference(size)
    given = lp.inputs(size)
    inner: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda _, __, out, name=name: inner.__setitem__(name, out))
        for name, module in model.named_modules()
    ]
    try:
        encoded = model.encode(given["source"])
        reference.check("F.down_blocks.1", inner["appearance.down_blocks.1"], "volume")
        reference.check("F.second", inner["appearance.second"], "volume")
        reference.check("F.volume", encoded.features, "volume")
        poses = {}
        for who in ("driving0", "driving1", "source"):
            found = poses[who] = model.detect(given[who])
            for head in ("kp", "exp", "t", "scale"):
                reference.check(f"M.{who}.{head}", getattr(found, head), "pose")
            for head in ("pitch", "yaw", "roll"):
                logits = inner[f"keypoint_detector.fc_{head}"]
                reference.check(f"M.{who}.{head}", logits, "stage")
                reference.check(f"M.{who}.{head}_degrees", degrees(logits), "degrees")
            reference.check(f"M.{who}.rotation", found.rotation, "pose")
            reference.check(f"M.{who}.keypoints", found.value, "pose")
        for stage in range(4):
            reference.check(f"M.source.stage{stage}", inner[f"keypoint_detector.stages.{stage}"], "stage")
        for which in (1, 0):
            motion = model.dense_motion(encoded.small, given["kp_source"], given[f"kp_driving{which}"])
            assert motion.occlusion is not None
            reference.check(f"W.{which}.deformation", motion.flow, "flow")
            reference.check(f"W.{which}.mask", motion.mask, "flow")
            reference.check(f"W.{which}.occlusion_map", motion.occlusion, "flow")
            maps = model.generator.warped(encoded.features, motion)
            reference.check(f"W.{which}.out", maps, "maps")
            reference.check(f"G.{which}.image", model.generator.paint(maps), "image")
        reference.check("W.0.compress", model.dense_motion.compress(encoded.features), "maps")
        reference.check("W.0.hourglass", inner["dense_motion.hourglass"], "maps")
        reference.check("W.0.third", inner["generator.third"], "maps")
        reference.check("G.0.fc", inner["generator.fc"], "inside")
        for ours, theirs in (("middle_blocks.0.norm_0", "G_middle_0.norm_0"), ("middle_blocks.0", "G_middle_0")):
            reference.check(f"G.0.{theirs}", inner[f"generator.{ours}"], "inside")
        for ours, theirs in (("middle_blocks.5", "G_middle_5"), ("up_blocks.0", "up_0"), ("up_blocks.1", "up_1")):
            reference.check(f"G.0.{theirs}", inner[f"generator.{ours}"], "inside")
        source = given["kp_source"]
        reference.check("S.stitched_keypoints", model.stitching(source, given["kp_driving0"]), "points")
        reference.check("S.lip", model.lip(source, torch.tensor([[0.2, 0.05]])), "points")
        reference.check("S.eye", model.eyes(source, torch.tensor([[0.3, 0.25, 0.1]])), "points")

        arrays = {who: mapped(found, lambda field: field.numpy()) for who, found in poses.items()}
        moved = pose.transfer(arrays["source"], arrays["driving1"], arrays["driving0"])
        settled = model.settle(poses["source"], mapped(moved, lambda field: torch.from_numpy(np.array(field))))
        reference.check("chain.keypoints", settled.value, "points" if size == "full" else "chain")
        chain = model.render(encoded, poses["source"], settled)
        reference.check("chain.image", chain.prediction, "chain")
        assert tuple(chain.prediction.shape[2:]) == model.output_size
    finally:
        for hook in hooks:
            hook.remove()
    left = {name for name in reference.tensors if not name.startswith(("input.", "S.stitching", "W.0.hourglass_input"))}
    assert reference.seen >= left, left - reference.seen


@torch.inference_mode()
def test_a_batch_gives_what_its_members_give() -> None:
    model, given = lp.model(), lp.inputs("tiny")
    images = torch.cat([given["source"], given["driving0"], given["driving1"]])
    together = model.detect(images)
    apart = [model.detect(images[i : i + 1]) for i in range(3)]
    for field, several in zip(together, zip(*apart, strict=True), strict=True):
        if field is not None:
            torch.testing.assert_close(field, torch.cat(several), atol=2e-6, rtol=0)
    encoded = model.encode(given["source"])
    one = pick(together, slice(1))
    frames = model.render(encoded, one, together).prediction
    several_sources = model.encode(images)
    turned = mapped(together, lambda field: field.roll(1, 0))
    swapped = model.render(several_sources, together, turned).prediction
    for i in range(3):
        alone = model.render(encoded, one, pick(together, slice(i, i + 1))).prediction
        torch.testing.assert_close(frames[i : i + 1], alone, atol=2e-5, rtol=0)
        own = model.render(model.encode(images[i : i + 1]), apart[i], apart[i - 1]).prediction
        torch.testing.assert_close(swapped[i : i + 1], own, atol=2e-5, rtol=0)


def test_shifts_and_warps_sample_alike() -> None:
    functions = lp.tensors("functions")
    torch.testing.assert_close(
        warp(functions["sample.volume"], functions["sample.grid"], align_corners=False),
        functions["sample.result"],
        atol=1e-6,
        rtol=0,
    )
    generator = torch.Generator().manual_seed(0)
    maps = torch.rand(1, 4, 5, 6, 7, generator=generator)
    shifts = 0.6 * torch.randn(2, 3, 3, generator=generator)
    shifted = volume.shifted(maps, shifts)
    grid = volume.coordinate_grid(maps.shape[2:], maps)
    for b in range(2):
        for k in range(3):
            sampled = warp(maps, (grid + shifts[b, k])[None], align_corners=False)
            torch.testing.assert_close(shifted[b, k], sampled[0], atol=2e-6, rtol=0)
    points = torch.rand(2, 3, 3, generator=generator)
    distance = (grid - points[:, :, None, None, None]).square().sum(dim=-1)
    torch.testing.assert_close(volume.gaussians(points, (5, 6, 7), 0.01), torch.exp(-distance / 0.02))


# ------------------------------------------------------------------------------------------------------------ the rules


def stored_pose(functions: dict[str, Tensor], who: str) -> HeadPose:
    get = {key: functions[f"pose.{who}.{key}"].numpy() for key in ("keypoints", "kp", "rotation", "exp", "t", "scale")}
    return HeadPose(get["keypoints"], *(get[key] for key in ("kp", "rotation", "exp", "t", "scale")))


def stacked(poses: list[HeadPose]) -> HeadPose:
    return joined(poses)


def test_angles_rotations_and_keypoints() -> None:
    functions = lp.tensors("functions")
    found = degrees(functions["bins.logits"])
    torch.testing.assert_close(found, functions["bins.degrees"], atol=1e-4, rtol=0)
    for who in [f"{kind}{i}" for kind in ("source", "driving") for i in range(4)]:
        get = {key: functions[f"pose.{who}.{key}"] for key in ("pitch", "yaw", "roll", "kp", "exp", "t", "scale")}
        rotation = rotations(*(get[key][:, 0] for key in ("pitch", "yaw", "roll")))
        torch.testing.assert_close(rotation, functions[f"pose.{who}.rotation"], atol=1e-6, rtol=0)
        parts = (get["kp"], rotation, get["exp"], get["t"], get["scale"])
        torch.testing.assert_close(keypoints(*parts), functions[f"pose.{who}.keypoints"], atol=1e-6, rtol=0)
        ours = pose.keypoints(*(part.numpy() for part in parts))
        np.testing.assert_allclose(ours, functions[f"pose.{who}.keypoints"].numpy(), atol=1e-6)


class Stitchers:
    """The three small networks at the published size, as an engine settles with them."""

    def __init__(self) -> None:
        state = lp.published_state("full", only=published.REQUIRED[4:])
        self.networks = lp.small_networks(lp.our_state(state))

    def settle(self, source: HeadPose, driving: HeadPose, finish: Finish | None = None) -> HeadPose:
        ratios = [None if each is None else torch.from_numpy(each) for each in (finish or Finish())[2:4]]
        finish = (finish or Finish())._replace(eyes=ratios[0], lip=ratios[1])
        points = (torch.from_numpy(np.array(each.value)) for each in (source, driving))
        return driving._replace(value=pose.settled(*points, finish, *self.networks).numpy())


@pytest.fixture(scope="module")
def stitchers() -> Stitchers:
    return Stitchers()


def options_of(case: dict[str, Any]) -> list[str]:
    """The original's options as ours."""
    eyes, lip = case.get("flag_eye_retargeting"), case.get("flag_lip_retargeting")
    closed, steady = case.get("flag_normalize_lip"), case.get("flag_source_video_eye_retargeting")
    rest = {(True, True): "all", (True, False): "lip", (False, True): "eyes"}.get((bool(closed), bool(steady)), "none")
    return [
        f"region={case.get('animation_region', 'all')}",
        f"stitching={case['flag_stitching']}",
        f"multiplier={case.get('driving_multiplier', 1.0)}",
        f"rest={rest}",
        f"smoothing={case.get('driving_smooth_observation_variance', 3e-7)}",
        *["eyes=driving"] * bool(eyes),
        *["lip=driving"] * bool(lip),
    ]


@pytest.mark.parametrize("case", lp.cases(), ids=lambda case: case["name"])
@torch.inference_mode()
def test_driving_rules(case: dict[str, Any], stitchers: Stitchers) -> None:
    """What the family makes of source and driving, under its own options, is what the original's pipeline does."""
    functions = lp.tensors("functions")
    driven = functions[f"{case['name']}.driven"].numpy()
    frames, clip = len(driven), case["source_video"]

    def seen(who: str, count: int) -> HeadPose:
        ratios = [functions[f"ratio.{who}{i}.{kind}"].numpy() for i in range(count) for kind in ("eyes", "lip")]
        poses = stacked([stored_pose(functions, f"{who}{i}") for i in range(count)])
        return poses._replace(openness=np.concatenate(ratios, axis=1).reshape(count, 3))

    family = LivePortrait().configured(options_of(case))
    mode = "relative" if case["flag_relative_motion"] else "absolute"
    family.check_asked(mode, clip)
    source = seen("source", frames if clip else 1)
    driving = seen("driving", frames if case["driving_video"] else 1)
    initial = pick(driving, slice(1))
    if not case["driving_video"]:
        initial = family.resting(initial, clip)
    if family.follows_openness:
        # Ours leaves what is opened to the network and moves the rest; theirs drops all motion, or none of it.
        dropped = [0] * frames if mode == "relative" else slice(None)
        moved = pose.transfer(source, pick(driving, dropped), initial, mode)._replace(openness=driving.openness)
    elif clip:
        moved = family.redirect(source, driving, initial, mode)
    else:
        moved = family.transfer(source, driving, initial, mode)
    rows = [slice(row, row + 1) for row in range(frames)]
    settled = [family.settle(stitchers, pick(source, row) if clip else source, pick(moved, row)).value for row in rows]
    np.testing.assert_allclose(np.concatenate(settled), driven, atol=1e-5)
    if not clip:  # all at once is the same
        np.testing.assert_allclose(family.settle(stitchers, source, moved).value, driven, atol=1e-5)


@pytest.mark.parametrize(("own", "wanted"), [(0.3, 0.3), (0.1, 0.39)])
def test_eyes_of_a_source_clip_stay_as_they_were_but_not_shut(own: float, wanted: float) -> None:
    openness = np.array([[own, own, 0.5], [0.05, 0.05, 0.0]])
    assert pose.steady(openness) == pytest.approx(wanted)


@pytest.mark.parametrize("observation", ["3e-07", "1e-05", "0.001"])
def test_smoothing(observation: str) -> None:
    functions = lp.tensors("functions")
    found = pose.smooth(functions["smooth.input"][:, 0].numpy(), float(observation))
    np.testing.assert_allclose(found, functions[f"smooth.{observation}"].numpy(), atol=1e-6)


def test_distance_is_of_turn_and_expression_alone() -> None:
    functions = lp.tensors("functions")
    source = stored_pose(functions, "source0")
    moved = source._replace(t=source.t + 0.3, scale=1.4 * source.scale, value=source.value + 0.1)
    assert pose.distance(source, moved)[0] < 1e-9
    others = stacked([stored_pose(functions, f"driving{i}") for i in range(4)])
    assert (pose.distance(source, others) > 0.02).all()


def test_an_unknown_region_names_the_known_ones() -> None:
    functions = lp.tensors("functions")
    one = stored_pose(functions, "source0")
    with pytest.raises(FommError, match="region 'eye'") as refused:
        pose.transfer(one, one, one, region="eye")
    assert "eyes" in refused.value.hint
