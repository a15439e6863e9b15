"""How strong edges are: variance of the Laplacian, gradient energy."""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.evaluation.detectors.windows import LEVEL, box_mean, luminance

WINDOWS_PX = (7, 21, 63)
"""Sides of the boxes. Larger ones do better on large regions (real focal stacks), smaller ones on thin regions."""


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


def gradient(photo: np.ndarray) -> np.ndarray:
    """Negated log of the local energy of the Sobel gradient (Tenengrad: Tenenbaum 1970, Krotkov 1987), three box sizes.

    Left out: Tenenbaum's threshold below which a gradient counts for nothing. Arguments and map as in ``laplacian``:
    at most 0, which means flat.
    """
    plane = luminance(photo)
    along, across = (cv2.Sobel(plane, cv2.CV_32F, x, 1 - x, scale=1 / 8, borderType=cv2.BORDER_REFLECT) for x in (1, 0))
    energy = along * along + across * across
    return -sum(np.log1p(np.maximum(box_mean(energy, side), 0) / LEVEL) for side in WINDOWS_PX)


def _local_variance(values: np.ndarray, side: int) -> np.ndarray:
    """Variance of (H, W) float32 in boxes of ``side`` px, mirrored at the border."""
    mean, of_squares = box_mean(values, side), box_mean(values * values, side)
    return np.maximum(of_squares - mean * mean, 0)
