"""What a model is trained on: pairs of shards, photos with human masks; some of the photos held out for validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from blurgen.channels import FULL_SCALE
from blurgen.dataset import Dataset, open_dataset
from blurgen.errors import ArgumentError, ShardError, SourceError, TrainingError
from blurgen.sources.labelled import Labelled
from blurgen.targets import BLURRED, UNKNOWN
from blurgen.training.batches import REAL, SYNTHETIC, hold_out, in_hash_order


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
        for number in range(len(data.manifest["shards"])):
            with data.open_shard(number) as shard:
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
        found = self._get(kind, number)
        if self.shuffled is None:
            return found
        return Example(found.image, self._get(kind, int(self.shuffled[index])).mask)

    def read_held_out(self, kind: int, index: int) -> Example:
        """Example ``index`` of those held out, by kind."""
        return self._get(kind, int(self.held_out[kind][index]))

    def _get(self, kind: int, number: int) -> Example:
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

    Which photos are held out hangs on their sha256 (real ones: on their names) and the seed alone, so runs on several
    recipes of the same photos hold out the same ones. Of the real photos ``real_fraction`` is used, chosen likewise.

    Raises
    ------
    ArgumentError
        There is nothing to train on, or only one photo.
    TrainingError
        All masks are of one class.
    """
    train, held_out = {}, {}
    for kind, names in ((SYNTHETIC, pairs and pairs.photos), (REAL, real and _used(real, real_fraction, seed))):
        if names:
            train[kind], held_out[kind] = _split(names, val_share, max_val, seed)
    if not train:
        raise ArgumentError("nothing to train on: give folders of shards, or --real")
    _refuse_one_class(pairs, train)
    _fit_together(pairs, real)
    kind = (pairs.channels, pairs.dtype) if pairs else (3, "uint8")
    shuffled = _derangement(train[SYNTHETIC], seed) if shuffle_masks else None
    return Examples(pairs, real, train, held_out, *kind, shuffled)


def _used(real: Labelled, fraction: float, seed: int) -> dict[int, bytes]:
    """Numbers and names of the real photos that are used."""
    names = [name.encode() for name in real.names]
    count = max(1, round(fraction * len(names)))
    return {index: names[index] for index in sorted(in_hash_order(names, seed)[:count])}


def _split(names: list[bytes] | dict[int, bytes], share: float, most: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    numbers, names = (list(names), list(names.values())) if isinstance(names, dict) else (range(len(names)), names)
    numbers, chosen = np.asarray(numbers), hold_out(names, share, seed)
    if chosen.all():
        raise ArgumentError("only one photo, so none can be held out; use more photos, or --val 0")
    held_out = numbers[chosen]
    picked = np.unique(np.linspace(0, len(held_out) - 1, min(most, len(held_out))).round().astype(int))
    return numbers[~chosen], held_out[picked] if len(held_out) else held_out


def _refuse_one_class(pairs: Pairs | None, train: dict[int, np.ndarray]) -> None:
    if pairs is None or REAL in train:
        return
    shares = pairs.blurred_shares[train[SYNTHETIC]]
    for value, word in ((0, "sharp"), (1, "blurred")):
        if (shares == value).all():
            raise TrainingError(
                f"every mask is all {word}: nothing can be learned; use another recipe (mask.p_all_...)"
            )


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
