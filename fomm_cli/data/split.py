"""Which clips of a data set train the model and which test it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from fomm_cli.data.clips import ClipRef, find_clip
from fomm_cli.data.pairs import generator
from fomm_cli.errors import FommError, nearest
from fomm_cli.media.sequence import natural_key

TEST_SHARE = 0.2


@dataclass(frozen=True)
class Split:
    """The two parts of a data set, each in natural order of the names.

    layout    one line: how the parts were found
    ignored   files that can be no clip
    """

    root: Path
    train: list[ClipRef]
    test: list[ClipRef]
    layout: str
    ignored: list[Path] = field(default_factory=list)


def find_split(root: str | Path, seed: int = 0, listed: Path | None = None) -> Split:
    """The clips below `root`: its folders `train/` and `test/`, or else a seeded share of 80 % and 20 %.

    listed  a file that names the test clips, one a line, with or without suffix; all other clips then train

    A seeded split parts identities, not clips, so that nobody is in both; a lone identity is parted by clips. It
    depends on the names and the seed alone. With `train/` but no `test/`, that folder is parted. A single clip only
    trains.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise FommError(
            f"The data set {root} {what}.", "Give the folder that holds the clips, or its train/ and test/."
        )
    train, test = root / "train", root / "test"
    if listed is not None:
        homes = [home for home in (train, test) if home.is_dir()] or [root]
        found = [_clips(home) for home in homes]
        clips, strays = [ref for refs, _ in found for ref in refs], [path for _, more in found for path in more]
        held = {ref.path for ref in named(listed, clips)}
        first, second = ([ref for ref in clips if (ref.path in held) == wanted] for wanted in (False, True))
        return Split(root, first, second, f"test clips named in {listed.name}", strays)
    if train.is_dir() and test.is_dir():
        first, strays = _clips(train)
        second, more = _clips(test)
        split = Split(root, first, second, "train/ and test/ folders", strays + more)
    else:
        home = train if train.is_dir() else root
        clips, strays = _clips(home)
        first, second = _part(clips, seed)
        unit = "identities" if len({ref.identity for ref in clips}) > 1 else "clips"
        where = "train/ alone" if home is train else "clips in one folder"
        split = Split(root, first, second, f"{where}, {unit} split 80/20 with seed {seed}", strays)
    if not split.train:
        hint = "A clip is a video, a folder of frames, a film strip or a packed .zip."
        raise FommError(f"No clips to train on in {train if train.is_dir() else root}.", hint)
    return split


def named(listed: Path, clips: list[ClipRef]) -> list[ClipRef]:
    """The clips that a text file names, one a line; FommError for a name that is no clip's, or if there is none."""
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
    held = {names[place] for place in order[: max(1, round(TEST_SHARE * len(names)))]}
    train = [ref for ref, group in zip(clips, groups, strict=True) if group not in held]
    test = [ref for ref, group in zip(clips, groups, strict=True) if group in held]
    return train, test
