"""Blur an image: a window of it, with what lies around, by a kernel or by a blur that varies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from blurgen.camera.light import rounded
from blurgen.channels import by_fours
from blurgen.geometry import Window
from blurgen.kernels import Blur, Kernel, make_kernel
from blurgen.varying import blur_varying, reach_px


@dataclass(frozen=True)
class Lens:
    """A blur ready to be applied to images of one shape.

    Attributes
    ----------
    kernel : Kernel or None
        None where the blur differs from place to place.
    reach_px : int
        No pixel farther than this (chessboard distance) contributes to another.
    """

    blur: Blur
    kernel: Kernel | None
    reach_px: int

    @classmethod
    def of(cls, blur: Blur, shape: tuple[int, int]) -> Lens:
        """The lens of ``blur`` for images of ``shape`` (H, W)."""
        kernel = None if blur.varies else make_kernel(blur)
        return cls(blur, kernel, kernel.reach_px if kernel else reach_px(blur, shape))


class Surround:
    """A window of an image with what lies around it, mirrored beyond the image's border: ready to be blurred.

    Kernels of any reach up to ``reach_px`` can be applied, one after the other; what they have in common (the forward
    Fourier transform) is done once.

    Parameters
    ----------
    image : ndarray of shape (H, W, C), uint8, uint16 or float32
    """

    def __init__(self, image: np.ndarray, window: Window, reach_px: int) -> None:
        self.image, self.window, self.reach_px = image, window, reach_px

    def blurred(self, lens: Lens) -> np.ndarray:
        """The window blurred, (h, w, C) of the image's dtype; integers are rounded."""
        if lens.kernel is not None:
            return self._blurred(lens.kernel)
        return self._merged(self.planes(lens))

    def planes(self, lens: Lens) -> list[np.ndarray]:
        """The window blurred, channel by channel: (h, w) float32 each, not rounded."""
        if lens.kernel is not None:
            return self._planes(lens.kernel)
        # The image is the same for all kernels of a tilted plane, and so is its Fourier transform.
        image = self.image.astype(np.float32, copy=False)
        varied = blur_varying(image, lens.blur, lambda _, kernel: self._interleaved(self._planes(kernel)), self.window)
        return list(cv2.split(varied))

    def _planes(self, kernel: Kernel) -> list[np.ndarray]:
        return self._by_spectra(kernel) if kernel.taps is None else list(cv2.split(self._by_taps(kernel)))

    def _blurred(self, kernel: Kernel) -> np.ndarray:
        if kernel.taps is not None:
            return rounded(self._by_taps(kernel), self.image.dtype)
        return self._merged(self._by_spectra(kernel))

    def _merged(self, planes: list[np.ndarray]) -> np.ndarray:
        return self._interleaved([rounded(plane, self.image.dtype) for plane in planes])

    @staticmethod
    def _interleaved(planes: list[np.ndarray]) -> np.ndarray:
        return cv2.merge(planes).reshape(*planes[0].shape, -1)

    @cached_property
    def _padded(self) -> np.ndarray:
        return _with_surround(self.image, self.window, self.reach_px)

    def _by_taps(self, kernel: Kernel) -> np.ndarray:
        reach, spare = kernel.reach_px, self.reach_px - kernel.reach_px
        near = self._padded[spare:-spare, spare:-spare] if spare else self._padded
        blurred = by_fours(lambda part: cv2.sepFilter2D(part, cv2.CV_32F, kernel.taps, kernel.taps), near)
        return blurred[reach:-reach, reach:-reach]

    def _by_spectra(self, kernel: Kernel) -> list[np.ndarray]:
        side, first = len(kernel.weights), self.reach_px + kernel.reach_px
        height, width = (part.stop - part.start for part in self.window)
        inside = np.s_[first : first + height, first : first + width]  # what is wrapped around lies before
        transfer = np.zeros(self._shape, np.float32)
        transfer[:side, :side] = kernel.weights
        transfer = cv2.dft(transfer)
        flags = cv2.DFT_INVERSE | cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT
        products = (cv2.mulSpectrums(spectrum, transfer, 0) for spectrum in self._spectra)
        return [cv2.dft(product, flags=flags)[inside] for product in products]

    @cached_property
    def _shape(self) -> tuple[int, int]:
        height, width = self._padded.shape[:2]
        return cv2.getOptimalDFTSize(height), cv2.getOptimalDFTSize(width)

    @cached_property
    def _spectra(self) -> list[np.ndarray]:
        height, width, channels = self._padded.shape
        planes = [np.zeros(self._shape, np.float32) for _ in range(channels)]
        for channel, plane in enumerate(planes):
            plane[:height, :width] = self._padded[..., channel]
        return [cv2.dft(plane) for plane in planes]


def convolve(image: np.ndarray, kernel: Kernel) -> np.ndarray:
    """Convolve a whole image, (H, W, C) uint8, uint16 or float32, mirrored beyond its border; integers are rounded."""
    return Surround(image, whole_window(image), kernel.reach_px)._blurred(kernel)


def whole_window(image: np.ndarray) -> Window:
    """All of an image."""
    return slice(0, image.shape[0]), slice(0, image.shape[1])


def _with_surround(image: np.ndarray, window: Window, reach: int) -> np.ndarray:
    """The window and ``reach`` px around it, mirrored beyond the image's border: (h + 2 reach, w + 2 reach, C)."""
    (height, width), (rows, columns) = image.shape[:2], window
    top, bottom = max(0, rows.start - reach), min(height, rows.stop + reach)
    left, right = max(0, columns.start - reach), min(width, columns.stop + reach)
    short = (
        *(reach - rows.start + top, reach - bottom + rows.stop),
        *(reach - columns.start + left, reach - right + columns.stop),
    )
    inside = image[top:bottom, left:right]
    return by_fours(lambda part: cv2.copyMakeBorder(part, *short, cv2.BORDER_REFLECT_101), inside)
