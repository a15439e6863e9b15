"""What pairs were made from, found again: their recipe, their photo by its bytes, and its regions."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from blurgen.dataset.documents import is_count
from blurgen.errors import PhotoError, RecipeError, ShardError
from blurgen.files import sha256
from blurgen.masks import FOUND, Region, region_from
from blurgen.proposals import Proposals
from blurgen.recipe import Recipe, recipe_from
from blurgen.regions import RegionCache, find_regions, region_keys
from blurgen.scene import Offer
from blurgen.shards.format import PREFIXES
from blurgen.sources import Photo, Source, decode


@dataclass(frozen=True)
class Origin:
    """A data set in which pairs were made, as the manifest tells of it."""

    recipe: Recipe
    seed: int
    source: str
    split: str
    build: dict
    pairs: int


def read_origins(manifest: dict) -> list[Origin]:
    """The data sets in which the pairs were made: this one, or those that it was derived from.

    Raises
    ------
    ShardError
        Malformed, or a recipe that this blurgen does not know.
    """
    return [_origin(told) for told in manifest.get("origins", [manifest])]


def _origin(told: Any) -> Origin:
    kinds = {"recipe": dict, "seed": int, "source": str, "split": str, "build": dict, "pairs": int}
    if not isinstance(told, dict) or any(type(told.get(name)) is not kind for name, kind in kinds.items()):
        raise ShardError("the manifest does not tell what its pairs were made from; not made by blurgen")
    try:
        recipe = recipe_from(told["recipe"], "the manifest's recipe")
    except RecipeError as error:
        raise ShardError(f"{error}; take the blurgen that made it, {told['build'].get('blurgen')!s:.20}") from None
    return Origin(**{name: told[name] for name in kinds} | {"recipe": recipe})


class Originals:
    """The photos and regions that the pairs of one origin were made from. What was found last is kept for the next.

    Parameters
    ----------
    source : Source
        Where photos are looked for: by their id, and where that has other bytes by their sha256.
    listed : list of dict
        The photos of the manifest.
    """

    def __init__(self, source: Source, listed: list[dict], recipe: Recipe, cache: RegionCache) -> None:
        self.source, self.recipe, self.cache = source, recipe, cache
        self._by_id = {photo.id: photo for photo in source.photos}
        self._sizes, self._digests = {}, defaultdict(list)
        for one in listed:
            if isinstance(one.get("sha256"), str) and is_count(one.get("bytes")):
                self._sizes[one["sha256"]] = one["bytes"]
                self._digests[one["id"]].append(one["sha256"])
        self._file = lru_cache(maxsize=2)(self._found_file)
        self.pixels = lru_cache(maxsize=1)(self._decoded)
        self._regions = lru_cache(maxsize=4)(self._found_regions)

    def offer(self, row: Mapping[str, Any]) -> Offer:
        """The regions that a row of provenance names. Raises ShardError or PhotoError if they aren't what they were."""
        found, lent = {}, None
        for prefix in PREFIXES:
            region = region_from(row, prefix)
            if region.mask_kind in FOUND:
                candidates = [self._regions(region.mask_kind, row["photo"], row["photo_sha256"])]
                found[region.mask_kind] = _those_with(region, candidates, row["photo"])
            elif region.mask_kind == "other-photo":
                lent = _those_with(region, self._lent(row["mask_photo"]), row["mask_photo"])
        return Offer(found, None if lent is None else lambda: lent)

    def _decoded(self, name: str, digest: str) -> np.ndarray:
        """The pixels of a photo. Raises PhotoError if the source does not hold it, or holds other bytes."""
        return decode(self._file(name, digest)[1], self.recipe.photo.pixels)

    def _found_file(self, name: str, digest: str) -> tuple[Photo, bytes]:
        for photo in self._candidates(name, digest):
            with suppress(PhotoError):
                data = photo.read()
                if sha256(data) == digest:
                    return photo, data
        known = "has other bytes now" if name in self._by_id else "is not there"
        raise PhotoError(
            f"{self.source.root}: photo {name} {known}, and no other has its sha256, {digest:.12}; put it back, or "
            "name the photos by --source and --root"
        )

    def _candidates(self, name: str, digest: str) -> Iterator[Photo]:
        """The photo of that name, then those of the same size, since it may have been moved."""
        if name in self._by_id:
            yield self._by_id[name]
        yield from self._by_size[self._sizes.get(digest)]

    @cached_property
    def _by_size(self) -> defaultdict[int | None, list[Photo]]:
        photos = defaultdict(list)
        for photo in self.source.photos:
            try:
                photos[photo.path.stat().st_size].append(photo)
            except OSError:
                continue
        return photos

    def _found_regions(self, kind: str | None, name: str, digest: str) -> Proposals:
        """The regions of one kind of a photo, or of the kind that it lends."""
        photo, _ = self._file(name, digest)
        keys = region_keys(digest, photo, self.recipe)
        kind = kind or next(iter(keys), None)
        if kind not in keys:
            raise PhotoError(f"photo {name} has no annotated objects here; name the annotated photos")
        regions = self.cache.get(keys[kind])
        if regions is None:
            regions = find_regions(kind, photo, self.pixels(name, digest), self.recipe)
            self.cache.put(keys[kind], regions)
        return regions

    def _lent(self, name: str) -> Iterator[Proposals]:
        """What the photos of that name lend: one, or several in a data set that was merged."""
        if name not in self._digests:
            raise ShardError(f"column mask_photo names {name!r:.60}, which the manifest does not list")
        missing = None
        for digest in self._digests[name]:
            try:
                yield self._regions(None, name, digest)
            except PhotoError as error:
                missing = error
        if missing:
            raise missing


def _those_with(region: Region, candidates: Iterator[Proposals] | list[Proposals], name: str) -> Proposals:
    """The first of the candidates that has the region, with its score."""
    for regions in candidates:
        count = len(regions)
        if region.region < count and regions.scores[region.region] == np.float32(region.score):
            return regions
    raise ShardError(
        f"the regions of photo {name} are others now: region {region.region} with a score of {region.score:.6g} is not "
        f"among its {count}; another blurgen found those, or in another annotation"
    )
