"""Check a data set: the manifest, every receipt, every shard and, if asked for, every pair."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate, count
from pathlib import Path

import numpy as np

from blurgen.dataset.documents import COPY_AGAIN, REPLACE, read_json
from blurgen.dataset.manifest import again, origins_of, read_manifest
from blurgen.dataset.receipts import read_receipt
from blurgen.dataset.seal import SEAL_NAME, seal_faults
from blurgen.errors import ShardError
from blurgen.files import sha256_file
from blurgen.regions import damaged_regions
from blurgen.shards.format import MANIFEST_NAME, RECIPE_NAME, SHARD_NAME
from blurgen.shards.reader import Shard, is_file


def verify(
    folder: str | Path, *, deep: bool = False, workers: int | None = None, cache: str | Path | None = None
) -> Iterator[tuple[str, list[str]]]:
    """Check a data set: yields (name, faults) for manifest, seal, each shard in order and, if asked for, cache.

    Checks the manifest's digest, the seal of a frozen set, each shard's sha256 and counts against receipt and manifest,
    its structure and every row of its provenance. Memory does not grow with the data set.

    Parameters
    ----------
    deep : bool
        Decode every pair, too, and see whether image, mask, targets and provenance agree: what sha256 can't tell of
        a data set by an unknown maker. Takes some twenty times as long.
    workers : int, optional
        Threads; the number of cores if not given.
    cache : path, optional
        Check the cached regions of the data set's photos there, as far as there are any.

    Raises
    ------
    ShardError
        There is no readable manifest.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    yield MANIFEST_NAME, manifest_faults(folder, manifest)
    yield SEAL_NAME, seal_faults(folder, manifest)
    firsts = accumulate((shard["pairs"] for shard in manifest["shards"]), initial=0)
    check = _ShardCheck(folder, manifest, deep)
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    try:
        yield from pool.map(check, count(), manifest["shards"], firsts)
    finally:
        pool.shutdown(cancel_futures=True)
    if cache is not None:
        damaged = damaged_regions(Path(cache), manifest["photos"])
        yield "cache", [f"{path}: damaged; delete it, and the proposals are computed again" for path in damaged]


def manifest_faults(folder: Path, manifest: dict) -> list[str]:
    """What is wrong with and beside the manifest: spelling, not finished, recipe.toml, shards that it does not list."""
    if not manifest["complete"]:
        return [f"{folder}: not finished; {again(manifest)}"]
    faults = []
    try:
        read_json(folder / MANIFEST_NAME, COPY_AGAIN)
    except ShardError as error:
        faults.append(str(error))
    path = folder / RECIPE_NAME
    try:
        if "recipe_toml_sha256" in manifest and sha256_file(path) != manifest["recipe_toml_sha256"]:
            faults.append(f"{path}: changed or damaged; {REPLACE}")
    except OSError as error:
        faults.append(f"{path}: can't be read ({error.strerror}); {REPLACE}")
    known = {SHARD_NAME.format(index) for index in range(len(manifest["shards"]))}
    extra = sorted(path.name for path in folder.glob("shard-*.h5") if path.name not in known)
    return faults + [f"{folder / name}: not in the manifest" for name in extra]


class TableCheck:
    """Compares the provenance of shards with what the manifest says of pairs and photos."""

    def __init__(self, manifest: dict) -> None:
        self.original = "origins" not in manifest
        self.origin_pairs = np.array([origin["pairs"] for origin in origins_of(manifest)])
        self.photos = {(photo["id"].encode(), photo.get("sha256", "").encode()) for photo in manifest["photos"]}

    def fault(self, table: np.ndarray, first: int) -> str | None:
        """How the table of a shard, which begins with pair ``first``, contradicts the manifest; None if it does not."""
        if table["pair"][0] != first:
            return f"begins with pair {table['pair'][0]}, {first} is due"
        if table["origin"].max() >= len(self.origin_pairs):
            return f"names origin {table['origin'].max()}, the manifest has {len(self.origin_pairs)}"
        if self.original and (table["origin_pair"] != table["pair"]).any():
            return "holds pairs of another data set, though the manifest names none"
        if (table["origin_pair"] >= self.origin_pairs[table["origin"]]).any():
            return "holds a pair that its origin does not have"
        shown = set(zip(table["photo"].tolist(), table["photo_sha256"].tolist(), strict=True))
        if not shown <= self.photos:
            return f"shows the photo {min(shown - self.photos)[0].decode()}, which the manifest does not list"
        return None


class _ShardCheck:
    """Checks one shard after the other against the manifest, from any thread."""

    def __init__(self, folder: Path, manifest: dict, deep: bool) -> None:
        self.folder, self.deep, self.table = folder, deep, TableCheck(manifest)

    def __call__(self, index: int, listed: dict, first: int) -> tuple[str, list[str]]:
        """Name and faults of shard ``index``, which begins with pair ``first``."""
        try:
            return listed["name"], self._faults(index, listed, first)
        except ShardError as error:
            return listed["name"], [str(error)]
        except OSError as error:
            return listed["name"], [f"{self.folder / listed['name']}: can't be read ({error.strerror})"]

    def _faults(self, index: int, listed: dict, first: int) -> list[str]:
        path = self.folder / listed["name"]
        receipt = read_receipt(self.folder, index)
        if not is_file(path):
            return [f"{path}: missing; {REPLACE}"]
        digest = sha256_file(path)
        if digest != receipt["sha256"] or digest != listed["sha256"]:
            return [
                f"{path}: its sha256 is {digest[:12]}, the receipt says {receipt['sha256'][:12]} and the manifest "
                f"{listed['sha256'][:12]}; {REPLACE}"
            ]
        with Shard(path) as shard:
            if not len(shard) == receipt["pairs"] == listed["pairs"]:
                return [f"{path}: holds {len(shard)} pairs, the receipt says {receipt['pairs']}"]
            fault = self.table.fault(shard.provenance, first)
            if fault:
                return [f"{path}: {fault}"]
            faults = (_pair_fault(shard, place) for place in range(len(shard) if self.deep else 0))
            return [f"{path}: pair {place} of this shard {fault}" for place, fault in enumerate(faults) if fault][:1]


def _pair_fault(shard: Shard, place: int) -> str | None:
    """Decode a pair, and see whether its parts agree."""
    shard.image(place)
    targets = {name: shard.target(name, place) for name in shard.targets}
    return disagreement(shard.mask(place), shard.provenance[place], targets)


def disagreement(mask: np.ndarray, row: np.void | dict, targets: dict[str, np.ndarray]) -> str | None:
    """How a mask (H, W), bool, contradicts its provenance or its targets; None if it does not."""
    if mask.mean() != row["blurred_share"] or row["second_share"] > row["blurred_share"]:
        return f"is {mask.mean():.1%} blurred, its provenance says {row['blurred_share']:.1%}"
    for name, target in targets.items():
        if name != "unknown" and ((target > 0) != mask).any():
            return f"has another {name} than its mask allows"
    return None
