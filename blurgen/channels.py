"""Images of any number of channels through functions of OpenCV that take four at most."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

MOST = 4


def by_fours(operation: Callable[[np.ndarray], np.ndarray], image: np.ndarray) -> np.ndarray:
    """``operation`` on an image (H, W, C), four channels at a time: (h, w, C), also for one channel."""
    if image.shape[2] <= MOST:
        done = operation(image)
        return done if done.ndim == 3 else done[..., None]
    parts = [image[..., first : first + MOST] for first in range(0, image.shape[2], MOST)]
    return np.concatenate([by_fours(operation, np.ascontiguousarray(part)) for part in parts], axis=2)
