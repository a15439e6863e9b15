"""Which region of the photo is blurred."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np

from blurgen.errors import PhotoError
from blurgen.geometry import Crop, crop_labels
from blurgen.params import Interval, Params, param
from blurgen.proposals.regions import Proposals

MaskKind = Literal["proposal", "largest-object"]


class MaskParams(Params):
    """Where regions come from and which of them is drawn."""

    kind: MaskKind = param("proposal", "", "proposal (computed) or largest-object (annotated, voc and coco only)")
    temperature: float = param(
        0.07, "", "of the softmax over the scores: low prefers the best, high draws all alike", low=1e-3, high=1e3
    )
    area_range: Interval = param(
        (0.01, 0.95), "", "share of the stored image that the region may cover; else redrawn", low=0, high=1
    )
    p_invert: float = param(0.75, "", "probability that the outside of the region is blurred", low=0, high=1)

    @property
    def needs_objects(self) -> bool:
        """Whether the photos must be annotated."""
        return self.kind == "largest-object"


def largest_object(label_map: np.ndarray) -> Proposals:
    """The largest connected component of the largest annotated object (section 2.1.1 of the paper), as one region.

    Parameters
    ----------
    label_map : ndarray of shape (H, W), int32
        0 = background or void, 1.. = object instances.

    Raises
    ------
    PhotoError
        No object is annotated.
    """
    areas = np.bincount(label_map.ravel())[1:]
    if not areas.any():
        raise PhotoError("no annotated object in this photo")
    instance = (label_map == 1 + areas.argmax()).astype(np.uint8)
    _, components, stats, _ = cv2.connectedComponentsWithStats(instance, connectivity=8)
    component = 1 + stats[1:, cv2.CC_STAT_AREA].argmax()
    score = stats[component, cv2.CC_STAT_AREA] / label_map.size
    return Proposals(
        (components == component).astype(np.int32), np.array([[False, True]]), np.array([score], np.float32)
    )


def sample_region(scores: np.ndarray, temperature: float, rng: np.random.Generator) -> int:
    """Draw a region by a softmax over the scores (section 2.1.2 of the paper)."""
    return int(
        np.searchsorted(np.cumsum(_softmax(scores, temperature)), rng.random(), side="right").clip(0, len(scores) - 1)
    )


def effective_number(scores: np.ndarray, temperature: float) -> float:
    """How many regions the softmax spreads over: the exponential of its entropy, 1 to len(scores)."""
    p = _softmax(scores, temperature)
    return float(np.exp(-(p * np.log(np.maximum(p, 1e-300))).sum()))


def _softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    weights = np.exp((scores.astype(np.float64) - scores.max()) / temperature)
    return weights / weights.sum()


def region_mask(regions: Proposals, index: int, photo_shape: tuple[int, int], crop: Crop) -> np.ndarray:
    """Region ``index`` in the frame of the stored image: (crop.height, crop.width) bool."""
    return crop_labels(regions.working_superpixels, regions.membership[index], photo_shape, crop)


def refusal(region: np.ndarray, params: MaskParams) -> str | None:
    """Why a mask is redrawn: "single-class", "area", or None if it is good."""
    share = region.mean()
    if share in (0, 1):
        return "single-class"
    return None if params.area_range[0] <= share <= params.area_range[1] else "area"
