"""Which region of the photo is blurred: where it comes from, what is drawn of it, and what it looks like."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import cv2
import numpy as np

from blurgen.errors import PhotoError
from blurgen.geometry import Crop, crop_labels
from blurgen.params import Interval, Params, draw_from, mix_of, param
from blurgen.proposals.regions import Proposals

Donor = Callable[[], Proposals]
"""Gives the regions of another photo, at least one; called only when one of them is drawn."""

FOUND = ("proposal", "object", "largest-object")
"""Kinds that are found in a photo or its annotation, one ``Proposals`` each."""
KINDS = (*FOUND, "other-photo", "half-plane", "ellipse")
WHOLE = ("all-sharp", "all-blurred")
"""Kinds that stand for a pair of one class."""
ASPECT_RANGE = (0.4, 1.0)
"""Of the axes of an ellipse."""


class MaskParams(Params):
    """Where regions come from and which of them is drawn."""

    kinds: mix_of(*KINDS) = param(
        {"proposal": 1.0},
        "",
        "what is drawn and how often: proposal (computed), object, largest-object (both annotated), other-photo (a "
        "region of another photo), half-plane, ellipse",
    )
    temperature: float = param(
        0.07, "", "of the softmax over the scores: low prefers the best, high draws all alike", low=1e-3, high=1e3
    )
    area_range: Interval = param(
        (0.01, 0.95), "", "share of the stored image that the region may cover; else redrawn", low=0, high=1
    )
    p_invert: float = param(0.75, "", "probability that the outside of the region is blurred", low=0, high=1)
    p_second: float = param(
        0.0, "", "probability that a second region is blurred in another way (defocus or motion)", low=0, high=1
    )
    p_all_sharp: float = param(0.0, "", "probability that nothing is blurred", low=0, high=1)
    p_all_blurred: float = param(0.0, "", "probability that everything is blurred", low=0, high=1)
    pairs_per_mask: int = param(
        1, "", "consecutive pairs that share photo, crop and mask, each with its own blur", low=1, high=32
    )
    least_sharpness: float = param(
        0.0,
        "",
        "what stays sharp must be so sharp (0 smooth to 1; an edge of sigma 1 px has 0.29); else redrawn",
        low=0,
        high=1,
    )

    @property
    def found_kinds(self) -> tuple[str, ...]:
        """Which kinds must be found in each photo. Regions of other photos are of the first of them, or proposals."""
        asked = tuple(kind for kind in FOUND if kind in self.kinds)
        return asked or (("proposal",) if self.needs_donor else ())

    @property
    def needs_objects(self) -> bool:
        """Whether photos must come with their annotation."""
        return "object" in self.kinds or "largest-object" in self.kinds

    @property
    def needs_donor(self) -> bool:
        """Whether regions of other photos are drawn."""
        return "other-photo" in self.kinds


@dataclass(frozen=True)
class Region:
    """The plain numbers of one region. Numbers that its kind does not use are zero.

    ``region`` is its number among those found; ``share`` the part of the image that a half-plane or ellipse covers,
    ``aspect`` the ellipse's axes' ratio, ``centre_y`` and ``centre_x`` its centre as a share of height and width.
    """

    mask_kind: str
    region: int = 0
    score: float = 0.0
    mask_angle_deg: float = 0.0
    mask_share: float = 0.0
    mask_aspect: float = 0.0
    mask_y: float = 0.0
    mask_x: float = 0.0

    def to_row(self, prefix: str = "") -> dict:
        """The numbers under the names that they have in a row of provenance."""
        return {prefix + name: value for name, value in vars(self).items()}


NO_REGION = Region("none")


def region_from(row: Mapping[str, Any], prefix: str = "") -> Region:
    """The region that a row of provenance describes: the inverse of ``Region.to_row``.

    Numbers may be numpy's; other columns of the row are ignored. KeyError where one is missing.
    """
    kinds = {"mask_kind": str, "region": int}
    return Region(**{one.name: kinds.get(one.name, float)(row[prefix + one.name]) for one in fields(Region)})


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


def annotated_objects(label_map: np.ndarray) -> Proposals:
    """Every annotated object as one region, all drawn alike. ``label_map`` and errors as in ``largest_object``."""
    objects = np.unique(label_map)
    objects = objects[objects > 0]
    if not len(objects):
        raise PhotoError("no annotated object in this photo")
    places = np.searchsorted(objects, np.maximum(label_map, objects[0]))
    numbered = np.where(label_map > 0, places + 1, 0).astype(np.int32)
    members = np.eye(len(objects), len(objects) + 1, k=1, dtype=bool)
    return Proposals(numbered, members, np.ones(len(objects), np.float32))


def sample_region(
    found: Mapping[str, Proposals], donor: Donor | None, params: MaskParams, rng: np.random.Generator
) -> Region:
    """Draw a kind, then a region of it: by a softmax over the scores (section 2.1.2 of the paper) where it is found.

    Kinds that this photo does not offer (no annotated object, no proposal) are left out of the draw.

    Raises
    ------
    PhotoError
        The photo offers none of the kinds.
    """
    # All numbers are drawn whatever the kind, so that none hangs on what this photo offers.
    kind_number, number, angle, share, aspect, y, x = rng.random(7).tolist()
    there = [*found, *SHAPES, *(["other-photo"] if donor else [])]
    offered = {kind: weight for kind, weight in params.kinds.items() if kind in there}
    if not offered:
        raise PhotoError(f"this photo offers no region of the kinds {', '.join(params.kinds)}")
    kind = draw_from(offered, kind_number)
    if kind not in SHAPES:
        regions = donor() if kind == "other-photo" else found[kind]
        place = int(_cumulative(regions.scores, params.temperature).searchsorted(number, side="right"))
        place = min(place, len(regions) - 1)
        return Region(kind, region=place, score=float(regions.scores[place]))
    low, high = (min(max(one, 0.001), 0.999) for one in params.area_range)
    share = low + share * (high - low)
    if kind == "half-plane":
        return Region(kind, mask_angle_deg=360 * angle, mask_share=share)
    flattest, roundest = ASPECT_RANGE
    aspect = flattest + aspect * (roundest - flattest)
    return Region(kind, mask_angle_deg=180 * angle, mask_share=share, mask_aspect=aspect, mask_y=y, mask_x=x)


def _cumulative(scores: np.ndarray, temperature: float) -> np.ndarray:
    return _remembered_cumulative(scores.tobytes(), temperature)


@lru_cache(maxsize=8)
def _remembered_cumulative(scores: bytes, temperature: float) -> np.ndarray:
    """Of the softmax, for float32 scores: the same for all pairs of a photo."""
    return np.cumsum(_softmax(np.frombuffer(scores, np.float32), temperature))


def effective_number(scores: np.ndarray, temperature: float) -> float:
    """How many regions the softmax spreads over: the exponential of its entropy, 1 to len(scores)."""
    p = _softmax(scores, temperature)
    return float(np.exp(-(p * np.log(np.maximum(p, 1e-300))).sum()))


def _softmax(scores: np.ndarray, temperature: float) -> np.ndarray:
    weights = np.exp((scores.astype(np.float64) - scores.max()) / temperature)
    return weights / weights.sum()


def region_mask(
    region: Region, found: Mapping[str, Proposals], donor: Donor | None, photo_shape: tuple[int, int], crop: Crop
) -> np.ndarray:
    """A region in the frame of the stored image: (crop.height, crop.width) bool.

    The region of another photo is stretched to this photo's frame.
    """
    if region.mask_kind in SHAPES:
        return SHAPES[region.mask_kind](region, crop.height, crop.width)
    regions = donor() if region.mask_kind == "other-photo" else found[region.mask_kind]
    return crop_labels(regions.working_superpixels, regions.membership[region.region], photo_shape, crop)


def half_plane(region: Region, height: int, width: int) -> np.ndarray:
    """Everything on one side of a line, ``mask_share`` of the image: (height, width) bool."""
    down, right = _direction(region.mask_angle_deg)
    a, b = sorted((abs(down) * height, abs(right) * width))
    offset = _trapezoid_quantile(region.mask_share, max(a, 1e-9), b) - (a + b) / 2
    rows, columns = _centred(height, 0.5), _centred(width, 0.5)
    return (rows * down)[:, None] + (columns * right)[None] < offset


def _trapezoid_quantile(share: float, a: float, b: float) -> float:
    """What a uniform number up to ``a`` and one up to ``b`` >= a add up to at most, with probability ``share``."""
    if share > 0.5:
        return a + b - _trapezoid_quantile(1 - share, a, b)
    if share * b <= a / 2:
        return float(np.sqrt(2 * share * a * b))
    return share * b + a / 2


def ellipse(region: Region, height: int, width: int) -> np.ndarray:
    """An ellipse that would cover ``mask_share`` of the image if it lay inside: (height, width) bool."""
    long = np.sqrt(region.mask_share * height * width / (np.pi * region.mask_aspect))
    down, right = _direction(region.mask_angle_deg)
    rows, columns = _centred(height, region.mask_y)[:, None], _centred(width, region.mask_x)[None]
    along, across = rows * down + columns * right, rows * right - columns * down
    return along**2 + (across / region.mask_aspect) ** 2 < long**2


def _direction(angle_deg: float) -> tuple[float, float]:
    return float(np.sin(np.deg2rad(angle_deg))), float(np.cos(np.deg2rad(angle_deg)))


def _centred(side: int, share: float) -> np.ndarray:
    """Pixel centres along a side, from the place at ``share`` of it: (side,) float32."""
    return (np.arange(side) + 0.5 - share * side).astype(np.float32)


SHAPES = {"half-plane": half_plane, "ellipse": ellipse}


def refusal(region: np.ndarray, params: MaskParams) -> str | None:
    """Why a mask is redrawn: "single-class", "area", or None if it is good."""
    share = cv2.countNonZero(region.view(np.uint8)) / region.size
    if share in (0, 1):
        return "single-class"
    return None if params.area_range[0] <= share <= params.area_range[1] else "area"
