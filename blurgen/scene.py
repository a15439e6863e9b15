"""What is drawn before anything is blurred: which part of the photo a pair shows, and which regions of it are blurred.

Plain numbers are drawn first, each stage from its own generator; the scene is a pure function of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np

from blurgen.camera.noise import Noise, estimate_noise
from blurgen.errors import ArgumentError
from blurgen.geometry import Crop, crop_photo, sample_crop
from blurgen.masks import NO_REGION, WHOLE, Donor, Region, refusal, region_from, region_mask, sample_region
from blurgen.proposals import Proposals
from blurgen.recipe import Recipe
from blurgen.texture import sharpness

MAX_SECOND_DRAWS = 8
"""There is no second region where so many draws don't fit beside the first."""

REASONS = ("area", "single-class", "soft")
"""Why a draw is thrown away."""

STAGES = ("crop", "mask", "blur", "second", "camera")


@dataclass(frozen=True)
class Offer:
    """Where regions can be drawn from: those found in the photo, by kind, and those of another photo."""

    found: Mapping[str, Proposals]
    donor: Donor | None = None


@dataclass(frozen=True)
class Layout:
    """The plain numbers of one scene: drawn, or read back from a row of provenance.

    ``second`` is ``NO_REGION`` where one region is blurred or none; ``near`` says of the first and of the second region
    whether it lies in front of what is around it.
    """

    crop: Crop
    region: Region
    inverted: bool
    second: Region
    near: tuple[bool, bool]
    attempt: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Layout:
        """The layout that a row of provenance describes. KeyError where a column is missing."""
        return cls(
            crop=Crop(**{one.name: int(row[one.name]) for one in fields(Crop)}),
            region=region_from(row),
            inverted=bool(row["inverted"]),
            second=region_from(row, "second_"),
            near=(bool(row["near"]), bool(row["second_near"])),
            attempt=int(row["attempt"]),
        )


class View:
    """One crop of a photo of ``photo_shape`` (H, W), and what regions look like in it. Each is worked out once."""

    def __init__(self, offer: Offer, photo_shape: tuple[int, int], crop: Crop) -> None:
        self.offer, self.photo_shape, self.crop = offer, photo_shape, crop
        self._masks: dict[Region, np.ndarray] = {}

    def mask(self, region: Region) -> np.ndarray:
        """A region in the frame of the stored image: (crop.height, crop.width) bool, not to be changed."""
        if region not in self._masks:
            found, donor = self.offer.found, self.offer.donor
            self._masks[region] = region_mask(region, found, donor, self.photo_shape, self.crop)
        return self._masks[region]

    def masks(self, layout: Layout) -> list[np.ndarray]:
        """What a layout blurs: one region or two that don't overlap, (H, W) bool each; none if all stays sharp."""
        if layout.region.mask_kind in WHOLE:
            everything = np.ones((self.crop.height, self.crop.width), bool)
            return [everything] if layout.region.mask_kind == "all-blurred" else []
        region = self.mask(layout.region)
        first = ~region if layout.inverted else region
        return [first] if layout.second.mask_kind == NO_REGION.mask_kind else [first, self.mask(layout.second) & ~first]


@dataclass(frozen=True, eq=False)
class Scene:
    """One crop of a photo and what of it will be blurred: what the pairs that share a mask have in common.

    Attributes
    ----------
    sharp : ndarray of shape (H, W, C)
        The crop, at the size at which it is stored.
    masks : list of ndarray of shape (H, W), bool
        What is blurred: one region or two that don't overlap; none if all stays sharp.
    kept : dict
        What making one of its pairs has worked out, for the next.
    """

    layout: Layout
    sharp: np.ndarray
    masks: list[np.ndarray]
    kept: dict = field(default_factory=dict, repr=False)

    @cached_property
    def sharpness(self) -> float:
        """How sharp the photo is where nothing will be blurred (everywhere, if all is): see ``texture.sharpness``."""
        blurred = union(self.masks, self.sharp.shape[:2])
        return sharpness(self.sharp, blurred if blurred.all() else ~blurred)

    @cached_property
    def noise(self) -> Noise:
        """The photo's own noise where it will be blurred, so that nothing hangs on what the sharp side contains."""
        return estimate_noise(self.sharp, union(self.masks, self.sharp.shape[:2]))


def union(masks: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    """Pixels of any of the masks: (H, W) bool."""
    if len(masks) == 1:
        return masks[0]
    return np.logical_or.reduce([np.zeros(shape, bool), *masks])


def stage_rng(seed: int, pair: int, stage: str, attempt: int = 0) -> np.random.Generator:
    """The generator of one stage of one pair: nothing else decides what it draws."""
    if seed < 0 or pair < 0:
        raise ArgumentError(f"seed {seed}, pair {pair}: both must be 0 or more")
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(pair, attempt, STAGES.index(stage))))
    )


def make_scene(photo: np.ndarray, view: View, layout: Layout) -> Scene:
    """The scene that plain numbers describe: a pure function of them, of the photo (H, W, C) and of its regions."""
    return Scene(layout, crop_photo(photo, layout.crop), view.masks(layout))


def draw_scene(photo: np.ndarray, offer: Offer, recipe: Recipe, seed: int, pair: int, attempt: int) -> Scene | str:
    """Draw a scene and look at it: the scene, or why it is refused ("single-class", "area" or "soft")."""
    layout, wants_second = draw_numbers(offer, photo.shape[:2], recipe, seed, pair, attempt)
    view = View(offer, photo.shape[:2], layout.crop)
    if layout.region.mask_kind not in WHOLE:
        fault = refusal(view.mask(layout.region), recipe.mask)
        if fault:
            return fault
    if wants_second:
        layout = replace(layout, second=_second_region(view, layout, recipe, stage_rng(seed, pair, "second", attempt)))
    scene = make_scene(photo, view, layout)
    return "soft" if scene.sharpness < recipe.mask.least_sharpness else scene


def draw_numbers(
    offer: Offer, photo_shape: tuple[int, int], recipe: Recipe, seed: int, pair: int, attempt: int
) -> tuple[Layout, bool]:
    """Draw the plain numbers of a scene, each stage from its own generator, and whether it asks for a second region."""
    params, rng = recipe.mask, stage_rng(seed, pair, "mask", attempt)
    region = sample_region(offer.found, offer.donor, params, rng)
    invert, whole, second, near = rng.random(4).tolist()
    inverted = invert < params.p_invert
    if whole < params.p_all_sharp + params.p_all_blurred:
        region, inverted = Region(WHOLE[whole >= params.p_all_sharp]), False
    in_front = near < 0.5 if region.mask_kind == "half-plane" else not inverted
    layout = Layout(
        crop=sample_crop(photo_shape, recipe.geometry, stage_rng(seed, pair, "crop", attempt)),
        region=region,
        inverted=inverted,
        second=NO_REGION,
        near=(recipe.camera.soft_border and in_front, recipe.camera.soft_border),
        attempt=attempt,
    )
    return layout, second < params.p_second and region.mask_kind not in WHOLE


def _second_region(view: View, layout: Layout, recipe: Recipe, rng: np.random.Generator) -> Region:
    """A region of the side that the first leaves sharp, or ``NO_REGION`` if none fits."""
    [mask], offer = view.masks(layout), view.offer
    sharp = mask.size - cv2.countNonZero(mask.view(np.uint8))
    least = max(recipe.mask.area_range[0] * mask.size, 1)
    for _ in range(MAX_SECOND_DRAWS):
        region = sample_region(offer.found, offer.donor, recipe.mask, rng)
        inside = view.mask(region) & ~mask
        if least <= cv2.countNonZero(inside.view(np.uint8)) <= sharp - least:
            return region
    return NO_REGION
