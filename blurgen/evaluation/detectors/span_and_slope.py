"""Liu et al. 2008: slope of the power spectrum, span of the gradient histogram, saturation of colours."""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.evaluation.detectors.statistics import STRIDE_PX, log_spectrum, magnitude, spread
from blurgen.evaluation.detectors.windows import LEVEL, enlarged, luminance, on_grid, standardised

SIDE_PX = 17


def liu(photo: np.ndarray) -> np.ndarray:
    """Three features of a patch that tell blurred from sharp without training (Liu, Li, Jia 2008).

    - q1: alpha, where the power spectrum, averaged over directions, falls as 1 / f^alpha: blur makes it steeper.
    - q2: sigma_1, the spread of the wider part of the gradients, over the patch's contrast
      (Lmax - Lmin) / (Lmax + Lmin): blur makes it smaller.
    - q3: the greatest saturation 1 - min(R, G, B) / mean(R, G, B) in the patch: blur mixes colours.

    The map is the sum of q1, -q2 and -q3, each with mean 0 and standard deviation 1 over the photo. This takes the
    place of the naive Bayes classifiers trained by the authors, and makes their division by the value of the whole
    photo (alpha_o, max S_o) needless. Patches of 17 px at every third pixel, bilinear between, in a Hann window.
    Left out: the local autocorrelation congruency (q4), which tells motion from defocus.

    Parameters
    ----------
    photo : ndarray of shape (H, W, C), uint8, uint16 or float32
        float32: 1 is full scale. One channel: nothing is saturated.

    Returns
    -------
    ndarray of shape (H, W), float32
        Higher is more blurred; only within one photo. Zeros where the whole photo is flat.
    """
    plane = luminance(photo)
    steepness = standardised(_steepness(plane))
    found = steepness - standardised(_relative_span(plane)) - standardised(_saturation(photo))
    return enlarged(found, plane.shape, STRIDE_PX)


def _steepness(plane: np.ndarray) -> np.ndarray:
    """alpha: minus the slope of the regression of log power on log frequency; 0 where it is flat. (h, w) float32."""
    spectrum = log_spectrum(plane, SIDE_PX)
    frequency = np.log(np.arange(1, spectrum.shape[2] + 1, dtype=np.float32))
    frequency -= frequency.mean()
    return -(spectrum @ frequency) / (frequency @ frequency)


def _relative_span(plane: np.ndarray) -> np.ndarray:
    """q2 without its sign: (h, w) float32."""
    box = np.ones((SIDE_PX, SIDE_PX), np.uint8)
    greatest, least = (on_grid(find(plane, box), STRIDE_PX) for find in (cv2.dilate, cv2.erode))
    contrast = (greatest - least) / np.maximum(greatest + least, LEVEL)
    return spread(magnitude(plane), SIDE_PX) / (contrast + 0.1)


def _saturation(photo: np.ndarray) -> np.ndarray:
    """Greatest saturation of the patch, 0 to 1: (h, w) float32."""
    colours = photo.astype(np.float32)
    mean = colours.mean(axis=2)
    grey = np.divide(colours.min(axis=2), mean, out=np.ones_like(mean), where=mean > 0)
    return on_grid(cv2.dilate(1 - grey, np.ones((SIDE_PX, SIDE_PX), np.uint8)), STRIDE_PX)
