"""One pair, in the order of the paper: region, inversion, blur, fill, convolution, composite.

Plain numbers are drawn first, each stage from its own generator; everything after is a pure function of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import numpy as np

from blurgen.camera import CameraDraw
from blurgen.camera.jpeg import recompressed
from blurgen.camera.light import Light, white_level
from blurgen.compositing import Grain, composite_far, composite_near
from blurgen.convolution import Surround
from blurgen.errors import ArgumentError, PhotoError
from blurgen.fill import FillParams, fill_sharp_region
from blurgen.geometry import bounds
from blurgen.kernels import NO_BLUR, Blur
from blurgen.masks import NO_REGION, WHOLE, Donor, Region
from blurgen.proposals import Proposals, object_proposals
from blurgen.recipe import Recipe
from blurgen.scene import Offer, Scene, draw_scene, union
from blurgen.sources.limits import MAX_LIGHT
from blurgen.takes import Numbers, Takes, lens_of
from blurgen.targets import make_targets, mask_picture

MAX_DRAWS = 50
"""A photo that gives no good mask in so many draws is given up."""


@dataclass(frozen=True)
class Pair:
    """An image, its blur mask, and how they were made.

    Attributes
    ----------
    image : ndarray of shape (H, W, C), uint8, uint16 or float32
        RGB for photos in colour.
    mask : ndarray of shape (H, W), bool
        True = blurred.
    provenance : dict
        Plain numbers and strings, one for each column of a shard's provenance table that is known here.
    rejected : Counter
        Draws thrown away before this one, by reason.
    targets : dict
        What else the recipe asks for, each of shape (H, W): "amount" float16, sigma in px, 0 where sharp; "type" uint8,
        0 sharp, 1 defocus, 2 motion; "unknown" bool, True where one can't tell.
    """

    image: np.ndarray
    mask: np.ndarray
    provenance: dict
    rejected: Counter = field(default_factory=Counter)
    targets: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def mask_picture(self) -> np.ndarray:
        """(H, W) uint8: 255 blurred, 0 sharp, 128 where one can't tell (if the recipe asks for that)."""
        return mask_picture(self.mask, self.targets.get("unknown"))


def synthesize(
    photo: np.ndarray,
    recipe: Recipe,
    regions: Proposals | Mapping[str, Proposals] | None = None,
    *,
    donor: Proposals | None = None,
    seed: int = 0,
    pair: int = 0,
) -> Pair:
    """Make pair number ``pair`` of a data set from one photo (Alvarez-Gila et al. 2019, section 2).

    Parameters
    ----------
    photo : ndarray of shape (H, W) or (H, W, C), uint8, uint16 or float32
        RGB if it is in colour. Integers are sRGB codes; float32 is light of any range, at most ``MAX_LIGHT``.
    regions : Proposals, or a dict of them by kind, optional
        Where masks are drawn from (proposal, object, largest-object); proposals are computed if nothing is given.
    donor : Proposals, optional
        Regions of another photo, for the kind other-photo, which is left out of the draw without them.
    seed, pair : int
        Not negative. The same recipe, photo, seed and pair give the same bytes.

    Raises
    ------
    PhotoError
        Not such an array, the photo has no region, or none of ``MAX_DRAWS`` draws gave a mask that the recipe accepts.
    ArgumentError
        The recipe needs regions that weren't given.
    """
    if donor is None and list(recipe.mask.kinds) == ["other-photo"]:
        raise ArgumentError(f"recipe {recipe.name} draws regions of another photo only: give donor=")
    lender = (lambda: donor) if donor is not None and len(donor) else None
    return Studio(photo, recipe, regions).make(seed, pair, lender)


class Studio:
    """One photo, ready for making pairs. Pairs that share a mask share the work on it when made one after the other.

    They share what is drawn; a soft border (a mask where alpha is one half) and the still middle of a zoom are those of
    each pair's own blur, and a pair whose mask that leaves with one class is drawn again on its own.
    """

    def __init__(
        self, photo: np.ndarray, recipe: Recipe, regions: Proposals | Mapping[str, Proposals] | None = None
    ) -> None:
        self.photo, self.recipe = _checked(photo), recipe
        self.found = _found_regions(self.photo, recipe, regions)
        self._key: tuple | None = None

    def make(self, seed: int, pair: int, donor: Donor | None = None) -> Pair:
        """Pair number ``pair``: see ``synthesize``. The donor must be the same for pairs that share a mask."""
        rejected = Counter()
        for attempt in range(MAX_DRAWS):
            made = self._attempt(seed, pair, attempt, donor)
            if isinstance(made, Pair):
                return replace(made, rejected=rejected)
            rejected[made] += 1
        why = ", ".join(f"{count} {reason}" for reason, count in rejected.items())
        raise PhotoError(f"none of {MAX_DRAWS} draws gave a pair that the recipe accepts: {why}")

    def _attempt(self, seed: int, pair: int, attempt: int, donor: Donor | None) -> Pair | str:
        """One draw: the pair, or why it is refused."""
        takes = self._takes(seed, pair, attempt, donor)
        if isinstance(takes, str):
            return takes
        made = render(takes.scene, takes.numbers(pair), self.recipe)
        # A thin layer can be too blurred to be seen at half its strength anywhere.
        return made if _has_its_classes(made) else "single-class"

    def _takes(self, seed: int, pair: int, attempt: int, donor: Donor | None) -> Takes | str:
        """The takes that a pair is one of, or why they are refused. Kept for the next pair of the same scene."""
        first = pair - pair % self.recipe.mask.pairs_per_mask
        if self._key != (seed, first, attempt):
            scene = draw_scene(self.photo, Offer(self.found, donor), self.recipe, seed, first, attempt)
            self._kept = scene if isinstance(scene, str) else Takes(scene, self.recipe, seed, first)
            self._key = (seed, first, attempt)
        return self._kept


def _has_its_classes(made: Pair) -> bool:
    """Whether the pair has both classes, or those that its kind of mask stands for."""
    kind, share = made.provenance["mask_kind"], made.provenance["blurred_share"]
    return (share > 0 or kind == "all-sharp") and (share < 1 or kind in WHOLE)


def render(scene: Scene, numbers: Numbers, recipe: Recipe) -> Pair:
    """Fill, convolve, composite (section 2 of the paper): a pure function, which draws nothing.

    Parameters
    ----------
    scene : Scene
        That of ``numbers.layout``: see ``make_scene``. What the pairs of a scene have in common is worked out once.
    numbers : Numbers
        Drawn, or read back from a row of provenance.
    """
    camera, lenses = numbers.camera, [lens_of(blur, scene.sharp.shape[:2]) for blur in numbers.blurs]
    light = Light.of_camera(scene.sharp.dtype, recipe.camera, camera.highlight_gain)
    grain = _grain(scene, camera, recipe)
    image, masks = scene.sharp, []
    for mask, lens, near in zip(scene.masks, lenses, scene.layout.near, strict=False):
        if near:
            image, mask = composite_near(image, mask, lens, recipe.fill, light, grain)
        else:
            reach = lens.reach_px if masks else numbers.reach_px
            filled = _filled(scene, image, mask, reach, recipe.fill, light)
            image, mask = composite_far(image, mask, lens, filled, light, grain)
        masks = [former & ~mask for former in masks] + [mask]
    if camera.jpeg_quality:
        image = recompressed(image, camera.jpeg_quality, camera.jpeg_420)
    mask = union(masks, image.shape[:2])
    targets = make_targets(recipe.targets, scene.sharp, list(zip(masks, numbers.blurs, strict=True)))
    image = image.copy() if image is scene.sharp else image  # which may be a view of the caller's photo
    return Pair(image, mask.copy(), _provenance(scene, numbers, recipe, masks, light, grain), targets=targets)


def _filled(
    scene: Scene, image: np.ndarray, mask: np.ndarray, reach_px: int, fill: FillParams, light: Light
) -> Surround:
    """What is blurred: the image with its sharp region filled, as light where need be.

    Of the first mask it is the same for all pairs of a scene, which share one fill and one forward Fourier transform.
    """
    key = (reach_px, fill, *vars(light).values()) if image is scene.sharp else None
    if key in scene.kept:
        return scene.kept[key]
    filled = image if mask.all() else fill_sharp_region(image, mask, reach_px, fill)
    surround = Surround(light.of(filled) if light.changes_values else filled, bounds(mask), reach_px)
    if key:
        scene.kept.clear()
        scene.kept[key] = surround
    return surround


def _grain(scene: Scene, camera: CameraDraw, recipe: Recipe) -> Grain | None:
    """The noise to put back, if the recipe asks for it and there is any."""
    if not recipe.camera.noise or not scene.masks or not scene.noise.sigma:
        return None
    return Grain(scene.noise, (camera.noise_y, camera.noise_x), recipe.camera.noise)


def _provenance(
    scene: Scene, numbers: Numbers, recipe: Recipe, masks: list[np.ndarray], light: Light, grain: Grain | None
) -> dict:
    """What was done, as columns of a row; ``Numbers.from_row`` reads the plain numbers back."""
    layout = numbers.layout
    first, second = [*numbers.blurs, NO_BLUR, NO_BLUR][:2]
    return {
        "pair": numbers.pair,
        "origin": 0,
        "origin_pair": numbers.pair,
        "seed": numbers.seed,
        "attempt": layout.attempt,
        **layout.crop.to_dict(),
        "inverted": layout.inverted,
        "mask_photo": "",
        **layout.region.to_row(),
        "near": layout.near[0] and len(masks) > 0,
        "blurred_share": float(union(masks, scene.sharp.shape[:2]).mean()),
        **first.to_row(),
        **_row(layout.second if len(masks) > 1 else NO_REGION, "second_"),
        "second_near": layout.near[1] and len(masks) > 1,
        "second_share": float(masks[1].mean()) if len(masks) > 1 else 0.0,
        **_row(second, "second_"),
        "fill": recipe.fill.method,
        "fill_radius_px": recipe.fill.radius_px,
        "reach_px": numbers.reach_px,
        "sharpness": scene.sharpness,
        "linear_light": light.linear,
        "highlight_gain": light.highlight_gain,
        **_noise_row(scene, numbers.camera, recipe, grain),
    }


def _noise_row(scene: Scene, camera: CameraDraw, recipe: Recipe, grain: Grain | None) -> dict:
    """The photo's noise and what was put back, in levels of 255, before what each blur leaves is taken off."""
    level = 255 / white_level(scene.sharp.dtype)
    sigma = scene.noise.sigma * level if recipe.camera.noise else 0.0
    return {
        "noise_sigma": sigma,
        "noise_added": sigma * recipe.camera.noise if grain else 0.0,
        "noise_y": camera.noise_y,
        "noise_x": camera.noise_x,
        "jpeg_quality": camera.jpeg_quality,
        "jpeg_420": camera.jpeg_420,
    }


@lru_cache(maxsize=16)
def _row(numbers: Region | Blur, prefix: str) -> dict:
    """A row of provenance; most pairs have the same second region and blur, none."""
    return numbers.to_row(prefix)


def _found_regions(
    photo: np.ndarray, recipe: Recipe, regions: Proposals | Mapping[str, Proposals] | None
) -> dict[str, Proposals]:
    """The regions that the recipe draws from, by kind; proposals are computed if nothing is given."""
    asked = recipe.mask
    if regions is None and asked.needs_objects:
        raise ArgumentError(f"recipe {recipe.name} needs annotated objects: give regions=largest_object(label_map)")
    if regions is None and "proposal" in asked.kinds:
        regions = object_proposals(photo, recipe.proposals)
    if isinstance(regions, Proposals):
        regions = dict.fromkeys(asked.found_kinds, regions)
    return {kind: one for kind, one in (regions or {}).items() if len(one) and kind in asked.kinds}


def _checked(photo: np.ndarray) -> np.ndarray:
    """The photo as (H, W, C)."""
    known = isinstance(photo, np.ndarray) and photo.dtype in (np.uint8, np.uint16, np.float32)
    if not known or photo.ndim not in (2, 3) or not photo.size:
        kind = f"{photo.dtype} {photo.shape}" if isinstance(photo, np.ndarray) else type(photo).__name__
        raise PhotoError(
            "a photo must be a uint8, uint16 or float32 array of shape (H, W) or (H, W, C), "
            f"this one is {kind}; convert it first"
        )
    if photo.dtype == np.float32 and not (np.abs(photo) <= MAX_LIGHT).all():
        raise PhotoError(
            f"a photo must not hold NaN, infinity or values beyond {MAX_LIGHT:g}; replace or scale them first"
        )
    return photo if photo.ndim == 3 else photo[..., None]
