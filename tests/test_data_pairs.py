"""Pairs: earlier frame first, drawn from (seed, epoch, index) alone; batches that any number of processes share."""

from __future__ import annotations

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from fomm_cli.config.schema import AugmentationConfig, DataConfig
from fomm_cli.data.clips import ClipRef, find_clip
from fomm_cli.data.packed import Packing, write_clip
from fomm_cli.data.pairs import Pair, PairDataset, PairSampler, collate
from fomm_cli.data.split import find_split
from fomm_cli.errors import FommError
from fomm_cli.model.pixels import scaled
from tests.clips import write_clip as write_video
from tests.data_material import folder, number, pictures, strip, strips

PLAIN = AugmentationConfig(time_flip=False, horizontal_flip=False)
BUSY = AugmentationConfig(brightness=0.2, contrast=0.2, saturation=0.2, hue=0.2, resize=(0.8, 1.2), rotation=10)


def config(augmentation: AugmentationConfig = PLAIN, side: int = 32, id_sampling: bool = False) -> DataConfig:
    return DataConfig(frame_shape=(side, side), id_sampling=id_sampling, augmentation=augmentation)


@pytest.fixture(scope="module")
def every_layout(tmp_path_factory: pytest.TempPathFactory) -> list[ClipRef]:
    root = tmp_path_factory.mktemp("layouts")
    strip(root / "id0#strip.png", pictures(6))
    folder(root / "id0#folder", pictures(12))
    write_video(root / "id1#video.mp4", pictures(9))
    write_video(root / "id1#gif.gif", pictures(5), codec="gif", pixels="rgb8")
    write_clip(root / "id2#packed.zip", pictures(7), Packing(lossless=True))
    return find_split(root).train + find_split(root).test


def same(one: Pair, other: Pair) -> bool:
    return one.name == other.name and torch.equal(one.source, other.source) and torch.equal(one.driving, other.driving)


def image(tensor: torch.Tensor) -> np.ndarray:
    return tensor.permute(1, 2, 0).numpy()


def test_the_earlier_frame_is_the_source_in_every_layout(every_layout: list[ClipRef]) -> None:
    dataset = PairDataset(every_layout, config(), repeats=8)
    assert len(dataset) == 5 * 8
    ordered = Counter()
    for index in range(len(dataset)):
        pair = dataset.item(0, index)
        assert pair.source.shape == pair.driving.shape == (3, 32, 32)
        assert pair.source.dtype == torch.uint8
        numbers = [int(word) for word in pair.name.rpartition(":")[2].split("-")]
        assert numbers == [number(image(pair.source)), number(image(pair.driving))]
        ordered[np.sign(numbers[1] - numbers[0])] += 1
    assert ordered[-1] == 0
    assert ordered[1] > 10 * ordered[0] > 0 or ordered[1] > 20


def test_identity_sampling_works_in_every_layout(every_layout: list[ClipRef]) -> None:
    dataset = PairDataset(every_layout, config(id_sampling=True), repeats=20)
    assert len(dataset) == 3 * 20
    drawn = Counter(dataset.item(0, index).name.split(":")[0] for index in range(len(dataset)))
    people = Counter()
    for name, count in drawn.items():
        people[name.split("#")[0]] += count
    assert people == {"id0": 20, "id1": 20, "id2": 20}
    assert len(drawn) == 5  # both clips of an identity are drawn


def test_validation_draws_clips_and_changes_nothing(every_layout: list[ClipRef]) -> None:
    dataset = PairDataset(every_layout, config(BUSY, id_sampling=True), train=False)
    assert len(dataset) == 5
    pair = dataset[3]
    assert number(image(pair.source)) == int(pair.name.rpartition(":")[2].split("-")[0])


def test_an_item_depends_on_seed_epoch_and_index_alone(every_layout: list[ClipRef]) -> None:
    first = PairDataset(every_layout, config(BUSY, id_sampling=True), seed=3, repeats=4)
    second = PairDataset(every_layout, config(BUSY, id_sampling=True), seed=3, repeats=4, memory=0)
    held = PairDataset(every_layout, config(BUSY, id_sampling=True), seed=3, repeats=4)
    assert held.preload(1 << 30, threads=2) == 5
    order = [(1, 5), (0, 0), (0, 11), (1, 5), (7, 3)]
    wanted = {key: first[key] for key in order}
    for key in reversed(order):
        assert same(second[key], wanted[key])
        assert same(held[key], wanted[key])
    others = [first[(2, 5)], first[(1, 6)], PairDataset(every_layout, first.config, seed=4, repeats=4)[(1, 5)]]
    assert not any(same(other, wanted[(1, 5)]) for other in others)


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_change_nothing(every_layout: list[ClipRef], workers: int) -> None:
    dataset = PairDataset(every_layout, config(BUSY, id_sampling=True), seed=1, repeats=4)
    sampler = PairSampler(len(dataset), 5, seed=1)
    loader = DataLoader(
        dataset,
        batch_sampler=sampler,
        num_workers=workers,
        collate_fn=collate,
        persistent_workers=workers > 0,
        # The suite's own process has threads of every library by now, with which a fork may not survive.
        multiprocessing_context="forkserver" if workers else None,
    )
    for epoch in range(2):
        sampler.set_epoch(epoch)
        batches = list(loader)
        assert len(batches) == 2
        for batch, keys in zip(batches, sampler, strict=True):
            assert batch.source.shape == (5, 3, 32, 32)
            wanted = collate([dataset[key] for key in keys])
            assert batch.names == wanted.names
            assert torch.equal(batch.source, wanted.source)
            assert torch.equal(batch.driving, wanted.driving)


def test_bytes_become_what_the_network_takes() -> None:
    values = scaled(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert values.dtype == torch.float32
    assert values.tolist() == pytest.approx([0, 0.2, 1])


def test_memory_stays_in_its_bounds(tmp_path: Path) -> None:
    split = find_split(strips(tmp_path, [str(index) for index in range(12)], count=4))
    clip = 4 * 32 * 32 * 3
    dataset = PairDataset(split.train, config(), memory=3 * clip)
    for index in range(len(dataset)):
        dataset[index]
    assert len(dataset._kept) == 3
    assert dataset.preload(2 * clip) == 2
    for index in range(len(dataset)):
        dataset[index]
    assert len(dataset._held) + len(dataset._kept) == 3
    copy = pickle.loads(pickle.dumps(dataset))  # as a spawned worker gets it
    assert not copy._held
    assert same(copy[3], dataset[3])


def test_a_corrupt_clip_is_replaced_and_told(tmp_path: Path) -> None:
    root = strips(tmp_path, ["a", "b", "d"])
    (root / "c.png").write_bytes((root / "a.png").read_bytes()[:200])
    refs = [ref for name in "abcd" if (ref := find_clip(root / f"{name}.png")) is not None]
    dataset = PairDataset(refs, config(), repeats=3)
    pairs = [dataset[index] for index in range(12)]
    failed = [pair for pair in pairs if pair.failures]
    assert [index for index, pair in enumerate(pairs) if pair.failures] == [2, 6, 10]
    assert {pair.failures[0].clip for pair in failed} == {"c.png"}
    assert all(pair.name[0] in "abd" for pair in failed)
    assert "damaged" in failed[0].failures[0].reason
    again = PairDataset(refs, config(), repeats=3)
    assert all(same(again[index], pairs[index]) for index in (10, 2, 6))
    batch = collate(pairs[:4])
    assert [failure.clip for failure in batch.failures][:1] == ["c.png"]


def test_only_corrupt_clips_end_with_words(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"nothing")
    (tmp_path / "b.png").write_bytes(b"nothing")
    refs = find_split(tmp_path).train
    with pytest.raises(FommError, match="No pair could be read in 50 tries"):
        PairDataset(refs, config())[0]
    with pytest.raises(FommError, match="no clips"):
        PairDataset([], config())


def test_clips_of_one_frame_and_of_other_sizes(tmp_path: Path) -> None:
    folder(tmp_path / "one", [np.full((20, 50, 3), 90, dtype=np.uint8)])
    folder(tmp_path / "mixed", [np.full((64, 64, 3), 90, dtype=np.uint8), np.full((30, 40, 3), 90, dtype=np.uint8)])
    dataset = PairDataset(find_split(tmp_path).train + find_split(tmp_path).test, config(), repeats=5)
    for index in range(10):
        pair = dataset[index]
        assert pair.source.shape == (3, 32, 32)
        assert torch.equal(pair.source, torch.full_like(pair.source, 90))


def test_the_crop_must_agree_with_the_frame_shape(every_layout: list[ClipRef]) -> None:
    with pytest.raises(FommError, match=r"crop \[64, 64\] differs from data.frame_shape \[32, 32\]"):
        PairDataset(every_layout, config(AugmentationConfig(crop=(64, 64))))


# -------------------------------------------------------------------------------------------------------- the sampler


def test_an_epoch_visits_every_item_once_and_drops_the_rest() -> None:
    sampler = PairSampler(23, 5, seed=1, epoch=3)
    batches = list(sampler)
    assert len(batches) == len(sampler) == 4
    keys = [key for batch in batches for key in batch]
    assert {epoch for epoch, _ in keys} == {3}
    assert len({index for _, index in keys}) == 20
    sampler.set_epoch(4)
    assert [index for batch in sampler for _, index in batch] != [index for _, index in keys]


def test_an_epoch_can_be_entered_at_any_batch() -> None:
    whole = list(PairSampler(40, 4, seed=2, epoch=1))
    for start in (0, 3, 9, 10):
        later = PairSampler(40, 4, seed=2, epoch=1, start_batch=start)
        assert list(later) == whole[start:]
        assert len(later) == 10 - start


@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_share_the_very_batches_of_one(world: int) -> None:
    whole = list(PairSampler(50, 8, seed=5))
    parts = [list(PairSampler(50, 8, seed=5, rank=rank, world=world)) for rank in range(world)]
    assert [[key for share in batch for key in share] for batch in zip(*parts, strict=True)] == whole


def test_batches_that_cannot_be_say_so() -> None:
    with pytest.raises(FommError, match="batch of 8 is larger than the 7 items"):
        PairSampler(7, 8)
    with pytest.raises(FommError, match="cannot be shared by 3 processes"):
        PairSampler(70, 8, world=3)
    with pytest.raises(FommError, match="more than the 100,000,000 there may be"):
        PairSampler(10**12, 8)
    with pytest.raises(ValueError, match="batch 5 of 4"):
        PairSampler(8, 2, start_batch=5)
