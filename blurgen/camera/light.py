"""Light and its code: blur happens to light, which may be brighter than white; files hold its sRGB code."""

from __future__ import annotations

from functools import lru_cache, reduce

import cv2
import numpy as np

from blurgen.camera import CameraParams

_STEPS = 65536
"""Levels of light in the table back to 8 bits: at most a twentieth of a grey level from the formula."""


def white_level(dtype: np.dtype) -> float:
    """The value of white: 255, 65535, or 1 for float32."""
    return float(np.iinfo(dtype).max) if np.issubdtype(dtype, np.integer) else 1.0


def srgb_to_light(code: np.ndarray) -> np.ndarray:
    """Light, 0 to 1, of an sRGB code, 0 to 1 (IEC 61966-2-1)."""
    return np.where(code <= 0.04045, code / 12.92, ((np.maximum(code, 0.04045) + 0.055) / 1.055) ** 2.4)


def light_to_srgb(light: np.ndarray) -> np.ndarray:
    """sRGB code, 0 to 1, of light, 0 to 1 (IEC 61966-2-1)."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 0.0031308) ** (1 / 2.4) - 0.055)


class Light:
    """How pixel values become what is blurred, and back.

    Parameters
    ----------
    dtype : uint8, uint16 or float32
        Of the photo. Integers are sRGB codes; float32 is taken for light already.
    linear : bool
        Whether light is blurred; otherwise the values themselves are.
    highlight_gain : float, 1 or more
        How many times brighter than white a clipped highlight is taken to be; 1 leaves it white. Not for float32,
        which isn't clipped.
    highlight_start : float, 0 to 1
        Pixels with all channels above this share of white are raised, smoothly from factor 1 there to
        ``highlight_gain`` at white.
    """

    def __init__(
        self, dtype: np.dtype, linear: bool = False, highlight_gain: float = 1.0, highlight_start: float = 0.985
    ) -> None:
        self.dtype = np.dtype(dtype)
        self.is_code = self.dtype != np.float32
        self.linear = linear and self.is_code
        self.highlight_gain = highlight_gain if self.is_code else 1.0
        self.highlight_start = highlight_start

    @classmethod
    def of_camera(cls, dtype: np.dtype, params: CameraParams, highlight_gain: float) -> Light:
        """The light of images of ``dtype`` under a recipe's ``params`` and the gain that was drawn."""
        return cls(dtype, params.linear_light, highlight_gain, params.highlight_start)

    @property
    def changes_values(self) -> bool:
        """Whether light differs from the pixel values."""
        return self.linear or self.highlight_gain > 1

    def of(self, image: np.ndarray) -> np.ndarray:
        """(H, W, C) float32 light of an image: 1 is white where ``changes_values``, else the values as they are."""
        if not self.changes_values:
            return image.astype(np.float32)
        light = cv2.LUT(image, _light_table(self.dtype, self.linear)).reshape(image.shape)
        return light if self.highlight_gain == 1 else self._raised(light, image)

    def _raised(self, light: np.ndarray, image: np.ndarray) -> np.ndarray:
        """The same with highlights raised: white ones, whose least channel is nearly clipped, so no hue changes."""
        least = reduce(cv2.min, cv2.split(image))
        bright = np.nonzero(least > self.highlight_start * white_level(self.dtype))
        factors = _gain_table(self.dtype, self.highlight_gain, self.highlight_start)[least[bright]]
        light[bright] *= factors[:, None]
        return light

    def code(self, light: np.ndarray) -> np.ndarray:
        """(H, W, C) float32 pixel values of light, clipped at black and white but not rounded."""
        if not self.is_code:
            return light
        light = np.maximum(light, 0)  # a Fourier transform's round-off can be below
        white = np.float32(white_level(self.dtype))
        if not self.changes_values:
            return np.minimum(light, white)
        if not self.linear:
            return np.minimum(light, 1) * white
        if self.dtype == np.uint8:
            steps = light * np.float32(_STEPS - 1)
            steps += np.float32(0.5)
            return cv2.LUT(np.minimum(steps, _STEPS - 1, out=steps).astype(np.uint16), _code_table()).reshape(
                light.shape
            )
        return (light_to_srgb(np.minimum(light, 1)) * white).astype(np.float32)


@lru_cache(maxsize=8)
def _light_table(dtype: np.dtype, linear: bool) -> np.ndarray:
    code = np.arange(np.iinfo(dtype).max + 1) / white_level(dtype)
    return (srgb_to_light(code) if linear else code).astype(np.float32)


@lru_cache(maxsize=16)
def _gain_table(dtype: np.dtype, gain: float, start: float) -> np.ndarray:
    code = np.arange(np.iinfo(dtype).max + 1) / white_level(dtype)
    above = np.clip((code - start) / (1 - start), 0, 1)
    return (1 + (gain - 1) * above**2 * (3 - 2 * above)).astype(np.float32)


@lru_cache(maxsize=1)
def _code_table() -> np.ndarray:
    """The 8-bit code, not rounded, of each of ``_STEPS`` levels of light."""
    return (255 * light_to_srgb(np.arange(_STEPS) / (_STEPS - 1))).astype(np.float32)


def rounded(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """``values`` (float32) as ``dtype``: rounded and clipped for integers. For uint8 they must be above -0.5."""
    if dtype == np.uint8:
        return cv2.convertScaleAbs(values).reshape(values.shape)  # the one fast way; its name is for other uses
    if dtype == np.float32:
        return values.astype(np.float32, copy=False)
    return np.clip(np.rint(values), 0, white_level(dtype)).astype(dtype)
