"""A folder of shards as one sequence of pairs."""

from __future__ import annotations

import operator
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from blurgen.dataset.manifest import again, origins_of, read_manifest
from blurgen.dataset.seal import refuse_broken_seal
from blurgen.errors import ArgumentError, RecipeError, ShardError
from blurgen.files import read_plain
from blurgen.recipe import Recipe, parse_recipe, recipe_from
from blurgen.shards.format import RECIPE_NAME
from blurgen.shards.reader import Shard
from blurgen.synthesis import Pair

MAX_OPEN_SHARDS = 250
"""Shards that a data set keeps open, unless its ``max_open`` is set."""


class Dataset:
    """``len(data)``, ``data[i]`` and iteration over Pairs; shards are opened when first used.

    Not checked against the sha256 of its shards: that is what ``verify`` is for.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        refuse_broken_seal(self.folder, self.manifest)
        if not self.manifest["complete"]:
            raise ShardError(f"{folder}: this data set is not finished; {again(self.manifest)}")
        self._ends = list(accumulate(shard["pairs"] for shard in self.manifest["shards"]))
        self._open: dict[int, Shard] = {}
        self.max_open = MAX_OPEN_SHARDS

    def __len__(self) -> int:
        return self._ends[-1]

    def __repr__(self) -> str:
        return f"<blurgen data set {str(self.folder)!r}: {len(self)} pairs>"

    def __getstate__(self) -> dict:
        """Open files stay behind, so that a copy can go to another process."""
        return self.__dict__ | {"_open": {}}

    def __getitem__(self, index: int) -> Pair:
        """Pair ``index``, or from the end if it is negative. Raises IndexError, and ShardError for a damaged pair."""
        shard, place = self.locate(operator.index(index))
        targets = {name: shard.target(name, place) for name in shard.targets}
        return Pair(shard.image(place), shard.mask(place), shard.row(place), targets=targets)

    def __iter__(self) -> Iterator[Pair]:
        return (self[index] for index in range(len(self)))

    def __enter__(self) -> Dataset:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all shards that were opened."""
        while self._open:
            self._open.popitem()[1].close()

    @property
    def recipe(self) -> Recipe:
        """The recipe this data set was made with; ArgumentError where there were several."""
        path = self.folder / RECIPE_NAME
        if "recipe_toml_sha256" not in self.manifest:
            count = len(origins_of(self.manifest))
            raise ArgumentError(f"{self.folder}: made from {count} data sets and has no {RECIPE_NAME}; use .recipes")
        try:
            return parse_recipe(read_plain(path), str(path))
        except (OSError, ValueError) as error:
            raise ShardError(f"{path}: can't be read ({getattr(error, 'strerror', error)})") from None

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """The recipe of each of its origins; a pair's column ``origin`` is the place. One for an original data set."""
        try:
            return tuple(
                recipe_from(origin["recipe"], f"{self.folder}, origin {number}")
                for number, origin in enumerate(origins_of(self.manifest))
            )
        except RecipeError as error:
            raise ShardError(f"{error}; take the blurgen that it was made with") from None

    def locate(self, index: int) -> tuple[Shard, int]:
        """The open shard that holds pair ``index``, and its place there. Raises as ``data[index]`` does."""
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"pair {index} of a data set of {len(self)}")
        number = bisect_right(self._ends, place)
        shard = self._open.get(number)
        if shard is None:
            shard = self._open[number] = self.open_shard(number)
            for first in list(self._open)[: -self.max_open]:
                self._open.pop(first, None)  # closed when nobody holds it: another thread may be reading from it
        return shard, place - (self._ends[number - 1] if number else 0)

    def open_shard(self, number: int) -> Shard:
        listed = self.manifest["shards"][number]
        shard = Shard(self.folder / listed["name"])
        if len(shard) != listed["pairs"]:
            shard.close()
            raise ShardError(f"{shard.path}: holds {len(shard)} pairs, the manifest says {listed['pairs']}")
        return shard


def open_dataset(folder: str | Path) -> Dataset:
    """Open a finished data set: ``open_dataset("shards")[17]`` is a Pair (image, mask, provenance).

    Raises ShardError where there is none, and later for a shard that is damaged or missing.
    """
    return Dataset(folder)
