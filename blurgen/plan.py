"""Which photo makes which pair, and which pairs make a shard."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from blurgen.errors import SourceError
from blurgen.recipe import Recipe
from blurgen.shards.format import SHARD_BYTES, SHARD_NAME
from blurgen.survey import SurveyedPhoto

SPARE_PHOTOS = 20
"""A pair whose photo gives no good mask is made from one of so many others instead."""


@dataclass(frozen=True)
class ShardTask:
    """All that a worker needs to make one shard."""

    index: int
    pairs: tuple[int, ...]
    photos: tuple[SurveyedPhoto, ...]
    donors: tuple[SurveyedPhoto | None, ...]
    spares: tuple[SurveyedPhoto, ...]
    recipe: Recipe
    seed: int
    cache: Path
    out: Path
    photo_id_bytes: int
    avoided: frozenset[str] = frozenset()
    """Ids of photos that are neither decoded nor asked for regions, since they kill the process that does."""

    sha256: str = ""
    """What the shard must come out as, if that is known."""

    @property
    def shard_name(self) -> str:
        """The file it will be."""
        return SHARD_NAME.format(self.index)

    def spares_of(self, pair: int) -> tuple[SurveyedPhoto, ...]:
        """The photos after its own: the same for all pairs of a scene, whichever shards they are in."""
        each = self.recipe.mask.pairs_per_mask
        first = pair // each - self.pairs[0] // each
        return self.spares[first : first + SPARE_PHOTOS]

    def without(self, photo_id: str) -> ShardTask:
        """The same task, but one photo more is avoided. Another donor comes from the spares of the pair.

        The outcome does not hang on the order in which photos are left out.
        """
        avoided = self.avoided | {photo_id}
        donors = tuple(
            self._other_donor(pair, photo, avoided) if donor and donor.photo.id in avoided else donor
            for pair, photo, donor in zip(self.pairs, self.photos, self.donors, strict=True)
        )
        return replace(self, avoided=avoided, donors=donors)

    def _other_donor(self, pair: int, photo: SurveyedPhoto, avoided: frozenset[str]) -> SurveyedPhoto:
        out = avoided | {photo.photo.id}
        for spare in self.spares_of(pair):
            if spare.lends and spare.photo.id not in out:
                return spare
        raise SourceError(f"pair {pair}: no photo is left that could lend it a mask; give more photos")


def default_pairs_per_shard(n: int, recipe: Recipe, photos: list[SurveyedPhoto]) -> int:
    """1000, or fewer: at least four shards for parallel work, and none larger than about ``SHARD_BYTES``."""
    shape = recipe.geometry.shape
    pixels = shape[0] * shape[1] if shape else max(photo.height * photo.width for photo in photos)
    each = max(photo.channels * np.dtype(photo.dtype).itemsize for photo in photos)
    bytes_per_pair = -(-pixels * each // {"jpeg": 3, "png": 1.5, "raw": 1}[recipe.storage.codec])
    return max(1, min(1000, max(25, -(-n // 4)), SHARD_BYTES // bytes_per_pair))


def plan(
    photos: list[SurveyedPhoto], n: int, per_shard: int, recipe: Recipe, seed: int, cache: Path, out: Path
) -> list[ShardTask]:
    """Share ``n`` pairs out, each shard a fair sample of the photos.

    Each photo takes part floor or ceil of n / photos times; where pairs share a mask, their scenes are shared out so.
    """
    each = recipe.mask.pairs_per_mask
    order = photo_order(len(photos), -(-n // each) + SPARE_PHOTOS, seed)
    lenders = np.flatnonzero([photo.lends for photo in photos])
    donors = donor_order(order, lenders, seed) if recipe.mask.needs_donor else None
    id_bytes = max(len(photo.photo.id.encode()) for photo in photos)
    tasks = []
    for index, first in enumerate(range(0, n, per_shard)):
        pairs = range(first, min(first + per_shard, n))
        scenes = [pair // each for pair in pairs]
        tasks.append(
            ShardTask(
                index=index,
                pairs=tuple(pairs),
                photos=tuple(photos[order[scene]] for scene in scenes),
                donors=tuple(None if donors is None else photos[donors[scene]] for scene in scenes),
                spares=tuple(photos[place] for place in order[scenes[0] + 1 : scenes[-1] + 1 + SPARE_PHOTOS]),
                recipe=recipe,
                seed=seed,
                cache=cache,
                out=out,
                photo_id_bytes=id_bytes,
            )
        )
    return tasks


def evenly_spread(count: int, total: int) -> list[int]:
    """``count`` numbers of ``range(total)``, or all if there are fewer."""
    count = min(count, total)
    return [place * total // count for place in range(count)]


def donor_order(order: np.ndarray, lenders: np.ndarray, seed: int) -> np.ndarray:
    """For each scene one of the ``lenders`` whose regions it may take, never its own photo: (n,) int.

    Raises
    ------
    SourceError
        There are fewer than two lenders.
    """
    if len(lenders) < 2:
        raise SourceError(
            'the kind of mask "other-photo" needs two photos with regions or more; give more, or change mask.kinds'
        )
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(1,)))
    # Two numbers for each scene in turn, so that a scene's donor does not hang on how many there are.
    places, steps = (rng.random((len(order), 2)) * (len(lenders), len(lenders) - 1)).astype(int).T
    others = (places + 1 + steps) % len(lenders)
    return np.where(lenders[places] == order, lenders[others], lenders[places])


def photo_order(photos: int, count: int, seed: int) -> np.ndarray:
    """The photo of each scene: one shuffled round of all photos after the other, (count,) int."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
    rounds = [rng.permutation(photos) for _ in range(-(-count // photos))]
    return np.concatenate(rounds)[:count]
