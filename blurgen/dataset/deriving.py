"""Data sets made of the pairs of others: several in one, one by photo in three, or only some of its pairs."""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from blurgen.dataset.claiming import read_former
from blurgen.dataset.copying import Choice, Derived, Parent, carry_out, open_parents, plan_copy
from blurgen.dataset.expression import parse_condition
from blurgen.errors import ArgumentError, OutputError
from blurgen.files import sha256
from blurgen.shards.format import MANIFEST_NAME, MAX_PAIRS, MAX_SHARDS
from blurgen.shards.reader import is_file

SIDES = ("train", "val", "test")


# Merge ----------------------------------------------------------------------------------------------------------------


def merge(folders: Sequence[str | Path], out: str | Path, *, progress: bool = False) -> Derived:
    """One data set of the pairs of several, in the order of ``folders``.

    Raises
    ------
    BlurgenError
        ArgumentError for data sets that share pairs or hold other targets than each other; ShardError, OutputError.
    """
    if len(folders) < 2:
        raise ArgumentError("give two data sets or more to merge")
    out = Path(out).absolute()
    parents = open_parents(folders, [out], progress)
    _refuse_shared_pairs(parents)
    return carry_out(plan_copy(parents, _all, "merge"), out, progress)


def _all(table: np.ndarray) -> np.ndarray:
    return np.ones(len(table), bool)


def _refuse_shared_pairs(parents: list[Parent]) -> None:
    """Raise ArgumentError where two data sets hold a pair that was made in the same data set under the same number."""
    for one, other in combinations(parents, 2):
        if one.manifest["digest"] == other.manifest["digest"]:
            raise ArgumentError(f"{one.folder} and {other.folder} are the same data set; merge different ones")
    digests = sorted({origin["digest"] for parent in parents for origin in parent.origins})
    if len(digests) == sum(len(parent.origins) for parent in parents):
        return
    held = [_keys(parent, digests) for parent in parents]
    for (one, here), (other, there) in combinations(zip(parents, held, strict=True), 2):
        shared = np.intersect1d(here, there)
        if len(shared):
            raise ArgumentError(
                f"{one.folder} and {other.folder} have {len(shared)} pairs in common; merge sets that have none"
            )


def _keys(parent: Parent, digests: list[str]) -> np.ndarray:
    """A number for each pair, the same wherever that pair went: (n,) int64."""
    places = {digest: place for place, digest in enumerate(digests)}
    numbers = np.array([places[origin["digest"]] for origin in parent.origins])
    tables = (shard.provenance for shard in parent.shards())
    return np.concatenate(
        [numbers[table["origin"]] * (MAX_SHARDS * MAX_PAIRS) + table["origin_pair"] for table in tables]
    )


# Subset ---------------------------------------------------------------------------------------------------------------


def subset(folder: str | Path, out: str | Path, where: str, *, progress: bool = False) -> Derived:
    """A data set of those pairs whose provenance meets the condition ``where``; see ``expression.parse_condition``.

    Raises
    ------
    BlurgenError
        ArgumentError for what is no condition, or one that no pair meets; ShardError, OutputError.
    """
    holds = parse_condition(where)
    out = Path(out).absolute()
    parents = open_parents([folder], [out], progress)
    plan = plan_copy(parents, holds, "subset", where=where.strip())
    if not plan.identity["pairs"]:
        raise ArgumentError(
            f'{folder}: no pair meets "{" ".join(where.split())[:60]}"; `blurgen info` says what there is'
        )
    return carry_out(plan, out, progress)


# Split ----------------------------------------------------------------------------------------------------------------


def split(
    folder: str | Path, out: str | Path, *, val: float = 0.1, test: float = 0.1, seed: int = 0, progress: bool = False
) -> dict[str, Derived]:
    """Two or three data sets, ``out``/train, val and test, such that no photo is on two sides.

    A photo is known by its sha256, whatever it is called. Which side it goes to hangs on the seed and the photos alone.
    The outline of a region may come from a photo of another side (mask kind other-photo): no pixel of that photo comes
    with it, and any pair of photos may be tied so, which would leave nothing to split.

    Parameters
    ----------
    val, test : float
        Shares of the pairs, met as nearly as whole photos allow; 0 for no such side.

    Raises
    ------
    BlurgenError
        ArgumentError for shares or a seed out of range, and where a side would be empty; ShardError, OutputError.
    """
    val, test, seed = _check_shares(val, test, seed)
    out = Path(out).absolute()
    asked = ["train", *(side for side, share in (("val", val), ("test", test)) if share)]
    outs = {side: out / side for side in SIDES}
    for path in outs.values():
        if path.is_symlink():
            raise OutputError(f"{path}: is a link; remove it or choose another --out")
    for side in SIDES:
        if side not in asked and is_file(outs[side] / MANIFEST_NAME):
            raise OutputError(f"{outs[side]}: holds a data set that this split has not; choose another --out")
    parents = open_parents([folder], list(outs.values()), progress)
    photos = share_out(_pairs_by_photo(parents[0]), {"val": val, "test": test}, seed)
    arguments = {"val": val, "test": test, "seed": seed}
    plans = {side: plan_copy(parents, _of_photos(photos[side]), "split", **arguments, side=side) for side in asked}
    for side, plan in plans.items():
        read_former(outs[side], plan.identity)
    return {side: carry_out(plan, outs[side], progress) for side, plan in plans.items()}


def _check_shares(val: float, test: float, seed: int) -> tuple[float, float, int]:
    for name, share in (("val", val), ("test", test)):
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 <= share < 1:
            raise ArgumentError(f"{name} is {share!r:.40}: give a share of the pairs, 0 or more and below 1")
    if not val and not test:
        raise ArgumentError("val and test are both 0: there is nothing to split; give one of them a share")
    if val + test >= 1:
        raise ArgumentError(
            f"val and test take {val + test:g} of the pairs and leave none to train; give smaller shares"
        )
    try:
        seed = operator.index(seed)
    except TypeError:
        raise ArgumentError(f"seed is {seed!r:.40}: give a whole number") from None
    if not 0 <= seed < 2**63:
        raise ArgumentError(f"seed is {seed}: give a number from 0 to 2**63 - 1")
    return float(val), float(test), seed


def _photo_keys(table: np.ndarray) -> np.ndarray:
    """What tells photos apart: their sha256, or the name where none was recorded; (n,) bytes."""
    digests = table["photo_sha256"]
    return np.where(digests == b"", np.char.add(b"name ", table["photo"]), digests)


def _pairs_by_photo(parent: Parent) -> Counter[bytes]:
    counts = Counter()
    for shard in parent.shards():
        counts.update(_photo_keys(shard.provenance).tolist())
    return counts


def _of_photos(photos: set[bytes]) -> Choice:
    def choose(table: np.ndarray) -> np.ndarray:
        return np.array([key in photos for key in _photo_keys(table).tolist()], bool)

    return choose


def share_out(pairs: Mapping[bytes, int], shares: Mapping[str, float], seed: int) -> dict[str, set[bytes]]:
    """Photos for each side, "train" taking what the ``shares`` leave; ``pairs`` says how many are of each photo.

    Photos come in the order of a hash of seed and photo, so neither names nor order of the data set matter.

    Raises
    ------
    ArgumentError
        A side would be empty.
    """
    order = sorted(pairs, key=lambda photo: sha256(b"%d %s" % (seed, photo)))
    total = sum(pairs.values())
    sides = {}
    for side, share in shares.items():
        sides[side] = _fill(order, pairs, share * total) if share else set()
        if share and not sides[side]:
            least = min((pairs[photo] for photo in order), default=0)
            raise ArgumentError(
                f"{side} would be empty: {share:g} of {total} pairs is nearer to none than to the {least} or more of a "
                f"whole photo; give a larger --{side}"
            )
        order = [photo for photo in order if photo not in sides[side]]
    if not order:
        raise ArgumentError(
            f"train would be empty: {len(pairs)} photos are too few for these shares; give smaller ones"
        )
    return {"train": set(order), **sides}


def _fill(order: list[bytes], pairs: Mapping[bytes, int], room: float) -> set[bytes]:
    """Photos in turn, as long as they fit; then the smallest of the others if that comes nearer."""
    taken = set()
    for photo in order:
        if pairs[photo] <= room:
            taken.add(photo)
            room -= pairs[photo]
    smallest = min((photo for photo in order if photo not in taken), key=lambda photo: pairs[photo], default=None)
    return taken | {smallest} if smallest is not None and pairs[smallest] < 2 * room else taken
