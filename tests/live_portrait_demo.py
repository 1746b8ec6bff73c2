"""Every option of LivePortrait on the bundled person, with weights from a recipe: `make portrait`.

Published weights are not needed, so what is to be seen is that each option does something, not how well faces look;
the 68 points are those of one face in the box of the real one. Writes a clip for each option, picture.png and
clip.png; exits with 1 where an option changes nothing.
"""

from __future__ import annotations

import sys
from itertools import islice
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from fomm_cli.commands.app import main
from fomm_cli.detectors import framing
from fomm_cli.detectors.choice import largest_face
from fomm_cli.detectors.networks import NETWORKS
from fomm_cli.draw import sheet
from fomm_cli.media.image import write_image
from fomm_cli.media.video import read_frames
from fomm_cli.weights.catalogue import SAMPLES
from fomm_cli.weights.file import save_weights
from tests import live_portrait as lp

FRAMES = 12

PICTURE = [
    *(f"--set region={region}" for region in ("exp", "pose", "lip", "eyes")),
    *("--set stitching=false", "--set multiplier=0.4", "--mode absolute"),
    *("--set eyes=0.05", "--set lip=0.5", "--set eyes=driving", "--set lip=driving", "--set rest=lip"),
    *("--motion-scale 0.5", "--head 0", "--expression 2", "--lock turn", "--smooth 1", "--loop pingpong"),
    *("--crop-source center", "--crop-driving 40,20,160,160", "--paste-back", "--layout side-by-side"),
]
CLIP = ["--set smoothing=1e-3", "--set rest=eyes", "--mode absolute", "--set region=lip", "--head 0"]


class Mean:
    """One face in the box of the largest; eyes and lips the wider the lighter its middle is."""

    name = "mean"
    digest = None

    def __init__(self) -> None:
        self.find = largest_face(NETWORKS["face-box"].find())

    def points(self, frame: NDArray[np.uint8]) -> NDArray[np.float64] | None:
        box = self.find(frame)
        if box is None:
            return None
        left, top, right, bottom = box
        across, down = (right - left) / 2, (bottom - top) / 2
        x, y = (left + right) / 2, (top + bottom) / 2 + 0.2 * down
        middle = frame[round(y - down / 4) : round(y + down / 4), round(x - across / 4) : round(x + across / 4)]
        return lp.face(0.1 + float(middle.mean()) / 400) * (across, 0.8 * down) + (x, y)


def run(folder: Path, size: str = "tiny") -> int:
    """Into a new folder; `full` takes the networks of the published size, and an hour."""
    folder.mkdir(parents=True)
    save_weights(folder / "recipe.safetensors", lp.model(size), lp.config(size))
    person = SAMPLES["person"]
    finder = framing.Finder(lambda _: None, Mean())
    idle = []
    with mock.patch.object(framing, "finder_of", return_value=finder):
        for kind, source, options in (("picture", person.portrait, PICTURE), ("clip", person.driving, CLIP)):
            rows, labels = [], []
            for number, option in enumerate(["", *options]):
                out = folder / f"{kind}-{number:02d}.mp4"
                words = ["--weights", str(folder / "recipe.safetensors"), "--device", "cpu", "--anchor", "first"]
                end = ["--end", str(FRAMES / 25)]
                if main(["animate", str(source), str(person.driving), "-o", str(out), *words, *end, *option.split()]):
                    return 1
                made = list(islice(read_frames(out), FRAMES))
                rows.append([made[0], made[len(made) // 2], made[-1]])
                labels.append(option or f"a {kind} as usual")
                if number and all(np.array_equal(one, other) for one, other in zip(rows[0], rows[-1], strict=True)):
                    idle.append(f"{kind}: {option}")
            write_image(folder / f"{kind}.png", sheet(rows, ["first", "middle", "last"], labels))
    for option in idle:
        print(f"changes nothing: {option}", file=sys.stderr)
    return 1 if idle else 0


if __name__ == "__main__":
    raise SystemExit(run(Path(sys.argv[1]), *sys.argv[2:3]))
