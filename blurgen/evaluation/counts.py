"""One map beside its truth: AUC and AP, and counts of its pixels from which all other scores follow."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from blurgen.channels import FULL_SCALE
from blurgen.errors import ArgumentError
from blurgen.evaluation.metrics import byte_counts, class_counts, image_scores, ranking_scores
from blurgen.evaluation.scaling import enlarged
from blurgen.targets import UNKNOWN

STEP = 16
"""Levels between two values of an 8-bit map: maps that were enlarged, and float maps, have values in between."""
LEVELS = 255 * STEP + 1
CUTS = np.arange(256) * STEP
"""The 256 thresholds, as levels: a pixel is called blurred if it has that level or a higher one."""
HALF = (LEVELS - 1) // 2
"""The fixed threshold, .5 (8-bit maps: 128 and above)."""


@dataclass(frozen=True)
class ImageScore:
    """What is kept of one image. Row 0 is of its sharp pixels, row 1 of its blurred ones.

    ``totals``: (2,). ``counts``: (2, LEVELS); zeros if the map is not ``scaled``, that is, has values outside 0 to 1.
    """

    auc: float
    ap: float
    totals: np.ndarray
    counts: np.ndarray
    scaled: bool = True


def score_image(blur_map: np.ndarray, mask: np.ndarray) -> ImageScore:
    """AUC, AP and counts of one map.

    Parameters
    ----------
    blur_map : ndarray of shape (h, w), uint8, uint16 or float32
        Higher is more blurred. One of another size than the mask is enlarged first. Floats outside 0 to 1 can only be
        ranked: no counts, ``scaled`` is False.
    mask : ndarray of shape (H, W), uint8
        255 blurred, 0 sharp, 128 unknown.

    Raises
    ------
    ArgumentError
        Not such arrays, or values that are no numbers.
    """
    if blur_map.ndim != 2 or blur_map.dtype.name not in FULL_SCALE:
        raise ArgumentError(f"a map of shape {blur_map.shape}, {blur_map.dtype}: give (H, W) uint8, uint16 or float32")
    full = np.float32(FULL_SCALE[blur_map.dtype.name])
    scaled = blur_map.dtype != np.float32 or bool(blur_map.min() >= 0 and blur_map.max() <= 1)
    if blur_map.shape != mask.shape:
        blur_map = enlarged(blur_map, mask.shape)
    totals = np.array([np.count_nonzero(mask < UNKNOWN), np.count_nonzero(mask > UNKNOWN)])
    counts = np.zeros((2, LEVELS), np.int32)
    if blur_map.dtype == np.uint8:
        counts[:, ::STEP] = found = byte_counts(blur_map, mask)
        return ImageScore(*ranking_scores(*found), totals, counts)
    auc, ap = image_scores(blur_map, mask)
    if scaled:
        levels = np.rint(blur_map * ((LEVELS - 1) / full)).astype(np.uint16)
        counts[:] = class_counts(np.minimum(levels, LEVELS - 1), mask, LEVELS)
    return ImageScore(auc, ap, totals, counts, scaled)
