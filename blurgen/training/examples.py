"""What a model is trained on: pairs of shards, photos with human masks; some of the photos held out for validation."""

from __future__ import annotations

import resource
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from blurgen.channels import FULL_SCALE
from blurgen.dataset import Dataset, open_dataset
from blurgen.dataset.reading import MAX_OPEN_SHARDS
from blurgen.engines import is_quiet
from blurgen.errors import ArgumentError, ShardError, SourceError, TrainingError
from blurgen.sources.labelled import Labelled
from blurgen.targets import BLURRED, UNKNOWN
from blurgen.training.batches import REAL, SYNTHETIC, hold_out, in_hash_order

MANY_FILES = 4096


class Example(NamedTuple):
    """An image (H, W, C) uint8, uint16 or float32, and its mask (H, W) uint8: 255 blurred, 0 sharp, 128 unknown."""

    image: np.ndarray
    mask: np.ndarray


class Pairs:
    """The pairs of several data sets as one sequence of examples; may be read from several threads.

    Raises ShardError where a data set is damaged, and where images differ in channels or depth.
    """

    def __init__(self, folders: Sequence[str | Path]) -> None:
        self.sets: list[Dataset] = [open_dataset(folder) for folder in folders]
        for data in self.sets:  # in random order a shard that was closed is wanted again at once
            data.max_open = _room_for_files() // len(self.sets)
        self._ends = np.cumsum([len(data) for data in self.sets])
        tables = [self._table(data) for data in self.sets]
        self.photos: list[bytes] = [photo for table in tables for photo in table["photo_sha256"].tolist()]
        self.blurred_shares = np.concatenate([table["blurred_share"] for table in tables])
        self.shapes = np.concatenate([np.stack([table["height"], table["width"]], axis=1) for table in tables])
        self.channels, self.dtype = self._one_kind(tables)

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, index: int) -> Example:
        number = int(np.searchsorted(self._ends, index, side="right"))
        shard, place = self.sets[number].locate(index - (int(self._ends[number - 1]) if number else 0))
        picture = shard.mask(place).view(np.uint8) * np.uint8(BLURRED)
        if "unknown" in shard.targets:
            picture[shard.target("unknown", place)] = UNKNOWN
        return Example(shard.image(place), picture)

    @property
    def digests(self) -> list[str]:
        """The digest of each data set."""
        return [data.manifest["digest"] for data in self.sets]

    @staticmethod
    def _table(data: Dataset) -> np.ndarray:
        """The columns that matter here, of all pairs of a data set."""
        columns = ["photo_sha256", "blurred_share", "height", "width", "channels", "dtype"]
        parts = []
        for first in accumulate((shard["pairs"] for shard in data.manifest["shards"][:-1]), initial=0):
            shard, _ = data.locate(first)  # and it stays open: what is read later is what was there now
            parts.append(np.rec.fromarrays([shard.provenance[name] for name in columns], names=columns))
        return np.concatenate(parts)

    def _one_kind(self, tables: list[np.ndarray]) -> tuple[int, str]:
        kinds = {}
        for data, table in zip(self.sets, tables, strict=True):
            for channels, dtype in sorted(set(zip(table["channels"].tolist(), table["dtype"].tolist(), strict=True))):
                kinds.setdefault((channels, dtype.decode()), data.folder)
        if len(kinds) > 1:
            found = "; ".join(f"{channels} x {dtype} in {folder}" for (channels, dtype), folder in kinds.items())
            raise ShardError(f"the images differ in channels or depth: {found}; train on one kind at a time")
        return next(iter(kinds))


@dataclass(frozen=True)
class Examples:
    """All that a run sees. An index counts within ``pairs`` or within ``real``, by kind."""

    pairs: Pairs | None
    real: Labelled | None
    train: dict[int, np.ndarray]
    held_out: dict[int, np.ndarray]
    channels: int
    dtype: str
    shuffled: np.ndarray | None = None

    def read(self, kind: int, index: int) -> Example:
        """Example ``index`` of those to train on, by kind."""
        number = int(self.train[kind][index])
        found = self.get(kind, number)
        if self.shuffled is None:
            return found
        return Example(found.image, self.get(kind, int(self.shuffled[index])).mask)

    def read_held_out(self, kind: int, index: int) -> Example:
        """Example ``index`` of those held out, by kind."""
        return self.get(kind, int(self.held_out[kind][index]))

    def get(self, kind: int, number: int) -> Example:
        """Example ``number`` of all of a kind."""
        if kind == SYNTHETIC:
            return self.pairs[number]
        image, mask = self.real.read(number)
        if image.shape[2] != self.channels or image.dtype.name != self.dtype:
            name = self.real.names[number]
            raise SourceError(
                f"{self.real.root}: {name} is {image.shape[2]} x {image.dtype}, the other images are "
                f"{self.channels} x {self.dtype}; take it out"
            )
        return Example(image, mask)


def gather(
    pairs: Pairs | None,
    real: Labelled | None,
    *,
    real_fraction: float,
    val_share: float,
    max_val: int,
    seed: int,
    shuffle_masks: bool = False,
) -> Examples:
    """Split by photo what there is to train on.

    Which photos are held out hangs on their sha256 and the seed alone, and none of them is trained on: a photo that is
    among the real ones and has synthetic pairs, too, is on one side only. So runs on several
    recipes of the same photos hold out the same ones. Of the real photos that are not held out ``real_fraction`` is
    trained on, chosen likewise: a smaller fraction is a part of a larger one.

    Raises
    ------
    ArgumentError
        There is nothing to train on, or only one photo.
    TrainingError
        All masks are of one class.
    """
    photos = {SYNTHETIC: pairs.photos} if pairs else {}
    if real:
        photos[REAL] = [photo.encode() for photo, _ in real.sha256s]
    if not photos:
        raise ArgumentError("nothing to train on: give folders of shards, or --real")
    chosen = {kind: _hold_out(names, val_share, seed) for kind, names in photos.items()}
    kept_back = {names[number] for kind, names in photos.items() for number in np.flatnonzero(chosen[kind])}
    train = {kind: _without(names, kept_back) for kind, names in photos.items()}
    if real:
        train[REAL] = _part(photos[REAL], train[REAL], real_fraction, seed)
    held_out = {kind: _spread(np.flatnonzero(one), max_val) for kind, one in chosen.items()}
    if pairs and not real:
        _refuse_one_class(pairs.blurred_shares[train[SYNTHETIC]])
    _fit_together(pairs, real)
    kind = (pairs.channels, pairs.dtype) if pairs else (3, "uint8")
    shuffled = _derangement(train[SYNTHETIC], seed) if shuffle_masks else None
    return Examples(pairs, real, train, held_out, *kind, shuffled)


def _hold_out(photos: list[bytes], share: float, seed: int) -> np.ndarray:
    chosen = hold_out(photos, share, seed)
    if share and not chosen.any():
        raise ArgumentError("only one photo, so none can be held out; use more photos, or --val 0")
    return chosen


def _without(photos: list[bytes], kept_back: set[bytes]) -> np.ndarray:
    """Numbers of the examples whose photo is not kept back."""
    left = np.flatnonzero([photo not in kept_back for photo in photos])
    if not len(left):
        raise ArgumentError("all photos are held out, of the real ones or of the pairs; use others, or a lower --val")
    return left


def _spread(numbers: np.ndarray, most: int) -> np.ndarray:
    """``most`` of the numbers, evenly from all of them."""
    return numbers[np.linspace(0, max(0, len(numbers) - 1), min(most, len(numbers))).round().astype(int)]


def _part(names: list[bytes], numbers: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """``fraction`` of ``numbers``, one at least, in ascending order."""
    order = in_hash_order([names[number] for number in numbers], seed)
    return np.sort(numbers[order[: max(1, round(fraction * len(numbers)))]])


def _refuse_one_class(shares: Iterable[float]) -> None:
    """Raise TrainingError if all examples, by their blurred shares, are of one class. Looks no farther than it must."""
    seen = set()
    for share in shares:
        seen.add(share if share in (0, 1) else None)
        if len(seen) > 1 or None in seen:
            return
    word = "blurred" if seen == {1} else "sharp"
    raise TrainingError(f"every mask is all {word}: nothing can be learned; use other masks, or another recipe")


def check_real(examples: Examples) -> None:
    """Read every real photo and mask that is used, once, so that none of them ends a run that is hours old.

    Raises PhotoError or SourceError for one that can't be used, TrainingError where all masks are of one class.
    """
    numbers = np.concatenate([examples.train[REAL], examples.held_out[REAL]])
    bar = tqdm(numbers, desc="real photos", unit="photo", disable=is_quiet(True))
    shares = [_blurred_share(examples.get(REAL, int(number)).mask) for number in bar]
    if examples.pairs is None:
        _refuse_one_class(shares[: len(examples.train[REAL])])


def _blurred_share(mask: np.ndarray) -> float:
    known = mask != UNKNOWN
    return float((mask[known] == BLURRED).mean()) if known.any() else 0.0


def _fit_together(pairs: Pairs | None, real: Labelled | None) -> None:
    if pairs and real and (pairs.channels, pairs.dtype) != (3, "uint8"):
        kind = f"{pairs.channels} x {pairs.dtype}"
        raise ArgumentError(f"photos with human masks are 3 x uint8, the pairs {kind}; train on one of them")
    if pairs and pairs.dtype not in FULL_SCALE:
        raise ShardError(f"images of {pairs.dtype} can't be trained on")


def _derangement(train: np.ndarray, seed: int) -> np.ndarray:
    """For each example the number of another one, whose mask it gets."""
    order = np.random.default_rng(seed).permutation(len(train))
    partner = np.empty(len(train), int)
    partner[order] = order[np.roll(np.arange(len(order)), 1)]
    return train[partner]


def _room_for_files() -> int:
    """How many files may be open for data, after asking for as many as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MANY_FILES if hard == resource.RLIM_INFINITY else min(hard, MANY_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return max(MAX_OPEN_SHARDS, wanted - 100)
