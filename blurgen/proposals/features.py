"""What a mask looks like, in thirty numbers: size, shape, border, hierarchy and colour.

Every sum is one of whole numbers, small enough for the float that holds them, so that no feature depends on the order
in which a BLAS adds.

Source: the features of Pont-Tuset, Arbelaez, Barron, Marques, Malik, TPAMI 2017, section 5.3 (areas, perimeter, contour
strength, altitudes, bounding box), and colour beside them.
"""

from __future__ import annotations

import numpy as np

from blurgen.proposals.grouping import adjacency_matrix
from blurgen.proposals.hierarchy import Hierarchy, RegionGraph, border_altitudes
from blurgen.proposals.working import lab_units

FEATURES = (
    *("area", "root_area", "log_area", "perimeter", "frame"),
    *("top", "left", "height", "width", "extent", "aspect"),
    *("border", "border_fine", "border_coarse", "border_rank", "border_weak", "contour", "inner", "inner_rank"),
    *("vanishes", "vanishes_mean", "appears", "appears_mean"),
    *("contrast_l", "contrast_ab", "spread_l", "spread_ab", "outlook", "busy", "busy_contrast"),
)
"""Names of the columns of ``mask_features``."""

_BEYOND = np.int16(2**15 - 1)  # the working side is at most 2048 px
_BORDER_STEP = 2.0**-8  # of lengths in px times strengths of at most 1
_COLOUR_STEP = 2.0**-20  # of areas in px times colours of about 1


def mask_features(graph: RegionGraph, tree: Hierarchy, masks: np.ndarray, photo: np.ndarray) -> np.ndarray:
    """Measure masks from their superpixels.

    Parameters
    ----------
    graph : RegionGraph
    tree : Hierarchy
        Gives each border its altitude.
    masks : ndarray of shape (P, L), bool
        No mask is empty.
    photo : ndarray of shape (H, W, 3), uint8
        CIE Lab as OpenCV scales it to 8 bits, as ``graph.labels``.

    Returns
    -------
    ndarray of shape (P, len(FEATURES)), float64
        ``area`` (share of the photo), its root and logarithm. ``perimeter``: border inside the photo over the root of
        the area in px; ``frame``: share of the outline that lies on the frame of the photo. ``top``, ``left``: the
        bounding box's distance from the frame (the nearer of the two sides), ``height``, ``width``: its sides, all as
        shares of the photo's; ``extent``: share of the box that is filled; ``aspect``: logarithm of width / height.
        ``border``: mean contour strength along the border, also ``_fine`` and ``_coarse`` for one map alone; ``_rank``
        with each strength replaced by the share of all borders that are weaker; ``_weak``: share of the border that is
        weaker than half of all borders; ``contour``: sum of the strength over the root of the area; ``inner`` and
        ``inner_rank``: the same means for borders between superpixels inside. ``vanishes``: least altitude along the
        border, ``appears``: largest altitude inside, and their means. ``contrast``: distance of the mean colour from
        the superpixels around; ``spread``: standard deviation of colour inside; ``outlook``: distance of the mean
        colour from the rest of the photo; each in CIE Lab units / 100. ``busy``: mean contour strength inside and its
        difference to the superpixels around.
    """
    area = masks @ graph.areas
    columns = _size_and_box(graph, masks, area)
    columns |= _border(graph, tree, masks, area)
    columns |= _inside_and_around(graph, masks, area, photo)
    return np.column_stack([columns[name] for name in FEATURES])


def _size_and_box(graph: RegionGraph, masks: np.ndarray, area: np.ndarray) -> dict[str, np.ndarray]:
    rows, columns = graph.labels.shape
    share = area / graph.labels.size
    top, bottom, left, right = _boxes(graph.labels)
    box_top, box_left = (np.where(masks, first, _BEYOND).min(axis=1) for first in (top, left))
    box_bottom, box_right = (np.where(masks, last, np.int16(0)).max(axis=1) for last in (bottom, right))
    height, width = (box_bottom - box_top).astype(np.int64), (box_right - box_left).astype(np.int64)
    return {
        "area": share,
        "root_area": np.sqrt(share),
        "log_area": np.log(share),
        "top": np.minimum(box_top, rows - box_bottom) / rows,
        "left": np.minimum(box_left, columns - box_right) / columns,
        "height": height / rows,
        "width": width / columns,
        "extent": area / (height * width),
        "aspect": np.log(width / height),
    }


def _boxes(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Bounding box of each superpixel: first and last + 1 row, first and last + 1 column, each (L,) int16."""
    count = int(labels.max()) + 1
    found = []
    for lines in (labels, labels.T):
        there = np.zeros((len(lines), count), bool)
        there[np.arange(len(lines))[:, None], lines] = True
        found += [there.argmax(axis=0), len(lines) - there[::-1].argmax(axis=0)]
    return tuple(side.astype(np.int16) for side in found)


def _border(graph: RegionGraph, tree: Hierarchy, masks: np.ndarray, area: np.ndarray) -> dict[str, np.ndarray]:
    altitude, strength = border_altitudes(graph, tree), graph.strengths.mean(axis=0)
    rank = _share_weaker(strength, graph.lengths)
    measures = (strength, graph.strengths[0], graph.strengths[-1], rank, rank < 0.5, altitude)
    table = graph.lengths * np.stack([np.ones_like(strength), *measures])
    order = np.argsort(altitude, kind="stable")
    one, two = (masks[:, ends[order]] for ends in graph.edges.T)
    crossed, enclosed = one != two, one & two
    outer, inner = (_sums(sets, table[:, order].T, _BORDER_STEP) for sets in (crossed, enclosed))
    length, inner_length = np.maximum(outer[0], 1), np.maximum(inner[0], 1)
    root = np.sqrt(area)
    frame = masks @ _frame_lengths(graph.labels)
    return {
        "perimeter": outer[0] / root,
        "frame": frame / np.maximum(frame + outer[0], 1),
        "border": outer[1] / length,
        "border_fine": outer[2] / length,
        "border_coarse": outer[3] / length,
        "border_rank": outer[4] / length,
        "border_weak": outer[5] / length,
        "contour": outer[1] / root,
        "inner": inner[1] / inner_length,
        "inner_rank": inner[4] / inner_length,
        "vanishes": _first(crossed, altitude[order]),
        "vanishes_mean": outer[6] / length,
        "appears": _first(enclosed[:, ::-1], altitude[order[::-1]]),
        "appears_mean": inner[6] / inner_length,
    }


def _share_weaker(strength: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Share of all borders, by length, that are weaker than each (half of its own counts): (E,) float64."""
    order = np.argsort(strength, kind="stable")
    weaker = np.empty(len(strength))
    weaker[order] = (np.cumsum(lengths[order]) - lengths[order] / 2) / lengths.sum()
    return weaker


def _frame_lengths(labels: np.ndarray) -> np.ndarray:
    """Pixel sides of each superpixel on the frame of the photo: (L,) int64."""
    sides = np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]])
    return np.bincount(sides, minlength=int(labels.max()) + 1)


def _first(sets: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The value of the first member of each set (P, E) bool; 0 for an empty set."""
    place = sets.argmax(axis=1)
    return np.where(sets[np.arange(len(sets)), place], values[place], 0)


def _inside_and_around(
    graph: RegionGraph, masks: np.ndarray, area: np.ndarray, photo: np.ndarray
) -> dict[str, np.ndarray]:
    lab = lab_units(photo).reshape(-1, 3).astype(np.float64) / 100
    planes = [graph.areas, *_superpixel_sums(graph, [*lab.T, *(lab**2).T]), graph.areas * graph.busy]
    table = np.stack(planes).T
    around = (masks.astype(np.float32) @ adjacency_matrix(graph).astype(np.float32) > 0) & ~masks
    inside, ring = (_sums(sets, table, _COLOUR_STEP) for sets in (masks, around))
    mean, ring_mean = inside[1:] / area, ring[1:] / np.maximum(ring[0], 1)
    rest = (table.sum(axis=0)[1:4, None] - inside[1:4]) / np.maximum(graph.areas.sum() - area, 1)
    variance = np.maximum(mean[3:6] - mean[:3] ** 2, 0)
    apart = (mean[:3] - ring_mean[:3]) * (ring[0] > 0)
    return {
        "contrast_l": np.abs(apart[0]),
        "contrast_ab": np.hypot(apart[1], apart[2]),
        "spread_l": np.sqrt(variance[0]),
        "spread_ab": np.sqrt(variance[1] + variance[2]),
        "outlook": np.sqrt(((mean[:3] - rest) ** 2).sum(axis=0)),
        "busy": mean[6],
        "busy_contrast": mean[6] - ring_mean[6],
    }


def _superpixel_sums(graph: RegionGraph, planes: list[np.ndarray]) -> list[np.ndarray]:
    """Sum of each plane (H * W,) over each superpixel."""
    return [np.bincount(graph.labels.ravel(), weights=plane, minlength=len(graph.areas)) for plane in planes]


def _sums(sets: np.ndarray, table: np.ndarray, step: float) -> np.ndarray:
    """Sum of each column of ``table`` (N, K), rounded to whole steps, over each set (P, N) bool: (K, P) float64."""
    whole = np.rint(table / step)
    dtype = np.float32 if np.abs(whole).sum(axis=0).max() < 2**24 else np.float64
    return (sets.astype(dtype) @ whole.astype(dtype)).T * step
