"""One photo: its bytes, and its pixels. Colour, depth and orientation are settled here and nowhere else."""

from __future__ import annotations

import io
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from PIL import Image, UnidentifiedImageError

from blurgen.errors import ArgumentError, PhotoError, SourceError
from blurgen.sources.jpeg import check_jpeg
from blurgen.sources.limits import CAMERA_RAW, MAX_BYTES, SEVERAL_PAGES, check_size, too_large
from blurgen.sources.native import NPY_START, read_deep, read_npy, read_tiff

_COUNTED_BYTES = 20_000_000  # the frames of larger files are not counted: a GIF has to be walked from end to end

_FORMATS = ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
_RAW_STARTS = (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM")
_UNREADABLE = "not a photo that Pillow can read"
_CONTACT_SHEET = "blurgen contact sheet"  # the PNG text "Software" of the sheets that blurgen writes

_ORIENTATION = 0x0112
_UPRIGHT = {  # EXIF orientation -> what turns the stored pixels (H, W, C) upright
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: pixels[::-1, ::-1].swapaxes(0, 1),
    8: lambda pixels: np.rot90(pixels),
}
_STRIP_PIXELS = 4_000_000
_SUBFILE_TYPE, _BITS, _COMPRESSION, _PHOTOMETRIC, _PLANAR, _DNG_VERSION = 254, 258, 259, 262, 284, 50706
_STDERR = threading.Lock()
_UNPRINTABLE = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Objects(Protocol):
    """The annotated objects of one photo: small, picklable, read only when asked."""

    def label_map(self, height: int, width: int) -> np.ndarray:
        """(H, W) int32: 0 background or void, 1..K the objects. PhotoError if unusable or of another size."""

    def digest(self) -> str:
        """sha256 (hex) of the annotation's content. PhotoError if it can't be read."""


@dataclass(frozen=True)
class Photo:
    """One photo of a source. Nothing is read until ``read``.

    Attributes
    ----------
    id : str
        Unique in its source: the POSIX path below the root, or the VOC id.
    path : Path
        The absolute path of the file.
    licence : str
        As stated by the source; "unknown" where nothing is stated.
    objects : Objects or None
        The annotated objects, if the source was opened with them.
    """

    id: str
    path: Path
    licence: str = "unknown"
    objects: Objects | None = None

    def read(self) -> bytes:
        """The bytes of the file. PhotoError if it is missing, not readable, not a plain file, empty or over 1 GB."""
        return read_file(self.path)


@dataclass(frozen=True)
class Source:
    """A list of photos. ``photos`` is sorted by id, so the order of the file system does not matter.

    ``split`` is the part of the collection that was asked for, "" where it has none.
    """

    name: str
    root: str
    photos: tuple[Photo, ...]
    split: str = ""

    def __post_init__(self) -> None:
        """Refuse ids that are there twice (SourceError): the second photo would overwrite the first."""
        seen = set()
        for photo in self.photos:
            if photo.id in seen:
                raise SourceError(f"{self.root}: two photos have the id {photo.id!r}: rename one of them")
            seen.add(photo.id)


def printable(text: str) -> str:
    """The text with control characters, line breaks and lone surrogates written as \\uNNNN."""
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def read_file(path: Path, what: str = "file") -> bytes:
    """Read a whole file of at most 1 GB. ``what`` names it in the PhotoError that says why it can't be read."""
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):
            raise PhotoError(f"the {what} is not a plain file")
        if found.st_size > MAX_BYTES:
            raise PhotoError(f"the {what} is {found.st_size / 1e9:.1f} GB, above the limit of 1 GB: resize it first")
        data = Path(path).read_bytes()
    except (OSError, ValueError, MemoryError) as error:
        raise PhotoError(f"the {what} can't be read: {first_line(error)}") from None
    if not data:
        raise PhotoError(f"empty {what}")
    return data


def decode(data: bytes, pixels: str = "rgb8") -> np.ndarray:
    """Decode a photo, upright and opaque.

    Parameters
    ----------
    data : bytes
        A JPEG (or a camera's MPO), PNG, TIFF, WebP, BMP, GIF, PNM, JPEG 2000 or AVIF file with one frame, of any colour
        mode; native takes an array of numpy's (.npy) of shape (H, W) or (H, W, C) too.
    pixels : str
        "rgb8": 8-bit RGB. Transparent pixels are laid on white; 16-bit grey is divided by 257, and of 16-bit colour the
        high byte is kept.
        "native": grey stays grey, TIFFs and arrays keep all their channels, and the depth of PNG, TIFF, PNM and arrays
        is kept: uint8, uint16 (values as stored, 12 bits in 16 too) or float32 (of any float). Palettes, CMYK and YCbCr
        become 8-bit RGB; whole numbers are laid on white where they are transparent. JPEG 2000 and AVIF have 8 bits a
        colour.

    Returns
    -------
    ndarray of shape (H, W, 3), uint8; native: (H, W, C), uint8, uint16 or float32
        RGB where there are three channels, the EXIF orientation applied. Floats are finite.

    Raises
    ------
    PhotoError
        With the reason in a few words. No other exception leaves this function, whatever the bytes are.
    ArgumentError
        Another value of ``pixels``.
    """
    if pixels not in ("rgb8", "native"):
        raise ArgumentError(f"pixels is {pixels!r:.40}: give 'rgb8' or 'native'")
    quiet = _is_tiff(data) or pixels == "native"
    try:
        with warnings.catch_warnings(), _quiet_stderr() if quiet else nullcontext():
            warnings.simplefilter("ignore")
            return _decode(data, native=pixels == "native")
    except PhotoError:
        raise
    except UnidentifiedImageError:
        raise PhotoError(_UNREADABLE) from None
    except Image.DecompressionBombError as error:
        found = re.search(r"\((\d+) pixels\)", str(error))
        raise PhotoError(too_large(int(found[1]) if found else None)) from None
    except MemoryError:
        raise PhotoError("not enough memory to decode it: resize it first") from None
    except Exception as error:  # decoders raise whatever they like on damaged bytes
        if "truncated" in str(error).lower():
            raise PhotoError("truncated photo: copy it again from the original") from error
        raise PhotoError(f"damaged photo: {first_line(error)}") from error


def _decode(data: bytes, *, native: bool) -> np.ndarray:
    _refuse_by_first_bytes(data)
    if data.startswith(NPY_START):
        if not native:
            raise PhotoError('an array: set photo.pixels = "native" to use it')
        return read_npy(data)
    stored = read_tiff(data) if native and _is_tiff(data) else None
    pixels, orientation = stored or _stored(data, native)
    return np.ascontiguousarray(_UPRIGHT[orientation](pixels)) if orientation in _UPRIGHT else pixels


def _stored(data: bytes, native: bool) -> tuple[np.ndarray, int]:
    """The pixels as they are stored, (H, W, 3) uint8 RGB or native (H, W, C), and the EXIF orientation."""
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        _refuse_by_header(image, len(data))
        if image.format in ("JPEG", "MPO"):
            check_jpeg(data)
        elif image.format == "TIFF":
            _refuse_tiff(image)
        deep = _deep_channels(image) if native else None  # first: Pillow may load a PNG to find its EXIF
        orientation = _orientation(image)
        if deep:
            return read_deep(data, deep), orientation
        image.load()
        return (_native if native else _to_rgb)(image), orientation


def _refuse_by_first_bytes(data: bytes) -> None:
    if not data:
        raise PhotoError("empty file")
    if data[4:8] == b"ftyp":
        brands = {data[8:12], *(data[i : i + 4] for i in range(16, min(int.from_bytes(data[:4], "big"), 64), 4))}
        if not brands & {b"avif", b"avis"} and brands & _HEIC_BRANDS:
            raise PhotoError("HEIC is not supported: convert it to JPEG first")
        if b"crx " in brands:
            raise PhotoError(CAMERA_RAW)
    if data.startswith(_RAW_STARTS) or (data[:4] == b"II*\0" and data[8:10] == b"CR"):
        raise PhotoError(CAMERA_RAW)
    if data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X":  # Pillow makes room for the canvas before it tells the size
        check_size(int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1)


def _refuse_by_header(image: Image.Image, size: int) -> None:
    """Refuse by what the header says, before any pixel is decoded. ``size`` is the file's, in bytes."""
    if image.format == "PNG" and image.info.get("Software") == _CONTACT_SHEET:
        raise PhotoError("a contact sheet of blurgen, not a photo")
    check_size(*image.size)
    if image.format == "TIFF" and _has_pages(image):
        raise PhotoError(SEVERAL_PAGES)
    if image.format not in ("TIFF", "MPO") and getattr(image, "is_animated", False):
        count = f" ({image.n_frames} frames)" if size < _COUNTED_BYTES else ""
        raise PhotoError(f"animated{count}: extract the frames first")
    if image.mode in ("F", "LAB") or (image.mode == "I" and image.format != "PPM"):
        raise PhotoError(f"colour mode {image.mode} is not supported: convert it to 8-bit RGB first")


def _has_pages(image: Image.Image) -> bool:
    """Whether a TIFF has a second page that Pillow can read and that is no reduced copy (preview) of the first."""
    pages, index = 1, 0
    with suppress(Exception):  # EOFError after the last page, anything at a page that can't be read
        while pages == 1:
            index += 1
            image.seek(index)
            pages += not image.tag_v2.get(_SUBFILE_TYPE, 0) & 1
    image.seek(0)
    return pages > 1


def _refuse_tiff(image: Image.Image) -> None:
    """Refuse what Pillow would decode to something else: raw files (their first page is a preview), wide planes."""
    tags = image.tag_v2
    if _DNG_VERSION in tags or tags.get(_SUBFILE_TYPE, 0) & 1:
        raise PhotoError(CAMERA_RAW)
    if tags.get(_PLANAR) == 2 and tags.get(_COMPRESSION, 1) == 1 and max(tags.get(_BITS, (1,))) > 8:
        raise PhotoError("16-bit TIFF in separate planes is not supported: save it with interleaved colours")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1 to 8; broken EXIF does not make the photo unusable. Pillow turns TIFFs by itself."""
    if image.format == "TIFF":
        return 1
    with suppress(Exception):
        return image.getexif().get(_ORIENTATION, 1)
    return 1


def _deep_channels(image: Image.Image) -> int | None:
    """1 or 3 for a PNG or PNM with more than 8 bits a colour that Pillow would round to 8, else None. By the header."""
    form = image.tile[0].args if image.tile else ""
    if image.format == "PNG" and form in ("RGB;16B", "RGBA;16B", "LA;16B"):
        return 1 if form == "LA;16B" else 3
    if image.format == "PPM" and isinstance(form, tuple) and isinstance(form[-1], int) and form[-1] > 255:
        return 3 if image.mode == "RGB" else 1
    return None


def _native(image: Image.Image) -> np.ndarray:
    """(H, W, 1) uint8 or uint16 of what is grey, (H, W, 3) uint8 of the rest."""
    if image.mode.startswith("I"):
        return _native_grey(image, image.tag_v2 if image.format == "TIFF" else {})
    pixels = _to_rgb(image)
    return pixels[..., :1].copy() if image.mode in ("1", "L", "LA") else pixels


def _native_grey(image: Image.Image, tags: Mapping) -> np.ndarray:
    """(H, W, 1) uint16 as stored; "white is zero" is inverted and the transparent grey of a PNG made white."""
    grey = np.asarray(image).astype(np.uint16)[..., None]
    if tags.get(_PHOTOMETRIC) == 0:
        grey = (4095 if tags.get(_BITS, (16,))[0] == 12 else 65535) - grey
    transparent = image.info.get("transparency")
    return np.where(grey == transparent, np.uint16(65535), grey) if isinstance(transparent, int) else grey


def _to_rgb(image: Image.Image) -> np.ndarray:
    """(H, W, 3) uint8, strip by strip: a whole photo in each of the modes on the way would take a gigabyte."""
    width, height = image.size
    rows = max(1, _STRIP_PIXELS // width)
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        strip = image if rows >= height else image.crop((0, top, width, bottom))
        if strip.mode.startswith("I"):
            pixels[top:bottom] = _grey_to_8_bit(strip, image.tag_v2 if image.format == "TIFF" else {})[..., None]
        else:
            pixels[top:bottom] = np.asarray(_opaque(strip).convert("RGB"))
    return pixels


def _opaque(image: Image.Image) -> Image.Image:
    """The image laid on white where it is transparent."""
    if not image.has_transparency_data:
        return image
    page = Image.new("RGBA", image.size, "white")
    page.alpha_composite(image.convert("RGBA"))
    return page


def _grey_to_8_bit(image: Image.Image, tags: Mapping) -> np.ndarray:
    """(H, W) uint8 from 16 bits of grey: 65535 becomes 255. TIFF: 12 bits are widened, "white is zero" is inverted."""
    grey = np.asarray(image).astype(np.uint32)
    if tags.get(_BITS, (16,))[0] == 12:
        grey = grey * 65535 // 4095
    if tags.get(_PHOTOMETRIC) == 0:
        grey = 65535 - grey
    return ((grey + 128) // 257).astype(np.uint8)


def _is_tiff(data: bytes) -> bool:
    return data[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+", b"MM*\0", b"II\0*")


@contextmanager
def _quiet_stderr() -> Iterator[None]:
    """libtiff writes what is wrong with a file to the process's stderr, past Python: close it meanwhile."""
    with _STDERR:
        try:
            kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        except OSError:  # no stderr at all
            yield
            return
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            os.close(nowhere)


def first_line(error: BaseException) -> str:
    """One short line of what a library said, without addresses, which differ from run to run."""
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return printable(" ".join(re.sub(r" at 0x[0-9A-Fa-f]+", "", text).split()))[:120]
