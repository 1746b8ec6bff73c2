"""From files to files: throughput against the slowest stage, time to the first frame, and memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

from fomm_cli.animate.animator import Animator
from fomm_cli.animate.clip import Output, Settings, animate_clip
from fomm_cli.bench.stand_in import clip
from fomm_cli.engine.base import Engine
from fomm_cli.media.image import write_image
from fomm_cli.media.video import VideoWriter, read_frames

RATE = Fraction(25)


def bench_files(
    engine: Engine,
    weights: Path | str,
    options: list[str],
    frames: int,
    long: int,
    say: Callable[[str], None],
    starts: int = 3,
) -> dict[str, Any]:
    """Measure whole runs.

    weights  what `fomm animate --weights` is given in fresh processes, and `options` besides
    frames   of the clip of the throughput measurement
    long     frames of one more clip, whose only question is memory; 0 asks it of `frames`
    starts   processes of the median time to the first frame
    returns  fps of each stage alone and of the whole, the share of the slowest stage reached; seconds to the first
             frame; peak memory of a process that animates one frame and of one that animates many, in MiB
    """
    with tempfile.TemporaryDirectory(prefix="fomm-bench-") as where:
        folder = Path(where)
        pictures = clip(engine.size, 32)
        write_image(folder / "source.png", pictures[0])
        for name, count in (("one", 1), ("short", frames), ("long", long)):
            if count:
                _movie(folder / f"{name}.mp4", pictures, count)
        say(f"{frames} frames from file to file")
        stages = _stages(engine, folder, frames)
        say("fresh processes")
        first = [_process(folder, "one", weights, options) for _ in range(starts)]
        many = _process(folder, "long" if long else "short", weights, options)
    slowest = min(("decode", "network", "encode"), key=lambda stage: stages[stage])
    return {
        "frames": frames,
        "fps": stages,
        "slowest": slowest,
        "share_of_slowest": round(stages["whole"] / stages[slowest], 3),
        "first_frame_s": round(statistics.median(seconds for seconds, _ in first), 2),
        "peak_mib_one_frame": first[-1][1],
        "peak_mib_many_frames": many[1],
        "many_frames": long or frames,
        "many_frames_s": round(many[0], 2),
    }


def _stages(engine: Engine, folder: Path, frames: int) -> dict[str, float]:
    """Frames a second of each stage alone, from and to memory, and of all of them together."""
    movie = folder / "short.mp4"
    warm = Animator(engine, next(read_frames(movie)))
    decoded, decode = _timed(lambda: list(read_frames(movie)))
    list(warm.frames(decoded[: engine.batch]))
    made, network = _timed(lambda: list(warm.frames(decoded)))

    def write() -> None:
        with VideoWriter(folder / "encoded.mp4", RATE) as writer:
            for frame in made:
                writer.write(frame)

    encode = _timed(write)[1]
    settings = Settings(anchor="first")
    output = [Output(folder / "whole.mp4")]
    whole = _timed(lambda: animate_clip(engine, folder / "source.png", movie, output, settings))[1]
    seconds = {"decode": decode, "network": network, "encode": encode, "whole": whole}
    return {stage: round(frames / spent, 2) for stage, spent in seconds.items()}


def _process(folder: Path, name: str, weights: Path | str, options: list[str]) -> tuple[float, float | None]:
    """Seconds and peak memory (MiB) of `fomm animate` on a clip, from start to exit."""
    command = [sys.executable, "-m", "fomm_cli", "animate", str(folder / "source.png"), str(folder / f"{name}.mp4")]
    command += ["-o", str(folder / "out.mp4"), "--force", "--anchor", "first", "--weights", str(weights), *options]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said = process.stderr.read()
    peak = None
    if hasattr(os, "wait4"):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak = round(usage.ru_maxrss / (1024 if sys.platform != "darwin" else 1024**2), 1)
    else:
        process.wait()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {said[-500:]}")
    return time.perf_counter() - start, peak


def _movie(path: Path, pictures: Any, count: int) -> None:
    with VideoWriter(path, RATE) as writer:
        for i in range(count):
            writer.write(pictures[i % len(pictures)])


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    start = time.perf_counter()
    result = work()
    return result, time.perf_counter() - start
