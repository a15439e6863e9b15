"""manifest.json: what a data set is, and what it was made from."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from pathlib import Path

import cv2

from blurgen import __version__
from blurgen.dataset.documents import COPY_AGAIN, is_count, read_json
from blurgen.errors import ShardError
from blurgen.files import document_digest, publish, publish_json, sha256
from blurgen.recipe import Recipe
from blurgen.shards.format import (
    MANIFEST_NAME,
    MAX_PAIRS,
    MAX_SHARDS,
    READABLE_VERSIONS,
    RECIPE_NAME,
    SCHEMA_VERSION,
    SHARD_NAME,
)
from blurgen.shards.reader import is_file

FORMAT_NAME = "blurgen-dataset"

_MANIFEST_TYPES = {
    **{"pairs": int, "seed": int, "source": str, "split": str, "complete": bool, "recipe_toml_sha256": str},
    **{"recipe": dict, "build": dict, "shards": list, "photos": list, "quarantined": list},
}


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
    manifest = read_json(path, COPY_AGAIN)
    if manifest.get("format") != FORMAT_NAME:
        raise ShardError(f"{path}: not the manifest of a blurgen data set")
    if manifest.get("schema_version") not in READABLE_VERSIONS:
        version = str(manifest.get("schema_version"))[:20]
        raise ShardError(
            f"{path}: schema version {version}, this blurgen reads {READABLE_VERSIONS[0]} to {SCHEMA_VERSION}; "
            "make it again, or take another blurgen"
        )
    if manifest.get("digest") != document_digest(manifest):
        raise ShardError(f"{path}: changed or damaged since it was written (its digest differs); {COPY_AGAIN}")
    if not _well_formed(manifest):
        raise ShardError(f"{path}: malformed, though its digest holds; not made by blurgen")
    return manifest


def _well_formed(manifest: dict) -> bool:
    """Whether the manifest is what we write: every key of its type, shards in order, whole counts, hex digests."""
    if any(type(manifest.get(key)) is not kind for key, kind in _MANIFEST_TYPES.items()):
        return False
    shards, photos = manifest["shards"], [*manifest["photos"], *manifest["quarantined"]]
    good = len(shards) <= MAX_SHARDS and bool(shards) == manifest["complete"]
    good = good and is_count(manifest["pairs"], 1, MAX_SHARDS * MAX_PAIRS) and is_count(manifest["seed"])
    good = good and ("pairs_per_shard" not in manifest or is_count(manifest["pairs_per_shard"], 1, MAX_PAIRS))
    good = good and isinstance(manifest["recipe"].get("name"), str)
    good = good and all(isinstance(photo, dict) and isinstance(photo.get("id"), str) for photo in photos)
    good = good and all(isinstance(photo.get("licence"), str) for photo in manifest["photos"])
    good = good and all(isinstance(photo.get("reason"), str) for photo in manifest["quarantined"])
    for index, shard in enumerate(shards if good else []):
        good = good and isinstance(shard, dict) and shard.get("name") == SHARD_NAME.format(index)
        good = good and is_count(shard.get("pairs"), 1, MAX_PAIRS) and is_count(shard.get("bytes"), 1)
        good = good and isinstance(shard.get("sha256"), str)
    return good and (not shards or _adds_up(manifest))


def _adds_up(manifest: dict) -> bool:
    """Whether the shards hold the pairs, so many each as the manifest says; only the last may hold fewer."""
    counts = [shard["pairs"] for shard in manifest["shards"]]
    each = manifest.get("pairs_per_shard")
    even = each is None or (all(count == each for count in counts[:-1]) and counts[-1] <= each)
    return even and sum(counts) == manifest["pairs"]


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
