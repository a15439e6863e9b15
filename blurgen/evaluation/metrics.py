"""AUC and average precision of blur maps, exact. The positive class is blurred; unknown pixels are left out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np

from blurgen.errors import ArgumentError
from blurgen.targets import UNKNOWN


def image_scores(blur_map: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    """How well ``blur_map`` ranks the blurred pixels of one image above the sharp ones.

    Parameters
    ----------
    blur_map : ndarray of shape (H, W)
        Any scale, higher is more blurred. 8-bit maps are counted in two histograms, others are sorted.
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
    blurred = mask if mask.dtype == bool else mask > UNKNOWN
    sharp = ~mask if mask.dtype == bool else mask < UNKNOWN
    return _ranking_scores(*_counts(blur_map, blurred, sharp))


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


def _check(blur_map: np.ndarray, mask: np.ndarray) -> None:
    if blur_map.ndim != 2 or blur_map.shape != mask.shape:
        raise ArgumentError(f"a map of shape {blur_map.shape} and a mask of shape {mask.shape}: both must be (H, W)")
    if mask.dtype not in (np.uint8, bool):
        raise ArgumentError(f"a mask of {mask.dtype}: give uint8 (255 blurred, 0 sharp, 128 unknown) or bool")
    if not np.isfinite(blur_map).all():
        raise ArgumentError("a map with values that are no numbers: it can't be ranked")


def _counts(blur_map: np.ndarray, blurred: np.ndarray, sharp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many blurred and how many sharp pixels have each value of the map, in ascending order; int64."""
    if blur_map.dtype == np.uint8:
        return np.bincount(blur_map[blurred], minlength=256), np.bincount(blur_map[sharp], minlength=256)
    values, places = np.unique(blur_map, return_inverse=True)
    places = places.reshape(blur_map.shape)
    return tuple(np.bincount(places[chosen], minlength=values.size) for chosen in (blurred, sharp))


def _ranking_scores(blurred: np.ndarray, sharp: np.ndarray) -> tuple[float, float]:
    """AUC and AP of counts of pixels at ascending values."""
    positives, negatives = int(blurred.sum()), int(sharp.sum())
    if not positives or not negatives:
        return math.nan, math.nan
    sharp_below = np.cumsum(sharp) - sharp
    auc = int((blurred * (2 * sharp_below + sharp)).sum()) / (2 * positives * negatives)
    found, taken = np.cumsum(blurred[::-1]), np.cumsum((blurred + sharp)[::-1])
    ap = float((blurred[::-1] * (found / np.maximum(taken, 1))).sum()) / positives
    return auc, ap
