"""Which candidates look like objects, and an order in which good and different ones come first."""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.proposals.grouping import adjacency_matrix
from blurgen.proposals.hierarchy import RegionGraph

# Linear estimate of the Jaccard index with the closest object: least squares on the training photos of BSDS500, rounded
# by hand. The two areas together favour about 0.3 of the photo, the rest favours strong smooth borders.
_SCORE_OFFSET = -0.39
_SCORE_WEIGHTS = {
    "root_area": 2.0,
    "area": -1.85,
    "contrast": 0.004,
    "spread": -0.003,
    "border": 0.85,
    "border_rank": 0.2,
    "raggedness": -0.04,
}


def mask_features(graph: RegionGraph, masks: np.ndarray, photo: np.ndarray) -> dict[str, np.ndarray]:
    """Measure masks from their superpixels.

    Parameters
    ----------
    graph : RegionGraph
    masks : ndarray of shape (P, L), bool
        No mask is empty.
    photo : ndarray of shape (H, W, 3), uint8
        RGB, as ``graph.labels``.

    Returns
    -------
    dict of ndarray of shape (P,), float64
        ``area``, ``root_area``: share of the photo and its square root. ``border``: mean contour strength along the
        border inside the photo, [0, 1]; ``border_rank``: the same with each strength replaced by the share of all
        borders that are weaker; ``raggedness``: sum of the strength along the border over the root of the area in px.
        ``contrast``: distance of the mean colour from that of the superpixels around; ``spread``: standard deviation
        of colour inside; both in CIE Lab units.
    """
    area = masks @ graph.areas
    share = area / graph.areas.sum()
    features = {"area": share, "root_area": np.sqrt(share)}
    return features | _border_features(graph, masks, area) | _colour_features(graph, masks, area, photo)


def _border_features(graph: RegionGraph, masks: np.ndarray, area: np.ndarray) -> dict[str, np.ndarray]:
    strength = graph.strengths.mean(axis=0)
    border = masks[:, graph.edges[:, 0]] != masks[:, graph.edges[:, 1]]
    length = np.maximum(border @ graph.lengths, 1)
    total = _totals(border, graph.lengths * strength)
    order = np.argsort(strength, kind="stable")
    weaker = np.empty(len(strength))
    weaker[order] = (np.cumsum(graph.lengths[order]) - graph.lengths[order] / 2) / graph.lengths.sum()
    return {
        "border": total / length,
        "border_rank": _totals(border, graph.lengths * weaker) / length,
        "raggedness": total / np.sqrt(area),
    }


def _colour_features(
    graph: RegionGraph, masks: np.ndarray, area: np.ndarray, photo: np.ndarray
) -> dict[str, np.ndarray]:
    lab = cv2.cvtColor(photo.astype(np.float32) / 255, cv2.COLOR_RGB2LAB).reshape(-1, 3)
    planes = [*lab.T, (lab**2).sum(axis=1)]
    sums = [np.bincount(graph.labels.ravel(), weights=plane, minlength=len(graph.areas)) for plane in planes]
    inside = np.stack([_totals(masks, plane) for plane in sums]) / area
    variance = inside[3] - (inside[:3] ** 2).sum(axis=0)
    around = (masks.astype(np.float32) @ adjacency_matrix(graph).astype(np.float32) > 0) & ~masks
    ring = np.stack([_totals(around, plane) for plane in sums[:3]]) / np.maximum(around @ graph.areas, 1)
    return {
        "contrast": np.sqrt(((inside[:3] - ring) ** 2).sum(axis=0)),
        "spread": np.sqrt(np.maximum(variance, 0)),
    }


def _totals(sets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Sum of ``values`` (N,) float64 over each set (P, N) bool. Not ``@``: BLAS may add in an order of its own."""
    return np.einsum("pn,n->p", sets.astype(np.float64), values)


def score(features: dict[str, np.ndarray]) -> np.ndarray:
    """Estimated Jaccard index of each mask with the best object: (P,) float64 in [0, 1]."""
    terms = [weight * features[name] for name, weight in _SCORE_WEIGHTS.items()]
    return np.clip(_SCORE_OFFSET + np.sum(terms, axis=0), 0, 1)


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
    quality = ((1 - diversity) * np.asarray(scores) + diversity).astype(np.float32)
    overlap = np.zeros(len(masks), np.float32)
    order = np.zeros(min(count, len(masks)), np.int64)
    relevance = np.zeros(len(order), np.float32)
    for place in range(len(order)):
        value = quality - np.float32(diversity) * overlap
        best = order[place] = value.argmax()
        relevance[place] = value[best]
        quality[best] = -np.inf
        common = weighted @ members[best]
        np.maximum(overlap, common / (sizes + sizes[best] - common), out=overlap)
    return order, np.clip(relevance, 0, 1)
