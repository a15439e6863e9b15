"""Detectors that need no training: what a trained model has to beat."""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.channels import FULL_SCALE
from blurgen.errors import ArgumentError

WINDOWS_PX = (7, 21, 63)
"""Sides of the boxes. Larger ones do better on large regions (real focal stacks), smaller ones on thin regions."""

LEVEL = 1.0
"""Added to a variance of 8-bit levels before its logarithm: below it there is nothing but rounding."""

RED_GREEN_BLUE = np.array((0.299, 0.587, 0.114), np.float32)


def laplacian(photo: np.ndarray) -> np.ndarray:
    """Negated log of the local variance of the Laplacian (Pech-Pacheco et al. 2000), summed over boxes of three sizes.

    Parameters
    ----------
    photo : ndarray of shape (H, W, C), uint8, uint16 or float32
        float32: 1 is full scale.

    Returns
    -------
    ndarray of shape (H, W), float32
        Higher is more blurred; at most 0, which means no structure at all.
    """
    edges = cv2.Laplacian(luminance(photo), cv2.CV_32F, borderType=cv2.BORDER_REFLECT)
    return -sum(np.log1p(_local_variance(edges, side) / LEVEL) for side in WINDOWS_PX)


def constant(photo: np.ndarray) -> np.ndarray:
    """Zeros: what a score is worth shows beside that of a map that knows nothing. (H, W) float32."""
    return np.zeros(photo.shape[:2], np.float32)


DETECTORS = {"laplacian": laplacian, "constant": constant}
"""Name -> function of a photo (H, W, C) that gives a map (H, W) float32, higher where it is more blurred."""


def luminance(photo: np.ndarray) -> np.ndarray:
    """(H, W) float32 in 8-bit levels: weighted as ITU-R BT.601 where there are three channels, else their mean."""
    if photo.ndim != 3 or photo.dtype.name not in FULL_SCALE:
        raise ArgumentError(f"a photo of shape {photo.shape}, {photo.dtype}: give (H, W, C), uint8, uint16 or float32")
    factor = np.float32(255 / FULL_SCALE[photo.dtype.name])
    if photo.shape[2] == 3:
        return photo.astype(np.float32) @ (RED_GREEN_BLUE * factor)
    return photo.mean(axis=2, dtype=np.float32) * factor


def _local_variance(values: np.ndarray, side: int) -> np.ndarray:
    """Variance of (H, W) float32 in boxes of ``side`` px, mirrored at the border."""
    mean, of_squares = (cv2.blur(x, (side, side), borderType=cv2.BORDER_REFLECT) for x in (values, values * values))
    return np.maximum(of_squares - mean * mean, 0)
