"""Shi et al. 2014: kurtosis and heavy tails of gradients, power spectrum."""

from __future__ import annotations

import numpy as np

from blurgen.evaluation.detectors.statistics import STRIDE_PX, differences, log_spectrum, magnitude, spread
from blurgen.evaluation.detectors.windows import LEVEL, box_mean, enlarged, luminance, on_grid, standardised

SIDES_PX = (11, 15, 21)


def shi(photo: np.ndarray) -> np.ndarray:
    """Three features of patches at three scales (Shi, Xu, Jia 2014, "Discriminative blur detection features").

    - peakedness: ln of the kurtosis of the gradients, along rows or columns, whichever is smaller.
    - heavy tails: sigma_1, the spread of the wider of two normal distributions that make up the gradients.
    - power: sum over frequencies of the log of the power spectrum averaged over directions.

    All three are smaller where the photo is blurred. The map is minus their sum, each with mean 0 and standard
    deviation 1 over the photo, averaged over patches of 11, 15 and 21 px. This takes the place of the naive Bayes
    classifier and the graph across the scales. Every third pixel, bilinear between; Hann windows. Left
    out: the local filters learned by linear discriminant analysis.

    Parameters
    ----------
    photo : ndarray of shape (H, W, C), uint8, uint16 or float32
        float32: 1 is full scale.

    Returns
    -------
    ndarray of shape (H, W), float32
        Higher is more blurred; only within one photo. Zeros where the whole photo is flat.
    """
    plane = luminance(photo)
    lengths = magnitude(plane)
    found = 0
    for side in SIDES_PX:
        features = _peakedness(plane, side), spread(lengths, side), log_spectrum(plane, side).sum(axis=2)
        found = found - sum(standardised(feature) for feature in features)
    return enlarged(found / len(SIDES_PX), plane.shape, STRIDE_PX)


def _peakedness(plane: np.ndarray, side: int) -> np.ndarray:
    """ln(kurtosis) of the gradients along rows or along columns, the smaller; (h, w). ln 3 where it is flat."""
    return np.minimum(*(np.log(_kurtosis(values.astype(np.float64), side)) for values in differences(plane)))


def _kurtosis(values: np.ndarray, side: int) -> np.ndarray:
    """Fourth moment over squared variance, 3 being normal, drawn to 3 where the variance is less than rounding."""
    mean, *raw = (on_grid(box_mean(values**power, side), STRIDE_PX) for power in (1, 2, 3, 4))
    variance = np.maximum(raw[0] - mean**2, 0)
    fourth = np.maximum(raw[2] - 4 * mean * raw[1] + 6 * mean**2 * raw[0] - 3 * mean**4, 0)
    return (fourth + 3 * LEVEL**2) / (variance**2 + LEVEL**2)
