"""Which part of the photo a pair shows, and at what size it is stored."""

from __future__ import annotations

import re
from dataclasses import dataclass

import cv2
import numpy as np
from pydantic import field_validator

from blurgen.channels import by_fours
from blurgen.params import Interval, Params, param

Window = tuple[slice, slice]
"""Rows and columns of an image."""

MAX_SIDE_PX = 8000  # a square of it is the 64 Mpx that a photo may have


class GeometryParams(Params):
    """The photo is cropped at a random scale, then resized, before anything else happens."""

    size: str = param("320x320", "px", 'HEIGHTxWIDTH of the stored pair, one number for a square, or "native"')
    crop_scale_range: Interval = param(
        (0.6, 1.0), "", "side of the crop as a share of the largest crop of that shape", low=0.05, high=1
    )

    @field_validator("size")
    @classmethod
    def _readable(cls, value: str) -> str:
        return format_size(parse_size(value))

    @property
    def shape(self) -> tuple[int, int] | None:
        """(height, width) of a stored pair in px, or None for native."""
        return parse_size(self.size)


def parse_size(text: str) -> tuple[int, int] | None:
    """Read "320", "240x320" (height x width) or "native" (None). Raises ValueError."""
    if text == "native":
        return None
    found = re.fullmatch(r"([0-9]{1,5})(?:x([0-9]{1,5}))?", text)
    shape = tuple(int(side or found[1]) for side in found.groups()) if found else (0, 0)
    if not all(16 <= side <= MAX_SIDE_PX for side in shape):
        raise ValueError(f'"{text}" is no size: give 320, HEIGHTxWIDTH (16 to {MAX_SIDE_PX} px each) or native')
    return shape


def format_size(shape: tuple[int, int] | None) -> str:
    """The one spelling of a size."""
    return "native" if shape is None else f"{shape[0]}x{shape[1]}"


@dataclass(frozen=True)
class Crop:
    """A window of the photo in px of the upright photo, and the size it is stored at."""

    top: int
    left: int
    crop_height: int
    crop_width: int
    height: int
    width: int

    def to_dict(self) -> dict[str, int]:
        """The numbers by name."""
        return dict(vars(self))


def largest_crop(photo_shape: tuple[int, int], params: GeometryParams) -> Crop:
    """The largest crop of the target's shape, in the middle of the photo."""
    height, width = photo_shape
    crop_height, crop_width = _crop_shape(photo_shape, params, 1.0)
    stored = params.shape or (crop_height, crop_width)
    return Crop((height - crop_height) // 2, (width - crop_width) // 2, crop_height, crop_width, *stored)


def sample_crop(photo_shape: tuple[int, int], params: GeometryParams, rng: np.random.Generator) -> Crop:
    """Draw a crop of the target's shape at a random scale and place."""
    height, width = photo_shape
    crop_height, crop_width = _crop_shape(photo_shape, params, rng.uniform(*params.crop_scale_range))
    top = int(rng.integers(height - crop_height + 1))
    left = int(rng.integers(width - crop_width + 1))
    stored = params.shape or (crop_height, crop_width)
    return Crop(top, left, crop_height, crop_width, *stored)


def _crop_shape(photo_shape: tuple[int, int], params: GeometryParams, scale: float) -> tuple[int, int]:
    height, width = photo_shape
    target_height, target_width = params.shape or photo_shape
    side = scale * min(height / target_height, width / target_width)
    return min(height, max(1, round(side * target_height))), min(width, max(1, round(side * target_width)))


def crop_photo(photo: np.ndarray, crop: Crop) -> np.ndarray:
    """Cut and resize (H, W, C): (crop.height, crop.width, C). Area averaging when shrinking, cubic when enlarging."""
    window = photo[crop.top : crop.top + crop.crop_height, crop.left : crop.left + crop.crop_width]
    if window.shape[:2] == (crop.height, crop.width):
        return np.ascontiguousarray(window)
    shrinking = crop.crop_height >= crop.height
    method = cv2.INTER_AREA if shrinking else cv2.INTER_CUBIC
    resized = by_fours(lambda part: cv2.resize(part, (crop.width, crop.height), interpolation=method), window)
    if photo.dtype != np.float32:
        return resized
    low, high = window.min(axis=(0, 1)), window.max(axis=(0, 1))
    return np.clip(resized, low, high, out=resized)  # cubic resizing overshoots


def bounds(mask: np.ndarray, margin: int = 0) -> Window:
    """Bounding box of a mask that isn't empty, grown by ``margin`` and clipped to the image."""
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    rows = slice(max(top - margin, 0), min(top + height + margin, mask.shape[0]))
    return rows, slice(max(left - margin, 0), min(left + width + margin, mask.shape[1]))


def crop_labels(labels: np.ndarray, chosen: np.ndarray, photo_shape: tuple[int, int], crop: Crop) -> np.ndarray:
    """Render a set of labels in the stored image's frame.

    Parameters
    ----------
    labels : ndarray of shape (h, w), int32
        Label map of the whole photo, at the photo's resolution or a smaller one.
    chosen : ndarray of shape (L,), bool
        Which labels belong to the region.

    Returns
    -------
    ndarray of shape (crop.height, crop.width), bool
        Pixels at least half of which the region covers (sampled bilinearly, so the outline is smooth at any scale).
    """
    if labels.shape == photo_shape:
        window = labels[crop.top : crop.top + crop.crop_height, crop.left : crop.left + crop.crop_width]
        if crop.crop_height <= 2 * crop.height and crop.crop_width <= 2 * crop.width:  # the same samples, but faster
            return cv2.resize((chosen * np.uint8(255)).take(window), (crop.width, crop.height)) >= 128
    scale_y, scale_x = labels.shape[0] / photo_shape[0], labels.shape[1] / photo_shape[1]
    step_y, step_x = crop.crop_height * scale_y / crop.height, crop.crop_width * scale_x / crop.width
    first_y, first_x = crop.top * scale_y, crop.left * scale_x
    rows = slice(max(0, int(first_y) - 1), int(np.ceil(first_y + step_y * crop.height)) + 1)
    columns = slice(max(0, int(first_x) - 1), int(np.ceil(first_x + step_x * crop.width)) + 1)
    window = (chosen * np.uint8(255)).take(labels[rows, columns])
    if max(step_y, step_x) > 2:
        window = cv2.blur(window, (max(1, int(step_x)), max(1, int(step_y))))
    # Pixel centres: stored (i + .5) * step + first is a position in label px.
    matrix = np.array(
        [
            [step_x, 0, 0.5 * step_x + first_x - 0.5 - columns.start],
            [0, step_y, 0.5 * step_y + first_y - 0.5 - rows.start],
        ]
    )
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return (
        cv2.warpAffine(window, matrix, (crop.width, crop.height), flags=flags, borderMode=cv2.BORDER_REPLICATE) >= 128
    )
