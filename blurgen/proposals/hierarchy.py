"""Superpixels, the graph of which touch which, and the order in which they merge."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import higra
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.segmentation import watershed

from blurgen.proposals.working import lab_units

_WATERSHED_SIGMA_PX = 1.25


@dataclass(frozen=True)
class RegionGraph:
    """Superpixels of one photo and the borders between them.

    Attributes
    ----------
    labels : ndarray of shape (H, W), int32
        Superpixel of each pixel, 0..L-1; every superpixel is connected.
    areas : ndarray of shape (L,), int64
        Pixels of each superpixel.
    edges : ndarray of shape (E, 2), int64
        Pairs of superpixels that touch, lower label first, sorted.
    lengths : ndarray of shape (E,), int64
        Length of each border in pixel sides.
    strengths : ndarray of shape (S, E), float64
        Mean contour strength along each border in each of S contour maps, in [0, 1].
    busy : ndarray of shape (L,), float64
        Mean contour strength, over all maps, of the pixels of each superpixel.
    """

    labels: np.ndarray
    areas: np.ndarray
    edges: np.ndarray
    lengths: np.ndarray
    strengths: np.ndarray
    busy: np.ndarray


@dataclass(frozen=True)
class Hierarchy:
    """Binary merge tree over L superpixels (the first L nodes); children come before parents, the root is last.

    Attributes
    ----------
    parents : ndarray of shape (2L - 1,), int64
        Parent of each node; the root is its own.
    altitudes : ndarray of shape (2L - 1,), float64
        Strength at which each node appears: 0 for superpixels, never above the parent's.
    """

    parents: np.ndarray
    altitudes: np.ndarray


def superpixels(maps: np.ndarray, least_area: float) -> RegionGraph:
    """Watershed basins of the mean of contour maps, none smaller than ``least_area``.

    Parameters
    ----------
    maps : ndarray of shape (S, H, W), float32
        Strengths in [0, 1].
    least_area : float
        Share of the map. A smaller basin is absorbed through its single weakest border: through all of its borders it
        would join the regions that it parts.
    """
    relief = cv2.GaussianBlur(maps.mean(axis=0), (0, 0), _WATERSHED_SIGMA_PX)
    basins = watershed(np.rint(relief * (255 / max(relief.max(), 1e-6))).astype(np.uint8))
    graph = region_graph(np.maximum(basins - 1, 0), maps)  # a relief without a minimum, which is flat, has basin 0 only
    while True:
        small = np.flatnonzero(graph.areas < least_area * graph.labels.size)
        if len(small) == 0 or len(graph.edges) == 0:
            return graph
        graph = _merged(graph, _absorb(graph, small))


def _absorb(graph: RegionGraph, small: np.ndarray) -> np.ndarray:
    """New label of each superpixel (L,) once every small one has merged across its weakest border."""
    ends = np.concatenate([graph.edges, graph.edges[:, ::-1]])
    order = np.lexsort((ends[:, 1], np.tile(graph.strengths.mean(axis=0), 2), ends[:, 0]))
    ends = ends[order]
    weakest = ends[np.searchsorted(ends[:, 0], small)]
    count = len(graph.areas)
    links = coo_array((np.ones(len(weakest)), weakest.T), shape=(count, count))
    return connected_components(links, directed=False)[1]


def _merged(graph: RegionGraph, groups: np.ndarray) -> RegionGraph:
    """The graph after its superpixels have merged: ``groups`` (L,) holds the new label of each."""
    areas = np.bincount(groups, weights=graph.areas).astype(np.int64)
    busy = np.bincount(groups, weights=graph.areas * graph.busy) / areas
    ends = np.sort(groups[graph.edges], axis=1)
    kept = ends[:, 0] != ends[:, 1]
    lengths = graph.lengths[kept]
    borders = _summed(*ends[kept].T, lengths, graph.strengths[:, kept] * lengths, len(areas))
    return RegionGraph(groups.astype(np.int32)[graph.labels], areas, *borders, busy)


def region_graph(labels: np.ndarray, contours: np.ndarray) -> RegionGraph:
    """Measure superpixels and their borders.

    Parameters
    ----------
    labels : ndarray of shape (H, W), int
        0..L-1, each used.
    contours : ndarray of shape (S, H, W), float32
        Contour maps.

    Returns
    -------
    RegionGraph
    """
    labels = labels.astype(np.int32)
    areas = np.bincount(labels.ravel())
    busy = np.bincount(labels.ravel(), weights=contours.mean(axis=0).ravel()) / areas
    sides = [_borders(labels, contours), _borders(labels.T, contours.transpose(0, 2, 1))]
    lower, upper, values = (np.concatenate(parts, axis=-1) for parts in zip(*sides, strict=True))
    return RegionGraph(labels, areas, *_summed(lower, upper, np.ones_like(lower), values, len(areas)), busy)


def _summed(
    lower: np.ndarray, upper: np.ndarray, lengths: np.ndarray, values: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Add up pieces of border between the same two labels: edges (E, 2), lengths (E,), mean strengths (S, E).

    A piece has a lower and an upper label below ``count``, a length, each (B,), and sums of strength, (S, B).
    """
    codes, inverse = np.unique(lower.astype(np.int64) * count + upper, return_inverse=True)
    total = np.bincount(inverse, weights=lengths, minlength=len(codes)).astype(np.int64)
    sums = [np.bincount(inverse, weights=row, minlength=len(codes)) for row in values]
    return np.stack(np.divmod(codes, count), axis=1), total, np.array(sums) / total


def _borders(labels: np.ndarray, contours: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixel sides between a row and the next one that part two labels: lower and upper label (B,), contour (S, B)."""
    rows, columns = np.nonzero(labels[:-1] != labels[1:])
    one, two = labels[rows, columns].astype(np.int64), labels[rows + 1, columns].astype(np.int64)
    values = (contours[:, rows, columns] + contours[:, rows + 1, columns]) / 2
    return np.minimum(one, two), np.maximum(one, two), values


def merge_trees(graph: RegionGraph, colours: np.ndarray) -> list[Hierarchy]:
    """Hierarchies over the same superpixels: one by colour, one of each contour map, and the combined one, last.

    Parameters
    ----------
    graph : RegionGraph
    colours : ndarray of shape (L, 3), float64
        Mean CIE Lab colour of each superpixel.
    """
    by_contour = [merge_tree(graph, strengths) for strengths in (*graph.strengths, graph.strengths.mean(axis=0))]
    return [colour_tree(graph, colours), *by_contour]


def mean_colours(labels: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Mean colour of each superpixel of (H, W) labels in an 8-bit Lab photo (H, W, 3): (L, 3) float64, Lab units."""
    areas = np.bincount(labels.ravel())
    sums = [np.bincount(labels.ravel(), weights=plane.ravel()) for plane in cv2.split(lab_units(photo))]
    return np.stack(sums, axis=1) / areas[:, None]


def colour_tree(graph: RegionGraph, colours: np.ndarray) -> Hierarchy:
    """Merge the two neighbours whose union adds least to the variance of colour, again and again.

    Source: Ward, "Hierarchical grouping to optimize an objective function", JASA 1963.
    """
    tree, altitudes = higra.binary_partition_tree_ward_linkage(_adjacency(graph), colours, graph.areas.astype(float))
    return _hierarchy(tree, np.sqrt(altitudes / max(altitudes.max(), 1e-12)))


def merge_tree(graph: RegionGraph, strengths: np.ndarray) -> Hierarchy:
    """Merge the two regions with the weakest mean border, again and again.

    Parameters
    ----------
    graph : RegionGraph
    strengths : ndarray of shape (E,), float64
        Strength of each border.

    Returns
    -------
    Hierarchy

    Source: Arbelaez, Maire, Fowlkes, Malik, "Contour detection and hierarchical image segmentation", TPAMI 2011.
    """
    weights, lengths = strengths.astype(np.float64), graph.lengths.astype(np.float64)
    return _hierarchy(*higra.binary_partition_tree_average_linkage(_adjacency(graph), weights, lengths))


def _adjacency(graph: RegionGraph) -> higra.UndirectedGraph:
    adjacency = higra.UndirectedGraph(len(graph.areas))
    adjacency.add_edges(graph.edges[:, 0], graph.edges[:, 1])
    return adjacency


def _hierarchy(tree: higra.Tree, altitudes: np.ndarray) -> Hierarchy:
    parents = tree.parents().astype(np.int64)
    return Hierarchy(parents, _monotone(parents, altitudes))


def ultrametric_contours(graph: RegionGraph, tree: Hierarchy) -> np.ndarray:
    """Ultrametric contour map: the altitude at which the two sides of each border merge.

    Returns
    -------
    ndarray of shape (H, W), float32
        In [0, 1]; both pixels next to a border have its altitude (the highest of their borders), all others 0. The
        connected parts of ``map <= t`` and the borders up to t are the regions of the hierarchy at altitude t.
    """
    merged = np.zeros((len(graph.areas),) * 2, np.float32)
    merged[tuple(graph.edges.T)] = border_altitudes(graph, tree)
    merged = np.maximum(merged, merged.T)
    labels = graph.labels
    contours = np.zeros(labels.shape, np.float32)
    for one, two in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        altitude = merged[labels[one], labels[two]]
        np.maximum(contours[one], altitude, out=contours[one])
        np.maximum(contours[two], altitude, out=contours[two])
    return contours


def border_altitudes(graph: RegionGraph, tree: Hierarchy) -> np.ndarray:
    """Altitude of the lowest common ancestor of the two superpixels of each border: (E,) float64."""
    finder = higra.Tree(tree.parents).lowest_common_ancestor_preprocess()
    return tree.altitudes[finder.lca(*graph.edges.T.copy())]


def _monotone(parents: np.ndarray, altitudes: np.ndarray) -> np.ndarray:
    """Raise altitudes so that no node is above its parent (average linkage can invert)."""
    raised = altitudes.astype(np.float64)
    for node, parent in enumerate(parents):
        raised[parent] = max(raised[parent], raised[node])
    return raised
