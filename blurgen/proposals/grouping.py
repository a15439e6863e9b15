"""Candidates: regions of each hierarchy and small groups of neighbouring regions, as sets of superpixels.

Sets are rows of Boolean membership matrices (P, L), so that areas, borders and overlaps are matrix products.

Source: Pont-Tuset, Arbelaez, Barron, Marques, Malik, "Multiscale combinatorial grouping for image segmentation and
object proposal generation", TPAMI 2017, section 5.
"""

from __future__ import annotations

import numpy as np

from blurgen.proposals.hierarchy import Hierarchy, RegionGraph

_SAME_IOU = 0.95
_BLOCK_ROWS = 128  # of the overlap matrix computed at a time, so that it stays in the cache


def candidates(
    graph: RegionGraph, trees: list[Hierarchy], quotas: tuple[int, int, int], area_range: tuple[float, float]
) -> np.ndarray:
    """Singles, pairs, triplets and 4-tuples of all hierarchies, holes filled, without near duplicates.

    Parameters
    ----------
    graph : RegionGraph
    trees : list of Hierarchy
        Over the superpixels of ``graph``.
    quotas : tuple of int
        Most pairs, triplets and 4-tuples listed from each hierarchy, coarsest first.
    area_range : tuple of float
        Least and greatest share of the photo, both inclusive.

    Returns
    -------
    ndarray of shape (P, L), bool
    """
    adjacency = adjacency_matrix(graph)
    masks = unique_rows(np.concatenate([tree_groups(tree, adjacency, quotas) for tree in trees]))
    masks = unique_rows(fill_holes(masks, adjacency, touches_frame(graph.labels)))
    shares = masks @ graph.areas / graph.areas.sum()
    masks = masks[(shares >= area_range[0]) & (shares <= area_range[1])]
    return masks[distinct(masks, graph.areas)]


def adjacency_matrix(graph: RegionGraph) -> np.ndarray:
    """Which superpixels touch: (L, L) bool, symmetric, False on the diagonal."""
    adjacency = np.zeros((len(graph.areas),) * 2, bool)
    adjacency[graph.edges[:, 0], graph.edges[:, 1]] = True
    return adjacency | adjacency.T


def touches_frame(labels: np.ndarray) -> np.ndarray:
    """Which superpixels of a label map (H, W) touch the frame of the photo: (L,) bool."""
    touching = np.zeros(labels.max() + 1, bool)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        touching[side] = True
    return touching


def node_members(parents: np.ndarray) -> np.ndarray:
    """Superpixels below every node of a merge tree: (2L - 1, L) bool."""
    leaves = (len(parents) + 1) // 2
    members = np.zeros((len(parents), leaves), bool)
    members[:leaves] = np.eye(leaves, dtype=bool)
    for node, parent in enumerate(parents[:-1]):
        members[parent] |= members[node]
    return members


def tree_groups(tree: Hierarchy, adjacency: np.ndarray, quotas: tuple[int, ...]) -> np.ndarray:
    """All regions of a hierarchy, and the tuples of regions that stand side by side at some level of it.

    A region lives from its own altitude to its parent's. A tuple comes before another if it vanishes at a higher
    altitude; of each size the first ones are listed, longer tuples as extensions of the listed shorter ones.

    Parameters
    ----------
    tree : Hierarchy
    adjacency : ndarray of shape (L, L), bool
    quotas : tuple of int
        Most tuples of 2, 3, ... regions.

    Returns
    -------
    ndarray of shape (any, L), bool
    """
    members = node_members(tree.parents)
    starts, ends = tree.altitudes, tree.altitudes[tree.parents]
    together = _neighbours(tree.parents, adjacency) & _live_together(starts, ends)
    tuples = np.arange(len(members))[:, None]
    groups = [members]
    for quota in quotas:
        tuples = _extend(tuples, together, starts, ends, quota)
        groups.append(np.logical_or.reduce([members[column] for column in tuples.T]))
    return np.concatenate(groups)


def _neighbours(parents: np.ndarray, adjacency: np.ndarray) -> np.ndarray:
    """Which nodes of a merge tree touch (or share superpixels): (N, N) bool."""
    leaves = len(adjacency)
    touching = np.zeros((len(parents),) * 2, bool)
    touching[:leaves, :leaves] = adjacency
    for _ in range(2):  # first nodes by superpixels, then nodes by nodes
        for node, parent in enumerate(parents[:-1]):
            touching[parent] |= touching[node]
        touching = touching.T.copy()
    return touching


def _live_together(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which intervals of altitude overlap: (N, N) bool."""
    return np.maximum.outer(starts, starts) < np.minimum.outer(ends, ends)


def _extend(tuples: np.ndarray, together: np.ndarray, starts: np.ndarray, ends: np.ndarray, quota: int) -> np.ndarray:
    """Each of these tuples of nodes (T, K) with one more, which touches one of them and lives while all do.

    Nodes that live at the same level never share a superpixel.

    Returns
    -------
    ndarray of shape (at most quota, K + 1), int64
        The first by the altitude at which one of the nodes vanishes, highest first; each row ascending.
    """
    partner = np.logical_or.reduce([together[column] for column in tuples.T])
    partner &= (starts < ends[tuples].min(axis=1)[:, None]) & (ends > starts[tuples].max(axis=1)[:, None])
    partner[np.arange(len(tuples))[:, None], tuples] = False
    rows, nodes = np.nonzero(partner)
    last = np.minimum(ends[tuples].min(axis=1)[rows], ends[nodes])
    size = tuples.shape[1] + 1
    first = np.argsort(-last, kind="stable")[: quota * size]  # a tuple is found at most once for each of its nodes
    longer = np.sort(np.column_stack([tuples[rows[first]], nodes[first]]), axis=1)
    _, place = np.unique(np.ravel_multi_index(tuple(longer.T), (len(starts),) * size), return_index=True)
    return longer[np.sort(place)[:quota]]


def fill_holes(masks: np.ndarray, adjacency: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Add the superpixels that a mask cuts off from the frame of the photo.

    Parameters
    ----------
    masks : ndarray of shape (P, L), bool
    adjacency : ndarray of shape (L, L), bool
    frame : ndarray of shape (L,), bool
        Superpixels that touch the frame.

    Returns
    -------
    ndarray of shape (P, L), bool
    """
    # One row of bits a superpixel, one bit a mask: what is outside of the mask, and reached from the frame.
    outside = np.packbits(np.ascontiguousarray(~masks.T), axis=1)
    reached = outside * frame[:, None]
    neighbours = {place: np.flatnonzero(adjacency[place]) for place in _inwards(adjacency, frame)}
    before = None
    while before is None or not np.array_equal(before, reached):
        before = reached.copy()
        for place, around in neighbours.items():
            reached[place] |= np.bitwise_or.reduce(reached[around], axis=0) & outside[place]
    return np.ascontiguousarray(~np.unpackbits(reached, axis=1, count=len(masks)).view(bool).T)


def _inwards(adjacency: np.ndarray, frame: np.ndarray) -> list[int]:
    """The superpixels that don't touch the frame, those nearer to it first."""
    order, seen = [], frame.copy()
    while True:
        layer = np.flatnonzero(adjacency[seen].any(axis=0) & ~seen)
        if not len(layer):
            return order
        order += layer.tolist()
        seen[layer] = True


def unique_rows(masks: np.ndarray) -> np.ndarray:
    """Drop repeated rows of (P, L) bool and sort the rest. (``np.unique(axis=0)`` takes twenty times as long.)"""
    packed = np.packbits(masks, axis=1)
    words = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8))).view(np.uint64)
    order = np.lexsort(words.T)
    changed = (words[order[1:]] != words[order[:-1]]).any(axis=1)
    return masks[order[np.append(True, changed)]] if len(masks) else masks


def overlaps(one: np.ndarray, two: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Jaccard index of every mask of ``one`` (P, L) with every mask of ``two`` (Q, L): (P, Q) float32.

    ``areas`` (L,) are the pixels of the superpixels. Sums are whole numbers below 2^24, so float32 keeps them exact.
    """
    pixels = areas.astype(np.float32)
    common = (one * pixels) @ two.T.astype(np.float32)
    union = (one @ areas)[:, None] + (two @ areas)[None] - common
    return common / np.maximum(union, 1).astype(np.float32)


def distinct(masks: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Indices (K,) of masks (P, L) of which no two overlap by a Jaccard index of 0.95 or more; the larger one stays."""
    sizes = masks @ areas
    order = np.argsort(-sizes, kind="stable")
    masks, sizes = masks[order], sizes[order]
    keep = np.ones(len(masks), bool)
    for start in range(0, len(masks), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        # Masks that are smaller than this share of the smallest of the block can't overlap by as much.
        end = np.searchsorted(-sizes, -_SAME_IOU * sizes[block][-1], side="right")
        same = np.triu(overlaps(masks[block], masks[start:end], areas) >= _SAME_IOU, 1)
        for row in np.flatnonzero(same.any(axis=1)):
            if keep[start + row]:
                keep[start:end][same[row]] = False
    return order[keep]
