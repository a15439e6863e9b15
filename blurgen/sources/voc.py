"""PASCAL VOC: a VOCdevkit year folder (2007 or 2012), with its lists of photos and its object masks."""

from __future__ import annotations

import hashlib
import io
import os
import re
import stat
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from blurgen.errors import PhotoError, SourceError
from blurgen.sources.folder import escaped, mode_of, names_in
from blurgen.sources.photo import Photo, Source, first_line, read_file

SPLITS = ("train", "val", "trainval", "all")
VOID = 255
_YEARS = ("VOC2012", "VOC2007")
_LICENCE = "Flickr terms of use (PASCAL VOC)"
_GET = (
    "get VOCtrainval_11-May-2012.tar (2 GB) from http://host.robots.ox.ac.uk/pascal/VOC/voc2012/, unpack it, "
    "and name its VOC2012 folder by --root or BLURGEN_VOC"
)


@dataclass(frozen=True)
class VocObjects:
    """The objects of one photo: ``SegmentationObject/<id>.png``, a palette PNG with one index per object."""

    path: Path

    def label_map(self, height: int, width: int) -> np.ndarray:
        """The objects as labels.

        Parameters
        ----------
        height, width : int
            The photo's size in px.

        Returns
        -------
        ndarray of shape (H, W), int32
            0 background or void (index 255), 1..K the objects.

        Raises
        ------
        PhotoError
            The mask is missing, damaged, not indexed, or of another size than the photo.
        """
        data = read_file(self.path, f"mask {self.path.name}")
        try:
            with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=["PNG"]) as mask:
                self._check_header(mask, height, width)
                indices = np.array(mask)
        except PhotoError:
            raise
        except UnidentifiedImageError:  # its own text holds an address
            raise PhotoError(f"damaged mask {self.path.name}: not a PNG that Pillow can read") from None
        except Exception as error:  # decoders raise whatever they like on damaged bytes
            raise PhotoError(f"damaged mask {self.path.name}: {first_line(error)}") from error
        labels = indices.astype(np.int32)
        labels[labels == VOID] = 0
        return labels

    def _check_header(self, mask: Image.Image, height: int, width: int) -> None:
        if mask.size != (width, height):
            sizes = f"{mask.size[0]} x {mask.size[1]} px, the photo {width} x {height} px"
            raise PhotoError(f"mask {self.path.name} is {sizes}: they must be equal")
        if mask.mode not in ("P", "L"):
            raise PhotoError(f"mask {self.path.name} has colour mode {mask.mode}: it must be indexed (palette PNG)")

    def digest(self) -> str:
        """sha256 (hex) of the mask file. PhotoError if it can't be read."""
        return hashlib.sha256(read_file(self.path, f"mask {self.path.name}")).hexdigest()


def open_voc(
    root: str | Path | None, *, split: str = "trainval", with_objects: bool = False, licence: str | None = None
) -> Source:
    """The photos of a VOC year folder that the lists of ``split`` name.

    Parameters
    ----------
    root : path or None
        The year folder, or a folder that holds it. None: $BLURGEN_VOC, then ./VOCdevkit and the current folder.
    split : str
        train, val, trainval or all.
    with_objects : bool
        Only the photos of ImageSets/Segmentation, each with its objects; without it, those of ImageSets/Main too.
    licence : str, optional
        Noted instead of VOC's own terms.

    Raises
    ------
    SourceError
        No VOC folder, no list for the split, a list that names something other than ids, or no photo at all.
    """
    year = find_year_folder(root)
    ids = _listed_ids(year, split, ("Segmentation",) if with_objects else ("Main", "Segmentation"))
    if ids is None:
        names = names_in(year / "JPEGImages")
        ids = [name.removesuffix(".jpg") for name in names if name.endswith(".jpg") and not name.startswith(".")]
    if not ids:
        raise SourceError(f"{year}: the lists of split {split!r} name no photo: take another --split")
    photos = (
        Photo(
            escaped(name),
            year / "JPEGImages" / f"{name}.jpg",
            licence or _LICENCE,
            VocObjects(year / "SegmentationObject" / f"{name}.png") if with_objects else None,
        )
        for name in ids
    )
    return Source("voc", str(year), tuple(sorted(photos, key=lambda photo: photo.id)), split)


def find_year_folder(root: str | Path | None) -> Path:
    """The first folder with JPEGImages among the places where VOC may lie. SourceError lists the places."""
    named = root if root is not None else os.environ.get("BLURGEN_VOC") or None
    if named is not None:
        top = Path(named)
        places = [top, *(top / year for year in _YEARS), *(top / "VOCdevkit" / year for year in _YEARS)]
    else:
        places = [Path(folder, year) for year in _YEARS for folder in ("VOCdevkit", ".")]
    denied = None
    for place in places:
        try:
            if stat.S_ISDIR(mode_of(place / "JPEGImages")):
                return place.absolute()
        except SourceError as error:
            denied = denied or error
    if denied:
        raise denied
    hint = "" if root is not None else " (BLURGEN_VOC says so)" if named else " (BLURGEN_VOC is not set)"
    raise SourceError(f"no VOC photos (JPEGImages) in {', '.join(map(str, places))}{hint}: {_GET}")


def _listed_ids(year: Path, split: str, kinds: Iterable[str]) -> set[str] | None:
    """The ids in the lists of ``split``; None when all photos are asked for and there is no list of any kind."""
    names = ("train", "val", "trainval", "test") if split == "all" else (split,)
    lists = [year / "ImageSets" / kind / f"{name}.txt" for kind in kinds for name in names]
    found = [path for path in lists if stat.S_ISREG(mode_of(path))]
    if found:
        return set().union(*map(_read_list, found))
    if split == "all" and "Main" in kinds:
        return None
    places = ", ".join(str(path.relative_to(year)) for path in lists)
    raise SourceError(f"{year}: no list of photos for split {split!r} (looked for {places}): take another --split")


def _read_list(path: Path) -> set[str]:
    """The first word of each line. Ids become paths, so anything that could leave the folder is refused."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: can't be read ({error}): unpack the archive again") from None
    ids = set()
    for number, line in enumerate(lines, 1):
        name = line.split(maxsplit=1)[0] if line.strip() else None
        if name is not None and (not re.fullmatch(r"[\w.-]{1,200}", name) or ".." in name or name.startswith(".")):
            raise SourceError(f"{path}: line {number}: {name[:60]!r} is not a photo id: remove the line")
        if name is not None:
            ids.add(name)
    return ids
