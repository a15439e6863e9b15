"""Golestaneh & Karam 2017, HiFST: high-frequency multi-scale fusion and sort transform of gradient magnitudes."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.fft import dct
from skimage.filters.rank import entropy

from blurgen.evaluation.detectors.windows import edge_aware, enlarged, luminance

SIDES_PX = (7, 15, 31, 63)
LAYERS = sum(SIDES_PX) + 1
SMOOTHING_PX = 0.5
ENTROPY_PX = 7
STRIDE_PX = 3


def hifst(photo: np.ndarray) -> np.ndarray:
    """Sorted high-frequency DCT coefficients of gradient magnitudes at four scales (Golestaneh & Karam 2017).

    Gradient magnitudes (Sobel) of the smoothed photo (sigma .5); DCT of the patches of 7, 15, 31 and 63 px around a
    pixel; the magnitudes of all coefficients u + v >= M - 1 (u, v from 0) of the four, sorted; of the ``LAYERS``
    smallest each is scaled to [0, 1] over the photo, and the largest of them taken: T; T times its entropy in
    7x7 px; smoothed by the domain transform (15 px, .25, three turns), guided by the photo. All numbers are those of
    the authors' program.

    Otherwise than in the paper: patches at every third pixel, bilinear between (all pixels: nine times the work);
    mirrored at the border, not black; no noise is added, as the published program can. Left out: the score of the
    whole photo.

    Parameters
    ----------
    photo : ndarray of shape (H, W, C), uint8, uint16 or float32
        float32: 1 is full scale.

    Returns
    -------
    ndarray of shape (H, W), float32
        Higher is more blurred; at most 0: also a photo without any edge.
    """
    smooth = cv2.GaussianBlur(luminance(photo), (0, 0), SMOOTHING_PX, borderType=cv2.BORDER_REFLECT)
    largest = _largest(_layers(_magnitude(smooth)))
    sharpness = _scaled(enlarged(largest, smooth.shape, STRIDE_PX))
    levels = np.round(sharpness * 255).astype(np.uint8)
    sharpness *= entropy(levels, np.ones((ENTROPY_PX, ENTROPY_PX), np.uint8)).astype(np.float32)
    return -edge_aware(sharpness, _scaled(smooth))


def _magnitude(plane: np.ndarray) -> np.ndarray:
    along, across = (cv2.Sobel(plane, cv2.CV_32F, x, 1 - x, borderType=cv2.BORDER_REFLECT) for x in (1, 0))
    return np.sqrt(along * along + across * across)


def _layers(magnitude: np.ndarray) -> np.ndarray:
    """The ``LAYERS`` smallest coefficients around every ``STRIDE_PX``-th pixel, ascending: (h, w, LAYERS) float32."""
    rows, columns = (-(-length // STRIDE_PX) for length in magnitude.shape)
    scales = [(_transform(side), _high(side), _padded(magnitude, side)) for side in SIDES_PX]
    found = np.empty((rows, columns, LAYERS), np.float32)
    for row in range(rows):
        first = row * STRIDE_PX + STRIDE_PX // 2
        values = [
            _coefficients(around[first : first + len(matrix)], matrix, columns)[:, high]
            for matrix, high, around in scales
        ]
        found[row] = np.partition(np.abs(np.concatenate(values, axis=1)), LAYERS - 1, axis=1)[:, :LAYERS]
    found.sort(axis=2)
    return found


def _coefficients(strip: np.ndarray, matrix: np.ndarray, count: int) -> np.ndarray:
    """DCT of the patches along a strip (side, W + padding): (count, side * side). Patches share the vertical half."""
    upright = np.ascontiguousarray((matrix @ strip).T)
    patches = sliding_window_view(upright, len(matrix), axis=0)[STRIDE_PX // 2 :: STRIDE_PX][:count]
    return (patches @ matrix.T).reshape(count, -1)


def _transform(side: int) -> np.ndarray:
    """The orthonormal DCT-II as a matrix, (side, side) float32."""
    return dct(np.eye(side), axis=0, norm="ortho").astype(np.float32)


def _high(side: int) -> np.ndarray:
    """Places of the high frequencies in a flattened patch: the antidiagonal and all beyond, (side^2 + side) / 2."""
    return np.flatnonzero(np.add.outer(np.arange(side), np.arange(side)) >= side - 1)


def _padded(plane: np.ndarray, side: int) -> np.ndarray:
    return np.pad(plane, (side // 2, side // 2 + STRIDE_PX), "symmetric")


def _largest(layers: np.ndarray) -> np.ndarray:
    """T: the largest of the layers (h, w, n), each scaled as a whole to 0..1. (h, w) float32."""
    least = layers.min(axis=(0, 1))
    span = layers.max(axis=(0, 1)) - least
    span[span == 0] = 1
    return np.stack([((row - least) / span).max(axis=1) for row in layers])


def _scaled(plane: np.ndarray) -> np.ndarray:
    """From the least to the greatest value of (H, W), 0 to 1; 0 where these are equal. float32."""
    least = plane.min()
    return (plane - least) / (plane.max() - least or np.float32(1))
