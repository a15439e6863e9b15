"""The regions a photo offers, computed or annotated, found once and kept in a cache on disk."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from blurgen.errors import OutputError, PhotoError
from blurgen.files import make_folder, publish, sha256
from blurgen.masks import largest_object
from blurgen.proposals import Proposals, object_proposals
from blurgen.proposals.packaged import weights_digest
from blurgen.recipe import Recipe
from blurgen.sources import Photo

REGIONS_VERSION = 2
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
        path = self._path(key)
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_BYTES:
                return None
            return Proposals.from_bytes(path.read_bytes())
        except (OSError, PhotoError, MemoryError):
            return None

    def put(self, key: str, regions: Proposals) -> None:
        """Store ``regions``; raises OutputError when that can't be done."""
        with _named():
            make_folder(self._path(key).parent)
            publish(self._path(key), regions.to_bytes())

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.regions"


@contextmanager
def _named() -> Iterator[None]:
    """Say of an error that it is about the cache, since nobody may have named it."""
    try:
        yield
    except OutputError as error:
        raise OutputError(f"{error} (this is the cache of proposals: --cache or $BLURGEN_CACHE)") from None


def regions_key(photo_sha256: str, photo: Photo, recipe: Recipe) -> str:
    """What the regions depend on: the photo's bytes, the annotation's, the parameters, the weights and this code."""
    parts = {"version": REGIONS_VERSION, "photo": photo_sha256, "kind": recipe.mask.kind}
    if recipe.mask.needs_objects:
        parts["objects"] = _objects(photo).digest()
    else:
        parts["params"] = recipe.proposals.model_dump(mode="json")
        parts["weights"] = weights_digest()
    return sha256(json.dumps(parts, sort_keys=True).encode())


def find_regions(photo: Photo, pixels: np.ndarray, recipe: Recipe) -> Proposals:
    """Compute the regions of a decoded photo, or read them from its annotation. Raises PhotoError."""
    if recipe.mask.needs_objects:
        return largest_object(_objects(photo).label_map(*pixels.shape[:2]))
    regions = object_proposals(pixels, recipe.proposals)
    if not len(regions):
        raise PhotoError("no object proposal was found in this photo")
    return regions


def _objects(photo: Photo):
    if photo.objects is None:
        raise PhotoError("no annotated object in this photo")
    return photo.objects
