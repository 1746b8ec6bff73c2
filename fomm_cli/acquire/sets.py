"""The public sets: where their owners publish them, under which terms, and what this project can do with each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from fomm_cli.acquire.table import Fit
from fomm_cli.errors import FommError, nearest
from fomm_cli.files.foreign import Foreign

_PREPROCESSING = "https://raw.githubusercontent.com/AliaksandrSiarohin/video-preprocessing"


@dataclass(frozen=True)
class VideoSet:
    """A set that is published as a list of stretches of YouTube videos.

    urls     addresses of the list, the first that answers is taken; whichever it is, it must have the digest
    sha256   of the list
    fit      how its boxes were turned into clips when it was published
    """

    name: str
    title: str
    urls: tuple[str, ...]
    sha256: str
    terms: str
    fit: Fit = "stretch"


@dataclass(frozen=True)
class ArchiveSet:
    """A set that its owners hand out as files: downloaded by hand, imported here."""

    name: str
    title: str
    home: str
    terms: str
    note: str


VIDEO_SETS = {
    "vox": VideoSet(
        name="vox",
        title="VoxCeleb: talking faces, 19,764 clips of 3,442 videos",
        urls=(f"{_PREPROCESSING}/1c175c8977f4af84a8f829247bf2247295425c31/vox-metadata.csv",
              f"{_PREPROCESSING}/master/vox-metadata.csv"),
        sha256="dfbaf55a6edaaf84add29f93692f8bb7289aff1102631bcdf1b1aaf52f3953f7",
        terms="The list states no licence. The videos belong to their uploaders and are subject to YouTube's terms.",
    ),
    "taichi": VideoSet(
        name="taichi",
        title="Tai-Chi-HD: people practising tai chi, 3,334 clips of 280 videos",
        urls=(f"{_PREPROCESSING}/1f3882ef398dd268ff0c037a643d6b736d38d1b7/taichi-metadata.csv",
              f"{_PREPROCESSING}/master/taichi-metadata.csv"),
        sha256="1f9dcf5af96c1eb7aceb9afdf796f81668a0f8d8fc58c910369dedaab04fe12f",
        terms="The list states no licence. The videos belong to their uploaders and are subject to YouTube's terms.",
    ),
}  # fmt: skip

ARCHIVE_SETS = {
    "mgif": ArchiveSet(
        name="mgif",
        title="MGif: 1,000 moving cartoon animals (900 train, 100 test)",
        home="https://yadi.sk/d/5VdqLARizmnj3Q",
        terms="GIFs found on the web, with no licence of their own: for research only.",
        note="One archive with train/ and test/ folders.",
    ),
    "fashion": ArchiveSet(
        name="fashion",
        title="Fashion: 600 videos of a person showing clothes (500 train, 100 test)",
        home="https://vision.cs.ubc.ca/datasets/fashion/",
        terms="Stated by the University of British Columbia on that page: read and accept them there.",
        note="The page gives lists of video addresses; download them into train/ and test/ folders of one folder.",
    ),
    "nemo": ArchiveSet(
        name="nemo",
        title="UvA-NEMO: 1,240 videos of 400 people smiling",
        home="https://www.uva-nemo.org/",
        terms="Handed out by the University of Amsterdam to researchers who sign its agreement.",
        note="The videos show more than the face: cut them with `fomm dataset crop` for the published framing.",
    ),
    "bair": ArchiveSet(
        name="bair",
        title="BAIR: a robot arm pushing objects, short clips of 30 frames",
        home="https://yadi.sk/d/66vNK0EwJcVkPg",
        terms="The page of that archive states none; the recordings are Berkeley's robot pushing set.",
        note="One archive with train/ and test/ folders.",
    ),
}

TED_SHA256 = "9d1cf428c9619ffd2b440edaf578569e774b157835c2b9e2f3bffac00c620001"  # of that list, as published


def no_ted() -> FommError:
    """Why the list of TED talks cannot be used."""
    return FommError(
        "The TED-talks list cannot be fetched.",
        "Its rows name no frames (start = end = 0) and its boxes lie in an intermediate crop that was never published, "
        "so nobody can tell where in the videos its clips are; it also has no test rows.",
    )


def video_set(name: str) -> VideoSet | None:
    """The set of that name, or None if the name is not one of a list of videos. `ted` is refused with the reason."""
    if name.lower() in {"ted", "ted-talks"}:
        raise no_ted()
    return VIDEO_SETS.get(name.lower())


def unknown(name: str) -> FommError:
    """What to say of a name that is neither a set nor a file."""
    hint = nearest(name, [*VIDEO_SETS, *ARCHIVE_SETS])
    return FommError(f"There is no set {name!r}, and no file of that name.", f"{hint} Or give a metadata CSV file.")


def metadata(chosen: VideoSet) -> Path:
    """The set's list: from the cache, or downloaded from its public home, and of the expected digest either way."""
    name = f"metadata/{chosen.name}-{chosen.sha256[:12]}.csv"
    instead = f"its path instead of {chosen.name!r}"
    return Foreign(f"the list of {chosen.name}", name, chosen.urls, chosen.sha256, "", instead).find()
