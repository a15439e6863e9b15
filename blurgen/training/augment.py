"""How an example is changed each time that it is seen: numbers are drawn first, and applied afterwards.

In this order: the window and what turns it (image and mask alike), colour, JPEG (the image alone).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from blurgen.channels import by_fours
from blurgen.targets import UNKNOWN
from blurgen.training.params import AugmentParams

DRAWS = 17
"""Numbers that ``draw`` takes."""
_SHRINK = 1.5  # px of the example for one of the window; bilinear sampling leaves nothing out up to here
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
_TO_YIQ[1:] -= _TO_YIQ[1:].mean(1, keepdims=True)  # grey has no colour, to the last digit
_TO_RGB = np.linalg.inv(_TO_YIQ)


class Numbers(NamedTuple):
    """All that decides one change of an example of one size."""

    shape: tuple[int, int]
    """Height and width of the result, px."""
    window: tuple[int, int, int, int]
    """Top, left, height, width in the example, px; what lies beyond the border is mirrored."""
    flip: bool = False
    turns: int = 0
    """Quarter turns, counter-clockwise, after the mirror image."""
    affine: tuple[float, ...] | None = None
    """Instead of all these: 2x3, row by row, from (x, y) of the result to (x, y) of the example."""
    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue_deg: float = 0.0
    quality: int = 0
    """Of the JPEG compression; 0: none."""


def draw(params: AugmentParams, shape: tuple[int, int], uniforms: np.ndarray) -> Numbers:
    """The numbers for an example of this ``shape`` (H, W), from ``DRAWS`` uniform ones in [0, 1).

    Each has its place whatever ``params`` are, so that a parameter changes nothing but what it is about.
    """
    drawn = iter(uniforms.tolist())
    flip = next(drawn) < params.p_flip
    turned, turns = next(drawn) < params.p_turn, 1 + int(3 * next(drawn))
    place = next(drawn), next(drawn)
    factors = (1 + most * _either_way(drawn) for most in (params.brightness, params.contrast, params.saturation))
    look = dict(zip(("brightness", "contrast", "saturation"), factors, strict=True))
    look["hue_deg"] = params.hue_deg * _either_way(drawn)
    compressed, quality = next(drawn) < params.p_jpeg, round(_between(params.jpeg_quality_range, next(drawn)))
    look["quality"] = quality if compressed else 0
    if params.crop == "scaled":
        return _draw_scaled(params, shape, flip, place, drawn)._replace(**look)
    turns = turns if turned else 0
    window = params.shape[::-1] if turns % 2 else params.shape
    top, left = (_corner(whole - part, share) for whole, part, share in zip(shape, window, place, strict=True))
    return Numbers(params.shape, (top, left, *window), flip, turns, **look)


def _either_way(drawn: Iterator[float]) -> float:
    return 2 * next(drawn) - 1


def _between(ends: tuple[float, float], share: float) -> float:
    return ends[0] + (ends[1] - ends[0]) * share


def _corner(room: int, share: float) -> int:
    """One of the places, all alike, of a window that is ``room`` px shorter than the example (or longer: below 0)."""
    return int(math.copysign(int(share * (abs(room) + 1)), room))


def _draw_scaled(
    params: AugmentParams, shape: tuple[int, int], flip: bool, place: tuple, drawn: Iterator[float]
) -> Numbers:
    """A window with the aspect of the example, that is stretched to the result, and turned and sheared there."""
    side = math.sqrt(_between(params.crop_area_range, next(drawn)))
    degrees, shear, scale = (
        _between(ends, next(drawn)) for ends in (params.rotate_deg_range, params.shear_deg_range, params.scale_range)
    )
    part = [whole * side / scale for whole in shape]
    corner = [
        whole * (side * _between(params.shift_range, next(drawn)) + (1 - side) * share + (side - side / scale) / 2)
        for whole, share in zip(shape, place, strict=True)
    ]
    window = (*map(round, corner), *(max(1, round(length)) for length in part))
    if degrees == shear == 0:
        return Numbers(params.shape, window, flip)
    return Numbers(params.shape, window, affine=_affine(params.shape, corner, part, degrees, shear, flip))


def _affine(shape: tuple, corner: list, part: list, degrees: float, shear: float, flip: bool) -> tuple[float, ...]:
    """From the result to the example: mirrored, sheared and turned (clockwise) about the middle, then stretched."""
    turn, slant = math.radians(degrees), math.tan(math.radians(shear))
    cos, sin, mirror = math.cos(turn), math.sin(turn), -1 if flip else 1
    rows = (mirror * cos, cos * slant + sin), (-mirror * sin, cos - sin * slant)
    numbers = []
    for row, first, length, side in zip(rows, corner[::-1], part[::-1], shape[::-1], strict=True):
        across, down = (length / side * value for value in row)
        middle = first + length / 2 - 0.5  # pixel centres are at whole numbers
        numbers += [across, down, middle - across * (shape[1] - 1) / 2 - down * (shape[0] - 1) / 2]
    return tuple(numbers)


def apply(numbers: Numbers, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The example, changed.

    Parameters
    ----------
    numbers : Numbers
        As drawn for the shape of this example.
    image : ndarray of shape (H, W, C), uint8, uint16 or float32
        RGB where there are three channels.
    mask : ndarray of shape (H, W), uint8
        255 blurred, 0 sharp, 128 unknown.

    Returns
    -------
    image : ndarray of shape (h, w, C), of the same dtype
        Without ``affine`` and at the size of the window: pixels as they are. Whole numbers are clipped to what their
        dtype holds, floats are not clipped. Hue and saturation need three channels, JPEG uint8 and one or three;
        other images are passed on.
    mask : ndarray of shape (h, w), uint8
        128 where the window reaches beyond the example. No new values: it takes the nearest.
    """
    image, mask = (_cut if numbers.affine is None else _warp)(numbers, image, mask)
    image = _recolour(numbers, image)
    if numbers.quality and image.dtype == np.uint8 and image.shape[2] in (1, 3):
        image = _compress(image, numbers.quality)
    return image, mask


def _cut(numbers: Numbers, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    top, left, height, width = numbers.window
    beyond = max(-top, 0), max(top + height - len(mask), 0), max(-left, 0), max(left + width - mask.shape[1], 0)
    if any(beyond):
        image = by_fours(lambda part: cv2.copyMakeBorder(part, *beyond, cv2.BORDER_REFLECT_101), image)
        mask = cv2.copyMakeBorder(mask, *beyond, cv2.BORDER_CONSTANT, value=UNKNOWN)
        top, left = max(top, 0), max(left, 0)
    window = np.s_[top : top + height, left : left + width]
    image, mask = image[window], mask[window]
    shape = numbers.shape[::-1] if numbers.turns % 2 else numbers.shape
    if (height, width) != shape:
        image, mask = _resize(image, shape), cv2.resize(mask, shape[::-1], interpolation=cv2.INTER_NEAREST_EXACT)
    if numbers.flip:
        image, mask = cv2.flip(image, 1).reshape(image.shape), cv2.flip(mask, 1)
    if numbers.turns:
        image, mask = np.rot90(image, numbers.turns), np.rot90(mask, numbers.turns)
    return np.ascontiguousarray(image), np.ascontiguousarray(mask)


def _resize(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    shrinks = image.shape[0] >= shape[0] and image.shape[1] >= shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return by_fours(lambda part: cv2.resize(part, shape[::-1], interpolation=method), image)


def _warp(numbers: Numbers, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix, size = np.reshape(numbers.affine, (2, 3)), numbers.shape[::-1]
    nearest, linear = (cv2.WARP_INVERSE_MAP | method for method in (cv2.INTER_NEAREST, cv2.INTER_LINEAR))
    mask = cv2.warpAffine(mask, matrix, size, flags=nearest, borderMode=cv2.BORDER_CONSTANT, borderValue=UNKNOWN)
    image, matrix = _shrink(image, matrix)
    border = cv2.BORDER_REFLECT_101
    return by_fours(lambda part: cv2.warpAffine(part, matrix, size, flags=linear, borderMode=border), image), mask


def _shrink(image: np.ndarray, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Image and map, the image first averaged to about the resolution of the result where that is much coarser."""
    width, height = np.hypot(matrix[:, 0], matrix[:, 1])
    if max(width, height) < _SHRINK:
        return image, matrix
    shape = tuple(max(1, round(side / max(by, 1))) for side, by in zip(image.shape[:2], (height, width), strict=True))
    factors = np.array([[shape[1] / image.shape[1]], [shape[0] / image.shape[0]]])
    matrix = matrix * factors
    matrix[:, 2:] += (factors - 1) / 2  # pixel centres are at whole numbers
    return _resize(image, shape), matrix


def _recolour(numbers: Numbers, image: np.ndarray) -> np.ndarray:
    """One affine map of colours: brightness, contrast about the mean grey, saturation and hue at equal luma (YIQ)."""
    colourful = image.shape[2] == 3 and (numbers.saturation != 1 or numbers.hue_deg != 0)
    if not colourful and numbers.brightness == numbers.contrast == 1:
        return image
    means = cv2.mean(image) if image.shape[2] == 3 else cv2.mean(image.reshape(len(image), -1))
    gain, offset = numbers.brightness * numbers.contrast, _offset(numbers, means, image.shape[2])
    if not colourful:
        return with_light(image.reshape(len(image), -1), gain, offset).reshape(image.shape)  # all channels alike
    turn = math.radians(numbers.hue_deg)
    cos, sin = numbers.saturation * math.cos(turn), numbers.saturation * math.sin(turn)
    colours = _TO_RGB @ [[1, 0, 0], [0, cos, -sin], [0, sin, cos]] @ _TO_YIQ
    return cv2.transform(image, np.column_stack([gain * colours, np.full(3, offset)]))


def _offset(numbers: Numbers, means: Sequence[float], channels: int) -> float:
    """What is added so that the mean grey stays but for the brightness: the luma of three means, else the first."""
    grey = float(_TO_YIQ[0] @ means[:3]) if channels == 3 else means[0]
    return (1 - numbers.contrast) * numbers.brightness * grey


def light_table(numbers: Numbers, sums: Sequence[float], count: int, dtype: np.dtype) -> np.ndarray:
    """What brightness and contrast make of every value of a whole-numbered ``dtype``: (values,) of that dtype.

    ``sums``: of the ``count`` px of each channel of the window.
    """
    channels = len(sums)
    total, pixels = (sums, count) if channels == 3 else ([sum(sums)], count * channels)
    means = [one * (1 / pixels) for one in total]
    values = np.arange(np.iinfo(dtype).max + 1, dtype=dtype)[None]
    return with_light(values, numbers.brightness * numbers.contrast, _offset(numbers, means, channels))[0]


def with_light(plane: np.ndarray, gain: float, offset: float) -> np.ndarray:
    """``gain`` times the values (H, W), and ``offset``; whole numbers are rounded and clipped."""
    return cv2.addWeighted(plane, gain, plane, 0, offset)


def _compress(image: np.ndarray, quality: int) -> np.ndarray:
    """(h, w, 1 or 3) uint8, RGB, after JPEG with OpenCV's 4:2:0."""
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.shape[2] == 3 else image
    _, data = cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if image.shape[2] == 1:
        return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)[..., None]
    return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
