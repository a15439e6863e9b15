"""Maps where a photo has no texture: blur leaves no trace there, so what is known nearby counts."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from blurgen.camera.light import white_level
from blurgen.contributed import extended_image_processing
from blurgen.evaluation.scaling import enlarged
from blurgen.texture import luminance

STIFFNESS = 1000.0
"""Lambda of the smoother, px^2, in the first of its three passes; each has a quarter of that of the one before. Where
the photo is flat, findings spread over some 50 px (standard deviation)."""
EDGE = 4.0
"""Sigma of the smoother, levels of 255: a step as high in one colour lets a third through, a grey one a sixth."""
LEAST_GRADIENT = 0.1
"""Added to the gradient, levels of 255 a pixel, so that in a flat photo all pixels count the same."""
_CERTAIN = np.float32(1e-6)


def spread(found: Sequence[np.ndarray], views: Sequence[np.ndarray]) -> np.ndarray:
    """Take findings from where there are gradients to where there are none, as far as no edge is in between.

    The logits of each view are weighted by its gradients, and their sum over the views is divided by the sum of the
    weights, once both are smoothed along the photo's edges: the sparse findings of edges fill what lies between them
    (Zhuo and Sim 2011, "Defocus map estimation from a single image", section 4), as normalised convolution (Knutsson
    and Westin 1993) with a filter that keeps edges in place of a matting Laplacian: fast global smoothing (Min et al.
    2014, "Fast global image smoothing based on weighted least squares"), as OpenCV has it. The last bit of a map may
    hang on the number of OpenCV's threads.

    Parameters
    ----------
    found : sequence of ndarray of shape (h, w), float32
        Probabilities of being blurred, in each view.
    views : sequence of ndarray of shape (h, w, C), uint8, uint16 or float32
        The photo that they were found in, as it is, and perhaps made smaller. Gradients are measured in levels of 255:
        12-bit values in 16 bits have hardly any. Of float32 photos 255 is the largest value of the first view, and 0
        the least.

    Returns
    -------
    ndarray of shape (H, W), float32
        Probabilities, of the size of the first view.

    Raises
    ------
    DependencyError
        OpenCV is there without its contributed modules.
    """
    edge_aware = extended_image_processing("spreading what a model finds (--spread)")
    shape = found[0].shape
    weighted, weights = np.zeros((2, *shape), np.float32)
    views = _in_levels(views)
    for one, view in zip(found, views, strict=True):
        likely = np.clip(one, _CERTAIN, 1 - _CERTAIN)
        weight = edge_weights(view)
        weighted += enlarged(weight * np.log(likely / (1 - likely)), shape)
        weights += enlarged(weight, shape)
    smoother = edge_aware.createFastGlobalSmootherFilter(_guide(views[0]), STIFFNESS, EDGE)
    logits = smoother.filter(weighted) / smoother.filter(weights)
    return 1 / (1 + np.exp(-logits))


def _in_levels(views: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The views as uint8, by one scale for all."""
    first = views[0]
    if first.dtype == np.uint8:
        return list(views)
    low, high = (first.min(), first.max()) if first.dtype == np.float32 else (0, white_level(first.dtype))
    scale = 255 / max(float(high) - float(low), 1e-30)
    return [cv2.convertScaleAbs(view, alpha=scale, beta=-float(low) * scale).reshape(view.shape) for view in views]


def _guide(photo: np.ndarray) -> np.ndarray:
    """What the edges are taken from, (H, W, 3) uint8: the colours, if there are three, else the luminance."""
    return photo if photo.shape[2] == 3 else cv2.merge([luminance(photo)] * 3)


def edge_weights(photo: np.ndarray) -> np.ndarray:
    """How much each pixel's finding counts: (H, W) float32, the length of the gradient, levels of 255 a pixel, and a
    little more."""
    grey = luminance(photo)
    down, right = (cv2.Sobel(grey, cv2.CV_32F, *order, scale=1 / 8) for order in ((0, 1), (1, 0)))
    return cv2.magnitude(down, right) + np.float32(LEAST_GRADIENT)
