"""AUC and average precision of blur maps, exact. The positive class is blurred; unknown pixels are left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

from blurgen.errors import ArgumentError
from blurgen.targets import UNKNOWN

_ROWS = np.repeat(np.uint16((0, 2, 1)), (UNKNOWN, 1, 255 - UNKNOWN))
"""Value of a mask -> 0 sharp, 1 blurred, 2 unknown."""
_EXACT = 1 << 24  # OpenCV counts in float32, which is exact up to here


def image_scores(blur_map: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """How well ``blur_map`` ranks the blurred pixels of one image above the sharp ones.

    Parameters
    ----------
    blur_map : ndarray of shape (H, W)
        Any scale, higher is more blurred. 8-bit maps are counted in two histograms, others are sorted; both are exact.
    mask : ndarray of shape (H, W), uint8 or bool
        255 or True blurred, 0 or False sharp, 128 unknown.

    Returns
    -------
    auc : float
        Share of the pairs of a blurred and a sharp pixel that are ranked rightly; ties count half.
    ap : float
        Step-wise sum of precision over recall, pixels of equal value being taken together. Trapezoids would flatter:
        a constant map scores the share of blurred pixels here.

    Both are NaN where the mask knows one class only: nothing can be ranked.

    Raises
    ------
    ArgumentError
        Shapes that differ, a mask of another type, a map with values that are no numbers.
    """
    _check(blur_map, mask)
    return ranking_scores(*_counts(blur_map, mask))


def mean_scores(scores: Iterable[tuple[float, float]]) -> tuple[float, float, int]:
    """Plain mean of AUC and of AP over the images where they are defined, and how many these are; NaN if none."""
    defined = [pair for pair in scores if not math.isnan(pair[0])]
    if not defined:
        return math.nan, math.nan, 0
    auc, ap = np.mean(defined, axis=0)
    return float(auc), float(ap), len(defined)


def paired_bootstrap(differences: Sequence[float], seed: int, resamples: int = 10_000) -> tuple[float, float, float]:
    """Mean of differences and its 95 % interval: percentiles of the means of ``resamples`` draws with replacement.

    ``differences``: of two scores of the same image, one for each image (or scene). Raises ArgumentError if there are
    none, or undefined ones.
    """
    values = np.asarray(differences, np.float64)
    if values.ndim != 1 or not values.size or not np.isfinite(values).all():
        raise ArgumentError("differences: give one number or more, and none that is undefined")
    rng = np.random.default_rng(seed)
    means = [values[rng.integers(values.size, size=values.size)].mean() for _ in range(resamples)]
    low, high = np.percentile(means, (2.5, 97.5))
    return float(values.mean()), float(low), float(high)


def class_counts(levels: np.ndarray, mask: np.ndarray, size: int) -> np.ndarray:
    """How many sharp pixels (row 0) and blurred ones (row 1) have each level; (2, size) int64.

    ``levels``: (H, W) uint8 or uint16 below ``size``, which is at most 16384; ``mask`` as in ``image_scores``.
    """
    rows = mask.astype(np.uint16) if mask.dtype == bool else _ROWS[mask]
    places = rows * np.uint16(size) + levels
    return np.bincount(places.ravel(), minlength=3 * size)[: 2 * size].reshape(2, size)


def byte_counts(blur_map: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """``class_counts`` of the 256 values of a uint8 map, by OpenCV: twice as fast."""
    mask = mask * np.uint8(255) if mask.dtype == bool else mask
    rows = max(1, _EXACT // mask.shape[1])
    counts = np.zeros((256, 256), np.int64)  # value of the map, value of the mask
    for top in range(0, len(mask), rows):
        strips = [np.ascontiguousarray(one[top : top + rows]) for one in (blur_map, mask)]
        counts += cv2.calcHist(strips, [0, 1], None, [256, 256], [0, 256, 0, 256]).astype(np.int64)
    return np.array([counts[:, :UNKNOWN].sum(axis=1), counts[:, UNKNOWN + 1 :].sum(axis=1)])


def ranking_scores(sharp: np.ndarray, blurred: np.ndarray) -> tuple[float, float]:
    """AUC and AP, as in ``image_scores``, of the numbers of pixels at ascending values."""
    positives, negatives = int(blurred.sum()), int(sharp.sum())
    if not positives or not negatives:
        return math.nan, math.nan
    sharp_below = np.cumsum(sharp) - sharp
    auc = int((blurred * (2 * sharp_below + sharp)).sum()) / (2 * positives * negatives)
    found, taken = np.cumsum(blurred[::-1]), np.cumsum((blurred + sharp)[::-1])
    ap = float((blurred[::-1] * (found / np.maximum(taken, 1))).sum()) / positives
    return auc, ap


def _check(blur_map: np.ndarray, mask: np.ndarray) -> None:
    if blur_map.ndim != 2 or blur_map.shape != mask.shape:
        raise ArgumentError(f"a map of shape {blur_map.shape} and a mask of shape {mask.shape}: both must be (H, W)")
    if mask.dtype not in (np.uint8, bool):
        raise ArgumentError(f"a mask of {mask.dtype}: give uint8 (255 blurred, 0 sharp, 128 unknown) or bool")
    if blur_map.dtype.kind == "f" and not np.isfinite(blur_map).all():
        raise ArgumentError("a map with values that are no numbers: it can't be ranked")


def _counts(blur_map: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many sharp and how many blurred pixels have each value of the map, in ascending order; int64."""
    if blur_map.dtype == np.uint8:
        return tuple(byte_counts(blur_map, mask))
    blurred = mask if mask.dtype == bool else mask > UNKNOWN
    known = slice(None) if mask.dtype == bool else mask != UNKNOWN
    values, blurred = blur_map[known].ravel(), blurred[known].ravel()
    if blur_map.dtype == np.float32:
        return _sorted_counts(values, blurred)
    levels, places = np.unique(values, return_inverse=True)
    return tuple(np.bincount(places[chosen], minlength=levels.size) for chosen in (~blurred, blurred))


def _sorted_counts(values: np.ndarray, blurred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The same for (N,) float32: value and class are sorted as one whole number, far faster than by an index."""
    bits = (values + np.float32(0)).view(np.uint32)  # a negative zero is a zero
    ascending = np.where(bits >> 31, ~bits, bits | np.uint32(1 << 31))
    keys = np.sort(ascending.astype(np.uint64) << 1 | blurred)
    last = np.flatnonzero(np.append((keys[1:] ^ keys[:-1]) > 1, True)[: keys.size])  # of each value
    positives = np.diff(np.cumsum((keys & 1).astype(np.int64))[last], prepend=0)
    return np.diff(last + 1, prepend=0) - positives, positives
