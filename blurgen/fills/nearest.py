"""Every sharp pixel becomes a copy of the nearest blurred-side pixel."""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.fills.band import reached_window, wiped


def fill_nearest(image: np.ndarray, blur_mask: np.ndarray, reach_px: int, radius_px: int) -> np.ndarray:
    """Copy the nearest blurred-side pixel (5x5 chamfer distance, within 2 % of Euclidean; ``radius_px`` is not used).

    A shortest chamfer path stays in the box that its ends span, and a blurred pixel that is nearest to some sharp one
    touches a sharp one: so a window of one px around both finds the same pixels as the whole image.
    """
    window = reached_window(blur_mask, reach_px, margin_px=1)
    known = blur_mask[window]
    _, labels = cv2.distanceTransformWithLabels((~known).view(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    filled = wiped(image, blur_mask)
    # The known pixels are labelled 1, 2, ... in raster order, each with its own number.
    sources = filled[window].reshape(known.size, -1).take(np.flatnonzero(known), axis=0)
    filled[window] = sources.take(labels - 1, axis=0, mode="clip")
    return filled
