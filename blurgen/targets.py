"""What a pair teaches beside its binary mask, on request."""

from __future__ import annotations

import numpy as np

from blurgen.kernels import Blur
from blurgen.params import Params, param
from blurgen.texture import without_texture
from blurgen.varying import amount_map

SHARP, UNKNOWN, BLURRED = 0, 128, 255
"""Values of a mask as a picture."""


class TargetParams(Params):
    """Which targets are made for each pair."""

    amount: bool = param(False, "", "blur amount of each pixel (sigma in px of the stored image, float16)")
    type: bool = param(False, "", "blur type of each pixel: 0 sharp, 1 defocus, 2 motion")
    unknown: bool = param(False, "", "mark pixels that had no texture before the blur, which leaves no trace there")
    least_texture: float = param(
        30.0, "", "unknown: squared Laplacian, mean of 15x15 px, below which there is no texture", low=0, high=65025
    )


def make_targets(
    params: TargetParams, sharp: np.ndarray, layers: list[tuple[np.ndarray, Blur]]
) -> dict[str, np.ndarray]:
    """The targets that ``params`` asks for.

    Parameters
    ----------
    sharp : ndarray of shape (H, W, C)
        The image before anything was done to it.
    layers : list of (mask, blur)
        What was blurred and how; masks are (H, W) bool and don't overlap.

    Returns
    -------
    dict
        "amount" (H, W) float16, 0 where sharp; "type" (H, W) uint8; "unknown" (H, W) bool.
    """
    targets = {}
    if params.amount:
        targets["amount"] = np.zeros(sharp.shape[:2], np.float16)
        for mask, blur in layers:
            targets["amount"][mask] = amount_map(blur, mask.shape)[mask]
    if params.type:
        targets["type"] = np.zeros(sharp.shape[:2], np.uint8)
        for mask, blur in layers:
            targets["type"][mask] = blur.type
    if params.unknown:
        targets["unknown"] = without_texture(sharp, params.least_texture)
    return targets


def mask_picture(mask: np.ndarray, unknown: np.ndarray | None = None) -> np.ndarray:
    """A mask as a picture, (H, W) uint8: 255 blurred, 0 sharp, and 128 where ``unknown``."""
    picture = np.where(mask, np.uint8(BLURRED), np.uint8(SHARP))
    return picture if unknown is None else np.where(unknown, np.uint8(UNKNOWN), picture)
