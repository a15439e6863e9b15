"""Object proposals: photo -> scored masks that overlap, most object-like first.

Multiscale combinatorial grouping in a fraction of its time: contours at several scales, one set of superpixels, a merge
hierarchy of each scale, of colour and of all scales together, tuples of neighbouring regions, a score, and a diverse
selection. Nothing is random. Two steps can be learned, ``contours`` and ``score``: their numbers were fitted on the
photos of BSDS500 (``weights/README.md``).

Source: Pont-Tuset, Arbelaez, Barron, Marques, Malik, "Multiscale combinatorial grouping for image segmentation and
object proposal generation", TPAMI 2017.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from blurgen.errors import ArgumentError
from blurgen.params import Interval, Params, param
from blurgen.proposals.regions import Proposals

__all__ = ["ProposalParams", "Proposals", "object_proposals", "ultrametric_contours"]

ContourKind = Literal["learned", "gradient"]
ScoreKind = Literal["learned", "hand-made"]

_LEAST_SIDE_PX = 32


class ProposalParams(Params):
    """What ``object_proposals`` looks for and how many it keeps.

    A wrong name, type or value raises ``pydantic.ValidationError``, a ``ValueError``.
    """

    contours: ContourKind = param(
        "learned", "", "learned (a small network, from the BSDS500 photos) or gradient (no learned numbers)"
    )
    score: ScoreKind = param("learned", "", "learned (fitted on the BSDS500 photos) or hand-made (no learned numbers)")
    working_side_px: int = param(
        512, "px", "A photo whose long side is above this is downscaled to it; none is upscaled.", low=64, high=2048
    )
    least_superpixel: float = param(
        0.0015, "share of the photo", "Smaller superpixels are absorbed by a neighbour.", low=0.0005, high=0.1
    )
    pairs: int = param(300, "", "Most pairs of neighbouring regions listed from each hierarchy.", low=0, high=5000)
    triplets: int = param(
        150, "", "Most triplets of neighbouring regions listed from each hierarchy.", low=0, high=5000
    )
    quadruples: int = param(
        100, "", "Most 4-tuples of neighbouring regions listed from each hierarchy.", low=0, high=5000
    )
    area_range: Interval = param((0.005, 0.8), "share of the photo", "Areas that a proposal may have.", low=0, high=1)
    diversity: float = param(
        0.4,
        "",
        "Weight of not overlapping with better proposals, beside quality; 0 ranks by quality alone.",
        low=0,
        high=1,
    )
    max_proposals: int = param(1000, "", "Most proposals kept of a photo.", low=1, high=5000)


def object_proposals(image: np.ndarray, params: ProposalParams = ProposalParams()) -> Proposals:
    """Find the regions of a photo that are likely to be objects.

    Parameters
    ----------
    image : ndarray of shape (H, W, 3) RGB, (H, W) or (H, W, 1) grey, or (H, W, C); uint8, uint16 or float
        Decoded photo, upright. Not changed. White is 255, 65535 (of a sensor with fewer bits, 2^bits - 1) or 1.0. The
        .1 and 99.9 percentiles become black and white where floats leave [0, 1] (temperatures, say) and where they lie
        less than an eighth of the range apart. Other than 1 or 3 channels: three principal components.
    params : ProposalParams
        Detector, sizes, quotas and limits. Areas are those at the working resolution.

    Returns
    -------
    Proposals
        Masks of the photo's size. ``scores`` are in [0, 1] and do not increase: the mean, weighted by ``diversity``,
        of the quality (1 for what is likely to be the best candidate of an object) and of how new the mask is (1 - its
        largest Jaccard index with a proposal before it). Empty (length 0, one superpixel) if nothing is found: a
        constant photo, or one with a side below 32 px at the working resolution.

    Raises
    ------
    PhotoError
        If ``image`` is not such an array, or holds values that are not finite.
    ArgumentError
        If ``params`` is something else.
    """
    # Imported here so that a recipe, which holds ProposalParams, can be read without cv2, scipy and higra.
    from blurgen.proposals import ranking, search

    with search.one_blas_thread:
        found, photo = _segmented(image, params)
        if found is None:
            return _no_proposals(photo.shape[:2], image.shape[:2])
        masks, features = search.pool(found, photo, params)
        quality = ranking.score(features, params.score, params.contours)
        order, scores = ranking.diverse_order(masks, found.graph.areas, quality, params.diversity, params.max_proposals)
    return Proposals(found.graph.labels, masks[order], scores, image.shape[:2])


def ultrametric_contours(image: np.ndarray, params: ProposalParams = ProposalParams()) -> np.ndarray:
    """The hierarchy of a photo as a picture: the altitude at which the two sides of each border merge.

    Takes what ``object_proposals`` takes, and raises the same.

    Returns
    -------
    ndarray of shape (h, w), float32
        At the working resolution (long side at most ``params.working_side_px``), in [0, 1]: both pixels next to a
        border have its altitude, all others 0. All 0 where ``object_proposals`` finds nothing to part.

    Source: Arbelaez, Maire, Fowlkes, Malik, "Contour detection and hierarchical image segmentation", TPAMI 2011.
    """
    from blurgen.proposals import hierarchy, search

    with search.one_blas_thread:
        found, photo = _segmented(image, params)
    if found is None:
        return np.zeros(photo.shape[:2], np.float32)
    return hierarchy.ultrametric_contours(found.graph, found.combined)


def _segmented(image: np.ndarray, params: ProposalParams):
    """The segmentation of a photo, or None where there is nothing to part, and the photo in working Lab."""
    from blurgen.proposals import contours, search, working

    if not isinstance(params, ProposalParams):
        raise ArgumentError(f"params must be ProposalParams(...), this is {params!r:.60}")
    photo = working.working_photo(image, params.working_side_px)
    if min(photo.shape[:2]) < _LEAST_SIDE_PX or not np.ptp(photo.reshape(-1, 3), axis=0).any():
        return None, photo
    return search.segment(contours.contour_maps(photo, params.contours), photo, params.least_superpixel), photo


def _no_proposals(working: tuple[int, int], full: tuple[int, int]) -> Proposals:
    """An honest nothing: one superpixel and no proposal."""
    return Proposals(np.zeros(working, np.int32), np.zeros((0, 1), bool), np.zeros(0, np.float32), full)
