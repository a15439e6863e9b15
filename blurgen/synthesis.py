"""One pair, in the order of the paper: region, inversion, blur, fill, convolution, composite.

Plain numbers are drawn first, each stage from its own generator; everything after is a pure function of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field

import numpy as np

from blurgen.compositing import blur_and_composite
from blurgen.errors import ArgumentError, PhotoError
from blurgen.fill import fill_sharp_region
from blurgen.geometry import Crop, crop_photo, sample_crop
from blurgen.kernels import Blur, make_kernel, sample_blur
from blurgen.masks import refusal, region_mask, sample_region
from blurgen.proposals import Proposals, object_proposals
from blurgen.recipe import Recipe

MAX_DRAWS = 50
"""A photo that gives no good mask in so many draws is given up."""

STAGES = ("crop", "mask", "blur")


@dataclass(frozen=True)
class Draw:
    """The plain numbers of one pair. With the photo, its regions and the recipe they determine it to the bit."""

    crop: Crop
    region: int
    inverted: bool
    blur: Blur
    attempt: int


@dataclass(frozen=True)
class Pair:
    """An image, its blur mask, and how they were made.

    Attributes
    ----------
    image : ndarray of shape (H, W, 3), uint8 RGB
    mask : ndarray of shape (H, W), bool
        True = blurred.
    provenance : dict
        Plain numbers and strings, one for each column of a shard's provenance table that is known here.
    rejected : Counter
        Draws thrown away before this one, by reason.
    """

    image: np.ndarray
    mask: np.ndarray
    provenance: dict
    rejected: Counter = field(default_factory=Counter)


def synthesize(
    photo: np.ndarray, recipe: Recipe, regions: Proposals | None = None, *, seed: int = 0, pair: int = 0
) -> Pair:
    """Make pair number ``pair`` of a data set from one photo (Alvarez-Gila et al. 2019, section 2).

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8 RGB
    regions : Proposals, optional
        Where masks are drawn from; computed from the photo if not given.
    seed, pair : int
        Not negative. The same recipe, photo, seed and pair give the same bytes.

    Raises
    ------
    PhotoError
        Not such an array, the photo has no region, or none of ``MAX_DRAWS`` draws gave a mask with both classes.
    """
    _check_photo(photo)
    regions = _own_regions(photo, recipe) if regions is None else regions
    draw, region, rejected = draw_until_good(regions, photo.shape[:2], recipe, seed, pair)
    mask = ~region if draw.inverted else region
    kernel = make_kernel(draw.blur)
    sharp = crop_photo(photo, draw.crop)
    filled = fill_sharp_region(sharp, mask, kernel.reach_px, recipe.fill)
    image = blur_and_composite(sharp, filled, mask, kernel)
    return Pair(image, mask, _provenance(draw, mask, regions, recipe, seed, pair), rejected)


def _check_photo(photo: np.ndarray) -> None:
    kind = f"{photo.dtype} {photo.shape}" if isinstance(photo, np.ndarray) else type(photo).__name__
    if not isinstance(photo, np.ndarray) or photo.dtype != np.uint8 or photo.shape[2:] != (3,) or not photo.size:
        raise PhotoError(f"a photo must be a uint8 array of shape (H, W, 3), RGB, this one is {kind}; convert it first")


def _own_regions(photo: np.ndarray, recipe: Recipe) -> Proposals:
    if recipe.mask.needs_objects:
        raise ArgumentError(f"recipe {recipe.name} needs annotated objects: give regions=largest_object(label_map)")
    return object_proposals(photo, recipe.proposals)


def draw_until_good(regions: Proposals, photo_shape: tuple[int, int], recipe: Recipe, seed: int, pair: int):
    """Draw until the region's mask has both classes: (Draw, region mask (H, W) bool, rejected by reason)."""
    if not len(regions):
        raise PhotoError("no object proposal was found in this photo")
    rejected = Counter()
    for attempt in range(MAX_DRAWS):
        draw = draw_numbers(regions.scores, photo_shape, recipe, seed, pair, attempt)
        region = region_mask(regions, draw.region, photo_shape, draw.crop)
        fault = refusal(region, recipe.mask)
        if fault is None:
            return draw, region, rejected
        rejected[fault] += 1
    raise PhotoError(f"none of {MAX_DRAWS} draws gave a mask within mask.area_range ({dict(rejected)})")


def draw_numbers(scores, photo_shape: tuple[int, int], recipe: Recipe, seed: int, pair: int, attempt: int) -> Draw:
    """Draw the plain numbers of one pair, each stage from its own generator."""
    mask_rng = stage_rng(seed, pair, "mask", attempt)
    return Draw(
        crop=sample_crop(photo_shape, recipe.geometry, stage_rng(seed, pair, "crop", attempt)),
        region=sample_region(scores, recipe.mask.temperature, mask_rng),
        inverted=bool(mask_rng.random() < recipe.mask.p_invert),
        blur=sample_blur(recipe.blur, stage_rng(seed, pair, "blur", attempt)),
        attempt=attempt,
    )


def stage_rng(seed: int, pair: int, stage: str, attempt: int = 0) -> np.random.Generator:
    """The generator of one stage of one pair: nothing else decides what it draws."""
    if seed < 0 or pair < 0:
        raise ArgumentError(f"seed {seed}, pair {pair}: both must be 0 or more")
    return np.random.Generator(
        np.random.PCG64(np.random.SeedSequence(seed, spawn_key=(pair, attempt, STAGES.index(stage))))
    )


def _provenance(draw: Draw, mask: np.ndarray, regions: Proposals, recipe: Recipe, seed: int, pair: int) -> dict:
    blur = {("blur_kind" if key == "kind" else key): value for key, value in asdict(draw.blur).items()}
    return {
        "pair": pair,
        "seed": seed,
        "attempt": draw.attempt,
        **draw.crop.to_dict(),
        "mask_kind": recipe.mask.kind,
        "region": draw.region,
        "score": float(regions.scores[draw.region]),
        "inverted": draw.inverted,
        "blurred_share": float(mask.mean()),
        **blur,
        "fill": recipe.fill.method,
        "fill_radius_px": recipe.fill.radius_px,
    }
