"""JPEG history: the finished image, compressed and opened again, as if it had been a file before."""

from __future__ import annotations

import cv2
import numpy as np


def can_be_jpeg(image: np.ndarray) -> bool:
    """Whether JPEG can hold the image: (H, W, 1) or (H, W, 3) uint8."""
    return image.dtype == np.uint8 and image.shape[2] in (1, 3)


def recompressed(image: np.ndarray, quality: int, halved: bool) -> np.ndarray:
    """The image (H, W, C) after a JPEG of ``quality`` (1 to 100), its colours ``halved`` (4:2:0) or whole (4:4:4)."""
    sampling = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if halved else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    # RGB taken for BGR: which channel is called red matters to the colour transform, so it is swapped.
    stored = image if image.shape[2] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    data = cv2.imencode(".jpg", stored, flags)[1]
    opened = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE if image.shape[2] == 1 else cv2.IMREAD_COLOR_RGB)
    return opened.reshape(image.shape)
