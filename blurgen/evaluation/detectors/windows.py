"""What the detectors share: the plane they look at, windows on a grid of pixels, and back to the size of the photo."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from blurgen.channels import FULL_SCALE, check_photo
from blurgen.contributed import extended_image_processing

LEVEL = 1.0
"""Added to a variance of 8-bit levels before its logarithm: below it there is nothing but rounding."""

FILTER_PX, FILTER_RANGE, FILTER_TURNS = 15.0, 0.25, 3
"""Of the domain transform, as Golestaneh & Karam 2017 use it: space, range (white is 1), iterations."""

RED_GREEN_BLUE = np.array((0.299, 0.587, 0.114), np.float32)


def luminance(photo: np.ndarray) -> np.ndarray:
    """(H, W) float32 in 8-bit levels: weighted as ITU-R BT.601 where there are three channels, else their mean."""
    check_photo(photo)
    factor = np.float32(255 / FULL_SCALE[photo.dtype.name])
    if photo.shape[2] == 3:  # one pixel as another: a matrix product rounds them in different ways
        red, green, blue = (photo[..., place] * weight for place, weight in enumerate(RED_GREEN_BLUE * factor))
        return red + green + blue
    return photo.mean(axis=2, dtype=np.float32) * factor


def box_mean(values: np.ndarray, side: int) -> np.ndarray:
    """Mean of (H, W) in boxes of ``side`` px, mirrored at the border; of the type of ``values``."""
    return cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT)


def windows(plane: np.ndarray, side: int, stride: int) -> np.ndarray:
    """Windows of ``side`` px around every ``stride``-th pixel, mirrored at the border; both numbers are odd.

    Returns
    -------
    ndarray of shape (ceil(H / stride), ceil(W / stride), side, side)
        Window (i, j) has its middle at row ``stride * i + stride // 2``, and so on. A view: it takes no memory.
    """
    around = np.pad(plane, (side // 2, side // 2 + stride), "symmetric")
    middles = sliding_window_view(around, (side, side))[stride // 2 :: stride, stride // 2 :: stride]
    rows, columns = (-(-length // stride) for length in plane.shape)
    return middles[:rows, :columns]


def on_grid(plane: np.ndarray, stride: int) -> np.ndarray:
    """The pixels in the middles of ``windows``: (ceil(H / stride), ceil(W / stride))."""
    return windows(plane, 1, stride)[..., 0, 0]


def enlarged(values: np.ndarray, shape: tuple[int, int], stride: int) -> np.ndarray:
    """What is known on the grid of ``windows``, bilinearly at every pixel: (H, W) float32."""
    size = values.shape[1] * stride, values.shape[0] * stride
    full = cv2.resize(values.astype(np.float32), size, interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(full[: shape[0], : shape[1]])


def standardised(values: np.ndarray) -> np.ndarray:
    """Mean 0, standard deviation 1, float32; zeros where there is one value only. NaN never."""
    values = values.astype(np.float64)
    spread = values.std()
    if spread <= 1e-6 * max(1.0, np.abs(values).max()):  # rounding is no information
        return np.zeros(values.shape, np.float32)
    return ((values - values.mean()) / spread).astype(np.float32)


def edge_aware(values: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Smoothed, but not across the edges of ``guide``: domain transform, recursive filter (Gastal & Oliveira 2011).

    Both (H, W) float32, the guide 0 to 1. It is smoothed itself first, by a Gaussian of 3x3 px.
    """
    smooth = cv2.GaussianBlur(guide, (3, 3), 1, borderType=cv2.BORDER_REFLECT)
    extended = extended_image_processing("this detector")
    how = extended.DTF_RF
    return extended.dtFilter(smooth, values, FILTER_PX, FILTER_RANGE, mode=how, numIters=FILTER_TURNS)
