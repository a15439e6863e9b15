"""Any tree of photos."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from blurgen.errors import SourceError
from blurgen.sources.photo import Photo, Source, first_line, printable

_DECODED = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".bmp", ".webp", ".gif", ".ppm", ".pgm")
_DECODED += (".pnm", ".jp2", ".avif")
_REFUSED = (".heic", ".heif", ".dng", ".cr2", ".cr3", ".nef", ".nrw", ".arw", ".raf", ".orf", ".rw2", ".pef", ".srw")
SUFFIXES = (*_DECODED, *_REFUSED, ".x3f")  # listed too, so that the user learns why they can't be used


def open_folder(root: str | Path | None, *, licence: str | None = None, arrays: bool = False) -> Source:
    """Every photo below ``root``, recognised by suffix; hidden files and folders are passed over.

    Symbolic links are followed, each real folder once. ``licence`` is noted for every photo, "unknown" without it.
    With ``arrays``, .npy files are listed too.

    Raises
    ------
    SourceError
        No root, a root that is missing, a file or not readable, or no photo below it.
    """
    if root is None:
        raise SourceError("the source 'folder' needs the folder of your photos: give it by --root DIR")
    top = check_root(root)
    photos = [
        Photo(escaped(path.relative_to(top).as_posix()), path, licence or "unknown")
        for path in _walk(top)
        if _is_photo(path.name, SUFFIXES + (".npy",) * arrays)
    ]
    if not photos:
        looked_for = "looked for .jpg, .png, .tif, .webp and the like, in all subfolders"
        raise SourceError(f"{printable(str(root))}: holds no photo ({looked_for}): name another folder")
    return Source("folder", str(top), tuple(sorted(photos, key=lambda photo: photo.id)))


def check_root(root: str | Path) -> Path:
    """The absolute path of ``root``. SourceError if it is no folder."""
    top = Path(root).absolute()
    mode = mode_of(top)
    if stat.S_ISDIR(mode):
        return top
    named = printable(str(root))
    if mode:
        raise SourceError(f"{named}: is a file, not a folder: give the folder that holds it")
    raise SourceError(f"{named}: no such folder: check the path (--root)")


def mode_of(path: Path) -> int:
    """The ``st_mode`` of a file or folder, 0 if nothing is there. SourceError if it can't be looked at."""
    with _looking_at(path), suppress(FileNotFoundError, NotADirectoryError):
        return os.stat(path).st_mode
    return 0


def names_in(folder: Path) -> list[str]:
    """The sorted names in a folder, none if there is no such folder. SourceError if it can't be looked at."""
    with _looking_at(folder), suppress(FileNotFoundError, NotADirectoryError):
        return sorted(os.listdir(folder))
    return []


@contextmanager
def _looking_at(path: str | Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        named = printable(f"{path!s:.200}")
        raise SourceError(f"{named}: can't be looked at ({first_line(error)}): make it readable or check it") from None


def _is_photo(name: str, suffixes: tuple[str, ...]) -> bool:
    """Whether the file name has a photo's suffix and is not hidden (this covers AppleDouble's ``._name`` too)."""
    return not name.startswith(".") and name.lower().endswith(suffixes)


def _walk(top: Path) -> list[Path]:
    """All files below ``top`` outside hidden folders; a folder reached twice (by links) is listed at its first name."""
    seen, files = set(), []
    for folder, folders, names in os.walk(top, onerror=_unreadable, followlinks=True):
        with _looking_at(folder):
            found = os.stat(folder)
        if (found.st_dev, found.st_ino) in seen:
            folders.clear()
            continue
        seen.add((found.st_dev, found.st_ino))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        files += [Path(folder, name) for name in names]
    return files


def _unreadable(error: OSError) -> None:
    raise SourceError(
        f"{printable(str(error.filename))}: can't be listed ({error.strerror}): make it readable or move it away"
    )


def escaped(name: str) -> str:
    """An id of its own for each name, that can be stored and printed: bytes that are not UTF-8 become \\xNN, control
    characters \\uNNNN, and a backslash is doubled.
    """
    return printable(os.fsencode(name.replace("\\", "\\\\")).decode("utf-8", "backslashreplace"))
