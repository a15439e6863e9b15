"""Photos whose blur people have marked: CUHK (Shi et al. 2014), DUT (Zhao et al. 2018), and folders of that kind."""

from __future__ import annotations

import hashlib
import io
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, UnidentifiedImageError

from blurgen.errors import ArgumentError, PhotoError, SourceError
from blurgen.sources.folder import SUFFIXES, escaped, mode_of, names_in
from blurgen.sources.limits import MAX_PIXELS, too_large
from blurgen.sources.photo import decode, first_line, printable, read_file

# What in the name of a folder of photos stands for what in the name of its folder of masks. CUHK: image, gt.
# DUT: dut500-source, dut500-gt; DUT600S_Training, DUT600GT_Training.
_WORDS = (("images", "gt"), ("image", "gt"), ("images", "masks"), ("image", "mask"), ("source", "gt"), ("S_", "GT_"))
_MASK_FORMATS = ("PNG", "BMP", "JPEG")
_MASK_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA")
_MIDDLE = 128  # in the file: unknown; in the mask: unknown

Polarity = Literal["white", "black"]
"""Which value of a mask file means blurred. CUHK: white. DUT: black."""


@dataclass(frozen=True)
class Labelled:
    """Photos and their human masks, sorted by name. Nothing is read until ``read``.

    Attributes
    ----------
    root : Path
    names : tuple of str
        File names without suffix; unique.
    photos, masks : tuple of Path
        The files, in the order of ``names``.
    polarity : str
        The value that means blurred, "white" or "black".
    pixels : str
        How photos are decoded, "rgb8" or "native"; as in ``decode``.
    """

    root: Path
    names: tuple[str, ...]
    photos: tuple[Path, ...]
    masks: tuple[Path, ...]
    polarity: Polarity
    pixels: str = "rgb8"

    def __len__(self) -> int:
        return len(self.names)

    def read(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """One photo and its mask.

        Returns
        -------
        image : ndarray of shape (H, W, C), uint8; "native": uint8, uint16 or float32
            Upright.
        mask : ndarray of shape (H, W), uint8
            255 blurred, 0 sharp, 128 unknown.

        Raises
        ------
        PhotoError
            One of the two files is missing, damaged or refused, or their sizes differ.
        """
        with naming(self.photos[index]):
            image = decode(read_file(self.photos[index]), self.pixels)
        with naming(self.masks[index]):
            return image, _mask_of(first_channel(read_file(self.masks[index]), image.shape[:2]), self.polarity)

    @cached_property
    def sha256s(self) -> tuple[tuple[str, str], ...]:
        """sha256 (hex) of each photo's and each mask's file, read once. PhotoError if one can't be read."""
        return tuple(zip(map(_sha256, self.photos), map(_sha256, self.masks), strict=True))

    def digest(self) -> str:
        """sha256 (hex) over the polarity and the names, photos and masks. PhotoError if a file can't be read."""
        lines = [f"{name} {photo} {mask}" for name, (photo, mask) in zip(self.names, self.sha256s, strict=True)]
        return hashlib.sha256("\n".join([self.polarity, *lines]).encode()).hexdigest()


def open_labelled(root: str | Path, polarity: Polarity, *, masks: str | None = None, pixels: str = "rgb8") -> Labelled:
    """The photos and masks of a folder.

    Parameters
    ----------
    root : path
        Holds a folder of photos and one of masks, named as in CUHK (image, gt), in DUT (dut500-source, dut500-gt;
        DUT600S_Training, DUT600GT_Training) or image(s), mask(s). Or it holds one folder that does.
    polarity : str
        Which value of the masks means blurred: "white" (CUHK) or "black" (DUT).
    masks : str, optional
        The name of the folder of masks, where it is another or there are several.
    pixels : str
        "rgb8" or "native", as in ``decode``.

    Raises
    ------
    ArgumentError
        Another polarity.
    SourceError
        No such folders or several, or a photo without a mask, or a mask without a photo.
    """
    if polarity not in ("white", "black"):
        raise ArgumentError(
            f"polarity is {polarity!r:.40}: say what blurred is in the masks, white (CUHK) or black (DUT)"
        )
    if not Path(root).is_dir():
        raise SourceError(f"{printable(str(root))}: no such folder; give the one that holds photos and masks")
    photo_folder, mask_folder = _folders(Path(root), masks)
    photos, labels = by_stem(photo_folder), by_stem(mask_folder)
    _refuse_unmatched(photo_folder, photos, mask_folder, labels)
    stems = sorted(photos)
    return Labelled(
        photo_folder.parent,
        tuple(map(escaped, stems)),
        tuple(photos[stem] for stem in stems),
        tuple(labels[stem] for stem in stems),
        polarity,
        pixels,
    )


def _folders(top: Path, masks: str | None) -> tuple[Path, Path]:
    """The folder of photos and the folder of masks. SourceError where there are none or several."""
    found = _pairs(top, masks) or [pair for name in _folders_in(top) for pair in _pairs(top / name, masks)]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(
            " + ".join(printable(path.relative_to(top).as_posix()) for path in pair) for pair in found[:4]
        )
        raise SourceError(
            f"{_named(top)}: holds several pairs of folders ({several}): name the folder or the masks to use"
        )
    wanted = "no folders image and gt" if masks is None else f"no folder {printable(masks)!r:.60} beside one of photos"
    raise SourceError(
        f"{_named(top)}: holds {wanted}: name a folder laid out as CUHK (image, gt), DUT (dut500-source, dut500-gt) "
        "or image, mask"
    )


def _pairs(top: Path, masks: str | None) -> list[tuple[Path, Path]]:
    """All folders of photos in ``top``, each with its folder of masks; with ``masks`` only those that go with it."""
    names = _folders_in(top)
    found = {(name, name.replace(*words)) for name in names for words in _WORDS if words[0] in name}
    found = sorted(pair for pair in found if pair[1] in names and masks in (None, pair[1]))
    if masks in names and not found:
        found = [(name, masks) for name in names if name != masks and any(word in name for word, _ in _WORDS)]
    return [(top / photos, top / labels) for photos, labels in found]


def _folders_in(top: Path) -> list[str]:
    return [name for name in names_in(top) if not name.startswith(".") and stat.S_ISDIR(mode_of(top / name))]


def by_stem(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> dict[str, Path]:
    """The pictures in a folder, by name without suffix. SourceError if a name is there twice."""
    found = {}
    for name in names_in(folder):
        if name.startswith(".") or not name.lower().endswith(suffixes):
            continue
        path = folder / name
        if path.stem in found:
            raise SourceError(
                f"{_named(path)}: {printable(found[path.stem].name)} has the same name: remove one of them"
            )
        found[path.stem] = path
    return found


def _refuse_unmatched(photo_folder: Path, photos: dict, mask_folder: Path, masks: dict) -> None:
    faults = []
    for what, names, others, folder in (("photos", photos, masks, mask_folder), ("masks", masks, photos, photo_folder)):
        alone = sorted(names.keys() - others.keys())
        if alone:
            some = ", ".join(map(printable, alone[:3])) + ", ..." * (len(alone) > 3)
            faults.append(f"{len(alone)} of {len(names)} {what} match nothing in {printable(folder.name)} ({some})")
    if faults:
        raise SourceError(f"{_named(photo_folder.parent)}: {'; '.join(faults)}: give equal names, or move these away")
    if not photos:
        raise SourceError(f"{_named(photo_folder)}: holds no photo: name another folder")


def _sha256(path: Path) -> str:
    with naming(path):
        return hashlib.sha256(read_file(path)).hexdigest()


def _named(path: Path) -> str:
    return printable(str(path))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Puts the path before the reason why a file is refused."""
    try:
        yield
    except PhotoError as error:
        raise PhotoError(f"{_named(path)}: {error}") from None


def read_mask(path: Path, polarity: Polarity) -> tuple[np.ndarray, int]:
    """A mask without its photo, as in ``Labelled.read``, and how many of its pixels are neither black nor white.

    Raises PhotoError, which names the file, if it is missing, damaged or refused.
    """
    with naming(path):
        values = first_channel(read_file(path))
        return _mask_of(values, polarity), int(np.count_nonzero((values - np.uint8(1)) < 254))


def _mask_of(values: np.ndarray, polarity: Polarity) -> np.ndarray:
    """(H, W) uint8, 255 blurred, 0 sharp, 128 unknown, of a mask file's values. PhotoError."""
    if values.max() == 1:
        raise PhotoError("a mask of 0 and 1: save white as 255 and black as 0")
    blurred = values > _MIDDLE if polarity == "white" else values < _MIDDLE
    return np.where(values == _MIDDLE, np.uint8(_MIDDLE), blurred * np.uint8(255))


def first_channel(data: bytes, shape: tuple[int, int] | None = None, what: str = "mask") -> np.ndarray:
    """(H, W) uint8, the first channel of a PNG, BMP or JPEG file's bytes. PhotoError, also for another shape."""
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=_MASK_FORMATS) as picture,
        ):
            _check_header(picture, shape, what)
            if picture.mode in ("1", "P", "PA"):
                picture = picture.convert("L" if picture.mode == "1" else "RGB")
            values = np.asarray(picture)
    except PhotoError:
        raise
    except Image.DecompressionBombError:
        raise PhotoError(f"a {what} far larger than its photo: they must be equal") from None
    except UnidentifiedImageError:  # its own text holds an address
        raise PhotoError(f"not a PNG, BMP or JPEG: get the {what} again, or save it as PNG") from None
    except Exception as error:  # decoders raise whatever they like on damaged bytes
        raise PhotoError(f"damaged {what}: {first_line(error)}") from None
    return values if values.ndim == 2 else values[..., 0]


def _check_header(picture: Image.Image, shape: tuple[int, int] | None, what: str) -> None:
    """Refuse by what the header says, before any pixel is decoded."""
    width, height = picture.size
    if shape is None and width * height > MAX_PIXELS:
        raise PhotoError(too_large(width * height))
    if shape and (height, width) != shape:
        turned = (
            " (a photo is turned upright by its EXIF orientation: turn the mask too)"
            if (width, height) == shape
            else ""
        )
        sizes = f"{width} x {height} px, its photo {shape[1]} x {shape[0]} px{turned}"
        raise PhotoError(f"a mask of {sizes}: they must be equal")
    if picture.mode not in _MASK_MODES:
        raise PhotoError(f"colour mode {picture.mode}: save the {what} with 8 bits, black and white")
