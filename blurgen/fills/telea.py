"""Telea 2004, "An image inpainting technique based on the fast marching method", journal of graphics tools 9(1)."""

from __future__ import annotations

import numpy as np

from blurgen.fills.marching import Frame, Neighbourhood, Weigh, fill_by_marching

LEAST = np.float32(1e-6)
"""Least direction factor and least length of a normal."""


def fill_telea(image: np.ndarray, blur_mask: np.ndarray, reach_px: int, radius_px: int) -> np.ndarray:
    """Weighted means with the weights of equations 2 and 3.

    As in OpenCV in effect, the extrapolation along the gradient of equation 2 is left out: with it the error of the
    blurred pixels along the border was 14 to 38 % larger (docs/architecture.md). Unlike in OpenCV, nothing is added in
    its place, so a constant stays that constant.
    """
    return fill_by_marching(image, blur_mask, reach_px, radius_px, _weigher)


def _weigher(frame: Frame, neighbourhood: Neighbourhood) -> Weigh:
    """Direction times distance times level-set factor of each neighbour."""
    distance, stride = frame.distance, frame.stride
    towards_row, towards_column = neighbourhood.towards / neighbourhood.squared
    least = LEAST / neighbourhood.squared

    def weigh(pixels: np.ndarray, neighbours: np.ndarray) -> np.ndarray:
        row, column = _unit(
            distance.take(pixels + stride) - distance.take(pixels - stride),
            distance.take(pixels + 1) - distance.take(pixels - 1),
        )
        weights = row[:, None] * towards_row
        weights += column[:, None] * towards_column
        np.maximum(np.abs(weights, out=weights), least, out=weights)
        level = distance.take(neighbours)
        level -= distance.take(pixels)[:, None]
        np.abs(level, out=level)
        level += 1
        weights /= level
        return weights

    return weigh


def _unit(row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The direction of a vector; zero for a vector that has none."""
    length = np.maximum(np.sqrt(row**2 + column**2), LEAST)
    return row / length, column / length
