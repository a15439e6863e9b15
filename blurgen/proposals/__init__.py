"""Object proposals: photo -> scored masks that overlap, most object-like first.

A light relative of multiscale combinatorial grouping: contours at several scales, one set of superpixels, one merge
hierarchy per scale, small tuples of neighbouring regions, a score, and a diverse selection. Nothing is random, and the
only fitted numbers are the eight of the score (``ranking``).

Source: Pont-Tuset, Arbelaez, Barron, Marques, Malik, "Multiscale combinatorial grouping for image segmentation and
object proposal generation", TPAMI 2017.
"""

from __future__ import annotations

import numpy as np

from blurgen.errors import PhotoError
from blurgen.params import Interval, Params, param
from blurgen.proposals.regions import Proposals

__all__ = ["ProposalParams", "Proposals", "object_proposals"]

_LEAST_SIDE_PX = 32
_PHOTO_SHAPES = "(H, W, 3) RGB or (H, W) grey"


class ProposalParams(Params):
    """What ``object_proposals`` looks for and how many it keeps."""

    working_side_px: int = param(
        512, "px", "A photo whose long side is above this is downscaled to it; none is upscaled.", low=32, high=2048
    )
    least_superpixel: float = param(
        0.0025, "share of the photo", "Smaller superpixels are absorbed by a neighbour.", low=0.0005, high=0.1
    )
    pairs: int = param(1000, "", "Most pairs of neighbouring regions listed from each hierarchy.", low=0, high=5000)
    triplets: int = param(
        1000, "", "Most triplets of neighbouring regions listed from each hierarchy.", low=0, high=5000
    )
    area_range: Interval = param((0.005, 0.8), "share of the photo", "Areas that a proposal may have.", low=0, high=1)
    diversity: float = param(
        0.4,
        "",
        "Weight of not overlapping with better proposals, beside quality; 0 ranks by quality alone.",
        low=0,
        high=1,
    )
    max_proposals: int = param(500, "", "Most proposals kept of a photo.", low=1, high=5000)


def object_proposals(image: np.ndarray, params: ProposalParams = ProposalParams()) -> Proposals:
    """Find the regions of a photo that are likely to be objects.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3) RGB or (H, W) grey, uint8
        Decoded photo. Not changed.
    params : ProposalParams
        Sizes, quotas and limits.

    Returns
    -------
    Proposals
        At the working resolution. ``scores`` are in [0, 1] and do not increase: the mean, weighted by ``diversity``,
        of the estimated Jaccard index with an object and of how new the mask is (1 - its largest Jaccard index with a
        proposal before it). Empty (length 0, one superpixel) if nothing is found: a constant photo, or one with a
        side below 32 px at the working resolution.

    Raises
    ------
    PhotoError
        If ``image`` is not such an array.
    """
    # Imported here so that a recipe, which holds ProposalParams, can be read without cv2, scipy and higra.
    from blurgen.proposals import contours, grouping, hierarchy, ranking

    photo = _working_photo(image, params.working_side_px)
    if min(photo.shape[:2]) < _LEAST_SIDE_PX or not np.ptp(photo.reshape(-1, 3), axis=0).any():
        return _no_proposals(photo.shape[:2])
    maps = contours.contour_maps(photo)
    labels = hierarchy.superpixels(maps.mean(axis=0), params.least_superpixel)
    graph = hierarchy.region_graph(labels, maps)
    if len(graph.edges) == 0:
        return _no_proposals(photo.shape[:2])
    trees = hierarchy.merge_trees(graph)
    masks = grouping.candidates(graph, trees, params.pairs, params.triplets, params.area_range)
    quality = ranking.score(ranking.mask_features(graph, masks, photo))
    order, scores = ranking.diverse_order(masks, graph.areas, quality, params.diversity, params.max_proposals)
    return Proposals(labels, masks[order], scores)


def _working_photo(image: np.ndarray, side_px: int) -> np.ndarray:
    """Check ``image`` and bring it to (h, w, 3) uint8 with its long side at most ``side_px``."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8:
        kind = f"{image.dtype}" if isinstance(image, np.ndarray) else type(image).__name__
        raise PhotoError(
            f"a photo must be a uint8 array of shape {_PHOTO_SHAPES}, this one is {kind}; convert it first"
        )
    if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] == 3)) or image.size == 0:
        raise PhotoError(f"a photo must have shape {_PHOTO_SHAPES}, this one has {image.shape}")
    from cv2 import INTER_AREA, resize

    photo = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
    ratio = side_px / max(photo.shape[:2])
    if ratio >= 1:
        return photo
    height, width = (max(1, round(side * ratio)) for side in photo.shape[:2])
    return resize(photo, (width, height), interpolation=INTER_AREA)


def _no_proposals(shape: tuple[int, int]) -> Proposals:
    """An honest nothing: one superpixel and no proposal."""
    return Proposals(np.zeros(shape, np.int32), np.zeros((0, 1), bool), np.zeros(0, np.float32))
