"""Contours: how strongly colour changes across each pixel, at several scales, with no learned numbers."""

from __future__ import annotations

import cv2
import numpy as np

_SCALES = (1.0, 0.5)
_SIGMA_PX = 1.5
_COLOUR_WEIGHT = 2.0
_HALF_STRENGTH = 4.0


def contour_maps(photo: np.ndarray) -> np.ndarray:
    """Contour strength of a photo at each scale.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
        RGB.

    Returns
    -------
    ndarray of shape (S, H, W), float32
        Strengths in [0, 1], finest scale first.
    """
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return np.stack([_contour_map(lab, scale) for scale in _SCALES])


def _contour_map(lab: np.ndarray, scale: float) -> np.ndarray:
    height, width = lab.shape[:2]
    size = (max(8, round(width * scale)), max(8, round(height * scale)))
    scaled = lab if scale == 1 else cv2.resize(lab, size, interpolation=cv2.INTER_AREA)
    change = _gradient_magnitude(scaled)
    strength = change / (change + np.float32(_HALF_STRENGTH))
    return strength if scale == 1 else cv2.resize(strength, (width, height), interpolation=cv2.INTER_LINEAR)


def _gradient_magnitude(lab: np.ndarray) -> np.ndarray:
    smooth = cv2.GaussianBlur(lab, (0, 0), _SIGMA_PX, borderType=cv2.BORDER_REFLECT_101)
    right, down = (cv2.Sobel(smooth, -1, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    power = right**2 + down**2
    return np.sqrt(power @ np.float32([1, _COLOUR_WEIGHT, _COLOUR_WEIGHT]))
