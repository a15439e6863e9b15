"""What stands under the sharp region before the blur, so that nothing of it leaks into the blurred one.

Every fill but "none" sees the blurred side of the image only: the sharp region is wiped first. Only the band that the
kernel can reach has to be filled. The fills are causal (a pixel depends on pixels nearer to the border alone), so the
band is to the bit what a fill of the whole region would give.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from blurgen.fills.navier_stokes import fill_navier_stokes
from blurgen.fills.nearest import fill_nearest
from blurgen.fills.telea import fill_telea
from blurgen.params import Params, param

FillMethod = Literal["nearest", "telea", "navier-stokes", "none"]


class FillParams(Params):
    """How the sharp region is filled before the blur."""

    method: FillMethod = param(
        "nearest",
        "",
        "nearest (copy the nearest pixel), telea (2004, as in the paper), navier-stokes (Bertalmio 2001), none",
    )
    radius_px: int = param(
        3,
        "px",
        "telea, navier-stokes: radius of the neighbourhood that a filled pixel is drawn from",
        low=1,
        high=8,
    )


def fill_sharp_region(image: np.ndarray, blur_mask: np.ndarray, reach_px: int, params: FillParams) -> np.ndarray:
    """Replace the sharp region as far as a kernel of half-width ``reach_px`` can carry it into the blurred one.

    Parameters
    ----------
    image : ndarray of shape (H, W, C), uint8, uint16 or float32
        1 to 127 channels, as many as OpenCV takes.
    blur_mask : ndarray of shape (H, W), bool
        True where the pixel will be blurred. Both classes must be there.
    reach_px : int
        Half the kernel's width in px: the band is the sharp pixels within this chessboard distance of a blurred one.

    Returns
    -------
    ndarray of shape (H, W, C), dtype of ``image``
        The blurred side as it was and the band filled. What lies deeper is zero or a fill too; like the band, it does
        not depend on what the image holds there ("none": the image itself).
    """
    return FILLS[params.method](image, blur_mask, reach_px, params.radius_px)


def _fill_none(image: np.ndarray, blur_mask: np.ndarray, reach_px: int, radius_px: int) -> np.ndarray:
    """The naive way, which leaves halos; for comparison."""
    return image


FILLS = {"nearest": fill_nearest, "telea": fill_telea, "navier-stokes": fill_navier_stokes, "none": _fill_none}
