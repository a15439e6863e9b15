"""What making a data set would come to: photos, bytes and minutes, found out by making a little of it in memory."""

from __future__ import annotations

import time
from dataclasses import asdict, astuple, dataclass, replace
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from blurgen.dataset.claiming import read_former, refuse_foreign
from blurgen.engines import Died, in_parallel, single_threaded
from blurgen.errors import SourceError
from blurgen.files import shown
from blurgen.generate import shard_pairs, without_the_blamed
from blurgen.order import Job, Order, lay_out, take_order
from blurgen.plan import ShardTask, evenly_spread, plan
from blurgen.recipe import Recipe
from blurgen.shards.writer import ShardBuilder
from blurgen.sources import Source, decode
from blurgen.survey import SurveyedPhoto, survey

SAMPLED_PHOTOS = 8
PAIRS_PER_PHOTO = 3


@dataclass(frozen=True)
class Expectation:
    """What ``make_dataset`` would do. ``bytes`` and ``minutes`` are of what is left to make.

    Seconds are those of one core. ``photos_to_search`` of the ``photos`` have no regions in the cache yet: some of
    them may turn out to offer none, and be quarantined too.
    """

    out: str
    pairs: int
    pairs_left: int
    shards: int
    shards_left: int
    photos: int
    photos_to_search: int
    quarantined: list[dict]
    bytes: int
    minutes: float
    workers: int
    bytes_per_pair: float
    seconds_per_pair: float
    seconds_per_photo: float
    """To look for regions in a photo, 0 where none has to be searched."""

    to_dict = asdict


@dataclass(frozen=True)
class _Trial:
    """What a few pairs took: bytes of a pair and of an empty shard, seconds to decode a photo and to make a pair."""

    pair_bytes: float
    shard_bytes: float
    decode_seconds: float
    pair_seconds: float


def expect_dataset(
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
) -> Expectation:
    """Say what ``make_dataset`` with the same arguments would come to. Writes nothing into ``out``.

    Every photo is decoded once; in up to 8 of those that are not in the cache, regions are found (and kept there), and
    24 pairs are made in memory. Raises what ``make_dataset`` would raise, as far as that can be known.
    """
    options = {"recipe": recipe, "seed": seed, "workers": workers, "pairs_per_shard": pairs_per_shard, "cache": cache}
    order = take_order(source, n, out, **options, **source_options)
    if order.out.exists():
        refuse_foreign(order.out)
    former = read_former(order.out, order.identity)
    with single_threaded():
        begun = time.perf_counter()
        photos, quarantined = survey(order.source, order.recipe, order.cache, order.workers, progress, find=False)
        look_seconds = time.perf_counter() - begun
        try:
            found, unusable, search_seconds = _search(order, _sample(photos))
        except SourceError:  # none of the sample is of use: only a look at all can tell whether others are
            found, unusable, search_seconds = _search(order, photos)
        quarantined = sorted(quarantined + unusable, key=lambda one: one["id"])
        known = {photo.photo.id: photo for photo in found} | {one["id"]: None for one in unusable}
        photos = [photo for photo in (known.get(photo.photo.id, photo) for photo in photos) if photo]
        job = lay_out(order, former, photos, quarantined, surely=all(photo.searched for photo in photos))
        trial = _tried(order, found, job) if job.left else _Trial(0, 0, 0, 0)
    return _expected(order, job, photos, trial, look_seconds, search_seconds)


def _sample(photos: list[SurveyedPhoto]) -> list[SurveyedPhoto]:
    """Photos to search, and of the others as many as are missing, two at least: the new ones may all be useless."""
    new, known = ([photo for photo in photos if photo.searched == searched] for searched in (False, True))
    new = [new[place] for place in evenly_spread(SAMPLED_PHOTOS, len(new))]
    rest = max(SAMPLED_PHOTOS - len(new), 2)
    return new + [known[place] for place in evenly_spread(rest, len(known))]


def _search(order: Order, sample: list[SurveyedPhoto]) -> tuple[list[SurveyedPhoto], list[dict], float]:
    """Find the regions of a few photos: (usable, unusable, seconds of a core for each photo)."""
    begun = time.perf_counter()
    source = replace(order.source, photos=tuple(photo.photo for photo in sample))
    found, unusable = survey(source, order.recipe, order.cache, order.workers, progress=False)
    at_once = min(order.workers, joblib.cpu_count(), len(sample))
    return found, unusable, (time.perf_counter() - begun) * at_once / len(sample)


def _tried(order: Order, photos: list[SurveyedPhoto], job: Job) -> _Trial:
    """Make a few pairs of ``photos`` in memory, the same ones on every core at once, since cores share memory."""
    count = PAIRS_PER_PHOTO * len(photos)
    [task] = plan(photos, count, count, order.recipe, order.seed, order.cache, order.out)
    task = replace(task, photo_id_bytes=job.left[0].photo_id_bytes)
    cores = min(order.workers, joblib.cpu_count())
    trials = list(in_parallel(_try, [(task,)] * cores, order.workers, cores))
    while died := [trial for trial in trials if isinstance(trial, Died)]:
        trials = list(in_parallel(_try, [(without_the_blamed(died[0]),)] * cores, order.workers, cores))
    return _Trial(*np.mean([astuple(trial) for trial in trials], axis=0).tolist())


def _try(task: ShardTask) -> _Trial:
    distinct = {photo.photo.id: photo.photo for photo in task.photos}
    for _ in range(2):  # the second time as fast as below, where this is taken off again
        begun = time.perf_counter()
        for photo in distinct.values():
            decode(photo.read(), task.recipe.photo.pixels)
        decoded = time.perf_counter()
    builder = ShardBuilder(task.recipe.storage, task.photo_id_bytes)
    for made, _ in shard_pairs(task):
        builder.add(made.image, made.mask, made.provenance, made.targets)
    seconds, count = time.perf_counter() - decoded, len(task.pairs)
    pairs = sum(len(blob) + 8 for blobs, _ in builder.rows.values() for blob in blobs.values())  # 8 of its offset
    pairs += builder.dtype.itemsize * count
    return _Trial(
        pair_bytes=pairs / count,
        shard_bytes=len(builder.to_bytes()) - pairs,
        decode_seconds=(decoded - begun) / len(distinct),
        pair_seconds=max(seconds - (decoded - begun), 0) / count,
    )


def _expected(
    order: Order, job: Job, photos: list[SurveyedPhoto], trial: _Trial, look_seconds: float, search_seconds: float
) -> Expectation:
    """Scale up what was measured. In each shard a photo is decoded once for all of its pairs."""
    pairs = sum(len(task.pairs) for task in job.left)
    decoded = sum(len({photo.photo.id for photo in task.photos}) for task in job.left)
    to_search = sum(not photo.searched for photo in photos)
    seconds_per_pair = trial.pair_seconds + trial.decode_seconds * decoded / max(pairs, 1)
    core_seconds = pairs * seconds_per_pair + to_search * search_seconds
    cores = min(order.workers, joblib.cpu_count())
    return Expectation(
        out=shown(order.out),
        pairs=order.n,
        pairs_left=pairs,
        shards=job.shards,
        shards_left=len(job.left),
        photos=len(photos),
        photos_to_search=to_search,
        quarantined=job.manifest["quarantined"],
        bytes=round(pairs * trial.pair_bytes + len(job.left) * trial.shard_bytes),
        minutes=(look_seconds + core_seconds / cores) / 60,
        workers=order.workers,
        bytes_per_pair=trial.pair_bytes,
        seconds_per_pair=seconds_per_pair,
        seconds_per_photo=search_seconds if to_search else 0.0,
    )
