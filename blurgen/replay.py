"""Render pairs again from their provenance alone and compare them to the bit with what is stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from blurgen.camera.jpeg import can_be_jpeg
from blurgen.dataset.manifest import listed_photos, other_build
from blurgen.dataset.reading import Dataset
from blurgen.engines import single_threaded
from blurgen.errors import ArgumentError, PhotoError, ShardError
from blurgen.masks import ASPECT_RANGE
from blurgen.originals import Origin, Originals, read_origins
from blurgen.recipe import Recipe
from blurgen.regions import RegionCache, default_cache
from blurgen.scene import Scene, View, make_scene
from blurgen.shards.codecs import StorageParams, decode_image, encode_image, encode_mask, encode_target
from blurgen.shards.reader import Shard
from blurgen.sources import Source
from blurgen.synthesis import Pair, render
from blurgen.takes import Numbers, reach_of

NOT_RECORDED = -1
"""In the column reach_px: made by a schema version that did not have it."""

_MOST_REACH_PX = 512
"""More than any kernel reaches; a turn or a zoom reaches at most some sides of the image more."""


@dataclass(frozen=True)
class Replayed:
    """One pair, rendered again.

    Attributes
    ----------
    faults : list of str
        What differs, or why the pair can't be rendered; none if all agrees to the bit.
    other_build : str
        If there are faults: in what the libraries differ from those that made the pair, "" if they don't.
    made : Pair or None
        The pair as it is now.
    """

    pair: int
    faults: list[str] = field(default_factory=list)
    other_build: str = ""
    made: Pair | None = None


def replay(
    folder: str | Path,
    source: Source | Callable[[Origin], Source],
    pairs: Iterable[int],
    *,
    cache: str | Path | None = None,
) -> Iterator[Replayed]:
    """Render pairs of a data set again, from their provenance and their photos, and compare image, mask and targets.

    Nothing is drawn and nothing but the cache of regions is written.

    Parameters
    ----------
    source : Source, or function that opens one
        The photos. They are found by their bytes, so they may have other names now. A function is asked once for each
        data set in which pairs were made, since these may be of other sources.
    cache : path, optional
        Where regions are kept: see ``regions.default_cache``.

    Raises
    ------
    BlurgenError
        ShardError for no data set or a damaged manifest, ArgumentError for a pair that it doesn't have, SourceError,
        OutputError for the cache. All else is a fault of its pair.
    """
    with Dataset(folder) as data:
        replayer = _Replayer(data, source, RegionCache(Path(cache or default_cache())))
        for pair in pairs:
            if not 0 <= pair < len(data):
                raise ArgumentError(f"pair is {pair}: {folder} has the pairs 0 to {len(data) - 1}")
            with single_threaded():
                replayed = replayer.replay(pair)
            yield replayed


class _Replayer:
    """An open data set and the originals of its pairs, by origin."""

    def __init__(self, data: Dataset, source: Source | Callable[[Origin], Source], cache: RegionCache) -> None:
        self.data, self.source, self.cache = data, source, cache
        self.origins = read_origins(data.manifest)
        self._originals: dict[int, Originals] = {}

    def replay(self, pair: int) -> Replayed:
        origin, made = None, None
        try:
            shard, place = self.data.locate(pair)
            row = shard.row(place)
            origin = self._origin_of(row)
            made = made_again(row, origin.recipe, self._originals_of(row["origin"]))
            faults = [*self._wrong_place(row, pair, origin)]
            faults += _differences(made, row, shard, place, origin.recipe.storage)
        except (ShardError, PhotoError) as error:
            faults = [str(error)]
        return Replayed(pair, faults, other_build(origin.build) if faults and origin else "", made)

    def _origin_of(self, row: dict[str, Any]) -> Origin:
        if row["origin"] >= len(self.origins):
            raise ShardError(f"column origin: {row['origin']} there, the manifest has {len(self.origins)}")
        return self.origins[row["origin"]]

    def _wrong_place(self, row: dict[str, Any], pair: int, origin: Origin) -> Iterator[str]:
        """Columns that say where the pair belongs, and are not rendered."""
        if row["pair"] != pair:
            yield f"column pair: {row['pair']} there, {pair} is due"
        if row["seed"] != origin.seed:
            yield f"column seed: {row['seed']} there, the manifest says {origin.seed}"
        derived = "origins" in self.data.manifest
        if row["origin_pair"] not in (range(origin.pairs) if derived else (pair,)):
            due = f"its data set has 0 to {origin.pairs - 1}" if derived else f"{pair} is due"
            yield f"column origin_pair: {row['origin_pair']}, {due}"

    def _originals_of(self, number: int) -> Originals:
        if number not in self._originals:
            origin = self.origins[number]
            source = self.source(origin) if callable(self.source) else self.source
            self._originals[number] = Originals(source, listed_photos(self.data.manifest), origin.recipe, self.cache)
        return self._originals[number]


# Render again ---------------------------------------------------------------------------------------------------------


def made_again(row: dict[str, Any], recipe: Recipe, originals: Originals) -> Pair:
    """The pair that a row of provenance describes. Raises ShardError or PhotoError where there can't be one."""
    numbers = Numbers.from_row(row)
    pixels = originals.pixels(row["photo"], row["photo_sha256"])
    _check_layout(numbers, pixels.shape[:2], recipe)
    view = View(originals.offer(row), pixels.shape[:2], numbers.layout.crop)
    scene = make_scene(pixels, view, numbers.layout)
    _check_scene(scene, numbers)
    return render(scene, replace(numbers, reach_px=_reach_px(numbers, recipe)), recipe)


def _check_layout(numbers: Numbers, photo_shape: tuple[int, int], recipe: Recipe) -> None:
    crop = numbers.layout.crop
    if crop.top + crop.crop_height > photo_shape[0] or crop.left + crop.crop_width > photo_shape[1]:
        raise ShardError(f"its crop lies outside of its photo, which has {photo_shape[0]} x {photo_shape[1]} px")
    for region in (numbers.layout.region, numbers.layout.second):
        if region.mask_kind == "ellipse" and not ASPECT_RANGE[0] <= region.mask_aspect <= ASPECT_RANGE[1]:
            raise ShardError(f"the axes of its ellipse are in the ratio {region.mask_aspect:g}; impossible")
    asked = recipe.geometry.shape or (crop.crop_height, crop.crop_width)
    if (crop.height, crop.width) != asked:
        raise ShardError(f"it has {crop.height} x {crop.width} px, its recipe says {asked[0]} x {asked[1]}")


def _check_scene(scene: Scene, numbers: Numbers) -> None:
    """Refuse numbers that no pair is made with."""
    if not all(mask.any() for mask in scene.masks):
        raise ShardError("the numbers of its mask describe an empty one")
    if len(numbers.blurs) != len(scene.masks):
        raise ShardError(f"it has {len(numbers.blurs)} blurs for {len(scene.masks)} blurred regions")
    if numbers.camera.jpeg_quality and not can_be_jpeg(scene.sharp):
        raise ShardError(f"it has been a JPEG, which can't hold {scene.sharp.dtype} x {scene.sharp.shape[2]} channels")


def _reach_px(numbers: Numbers, recipe: Recipe) -> int:
    """How far the fill reached: for pairs that share a mask what was recorded, for others as far as their blur."""
    shape = numbers.layout.crop.height, numbers.layout.crop.width
    own = reach_of(numbers.blurs, shape)
    if recipe.mask.pairs_per_mask == 1:
        return own
    if numbers.reach_px == NOT_RECORDED:
        raise ShardError(
            "it shares its fill with other pairs, and its schema version did not record how far that reaches; "
            "it can't be rendered alone"
        )
    if not own <= numbers.reach_px <= _MOST_REACH_PX + 3 * max(shape):
        raise ShardError(f"column reach_px is {numbers.reach_px}, its own blur reaches {own} px; impossible")
    return numbers.reach_px


# Compare --------------------------------------------------------------------------------------------------------------


def _differences(made: Pair, row: dict[str, Any], shard: Shard, place: int, storage: StorageParams) -> Iterator[str]:
    """What differs between a pair as it is now and as it is stored."""
    stored, codec = encode_image(made.image, storage)
    if shard.stored("image", place) != stored:
        yield f"image: {_apart(shard.image(place), _opened(stored, codec, made.image))}"
    if shard.stored("mask", place) != encode_mask(made.mask):
        yield f"mask: {_apart(shard.mask(place), made.mask)}"
    for name in sorted({*shard.targets, *made.targets}):
        if name not in shard.targets or name not in made.targets:
            yield f"target {name}: {'there, not' if name in shard.targets else 'not there, but'} made now"
        elif shard.stored(name, place) != encode_target(name, made.targets[name]):
            yield f"target {name}: {_apart(shard.target(name, place), made.targets[name])}"
    lender = {"mask_photo": row["mask_photo"]} if "other-photo" in (row["mask_kind"], row["second_mask_kind"]) else {}
    about = {"codec": codec, "dtype": made.image.dtype.name, "channels": made.image.shape[2]}
    yield from _other_columns(made.provenance | lender | about, row)


def _opened(stored: bytes, codec: str, image: np.ndarray) -> np.ndarray:
    return decode_image(np.frombuffer(stored, np.uint8), codec, image.shape, image.dtype.name)


def _apart(there: np.ndarray, now: np.ndarray) -> str:
    """How far two images, masks or targets are from each other."""
    if there.shape != now.shape or there.dtype != now.dtype:
        return f"{there.shape} {there.dtype} there, {now.shape} {now.dtype} now"
    differ = there != now
    if not differ.any():
        return "the same pixels in other bytes"
    share = differ.reshape(*differ.shape[:2], -1).any(axis=2).mean()
    most = np.abs(there.astype(float) - now.astype(float)).max()
    return f"{share:.2%} of its pixels differ, by {most:.4g} at most"


def _other_columns(now: dict[str, Any], row: dict[str, Any]) -> Iterator[str]:
    known = {"pair", "origin", "origin_pair"}  # checked already: a derived data set numbers its pairs anew
    if row["reach_px"] == NOT_RECORDED:
        known.add("reach_px")
    for name, value in now.items():
        if name not in known and row[name] != value:
            yield f"column {name}: {row[name]!s:.60} there, {value!s:.60} now"
