"""Bertalmio, Bertozzi & Sapiro 2001, "Navier-Stokes, fluid dynamics, and image and video inpainting", CVPR.

The paper lets the image flow into the region along its isophotes. As in OpenCV, one march takes the place of the
iterated equation: a pixel is the mean of its usable neighbours, those counting most whose isophote points at it.
"""

from __future__ import annotations

import numpy as np

from blurgen.fills.marching import Frame, Neighbourhood, Weigh, fill_by_marching

LEAST = np.float32(1e-6)
"""Weight of a neighbour whose isophote passes by, beside 1 of one whose isophote points at the pixel."""


def fill_navier_stokes(image: np.ndarray, blur_mask: np.ndarray, reach_px: int, radius_px: int) -> np.ndarray:
    """Weighted means along the isophotes of the mean of the channels.

    A neighbour at a distance of r px counts |cos| / (1 + r^4), with the angle between its isophote and the line to the
    pixel. OpenCV's weights are these, but it takes the absolute values of the gradient and so can't tell the two
    diagonals apart.
    """
    return fill_by_marching(image, blur_mask, reach_px, radius_px, _weigher)


def _weigher(frame: Frame, neighbourhood: Neighbourhood) -> Weigh:
    values, stride = frame.values, frame.stride
    brightness, usable = _brightness(values), values[:, -1].copy()
    isophotes = np.zeros((2, len(values)), np.float32)
    nearness = 1 / (1 + neighbourhood.squared**2)
    towards_row, towards_column = neighbourhood.towards * nearness
    cross = np.array([[0], [-stride], [stride], [-1], [1]])
    changed = np.flatnonzero((usable > 0) & (frame.distance > -np.sqrt(neighbourhood.squared.max())))
    last = np.zeros(0, np.int64)

    def weigh(pixels: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
        nonlocal last, changed
        brightness[last], usable[last] = _brightness(values.take(last, axis=0)), values[last, -1]
        isophotes[:, changed] = _isophotes(brightness, usable, changed, stride)
        last, changed = pixels, (pixels + cross).ravel()
        weights = isophotes[0].take(neighbours) * towards_row
        weights += isophotes[1].take(neighbours) * towards_column
        return np.maximum(np.abs(weights, out=weights), LEAST * nearness, out=weights)

    return weigh


def _brightness(values: np.ndarray) -> np.ndarray:
    """Sum of the channels of (n, C + 1), less the last: (n,)."""
    return sum(values[:, channel] for channel in range(values.shape[1] - 1))


def _isophotes(brightness: np.ndarray, usable: np.ndarray, places: np.ndarray, stride: int) -> np.ndarray:
    """Unit vectors (rows, columns) along the isophotes: (2, m), zero where there is no gradient."""
    row, column = (_derivative(brightness, usable, places, step) for step in (stride, 1))
    length = np.hypot(row, column)
    length[length == 0] = 1
    return np.stack([-column / length, row / length])


def _derivative(values: np.ndarray, usable: np.ndarray, places: np.ndarray, step: int) -> np.ndarray:
    """Mean of the one-sided differences to the usable places on both sides: (m,)."""
    here, usable_before, usable_after = values.take(places), usable.take(places - step), usable.take(places + step)
    total = usable_after * (values.take(places + step) - here) + usable_before * (here - values.take(places - step))
    return total / np.maximum(usable_before + usable_after, 1)
