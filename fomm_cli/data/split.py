"""Which clips of a data set train the model and which test it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fomm_cli.data.clips import IMAGES, ClipRef, find_clip
from fomm_cli.data.pairs import generator
from fomm_cli.errors import FommError, nearest
from fomm_cli.files.disk import check_endless
from fomm_cli.media.sequence import natural_key

TEST_SHARE = 0.2


@dataclass(frozen=True)
class Split:
    """The two parts of a data set, each in natural order of the names.

    layout    one line: how the parts were found
    ignored   files that can be no clip
    notes     what a person may not have meant
    """

    root: Path
    train: list[ClipRef]
    test: list[ClipRef]
    layout: str
    ignored: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_split(root: str | Path, seed: int = 0, listed: Path | None = None) -> Split:
    """The clips below `root`: its folders `train/` and `test/`, or else a seeded share of 80 % and 20 %.

    listed  a file that names the test clips, one a line, with or without suffix; all other clips then train

    A seeded split parts identities, not clips, so that nobody is in both; a lone identity is parted by clips. It
    depends on the names and the seed alone. With `train/` but no `test/`, that folder is parted. A single clip only
    trains.
    Raises FommError: no folder, no clips, or a layout that is another one's, with what to do about it.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise FommError(
            f"The data set {root} {what}.", "Give the folder that holds the clips, or its train/ and test/."
        )
    train, test = root / "train", root / "test"
    notes = _misnamed(root)
    if listed is not None:
        homes = [home for home in (train, test) if home.is_dir()] or [root]
        found = [_clips(home) for home in homes]
        clips, strays = [ref for refs, _ in found for ref in refs], [path for _, more in found for path in more]
        held = {ref.path for ref in named(listed, clips)}
        first, second = ([ref for ref in clips if (ref.path in held) == wanted] for wanted in (False, True))
        if not first:
            raise FommError(f"{listed} names every clip: none is left to train on.", "Name those to test on.")
        return Split(root, first, second, f"test clips named in {listed.name}", strays, notes)
    if train.is_dir() and test.is_dir():
        first, strays = _clips(train)
        second, more = _clips(test)
        split = Split(root, first, second, "train/ and test/ folders", strays + more, notes)
    else:
        home = train if train.is_dir() else root
        clips, strays = _clips(home)
        first, second = _part(clips, seed)
        unit = "identities" if len({ref.identity for ref in clips}) > 1 else "clips"
        where = "train/ alone" if home is train else "clips in one folder"
        split = Split(root, first, second, f"{where}, {unit} split 80/20 with seed {seed}", strays, notes)
    if not split.train:
        hint = "A clip is a video, a folder of frames, a film strip or a packed .zip."
        raise FommError(f"No clips to train on in {train if train.is_dir() else root}.", hint)
    _refuse_nested(split.train)
    return split


_CALLED = {
    "train": frozenset({"train", "training"}),
    "test": frozenset({"test", "testing", "val", "valid", "validation", "eval", "dev"}),
}
"""What others call the two parts, in small letters."""


def _misnamed(root: Path) -> list[str]:
    """Notes on a folder that another program takes for the test part; FommError for one that it takes for `train/`.

    A folder of pictures among others may well be a clip of that name.
    """
    there = [path for path in root.iterdir() if not path.name.startswith(".")]
    folders = {path.name: path for path in there if path.name.lower() in _CALLED["train"] | _CALLED["test"]}
    folders = {name: path for name, path in sorted(folders.items()) if path.is_dir()}
    train, test = (
        next((path for name, path in folders.items() if name.lower() in _CALLED[part]), None) for part in _CALLED
    )
    if train is not None and "train" not in folders and (test or len(there) == 1 or not _has_pictures(train)):
        raise FommError(
            f"{root} has a folder {train.name}/, but the parts of a data set are called train/ and test/.",
            f"Rename it: mv {train} {root / 'train'}",
        )
    if test is not None and "train" in folders and "test" not in folders:
        return [f"{test.name}/ is not looked at: the clips to validate on lie in test/ (mv {test} {root / 'test'})."]
    return []


def _refuse_nested(clips: list[ClipRef]) -> None:
    """Refuse a set of folders of folders or videos, such as id/video/clip: not one of its clips could be read."""
    if any(ref.kind != "folder" or _has_pictures(ref.path) for ref in clips):
        return
    home = clips[0].path.parent
    inner = next((path for ref in clips if (path := _inner(ref.path)) is not None), None)
    if inner is None:
        return
    for _ in range(3):  # links may lead around for ever
        inner = (_inner(inner) or inner) if inner.is_dir() and not _has_pictures(inner) else inner
    parts = inner.relative_to(home).parts
    raise FommError(
        f"{home} holds no clips but folders of clips, such as {'/'.join(parts)}: they are not searched.",
        f"Put the clips side by side (links will do); who is shown comes first in the name: {'#'.join(parts)}.",
    )


def _has_pictures(folder: Path) -> bool:
    """Whether there are frames in it, or nobody can tell."""
    try:
        return any(path.suffix.lower() in IMAGES for path in folder.iterdir())
    except OSError:
        return True


def _inner(folder: Path) -> Path | None:
    """The first thing in a folder that could be a clip."""
    return next((path for path in sorted(folder.iterdir()) if path.name[0] != "." and find_clip(path)), None)


def named(listed: Path, clips: list[ClipRef]) -> list[ClipRef]:
    """The clips that a text file names, one a line; FommError for a name that is no clip's, or if there is none."""
    check_endless(listed)
    known = {ref.path.name: ref for ref in clips} | {ref.name: ref for ref in clips}
    try:
        names = [line.strip() for line in listed.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise FommError(f"{listed} cannot be read as a list of clips: {error}.", "One name a line.") from error
    if not names:
        raise FommError(f"{listed} names no clips.", "Write the name of one test clip a line.")
    for line, name in enumerate(names, start=1):
        if name not in known:
            raise FommError(
                f"{listed}: name {line}, {name!r}, is no clip of the set.", nearest(name, list(known)[:1000])
            )
    return [known[name] for name in dict.fromkeys(names)]


def _clips(folder: Path) -> tuple[list[ClipRef], list[Path]]:
    refs, strays = [], []
    for path in sorted(folder.iterdir(), key=lambda path: (natural_key(path.name), path.name)):
        if path.name.startswith("."):
            continue
        ref = find_clip(path)
        if ref is None:
            strays.append(path)
        else:
            refs.append(ref)
    return refs, strays


def _part(clips: list[ClipRef], seed: int) -> tuple[list[ClipRef], list[ClipRef]]:
    groups = [ref.identity for ref in clips]
    if len(set(groups)) < 2:
        groups = [ref.path.name for ref in clips]
    names = list(dict.fromkeys(groups))
    if len(names) < 2:
        return clips, []
    order = generator(seed).permutation(len(names))
    held = {names[index] for index in order[: max(1, round(TEST_SHARE * len(names)))]}
    train = [ref for ref, group in zip(clips, groups, strict=True) if group not in held]
    test = [ref for ref, group in zip(clips, groups, strict=True) if group in held]
    return train, test
