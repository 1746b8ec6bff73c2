"""Small foreign networks, run on one thread of the processor: the same numbers everywhere, nothing to configure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fomm_cli.errors import FommError
from fomm_cli.files import check_payload, sha256


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
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # old files bring hundreds of remarks about how they were exported
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        try:
            self.session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class of its own for each kind of broken file
            raise FommError(f"{path} is no network that onnxruntime can read.", str(error).splitlines()[0]) from error
        self.input = self.session.get_inputs()[0].name
        self.digest = sha256(path)

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """The first output for a batch in the layout the network wants."""
        return np.asarray(self.session.run(None, {self.input: batch})[0])


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
