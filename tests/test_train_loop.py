"""`fomm train` from folder to weights, and what it says when something is wrong."""

from __future__ import annotations

import json
import re
import subprocess
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from fomm_cli import load_model
from fomm_cli.commands.app import main
from fomm_cli.data.pairs import Failure
from fomm_cli.processes import World
from fomm_cli.train import batches, checkpoint, logs
from fomm_cli.train.loop import resume, train
from fomm_cli.train.run import Options, Run, commit, create, find
from fomm_cli.train.state import State
from fomm_cli.weights.header import read_header
from tests import processes
from tests.data_material import strip
from tests.golden import golden_config, golden_state
from tests.training import tiny_clips, tiny_config, tiny_file


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips, a config, and a finished run 1 of three epochs of five steps."""
    place = tmp_path_factory.mktemp("train")
    tiny_clips(place / "data")
    tiny_file(place / "tiny.yaml")
    assert main(command(place)) == 0
    return place


def command(place: Path, *more: str, data: str = "data", workers: str = "0") -> list[str]:
    words = ["train", str(place / "tiny.yaml"), "--data", str(place / data), "--runs", str(place / "runs")]
    return [*words, "--workers", workers, "--device", "cpu", "--log-every", "2", *more]


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_run_folder_holds_everything(place: Path) -> None:
    run = Run(place / "runs" / "00001-tiny")
    steps = lines(run.metrics)
    assert [line["step"] for line in steps] == list(range(1, 16))
    for key in ("loss", "generator_gan", "discriminator_gan", "equivariance_value", "keypoint_spread", "lr_generator"):
        assert all(isinstance(line[key], float) for line in steps), key
    for key in ("data_time", "step_time", "pairs_per_second", "memory_gib", "grad_norm_kp_detector"):
        assert all(line[key] >= 0 for line in steps), key
    assert [line["epoch"] for line in steps[::5]] == [0, 1, 2]
    assert steps[14]["lr_generator"] == pytest.approx(steps[0]["lr_generator"] / 10)  # the milestone at epoch 2
    validation = lines(run.validation)
    assert [line["step"] for line in validation] == [5, 10, 15]
    assert all(0 < line["l1"] < 1 and line["psnr"] > 0 and line["copy_l1"] > 0 for line in validation)
    assert run.read_config().name == "tiny"
    assert run.read_options().data == str(place / "data")
    environment = json.loads(run.environment.read_text())
    assert environment["torch"] == torch.__version__
    assert "git" in environment
    with Image.open(run.samples / "step-00000015.png") as sheet:
        assert sheet.width > 6 * 16
    best = checkpoint.read(run.best)["state"]
    assert best["best"] == min(line["l1"] for line in validation)


def test_finished_weights_are_the_average_and_tell_their_origin(place: Path) -> None:
    run = Run(place / "runs" / "00001-tiny")
    model = load_model(run.weights, device="cpu")
    average = checkpoint.read(run.last)["state"]["average"]
    assert all(torch.equal(value, average[name]) for name, value in model.state_dict().items())
    header = read_header(run.weights)
    assert header.provenance["steps"] == 15
    assert header.provenance["data"] == "data"
    assert str(place) not in json.dumps(header.provenance)


def test_one_call_trains_and_another_goes_on(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    options = Options(data="data", device="cpu", workers=0, log_every=2)
    run = train("tiny.yaml", options, tmp_path, steps=7)
    assert len(lines(run.metrics)) == 7
    assert not run.weights.exists()
    monkeypatch.chdir(tmp_path)
    assert resume(run).weights.is_file()
    whole = lines(place / "runs" / "00001-tiny" / "metrics.jsonl")
    assert [line["loss"] for line in lines(run.metrics)] == [line["loss"] for line in whole]
    assert len(lines(resume(run, steps=3).metrics)) == len(whole), "past its end nothing is trained"


def test_init_starts_from_weights_as_a_new_run(place: Path) -> None:
    first = Run(place / "runs" / "00001-tiny")
    assert main(command(place, "--init", str(first.weights), "--steps", "1", "--set", "train.lr_generator=0")) == 0
    run = find(place / "runs", "last")
    ours, theirs = checkpoint.read(run.last)["state"]["model"], load_model(first.weights, device="cpu").state_dict()
    assert torch.equal(ours["generator.final.weight"], theirs["generator.final.weight"])
    assert lines(run.metrics)[0]["step"] == 1


def test_init_refuses_another_architecture(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = str(place / "runs" / "00001-tiny" / "weights.safetensors")
    assert main(command(place, "--init", weights, "--set", "model.num_kp=2")) == 1
    assert "another architecture" in capsys.readouterr().err


def test_init_adds_keypoints_to_those_of_the_weights(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = place / "runs" / "00001-tiny" / "weights.safetensors"
    few = load_model(weights, device="cpu")
    keypoints = read_header(weights).config.model.num_kp
    frozen = ["--set", "train.lr_generator=0", "--set", "train.lr_kp_detector=0", "--steps", "1"]
    assert main(command(place, "--init", str(weights), "--set", f"model.num_kp={keypoints + 2}", *frozen)) == 0
    assert "2 more begin at random" in capsys.readouterr().err
    run = find(place / "runs", "last")
    assert main(["runs", "export", str(run.folder), "-o", str(place / "more.safetensors")]) == 0
    more = load_model(place / "more.safetensors", device="cpu")
    grown, before = more.state_dict(), few.state_dict()
    assert grown.keys() == before.keys()
    for name, value in before.items():
        if name.endswith(("weight", "bias")):
            assert torch.equal(grown[name][tuple(slice(length) for length in value.shape)], value), name
    image = torch.rand(2, 3, *few.size)
    assert more.train().detect(image).value.shape[1] == keypoints + 2
    torch.testing.assert_close(more.detect(image).value[:, :keypoints], few.train().detect(image).value)
    assert main(command(place, "--init", str(weights), "--set", f"model.num_kp={keypoints - 1}", *frozen)) == 1
    assert "another architecture" in capsys.readouterr().err


def test_init_takes_published_checkpoints(golden: Path, place: Path) -> None:
    config = golden_config(golden, "first_order")
    (place / "golden.yaml").write_text(config.to_yaml())
    tiny_clips(place / "large", side=64)
    words = ["train", str(place / "golden.yaml"), "--data", str(place / "large"), "--runs", str(place / "runs")]
    words += ["--init", str(golden / "first_order.pth.tar"), "--workers", "0", "--device", "cpu", "--steps", "1"]
    for key in (
        "batch_size=2",
        "loss.perceptual=[0,0,0,0,0]",
        "loss.reconstruction=1",
        "lr_generator=0",
        "lr_kp_detector=0",
    ):
        words += ["--set", f"train.{key}"]
    assert main(words) == 0
    saved = checkpoint.read(find(place / "runs", "last").last)["state"]["model"]
    published = golden_state(golden, "first_order")[0]
    weights = [name for name in published if name.endswith("weight")]
    assert len(weights) > 30
    assert all(torch.equal(saved[name], published[name]) for name in weights)


def test_reading_processes_do_not_change_the_numbers(place: Path) -> None:
    # A process of its own: this one has threads of every library by now, with which a fork may not survive.
    done = processes.run(*command(place, "--steps", "6", workers="2"))
    assert done.returncode == 0, done.said
    ours, theirs = lines(find(place / "runs", "last").metrics), lines(place / "runs" / "00001-tiny" / "metrics.jsonl")
    assert [line["loss"] for line in ours] == [line["loss"] for line in theirs[:6]]


def test_dry_run_prints_the_plan_and_writes_nothing(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted((place / "runs").iterdir())
    assert main(command(place, "--dry-run")) == 0
    text = capsys.readouterr().out
    assert "5 an epoch of 4 pairs, 3 epochs, 15 in all" in text
    assert main(command(place, "--dry-run", "--json")) == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["clips"], plan["test_clips"], plan["total_steps"]) == (10, 2, 15)
    assert plan["hours"] == pytest.approx(15 * plan["step_seconds"] / 3600, abs=1e-3)
    assert sorted((place / "runs").iterdir()) == before


def test_dry_run_downloads_no_perceptual_network(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def obtain(*_: object) -> None:
        raise AssertionError("a plan needs no trained perceptual network")

    monkeypatch.setattr("fomm_cli.train.perceptual.obtain", obtain)
    assert main(command(place, "--dry-run", "--set", "train.loss.perceptual=[1,1,1,1,1]")) == 0


def test_tensorboard_events(place: Path) -> None:
    assert main(command(place, "--steps", "2", "--tensorboard")) == 0
    assert list((find(place / "runs", "last").folder / "tensorboard").glob("events*"))


def test_a_loss_that_is_not_finite_is_skipped_written_down_and_at_last_fatal(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = batches.scaled

    def poisoned(images: torch.Tensor) -> torch.Tensor:
        result = whole(images)
        result[0] = float("nan")
        return result

    monkeypatch.setattr(batches, "scaled", poisoned)
    assert main(command(place, "--set", "train.max_nonfinite=4")) == 1
    errors = capsys.readouterr().err
    assert "in a row" in errors
    assert "train.lr_generator" in errors
    run = find(place / "runs", "last")
    bad = lines(run.nonfinite)
    assert [entry["step"] for entry in bad] == [1, 2, 3, 4]
    assert len(bad[0]["pairs"]) == 4
    assert bad[0]["values"]["loss"] == "nan"
    assert all(line["skipped"] and line["loss"] is None for line in lines(run.metrics))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: root.mkdir(), "No clips to train on"),
        (
            lambda root: strip(root / "train" / "only.png", [np.zeros((16, 16, 3), np.uint8)] * 3),
            "larger than the 2 items",
        ),
        (lambda root: (root / "train").mkdir(parents=True) or (root / "train" / "a.txt").write_text("no"), "No clips"),
    ],
)
def test_data_that_cannot_train(place: Path, make: object, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    root = place / f"bad{len(list(place.iterdir()))}"
    make(root)  # type: ignore[operator]
    before = sorted((place / "runs").iterdir())
    assert main(command(place, data=root.name)) == 1
    assert message in capsys.readouterr().err
    assert sorted((place / "runs").iterdir()) == before


def test_a_corrupt_clip_is_reported_once_skipped_and_counted(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tiny_clips(place / "corrupt")
    victim = root / "train" / "train04.png"
    victim.write_bytes(victim.read_bytes()[:60])
    assert main(command(place, "--memory", "0", data="corrupt")) == 0
    errors = capsys.readouterr().err
    assert errors.count("train04.png") == 1
    assert "1 so far" in errors
    assert len(lines(find(place / "runs", "last").metrics)) == 15


def test_clips_of_one_frame_train_but_do_not_validate(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tiny_clips(place / "still", frames=1)
    assert main(command(place, "--steps", "5", data="still")) == 0
    assert "it has a single frame" in capsys.readouterr().err


def test_mixed_sizes_are_brought_to_the_frame_shape(place: Path) -> None:
    tiny_clips(place / "mixed")
    strip(place / "mixed" / "train" / "large.png", [np.full((40, 40, 3), 99, np.uint8)] * 3)
    assert main(command(place, "--steps", "4", data="mixed")) == 0


def test_too_small_scales_for_the_perceptual_network_are_refused(place: Path, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    from fomm_cli.train import perceptual

    save_file(perceptual.Compact().state_dict(), tmp_path / "compact.safetensors")
    more = ["--set", "train.loss.perceptual=[1,1,1,1,1]", "--set", "train.perceptual_network=compact"]
    assert main(command(place, *more, "--perceptual-weights", str(tmp_path / "compact.safetensors"))) == 1


def test_losses_that_train_no_picture_are_refused(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--set", "train.loss.generator_gan=0", "--set", "train.loss.reconstruction=0"]
    assert main(command(place, *more)) == 1
    assert "No loss compares" in capsys.readouterr().err
    assert main(command(place, "--set", "train.loss.perceptual=[1,1]")) == 1
    assert "five slices" in capsys.readouterr().err


def test_wrong_usage_is_2(place: Path) -> None:
    assert main(command(place, "--no-such-option")) == 2


def test_upstream_files_train_and_name_what_they_ignore(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    upstream = place / "upstream.yaml"
    upstream.write_text(
        "dataset_params:\n  frame_shape: [16, 16, 3]\n  id_sampling: false\n"
        "model_params:\n  common_params: {num_kp: 3, num_channels: 3, estimate_jacobian: true}\n"
        "  kp_detector_params: {temperature: 0.1, block_expansion: 4, max_features: 8, scale_factor: 1,\n"
        "                       num_blocks: 2}\n"
        "  generator_params:\n    block_expansion: 4\n    max_features: 8\n    num_down_blocks: 1\n"
        "    num_bottleneck_blocks: 1\n    estimate_occlusion_map: true\n"
        "    dense_motion_params: {block_expansion: 4, max_features: 8, num_blocks: 2, scale_factor: 0.5}\n"
        "  discriminator_params: {scales: [1], block_expansion: 4, max_features: 8, num_blocks: 2, sn: true}\n"
        "train_params:\n  num_epochs: 1\n  num_repeats: 1\n  epoch_milestones: [60]\n  batch_size: 4\n  scales: [1]\n"
        "  lr_generator: 2.0e-4\n  lr_discriminator: 2.0e-4\n  lr_kp_detector: 2.0e-4\n"
        "  loss_weights: {generator_gan: 1, perceptual: [0, 0, 0, 0, 0], equivariance_value: 10}\n"
        "visualizer_params:\n  kp_size: 5\n"
    )
    words = ["train", str(upstream), "--data", str(place / "data"), "--runs", str(place / "runs"), "--workers", "0"]
    assert main([*words, "--device", "cpu", "--steps", "1"]) == 0
    assert "visualizer_params" in capsys.readouterr().err


def test_a_full_queue_of_names_is_numbered_upwards(tmp_path: Path) -> None:
    options = Options(data="x")
    names = [create(tmp_path, tiny_config(), options).folder.name for _ in range(3)]
    assert names == ["00001-tiny", "00002-tiny", "00003-tiny"]


def test_an_unreadable_clip_is_told_once_whichever_process_met_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, others = Failure("a.mp4", "a.mp4 is empty."), Failure("b.mp4", "b.mp4 is empty.")
    monkeypatch.setattr(logs, "gather", lambda items, world: [*items, mine, others])
    heard = StringIO()
    run = create(tmp_path, tiny_config(), Options(data="x"))
    log = logs.Log(
        run, ["loss", "keypoint_spread", "skipped"], torch.device("cpu"), 2, Console(file=heard), World(0, 2)
    )
    for step in (1, 2):
        log.step({"step": step, "epoch": 0}, torch.tensor([1.0, 0.4, 0.0]), [], [mine], 0.0)
        log.flush(4)
    told = [line for line in heard.getvalue().splitlines() if "cannot be read" in line]
    assert [line.rsplit(": ", 1)[1] for line in told] == ["a.mp4 is empty.", "b.mp4 is empty."]


def test_the_commit_is_that_of_the_code_not_of_the_folder_around_it(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        identity = ["-c", "user.name=t", "-c", "user.email=t@t"]
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    package = tmp_path / "site-packages"
    package.mkdir()
    (package / "run.py").write_text("")
    (tmp_path / "theirs.txt").write_text("")
    git("init")
    git("add", "theirs.txt")
    git("commit", "-m", "theirs")
    assert commit(package) is None
    git("add", "site-packages/run.py")
    git("commit", "-m", "ours")
    assert re.fullmatch("[0-9a-f]{40}", commit(package) or "")
    (package / "run.py").write_text("# changed")
    assert (commit(package) or "").endswith("-dirty")


def test_warnings_of_jumps_and_collapse(tmp_path: Path) -> None:
    run = create(tmp_path, tiny_config(), Options(data="x"))
    heard = StringIO()
    log = logs.Log(
        run,
        ["loss", "equivariance_value", "grad_norm_kp_detector", "keypoint_spread", "skipped"],
        torch.device("cpu"),
        400,
        Console(file=heard),
    )
    for step in range(1, 400):
        loss, spread = (10.0 if step == 100 else 1.0), (0.4 if step < 300 else 0.01)
        log.step(
            {"step": step, "epoch": 0},
            torch.tensor([loss, 1.0, 900.0 if step == 200 else 40.0, spread, 0.0]),
            [],
            [],
            0.0,
        )
        log.flush(4)
    said = heard.getvalue()
    assert said.count("jumped") == 1
    assert "step 100" in said
    assert said.count("grad_norm_kp_detector is 900, usually 40") == 1
    assert "train.clip_grad_norm=60" in said
    assert said.count("collapsed") == 1


def test_metrics_survive_a_half_written_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    logs.append(path, [{"step": step} for step in range(1, 6)])
    with path.open("a") as file:
        file.write('{"step": 6, "lo')
    assert [entry["step"] for entry in logs.read(path)] == [1, 2, 3, 4, 5]
    logs.truncate(path, 3)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3}\n'


def test_the_loss_falls(place: Path) -> None:
    """A few hundred steps on one tiny set: the picture is learned."""
    torch.manual_seed(0)
    weights = tiny_config().train.loss.model_copy(update={"generator_gan": 0.0})
    state = State(tiny_config(loss=weights, lr_generator=2e-3, lr_kp_detector=2e-3), torch.device("cpu"), None)
    options = Options(data=str(place / "data"), workers=0, device="cpu")
    from fomm_cli.data.split import find_split
    from fomm_cli.processes import World

    split = find_split(options.data)
    _, sampler, loader = batches.feed(tiny_config(), options, split, World(), torch.device("cpu"))
    found = []
    for epoch in range(30):
        sampler.set_epoch(epoch)
        for batch in loader:
            parts = batches.split_batch(tiny_config(), batch, state, 0, World(), torch.device("cpu"))
            found.append(state.update(parts)[state.names().index("reconstruction")].item())
    assert np.mean(found[-20:]) < 0.5 * np.mean(found[:20])


def test_the_reach_of_the_data_goes_with_the_weights(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = place / "runs" / "00001-tiny" / "weights.safetensors"
    shift, frame = read_header(weights).config.animate.reach or (0, 0)
    assert 0 < shift < 3
    assert frame > 0
    again = ["weights", "stats", str(weights), "--data", str(place / "data"), "-o", str(tmp_path / "w.safetensors")]
    assert main([*again, "--device", "cpu", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["reach"]
    assert (told["shift"], told["frame"]) == pytest.approx((shift, frame), rel=1e-4)
    assert read_header(tmp_path / "w.safetensors").config.animate.reach == (told["shift"], told["frame"])
    assert main(again) == 1
    assert "exists" in capsys.readouterr().err
