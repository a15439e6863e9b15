"""Maps of many photos, as files: what `blurgen predict` writes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from blurgen.errors import ModelError, OutputError, PhotoError, SourceError
from blurgen.exports.pairs import to_npy, to_png
from blurgen.files import make_folder, publish
from blurgen.report.map_sheet import overlay
from blurgen.sources import Photo, decode, open_source
from blurgen.sources.photo import printable
from blurgen.training.models import BlurModel
from blurgen.training.predict import predict

OVERLAY_SUFFIX = ".overlay.jpg"
OVERLAY_QUALITY = 92


@dataclass(frozen=True)
class MapOptions:
    """How maps are made (see ``predict``) and written.

    ``format``: "png", 8 bits, 255 = blurred; or "npy", float32. ``overlay``: a JPEG of the photo with its map on it,
    too. ``overwrite``: files that are there already are replaced, else refused.
    """

    tta: str = "none"
    tile_px: int | None = None
    short_side: int | None = None
    format: Literal["png", "npy"] = "png"
    overlay: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Predicted:
    """What became of one photo: its map, or the reason why there is none."""

    photo: str
    map: Path | None = None
    overlay: Path | None = None
    mean: float | None = None
    """Mean of the map: the share that is blurred."""
    reason: str = ""

    def to_dict(self) -> dict:
        """For --json."""
        if self.reason:
            return {"photo": self.photo, "map": None, "reason": self.reason}
        laid = {"overlay": str(self.overlay)} if self.overlay else {}
        return {"photo": self.photo, "map": str(self.map), **laid, "mean": self.mean}


def list_photos(path: str | Path) -> tuple[Photo, ...]:
    """The photo at ``path``, or all photos below that folder, arrays (.npy) too. SourceError if there is none."""
    path = Path(path).absolute()
    if path.is_dir():
        return open_source("folder", path, arrays=True).photos
    if not path.exists():
        raise SourceError(f"{printable(str(path))}: no such photo or folder; check the path")
    return (Photo(printable(path.name), path),)


def predict_files(
    model: BlurModel,
    path: str | Path,
    out: str | Path,
    options: MapOptions,
    dtype: str = "uint8",
    photos: tuple[Photo, ...] | None = None,
) -> Iterator[Predicted]:
    """Write a map of its own size for each photo at or below ``path``, under the same relative name, into ``out``.

    ``a/b.jpg`` becomes ``a/b.png``; where two photos would get the same name, ``a/b.jpg.png``. A photo that can't be
    used is told, and the next one taken. ``dtype`` is that of the images that the model was trained on; ``photos``
    what ``list_photos`` found, if that is known.

    Raises
    ------
    SourceError
        No photo, or none that can be used.
    OutputError
        ``out`` lies among the photos, or holds files of those names.
    """
    photos, out = photos or list_photos(path), Path(out)
    root = Path(path).absolute() if Path(path).is_dir() else photos[0].path.parent
    _refuse_among_photos(out, root, Path(path).is_dir())
    names = [os.path.relpath(photo.path, root) for photo in photos]
    targets = [out / name for name in map_names(names, options.format)]
    _refuse_to_overwrite(targets, photos, options)
    pixels = "rgb8" if (model.channels, dtype) == (3, "uint8") else "native"
    used, first = 0, ""
    for photo, target in zip(photos, targets, strict=True):
        done = _predict_file(model, photo, target, options, pixels)
        used, first = used + (not done.reason), first or f"{done.photo}: {done.reason}"
        yield done
    if not used:
        raise SourceError(f"{printable(str(path))}: none of its photos can be used ({first}); give others")


def map_names(names: list[str], suffix: str) -> list[str]:
    """A name of its own for the map of each photo: the suffix replaced, or added where that would not be unique."""
    found = [f"{Path(name).with_suffix('')}.{suffix}" for name in names]
    while len(counts := Counter(found)) < len(found):  # a longer name may meet another one's shorter
        found = [one if counts[one] == 1 else f"{name}.{suffix}" for one, name in zip(found, names, strict=True)]
    return found


def _refuse_among_photos(out: Path, root: Path, whole: bool) -> None:
    """Maps among photos would be taken for photos, or written over them."""
    out, root = (Path(os.path.realpath(path)) for path in (out, root))
    if out == root or (whole and (out.is_relative_to(root) or root.is_relative_to(out))):
        raise OutputError(f"{printable(str(out))}: lies among the photos, or around them; choose another folder")


def _refuse_to_overwrite(targets: list[Path], photos: tuple[Photo, ...], options: MapOptions) -> None:
    """A photo, by whatever links it is reached, never; other files only when asked."""
    own = {os.path.realpath(photo.path) for photo in photos}
    for target in targets:
        for file in (target, _overlay_path(target)) if options.overlay else (target,):
            if os.path.realpath(file) in own:
                raise OutputError(f"{printable(str(file))}: is one of the photos; choose another folder")
            if os.path.lexists(file) and not options.overwrite:
                raise OutputError(f"{printable(str(file))}: is there already; choose another folder, or --overwrite")


def _overlay_path(target: Path) -> Path:
    return target.with_suffix(OVERLAY_SUFFIX)


def _predict_file(model: BlurModel, photo: Photo, target: Path, options: MapOptions, pixels: str) -> Predicted:
    try:
        image = decode(photo.read(), "native" if photo.path.suffix == ".npy" else pixels)
        found = predict(model, image, tta=options.tta, tile_px=options.tile_px, short_side=options.short_side)
    except (PhotoError, ModelError) as error:
        return Predicted(photo.id, reason=str(error))
    make_folder(target.parent)
    publish(target, to_npy(found) if options.format == "npy" else to_png(np.rint(found * 255).astype(np.uint8)))
    if not options.overlay:
        return Predicted(photo.id, target, None, _mean(found))
    publish(_overlay_path(target), _jpeg(overlay(image, found)))
    return Predicted(photo.id, target, _overlay_path(target), _mean(found))


def _mean(blur_map: np.ndarray) -> float:
    return round(float(blur_map.mean(dtype=np.float64)), 6)


def _jpeg(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, OVERLAY_QUALITY])
    return data.tobytes()
