"""Which candidates look like objects, and a diverse order of them."""

from __future__ import annotations

import numpy as np

from blurgen.proposals.grouping import touches_frame
from blurgen.proposals.hierarchy import RegionGraph


def mask_features(graph: RegionGraph, masks: np.ndarray) -> dict[str, np.ndarray]:
    """Measure masks from their superpixels: each (P,) float64."""
    border = (masks[:, graph.edges[:, 0]] != masks[:, graph.edges[:, 1]]).astype(np.float64)
    area = (masks @ graph.areas).astype(np.float64)
    length = border @ graph.lengths
    contour = border @ (graph.lengths * graph.strengths.mean(axis=0))
    return {
        "area": area / graph.areas.sum(),
        "contour": contour / np.maximum(length, 1),
        "compactness": np.minimum(1, 4 * np.pi * area / np.maximum(length, 1) ** 2),
    }


def score(features: dict[str, np.ndarray]) -> np.ndarray:
    """Estimated Jaccard index: (P,) float64 in [0, 1]."""
    return np.clip(features["contour"] * features["compactness"] ** 0.25, 0, 1)


def rank(masks, areas, scores, diversity, count):
    """Greedy maximal marginal relevance over the whole pool: (order (K,), adjusted scores (K,) float32)."""
    members = masks.astype(np.float32)
    weighted = members * areas.astype(np.float32)
    sizes = weighted.sum(axis=1)
    scores = np.asarray(scores, np.float32)
    overlap = np.zeros(len(masks), np.float32)
    order, values = [], []
    free = np.ones(len(masks), bool)
    for _ in range(min(count, len(masks))):
        value = np.where(free, (1 - diversity) * scores - diversity * overlap, -np.inf)
        best = int(value.argmax())
        order.append(best)
        values.append(value[best])
        free[best] = False
        common = weighted @ members[best]
        np.maximum(overlap, common / (sizes + sizes[best] - common), out=overlap)
    values = np.array(values, np.float32)
    return np.array(order, np.int64), np.clip(values, 0, 1)
