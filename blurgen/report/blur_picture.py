"""A blur as a small picture: its kernel, or what it makes of a grid of points where it varies."""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.convolution import convolve
from blurgen.kernels import MOTION, Blur, Kernel, make_kernel
from blurgen.varying import blur_varying

FIELD_PX, POINT_GAP_PX = 320, 40
"""Side of the image on which a blur that varies is shown, and the distance of the points in it."""
GAMMA = 0.6
CENTRE = (255, 230, 0)


def blur_picture(blur: Blur, side: int, least_shown: int = 1) -> np.ndarray:
    """A kernel, or the spread of a grid of points: (side, side, 3) uint8, light on black.

    A kernel is enlarged as far as whole px allow, but as if it had ``least_shown`` px a side at least.
    """
    light = _points_picture(blur, side) if blur.varies else _kernel_picture(make_kernel(blur), side, least_shown)
    picture = np.repeat((255 * light**GAMMA).astype(np.uint8)[..., None], 3, axis=2)
    if blur.kind in MOTION and blur.varies:
        cv2.drawMarker(picture, (round(blur.centre_x * side), round(blur.centre_y * side)), CENTRE, markerSize=9)
    return picture


def _kernel_picture(kernel: Kernel, side: int, least_shown: int) -> np.ndarray:
    """The weights on black: (side, side) float, at most 1."""
    scale = side // max(len(kernel.weights), least_shown)
    shown = cv2.resize(
        kernel.weights,
        (len(kernel.weights) * scale,) * 2 if scale else (side, side),
        interpolation=cv2.INTER_NEAREST if scale else cv2.INTER_AREA,
    )
    before = (side - len(shown)) // 2
    return np.pad(shown / shown.max(), (before, side - len(shown) - before))


def _points_picture(blur: Blur, side: int) -> np.ndarray:
    """Points of light after the blur, each as bright as the others at its brightest: (side, side) float."""
    points = np.zeros((FIELD_PX, FIELD_PX, 1), np.float32)
    points[POINT_GAP_PX // 2 :: POINT_GAP_PX, POINT_GAP_PX // 2 :: POINT_GAP_PX] = 1
    spread = np.maximum(blur_varying(points, blur, convolve)[..., 0], 0)
    around = np.ones((POINT_GAP_PX + 1, POINT_GAP_PX + 1), np.uint8)
    light = spread / np.maximum(cv2.dilate(spread, around), 1e-6)
    thick = cv2.dilate(light, np.ones((2, 2), np.uint8))  # a thin line survives the scaling
    return np.clip(cv2.resize(thick, (side, side), interpolation=cv2.INTER_AREA), 0, 1)
