"""Check a data set: the manifest, every receipt, every shard, every pair."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

from blurgen.dataset.documents import MAKE_AGAIN, REPLACE
from blurgen.dataset.manifest import read_manifest
from blurgen.dataset.receipts import read_receipt
from blurgen.errors import ShardError
from blurgen.files import sha256_file
from blurgen.shards.format import MANIFEST_NAME, RECIPE_NAME, SHARD_NAME
from blurgen.shards.reader import Shard, is_file


def verify(folder: str | Path) -> Iterator[tuple[str, list[str]]]:
    """Check every shard of a data set, one after the other: yields (shard name, faults).

    Checks the manifest's digest, each shard's sha256 and counts against receipt and manifest, and decodes every pair.
    Raises ShardError where there is no readable manifest.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    yield MANIFEST_NAME, _manifest_faults(folder, manifest)
    firsts = accumulate((shard["pairs"] for shard in manifest["shards"]), initial=0)
    for index, (listed, first) in enumerate(zip(manifest["shards"], firsts, strict=False)):
        try:
            yield listed["name"], _shard_faults(folder, index, listed, first)
        except ShardError as error:
            yield listed["name"], [str(error)]
        except OSError as error:
            yield listed["name"], [f"{folder / listed['name']}: can't be read ({error.strerror})"]


def _manifest_faults(folder: Path, manifest: dict) -> list[str]:
    if not manifest["complete"]:
        return [f"{folder}: not finished; {MAKE_AGAIN}"]
    faults = []
    path = folder / RECIPE_NAME
    try:
        if sha256_file(path) != manifest["recipe_toml_sha256"]:
            faults.append(f"{path}: changed or damaged; {REPLACE}")
    except OSError as error:
        faults.append(f"{path}: can't be read ({error.strerror}); {REPLACE}")
    known = {SHARD_NAME.format(index) for index in range(len(manifest["shards"]))}
    extra = sorted(path.name for path in folder.glob("shard-*.h5") if path.name not in known)
    return faults + [f"{folder / name}: not in the manifest" for name in extra]


def _shard_faults(folder: Path, index: int, listed: dict, first: int) -> list[str]:
    path = folder / listed["name"]
    receipt = read_receipt(folder, index)
    if not is_file(path):
        return [f"{path}: missing; {MAKE_AGAIN}"]
    digest = sha256_file(path)
    if digest != receipt["sha256"] or digest != listed["sha256"]:
        return [
            f"{path}: its sha256 is {digest[:12]}, the receipt says {receipt['sha256'][:12]} and the manifest "
            f"{listed['sha256'][:12]}; {REPLACE}"
        ]
    with Shard(path) as shard:
        if not len(shard) == receipt["pairs"] == listed["pairs"]:
            return [f"{path}: holds {len(shard)} pairs, the receipt says {receipt['pairs']}"]
        if shard.provenance["pair"][0] != first:
            return [f"{path}: begins with pair {shard.provenance['pair'][0]}, {first} is due"]
        faults = (_pair_fault(shard, place) for place in range(len(shard)))
        return [f"{path}: pair {place} of this shard {fault}" for place, fault in enumerate(faults) if fault][:1]


def _pair_fault(shard: Shard, place: int) -> str | None:
    """Decode a pair, and see whether its parts agree."""
    shard.image(place)
    mask, row = shard.mask(place), shard.provenance[place]
    if mask.mean() != row["blurred_share"] or row["second_share"] > row["blurred_share"]:
        return f"is {mask.mean():.1%} blurred, its provenance says {row['blurred_share']:.1%}"
    for name in shard.targets:
        target = shard.target(name, place)
        if name != "unknown" and ((target > 0) != mask).any():
            return f"has another {name} than its mask allows"
    return None
