"""The regions a photo offers, computed or annotated, found once and kept in a cache on disk."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from blurgen.errors import OutputError, PhotoError
from blurgen.files import make_folder, publish, sha256
from blurgen.masks import annotated_objects, largest_object
from blurgen.proposals import Proposals, object_proposals
from blurgen.proposals.packaged import weights_digest
from blurgen.recipe import Recipe
from blurgen.sources import Photo

REGIONS_VERSION = 3
"""Raise it when the same photo and parameters give other regions than before."""
_MOST_BYTES = 2**26  # of an entry; usual are 15 kB


def default_cache() -> Path:
    """$BLURGEN_CACHE, else the user's cache folder."""
    home = os.environ.get("XDG_CACHE_HOME") or Path(os.path.expanduser("~"), ".cache")
    return Path(os.environ.get("BLURGEN_CACHE") or Path(home) / "blurgen")


class RegionCache:
    """Regions by key. A file that is not exactly what was stored is no hit; it is computed again."""

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        with _named():
            make_folder(self.folder)

    def get(self, key: str) -> Proposals | None:
        """The regions stored under ``key``, or None."""
        path = self.path(key)
        try:
            if not re.fullmatch("[0-9a-f]{64}", key):
                return None
            found = path.stat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
                return None
            return Proposals.from_bytes(path.read_bytes())
        except (OSError, PhotoError, MemoryError):
            return None

    def put(self, key: str, regions: Proposals) -> None:
        """Store ``regions``; raises OutputError when that can't be done."""
        with _named():
            make_folder(self.path(key).parent)
            publish(self.path(key), regions.to_bytes())

    def path(self, key: str) -> Path:
        """Where the regions of ``key`` are stored."""
        return self.folder / key[:2] / f"{key}.regions"


def damaged_regions(cache: Path, photos: list[dict]) -> list[Path]:
    """The entries of a cache for the ``photos`` of a manifest that are damaged; one that it lacks is none."""
    if not cache.is_dir():
        return []
    store = RegionCache(cache)
    told = [photo["region_keys"] for photo in photos if isinstance(photo.get("region_keys"), dict)]
    keys = {key for one in told for key in one.values() if isinstance(key, str)}
    paths = {key: store.path(key) for key in sorted(keys) if re.fullmatch("[0-9a-f]{64}", key)}
    return [path for key, path in paths.items() if path.exists() and store.get(key) is None]


@contextmanager
def _named() -> Iterator[None]:
    """Say of an error that it is about the cache, since nobody may have named it."""
    try:
        yield
    except OutputError as error:
        raise OutputError(f"{error} (this is the cache of proposals: --cache or $BLURGEN_CACHE)") from None


def region_keys(photo_sha256: str, photo: Photo, recipe: Recipe) -> dict[str, str]:
    """For each kind that the recipe looks for in a photo, the key under which its regions are stored.

    A key hangs on all that the regions depend on: the photo's bytes, the annotation's, the parameters, the weights and
    this code. Kinds that need annotated objects are left out of a photo that has none, if there are other kinds.
    """
    keys = {}
    for kind in recipe.mask.found_kinds:
        parts = {"version": REGIONS_VERSION, "photo": photo_sha256, "kind": kind, "pixels": recipe.photo.pixels}
        if kind == "proposal":
            parts |= {"params": recipe.proposals.model_dump(mode="json"), "weights": weights_digest()}
        elif photo.objects is None and len(recipe.mask.kinds) > 1:
            continue
        else:
            parts["objects"] = _objects(photo).digest()
        keys[kind] = sha256(json.dumps(parts, sort_keys=True).encode())
    return keys


def find_regions(kind: str, photo: Photo, pixels: np.ndarray, recipe: Recipe) -> Proposals:
    """Compute the regions of one kind of a decoded photo, or read them from its annotation.

    Raises
    ------
    PhotoError
        It has none, and the recipe has no other kind of mask.
    """
    try:
        if kind != "proposal":
            labels = _objects(photo).label_map(*pixels.shape[:2])
            return largest_object(labels) if kind == "largest-object" else annotated_objects(labels)
        regions = object_proposals(pixels, recipe.proposals)
        if not len(regions):
            raise PhotoError("no object proposal was found in this photo")
        return regions
    except PhotoError:
        if len(recipe.mask.kinds) == 1:
            raise
        return NO_REGIONS


NO_REGIONS = Proposals(np.zeros((1, 1), np.int32), np.zeros((0, 1), bool), np.zeros(0, np.float32))


def _objects(photo: Photo):
    if photo.objects is None:
        raise PhotoError("no annotated object in this photo")
    return photo.objects
