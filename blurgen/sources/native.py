"""Photos as they are stored: any number of channels, uint8, uint16 or float32. For what Pillow reads with 8 bits only.

cv2 and tifffile are imported where they are used: listing photos needs neither.
"""

from __future__ import annotations

import io
import logging
import math
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np

from blurgen.errors import PhotoError
from blurgen.sources.limits import CAMERA_RAW, MAX_LIGHT, SEVERAL_PAGES, check_array
from blurgen.sources.png import is_whole_png

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPage

NPY_START = b"\x93NUMPY"
_NPY_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
_TYPES = {"u1": np.uint8, "u2": np.uint16, "f2": np.float32, "f4": np.float32, "f8": np.float32}
"""Type in the file -> type in memory: half precision is widened, double narrowed."""

_ORIENTATION, _DNG_VERSION = 274, 50706
_WHITE_IS_ZERO, _GREY, _RGB = 0, 1, 2
_UNCOMPRESSED, _DEFLATE = 1, (8, 32946)
_ASSOCIATED, _UNASSOCIATED = 1, 2
_MOST_PREVIEWS = 100
_DEFLATE_RATIO = 1032  # no byte of a Deflate stream becomes more bytes than that
_SMALL_BYTES = 1 << 28  # what may be unpacked without a look at it

logging.getLogger("tifffile").addHandler(logging.NullHandler())  # else Python prints what it says of damaged files


# Arrays ---------------------------------------------------------------------------------------------------------------


def read_npy(data: bytes) -> np.ndarray:
    """An array of shape (H, W) or (H, W, C) in numpy's format, as (H, W, C) uint8, uint16 or float32.

    The header is checked before anything is allocated, and pickled objects are never loaded. PhotoError if the array is
    damaged or another one.
    """
    stream = io.BytesIO(data)
    version = np.lib.format.read_magic(stream)
    if version not in _NPY_HEADERS:
        raise PhotoError(f"numpy format {version[0]}.{version[1]} is not supported: save it with np.save")
    try:
        shape, fortran, dtype = _NPY_HEADERS[version](stream)
    except Exception:  # numpy evaluates the header, and says whatever Python does
        raise PhotoError("damaged header of a .npy array: save it again with np.save") from None
    _check_type(dtype)
    height, width, channels = _channels_last(shape)
    check_array(height, width, channels, dtype.itemsize)
    values = memoryview(data)[stream.tell() :]
    if len(values) != height * width * channels * dtype.itemsize:
        raise PhotoError("truncated array, or one with bytes left over: copy it again from the original")
    array = np.frombuffer(values, dtype).reshape(shape, order="F" if fortran else "C")
    return _own(array.reshape(height, width, channels))


def _channels_last(shape: tuple[int, ...]) -> tuple[int, int, int]:
    if len(shape) not in (2, 3) or min(shape) < 1:
        raise PhotoError(f"an array of shape {shape!s:.60}: give (height, width) or (height, width, channels)")
    if len(shape) == 3 and shape[0] < 32 <= min(shape[1:]):
        raise PhotoError(f"an array of shape {shape!s:.60} has its channels first: move them last (np.moveaxis)")
    return (*shape, 1)[:3]


def _check_type(dtype: np.dtype | None) -> None:
    if dtype is None or f"{dtype.kind}{dtype.itemsize}" not in _TYPES:
        raise PhotoError(f"values of type {dtype!s:.40} are not supported: convert to uint8, uint16 or float32 first")


def _own(pixels: np.ndarray) -> np.ndarray:
    """Our own array, in C order, uint8, uint16 or float32. PhotoError for NaN and infinity."""
    with np.errstate(over="ignore"):
        own = np.array(pixels, _TYPES[f"{pixels.dtype.kind}{pixels.dtype.itemsize}"], order="C")
    if own.dtype.kind == "f" and not (np.abs(own) <= MAX_LIGHT).all():
        raise PhotoError(f"holds NaN, infinity or values beyond {MAX_LIGHT:g}: replace or scale them first")
    return own


# What OpenCV keeps and Pillow does not --------------------------------------------------------------------------------


def read_deep(data: bytes, channels: int) -> np.ndarray:
    """Decode a 16-bit PNG or PNM of 1 or 3 ``channels``: (H, W, C) uint16, values as stored, transparency on white.

    Its size must have been checked before.
    """
    stored = _unchanged(data)  # OpenCV makes grey with alpha three equal channels with alpha
    colours = stored[..., :channels]
    return _own(_on_white(colours, stored[..., 3]) if stored.shape[2] == 4 else colours)


def _unchanged(data: bytes) -> np.ndarray:
    """What OpenCV decodes, (H, W, C) in the order of the file. PhotoError where it can't."""
    import cv2

    try:
        whole = not data.startswith(b"\x89PNG") or is_whole_png(data)
        stored = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if whole else None
    except cv2.error:
        stored = None
    if stored is None:
        raise PhotoError("truncated or damaged photo: copy it again from the original")
    stored = stored.reshape(*stored.shape[:2], -1)
    return stored[..., [2, 1, 0, 3][: stored.shape[2]]] if stored.shape[2] > 1 else stored


def _on_white(colours: np.ndarray, alpha: np.ndarray, *, multiplied: bool = False) -> np.ndarray:
    """Lay colours (H, W, C), uint8 or uint16, on white by ``alpha`` (H, W) of the same type.

    ``multiplied``: alpha is associated, the colours are multiplied by it already.
    """
    white = np.uint32(np.iinfo(colours.dtype).max)
    alpha = alpha[..., None].astype(np.uint32)  # the largest sum, white * white + white / 2, fits
    seen = np.minimum(colours, alpha) * white if multiplied else colours * alpha
    return ((seen + (white - alpha) * white + white // 2) // white).astype(colours.dtype)


# TIFF -----------------------------------------------------------------------------------------------------------------


def read_tiff(data: bytes) -> tuple[np.ndarray, int] | None:
    """The pixels of a TIFF, (H, W, C), and its orientation; None where Pillow keeps all that there is.

    Grey, RGB and any number of other channels, interleaved or in planes, in strips or tiles, uncompressed or Deflate;
    in other compressions what OpenCV reads (1, 3 or 4 channels). "White is zero" is inverted and transparency laid on
    white; 12 bits in 16 stay as they are. Left to Pillow are palettes, CMYK, YCbCr, and at most 8 bits (or 12, grey)
    in those compressions. PhotoError for everything else.
    """
    import tifffile

    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = _only_page(file)
        orientation = page.tags.valueof(_ORIENTATION, 1)
        plain = page.photometric in (_GREY, _WHITE_IS_ZERO, _RGB) and page.bitspersample in (8, 16, 32, 64)
        if plain and page.compression in (_UNCOMPRESSED, *_DEFLATE) and page.predictor in (1, 2):
            _check_page(page, data)
            planes = page.asarray(squeeze=False, maxworkers=1)[:, 0]
            stored = np.moveaxis(planes, 0, 2).reshape(*planes.shape[1:3], -1)
            return _shown(stored, page), orientation
        if _suits_pillow(page):
            return None
        if plain and page.samplesperpixel in (1, 3, 4) and page.planarconfig == 1:
            _check_page(page, data)
            stored = _unchanged(data)
            if stored.dtype == page.dtype and stored.shape == (*page.shape, 1)[:3]:
                return _shown(stored, page), orientation
    kind = f"{page.samplesperpixel} x {page.bitspersample} bits"
    raise PhotoError(f"a TIFF of this kind ({kind}) is not supported: save it uncompressed or with Deflate (zip)")


def _only_page(file: TiffFile) -> TiffPage:
    """The photo's page. PhotoError if there are more that are no previews, or if it is a preview of a raw photo."""
    page = file.pages[0]
    if _DNG_VERSION in page.tags or page.subfiletype & 1:
        raise PhotoError(CAMERA_RAW)
    with suppress(IndexError):  # after the last page
        for index in range(1, _MOST_PREVIEWS):
            if not file.pages[index].subfiletype & 1:
                raise PhotoError(f"{SEVERAL_PAGES}, or all as the channels of one page")
    if page.imagedepth != 1:
        raise PhotoError("a volume: save the slice that you want as a photo of its own first")
    return page


def _suits_pillow(page: TiffPage) -> bool:
    """Whether Pillow loses neither a channel nor depth."""
    extra = [kind for kind in page.extrasamples if kind not in (_ASSOCIATED, _UNASSOCIATED)]
    return not extra and (page.bitspersample <= 8 or (page.bitspersample == 12 and page.samplesperpixel == 1))


def _check_page(page: TiffPage, data: bytes) -> None:
    """By the header: the size, the type of the values, and that all strips or tiles are there and none is a bomb."""
    _check_type(page.dtype)
    check_array(page.imagelength, page.imagewidth, page.samplesperpixel, page.dtype.itemsize)
    segments = list(zip(page.dataoffsets, page.databytecounts, strict=True))
    if len(segments) < math.prod(page.chunked) or min(count for _, count in segments) < 1:
        raise PhotoError("damaged TIFF (strips are missing): copy it again from the original")
    if max(offset + count for offset, count in segments) > len(data):
        raise PhotoError("truncated photo: copy it again from the original")
    whole = math.prod(page.chunks) * page.dtype.itemsize
    for offset, count in segments if page.compression in _DEFLATE else ():
        large = count * _DEFLATE_RATIO > max(whole, _SMALL_BYTES)
        if large and len(zlib.decompressobj().decompress(data[offset : offset + count], whole + 1)) > whole:
            raise PhotoError("damaged TIFF (a strip unpacks to more than it should): save it again")


def _shown(stored: np.ndarray, page: TiffPage) -> np.ndarray:
    """What the stored samples (H, W, C) show: zero is black, nothing is transparent, the type is one of ours."""
    colours = 3 if page.photometric == _RGB else 1
    alpha = page.extrasamples[0] if stored.shape[2] == colours + 1 and page.extrasamples else 0
    transparent = alpha in (_ASSOCIATED, _UNASSOCIATED)
    if stored.dtype.kind == "f" and (transparent or page.photometric == _WHITE_IS_ZERO):
        raise PhotoError("floats that are transparent, or zero for white: flatten them on black as zero first")
    pixels = stored[..., :colours] if transparent else stored
    if page.photometric == _WHITE_IS_ZERO:
        pixels = np.iinfo(stored.dtype).max - pixels
    return _own(_on_white(pixels, stored[..., colours], multiplied=alpha == _ASSOCIATED) if transparent else pixels)
