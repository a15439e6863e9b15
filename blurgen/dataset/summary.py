"""What is in a data set: counts, shares and quantiles."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from blurgen.dataset.manifest import count_photos, origins_of
from blurgen.dataset.reading import Dataset
from blurgen.dataset.receipts import all_quarantined, read_receipt
from blurgen.errors import ShardError

_AMOUNTS = ("sigma_px", "radius_px", "length_px", "turn_deg", "zoom", "tilt", "noise_sigma")
_COLUMNS = (
    *("origin", "height", "width", "blur_kind", "mask_kind", "second_blur_kind", "near", "second_near"),
    *("jpeg_quality", "inverted", "blurred_share", "sharpness", *_AMOUNTS),
)
"""All that is kept of each pair."""

Columns = dict[str, np.ndarray]


def info(folder: str | Path) -> dict:
    """What is in a data set: counts, shares and quantiles, from the manifest, the receipts and the provenance.

    An original data set has "recipe" (its name), "seed", "source" and "split"; one that was made of others has
    "derived", and "origins" with the same of each and how many of its pairs are here.
    """
    with Dataset(folder) as data:
        receipts = [read_receipt(data.folder, index) for index in range(len(data.manifest["shards"]))]
        tables, targets = [], set()
        for number in range(len(receipts)):
            with data.open_shard(number) as shard:
                tables.append({name: shard.provenance[name].copy() for name in _COLUMNS})
                targets.update(shard.targets)
        manifest = data.manifest
    licences = sorted({(one["id"], one.get("sha256", ""), one["licence"]) for one in manifest["photos"]})
    return {
        "folder": str(folder),
        "digest": manifest["digest"],
        "pairs": len(data),
        "shards": len(receipts),
        "bytes": sum(receipt["bytes"] for receipt in receipts),
        **_history(data, tables),
        "photos": count_photos(manifest),
        "licences": dict(Counter(licence for *_, licence in licences).most_common()),
        "quarantined": all_quarantined(manifest, receipts),
        "rejected": dict(sum((Counter(receipt["rejected"]) for receipt in receipts), Counter())),
        "replaced": sum(receipt["replaced"] for receipt in receipts),
        "upscaled": sum(receipt["upscaled"] for receipt in receipts),
        "targets": sorted(targets),
        **_provenance_statistics(tables),
        "build": manifest["build"],
    }


def _history(data: Dataset, tables: list[Columns]) -> dict:
    """What the pairs were made from: one recipe and seed, or those of each origin."""
    origins = origins_of(data.manifest)
    named = [
        {"recipe": one["recipe"]["name"], **{key: one[key] for key in ("seed", "source", "split")}} for one in origins
    ]
    if "derived" not in data.manifest:
        return named[0]
    pairs = np.bincount(np.concatenate([table["origin"] for table in tables]), minlength=len(origins)).tolist()
    if len(pairs) > len(origins):
        raise ShardError(f"{data.folder}: a pair is of an origin that the manifest does not list; `blurgen verify` it")
    counted = [
        {"digest": one["digest"], **about, "pairs": count}
        for one, about, count in zip(origins, named, pairs, strict=True)
    ]
    return {"derived": data.manifest["derived"], "origins": counted}


def _provenance_statistics(tables: list[Columns]) -> dict:
    def column(name: str) -> np.ndarray:
        return np.concatenate([table[name] for table in tables])

    sizes = Counter(zip(column("height").tolist(), column("width").tolist(), strict=True))
    return {
        "sizes": {f"{height}x{width}": count for (height, width), count in sizes.most_common()},
        "blur_kinds": _counted(column("blur_kind")),
        "mask_kinds": _counted(column("mask_kind")),
        "second_share": float((column("second_blur_kind") != b"none").mean()),
        "near_share": float((column("near") | column("second_near")).mean()),
        "jpeg_share": float((column("jpeg_quality") > 0).mean()),
        "inverted_share": float(column("inverted").mean()),
        "blurred_share": _quantiles(column("blurred_share")),
        "sharpness": _quantiles(column("sharpness")),
        **{name: _quantiles(column(name)[column(name) > 0]) for name in _AMOUNTS if column(name).any()},
    }


def _counted(words: np.ndarray) -> dict[str, int]:
    return {word.decode(): count for word, count in sorted(Counter(words.tolist()).items())}


def _quantiles(values: np.ndarray) -> dict[str, float]:
    names = ("min", "p25", "median", "p75", "max")
    return {name: float(value) for name, value in zip(names, np.quantile(values, (0, 0.25, 0.5, 0.75, 1)), strict=True)}
