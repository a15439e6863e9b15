"""What is drawn before anything is blurred: which part of the photo a pair shows, and which regions of it are blurred.

Plain numbers are drawn first, each stage from its own generator; the scene is a pure function of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from blurgen.camera.noise import Noise, estimate_noise
from blurgen.errors import ArgumentError
from blurgen.geometry import Crop, crop_photo, sample_crop
from blurgen.masks import NO_REGION, WHOLE, Donor, Region, refusal, region_mask, sample_region
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
class Draw:
    """The plain numbers of one scene.

    ``near`` says of the first and of the second region whether it lies in front of what is around it.
    """

    crop: Crop
    region: Region
    inverted: bool
    wants_second: bool
    near: tuple[bool, bool]
    attempt: int


@dataclass(frozen=True)
class Scene:
    """One crop of a photo and what of it will be blurred: what the pairs that share a mask have in common.

    Attributes
    ----------
    sharp : ndarray of shape (H, W, C)
        The crop, at the size at which it is stored.
    masks : list of ndarray of shape (H, W), bool
        What is blurred: one region or two that don't overlap; none if all stays sharp.
    second : Region
        The numbers of the second region.
    """

    draw: Draw
    second: Region
    sharp: np.ndarray
    masks: list[np.ndarray]

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


def draw_numbers(
    offer: Offer, photo_shape: tuple[int, int], recipe: Recipe, seed: int, pair: int, attempt: int
) -> Draw:
    """Draw the plain numbers of a scene, each stage from its own generator."""
    params, rng = recipe.mask, stage_rng(seed, pair, "mask", attempt)
    region = sample_region(offer.found, offer.donor, params, rng)
    invert, whole, second, near = rng.random(4).tolist()
    inverted = invert < params.p_invert
    if whole < params.p_all_sharp + params.p_all_blurred:
        region, inverted = Region(WHOLE[whole >= params.p_all_sharp]), False
    in_front = near < 0.5 if region.mask_kind == "half-plane" else not inverted
    return Draw(
        crop=sample_crop(photo_shape, recipe.geometry, stage_rng(seed, pair, "crop", attempt)),
        region=region,
        inverted=inverted,
        wants_second=second < params.p_second and region.mask_kind not in WHOLE,
        near=(recipe.camera.soft_border and in_front, recipe.camera.soft_border),
        attempt=attempt,
    )


def draw_scene(photo: np.ndarray, offer: Offer, recipe: Recipe, seed: int, pair: int, attempt: int) -> Scene | str:
    """Draw a scene and look at it: the scene, or why it is refused ("single-class", "area" or "soft")."""
    draw = draw_numbers(offer, photo.shape[:2], recipe, seed, pair, attempt)
    second, masks = NO_REGION, _whole_masks(draw)
    if draw.region.mask_kind not in WHOLE:
        region = region_mask(draw.region, offer.found, offer.donor, photo.shape[:2], draw.crop)
        fault = refusal(region, recipe.mask)
        if fault:
            return fault
        masks = [~region if draw.inverted else region]
    if draw.wants_second:
        rng = stage_rng(seed, pair, "second", attempt)
        second, more = _second_region(photo.shape[:2], masks[0], draw.crop, offer, recipe, rng)
        masks += more
    scene = Scene(draw, second, crop_photo(photo, draw.crop), masks)
    return "soft" if scene.sharpness < recipe.mask.least_sharpness else scene


def _whole_masks(draw: Draw) -> list[np.ndarray]:
    everything = np.ones((draw.crop.height, draw.crop.width), bool)
    return [everything] if draw.region.mask_kind == "all-blurred" else []


def _second_region(
    photo_shape: tuple[int, int], mask: np.ndarray, crop: Crop, offer: Offer, recipe: Recipe, rng: np.random.Generator
) -> tuple[Region, list[np.ndarray]]:
    """A region of the side that the first leaves sharp, and its mask; no mask if none fits."""
    sharp = mask.size - cv2.countNonZero(mask.view(np.uint8))
    least = max(recipe.mask.area_range[0] * mask.size, 1)
    for _ in range(MAX_SECOND_DRAWS):
        region = sample_region(offer.found, offer.donor, recipe.mask, rng)
        inside = region_mask(region, offer.found, offer.donor, photo_shape, crop) & ~mask
        if least <= cv2.countNonZero(inside.view(np.uint8)) <= sharp - least:
            return region, [inside]
    return NO_REGION, []
