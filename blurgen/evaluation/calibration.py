"""What a detector's score is worth: the probability that a pixel of that score is blurred."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

CALIBRATION = {
    "laplacian": (-11.5, 4.04),
    "gradient": (-9.96, 5.82),
    "svd": (0.967, 0.0206),
    "lbp": (-0.0366, 0.0308),
    "hifst": (-0.875, 0.685),
    "chakrabarti": (3.69, 3.71),
    "liu": (-0.0975, 2.02),
    "shi": (-0.0807, 3.3),
}
"""Detector -> (centre, width), in its own scores, as ``fit`` finds them on synthetic pairs (recipe `standard`, 320 px,
BSDS500 train): ``python benchmarks/calibration.py``."""

_MAD_TO_SIGMA = 1.4826


def as_probability(scores: np.ndarray, detector: str) -> np.ndarray:
    """Scores of a detector, of any range, as numbers from 0 (sharp) to 1 (blurred): a logistic curve.

    Its centre and width are fixed for the detectors of ``CALIBRATION``, so equal scores mean the same in all photos,
    and a photo may be sharp or blurred as a whole. For any other detector they are median and spread (1.4826 times the
    median absolute deviation) of the photo's own scores: half of each photo is called blurred then. A heuristic both
    ways: the order of the pixels is kept, the numbers are no frequencies on photos of another kind.

    Parameters
    ----------
    scores : ndarray of shape (H, W), float32
        Higher is more blurred.

    Returns
    -------
    ndarray of shape (H, W), float32
    """
    centre, width = CALIBRATION.get(detector) or _own(scores)
    return (0.5 + 0.5 * np.tanh((scores - centre) / (2 * width))).astype(np.float32)


def _own(scores: np.ndarray) -> tuple[float, float]:
    """Median and spread of one photo's scores; the spread of a constant map is taken for 1."""
    centre = np.median(scores)
    return float(centre), float(_MAD_TO_SIGMA * np.median(np.abs(scores - centre))) or 1.0


def fit(scored: Iterable[tuple[np.ndarray, np.ndarray]], every: int = 97) -> tuple[float, float]:
    """Centre and width by logistic regression, both classes weighing the same; of each image every 97th pixel.

    Parameters
    ----------
    scored : iterable of (scores (H, W) float32, mask (H, W) bool, True = blurred)
    """
    parts = [(scores.ravel()[::every], mask.ravel()[::every]) for scores, mask in scored]
    x, y = (np.concatenate(part).astype(np.float64) for part in zip(*parts, strict=True))
    weight = np.where(y > 0, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    mean, spread = x.mean(), x.std() or 1.0
    design = np.stack([(x - mean) / spread, np.ones_like(x)])
    slope, offset = _newton(design, y, weight)
    return float(mean - spread * offset / slope), float(spread / slope)


def _newton(design: np.ndarray, y: np.ndarray, weight: np.ndarray, rounds: int = 30) -> np.ndarray:
    """Coefficients (2,) that minimise the weighted cross entropy of a logistic model with rows ``design`` (2, n)."""
    found = np.zeros(2)
    for _ in range(rounds):
        p = 0.5 + 0.5 * np.tanh(found @ design / 2)
        found = found + np.linalg.solve((design * (weight * p * (1 - p))) @ design.T, design @ (weight * (y - p)))
    return found
