"""What differs between two data sets: how they were made, from which photos, and which pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from blurgen.dataset.manifest import differences, origins_of
from blurgen.dataset.reading import Dataset
from blurgen.files import document_digest
from blurgen.shards.reader import Shard

SHOWN = 10
"""How many pairs are named; all of them are counted."""

_MADE_BY = ("recipe", "seed", "source", "split", "build")


def diff(one: str | Path, other: str | Path, *, shown: int = SHOWN) -> dict:
    """Compare two data sets, which need not be of the same size: pairs are compared by their number.

    Shards at the same place with the same sha256 in both manifests are not read.

    Returns
    -------
    dict
        "same" : bool, nothing differs. "digests" : both. "made" : [{"key", "one", "other"}] for each dotted key of
        recipe, seed, source, build, counts and so on that differs. "photos" : {"only_one", "only_other": ids,
        "changed": [{"id", "keys"}]}. "pairs" : {"one", "other", "compared", "differing": counts, "parts": {part: how
        many pairs differ in it}, "first": [{"pair", "parts"}]}, where a part is "image", "mask", a target or
        "provenance.COLUMN".

    Raises
    ------
    ShardError
        A data set is damaged or not finished.
    """
    with Dataset(one) as a, Dataset(other) as b:
        made = list(differences(_how_made(a.manifest), _how_made(b.manifest)))
        photos = _photos(a.manifest["photos"], b.manifest["photos"])
        pairs = _pairs(a, b, shown)
        return {
            "same": not made and not any(photos.values()) and not pairs["differing"],
            "digests": [a.manifest["digest"], b.manifest["digest"]],
            "made": [{"key": key, "one": here, "other": there} for key, here, there in made],
            "photos": photos,
            "pairs": pairs,
        }


def _how_made(manifest: dict) -> dict:
    """All that the manifest says but photos and shards. Where there is one origin, it is spoken of as the data set."""
    origins = [{key: origin[key] for key in _MADE_BY} for origin in origins_of(manifest)]
    made = origins[0] if len(origins) == 1 else {"origins": origins}
    if "derived" in manifest:
        made = {**made, "derived": {**manifest["derived"], "build": manifest["build"]}}
    about = {key: manifest.get(key) for key in ("schema_version", "pairs", "quarantined", "recipe_toml_sha256")}
    return {**made, **about, "shards": len(manifest["shards"])}


def _photos(ones: list[dict], others: list[dict]) -> dict:
    """Photos by id: in one data set only, or with other bytes, size, licence and so on."""
    a, b = _by_id(ones), _by_id(others)
    changed = [
        {"id": name, "keys": [key or "entries" for key, *_ in differences(a[name], b[name])]}
        for name in sorted({*a} & {*b})
    ]
    return {
        "only_one": sorted({*a} - {*b}),
        "only_other": sorted({*b} - {*a}),
        "changed": [one for one in changed if one["keys"]],
    }


def _by_id(photos: list[dict]) -> dict[str, dict | list[dict]]:
    """What is said of each id; merged data sets may have several photos of one name."""
    found: dict[str, list[dict]] = {}
    for photo in photos:
        found.setdefault(photo["id"], []).append({key: value for key, value in photo.items() if key != "id"})
    return {
        name: several[0] if len(several) == 1 else sorted(several, key=document_digest)
        for name, several in found.items()
    }


# Pairs ----------------------------------------------------------------------------------------------------------------


def _pairs(a: Dataset, b: Dataset, shown: int) -> dict:
    parts, first, differing = Counter(), [], 0
    for pair, found in _differing_pairs(a, b):
        differing += 1
        parts.update(found)
        if len(first) < shown:
            first.append({"pair": pair, "parts": found})
    counts = {"one": len(a), "other": len(b), "compared": min(len(a), len(b)), "differing": differing}
    return {**counts, "parts": dict(sorted(parts.items())), "first": first}


def _differing_pairs(a: Dataset, b: Dataset) -> Iterator[tuple[int, list[str]]]:
    """(number, parts) of the pairs that both have and that differ, in order; a shard of each is open at a time."""
    for pair, (number, at), (other, other_at), count in _stretches(a, b):
        digests = a.manifest["shards"][number]["sha256"], b.manifest["shards"][other]["sha256"]
        if at == other_at and digests[0] == digests[1]:
            continue
        with a.open_shard(number) as shard, b.open_shard(other) as other_shard:
            for place, found in _compared(shard, at, other_shard, other_at, count):
                yield pair + place, found


def _stretches(a: Dataset, b: Dataset) -> Iterator[tuple[int, tuple[int, int], tuple[int, int], int]]:
    """Runs of pairs that lie in one shard of each: (first pair, (shard, place in it) of a, the same of b, length)."""
    sizes, others = ([shard["pairs"] for shard in data.manifest["shards"]] for data in (a, b))
    pair, number, at, other, other_at = 0, 0, 0, 0, 0
    while number < len(sizes) and other < len(others):
        count = min(sizes[number] - at, others[other] - other_at)
        yield pair, (number, at), (other, other_at), count
        pair, at, other_at = pair + count, at + count, other_at + count
        if at == sizes[number]:
            number, at = number + 1, 0
        if other_at == others[other]:
            other, other_at = other + 1, 0


def _compared(a: Shard, at: int, b: Shard, other_at: int, count: int) -> Iterator[tuple[int, list[str]]]:
    """(place, parts) of the differing pairs among ``count`` from ``at`` on in one shard and ``other_at`` in another."""
    rows, others = a.provenance[at : at + count], b.provenance[other_at : other_at + count]
    columns = {name: rows[name] != others[name] for name in rows.dtype.names}
    columns = {name: unequal for name, unequal in columns.items() if unequal.any()}
    names = ["image", "mask", *sorted({*a.targets, *b.targets})]
    for place in range(count):
        parts = [name for name in names if _unequal(a, at + place, b, other_at + place, name)]
        parts += [f"provenance.{name}" for name, unequal in columns.items() if unequal[place]]
        if parts:
            yield place, parts


def _unequal(a: Shard, place: int, b: Shard, other_place: int, name: str) -> bool:
    """Whether the values differ; other bytes may hold the same."""
    if name not in ("image", "mask") and (name in a.targets) != (name in b.targets):
        return True
    same_way = name != "image" or a.provenance["codec"][place] == b.provenance["codec"][other_place]
    if same_way and _same_size(a, place, b, other_place) and a.stored(name, place) == b.stored(name, other_place):
        return False
    here, there = _value(a, name, place), _value(b, name, other_place)
    return here.dtype != there.dtype or not np.array_equal(here, there)


def _same_size(a: Shard, place: int, b: Shard, other_place: int) -> bool:
    here, there = a.provenance[place], b.provenance[other_place]
    return all(here[name] == there[name] for name in ("height", "width", "channels", "dtype"))


def _value(shard: Shard, name: str, place: int) -> np.ndarray:
    if name in ("image", "mask"):
        return shard.image(place) if name == "image" else shard.mask(place)
    return shard.target(name, place)
