"""Convolve the filled photo and put the sharp region back."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import fft

from blurgen.kernels import Kernel

SPATIAL_SIDE_MAX = 11
"""Largest side in px at which cv2.filter2D is faster than a product of Fourier transforms."""


def blur_and_composite(image: np.ndarray, filled: np.ndarray, blur_mask: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Equation 1 of the paper: the blurred ``filled`` inside ``blur_mask``, ``image`` outside.

    Only the bounding box of the blurred region is convolved.

    Parameters
    ----------
    image, filled : ndarray of shape (H, W, 3), uint8
    blur_mask : ndarray of shape (H, W), bool

    Returns
    -------
    ndarray of shape (H, W, 3), uint8
    """
    rows, columns = np.flatnonzero(blur_mask.any(axis=1)), np.flatnonzero(blur_mask.any(axis=0))
    window = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    composite = image.copy()
    blurred = convolve(_with_surround(filled, window, kernel.reach_px), kernel)
    cv2.copyTo(blurred, blur_mask[window].view(np.uint8), composite[window])
    return composite


def _with_surround(image: np.ndarray, window: tuple[slice, slice], reach: int) -> np.ndarray:
    """The window and ``reach`` px around it, mirrored beyond the image's border."""
    (height, width), (rows, columns) = image.shape[:2], window
    top, bottom = max(0, rows.start - reach), min(height, rows.stop + reach)
    left, right = max(0, columns.start - reach), min(width, columns.stop + reach)
    short = (
        reach - rows.start + top,
        reach - bottom + rows.stop,
        reach - columns.start + left,
        reach - right + columns.stop,
    )
    return cv2.copyMakeBorder(image[top:bottom, left:right], *short, cv2.BORDER_REFLECT_101)


def convolve(image: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Convolve (H + 2r, W + 2r, 3) uint8 with a kernel of reach r; the valid part, rounded: (H, W, 3) uint8."""
    reach, side = kernel.reach_px, len(kernel.weights)
    if kernel.taps is not None:
        blurred = cv2.sepFilter2D(image, cv2.CV_32F, kernel.taps, kernel.taps)[reach:-reach, reach:-reach]
        return cv2.convertScaleAbs(blurred)
    if side <= SPATIAL_SIDE_MAX:
        return cv2.filter2D(image, cv2.CV_8U, kernel.weights[::-1, ::-1])[reach:-reach, reach:-reach]
    return _convolve_fft(image, kernel)


def _convolve_fft(image: np.ndarray, kernel: Kernel) -> np.ndarray:
    side = len(kernel.weights)
    height, width, _ = image.shape
    shape = (cv2.getOptimalDFTSize(height), cv2.getOptimalDFTSize(width))
    planes = np.stack(cv2.split(image)).astype(np.float32)
    spectrum = fft.rfft2(planes, shape)
    spectrum *= fft.rfft2(kernel.weights, shape)
    # The first side - 1 rows and columns are wrapped around; the valid part starts after them.
    blurred = fft.irfft2(spectrum, shape, overwrite_x=True)[:, side - 1 : height, side - 1 : width]
    return cv2.merge([cv2.convertScaleAbs(plane) for plane in blurred])
