"""Which photo makes which pair, and which pairs make a shard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blurgen.recipe import Recipe
from blurgen.survey import SurveyedPhoto

SPARE_PHOTOS = 20
"""A pair whose photo gives no good mask is made from one of so many others instead."""

SHARD_BYTES = 256_000_000
"""Rough upper bound of a shard by default, since a worker holds it in memory."""


@dataclass(frozen=True)
class ShardTask:
    """All that a worker needs to make one shard."""

    index: int
    pairs: tuple[int, ...]
    photos: tuple[SurveyedPhoto, ...]
    spares: tuple[SurveyedPhoto, ...]
    recipe: Recipe
    seed: int
    cache: Path
    out: Path
    photo_id_bytes: int


def default_pairs_per_shard(n: int, recipe: Recipe, photos: list[SurveyedPhoto]) -> int:
    """1000, or fewer: at least four shards for parallel work, and none larger than about ``SHARD_BYTES``."""
    shape = recipe.geometry.shape
    pixels = shape[0] * shape[1] if shape else max(photo.height * photo.width for photo in photos)
    bytes_per_pair = pixels * {"jpeg": 1, "png": 2, "raw": 3}[recipe.storage.codec]
    return max(1, min(1000, max(25, -(-n // 4)), SHARD_BYTES // bytes_per_pair))


def plan(
    photos: list[SurveyedPhoto], n: int, per_shard: int, recipe: Recipe, seed: int, cache: Path, out: Path
) -> list[ShardTask]:
    """Share ``n`` pairs out: each photo floor or ceil of n / photos times, each shard a fair sample of the photos."""
    order = photo_order(len(photos), n + SPARE_PHOTOS, seed)
    id_bytes = max(len(photo.photo.id.encode()) for photo in photos)
    tasks = []
    for index, first in enumerate(range(0, n, per_shard)):
        pairs = range(first, min(first + per_shard, n))
        chosen = [photos[order[pair]] for pair in pairs]
        spares = [photos[place] for place in order[pairs.stop : pairs.stop + SPARE_PHOTOS]]
        tasks.append(ShardTask(index, tuple(pairs), tuple(chosen), tuple(spares), recipe, seed, cache, out, id_bytes))
    return tasks


def photo_order(photos: int, count: int, seed: int) -> np.ndarray:
    """The photo of each pair: one shuffled round of all photos after the other, (count,) int."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    rounds = [rng.permutation(photos) for _ in range(-(-count // photos))]
    return np.concatenate(rounds)[:count]
