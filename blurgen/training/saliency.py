"""What catches the eye in an image, and where that disagrees with what is sharp (Zhang & Yan 2020, section 3.3).

The paper takes a network's salient objects. Here: the spectral residual of Hou & Zhang 2007.
"""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.channels import FULL_SCALE
from blurgen.errors import DependencyError
from blurgen.targets import SHARP, UNKNOWN

_TIMES_MEAN = 2  # Achanta et al. 2009; OpenCV's own computeBinaryMap clusters from random seeds


def saliency_map(image: np.ndarray) -> np.ndarray:
    """Where the saliency of an image is at least twice its mean.

    Parameters
    ----------
    image : ndarray of shape (H, W, C), uint8, uint16 or float32
        The mean of its channels counts.

    Returns
    -------
    ndarray of shape (H, W), bool

    Raises
    ------
    DependencyError
        An OpenCV without the contributed modules.
    """
    if not hasattr(cv2, "saliency"):
        raise DependencyError(
            "loss.hard_weight needs cv2.saliency, which this OpenCV lacks: pip uninstall opencv-python "
            "opencv-python-headless, then pip install --force-reinstall opencv-contrib-python"
        )
    values = np.ascontiguousarray(image).reshape(-1, image.shape[2])
    grey = cv2.reduce(values, 1, cv2.REDUCE_AVG, dtype=cv2.CV_32F).reshape(image.shape[:2])
    grey = cv2.convertScaleAbs(np.maximum(grey, 0), alpha=255 / FULL_SCALE[image.dtype.name])
    _, saliency = cv2.saliency.StaticSaliencySpectralResidual_create().computeSaliency(grey)
    return saliency >= _TIMES_MEAN * saliency.mean()


def hard_weight(salient: np.ndarray, mask: np.ndarray, factor: float) -> np.ndarray:
    """Weights of eq. 6: ``factor`` in the hard region H = (S u F) - (S n F), 1 elsewhere and where nothing is known.

    Parameters
    ----------
    salient : ndarray of shape (H, W), bool
        S.
    mask : ndarray of shape (H, W), uint8
        0 is in focus (F), 255 blurred, 128 unknown.
    factor : float

    Returns
    -------
    ndarray of shape (H, W), float32
    """
    known, sharp = mask != UNKNOWN, mask == SHARP
    return np.where((salient != sharp) & known, np.float32(factor), np.float32(1))
