"""The names that `--weights NAME` knows, and where their files come from.

An address stands here only with the public page that names it, and a hash only if that page publishes one. No public
safetensors copy of the original models is known to us: their `.pth.tar` files are fetched and converted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fomm_cli.files import disk

BUNDLED = ("face-128", "toon-128")
"""The weights that come with the package, of those described below; the first are the default ones."""

DEFAULT = BUNDLED[0]


class Sample(NamedTuple):
    """A portrait and a clip to try weights with; both come with the package."""

    portrait: Path
    driving: Path


SAMPLES = {
    "cartoon": Sample(disk.ASSETS / "portrait.png", disk.ASSETS / "driving.mp4"),
    "person": Sample(disk.ASSETS / "person.jpg", disk.ASSETS / "person.mp4"),
}
"""Who is there to be moved."""

MOTIONS = {
    file: file.name.removeprefix(f"{weights}-")
    for weights in BUNDLED
    for file in sorted(disk.ASSETS.glob(f"{weights}-*.motion.safetensors"))
}
"""Movements to try the bundled weights with, and what they are called; each is of the detector of some of these."""

_UPSTREAM = "https://github.com/AliaksandrSiarohin/first-order-model"
# The two folders that the README of the original repository links.
_DRIVE = "https://drive.google.com/open?id=1PyQJmkdCsAkOYwUyaj_l-l0as-iLDgeH"
_YANDEX = "https://yadi.sk/d/lEw8uRm140L_eQ"
_RELEASES = "https://github.com/graphemecluster/first-order-model-demo/releases/download/checkpoints/"
_RELEASES_CITED = f"{_UPSTREAM}/pull/531"  # merged upstream: the release its own demo notebook downloads from
_AVATARIFY_CITED = "https://github.com/alievk/avatarify-python/blob/master/docs/README.md"
_WEIGHTS_LICENCE = "MIT (the original repository's; it states none for the checkpoints by themselves)"


@dataclass(frozen=True)
class Source:
    """One place to download an original checkpoint from.

    address   https address, or hf://...
    cited     the public page that names the address
    md5       published by that page; None where nobody publishes a hash
    note      what is special about this copy
    files     below the address, where a checkpoint is several files: all of them are fetched
    """

    address: str
    cited: str
    md5: str | None = None
    sha256: str | None = None
    note: str = ""
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Original:
    """The makers' own file, by which it is recognised whatever it is called now.

    size    bytes
    cited   the public page that tells both
    """

    size: int
    sha256: str
    cited: str


@dataclass(frozen=True)
class Entry:
    """One name.

    size           (height, width) in pixels
    megabytes      of the weights file, in millions of bytes, about
    home           the page of its makers
    by_hand        folders to download the original from in a browser; empty for bundled weights
    sources        tried in this order by `fomm weights fetch`; empty where nobody names a file's own address
    preset         the config that its architecture is checked against
    original       what the makers published about the file itself; None where they did not
    sample         which of SAMPLES shows best what they know
    successor      the name that does their work should they be bundled no more
    """

    name: str
    domain: str
    size: tuple[int, int]
    weights_licence: str
    data_licence: str
    home: str
    preset: str
    megabytes: int
    by_hand: str = ""
    sources: tuple[Source, ...] = field(default=())
    original: Original | None = None
    sample: str = "person"
    successor: str = ""

    @property
    def brought(self) -> str:
        """What a browser brings: the word for it in a command."""
        return "FOLDER" if any(source.files for source in self.sources) else "FILE.pth.tar"

    @property
    def bundled(self) -> bool:
        """Whether it comes with the package."""
        return not self.by_hand

    @property
    def path(self) -> Path:
        """Where its weights file is, or will be once fetched."""
        folder = disk.ASSETS if self.bundled else disk.cache_dir() / "weights"
        return folder / f"{self.name}.safetensors"


def _published(name: str, file: str, domain: str, data_licence: str, more: tuple[Source, ...] = ()) -> Entry:
    release = Source(_RELEASES + file, _RELEASES_CITED)
    return Entry(
        name=name,
        domain=domain,
        size=(256, 256),
        weights_licence=_WEIGHTS_LICENCE,
        data_licence=data_licence,
        home=_UPSTREAM,
        by_hand=f"{_DRIVE} or {_YANDEX}",
        preset=name,
        megabytes=250,
        sources=(*more, release),
    )


_VOX = f"videos: their owners' (YouTube); VoxCeleb's own licence covers its annotations only ({_UPSTREAM}/issues/376)"
_TAICHI = f"videos: each its owner's, as on YouTube ({_UPSTREAM}/issues/376)"
_NETWORKS = ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")
_STITCHING = "stitching_retargeting_module"
_AVATARIFY = "8a45a24037871c045fbb8a6a8aa95ebc"

_SPLINES = "https://github.com/yoyo-nb/Thin-Plate-Spline-Motion-Model"


def _splines(name: str, size: int, megabytes: int, domain: str, data_licence: str) -> Entry:
    """Its README links folders alone; they are cited there, and no other copy is known to us."""
    return Entry(
        name=name,
        domain=f"{domain}, thin-plate splines",
        size=(size, size),
        weights_licence="MIT (the original repository's; it states none for the checkpoints by themselves)",
        data_licence=data_licence,
        home=_SPLINES,
        by_hand="https://disk.yandex.com/d/bWopgbGj1ZUV1w or "
        "https://drive.google.com/drive/folders/1pNDo1ODQIb5HVObRtCmubqJikmR7VVLT",
        preset=name,
        megabytes=megabytes,
    )


_REGIONS = "https://github.com/snap-research/articulated-animation"
_REGIONS_CITED = f"{_REGIONS}/commit/1e948f4"  # takes out the checkpoints' Git-LFS pointers, which name size and hash


def _regions(name: str, edge: int, megabytes: int, domain: str, data_licence: str, size: int, sha256: str) -> Entry:
    """Its README links a folder alone; the files were in the repository by Git-LFS before."""
    return Entry(
        name=name,
        domain=f"{domain}, articulated regions",
        size=(edge, edge),
        weights_licence="none stated for the checkpoints; the repository's own reserves its code",
        data_licence=data_licence,
        home=_REGIONS,
        by_hand="https://drive.google.com/drive/folders/1jCeFPqfU_wKNYwof0ONICwsj3xHlr_tb",
        preset=name,
        megabytes=megabytes,
        original=Original(size, sha256, _REGIONS_CITED),
    )


_OWN = (
    Entry(
        name="toon-128",
        domain="cartoon faces, drawn by fomm itself",
        size=(128, 128),
        weights_licence="MIT",
        data_licence="none needed: procedural (`fomm dataset synth toon`)",
        home="bundled with fomm",
        preset="toon-128",
        megabytes=9,
        sample="cartoon",
        successor="face-128",
    ),
    Entry(
        name="face-128",
        domain="real and cartoon faces",
        size=(128, 128),
        weights_licence="MIT",
        data_licence=(
            "portraits in the public domain (US Congress) and under CC BY 4.0 (Face Research Lab London, Young Adult "
            "White Faces), moved by `fomm dataset synth portraits`; clips under CC BY 4.0 (GRID, Intel); toons"
        ),
        home="bundled with fomm",
        preset="face-128",
        megabytes=5,
    ),
)
"""Weights of our own, whether they are bundled now or not."""

_ENTRIES = (
    *(entry for name in BUNDLED for entry in _OWN if entry.name == name),
    _published("vox-256", "vox-cpk.pth.tar", "talking heads (VoxCeleb)", _VOX),
    _published(
        "vox-adv-256",
        "vox-adv-cpk.pth.tar",
        "talking heads (VoxCeleb), adversarial stage",
        _VOX,
        more=(
            Source(
                "https://openavatarify.s3.amazonaws.com/weights/vox-adv-cpk.pth.tar",
                _AVATARIFY_CITED,
                md5=_AVATARIFY,
                note="Avatarify's copy, trimmed to 228 MB: no discriminator",
            ),
            Source(
                "https://openavatarify.s3-avatarify.com/weights/vox-adv-cpk.pth.tar",
                _AVATARIFY_CITED,
                md5=_AVATARIFY,
                note="the same copy under the project's newer address",
            ),
            Source(
                "hf://spaces/abhishek/first-order-motion-model/weights/vox-adv-cpk.pth.tar",
                "https://huggingface.co/spaces/abhishek/first-order-motion-model/tree/main/weights",
                note="751 MB, with the discriminator",
            ),
        ),
    ),
    _published("taichi-256", "taichi-cpk.pth.tar", "whole bodies (Tai-Chi-HD)", _TAICHI),
    _published("taichi-adv-256", "taichi-adv-cpk.pth.tar", "whole bodies (Tai-Chi-HD), adversarial stage", _TAICHI),
    _published(
        "fashion-256",
        "fashion.pth.tar",
        "fashion models turning (UBC Fashion)",
        "see https://vision.cs.ubc.ca/datasets/fashion/",
    ),
    _published(
        "mgif-256",
        "mgif-cpk.pth.tar",
        "animated GIFs of animals (MGif)",
        "none stated where the original repository links it",
    ),
    _published("nemo-256", "nemo-cpk.pth.tar", "smiling faces (UvA-NEMO)", "see https://www.uva-nemo.org/"),
    _published(
        "bair-256",
        "bair-cpk.pth.tar",
        "robot arm pushing things (BAIR)",
        "none stated where the original repository links it",
    ),
    _splines("tps-vox-256", 256, 351, "talking heads (VoxCeleb)", _VOX),
    _splines("tps-taichi-256", 256, 351, "whole bodies (Tai-Chi-HD)", _TAICHI),
    _splines("tps-ted-384", 384, 351, "speakers on a stage (TED-talks)", "videos: their owners' (YouTube)"),
    _splines("tps-mgif-256", 256, 306, "animated GIFs of animals (MGif)", "none stated where the repository links it"),
    _regions(
        "mraa-vox-256",
        256,
        273,
        "talking heads (VoxCeleb)",
        _VOX,
        291747542,
        "a8c59e0b38f96195eac6414265dcf8e4b15e0675cea2622489b735edc61b3b66",
    ),
    _regions(
        "mraa-taichi-256",
        256,
        273,
        "whole bodies (Tai-Chi-HD)",
        _TAICHI,
        273409176,
        "6fd5ebb68953d6c7d02ff765986efa1c8a62d349817fe736a6069e07dc8c17af",
    ),
    _regions(
        "mraa-ted-384",
        384,
        273,
        "speakers on a stage (TED-talks)",
        "videos: their owners' (YouTube)",
        273409224,
        "5c88fb60718a64a8fd87043b0e95781b50e500457d03bf3b4fd26cca6b70c3f7",
    ),
    _regions(
        "mraa-ted-youtube-384",
        384,
        274,
        "speakers (TED and YouTube)",
        "videos: their owners' (YouTube)",
        292943746,
        "75ce78089fc2f0b0a276346bf8f14c2043895845ed869bdbe9b2656d3feec13b",
    ),
    _regions(
        "mraa-mgif-256",
        256,
        248,
        "animated GIFs of animals (MGif)",
        "none stated where the repository links it",
        248256308,
        "58b796e31f763ccfbb240f959c9d92c2afe8a6e57da303e07d8fabd1f2921c68",
    ),
    Entry(
        name="live-portrait",
        domain="photographs of people, 512 px out (LivePortrait)",
        size=(256, 256),
        weights_licence=(
            "MIT by its makers' word (KlingAIResearch/LivePortrait issue 193); a written confirmation was asked for in "
            "issue 548, unanswered when this was written"
        ),
        data_licence="not published: VoxCeleb, MEAD, RAVDESS, AAHQ and private sets, as the paper says",
        home="https://github.com/KwaiVGI/LivePortrait",
        by_hand="https://huggingface.co/KlingTeam/LivePortrait (folder liveportrait, without landmark.onnx)",
        preset="live-portrait",
        megabytes=520,
        sources=(
            Source(
                "hf://Kijai/LivePortrait_safetensors",
                "https://github.com/kijai/ComfyUI-LivePortraitKJ/blob/main/nodes.py",
                note="file names as that code downloads them; its page on the Hub was not seen",
                files=tuple(f"{name}.safetensors" for name in (*_NETWORKS, _STITCHING)),
            ),
            Source(
                "hf://KlingTeam/LivePortrait",
                "https://github.com/KwaiVGI/LivePortrait/blob/main/src/config/inference_config.py",
                note="the makers' own files; the organisation's name on the Hub was KwaiVGI, and was not checked",
                files=(
                    *(f"liveportrait/base_models/{name}.pth" for name in _NETWORKS),
                    f"liveportrait/retargeting_models/{_STITCHING}.pth",
                ),
            ),
        ),
    ),
)

CATALOGUE: dict[str, Entry] = {entry.name: entry for entry in _ENTRIES}

DROPPED = {entry.name: entry.successor for entry in _OWN if entry.successor and entry.name not in BUNDLED}
"""Names that were bundled once -> what does their work now."""


def sample_of(weights: str | None) -> Sample:
    """What to try weights with, by their name; None = the default ones. Of a file nothing is known: a person."""
    entry = CATALOGUE.get(weights or DEFAULT)
    return SAMPLES["person" if entry is None else entry.sample]


def recognised(path: Path) -> Entry | None:
    """The entry whose makers' own file this is, byte for byte. Only a file of the right size is read."""
    size = path.stat().st_size if path.is_file() else None
    same = [entry for entry in _ENTRIES if entry.original is not None and entry.original.size == size]
    digest = disk.sha256(path) if same else ""
    return next((entry for entry in same if entry.original is not None and entry.original.sha256 == digest), None)
