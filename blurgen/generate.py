"""Photos in, shards out: survey the photos, plan the pairs, let workers make the shards, resume."""

from __future__ import annotations

import operator
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from itertools import groupby
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from tqdm import tqdm

from blurgen.dataset.manifest import build_versions, first_difference, read_manifest, write_manifest
from blurgen.dataset.receipts import finished_receipt
from blurgen.engines import in_parallel, is_quiet, single_threaded
from blurgen.errors import ArgumentError, OutputError, PhotoError, RecipeError, SourceError
from blurgen.files import LOCK_NAME, TEMPORARY_PREFIX, locked, make_folder, sha256, sha256_file, sweep
from blurgen.plan import SPARE_PHOTOS, ShardTask, default_pairs_per_shard, plan
from blurgen.proposals import Proposals
from blurgen.recipe import Recipe, load_recipe
from blurgen.regions import RegionCache, default_cache, find_regions
from blurgen.scene import REASONS
from blurgen.shards.format import MANIFEST_NAME, MAX_PAIRS, MAX_SHARDS, RECIPE_NAME, SCHEMA_VERSION
from blurgen.shards.reader import is_file
from blurgen.shards.writer import ShardBuilder
from blurgen.sources import Source, decode, open_source
from blurgen.survey import TOO_SOFT, SurveyedPhoto, survey
from blurgen.synthesis import Pair, Studio

MAX_N = 20_000_000
"""Most pairs of one data set: the plan is held in memory."""


@dataclass(frozen=True)
class Summary:
    """What a run did. Seconds, rates and ``pairs_made`` are of this run alone, the rest is of the whole data set.

    ``survey_seconds`` went into looking at the photos and finding their regions, ``seconds`` into making pairs.
    """

    out: str
    pairs: int
    pairs_made: int
    shards: int
    photos: int
    quarantined: list[dict]
    rejected: dict[str, int]
    replaced: int
    upscaled: int
    bytes: int
    workers: int
    survey_seconds: float
    seconds: float

    @property
    def pairs_per_second_per_core(self) -> float:
        """Of the generation stage, 0 where nothing was left to make."""
        return self.pairs_made / self.seconds / min(self.workers, joblib.cpu_count()) if self.pairs_made else 0.0

    @property
    def too_soft(self) -> int:
        """How many of the quarantined photos are not as sharp as the recipe wants."""
        return sum(one["reason"].startswith(TOO_SOFT) for one in self.quarantined)

    to_dict = asdict


def make_dataset(
    source: Source | str,
    n: int,
    out: str | Path = "shards",
    *,
    recipe: Recipe | str | None = None,
    seed: int = 0,
    workers: int | None = None,
    pairs_per_shard: int | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
    **source_options: Any,
) -> Summary:
    """Make a data set of ``n`` pairs in the folder ``out``, or go on with one that was interrupted.

    Parameters
    ----------
    source : Source or str
        The photos, or the name of a source (sample, voc, coco, folder); ``source_options`` go to ``open_source``.
    recipe : Recipe, str, optional
        What is made; a name or file goes to ``load_recipe``.
    workers : int, optional
        Processes; the number of cores if not given. Changes nothing in the result.
    pairs_per_shard : int, optional
        1000 if not given, fewer for small sets and large pairs.
    cache : path, optional
        Where regions are kept between runs; see ``regions.default_cache``.

    Raises
    ------
    BlurgenError
        ArgumentError, RecipeError, SourceError, OutputError or WorkerError. What is finished is kept.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(*([recipe] if recipe else []))
    workers = joblib.cpu_count() if workers is None else workers
    n, seed, workers = _whole("n", n), _whole("seed", seed), _whole("workers", workers)
    pairs_per_shard = None if pairs_per_shard is None else _whole("pairs per shard", pairs_per_shard)
    _check_numbers(n, seed, workers, pairs_per_shard)
    if isinstance(source, str):
        source = open_source(source, **source_options, **recipe_options(recipe))
    out, cache = Path(out).absolute(), Path(cache or default_cache()).absolute()
    asked = {
        "schema_version": SCHEMA_VERSION,
        "pairs": n,
        "seed": seed,
        "recipe": recipe.model_dump(mode="json"),
        "source": source.name,
    }
    asked["split"] = source.split
    if pairs_per_shard:
        asked["pairs_per_shard"] = pairs_per_shard
    _claim(out)
    with locked(out), single_threaded():
        sweep(out)
        former = read_manifest(out) if is_file(out / MANIFEST_NAME) else None
        if former:
            _refuse_difference(out, {key: former.get(key) for key in asked}, asked)
        begun = time.perf_counter()
        photos, quarantined = survey(source, recipe, cache, workers, progress)
        surveyed = time.perf_counter()
        _check_raw(photos, recipe)
        per_shard = pairs_per_shard or (former or {}).get("pairs_per_shard")
        per_shard = per_shard or default_pairs_per_shard(n, recipe, photos)
        _check_shards(n, per_shard)
        manifest = _new_manifest(asked, per_shard, photos, quarantined)
        if former:
            _refuse_difference(out, {key: former.get(key) for key in manifest}, manifest)
        tasks = plan(photos, n, per_shard, recipe, seed, cache, out)
        receipts = {task.index: finished_receipt(out, task.index, _expected(task, former)) for task in tasks}
        left = [task for task in tasks if receipts[task.index] is None]
        finished = not left and _is_whole(out, former)
        if not finished:
            _refuse_other_build(out, former, left, len(tasks))
            write_manifest(out, recipe, manifest, [])
        started = time.perf_counter()
        receipts |= {receipt["shard"]: receipt for receipt in _make_shards(left, len(tasks), n, workers, progress)}
        seconds = time.perf_counter() - started
        ordered = [receipts[task.index] for task in tasks]
        if not finished:
            write_manifest(out, recipe, manifest, ordered)
    times = {"survey_seconds": surveyed - begun, "seconds": seconds}
    return _summary(out, manifest, ordered, pairs_made=sum(len(task.pairs) for task in left), workers=workers, **times)


def recipe_options(recipe: Recipe) -> dict[str, bool]:
    """What ``open_source`` has to know of a recipe."""
    return {"with_objects": recipe.mask.needs_objects, "arrays": recipe.photo.pixels == "native"}


def preview_pairs(
    source: Source,
    n: int,
    recipe: Recipe,
    *,
    seed: int = 0,
    cache: str | Path | None = None,
    workers: int | None = None,
) -> list[Pair]:
    """``n`` pairs from evenly spaced photos of a source, in memory: what ``make_dataset`` would do, before it does."""
    workers = joblib.cpu_count() if workers is None else workers
    _check_numbers(n, seed, workers, None)
    places = np.linspace(0, len(source.photos) - 1, min(n, len(source.photos))).round().astype(int)
    some = replace(source, photos=tuple(source.photos[place] for place in places))
    cache = Path(cache or default_cache()).absolute()
    with single_threaded():
        photos, _ = survey(some, recipe, cache, workers, progress=True)
        [task] = plan(photos, n, n, recipe, seed, cache, cache)
        return sorted((made for made, _ in shard_pairs(task)), key=lambda made: made.provenance["pair"])


def _whole(name: str, value: Any) -> int:
    """A plain int, whatever kind of whole number it came as."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ArgumentError(f"{name} is {value!r:.40}: give a whole number") from None


def _check_numbers(n: int, seed: int, workers: int, pairs_per_shard: int | None) -> None:
    if n < 1:
        raise ArgumentError(f"n is {n}: give the number of pairs to make, 1 or more")
    if n > MAX_N:
        raise ArgumentError(f"n is {n}: a data set holds at most {MAX_N} pairs; make several, with different seeds")
    if not 0 <= seed < 2**63:
        raise ArgumentError(f"seed is {seed}: give a number from 0 to 2**63 - 1")
    if workers < 1:
        raise ArgumentError(f"workers is {workers}: give 1 or more")
    if pairs_per_shard is not None:
        if not 1 <= pairs_per_shard <= MAX_PAIRS:
            raise ArgumentError(f"pairs per shard is {pairs_per_shard}: give 1 to {MAX_PAIRS}")
        _check_shards(n, pairs_per_shard)


def _check_shards(n: int, per_shard: int) -> None:
    if -(-n // per_shard) > MAX_SHARDS:
        raise ArgumentError(
            f"n is {n}: at {per_shard} pairs per shard that is over {MAX_SHARDS} shards; give fewer or more"
        )


def _check_raw(photos: list[SurveyedPhoto], recipe: Recipe) -> None:
    """Refuse photos of several kinds where one array has to hold them all."""
    kinds = sorted({f"{photo.dtype} x {photo.channels}" for photo in photos})
    if recipe.storage.codec == "raw" and len(kinds) > 1:
        raise RecipeError(
            f'storage.codec "raw" holds images of one kind, these photos have {", ".join(kinds[:4])}; use "png"'
        )


def _claim(out: Path) -> None:
    """Take an empty folder or one of ours; anything else is somebody's and stays as it is."""
    make_folder(out)
    try:
        inside = [path.name for path in out.iterdir() if not path.name.startswith((TEMPORARY_PREFIX, LOCK_NAME))]
    except OSError as error:
        raise OutputError(f"{out}: can't be read ({error.strerror}); choose another --out") from None
    if inside and MANIFEST_NAME not in inside:
        raise OutputError(f"{out}: not empty and not a blurgen data set (it holds {inside[0]}); choose another --out")


def _refuse_difference(out: Path, former: dict, asked: dict) -> None:
    difference = first_difference(former, asked)
    if difference:
        raise OutputError(f"{out}: holds a data set made with another {difference}; choose another --out")


def _expected(task: ShardTask, former: dict | None) -> dict:
    """What the receipt of a shard must say for the shard to be kept."""
    expected = {"pairs": len(task.pairs), "seed": task.seed, "recipe_digest": task.recipe.digest}
    if former and former["complete"]:
        expected["sha256"] = former["shards"][task.index]["sha256"]
    return expected


def _is_whole(out: Path, former: dict | None) -> bool:
    """Whether manifest and recipe.toml are already what they will be; they are not written again then."""
    path = out / RECIPE_NAME
    try:
        return bool(former and former["complete"]) and sha256_file(path) == former["recipe_toml_sha256"]
    except OSError:
        return False


def _refuse_other_build(out: Path, former: dict | None, left: list[ShardTask], total: int) -> None:
    """Shards are byte-identical for one build of the libraries only, so one data set is made by one build."""
    if former and len(left) < total:
        difference = first_difference(former["build"], build_versions())
        if difference:
            raise OutputError(f"{out}: begun with another build: {difference}; use that one, or choose another --out")


# Make shards ----------------------------------------------------------------------------------------------------------


def _make_shards(tasks: list[ShardTask], total: int, n: int, workers: int, progress: bool) -> Iterator[dict]:
    left = sum(len(task.pairs) for task in tasks)
    with tqdm(total=n, initial=n - left, desc="pairs", unit="pair", disable=is_quiet(progress)) as bar:
        for receipt in in_parallel(make_shard, ((task,) for task in tasks), workers, len(tasks)):
            bar.update(receipt["pairs"])
            yield receipt


def make_shard(task: ShardTask) -> dict:
    """Make and publish one shard; returns its receipt."""
    builder = ShardBuilder(task.recipe.storage, task.photo_id_bytes)
    counts = Counter()
    for made, replaced in shard_pairs(task):
        builder.add(made.image, made.mask, made.provenance, made.targets)
        counts.update(made.rejected)
        counts["replaced"] += replaced
        counts["upscaled"] += made.provenance["height"] > made.provenance["crop_height"]
    rejected = {reason: counts[reason] for reason in REASONS}
    receipt = {"rejected": rejected, "replaced": counts["replaced"], "upscaled": counts["upscaled"]}
    return builder.publish(task.out, task.index, receipt | {"recipe_digest": task.recipe.digest, "seed": task.seed})


def shard_pairs(task: ShardTask) -> Iterator[tuple[Pair, bool]]:
    """Make the pairs of a shard: (Pair, made from a spare photo). A photo is decoded once for all of its pairs."""
    donors = dict(zip(task.pairs, task.donors, strict=True))
    work = sorted(zip(task.photos, task.pairs, strict=True), key=lambda one: (one[0].photo.id, one[1]))
    for photo, group in groupby(work, key=lambda one: one[0]):
        for pair, made in _pairs_of(photo, {pair: donors[pair] for _, pair in group}, task):
            yield (made, False) if isinstance(made, Pair) else (_from_a_spare(pair, donors[pair], task), True)


def _pairs_of(
    surveyed: SurveyedPhoto, pairs: dict[int, SurveyedPhoto | None], task: ShardTask
) -> Iterator[tuple[int, Pair | PhotoError]]:
    """Make pairs, given with their donors, from one photo: (number, Pair), or why no draw was good."""
    pixels = _pixels(surveyed, task)
    studio = Studio(
        pixels, task.recipe, {kind: _regions(kind, surveyed, task, pixels) for kind in surveyed.region_keys}
    )
    identity = {"photo": surveyed.photo.id, "photo_sha256": surveyed.sha256}
    for pair, donor in pairs.items():
        try:
            made = studio.make(task.seed, pair, donor and lru_cache(partial(_lent, donor, task)))
        except PhotoError as error:
            yield pair, error
            continue
        kinds = (made.provenance["mask_kind"], made.provenance["second_mask_kind"])
        lender = {"mask_photo": donor.photo.id} if "other-photo" in kinds else {}
        yield pair, replace(made, provenance=made.provenance | identity | lender)


def _pixels(surveyed: SurveyedPhoto, task: ShardTask) -> np.ndarray:
    """The photo, decoded; SourceError if it is not what it was when it was surveyed."""
    try:
        data = surveyed.photo.read()
    except PhotoError as error:
        raise SourceError(f"{surveyed.photo.path}: {error}; put it back, or choose another --out") from None
    if sha256(data) != surveyed.sha256:
        raise SourceError(f"{surveyed.photo.path}: changed while it was in use; put it back, or choose another --out")
    return decode(data, task.recipe.photo.pixels)


def _regions(kind: str, surveyed: SurveyedPhoto, task: ShardTask, pixels: np.ndarray | None = None) -> Proposals:
    """The regions of one kind: from the cache, or found again where that has lost them."""
    cached = RegionCache(task.cache).get(surveyed.region_keys[kind])
    if cached is not None:
        return cached
    pixels = _pixels(surveyed, task) if pixels is None else pixels
    return find_regions(kind, surveyed.photo, pixels, task.recipe)


def _lent(donor: SurveyedPhoto, task: ShardTask) -> Proposals:
    """The regions that a photo lends to another: of the first kind that was looked for."""
    return _regions(next(iter(donor.region_keys)), donor, task)


def _from_a_spare(pair: int, donor: SurveyedPhoto | None, task: ShardTask) -> Pair:
    why = ""
    for spare in (one for one in task.spares_of(pair) if one != donor):
        for _, made in _pairs_of(spare, {pair: donor}, task):
            if isinstance(made, Pair):
                return made
            why = f" (the last: {made})"
    raise SourceError(
        f"pair {pair}: none of {1 + SPARE_PHOTOS} photos gives a mask that the recipe accepts{why}; widen "
        "mask.area_range (area), blur more (single-class), lower mask.least_sharpness (soft), or use other photos"
    )


# Manifest and summary -------------------------------------------------------------------------------------------------


def _new_manifest(asked: dict, per_shard: int, photos: list[SurveyedPhoto], quarantined: list[dict]) -> dict:
    inventory = [photo.inventory() for photo in photos]
    return {**asked, "pairs_per_shard": per_shard, "photos": inventory, "quarantined": quarantined}


def _summary(out: Path, manifest: dict, receipts: list[dict], **of_this_run: float) -> Summary:
    rejected = sum((Counter(receipt["rejected"]) for receipt in receipts), Counter())
    return Summary(
        out=os.path.relpath(out) if out.is_relative_to(Path.cwd()) else str(out),
        pairs=manifest["pairs"],
        shards=len(receipts),
        photos=len(manifest["photos"]),
        quarantined=manifest["quarantined"],
        rejected=dict(sorted(rejected.items())),
        replaced=sum(receipt["replaced"] for receipt in receipts),
        upscaled=sum(receipt["upscaled"] for receipt in receipts),
        bytes=sum(receipt["bytes"] for receipt in receipts),
        **of_this_run,
    )
