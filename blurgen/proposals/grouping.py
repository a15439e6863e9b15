"""Candidates: regions of each hierarchy and small groups of neighbouring regions, as sets of superpixels."""

from __future__ import annotations

import numpy as np

from blurgen.proposals.hierarchy import Hierarchy, RegionGraph

_SAME_IOU = 0.95


def candidates(
    graph: RegionGraph, trees: list[Hierarchy], pairs: int, triplets: int, area_range: tuple[float, float]
) -> np.ndarray:
    """Singles, pairs and triplets of all hierarchies, holes filled, without near duplicates.

    Returns
    -------
    ndarray of shape (P, L), bool
    """
    adjacency = adjacency_matrix(graph)
    groups = [group for tree in trees for group in tree_groups(tree, adjacency, pairs, triplets)]
    masks = unique_rows(np.concatenate(groups))
    masks = unique_rows(fill_holes(masks, adjacency, touches_frame(graph.labels)))
    shares = masks @ graph.areas / graph.areas.sum()
    masks = masks[(shares >= area_range[0]) & (shares <= area_range[1])]
    return masks[distinct(masks, graph.areas)]


def unique_rows(masks: np.ndarray) -> np.ndarray:
    """Drop repeated rows of (P, L) bool; the rest is sorted. (``np.unique(axis=0)`` takes twenty times as long.)"""
    packed = np.packbits(masks, axis=1)
    packed = np.pad(packed, ((0, 0), (0, -packed.shape[1] % 8)))
    words = packed.view(">u8").astype(np.uint64)
    order = np.lexsort(words.T[::-1])
    first = np.append(True, (words[order[1:]] != words[order[:-1]]).any(axis=1))[: len(masks)]
    return masks[order[first]]


def adjacency_matrix(graph: RegionGraph) -> np.ndarray:
    """Which superpixels touch: (L, L) bool, symmetric."""
    adjacency = np.zeros((len(graph.areas),) * 2, bool)
    adjacency[graph.edges[:, 0], graph.edges[:, 1]] = True
    return adjacency | adjacency.T


def touches_frame(labels: np.ndarray) -> np.ndarray:
    """Which superpixels touch the frame of the photo: (L,) bool."""
    touching = np.zeros(labels.max() + 1, bool)
    for side in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        touching[side] = True
    return touching


def node_members(parents: np.ndarray) -> np.ndarray:
    """Superpixels of every node of a merge tree: (2L - 1, L) bool."""
    leaves = (len(parents) + 1) // 2
    members = np.zeros((len(parents), leaves), bool)
    members[:leaves] = np.eye(leaves, dtype=bool)
    for node, parent in enumerate(parents[:-1]):
        members[parent] |= members[node]
    return members


def tree_groups(tree: Hierarchy, adjacency: np.ndarray, pairs: int, triplets: int) -> list[np.ndarray]:
    """Nodes, pairs and triplets that stand side by side in some level of the hierarchy, the coarsest first.

    Returns
    -------
    list of ndarray of shape (any, L), bool
    """
    members = node_members(tree.parents)
    as_float = members.astype(np.float32)
    touching = (as_float @ adjacency.astype(np.float32) @ as_float.T > 0) & (as_float @ as_float.T == 0)
    last = tree.altitudes[tree.parents]
    together = (np.maximum.outer(tree.altitudes, tree.altitudes) < np.minimum.outer(last, last)) & touching
    twos = np.argwhere(np.triu(together))
    twos = twos[_coarsest_first(last[twos].min(axis=1))][:pairs]
    threes = _extend(twos, together, tree.altitudes, last)[:triplets]
    return [members, members[twos].any(axis=1), members[threes].any(axis=1)]


def _coarsest_first(last: np.ndarray) -> np.ndarray:
    return np.argsort(-last, kind="stable")


def _extend(twos, together, first, last):
    """Triplets (T, 3) of nodes: each pair with a third that touches one of the two and lives at the same level."""
    low, high = first[twos].max(axis=1), last[twos].min(axis=1)
    third = together[twos[:, 0]] | together[twos[:, 1]]
    third &= (first[None] < high[:, None]) & (last[None] > low[:, None])
    rows, nodes = np.nonzero(third)
    threes = np.sort(np.column_stack([twos[rows], nodes]), axis=1)
    threes = threes[(threes[:, 0] < threes[:, 1]) & (threes[:, 1] < threes[:, 2])]
    codes = np.unique(np.ravel_multi_index(tuple(threes.T), (len(first),) * 3))
    threes = np.column_stack(np.unravel_index(codes, (len(first),) * 3))
    return threes[_coarsest_first(last[threes].min(axis=1))]


def fill_holes(masks: np.ndarray, adjacency: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """Add the superpixels that a mask cuts off from the frame of the photo: (P, L) bool."""
    outside = ~masks & frame
    links = adjacency.astype(np.float32)
    active = np.arange(len(masks))
    while len(active):
        now = outside[active]
        grown = now | (now.astype(np.float32) @ links > 0) & ~masks[active]
        outside[active] = grown
        active = active[(grown != now).any(axis=1)]
    return ~outside


def overlaps(one: np.ndarray, two: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Jaccard index of every mask of ``one`` (P, L) with every mask of ``two`` (Q, L): (P, Q) float32."""
    weighted = one * areas.astype(np.float32)
    common = weighted @ two.astype(np.float32).T
    union = weighted.sum(axis=1)[:, None] + (two @ areas.astype(np.float32))[None] - common
    return common / np.maximum(union, 1)


def distinct(masks: np.ndarray, areas: np.ndarray) -> np.ndarray:
    """Indices of masks such that no two kept ones overlap by ``_SAME_IOU`` or more; of two the larger stays."""
    sizes = masks @ areas
    order = np.argsort(-sizes, kind="stable")
    masks, sizes = masks[order], sizes[order]
    keep = np.ones(len(masks), bool)
    for start in range(0, len(masks), 128):
        stop = min(start + 128, len(masks))
        end = np.searchsorted(-sizes, -sizes[stop - 1] * _SAME_IOU, side="right")
        same = np.triu(overlaps(masks[start:stop], masks[start:end], areas) >= _SAME_IOU, 1)
        for row in np.flatnonzero(same.any(axis=1)):
            if keep[start + row]:
                keep[start:end][same[row]] = False
    return order[keep]
