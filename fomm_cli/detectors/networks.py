"""The small networks that look at faces and bodies: where each comes from, under which licence, and its file here."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fomm_cli.errors import FommError
from fomm_cli.files.disk import ASSETS, check_payload, sha256
from fomm_cli.files.foreign import Foreign

_RAW = "https://raw.githubusercontent.com"


@dataclass(frozen=True)
class Network:
    """One of them.

    does      what it finds, in a few words
    file      its name in the cache, or among the assets where it is bundled
    urls      its public homes, see `Foreign`
    licence   of the repository that publishes it
    source    that repository
    extra     of fomm that runs it: `pip install "fomm-cli[EXTRA]"`
    serves    the one metric that needs it; empty = all of its detectors' metrics
    bundled   it comes with the package
    """

    name: str
    does: str
    file: str
    sha256: str
    urls: tuple[str, ...]
    licence: str
    source: str
    extra: str
    serves: str = ""
    bundled: bool = False

    @property
    def foreign(self) -> Foreign:
        what, flag = f"the {self.name} network ({self.does})", f"--network {self.name}=FILE"
        return Foreign(what, f"detectors/{self.file}", self.urls, self.sha256, self.licence, flag, self.source)

    @property
    def cached(self) -> Path:
        """Where the bundled or fetched copy is, or will be."""
        return ASSETS / self.file if self.bundled else self.foreign.cached

    def find(self, path: str | Path | None = None, say: Callable[[str], None] | None = None) -> Path:
        """Its file, as `Foreign.find` has it; what is bundled is never fetched."""
        return self.foreign.find(self.cached if self.bundled and path is None else path, say)


_PEPPA = "ainrichman/Peppa-Facial-Landmark-PyTorch"

_ULTRA = "Linzaer/Ultra-Light-Fast-Generic-Face-Detector-1MB"

_MOBILE = "foamliu/MobileFaceNet"

_CORAL = "google-coral/test_data"

NETWORKS: dict[str, Network] = {
    network.name: network
    for network in (
        Network(
            name="face-box",
            does="boxes of faces, RFB-320",
            file="face_box_rfb320.onnx",
            sha256="34cd7e60aeff28744c657de7a3dc64e872d506741de66987f3426f2b79f88017",
            urls=(
                f"{_RAW}/{_ULTRA}/dffdddda9794a50607cba8f318507a28c1c27cab/models/onnx/version-RFB-320.onnx",
                f"{_RAW}/{_ULTRA}/master/models/onnx/version-RFB-320.onnx",
            ),
            licence="MIT",
            source=f"https://github.com/{_ULTRA}",
            extra="face",
            bundled=True,
        ),
        Network(
            name="face-landmarks",
            does="68 points of a face, slim 160",
            file="face-landmarks-slim160.onnx",
            sha256="2121aacea9169ac27227508238237376fe64b96e2f2cc57082f26e88d650fbd2",
            urls=(
                f"{_RAW}/{_PEPPA}/master/pretrained_weights/slim_160_latest.onnx",
                f"{_RAW}/{_PEPPA}/238063317fd31c4c21c5c43692e6a5d769970370/pretrained_weights/slim_160_latest.onnx",
            ),
            licence="Apache-2.0",
            source=f"https://github.com/{_PEPPA}",
            extra="face",
        ),
        Network(
            name="face-identity",
            does="who a face is, MobileFaceNet, 128 numbers",
            file="face-identity-mobilefacenet.onnx",
            sha256="b7120c095d60094f28a4a54ba6a8bf51b297a6273fb40ef6350dfec1f63d9507",
            urls=(
                f"{_RAW}/{_MOBILE}/master/weights/MobileFaceNet.onnx",
                f"{_RAW}/{_MOBILE}/22d3e78287c70e23cf2f5b6a6a92594008831a7f/weights/MobileFaceNet.onnx",
            ),
            licence="Apache-2.0",
            source=f"https://github.com/{_MOBILE}",
            extra="face",
            serves="aed",
        ),
        Network(
            name="body-joints",
            does="17 joints of a body, MoveNet Lightning, 8 bit",
            file="body-joints-movenet-lightning.tflite",
            sha256="cd7cc22fa946e5d146a7b98d496853e1923e22828d3972d579973f27f91bb105",
            urls=(f"{_RAW}/{_CORAL}/master/movenet_single_pose_lightning_ptq.tflite",),
            licence="Apache-2.0",
            source=f"https://github.com/{_CORAL}",
            extra="body",
        ),
    )
}


def missing(what: str, extra: str) -> FommError:
    """What to say where an optional package is not installed."""
    return FommError(f"{what} is not installed.", f'pip install "fomm-cli[{extra}]"')


class OnnxNetwork:
    """An ONNX file with one input and one output of interest, the first."""

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise missing("onnxruntime, which runs face networks,", "face") from None
        check_payload(path, "a network")
        self.session, self.digest = _opened(onnxruntime, path, path.stat().st_mtime_ns, os.getpid())
        self.input = self.session.get_inputs()[0].name

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """The first output for a batch in the layout the network wants."""
        return np.asarray(self.session.run(None, {self.input: batch})[0])


@functools.lru_cache(maxsize=8)
def _opened(onnxruntime: Any, path: Path, modified: int, process: int) -> tuple[Any, str]:
    """The session of a file, and its SHA-256; opened once, for source and clip are looked at by the same."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # old files bring hundreds of remarks about how they were exported
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each kind of broken file
        raise FommError(f"{path} is no network that onnxruntime can read.", str(error).splitlines()[0]) from error
    return session, sha256(path)


class LiteNetwork:
    """A TensorFlow Lite file with one square picture as input.

    side  of that picture
    """

    def __init__(self, path: Path) -> None:
        try:
            from ai_edge_litert.interpreter import Interpreter
        except ImportError:
            raise missing("ai-edge-litert, which runs the body network,", "body") from None
        check_payload(path, "a network")
        try:
            self.interpreter: Any = Interpreter(model_path=str(path), num_threads=1)
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise FommError(f"{path} is no network that LiteRT can read.", str(error).splitlines()[0]) from error
        self.input = self.interpreter.get_input_details()[0]
        self.output = self.interpreter.get_output_details()[0]
        self.side = int(self.input["shape"][1])
        self.digest = sha256(path)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """The output for a uint8 batch (1, side, side, 3)."""
        self.interpreter.set_tensor(self.input["index"], batch.astype(self.input["dtype"]))
        self.interpreter.invoke()
        return np.asarray(self.interpreter.get_tensor(self.output["index"]))
