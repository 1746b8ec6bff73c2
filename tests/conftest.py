"""Session fixtures shared by the whole suite."""

from __future__ import annotations

import os
import signal
import tarfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.browser import browser, server, starting  # noqa: F401 - fixtures

# Two test workers with all threads each would fight over the processors; tiny networks gain nothing from threads.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Commands in processes of their own find what the first of them compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# A suite in the background, or under nohup, inherits ignored signals, and so would every command it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if os.name == "posix":
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


LONGEST = ("web_browser", "live_portrait_animate", "export", "fused", "train_loop")
"""Files that take longest, whatever the number of their tests."""


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config.option, "loadscopereorder"):  # pytest-xdist would start with the files of most tests
        config.option.loadscopereorder = False


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Workers take files whole: the longest first, so that none is left with one of them when the others are done."""
    if hasattr(config, "workerinput"):
        order = {f"test_{name}.py": number for number, name in enumerate(LONGEST)}
        count = Counter(item.path.name for item in items)
        items.sort(key=lambda item: (order.get(item.path.name, len(order)), -count[item.path.name], item.path.name))


@pytest.fixture(scope="session")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of reference tensors, unpacked once: `NAME.safetensors`, `NAME.pth.tar`, `configs.json`."""
    return _unpacked(tmp_path_factory, "golden")


@pytest.fixture(scope="session")
def golden_regions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Likewise, of the articulated regions."""
    return _unpacked(tmp_path_factory, "golden_regions")


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of tiny film strips, see `evaluation.write_clips`."""
    from tests.evaluation import write_clips

    return write_clips(tmp_path_factory.mktemp("eval") / "set")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of a tiny first-order network for 32 px."""
    from tests.evaluation import write_tiny

    return write_tiny(tmp_path_factory.mktemp("weights") / "tiny.safetensors")


@pytest.fixture(scope="session")
def golden_thin_plate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Likewise, of the thin-plate splines; their weights are made by `tests/thin_plate.py`."""
    return _unpacked(tmp_path_factory, "golden_thin_plate")


def _unpacked(tmp_path_factory: pytest.TempPathFactory, name: str) -> Path:
    folder = tmp_path_factory.mktemp(name)
    with tarfile.open(Path(__file__).parent / f"{name}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder / name


@pytest.fixture(params=[1, 2, 4])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    """So many threads for torch's operators."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
