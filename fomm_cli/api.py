"""What the command line does, in one call each; `docs/python.md` shows them. Importing this loads torch."""

from fomm_cli.animate.animator import Animator
from fomm_cli.animate.clip import Output, Settings, animate
from fomm_cli.engine.choose import open_engine
from fomm_cli.evaluate.reconstruct import reconstruct
from fomm_cli.evaluate.run import Request, evaluate
from fomm_cli.evaluate.tasks import PairAnimation, Reconstruction, ToonAnimation
from fomm_cli.export.export import export
from fomm_cli.motion.controls import Controls
from fomm_cli.train.loop import resume, train
from fomm_cli.train.run import Options
from fomm_cli.weights.convert import convert
from fomm_cli.weights.load import load_model

__all__ = [
    "Animator",
    "Controls",
    "Options",
    "Output",
    "PairAnimation",
    "Reconstruction",
    "Request",
    "Settings",
    "ToonAnimation",
    "animate",
    "convert",
    "evaluate",
    "export",
    "load_model",
    "open_engine",
    "reconstruct",
    "resume",
    "train",
]
