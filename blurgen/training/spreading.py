"""Maps where a photo has no texture: blur leaves no trace there, so what is known nearby counts."""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.texture import luminance, texture

HALF_TEXTURE = 30.0
"""Texture (``texture.texture``) at which a pixel's own finding and that of what is around it count the same: below it,
pixels of training pairs are unknown (``targets.least_texture``), so models were never told what is right there."""
SIDES_PX = (33, 17)
"""Of the two squares, one after the other, over which findings are averaged."""
LEAST_GRADIENT = 0.1
_CERTAIN = np.float32(1e-6)


def spread(found: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Take findings from where there is texture to where there is none, by normalised convolution.

    Each pixel's logit is mixed with the mean of those around it, weighted by their gradients (Knutsson and Westin 1993,
    "Normalized and differential convolution"): the more texture it has itself, the less.

    Parameters
    ----------
    found : ndarray of shape (H, W), float32
        Probabilities of being blurred.
    photo : ndarray of shape (H, W, C), uint8, uint16 or float32
        What they were found in. Texture is measured in levels of 255: 12-bit values in 16 bits have hardly any.

    Returns
    -------
    ndarray of shape (H, W), float32
        Probabilities.
    """
    likely = np.clip(found, _CERTAIN, 1 - _CERTAIN)
    logits = np.log(likely / (1 - likely))
    grey = luminance(photo)
    weights = _gradient(grey) + np.float32(LEAST_GRADIENT)
    around = _mean(weights * logits) / _mean(weights)
    own = np.maximum(texture(grey), 0)  # a running sum may end a rounding below
    own /= own + HALF_TEXTURE
    return 1 / (1 + np.exp(-(own * logits + (1 - own) * around)))


def _gradient(grey: np.ndarray) -> np.ndarray:
    """(H, W) float32: length of the gradient, levels of 255 a pixel."""
    down, right = (cv2.Sobel(grey, cv2.CV_32F, *order, scale=1 / 8) for order in ((0, 1), (1, 0)))
    return cv2.magnitude(down, right)


def _mean(values: np.ndarray) -> np.ndarray:
    for side in SIDES_PX:
        values = cv2.blur(values, (side, side))
    return values
