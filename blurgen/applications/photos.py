"""What the applications share: one photo, looked at; where to write."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from blurgen.errors import ArgumentError, PhotoError, SourceError
from blurgen.maps import Finder, list_photos, refuse_among_photos, refuse_to_overwrite
from blurgen.sources import Photo, printable


def one_photo(path: str | Path) -> Photo:
    """The photo at ``path``. SourceError if there is none, or a folder."""
    if Path(path).is_dir():
        raise SourceError(f"{printable(str(path))}: is a folder; name one photo")
    return list_photos(path)[0]


def refuse_files(files: Iterable[Path], path: str | Path, out: Path, photos: Iterable[Photo], overwrite: bool) -> None:
    """OutputError if ``out`` is among the photos at ``path``, or holds one of ``files`` (and not ``overwrite``)."""
    refuse_among_photos(out, path)
    refuse_to_overwrite(files, photos, overwrite)


def look(finder: Finder, photo: Photo) -> tuple[np.ndarray, np.ndarray]:
    """A photo and its map, 0 to 1. PhotoError that names it."""
    try:
        image = finder.read(photo)
    except PhotoError as error:
        raise PhotoError(f"{printable(str(photo.path))}: {error}") from None
    return image, finder.probability(image)


def check_shapes(photo: np.ndarray, blur_map: np.ndarray) -> None:
    """ArgumentError unless a photo (H, W, C) and its map (H, W) fit each other."""
    if photo.ndim != 3 or photo.shape[:2] != blur_map.shape:
        raise ArgumentError(f"a photo of shape {photo.shape}, a map of {blur_map.shape}: give (H, W, C) and (H, W)")
