"""Any tree of photos."""

from __future__ import annotations

import os
from pathlib import Path

from blurgen.errors import SourceError
from blurgen.sources.photo import Photo, Source

_DECODED = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm")
_DECODED += (".pnm", ".jp2", ".avif")
_REFUSED = (".heic", ".heif", ".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw")
SUFFIXES = (*_DECODED, *_REFUSED, ".x3f")  # listed too, so that the user learns why they can't be used


def open_folder(root: str | Path | None, *, licence: str | None = None) -> Source:
    """Every photo below ``root``, recognised by suffix; hidden files and folders are passed over.

    Symbolic links are followed, each real folder once. ``licence`` is noted for every photo, "unknown" without it.

    Raises
    ------
    SourceError
        No root, a root that is missing, a file or not readable, or no photo below it.
    """
    if root is None:
        raise SourceError("the source 'folder' needs the folder of your photos: give it by --root DIR")
    top = check_root(root)
    photos = [Photo(_id(path, top), path, licence or "unknown") for path in _walk(top) if is_photo(path.name)]
    if not photos:
        raise SourceError(
            f"{root}: holds no photo (looked for .jpg, .png, .tif, .webp and the like, in all subfolders)"
        )
    return Source("folder", str(top), tuple(sorted(photos, key=lambda photo: photo.id)))


def check_root(root: str | Path) -> Path:
    """The absolute path of ``root``. SourceError if it is no folder."""
    top = Path(root).absolute()
    try:
        if top.is_dir():
            return top
        exists = top.exists()
    except (OSError, ValueError) as error:
        raise SourceError(f"{root!s:.200}: can't be looked at ({error}): check the name") from None
    if exists:
        raise SourceError(f"{root}: is a file, not a folder: give the folder that holds it")
    raise SourceError(f"{root}: no such folder: check the path (--root)")


def is_photo(name: str) -> bool:
    """Whether the file name has a photo's suffix and is not hidden (this covers AppleDouble's ``._name`` too)."""
    return not name.startswith(".") and name.lower().endswith(SUFFIXES)


def _walk(top: Path) -> list[Path]:
    """All files below ``top`` outside hidden folders; a folder reached twice (by links) is listed at its first name."""
    seen, files = set(), []
    for folder, folders, names in os.walk(top, onerror=_unreadable, followlinks=True):
        found = os.stat(folder)
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(folder, name) for name in names]
    return files


def _unreadable(error: OSError) -> None:
    raise SourceError(f"{error.filename}: can't be listed ({error.strerror}): make it readable or move it away")


def _id(path: Path, top: Path) -> str:
    """The POSIX path below ``top``; bytes that are not UTF-8 are written as \\xNN, so that the id can be stored."""
    return os.fsencode(path.relative_to(top).as_posix()).decode("utf-8", "backslashreplace")
