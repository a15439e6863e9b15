"""Blur a layer of the photo and put it back: what is far keeps off the outline, what is near spreads over it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from blurgen.camera.light import Light, rounded
from blurgen.camera.noise import Noise, noise_planes
from blurgen.channels import by_fours
from blurgen.convolution import Lens, Surround, whole_window
from blurgen.fill import FillParams, fill_sharp_region
from blurgen.geometry import Window, bounds
from blurgen.kernels import Blur
from blurgen.varying import amount_map, least_amount

LEAST_AMOUNT_PX = 0.3
"""What is blurred less is sharp in the mask: the middle of a turn or a zoom, say."""

_ROUND_OFF = 1e-4
"""Alpha so near to 0 or 1 is that, but for the round-off of a Fourier transform."""


def is_blurred(blur: Blur, shape: tuple[int, int]) -> np.ndarray:
    """Where a blur is strong enough to be called one: (H, W) bool."""
    if least_amount(blur) >= LEAST_AMOUNT_PX:
        return np.ones(shape, bool)
    return amount_map(blur, shape) >= LEAST_AMOUNT_PX


@dataclass(frozen=True)
class Grain:
    """Noise to put back where a lens takes it away.

    Attributes
    ----------
    offsets : tuple of two ints
        Which part of the fixed noise field lies on the image: see ``noise_planes``.
    strength : float
        1 puts back as much as was lost.
    """

    noise: Noise
    offsets: tuple[int, int]
    strength: float = 1.0

    def added_to(
        self, planes: list[np.ndarray], window: Window, lens: Lens, seen: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """``planes`` (h, w) of pixel values with the noise that ``lens`` takes away, weighted by ``seen`` (h, w)."""
        left = 0.0 if lens.kernel is None else self.noise.left_by(lens.kernel.weights)
        weight = np.float32(self.strength * np.sqrt(1 - left))
        weight = weight if seen is None else weight * seen
        top, left = (offset + part.start for offset, part in zip(self.offsets, window, strict=True))
        noise = noise_planes(self.noise, planes[0].shape, (top, left))
        return [plane + weight * one for plane, one in zip(planes, noise, strict=True)]


def composite_far(
    image: np.ndarray, mask: np.ndarray, lens: Lens, source: Surround, light: Light, grain: Grain | None
) -> tuple[np.ndarray, np.ndarray]:
    """Equation 1 of the paper: the blurred scene inside ``mask``, ``image`` outside; the outline stays as it is.

    Parameters
    ----------
    image : ndarray of shape (H, W, C), uint8, uint16 or float32
    mask : ndarray of shape (H, W), bool
        True where the pixel is blurred.
    source : Surround
        What is blurred, over the bounding box of ``mask``: the image, its sharp region filled, or the light of that.
    light, grain
        How light and noise are treated.

    Returns
    -------
    image : ndarray of shape (H, W, C)
        A new image of the same dtype.
    mask : ndarray of shape (H, W), bool
        ``mask`` without the pixels at which the blur stands still.
    """
    if light.changes_values or grain:
        planes = [light.code(plane) for plane in source.planes(lens)]
        blurred = _finished(planes, image.dtype, source.window, lens, grain)
    else:
        blurred = source.blurred(lens)
    soft_mask = mask & is_blurred(lens.blur, mask.shape) if lens.blur.varies else mask
    return _pasted(image, blurred, soft_mask[source.window], source.window), soft_mask


def composite_near(
    image: np.ndarray, mask: np.ndarray, lens: Lens, fill: FillParams, light: Light, grain: Grain | None
) -> tuple[np.ndarray, np.ndarray]:
    """A near layer out of focus or in motion, over what is behind it.

    The layer's light, premultiplied by its alpha, is blurred together with alpha; behind it stands the rest of the
    photo, continued under the layer by the fill (Porter and Duff 1984, "over").

    Returns
    -------
    image : ndarray of shape (H, W, C)
        A new image of the same dtype.
    mask : ndarray of shape (H, W), bool
        Where alpha is one half or more, and the blur doesn't stand still.
    """
    window = bounds(mask, lens.reach_px)
    *blurred, seen = Surround(_premultiplied(image, mask, light), window, lens.reach_px).planes(lens)
    hidden = np.clip(1 - seen, 0, 1)
    opaque = hidden < _ROUND_OFF
    hidden[opaque] = 0
    whole = np.where(opaque, 1 / np.maximum(seen, 0.5), np.float32(1))
    behind = cv2.split(light.of(_behind(image, mask, lens.reach_px, fill)[window]))
    planes = [light.code(whole * front + hidden * back) for front, back in zip(blurred, behind, strict=True)]
    finished = _finished(planes, image.dtype, window, lens, grain, np.sqrt(1 - hidden**2))
    soft_mask = np.zeros_like(mask)
    soft_mask[window] = seen >= 0.5
    changed = seen > _ROUND_OFF
    if lens.blur.varies:
        moving = is_blurred(lens.blur, mask.shape)
        soft_mask &= moving
        changed &= moving[window]
    return _pasted(image, finished, changed, window), soft_mask


def _behind(image: np.ndarray, mask: np.ndarray, reach_px: int, fill: FillParams) -> np.ndarray:
    """What stands behind a near layer: the rest of the image, continued under it by the fill.

    Smoothed under the layer by a mean over a third of the reach, since the streaks of a fill would show through.
    """
    if mask.all():
        return image
    margin = max(1, reach_px // 3)
    filled = fill_sharp_region(image, ~mask, reach_px + margin, fill)
    side = (2 * margin + 1, 2 * margin + 1)
    smooth = by_fours(lambda part: cv2.blur(part, side, borderType=cv2.BORDER_REFLECT_101), filled)
    return _pasted(image, smooth, mask, whole_window(image))


def _premultiplied(image: np.ndarray, mask: np.ndarray, light: Light) -> np.ndarray:
    """Light and alpha, zero outside of ``mask``: (H, W, C + 1) float32."""
    inside = bounds(mask)
    part = light.of(np.ascontiguousarray(image[inside]))
    alpha = np.ones(part.shape[:2], np.float32)
    layer = np.zeros((*mask.shape, image.shape[2] + 1), np.float32)
    cv2.copyTo(cv2.merge([*cv2.split(part), alpha]), mask[inside].view(np.uint8), layer[inside])
    return layer


def _finished(
    planes: list[np.ndarray],
    dtype: np.dtype,
    window: Window,
    lens: Lens,
    grain: Grain | None,
    seen: np.ndarray | None = None,
) -> np.ndarray:
    """Pixel values with their noise, rounded: (h, w, C) of ``dtype``."""
    if grain:
        planes = grain.added_to(planes, window, lens, seen)
        planes = planes if dtype == np.float32 else [np.maximum(plane, 0) for plane in planes]
    return cv2.merge([rounded(plane, dtype) for plane in planes]).reshape(*planes[0].shape, -1)


def _pasted(image: np.ndarray, part: np.ndarray, where: np.ndarray, window: Window) -> np.ndarray:
    """A copy of ``image`` with ``part`` in its ``window`` at the pixels ``where``."""
    composite = image.copy()
    cv2.copyTo(part, where.view(np.uint8), composite[window])
    return composite
