"""Any photo -> the small Lab picture in which proposals are looked for.

Only minima, maxima and the downscale read the photo at its full size; everything else happens after it.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from blurgen.errors import PhotoError

_SHAPES = "(H, W) or (H, W, 1) grey, (H, W, 3) RGB or (H, W, C) of any number of channels"
_DTYPES = {"u1": "uint8", "u2": "uint16", "f2": "float16", "f4": "float32", "f8": "float64"}
_LARGEST = np.float64(1e30)  # sums of larger float32 could overflow, and fill values are often -3.4e38
_PERCENTILES = (0.1, 99.9)
_NARROW = 1 / 8  # of the range; photos that span less are stretched
_NOISE = 1e-6  # of the values: what averaging in float32 leaves of a constant
_BLOCK = 2**14


def working_photo(image: np.ndarray, side_px: int) -> np.ndarray:
    """Downscale a photo and bring it to 8-bit CIE Lab.

    Three channels are RGB, one is RGB with equal channels. A uint8 photo is divided by 255. A uint16 photo is divided
    by 65535, unless it leaves the two top bits unused: then its sensor had as many bits as its largest value needs (at
    least 8), and it is divided by 2^bits - 1. So ``photo * 257`` in uint16 gives what the uint8 photo gives, but for a
    very dark one (no value above 63 of 255). A float photo within [0, 1] is taken as it is; of another one, the .1 and
    99.9 percentiles become 0 and 1. So they do in every photo where they lie less than an eighth of the range apart
    (thermal counts, fog).

    Photos of another number of channels have no colour. Their first principal component becomes L (its .1 and 99.9
    percentiles 0 and 100), the next two times the same factor a and b (0 where there is none).

    Parameters
    ----------
    image : ndarray of shape (H, W), (H, W, 1), (H, W, 3) or (H, W, C); uint8, uint16 or float16, 32, 64
        Decoded photo. Not changed.
    side_px : int
        The long side of the result is at most this. No photo is upscaled.

    Returns
    -------
    ndarray of shape (h, w, 3), uint8
        L * 255 / 100, a + 128, b + 128.

    Raises
    ------
    PhotoError
        If ``image`` is not such an array, or holds values that are not finite (or beyond 1e30).
    """
    photo = _checked(image)
    top = _brightest(photo)
    small = _downscaled(photo, side_px)
    if small.shape[2] not in (1, 3):
        return _component_lab(small)
    colour = np.repeat(small, 3, axis=2) if small.shape[2] == 1 else small
    return cv2.cvtColor(_eight_bits(colour, top), cv2.COLOR_RGB2LAB)


def lab_units(photo: np.ndarray) -> np.ndarray:
    """8-bit CIE Lab -> L* 0..100, a* and b* around 0: (H, W, 3) float32."""
    return (photo - np.float32([0, 128, 128])) * np.float32([100 / 255, 1, 1])


def _checked(image: np.ndarray) -> np.ndarray:
    """The photo as (H, W, C), or a PhotoError that says what it should be."""
    if not isinstance(image, np.ndarray):
        raise PhotoError(f"a photo must be a numpy array, this one is {type(image).__name__}; convert it first")
    if isinstance(image, np.ma.MaskedArray):
        raise PhotoError("a photo must have no masked values; fill them first (photo.filled(0))")
    if f"{image.dtype.kind}{image.dtype.itemsize}" not in _DTYPES:
        raise PhotoError(f"a photo must be {', '.join(_DTYPES.values())}; this one is {image.dtype}: convert it first")
    if image.ndim == 3 and image.shape[0] <= 4 and image.shape[2] >= 32:
        raise PhotoError(f"a photo of shape {image.shape} has its channels first: move them last (np.moveaxis)")
    if image.ndim not in (2, 3) or image.size == 0:
        raise PhotoError(f"a photo must have shape {_SHAPES}, this one has {image.shape}: reshape or skip it")
    plain = np.asarray(image)
    return plain[:, :, None] if plain.ndim == 2 else plain


def _brightest(photo: np.ndarray) -> float | None:
    """What is white in a photo (H, W, C): 255, 65535, ..., 1; None where that is not known: float beyond [0, 1]."""
    if photo.dtype == np.uint8:
        return 255
    high = photo.max()
    if photo.dtype.kind == "u":
        return 65535 if high >= 2**14 else 2 ** max(8, int(high).bit_length()) - 1
    low = photo.min()
    if not max(abs(low), abs(high)) <= _LARGEST:  # a NaN is not <= anything
        raise PhotoError(_not_finite(photo))
    return 1 if low >= 0 and high <= 1 else None


def _not_finite(photo: np.ndarray) -> str:
    count = sum(np.count_nonzero(~(np.abs(row) <= _LARGEST)) for row in photo)
    share = "all" if count == photo.size else f"{count}"
    return f"{share} of the {photo.size} values of this photo are not finite or beyond 1e30; replace them first"


def _downscaled(photo: np.ndarray, side_px: int) -> np.ndarray:
    """Area averages: (h, w, C), the same dtype in native byte order (float16 becomes float32)."""
    ratio = min(1, side_px / max(photo.shape[:2]))
    height, width = (max(1, round(side * ratio)) for side in photo.shape[:2])
    if photo.dtype == np.uint8 and photo.shape[2] == 3:
        return _resized(photo, height, width)
    dtype = np.float32 if photo.dtype.itemsize == 2 and photo.dtype.kind == "f" else photo.dtype.newbyteorder("=")
    small = np.empty((height, width, photo.shape[2]), dtype)
    for channel in range(photo.shape[2]):  # cv2 averages 4 channels at most; one at a time needs little memory
        small[:, :, channel] = _resized(np.ascontiguousarray(photo[:, :, channel], dtype), height, width)
    return small


def _resized(photo: np.ndarray, height: int, width: int) -> np.ndarray:
    if photo.shape[:2] == (height, width):
        return photo
    return cv2.resize(photo, (width, height), interpolation=cv2.INTER_AREA)


def _eight_bits(small: np.ndarray, top: float | None) -> np.ndarray:
    """RGB of any dtype to uint8, ``top`` becoming 255."""
    low, span = _spread(small)
    if top and not 0 < span < top * _NARROW:
        low, span = 0, top
    if (small.dtype, low, span) == (np.uint8, 0, 255):
        return small
    return _rounded((small.astype(np.float64) - low) * (255 / span if span else 0))


def _spread(values: np.ndarray, offset: float = 0) -> tuple[float, float]:
    """The low percentile and its distance to the high one: 0 if that is only rounding noise of values + offset."""
    low, high = np.percentile(values.astype(np.float64), _PERCENTILES)
    noise = _NOISE * (max(abs(low), abs(high)) + offset)
    return low, high - low if high - low > noise else 0


def _component_lab(small: np.ndarray) -> np.ndarray:
    """The first three principal components of a photo (h, w, C) as 8-bit Lab: (h, w, 3) uint8."""
    pixels = small.reshape(-1, small.shape[2])
    mean = pixels.mean(axis=0, dtype=np.float64)
    covariance = sum(block.T @ block for block in _centred(pixels, mean))
    loadings = _oriented(np.linalg.eigh(covariance)[1][:, ::-1][:, :3])
    components = np.zeros((len(pixels), 3))
    components[:, : loadings.shape[1]] = np.concatenate([block @ loadings for block in _centred(pixels, mean)])
    low, span = _spread(components[:, 0], np.abs(mean).max())
    factor = 100 / span if span else 0
    components -= (low, 0, 0)
    components *= (factor * 255 / 100, factor, factor)
    components += (0, 128, 128)
    return _rounded(components).reshape(*small.shape[:2], 3)


def _centred(pixels: np.ndarray, mean: np.ndarray) -> Iterator[np.ndarray]:
    """Blocks of pixels (n, C) minus the mean, float64."""
    for first in range(0, len(pixels), _BLOCK):
        yield pixels[first : first + _BLOCK] - mean


def _oriented(loadings: np.ndarray) -> np.ndarray:
    """Columns (C, k) with a positive sum; where that is zero, with a positive first loading (that is not zero)."""
    sums = loadings.sum(axis=0)
    first = loadings[(abs(loadings) > 1e-9).argmax(axis=0), np.arange(loadings.shape[1])]
    return loadings * np.where(np.where(abs(sums) > 1e-9, sums, first) < 0, -1, 1)


def _rounded(values: np.ndarray) -> np.ndarray:
    # First to thousandths: averages of .5 differ in their last bits, and a constant photo should stay one.
    return np.rint(values.clip(0, 255).round(3)).astype(np.uint8)
