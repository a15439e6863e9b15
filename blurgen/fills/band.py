"""Where a fill has to work: what a kernel can reach of the sharp region."""

from __future__ import annotations

import cv2
import numpy as np

Window = tuple[slice, slice]


def wiped(image: np.ndarray, blur_mask: np.ndarray) -> np.ndarray:
    """Copy of ``image`` (H, W, C) with the sharp region set to zero: the only look that a fill takes at it."""
    copy = np.zeros(image.shape, image.dtype)
    cv2.copyTo(image, blur_mask.view(np.uint8), copy)
    return copy


def reached_window(blur_mask: np.ndarray, reach_px: int, margin_px: int) -> Window:
    """A window around all sharp pixels within ``reach_px`` (chessboard) of a blurred one, and ``margin_px`` more.

    The part of the image that lies both in the bounding box of the sharp region and, grown by the reach, in that of
    the blurred one: so the window of an object is about as large as the object, whichever side of it is sharp.
    """
    blurred, sharp = (cv2.boundingRect(side.view(np.uint8)) for side in (blur_mask, ~blur_mask))
    height, width = blur_mask.shape
    left, right = _overlap(blurred[0], blurred[2], sharp[0], sharp[2], width, reach_px, margin_px)
    top, bottom = _overlap(blurred[1], blurred[3], sharp[1], sharp[3], height, reach_px, margin_px)
    return slice(top, bottom), slice(left, right)


def _overlap(blurred: int, blurred_size: int, sharp: int, sharp_size: int, size: int, reach: int, margin: int):
    first = max(blurred - reach, sharp) - margin
    last = min(blurred + blurred_size + reach, sharp + sharp_size) + margin
    return max(first, 0), min(last, size)


def reached_band(known: np.ndarray, reach_px: int) -> np.ndarray:
    """Sharp pixels within the chessboard distance ``reach_px`` of a ``known`` one: (H, W) bool."""
    side = 2 * reach_px + 1
    near = cv2.dilate(
        known.view(np.uint8), np.ones((side, side), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0
    )
    return near.view(bool) & ~known
