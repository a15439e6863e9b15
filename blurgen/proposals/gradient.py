"""Contours without learned numbers: how strongly a photo changes across each pixel, at three scales.

The finest scale is a colour gradient; the two coarser ones compare the histograms of the two sides of each pixel, which
also answers to a change of texture. Each map is divided by its own surroundings, so that a lone weak border counts
more than one of many strong ones inside a texture.

Source: histograms of the two sides: Martin, Fowlkes, Malik, "Learning to detect natural image boundaries using local
brightness, color, and texture cues", TPAMI 2004 (here Gaussian windows instead of half discs). Division by the
surroundings: Grigorescu, Petkov, Westenberg, "Contour and boundary detection improved by surround suppression of
texture edges", Image and Vision Computing 2004.
"""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.proposals.working import lab_units

_GRADIENT_SIGMA_PX = 1.5
_GRADIENT_HALF = 4.0  # colour gradient (CIE Lab units per px) that maps to strength 1/2
_CHROMA_WEIGHT = 2.0  # of a* and b* beside L*, as weights of squared gradients
_HISTOGRAM_SCALES = ((0.5, 2), (0.25, 2.5))  # scale, and both sigma and distance of the two windows (px at that scale)
_BINS = ((0, 100, 12), (-40, 40, 16), (-40, 40, 16))  # of L*, a*, b*: lowest centre, highest centre, count
_SURROUND_SIGMA_PX = 8.0
_SURROUND_WEIGHT = 0.5


def gradient_contours(photo: np.ndarray) -> np.ndarray:
    """Contour strength of a photo at three scales.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
        CIE Lab as OpenCV scales it to 8 bits.

    Returns
    -------
    ndarray of shape (3, H, W), float32
        Strengths in [0, 1] relative to the photo's own mean strength, finest scale first.
    """
    lab = lab_units(photo)
    maps = [_gradient_strength(lab), *(_histogram_strength(lab, scale, px) for scale, px in _HISTOGRAM_SCALES)]
    return np.stack([_divide_by_surround(strength) for strength in maps])


def _gradient_strength(lab: np.ndarray) -> np.ndarray:
    """Gaussian-derivative magnitude of colour, squashed: (H, W) float32 in [0, 1)."""
    smooth = cv2.GaussianBlur(lab, (0, 0), _GRADIENT_SIGMA_PX)
    right, down = (cv2.Sobel(smooth, -1, *axis, scale=1 / 8) for axis in ((1, 0), (0, 1)))
    power = (right**2 + down**2) * np.float32([1, _CHROMA_WEIGHT, _CHROMA_WEIGHT])
    change = np.sqrt(power.sum(axis=2))
    return change / (change + np.float32(_GRADIENT_HALF))


def _histogram_strength(lab: np.ndarray, scale: float, window_px: float) -> np.ndarray:
    """Root of the mean chi-squared distance of the histograms of L*, a* and b*: (H, W) float32 in [0, 1]."""
    height, width = lab.shape[:2]
    size = (round(width * scale), round(height * scale))
    channels = cv2.split(cv2.resize(lab, size, interpolation=cv2.INTER_AREA))
    distances = [_two_sided_distance(_soft_bins(*item), window_px) for item in zip(channels, _BINS, strict=True)]
    strength = np.sqrt(np.mean(distances, axis=0))
    return cv2.resize(strength, (width, height), interpolation=cv2.INTER_LINEAR)


def _soft_bins(channel: np.ndarray, bins: tuple[float, float, int]) -> np.ndarray:
    """Share of each pixel in each bin, linear between centres: (B, h, w) float32, sums to 1 over B."""
    low, high, count = bins
    place = (np.clip(channel, low, high) - low) * np.float32((count - 1) / (high - low))
    return np.clip(1 - np.abs(place - np.arange(count, dtype=np.float32)[:, None, None]), 0, 1)


def _two_sided_distance(bins: np.ndarray, window_px: float) -> np.ndarray:
    """Chi-squared distance of the windows on both sides of each pixel, the largest of four directions.

    Parameters
    ----------
    bins : ndarray of shape (B, h, w), float32
        Soft bin memberships.
    window_px : float
        Sigma of the two Gaussian windows and their distance from the pixel.

    Returns
    -------
    ndarray of shape (h, w), float32
        In [0, 1].
    """
    height, width = bins.shape[1:]
    straight, slanted = round(window_px), round(window_px * np.sqrt(0.5))
    steps = ((0, straight), (slanted, slanted), (straight, 0), (slanted, -slanted))
    distances = np.zeros((len(steps), height, width), np.float32)
    for plane in bins:
        window = cv2.GaussianBlur(plane, (0, 0), window_px)
        window = cv2.copyMakeBorder(window, *[straight] * 4, cv2.BORDER_REFLECT_101)
        for distance, (down, right) in zip(distances, steps, strict=True):
            rows, columns = straight + down, straight + right
            one = window[rows : rows + height, columns : columns + width]
            rows, columns = straight - down, straight - right
            two = window[rows : rows + height, columns : columns + width]
            distance += (one - two) ** 2 / (one + two + np.float32(1e-3))
    return distances.max(axis=0) / 2


def _divide_by_surround(strength: np.ndarray) -> np.ndarray:
    """Weaken contours among many others: (H, W) float32 in [0, 1]."""
    surround = cv2.GaussianBlur(strength, (0, 0), _SURROUND_SIGMA_PX) / max(float(strength.mean()), 1e-6)
    weakened = strength * (1 + _SURROUND_WEIGHT) / (1 + _SURROUND_WEIGHT * surround)
    return np.clip(weakened, 0, 1).astype(np.float32)
