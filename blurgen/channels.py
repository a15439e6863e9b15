"""Images of any number of channels and depth: what is white, and how OpenCV takes more than four channels."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from blurgen.errors import ArgumentError

MOST = 4

FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0, "float32": 1.0}
"""The value that is white, by type."""


def check_photo(photo: np.ndarray) -> None:
    """ArgumentError unless ``photo`` is (H, W, C) of a type that photos have."""
    if photo.ndim != 3 or photo.dtype.name not in FULL_SCALE:
        raise ArgumentError(f"a photo of shape {photo.shape}, {photo.dtype}: give (H, W, C), uint8, uint16 or float32")


def by_fours(operation: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """``operation`` on an image (H, W, C), four channels at a time: (h, w, C), also for one channel."""
    if image.shape[2] <= MOST:
        done = operation(image)
        return done if done.ndim == 3 else done[..., None]
    parts = [image[..., first : first + MOST] for first in range(0, image.shape[2], MOST)]
    return np.concatenate([by_fours(operation, np.ascontiguousarray(part)) for part in parts], axis=2)
