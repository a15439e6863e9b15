"""Sizes: photos made smaller before their map is made, maps made as large as the truth afterwards."""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.channels import by_fours


def smaller(photo: np.ndarray, short_side: int | None) -> np.ndarray:
    """The photo (H, W, C) with a short side of so many px, by area; the photo itself if it is no larger."""
    ratio = short_side / min(photo.shape[:2]) if short_side else 1
    if ratio >= 1:
        return photo
    height, width = (max(1, round(side * ratio)) for side in photo.shape[:2])
    return by_fours(lambda part: cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA), photo)


def enlarged(blur_map: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """(H, W) float32 of another size: bilinear with the corners aligned, never stretched in value.

    As ``torch.nn.functional.interpolate(..., mode="bilinear", align_corners=True)``. What is constant stays so to the
    bit: equal values must stay ties.
    """
    values = blur_map.astype(np.float32)
    if blur_map.shape == tuple(shape):
        return values
    return _along_rows(np.ascontiguousarray(_along_rows(values, shape[0]).T), shape[1]).T


def _along_rows(values: np.ndarray, length: int) -> np.ndarray:
    """(H, W) -> (length, W)."""
    last = len(values) - 1
    at = np.arange(length) * (last / max(length - 1, 1))
    above = np.minimum(at.astype(np.intp), max(last - 1, 0))
    weight = (at - above).astype(np.float32)[:, None]
    upper, lower = values[above], values[np.minimum(above + 1, last)]
    lower -= upper
    lower *= weight
    lower += upper
    return lower
