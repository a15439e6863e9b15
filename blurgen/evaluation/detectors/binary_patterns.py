"""Yi & Eramian 2016: blurred patches have few of certain local binary patterns."""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.evaluation.detectors.windows import box_mean, edge_aware, luminance

THRESHOLD = 0.016
"""T_LBP, of full scale."""

SIDES_PX = (11, 15, 21)
DIAGONAL = np.float32(2**-0.5)
AROUND = ((0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1))
"""Row and column of the eight neighbours on the circle of radius 1, in turn."""


def lbp(photo: np.ndarray) -> np.ndarray:
    """Share of patterns 6 to 9 of LBP(8, 1) in windows of three sizes, negated (Yi & Eramian 2016, eq. 15).

    A pixel's pattern is the number of its eight neighbours that are brighter by more than ``THRESHOLD``, or 9 where
    they are not one run (rotation-invariant uniform patterns, Ojala et al. 2002). Neighbours on the diagonals are
    interpolated bilinearly.

    Left out: alpha matting, which starts from the thresholded map of each scale, and the multi-scale inference on a
    graph that follows. In their place: the mean of the three scales, smoothed but not across the photo's edges
    (``edge_aware``).

    Parameters
    ----------
    photo : ndarray of shape (H, W, C), uint8, uint16 or float32
        float32: 1 is full scale.

    Returns
    -------
    ndarray of shape (H, W), float32
        -1 (all patterns are those of sharp regions) to 0: also a flat region, which has pattern 0 only.
    """
    plane = luminance(photo)
    sharp = _is_sharp_pattern(plane).astype(np.float32)
    share = sum(box_mean(sharp, side) for side in SIDES_PX) / np.float32(len(SIDES_PX))
    return -edge_aware(share, plane / np.float32(255))


def _is_sharp_pattern(plane: np.ndarray) -> np.ndarray:
    """Where the pattern is 6, 7, 8 or 9: (H, W) bool."""
    brighter = _brighter(plane)
    count = np.add.reduce(brighter, axis=0, dtype=np.uint8)
    changes = np.add.reduce(brighter ^ np.roll(brighter, 1, axis=0), axis=0, dtype=np.uint8)
    return (count >= 6) | (changes > 2)


def _brighter(plane: np.ndarray) -> np.ndarray:
    """Which of the eight neighbours is brighter than the pixel: (8, H, W) bool."""
    height, width = plane.shape
    around = cv2.copyMakeBorder(plane, 1, 1, 1, 1, cv2.BORDER_REFLECT)
    raised = plane + np.float32(255 * THRESHOLD)
    at = {step: around[1 + step[0] :, 1 + step[1] :][:height, :width] for step in AROUND}
    near = DIAGONAL * (1 - DIAGONAL)
    found = np.empty((8, height, width), bool)
    for index, (row, column) in enumerate(AROUND):
        value = at[row, column]
        if row and column:
            value = DIAGONAL**2 * value + near * (at[row, 0] + at[0, column]) + (1 - DIAGONAL) ** 2 * plane
        np.greater(value, raised, out=found[index])
    return found
