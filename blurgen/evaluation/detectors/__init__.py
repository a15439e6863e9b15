"""Detectors that need no training: what a trained model has to beat. One module an algorithm."""

from __future__ import annotations

import numpy as np

from blurgen.evaluation.detectors.binary_patterns import lbp
from blurgen.evaluation.detectors.energy import WINDOWS_PX, gradient, laplacian
from blurgen.evaluation.detectors.fused_coefficients import hifst
from blurgen.evaluation.detectors.heavy_tails import shi
from blurgen.evaluation.detectors.singular_values import svd
from blurgen.evaluation.detectors.span_and_slope import liu
from blurgen.evaluation.detectors.subbands import chakrabarti
from blurgen.evaluation.detectors.windows import RED_GREEN_BLUE, luminance

__all__ = ["DETECTORS", "RED_GREEN_BLUE", "WINDOWS_PX", "constant", "luminance"]


def constant(photo: np.ndarray) -> np.ndarray:
    """Zeros: what a score is worth shows beside that of a map that knows nothing. (H, W) float32."""
    return np.zeros(photo.shape[:2], np.float32)


DETECTORS = {
    "laplacian": laplacian,
    "gradient": gradient,
    "svd": svd,
    "lbp": lbp,
    "hifst": hifst,
    "chakrabarti": chakrabarti,
    "liu": liu,
    "shi": shi,
    "constant": constant,
}
"""Name -> function of a photo (H, W, C) that gives a map (H, W) float32, higher where it is more blurred."""
