"""How sharp a photo is, and where it has texture: measured before anything is blurred."""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.camera.light import white_level
from blurgen.geometry import bounds

TEXTURE_SIDE_PX = 15


def luminance(image: np.ndarray) -> np.ndarray:
    """(H, W) uint8 of an (H, W, C) image: grey for RGB, else the mean of the channels.

    White is 255; of float32 images, which may have any range, the largest value is, and the least is 0.
    """
    if image.dtype == np.uint8 and image.shape[2] == 3:
        return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if image.dtype == np.uint8 and image.shape[2] == 1:
        return image[..., 0]
    mean = image.mean(axis=2, dtype=np.float32)
    if image.dtype == np.float32:
        mean -= mean.min()
        return cv2.convertScaleAbs(mean, alpha=255 / max(float(mean.max()), 1e-30))
    return cv2.convertScaleAbs(mean, alpha=255 / white_level(image.dtype))


def sharpness(image: np.ndarray, where: np.ndarray) -> float:
    """How sharp the edges of an image are, 0 to 1, inside a region.

    The image is blurred once more, by 1 px (the binomial filter 1, 4, 6, 4, 1 along both axes has that standard
    deviation); the sharper an edge, the more of its gradient's energy that costs (the gradient ratio of Zhuo and Sim
    2011, "Defocus map estimation from a single image", section 3, over a region instead of along an edge). An edge that
    a Gaussian of sigma px has blurred gives 1 - sigma / sqrt(sigma^2 + 1): 0.55 at 0.5 px, 0.29 at 1 px, 0.11 at 2 px.
    Fine texture and noise count as sharp.

    Parameters
    ----------
    image : ndarray of shape (H, W, C), uint8, uint16 or float32
    where : ndarray of shape (H, W), bool

    Returns
    -------
    float
        0 where there is no gradient at all.
    """
    window = bounds(where, 3) if where.any() else np.s_[:0, :0]
    grey, where = luminance(image[window]), np.ascontiguousarray(where[window])
    if min(grey.shape) < 2:
        return 0.0
    again = cv2.GaussianBlur(grey, (5, 5), 0)  # sigma 0 and side 5: the binomial filter
    chosen = where.view(np.uint8)
    before, after = (_gradient_energy(one, chosen) for one in (grey, again))
    return float(np.clip(1 - after / before, 0, 1)) if before else 0.0


def _gradient_energy(grey: np.ndarray, chosen: np.ndarray) -> float:
    """Sum of squared differences of the chosen pixels of every other row with those right of and below them."""
    rows, below, chosen = grey[:-1:2], grey[1::2], chosen[:-1:2]
    across = cv2.norm(rows[:, 1:], rows[:, :-1], cv2.NORM_L2SQR, chosen[:, :-1])
    return across + cv2.norm(rows, below, cv2.NORM_L2SQR, chosen)


def without_texture(image: np.ndarray, least: float) -> np.ndarray:
    """Where blur would leave no trace: (H, W) bool.

    True where the mean of the squared Laplacian (4 neighbours, white is 255) over the ``TEXTURE_SIDE_PX`` square around
    a pixel is below ``least``.
    """
    return texture(luminance(image)) < least


def texture(grey: np.ndarray) -> np.ndarray:
    """Mean of the squared Laplacian around each pixel of a luminance (H, W) uint8: (H, W) float32."""
    laplacian = cv2.Laplacian(grey, cv2.CV_32F, ksize=1)
    return cv2.boxFilter(laplacian * laplacian, -1, (TEXTURE_SIDE_PX, TEXTURE_SIDE_PX))
