"""What finds blur, a model or a detector, and maps of many photos as files: what `blurgen predict` writes."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from blurgen.errors import ArgumentError, ModelError, OutputError, PhotoError, SourceError
from blurgen.evaluation.calibration import as_probability
from blurgen.evaluation.detectors import DETECTORS
from blurgen.evaluation.scaling import enlarged, smaller
from blurgen.exports.pairs import to_npy, to_png
from blurgen.files import make_folder, publish
from blurgen.params import suggest
from blurgen.report.map_sheet import overlay
from blurgen.sources import Photo, decode, open_source
from blurgen.sources.photo import printable

OVERLAY_SUFFIX = ".overlay.jpg"
OVERLAY_QUALITY = 92


def _as_it_is(found: np.ndarray) -> np.ndarray:
    return found


@dataclass(frozen=True)
class Finder:
    """What finds blur in a photo: a model (``training.predict.model_finder``) or a detector (``detector_finder``).

    Attributes
    ----------
    find : callable
        A photo (H, W, C) to its map (H, W) float32, higher is more blurred.
    pixels : str
        How photos are decoded for it: "rgb8" or "native", see ``decode``.
    to_probability : callable
        What brings such maps to the range from 0 (sharp) to 1 (blurred); those of models are there already.
    """

    find: Callable[[np.ndarray], np.ndarray]
    pixels: str = "rgb8"
    to_probability: Callable[[np.ndarray], np.ndarray] = _as_it_is

    def read(self, photo: Photo) -> np.ndarray:
        """The photo, (H, W, C). PhotoError if it can't be used."""
        return decode(photo.read(), "native" if photo.path.suffix == ".npy" else self.pixels)

    def probability(self, image: np.ndarray) -> np.ndarray:
        """(H, W) float32: 0 sharp to 1 blurred."""
        return self.to_probability(self.find(image))


def detector_finder(name: str, short_side: int | None = None) -> Finder:
    """A detector of ``DETECTORS``, which needs no training. ArgumentError if there is none of that name.

    Photos with a longer short side are made smaller first (area), and the map larger again (bilinear, corners
    aligned).
    """
    if name not in DETECTORS:
        raise ArgumentError(f'no detector "{name:.40}": {suggest(name, list(DETECTORS))}')

    def find(image: np.ndarray) -> np.ndarray:
        return enlarged(DETECTORS[name](smaller(image, short_side)), image.shape[:2])

    return Finder(find, to_probability=lambda scores: as_probability(scores, name))


@dataclass(frozen=True)
class MapOptions:
    """How maps are written.

    ``format``: "png", 8 bits, 255 = blurred; or "npy", float32: what was found as it is, so the scores of a detector,
    which have no bounds; a PNG of these holds ``as_probability``. ``overlay``: a JPEG of the photo with its map on it,
    too. ``overwrite``: files that are there already are replaced, else refused.
    """

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
    """Mean of the map, from 0 to 1: the share that is blurred."""
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
    finder: Finder,
    path: str | Path,
    out: str | Path,
    options: MapOptions,
    photos: tuple[Photo, ...] | None = None,
) -> Iterator[Predicted]:
    """Write a map of its own size for each photo at or below ``path``, under the same relative name, into ``out``.

    ``a/b.jpg`` becomes ``a/b.png``; where two photos would get the same name, ``a/b.jpg.png``. A photo that can't be
    used is told, and the next one taken. ``photos``: what ``list_photos`` found, if that is known.

    Raises
    ------
    SourceError
        No photo, or none that can be used.
    OutputError
        ``out`` lies among the photos, or holds files of those names.
    """
    photos, out = photos or list_photos(path), Path(out)
    root = Path(path).absolute() if Path(path).is_dir() else photos[0].path.parent
    refuse_among_photos(out, path)
    names = [os.path.relpath(photo.path, root) for photo in photos]
    targets = [out / name for name in map_names(names, options.format)]
    files = [*targets, *(map(_overlay_path, targets) if options.overlay else ())]
    refuse_to_overwrite(files, photos, options.overwrite)
    used, first = 0, ""
    for photo, target in zip(photos, targets, strict=True):
        done = _predict_file(finder, photo, target, options)
        used, first = used + (not done.reason), first or f"{done.photo}: {done.reason}"
        yield done
    if not used:
        raise SourceError(f"{printable(str(path))}: none of its photos can be used ({first}); give others")


def map_names(names: list[str], suffix: str) -> list[str]:
    """A name of its own for the map of each photo: the suffix replaced, or added where that would not be unique."""
    found = [f"{Path(name).with_suffix('')}.{suffix}" for name in names]
    folders = {str(folder) for name in names for folder in Path(name).parents}
    while len(counts := Counter([*found, *folders])) < len(found) + len(folders):  # a longer name may meet another one
        found = [one if counts[one] == 1 else f"{name}.{suffix}" for one, name in zip(found, names, strict=True)]
        if counts == Counter([*found, *folders]):
            break  # a photo's own name is a folder's: said when it is written
    return found


def refuse_among_photos(out: Path, path: str | Path) -> None:
    """OutputError if ``out`` lies where the photos at ``path`` are: what is written would be taken for photos."""
    whole = Path(path).is_dir()
    out, root = (Path(os.path.realpath(one)) for one in (out, path if whole else Path(path).absolute().parent))
    if out == root or (whole and (out.is_relative_to(root) or root.is_relative_to(out))):
        raise OutputError(f"{printable(str(out))}: lies among the photos, or around them; choose another folder")


def refuse_to_overwrite(files: Iterable[Path], photos: Iterable[Photo], overwrite: bool) -> None:
    """OutputError for a file that is a photo, by whatever links it is reached; for any other unless ``overwrite``."""
    own = {os.path.realpath(photo.path) for photo in photos}
    for file in files:
        if os.path.realpath(file) in own:
            raise OutputError(f"{printable(str(file))}: is one of the photos; choose another folder")
        if os.path.lexists(file) and not overwrite:
            raise OutputError(f"{printable(str(file))}: is there already; choose another folder, or --overwrite")


def _overlay_path(target: Path) -> Path:
    return target.with_suffix(OVERLAY_SUFFIX)


def _predict_file(finder: Finder, photo: Photo, target: Path, options: MapOptions) -> Predicted:
    try:
        image = finder.read(photo)
        found = finder.find(image)
    except (PhotoError, ModelError) as error:
        return Predicted(photo.id, reason=str(error))
    blur_map = finder.to_probability(found)
    make_folder(target.parent)
    publish(target, to_npy(found) if options.format == "npy" else to_png(to_levels(blur_map)))
    if not options.overlay:
        return Predicted(photo.id, target, None, _mean(blur_map))
    publish(_overlay_path(target), _jpeg(overlay(image, blur_map)))
    return Predicted(photo.id, target, _overlay_path(target), _mean(blur_map))


def to_levels(blur_map: np.ndarray) -> np.ndarray:
    """A map from 0 to 1 as (H, W) uint8, 255 = blurred; never stretched."""
    return np.rint(blur_map * 255).astype(np.uint8)


def _mean(blur_map: np.ndarray) -> float:
    return round(float(blur_map.mean(dtype=np.float64)), 6)


def _jpeg(picture: np.ndarray) -> bytes:
    """(H, W, 3) uint8 RGB as a JPEG."""
    _, data = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, OVERLAY_QUALITY])
    return data.tobytes()
