"""From contour maps to candidates with features: the steps between a photo and its ranked proposals."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
from threadpoolctl import ThreadpoolController

from blurgen.proposals import ProposalParams
from blurgen.proposals.features import mask_features
from blurgen.proposals.grouping import candidates
from blurgen.proposals.hierarchy import Hierarchy, RegionGraph, mean_colours, merge_trees, superpixels


@dataclass(frozen=True)
class Segmentation:
    """The superpixels of a photo, and their hierarchies: by colour, of each contour map, and the combined one, last."""

    graph: RegionGraph
    trees: list[Hierarchy]

    @property
    def combined(self) -> Hierarchy:
        """The hierarchy of all contour maps together."""
        return self.trees[-1]


def segment(maps: np.ndarray, photo: np.ndarray, least_superpixel: float) -> Segmentation | None:
    """Superpixels and hierarchies; None if all is one superpixel.

    ``maps`` are the contours, (S, H, W) float32, of ``photo``, (H, W, 3) uint8 in 8-bit Lab.
    """
    graph = superpixels(maps, least_superpixel)
    return Segmentation(graph, merge_trees(graph, mean_colours(graph.labels, photo))) if len(graph.edges) else None


def pool(found: Segmentation, photo: np.ndarray, params: ProposalParams) -> tuple[np.ndarray, np.ndarray]:
    """All candidates, (P, L) bool, and their features, (P, F) float64. ``photo`` is the 8-bit Lab of the maps."""
    quotas = (params.pairs, params.triplets, params.quadruples)
    masks = candidates(found.graph, found.trees, quotas, params.area_range)
    return masks, mask_features(found.graph, found.combined, masks, photo)


class _OneBlasThread:
    """Matrix products on one thread: beside a busy process, two threads that wait for each other take far longer.

    The number of threads belongs to the process: the first to come in sets it, the last to leave puts it back.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._inside = 0
        self._pools: ThreadpoolController | None = None

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._pools = self._pools or ThreadpoolController()  # looking them up takes 6 ms
                self._limit = self._pools.limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._limit.restore_original_limits()


one_blas_thread = _OneBlasThread()
"""Holds for a ``with`` block, in any number of threads."""
