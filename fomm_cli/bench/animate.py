"""How fast frames are animated: the network's ways of running against the plain loop, then whole files.

What docs/performance.md claims is measured here and nowhere else: the ladder tells which step earns what, whole files
whether the network is what one waits for, a long clip that memory does not grow, processor time what a busy machine
hides.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fomm_cli.bench.pictures import ALONE, picture_rows
from fomm_cli.bench.stages import bench_stages
from fomm_cli.bench.stand_in import clip, lively
from fomm_cli.bench.timing import Gate, Row, Timing, gate, take_turns
from fomm_cli.config import reading as configs
from fomm_cli.device import machine, resolve
from fomm_cli.engine.base import Engine
from fomm_cli.engine.choose import best_precision, make_engine
from fomm_cli.engine.fused import DTYPES
from fomm_cli.engine.fused_network import FusedNetwork
from fomm_cli.errors import FommError
from fomm_cli.files.disk import ASSETS
from fomm_cli.media.image import fit, read_image
from fomm_cli.media.video import read_frames
from fomm_cli.model.families import family_of
from fomm_cli.model.first_order.config import FirstOrderConfig
from fomm_cli.model.first_order.network import FirstOrderModel
from fomm_cli.model.network import AnimationModel
from fomm_cli.model.pixels import to_tensor
from fomm_cli.weights.catalogue import DEFAULT
from fomm_cli.weights.file import save_weights
from fomm_cli.weights.load import load_model, read_config

PLAIN = "plain loop"
Say = Callable[[str], None]


@dataclass
class AnimateBench:
    """What was measured of a network.

    network   name, size (H, W), millions of parameters, whether its weights are trained
    gates     way of running -> its agreement with the plain model
    model     model only, tensors on the device: way -> ms_median, ms_p95, ms_min, fps, ratio to the plain loop
    host      uint8 on the host to uint8 on the host, by the engines
    stages    of families other than first order, see `bench/stages.py`: stage -> engine -> as in `host`
    pictures  of larger frames, see `bench/pictures.py`: engine -> way -> as in `host`, ratio to the network alone
    files     what `bench/files.py` measured; None where it was not asked to
    """

    machine: dict[str, Any]
    network: dict[str, Any]
    rounds: int
    frames: int
    processor_time: bool = False
    gates: dict[str, dict[str, float]] = field(default_factory=dict)
    model: dict[str, dict[str, float]] = field(default_factory=dict)
    host: dict[str, dict[str, float]] = field(default_factory=dict)
    stages: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    pictures: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    files: dict[str, Any] | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def bench_weights(
    weights: str | None = None,
    source: str = "vox-256",
    overrides: list[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    batch: int = 0,
    threads: int = 0,
    rounds: int = 5,
    frames: int = 0,
    processor_time: bool = False,
    ladder: bool = False,
    onnx: bool = False,
    pictures: bool = False,
    files: bool = False,
    long: int = 0,
    say: Say = lambda text: None,
) -> AnimateBench:
    """Measure weights by name or path, or a network of random weights, after a check on the bundled trained ones.

    source, overrides  the network without `weights`: a preset or YAML file, and `key=value` changes to it
    threads            of the CPU; 0: as many as torch takes. Stays so in this process
    frames             a turn; 0: 12 on a CPU, 300 on a GPU
    onnx               also the exported model
    pictures           also frames larger than the network's; files, long: see `bench/files.py`
    The others as in `bench_animate`.
    """
    resolved = resolve(device)
    threads = 1 if processor_time else threads
    if threads:
        torch.set_num_threads(threads)
    if weights is None:
        config = configs.load(source, overrides or [])
        if not isinstance(config.model, FirstOrderConfig):
            title = family_of(config.model).title
            raise FommError(f"Random networks of {title} make grey pictures, which hide errors.", "Give --weights.")
        model: AnimationModel = lively(config).to(resolved)
    else:
        config, model = read_config(weights), load_model(weights, device)
    if not isinstance(model, FirstOrderModel):
        table, stages = bench_stages(model, precision, rounds, frames or 3, say, processor_time)
        about = describe(model, config.name, weights is not None)
        return AnimateBench(machine(resolved), about, rounds, frames or 3, processor_time, table, stages=stages)
    count = frames or (300 if resolved.type == "cuda" else 12)
    with tempfile.TemporaryDirectory(prefix="fomm-bench-") as name:
        folder = Path(name)
        say("checking the bundled weights")
        trained = bundled(device, precision)
        others: list[Engine] = []
        if onnx:
            from fomm_cli.engine.onnx import OnnxEngine
            from fomm_cli.export.export import export

            say("exporting")
            export(model, config, folder / "onnx")
            model.to(resolved)
            others.append(OnnxEngine(folder / "onnx", "cpu" if resolved.type == "cpu" else "auto", threads))
        result = bench_animate(
            model,
            config.name,
            weights is not None,
            precision=precision,
            batch=batch,
            rounds=rounds,
            frames=count,
            ladder=ladder,
            larger=pictures,
            others=others,
            say=say,
            processor_time=processor_time,
        )
        result.gates = trained | result.gates
        if files:
            from fomm_cli.bench.files import bench_files

            stored: str | Path = weights or folder / "random.safetensors"
            if weights is None:
                save_weights(stored, model, config)
            options = ["--device", device, "--precision", precision]
            engine = make_engine(model, "fused", precision)
            result.files = bench_files(engine, stored, options, max(32, 4 * count), long, say)
    return result


def bundled(device: str, precision: str) -> dict[str, dict[str, float]]:
    """The gate on the trained bundled weights, the bundled portrait and frames of the bundled clip."""
    model = load_model(DEFAULT, device)
    assert isinstance(model, FirstOrderModel)
    resolved = next(model.parameters()).device
    pictures = [read_image(ASSETS / "portrait.png"), *islice(read_frames(ASSETS / "driving.mp4"), 0, 40, 10)]
    tensor = to_tensor(np.stack([fit(picture, model.size) for picture in pictures]), resolved)
    gates = agreement(model, best_precision(resolved) if precision == "auto" else precision, tensor[:1], tensor[1:])
    return {f"{DEFAULT}, {way}": _plain(each) for way, each in gates.items()}


def bench_animate(
    model: FirstOrderModel,
    name: str,
    trained: bool,
    precision: str = "auto",
    batch: int = 0,
    rounds: int = 5,
    frames: int = 12,
    ladder: bool = False,
    larger: bool = False,
    others: list[Engine] | None = None,
    say: Say = lambda text: None,
    processor_time: bool = False,
) -> AnimateBench:
    """Measure a model in eval mode where its parameters are.

    trained    whether its weights are; said in the result, it changes nothing
    precision  of the quick rows besides fp32; auto is what `fomm animate` would choose
    batch      frames at a time of the batched rows; 0 is the engine's own choice
    rounds     turns of every row; frames  animated in a turn
    ladder     also the steps between the plain loop and the quickest row
    larger     also frames larger than the network's, by the quickest engine and the others
    others     more engines for the host rows, such as an exported model
    processor_time  see `take_turns`
    """
    device = next(model.parameters()).device
    quick = best_precision(device) if precision == "auto" else precision
    size = batch or make_engine(model, precision=quick).batch
    result = AnimateBench(machine(device), describe(model, name, trained), rounds, frames, processor_time)
    pictures = to_tensor(clip(model.size, size + 1), device)
    say("checking that all ways agree")
    with _exact():
        rows, gates = _rows(model, pictures, quick, size, ladder)
        result.gates = {way: _plain(each) for way, each in gates.items()}
        timings = take_turns(rows, rounds, frames, device, progress=say, processor_time=processor_time)
    result.model = _table(timings, PLAIN)
    rows = _hosts(model, quick, size, others or [])
    timings = take_turns(rows, rounds, frames, device, progress=say, processor_time=processor_time)
    result.host = _table(timings, rows[0].name)
    for engine in [make_engine(model, "fused", quick), *(others or [])] if larger else []:
        rows = picture_rows(engine, size)
        timings = take_turns(rows, rounds, frames, device, progress=say, processor_time=processor_time)
        result.pictures[_short(engine)] = _table(timings, ALONE)
    return result


def agreement(model: FirstOrderModel, precision: str, source: Tensor, driving: Tensor) -> dict[str, Gate]:
    """The gate on given pictures (1, 3, H, W) and (B, 3, H, W): the fused network in fp32 and in `precision`."""
    with _exact():
        truth = _Truth(model, source, driving)
        ways = dict.fromkeys(["fp32", precision])
        return {f"fused {each}": truth.gate(FusedNetwork(model, precision=DTYPES[each]), each) for each in ways}


def describe(model: AnimationModel, name: str, trained: bool) -> dict[str, Any]:
    """The network for the head of a report."""
    count = sum(each.numel() for each in model.parameters())
    return {"name": name, "size": list(model.size), "parameters_m": round(count / 1e6, 1), "trained": trained}


class _Truth:
    """What the plain model makes of some frames."""

    def __init__(self, model: FirstOrderModel, source: Tensor, driving: Tensor) -> None:
        self.model, self.source, self.driving = model, source, driving
        with torch.inference_mode():
            self.kp_source = model.detect(source)
            self.kp_driving = model.detect(driving)
            encoded = model.encode(source)
            self.pictures = model.render(encoded, self.kp_source, self.kp_driving, deformed=False).prediction

    def gate(self, network: FusedNetwork, precision: str) -> Gate:
        kp = network.detect(self.driving)
        made = network.render(network.encode(self.source), network.detect(self.source), kp).prediction
        arrays = [each.float().cpu().numpy() for each in (self.pictures, made, self.kp_driving.value, kp.value)]
        size = (self.source.shape[2], self.source.shape[3])
        return gate(arrays[0], arrays[1], arrays[2], arrays[3], size).check(f"fused {precision}", precision)


def _rows(
    model: FirstOrderModel, pictures: Tensor, quick: str, batch: int, ladder: bool
) -> tuple[list[Row], dict[str, Gate]]:
    """The ways of running, slowest first, and how those that compute something else agree."""
    source, driving = pictures[:1], pictures[1:]
    one = driving[:1].contiguous()
    truth = _Truth(model, source, driving)
    kp_source = truth.kp_source

    @torch.inference_mode()
    def plain_loop() -> Any:
        return model.render(model.encode(source), kp_source, model.detect(one))

    encoded = _inference(model.encode, source)

    @torch.inference_mode()
    def source_once() -> Any:
        return model.render(encoded, kp_source, model.detect(one), deformed=False)

    rows = [Row(PLAIN, plain_loop), Row("source encoded once", source_once)]
    gates: dict[str, Gate] = {}
    last = _copy(model)
    last_source, last_one = _last(source), _last(one)
    last_encoded = _inference(last.encode, last_source)

    @torch.inference_mode()
    def channels_last() -> Any:
        return last.render(last_encoded, kp_source, last.detect(last_one), deformed=False)

    if ladder:
        rows.append(Row("+ channels_last", channels_last))

    def add(way: str, precision: str, frames: int, network: FusedNetwork) -> None:
        gates[way] = truth.gate(network, precision)
        own, kp = network.encode(source), network.detect(source)
        images = driving[:frames].contiguous()
        rows.append(Row(way, lambda: network.render(own, kp, network.detect(images)), frames))

    if ladder:
        folded = FusedNetwork(model, packed=False)
        add("+ norms folded, doublings in kernels, rows gathered", "fp32", 1, folded)
        if FusedNetwork(model).packed:
            add("+ weights packed, ReLU and sums in the convolutions", "fp32", 1, FusedNetwork(model, winograd=False))
    for precision in dict.fromkeys(["fp32", quick]):
        network = FusedNetwork(model, precision=DTYPES[precision])
        add(f"fused {precision}, batch 1", precision, 1, network)
        if batch > 1:
            add(f"fused {precision}, batch {batch}", precision, batch, network)
    return rows, gates


def _hosts(model: FirstOrderModel, quick: str, batch: int, others: list[Engine]) -> list[Row]:
    """The engines from uint8 arrays to uint8 arrays: conversions and transfers included."""
    engines = [
        make_engine(model, "plain"),
        *(make_engine(model, "fused", each) for each in dict.fromkeys(["fp32", quick])),
    ]
    pictures = clip(model.size, batch + 1)
    rows = []
    for engine in [*engines, *others]:
        encoded, source = engine.encode(pictures[0]), engine.detect(pictures[:1])

        def run(engine: Engine = engine, encoded: Any = encoded, source: Any = source) -> Any:
            return engine.render(encoded, source, engine.detect(pictures[1:]))

        rows.append(Row(_short(engine), run, batch))
    return rows


def _short(engine: Engine) -> str:
    return engine.name.partition(" on ")[0]


def _table(timings: dict[str, Timing], baseline: str) -> dict[str, dict[str, float]]:
    return {way: timing.as_dict(timings[baseline]) for way, timing in timings.items()}


def _plain(each: Gate) -> dict[str, float]:
    return {key: round(float(value), 5) for key, value in each._asdict().items()}


def _copy(model: FirstOrderModel) -> FirstOrderModel:
    """The same model with its weights in channels_last."""
    copy = FirstOrderModel(model.config, model.size).to(next(model.parameters()).device)
    copy.load_state_dict(model.state_dict())
    return copy.eval().to(memory_format=torch.channels_last)


def _last(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def _inference(function: Callable[[Tensor], Any], x: Tensor) -> Any:
    with torch.inference_mode():
        return function(x)


@contextmanager
def _exact() -> Iterator[None]:
    """Without TF32, which would make "fp32" on a GPU something else."""
    before = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = before
