"""manifest.json: what a data set is, and what it was made from."""

from __future__ import annotations

import importlib.metadata
import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2

from blurgen import __version__
from blurgen.dataset.documents import COPY_AGAIN, is_count, is_digest, read_json
from blurgen.errors import ShardError
from blurgen.files import document_digest, publish, publish_json, sha256, sha256_file
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

_MANIFEST_ADVICE = f"{COPY_AGAIN}, or make it again in another folder"

DERIVATIONS = ("merge", "split", "subset", "import")
"""Commands that make a data set of the pairs of others."""

_TYPES = {
    **{"pairs": int, "complete": bool, "build": dict, "shards": list, "photos": list, "quarantined": list},
}
_ORIGIN_TYPES = {"recipe": dict, "seed": int, "source": str, "split": str, "build": dict}
_ORIGINAL_TYPES = {**_ORIGIN_TYPES, "recipe_toml_sha256": str}
_DERIVED_TYPES = {"derived": dict, "origins": list, "lenders": list}
_ONLY_ORIGINAL = (*(name for name in _ORIGIN_TYPES if name != "build"), "pairs_per_shard")

MAX_ORIGINS = 100_000
MAX_DEPTH = 20
"""Of the values of a manifest that are compared key by key; what lies deeper is compared as a whole."""


def build_versions() -> dict[str, str]:
    """What byte identity depends on: the libraries, the Python and the processor's features."""
    packages = ("numpy", "scipy", "opencv-contrib-python", "scikit-image", "higra", "h5py", "Pillow", "tifffile")
    versions = {package: importlib.metadata.version(package) for package in packages}
    machine = f"{platform.machine()} {cv2.getCPUFeaturesLine()}"
    return {"blurgen": __version__, "python": platform.python_version(), "machine": machine, **versions}


def other_build(there: dict) -> str:
    """In what another build differs from this one; "" if it does not."""
    here = build_versions()
    names = [name for name in here if there.get(name) != here[name]]
    differences = ", ".join(f"{name} {there.get(name)!s:.40}, here {here[name]:.40}" for name in names[:3])
    return f"made with {differences}: byte identity is promised for one build only" if names else ""


def write_manifest(folder: Path, recipe: Recipe, identity: dict, receipts: list[dict]) -> dict:
    """``publish_manifest`` of an original data set: ``identity`` is all that was asked for, photos included."""
    return publish_manifest(folder, identity, receipts, recipe.to_toml().encode())


def publish_manifest(folder: Path, identity: dict, receipts: list[dict], recipe_toml: bytes | None) -> dict:
    """Publish manifest.json: ``identity`` and, once all shards are there, their list; then recipe.toml beside it.

    In this order, since a folder without a manifest is not ours. A data set of several recipes has no recipe.toml.
    """
    shards = [
        {"name": SHARD_NAME.format(one["shard"]), **{key: one[key] for key in ("sha256", "pairs", "bytes")}}
        for one in receipts
    ]
    manifest = {
        "format": FORMAT_NAME,
        "schema_version": SCHEMA_VERSION,
        **identity,
        **({} if recipe_toml is None else {"recipe_toml_sha256": sha256(recipe_toml)}),
        "build": build_versions(),
        "complete": bool(receipts),
        "shards": shards,
    }
    manifest["digest"] = document_digest(manifest)
    publish_json(folder / MANIFEST_NAME, manifest)
    if recipe_toml is not None:
        publish(folder / RECIPE_NAME, recipe_toml)
    return manifest


def origins_of(manifest: dict) -> list[dict]:
    """The original data sets whose pairs are in this one: what column ``origin`` of a pair counts in."""
    if "origins" in manifest:
        return manifest["origins"]
    return [{key: manifest[key] for key in ("digest", *_ORIGIN_TYPES, "pairs")}]


def listed_photos(manifest: dict) -> list[dict]:
    """The photos that pairs show, and those that only lent the outline of a region."""
    return [*manifest["photos"], *manifest.get("lenders", [])]


def count_photos(manifest: dict) -> int:
    """How many photos are listed; one that several data sets made pairs of may be listed for each of them."""
    return len({(photo["id"], photo.get("sha256")) for photo in manifest["photos"]})


def again(manifest: dict) -> str:
    """What to do about a data set that is not finished."""
    return f"run the same `blurgen {manifest.get('derived', {}).get('by', 'make')}` again"


def read_manifest(folder: Path) -> dict:
    """Read and check manifest.json; its spelling is left to ``verify``. Raises ShardError."""
    path = Path(folder) / MANIFEST_NAME
    if not is_file(path):
        raise ShardError(
            f"{folder}: no blurgen data set here (no {MANIFEST_NAME}); `blurgen make --out {folder}` makes one"
        )
    return check_manifest(read_json(path, _MANIFEST_ADVICE, any_spelling=True), path)


def check_manifest(manifest: dict, path: Path) -> dict:
    """A manifest that was read from ``path``, if it is one and whole; else ShardError."""
    if manifest.get("format") != FORMAT_NAME:
        raise ShardError(f"{path}: not the manifest of a blurgen data set")
    if manifest.get("schema_version") not in READABLE_VERSIONS:
        version = str(manifest.get("schema_version"))[:20]
        raise ShardError(
            f"{path}: schema version {version}, this blurgen reads {READABLE_VERSIONS[0]} to {SCHEMA_VERSION}; "
            "make it again, or take another blurgen"
        )
    if manifest.get("digest") != document_digest(manifest):
        raise ShardError(f"{path}: changed or damaged since it was written (its digest differs); {_MANIFEST_ADVICE}")
    if not _well_formed(manifest):
        raise ShardError(f"{path}: malformed, though its digest holds; not made by blurgen")
    return manifest


def _well_formed(manifest: dict) -> bool:
    """Whether the manifest is what we write: every key of its type, shards in order, whole counts, hex digests."""
    derived = "derived" in manifest or "origins" in manifest
    if not _typed(manifest, _TYPES) or not (_derived_well if derived else _original_well)(manifest):
        return False
    shards, photos = manifest["shards"], [*listed_photos(manifest), *manifest["quarantined"]]
    good = len(shards) <= MAX_SHARDS and bool(shards) == manifest["complete"]
    good = good and is_count(manifest["pairs"], 1, MAX_SHARDS * MAX_PAIRS)
    good = good and all(isinstance(photo, dict) and isinstance(photo.get("id"), str) for photo in photos)
    good = good and all(isinstance(photo.get("licence"), str) for photo in listed_photos(manifest))
    good = good and all(isinstance(photo.get("sha256", ""), str) for photo in listed_photos(manifest))
    good = good and all(isinstance(photo.get("reason"), str) for photo in manifest["quarantined"])
    for index, shard in enumerate(shards if good else []):
        good = good and isinstance(shard, dict) and shard.get("name") == SHARD_NAME.format(index)
        good = good and is_count(shard.get("pairs"), 1, MAX_PAIRS) and is_count(shard.get("bytes"), 1)
        good = good and is_digest(shard.get("sha256"))
    return good and (not shards or _adds_up(manifest))


def _typed(document: object, types: dict[str, type]) -> bool:
    return isinstance(document, dict) and all(type(document.get(key)) is kind for key, kind in types.items())


def _original_well(manifest: dict) -> bool:
    """What only the manifest of a data set says that was made from photos."""
    good = _typed(manifest, _ORIGINAL_TYPES) and is_count(manifest["seed"])
    good = good and is_digest(manifest["recipe_toml_sha256"]) and isinstance(manifest["recipe"].get("name"), str)
    return good and ("pairs_per_shard" not in manifest or is_count(manifest["pairs_per_shard"], 1, MAX_PAIRS))


def _derived_well(manifest: dict) -> bool:
    """What only the manifest of a data set says whose pairs come from others."""
    if not _typed(manifest, _DERIVED_TYPES) or any(key in manifest for key in _ONLY_ORIGINAL):
        return False
    derived, origins = manifest["derived"], manifest["origins"]
    good = derived.keys() == {"by", "arguments", "parents"} and derived["by"] in DERIVATIONS
    good = good and isinstance(derived["arguments"], dict) and isinstance(derived["parents"], list)
    good = good and bool(derived["parents"]) and all(map(is_digest, derived["parents"]))
    good = good and 0 < len(origins) <= MAX_ORIGINS and all(map(_origin_well, origins))
    good = good and len({origin["digest"] for origin in origins}) == len(origins)
    toml = manifest.get("recipe_toml_sha256")
    return good and (toml is None or (is_digest(toml) and one_recipe(origins)))


def _origin_well(origin: object) -> bool:
    good = _typed(origin, _ORIGIN_TYPES) and is_digest(origin.get("digest")) and is_count(origin["seed"])
    good = good and is_count(origin.get("pairs"), 1, MAX_SHARDS * MAX_PAIRS)
    return good and isinstance(origin["recipe"].get("name"), str)


def recipe_holds(folder: Path, manifest: dict) -> bool:
    """Whether recipe.toml is what the manifest says of it; where it says nothing, none is needed."""
    due = manifest.get("recipe_toml_sha256")
    try:
        return due is None or sha256_file(folder / RECIPE_NAME) == due
    except OSError:
        return False


def one_recipe(origins: list[dict]) -> bool:
    """Whether all origins were made with the same recipe."""
    return len({document_digest({"recipe": origin["recipe"]}) for origin in origins}) == 1


def _adds_up(manifest: dict) -> bool:
    """Whether the shards hold the pairs, so many each as the manifest says; only the last may hold fewer."""
    counts = [shard["pairs"] for shard in manifest["shards"]]
    each = manifest.get("pairs_per_shard")
    even = each is None or (all(count == each for count in counts[:-1]) and counts[-1] <= each)
    return even and sum(counts) == manifest["pairs"]


def first_difference(former: Any, asked: Any) -> str | None:
    """The first dotted key in which two JSON values differ, with both values; None where they are equal."""
    for key, one, other in differences(former, asked):
        return f"{key} ({short(one)} there, {short(other)} asked for)"
    return None


def differences(one: Any, other: Any, key: str = "", depth: int = 0) -> Iterator[tuple[str, Any, Any]]:
    """Every dotted key in which two JSON values differ: (key, value, other value), None for a value that is not there.

    Items of a list are called by their "id" where all have one, else by their place.
    """
    if isinstance(one, list) and isinstance(other, list) and all(isinstance(item, dict) for item in one + other):
        one, other = _by_name(one, other)
    if isinstance(one, dict) and isinstance(other, dict) and depth < MAX_DEPTH:
        for name in sorted({*one, *other}):
            yield from differences(one.get(name), other.get(name), f"{key}.{name}" if key else name, depth + 1)
    elif json.dumps(one, sort_keys=True) != json.dumps(other, sort_keys=True):
        yield key, one, other


def _by_name(*lists: list[dict]) -> list[dict[str, dict]]:
    named = all(isinstance(item.get("id"), str) for items in lists for item in items)
    named = named and all(len({item["id"] for item in items}) == len(items) for items in lists)
    return [{item["id"] if named else f"{place:d}": item for place, item in enumerate(items)} for items in lists]


def short(value: object) -> str:
    """A JSON value for people, in 60 characters at most."""
    text = "nothing" if value is None else json.dumps(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
