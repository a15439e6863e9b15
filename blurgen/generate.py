"""Photos in, shards out: survey the photos, plan the pairs, let workers make the shards, resume."""

from __future__ import annotations

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

from blurgen.dataset.claiming import claim, read_former
from blurgen.dataset.manifest import write_manifest
from blurgen.dataset.receipts import all_quarantined
from blurgen.engines import KILLED, Died, in_parallel, is_quiet, single_threaded, working_on
from blurgen.errors import PhotoError, SourceError, WorkerError
from blurgen.files import locked, sha256, shown, sweep
from blurgen.order import check_numbers, lay_out, take_order
from blurgen.plan import SPARE_PHOTOS, ShardTask, plan
from blurgen.proposals import Proposals
from blurgen.recipe import Recipe
from blurgen.regions import RegionCache, default_cache, find_regions
from blurgen.scene import REASONS
from blurgen.shards.writer import ShardBuilder
from blurgen.sources import Source, decode
from blurgen.survey import TOO_SOFT, SurveyedPhoto, survey
from blurgen.synthesis import Pair, Studio

KILLS = "kills the process that makes pairs from it (a damaged file, or too little memory)"
"""Why a photo is quarantined that nothing was wrong with in the survey."""


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
    options = {"recipe": recipe, "seed": seed, "workers": workers, "pairs_per_shard": pairs_per_shard, "cache": cache}
    order = take_order(source, n, out, **options, **source_options)
    claim(order.out)
    with locked(order.out), single_threaded():
        sweep(order.out)
        former = read_former(order.out, order.identity)
        begun = time.perf_counter()
        photos, quarantined = survey(order.source, order.recipe, order.cache, order.workers, progress)
        surveyed = time.perf_counter()
        job = lay_out(order, former, photos, quarantined)
        if not job.finished:
            write_manifest(order.out, order.recipe, job.manifest, [])
        started = time.perf_counter()
        try:
            made = make_shards(job.left, order.n, order.workers, progress)
            receipts = job.receipts | {receipt["shard"]: receipt for receipt in made}
        finally:
            sweep(order.out)  # what workers that were killed have left behind
        seconds = time.perf_counter() - started
        receipts = [receipts[index] for index in range(job.shards)]
        if not job.finished:
            write_manifest(order.out, order.recipe, job.manifest, receipts)
    times = {"survey_seconds": surveyed - begun, "seconds": seconds}
    pairs_made = sum(len(task.pairs) for task in job.left)
    return _summary(order.out, job.manifest, receipts, pairs_made=pairs_made, workers=order.workers, **times)


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
    check_numbers(n, seed, workers, None)
    places = np.linspace(0, len(source.photos) - 1, min(n, len(source.photos))).round().astype(int)
    some = replace(source, photos=tuple(source.photos[place] for place in places))
    cache = Path(cache or default_cache()).absolute()
    with single_threaded():
        photos, _ = survey(some, recipe, cache, workers, progress=True)
        [task] = plan(photos, n, n, recipe, seed, cache, cache)
        return sorted((made for made, _ in shard_pairs(task)), key=lambda made: made.provenance["pair"])


# Make shards ----------------------------------------------------------------------------------------------------------


def make_shards(tasks: list[ShardTask], n: int, workers: int, progress: bool) -> Iterator[dict]:
    """Make what is left of ``n`` pairs: yields receipts. A shard that a photo stops each time is made without it."""
    left = sum(len(task.pairs) for task in tasks)
    with tqdm(total=n, initial=n - left, desc="pairs", unit="pair", disable=is_quiet(progress)) as bar:
        while tasks:
            stopped = []
            for result in in_parallel(make_shard, ((task,) for task in tasks), workers, len(tasks)):
                if isinstance(result, Died):
                    stopped.append(without_the_blamed(result))
                    continue
                bar.update(result["pairs"])
                yield result
            tasks = stopped


def without_the_blamed(died: Died) -> ShardTask:
    """The task again, without the photo it died at. WorkerError if there is none."""
    [task] = died.arguments
    if not died.working_on or died.working_on in task.avoided:
        raise WorkerError(KILLED)
    return task.without(died.working_on)


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
    receipt["quarantined"] = [{"id": one, "reason": KILLS} for one in sorted(task.avoided)]
    receipt |= {"recipe_digest": task.recipe.digest, "seed": task.seed}
    return builder.publish(task.out, task.index, receipt, task.sha256)


def shard_pairs(task: ShardTask) -> Iterator[tuple[Pair, bool]]:
    """Make the pairs of a shard: (Pair, made from a spare photo). A photo is decoded once for all of its pairs."""
    donors = dict(zip(task.pairs, task.donors, strict=True))
    work = sorted(zip(task.photos, task.pairs, strict=True), key=lambda one: (one[0].photo.id, one[1]))
    for photo, group in groupby(work, key=lambda one: one[0]):
        with working_on(photo.photo.id):
            for pair, made in _pairs_of(photo, {pair: donors[pair] for _, pair in group}, task):
                yield (made, False) if isinstance(made, Pair) else (_from_a_spare(pair, donors[pair], task), True)


def _pairs_of(
    surveyed: SurveyedPhoto, pairs: dict[int, SurveyedPhoto | None], task: ShardTask
) -> Iterator[tuple[int, Pair | PhotoError]]:
    """Make pairs, given with their donors, from one photo: (number, Pair), or why no draw was good."""
    if surveyed.photo.id in task.avoided:
        yield from ((pair, PhotoError(KILLS)) for pair in pairs)
        return
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
        raise SourceError(f"{surveyed.photo.path}: {error}; put it back, or start anew in another folder") from None
    if sha256(data) != surveyed.sha256:
        raise SourceError(
            f"{surveyed.photo.path}: changed while it was in use; put it back, or start anew in another folder"
        )
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
    with working_on(donor.photo.id):
        return _regions(next(iter(donor.region_keys)), donor, task)


def _from_a_spare(pair: int, donor: SurveyedPhoto | None, task: ShardTask) -> Pair:
    why = ""
    for spare in (one for one in task.spares_of(pair) if one != donor):
        with working_on(spare.photo.id):
            [(_, made)] = _pairs_of(spare, {pair: donor}, task)
        if isinstance(made, Pair):
            return made
        why = f" (the last: {made})"
    raise SourceError(
        f"pair {pair}: none of {1 + SPARE_PHOTOS} photos gives a mask that the recipe accepts{why}; widen "
        "mask.area_range (area), blur more (single-class), lower mask.least_sharpness (soft), or use other photos"
    )


# Summary --------------------------------------------------------------------------------------------------------------


def _summary(out: Path, manifest: dict, receipts: list[dict], **of_this_run: float) -> Summary:
    rejected = sum((Counter(receipt["rejected"]) for receipt in receipts), Counter())
    return Summary(
        out=shown(out),
        pairs=manifest["pairs"],
        shards=len(receipts),
        photos=len(manifest["photos"]),
        quarantined=all_quarantined(manifest, receipts),
        rejected=dict(sorted(rejected.items())),
        replaced=sum(receipt["replaced"] for receipt in receipts),
        upscaled=sum(receipt["upscaled"] for receipt in receipts),
        bytes=sum(receipt["bytes"] for receipt in receipts),
        **of_this_run,
    )
