"""Which candidates look like objects, and an order in which good and different ones come first."""

from __future__ import annotations

import io
from functools import cache

import numpy as np

from blurgen.proposals.features import FEATURES
from blurgen.proposals.packaged import packaged_weights

_FRONT = 256  # masks compared at a time
FAR = 5.0
"""Standard deviations from the mean; the learned score takes a feature beyond as that far."""
_STEP = 2.0**-14  # scores are multiples of this, so that the last bits of a float don't decide who is first


def score(features: np.ndarray, kind: str, contours: str) -> np.ndarray:
    """How good a mask is likely to be.

    Parameters
    ----------
    features : ndarray of shape (P, len(FEATURES)), float64
    kind : str
        ``hand-made``: a strong border (rank among all borders of the photo) and an area that is neither tiny nor all.
        ``learned``: a small network fitted on BSDS500, which estimates how close the mask comes to being the best
        candidate of some object (the square of the ratio of their Jaccard indices); the mean of that and the hand-made
        score, since the network alone holds too closely to the photos that it knows.
    contours : str
        The detector that the features come from: each has a learned score of its own.

    Returns
    -------
    ndarray of shape (P,), float64
        In [0, 1].
    """
    value = _hand_made(features)
    if kind == "learned":
        value = (value + np.clip(_perceptron(features, *_weights(contours)), 0, 1)) / 2
    return np.rint(np.clip(value, 0, 1) / _STEP) * _STEP


def _hand_made(features: np.ndarray) -> np.ndarray:
    """Rank of the border, times a bump over the root of the area: 1 at a quarter of the photo, .6 at none and all."""
    side, border = (features[:, FEATURES.index(name)] for name in ("root_area", "border_rank"))
    return border * (1 - ((side - 0.5) / 0.8) ** 2)


def _perceptron(features: np.ndarray, *layers: np.ndarray) -> np.ndarray:
    """Standardise by the first array (mean and deviation), then (weights, biases) with rectifiers between."""
    (mean, deviation), *layers = layers
    value = np.clip((features - mean) / deviation, -FAR, FAR)
    *hidden, (weights, biases) = zip(layers[::2], layers[1::2], strict=True)
    for matrix, offsets in hidden:
        value = np.maximum(value @ matrix.T + offsets, 0)
    return (value @ weights.T + biases)[:, 0]


@cache
def _weights(contours: str) -> list[np.ndarray]:
    """The learned score of a detector: [mean and deviation (2, F), weights, biases, weights, biases, ...]."""
    with np.load(io.BytesIO(packaged_weights("scores.npz")), allow_pickle=False) as arrays:
        names = sorted(name for name in arrays.files if name.startswith(f"{contours}."))
        return [arrays[name].astype(np.float64) for name in names]


def diverse_order(
    masks: np.ndarray, areas: np.ndarray, scores: np.ndarray, diversity: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Greedy maximal marginal relevance over the whole pool.

    Parameters
    ----------
    masks : ndarray of shape (P, L), bool
        No mask is empty.
    areas : ndarray of shape (L,), int
        Pixels of each superpixel.
    scores : ndarray of shape (P,), float
        Estimated quality in [0, 1].
    diversity : float
        Weight d in [0, 1] of not overlapping with the masks already taken.
    count : int
        Most masks taken.

    Returns
    -------
    order : ndarray of shape (K,), int64
        Masks taken, best first; among equals the one that stands first in ``masks``.
    relevance : ndarray of shape (K,), float32
        (1 - d) score + d (1 - largest Jaccard index with those taken before), in [0, 1], never increasing.

    Source: Carbonell, Goldstein, "The use of MMR", SIGIR 1998 (their value plus the constant d).
    """
    members = masks.astype(np.float32)
    weighted = members * areas.astype(np.float32)
    sizes = weighted.sum(axis=1)

    def jaccard(rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        common = weighted[rows] @ members[columns].T
        return common / (sizes[rows, None] + sizes[columns] - common)

    quality = ((1 - diversity) * np.asarray(scores) + diversity).astype(np.float32)
    overlap = np.zeros(len(masks), np.float32)
    everything = np.arange(len(masks))
    order, relevance = everything[:0], quality[:0]
    while len(order) < min(count, len(masks)):
        value = quality - np.float32(diversity) * overlap
        ranked = np.argsort(-value, kind="stable")
        front, behind = ranked[:_FRONT], value[ranked[_FRONT]] if len(masks) > _FRONT else -np.inf
        picks, values = _take(quality[front], overlap[front], jaccard(front, front), diversity, behind)
        taken = front[picks]
        quality[taken] = -np.inf
        overlap = np.maximum(overlap, jaccard(everything, taken).max(axis=1))
        order, relevance = np.append(order, taken), np.append(relevance, values)
    return order[:count], np.clip(relevance[:count], 0, 1)


def _take(
    quality: np.ndarray, overlap: np.ndarray, table: np.ndarray, diversity: float, behind: float
) -> tuple[list[int], list[np.float32]]:
    """Take the best of a few masks one by one, as long as none that is not among them can be better.

    Values only fall while masks are taken, so the others never rise above ``behind``, the best of them at the start.
    """
    picks, values = [], []
    for _ in range(len(quality)):
        value = quality - np.float32(diversity) * overlap
        best = int(value.argmax())
        if (picks and value[best] < behind) or np.isneginf(value[best]):
            break
        picks.append(best)
        values.append(value[best])
        quality[best] = -np.inf
        overlap = np.maximum(overlap, table[best])
    return picks, values
