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
    together = _neighbours(members, adjacency) & _live_together(starts, ends)
    tuples = np.arange(len(members))[:, None]
    groups = [members]
    for quota in quotas:
        tuples = _extend(tuples, together, starts, ends)
        tuples = tuples[_coarsest_first(ends, tuples)[:quota]]
        groups.append(np.logical_or.reduce([members[column] for column in tuples.T]))
    return np.concatenate(groups)


def _neighbours(members: np.ndarray, adjacency: np.ndarray) -> np.ndarray:
    """Which nodes touch and share no superpixel: (N, N) bool."""
    as_float = members.astype(np.float32)
    return (as_float @ adjacency.astype(np.float32) @ as_float.T > 0) & (as_float @ as_float.T == 0)


def _live_together(starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Which intervals of altitude overlap: (N, N) bool."""
    return np.maximum.outer(starts, starts) < np.minimum.outer(ends, ends)


def _coarsest_first(ends: np.ndarray, tuples: np.ndarray) -> np.ndarray:
    """Order of tuples of nodes (T, K) by the altitude at which the first of each vanishes, highest first."""
    return np.argsort(-ends[tuples].min(axis=1), kind="stable")


def _extend(tuples: np.ndarray, together: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Tuples of nodes (T, K + 1), ascending: each of (T, K) with a node that touches one of it and lives while all do.

    Nodes that live at the same level never share a superpixel.
    """
    partner = np.logical_or.reduce([together[column] for column in tuples.T])
    partner &= (starts < ends[tuples].min(axis=1)[:, None]) & (ends > starts[tuples].max(axis=1)[:, None])
    rows, nodes = np.nonzero(partner)
    longer = np.sort(np.column_stack([tuples[rows], nodes]), axis=1)
    longer = longer[(longer[:, 1:] > longer[:, :-1]).all(axis=1)]
    shape = (len(starts),) * longer.shape[1]
    return np.column_stack(np.unravel_index(np.unique(np.ravel_multi_index(tuple(longer.T), shape)), shape))


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
    outside = np.packbits(~masks.T, axis=1)
    reached = outside * frame[:, None]
    neighbours = [np.flatnonzero(row) for row in adjacency]
    order = [*range(len(frame)), *reversed(range(len(frame)))]
    before = None
    while before is None or not np.array_equal(before, reached):
        before = reached.copy()
        for place in order:
            reached[place] |= np.bitwise_or.reduce(reached[neighbours[place]], axis=0) & outside[place]
    return ~np.unpackbits(reached, axis=1, count=len(masks)).astype(bool).T


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
