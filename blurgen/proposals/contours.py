"""Contours: how likely each pixel is to lie on the border of something, at several scales."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import cv2
import numpy as np

from blurgen.proposals.gradient import gradient_contours
from blurgen.proposals.network import Network
from blurgen.proposals.packaged import packaged_weights


def contour_maps(photo: np.ndarray, kind: str) -> np.ndarray:
    """Contour strength of a photo at several scales.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
        CIE Lab as OpenCV scales it to 8 bits.
    kind : str
        A name of ``DETECTORS``.

    Returns
    -------
    ndarray of shape (S, H, W), float32
        Strengths in [0, 1], finest scale first.
    """
    return DETECTORS[kind](photo)


def learned_contours(photo: np.ndarray, network: Network | None = None) -> np.ndarray:
    """The share of people expected to mark a border at each pixel, seen on the photo and on half of it.

    ``network`` replaces the one of the package, which was trained on BSDS500 (``blurgen.training.proposals``).
    """
    network = network or _packaged()
    height, width = photo.shape[:2]
    half = cv2.resize(photo, (-(-width // 2), -(-height // 2)), interpolation=cv2.INTER_AREA)
    coarse = cv2.resize(network.run(half), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.stack([network.run(photo), coarse]) / np.float32(255)


@cache
def _packaged() -> Network:
    return Network(packaged_weights("contours.npz"))


DETECTORS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "learned": learned_contours,
    "gradient": gradient_contours,
}
