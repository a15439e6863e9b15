"""Su et al. 2011: a blurred patch is told by few singular values."""

from __future__ import annotations

import numpy as np

from blurgen.evaluation.detectors.windows import enlarged, luminance, windows

SIDE_PX = 21
LARGEST = 5
STRIDE_PX = 3


def svd(photo: np.ndarray) -> np.ndarray:
    """Share of the largest singular values of a patch (Su, Lu, Tan 2011, "Blurred image region detection").

    beta = (sum of the ``LARGEST`` first singular values) / (sum of all). Blur takes the small ones, which stand for
    detail. Patches of ``SIDE_PX``, at every third pixel and bilinear between (all pixels: nine times the work, the
    same map to the eye). Side and number are of the size that public programs use (side 5 to 21, 3 values), chosen on
    synthetic pairs and real photos. Left out: the classification of the blur as motion or defocus by the alpha channel.

    Parameters
    ----------
    photo : ndarray of shape (H, W, C), uint8, uint16 or float32
        float32: 1 is full scale.

    Returns
    -------
    ndarray of shape (H, W), float32
        0 to 1, higher is more blurred. A flat patch has one singular value: 1.
    """
    plane = luminance(photo)
    patches = windows(plane, SIDE_PX, STRIDE_PX)
    share = np.stack([_share_of_largest(row) for row in patches])
    return enlarged(share, plane.shape, STRIDE_PX)


def _share_of_largest(patches: np.ndarray) -> np.ndarray:
    """beta of patches (N, side, side): (N,) float32; 1 for a black patch."""
    values = np.linalg.svd(patches, compute_uv=False)
    total = values.sum(axis=1)
    return np.divide(values[:, :LARGEST].sum(axis=1), total, out=np.ones_like(total), where=total > 0)
