"""What a data set is to be, checked: the arguments, what lies in its folder already, and what is left to make."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import joblib

from blurgen.dataset.claiming import refuse_difference
from blurgen.dataset.manifest import build_versions, first_difference, recipe_holds
from blurgen.dataset.receipts import finished_receipt
from blurgen.errors import ArgumentError, OutputError, RecipeError
from blurgen.plan import ShardTask, default_pairs_per_shard, plan
from blurgen.recipe import Recipe, load_recipe
from blurgen.regions import default_cache
from blurgen.shards.format import MAX_PAIRS, MAX_SHARDS, SCHEMA_VERSION
from blurgen.sources import Source, open_source
from blurgen.survey import SurveyedPhoto

MAX_N = 20_000_000
"""Most pairs of one data set: the plan is held in memory."""


@dataclass(frozen=True)
class Order:
    """What is asked for; ``take_order`` makes it."""

    source: Source
    n: int
    out: Path
    recipe: Recipe
    seed: int
    workers: int
    pairs_per_shard: int | None
    cache: Path

    @property
    def identity(self) -> dict:
        """What the manifest says of it."""
        asked = {
            "schema_version": SCHEMA_VERSION,
            "pairs": self.n,
            "seed": self.seed,
            "recipe": self.recipe.model_dump(mode="json"),
            "source": self.source.name,
            "split": self.source.split,
        }
        return asked | ({"pairs_per_shard": self.pairs_per_shard} if self.pairs_per_shard else {})


@dataclass(frozen=True)
class Job:
    """What an order comes to: ``receipts`` of the shards that are there, ``left``, the tasks of those that are not."""

    manifest: dict
    receipts: dict[int, dict]
    left: list[ShardTask]
    finished: bool
    """Whether all is there, manifest and recipe.toml too."""

    @property
    def shards(self) -> int:
        """How many there will be."""
        return len(self.receipts) + len(self.left)


def take_order(
    source: Source | str,
    n: int,
    out: str | Path,
    *,
    recipe: Recipe | str | None,
    seed: int,
    workers: int | None,
    pairs_per_shard: int | None,
    cache: str | Path | None,
    **source_options: Any,
) -> Order:
    """Check the arguments of ``make_dataset`` and fill in what was left out. Nothing is written."""
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(*([recipe] if recipe else []))
    workers = joblib.cpu_count() if workers is None else workers
    n, seed, workers = _whole("n", n), _whole("seed", seed), _whole("workers", workers)
    pairs_per_shard = None if pairs_per_shard is None else _whole("pairs per shard", pairs_per_shard)
    check_numbers(n, seed, workers, pairs_per_shard)
    if isinstance(source, str):
        source = open_source(source, **source_options, **recipe_options(recipe))
    cache = Path(cache or default_cache()).absolute()
    return Order(source, n, Path(out).absolute(), recipe, seed, workers, pairs_per_shard, cache)


def recipe_options(recipe: Recipe) -> dict[str, bool]:
    """What ``open_source`` has to know of a recipe."""
    return {"with_objects": recipe.mask.needs_objects, "arrays": recipe.photo.pixels == "native"}


def lay_out(
    order: Order, former: dict | None, photos: list[SurveyedPhoto], quarantined: list[dict], surely: bool = True
) -> Job:
    """Share the pairs out and see what is there already.

    Unless ``surely``, the photos are not yet known well enough to be compared with those of ``former``.

    Raises
    ------
    BlurgenError
        ArgumentError, RecipeError, SourceError: this can't be made. OutputError: the folder holds something else.
    """
    _check_raw(photos, order.recipe)
    per_shard = order.pairs_per_shard or (former or {}).get("pairs_per_shard")
    per_shard = per_shard or default_pairs_per_shard(order.n, order.recipe, photos)
    _check_shards(order.n, per_shard)
    found = {"photos": [photo.inventory() for photo in photos], "quarantined": quarantined}
    manifest = order.identity | {"pairs_per_shard": per_shard} | found
    if former:
        refuse_difference(order.out, former, manifest if surely else {"pairs_per_shard": per_shard})
    tasks = plan(photos, order.n, per_shard, order.recipe, order.seed, order.cache, order.out)
    receipts = {task.index: finished_receipt(order.out, task.index, _expected(task, former)) for task in tasks}
    left = [task for task in tasks if receipts[task.index] is None]
    finished = not left and _is_whole(order.out, former)
    if not finished:
        _refuse_other_build(order.out, former, left, len(tasks))
    return Job(manifest, {index: receipt for index, receipt in receipts.items() if receipt}, left, finished)


# Checks ---------------------------------------------------------------------------------------------------------------


def _whole(name: str, value: Any) -> int:
    """A plain int, whatever kind of whole number it came as."""
    try:
        if isinstance(value, bool):
            raise TypeError
        return operator.index(value)
    except TypeError:
        raise ArgumentError(f"{name} is {value!r:.40}: give a whole number") from None


def check_numbers(n: int, seed: int, workers: int, pairs_per_shard: int | None) -> None:
    """Refuse numbers out of their range (ArgumentError)."""
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


def _expected(task: ShardTask, former: dict | None) -> dict:
    """What the receipt of a shard must say for the shard to be kept."""
    expected = {"pairs": len(task.pairs), "seed": task.seed, "recipe_digest": task.recipe.digest}
    if former and former["complete"]:
        expected["sha256"] = former["shards"][task.index]["sha256"]
    return expected


def _is_whole(out: Path, former: dict | None) -> bool:
    """Whether manifest and recipe.toml are already what they will be; they are not written again then."""
    return bool(former and former["complete"]) and recipe_holds(out, former)


def _refuse_other_build(out: Path, former: dict | None, left: list[ShardTask], total: int) -> None:
    """Shards are byte-identical for one build of the libraries only, so one data set is made by one build."""
    if former and len(left) < total:
        difference = first_difference(former["build"], build_versions())
        if difference:
            raise OutputError(f"{out}: begun with another build: {difference}; use that one, or choose another --out")
