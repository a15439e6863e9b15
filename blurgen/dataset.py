"""A folder of shards as one data set: its manifest, reading pairs, checking everything."""

from __future__ import annotations

import importlib.metadata
import json
import operator
import platform
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path

import cv2
import numpy as np

from blurgen import __version__
from blurgen.errors import ShardError
from blurgen.files import document_digest, publish, publish_json, sha256, sha256_file
from blurgen.recipe import Recipe, parse_recipe
from blurgen.shards.format import (
    MANIFEST_NAME,
    MAX_PAIRS,
    MAX_SHARDS,
    RECEIPT_NAME,
    RECIPE_NAME,
    SCHEMA_VERSION,
    SHARD_NAME,
)
from blurgen.shards.reader import Shard, is_file
from blurgen.synthesis import Pair

FORMAT_NAME = "blurgen-dataset"
MAX_JSON_BYTES = 500_000_000
MAX_OPEN_SHARDS = 250

_COPY_AGAIN = "copy it again from where it came"
_MAKE_AGAIN = "run the same `blurgen make` again"
_REPLACE = f"{_MAKE_AGAIN} to replace it"

_MANIFEST_TYPES = {
    **{"pairs": int, "seed": int, "source": str, "split": str, "complete": bool, "recipe_toml_sha256": str},
    **{"recipe": dict, "build": dict, "shards": list, "photos": list, "quarantined": list},
}


# Manifest -------------------------------------------------------------------------------------------------------------


def build_versions() -> dict[str, str]:
    """What byte identity depends on: the libraries, the Python and the processor's features."""
    packages = ("numpy", "scipy", "opencv-contrib-python", "scikit-image", "higra", "h5py", "Pillow", "tifffile")
    versions = {package: importlib.metadata.version(package) for package in packages}
    machine = f"{platform.machine()} {cv2.getCPUFeaturesLine()}"
    return {"blurgen": __version__, "python": platform.python_version(), "machine": machine, **versions}


def write_manifest(folder: Path, recipe: Recipe, identity: dict, receipts: list[dict]) -> dict:
    """Publish manifest.json: ``identity`` and, once all shards are there, their list; then recipe.toml beside it.

    In this order, since a folder without a manifest is not ours.
    """
    toml = recipe.to_toml().encode()
    shards = [
        {"name": SHARD_NAME.format(one["shard"]), **{key: one[key] for key in ("sha256", "pairs", "bytes")}}
        for one in receipts
    ]
    manifest = {
        "format": FORMAT_NAME,
        "schema_version": SCHEMA_VERSION,
        **identity,
        "recipe_toml_sha256": sha256(toml),
        "build": build_versions(),
        "complete": bool(receipts),
        "shards": shards,
    }
    manifest["digest"] = document_digest(manifest)
    publish_json(folder / MANIFEST_NAME, manifest)
    publish(folder / RECIPE_NAME, toml)
    return manifest


def read_manifest(folder: Path) -> dict:
    """Read and check manifest.json. Raises ShardError."""
    path = Path(folder) / MANIFEST_NAME
    if not is_file(path):
        raise ShardError(
            f"{folder}: no blurgen data set here (no {MANIFEST_NAME}); `blurgen make --out {folder}` makes one"
        )
    manifest = _read_json(path, _COPY_AGAIN)
    if manifest.get("format") != FORMAT_NAME:
        raise ShardError(f"{path}: not the manifest of a blurgen data set")
    if manifest.get("schema_version") != SCHEMA_VERSION:
        version = str(manifest.get("schema_version"))[:20]
        raise ShardError(f"{path}: schema version {version}, this blurgen reads {SCHEMA_VERSION}; make it again")
    if manifest.get("digest") != document_digest(manifest):
        raise ShardError(f"{path}: changed or damaged since it was written (its digest differs); {_COPY_AGAIN}")
    if not _well_formed(manifest):
        raise ShardError(f"{path}: malformed, though its digest holds; not made by blurgen")
    return manifest


def _well_formed(manifest: dict) -> bool:
    """Whether the manifest is what we write: every key of its type, shards in order, whole counts, hex digests."""
    if any(type(manifest.get(key)) is not kind for key, kind in _MANIFEST_TYPES.items()):
        return False
    shards, photos = manifest["shards"], [*manifest["photos"], *manifest["quarantined"]]
    good = len(shards) <= MAX_SHARDS and bool(shards) == manifest["complete"]
    good = good and _is_count(manifest["pairs"], 1, MAX_SHARDS * MAX_PAIRS) and _is_count(manifest["seed"])
    good = good and ("pairs_per_shard" not in manifest or _is_count(manifest["pairs_per_shard"], 1, MAX_PAIRS))
    good = good and isinstance(manifest["recipe"].get("name"), str)
    good = good and all(isinstance(photo, dict) and isinstance(photo.get("id"), str) for photo in photos)
    good = good and all(isinstance(photo.get("licence"), str) for photo in manifest["photos"])
    good = good and all(isinstance(photo.get("reason"), str) for photo in manifest["quarantined"])
    for index, shard in enumerate(shards if good else []):
        good = good and isinstance(shard, dict) and shard.get("name") == SHARD_NAME.format(index)
        good = good and _is_count(shard.get("pairs"), 1, MAX_PAIRS) and _is_count(shard.get("bytes"), 1)
        good = good and isinstance(shard.get("sha256"), str)
    return good and (not shards or _adds_up(manifest))


def _adds_up(manifest: dict) -> bool:
    """Whether the shards hold the pairs, so many each as the manifest says; only the last may hold fewer."""
    counts = [shard["pairs"] for shard in manifest["shards"]]
    each = manifest.get("pairs_per_shard")
    even = each is None or (all(count == each for count in counts[:-1]) and counts[-1] <= each)
    return even and sum(counts) == manifest["pairs"]


def _is_count(value: object, low: int = 0, high: int = 2**63 - 1) -> bool:
    return type(value) is int and low <= value <= high


def _read_json(path: Path, advice: str) -> dict:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ShardError(f"{path}: longer than {MAX_JSON_BYTES} bytes; refused")
        value = json.loads(path.read_bytes())
        json.dumps(value, ensure_ascii=False).encode()  # fails for half a surrogate pair
    except OSError as error:
        raise ShardError(f"{path}: can't be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise ShardError(f"{path}: damaged (not JSON in UTF-8); {advice}") from None
    if not isinstance(value, dict):
        raise ShardError(f"{path}: damaged (not a JSON object); {advice}")
    return value


def first_difference(former, asked, key: str = "") -> str | None:
    """The first dotted key in which two JSON values differ, with both values; None where they are equal."""
    if isinstance(former, dict) and isinstance(asked, dict):
        for name in sorted({*former, *asked}):
            found = first_difference(former.get(name), asked.get(name), f"{key}.{name}" if key else name)
            if found:
                return found
        return None
    if isinstance(former, list) and isinstance(asked, list) and all(isinstance(one, dict) for one in former + asked):
        return first_difference({one.get("id"): one for one in former}, {one.get("id"): one for one in asked}, key)
    if json.dumps(former) == json.dumps(asked):
        return None
    return f"{key} ({_short(former)} there, {_short(asked)} asked for)"


def _short(value: object) -> str:
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


# Receipts -------------------------------------------------------------------------------------------------------------


def finished_receipt(folder: Path, index: int, expected: dict) -> dict | None:
    """The receipt of a shard that is there, whole and as ``expected`` (a part of its receipt), else None."""
    try:
        receipt = read_receipt(folder, index)
        shard = folder / SHARD_NAME.format(index)
        wanted = all(receipt.get(key) == value for key, value in expected.items())
        whole = wanted and shard.is_file() and sha256_file(shard) == receipt["sha256"]
    except (ShardError, OSError):
        return None
    return receipt if whole else None


def read_receipt(folder: Path, index: int) -> dict:
    """Read and check the receipt of shard ``index``. Raises ShardError."""
    path = Path(folder) / RECEIPT_NAME.format(index)
    if not is_file(path):
        raise ShardError(f"{path}: no receipt, so this shard is not finished; {_MAKE_AGAIN}")
    receipt = _read_json(path, _REPLACE)
    numbers = ("shard", "pairs", "bytes", "replaced", "upscaled")
    good = all(_is_count(receipt.get(key)) for key in numbers) and receipt["shard"] == index
    rejected = receipt.get("rejected")
    good = good and isinstance(rejected, dict) and all(_is_count(count) for count in rejected.values())
    good = good and receipt.get("schema_version") == SCHEMA_VERSION and isinstance(receipt.get("sha256"), str)
    if not good or receipt.get("digest") != document_digest(receipt):
        raise ShardError(f"{path}: malformed or damaged receipt; {_REPLACE}")
    return receipt


# Reading pairs --------------------------------------------------------------------------------------------------------


class Dataset:
    """``len(data)``, ``data[i]`` and iteration over Pairs; shards are opened when first used.

    Not checked against the sha256 of its shards: that is what ``verify`` is for.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest = read_manifest(self.folder)
        if not self.manifest["complete"]:
            raise ShardError(f"{folder}: this data set is not finished; {_MAKE_AGAIN}")
        self._ends = list(accumulate(shard["pairs"] for shard in self.manifest["shards"]))
        self._open: dict[int, Shard] = {}

    def __len__(self) -> int:
        return self._ends[-1]

    def __repr__(self) -> str:
        return f"<blurgen data set {str(self.folder)!r}: {len(self)} pairs>"

    def __getstate__(self) -> dict:
        """Open files stay behind, so that a copy can go to another process."""
        return self.__dict__ | {"_open": {}}

    def __getitem__(self, index: int) -> Pair:
        """Pair ``index``, or from the end if it is negative. Raises IndexError, and ShardError for a damaged pair."""
        shard, place = self._locate(operator.index(index))
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
        """The recipe this data set was made with."""
        path = self.folder / RECIPE_NAME
        try:
            return parse_recipe(path.read_bytes(), str(path))
        except (OSError, ValueError) as error:
            raise ShardError(f"{path}: can't be read ({getattr(error, 'strerror', error)})") from None

    def _locate(self, index: int) -> tuple[Shard, int]:
        place = index + len(self) if index < 0 else index
        if not 0 <= place < len(self):
            raise IndexError(f"pair {index} of a data set of {len(self)}")
        number = bisect_right(self._ends, place)
        if number not in self._open:
            while len(self._open) >= MAX_OPEN_SHARDS:  # the one opened first goes
                self._open.pop(next(iter(self._open))).close()
            self._open[number] = self._checked_shard(number)
        return self._open[number], place - (self._ends[number - 1] if number else 0)

    def _checked_shard(self, number: int) -> Shard:
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


# Looking at it and checking it ----------------------------------------------------------------------------------------


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
        return [f"{folder}: not finished; {_MAKE_AGAIN}"]
    faults = []
    path = folder / RECIPE_NAME
    try:
        if sha256_file(path) != manifest["recipe_toml_sha256"]:
            faults.append(f"{path}: changed or damaged; {_REPLACE}")
    except OSError as error:
        faults.append(f"{path}: can't be read ({error.strerror}); {_REPLACE}")
    known = {SHARD_NAME.format(index) for index in range(len(manifest["shards"]))}
    extra = sorted(path.name for path in folder.glob("shard-*.h5") if path.name not in known)
    return faults + [f"{folder / name}: not in the manifest" for name in extra]


def _shard_faults(folder: Path, index: int, listed: dict, first: int) -> list[str]:
    path = folder / listed["name"]
    receipt = read_receipt(folder, index)
    if not is_file(path):
        return [f"{path}: missing; {_MAKE_AGAIN}"]
    digest = sha256_file(path)
    if digest != receipt["sha256"] or digest != listed["sha256"]:
        return [
            f"{path}: its sha256 is {digest[:12]}, the receipt says {receipt['sha256'][:12]} and the manifest "
            f"{listed['sha256'][:12]}; {_REPLACE}"
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


def info(folder: str | Path) -> dict:
    """What is in a data set: counts, shares and quantiles, from the manifest, the receipts and the provenance."""
    with Dataset(folder) as data:
        receipts = [read_receipt(data.folder, index) for index in range(len(data.manifest["shards"]))]
        tables, targets = [], set()
        for number in range(len(receipts)):
            with data._checked_shard(number) as shard:
                tables.append(shard.provenance)
                targets.update(shard.targets)
        manifest = data.manifest
    return {
        "folder": str(folder),
        "digest": manifest["digest"],
        "pairs": len(data),
        "shards": len(receipts),
        "bytes": sum(receipt["bytes"] for receipt in receipts),
        "recipe": manifest["recipe"]["name"],
        "seed": manifest["seed"],
        "source": manifest["source"],
        "split": manifest["split"],
        "photos": len(manifest["photos"]),
        "licences": dict(Counter(photo["licence"] for photo in manifest["photos"]).most_common()),
        "quarantined": manifest["quarantined"],
        "rejected": dict(sum((Counter(receipt["rejected"]) for receipt in receipts), Counter())),
        "replaced": sum(receipt["replaced"] for receipt in receipts),
        "upscaled": sum(receipt["upscaled"] for receipt in receipts),
        "targets": sorted(targets),
        **_provenance_statistics(tables),
        "build": manifest["build"],
    }


def _provenance_statistics(tables: list[np.ndarray]) -> dict:
    def column(name: str) -> np.ndarray:
        return np.concatenate([table[name] for table in tables])

    sizes = Counter(zip(column("height").tolist(), column("width").tolist(), strict=True))
    amounts = ("sigma_px", "radius_px", "length_px", "turn_deg", "zoom", "tilt", "noise_sigma")
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
        **{name: _quantiles(column(name)[column(name) > 0]) for name in amounts if column(name).any()},
    }


def _counted(words: np.ndarray) -> dict[str, int]:
    return {word.decode(): count for word, count in sorted(Counter(words.tolist()).items())}


def _quantiles(values: np.ndarray) -> dict[str, float]:
    names = ("min", "p25", "median", "p75", "max")
    return {name: float(value) for name, value in zip(names, np.quantile(values, (0, 0.25, 0.5, 0.75, 1)), strict=True)}
