"""The plain numbers of one pair: drawn for a scene, or read back from a row of provenance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from blurgen.camera import CameraDraw, sample_camera
from blurgen.camera.jpeg import can_be_jpeg
from blurgen.convolution import Lens
from blurgen.kernels import NO_BLUR, Blur, blur_from, sample_blur
from blurgen.recipe import Recipe
from blurgen.scene import Layout, Scene, stage_rng

lens_of = lru_cache(maxsize=64)(Lens.of)
"""As many as the largest scene has: its pairs ask for them once to see how far they reach and once to be made."""


@dataclass(frozen=True)
class Numbers:
    """All plain numbers of one pair. Photo, regions and recipe given, they decide what it looks like, to the bit.

    Attributes
    ----------
    blurs : tuple of Blur
        One for each region that is blurred.
    reach_px : int
        How far the fill and the forward Fourier transform of the first region reach, which all pairs of a scene share:
        as far as the farthest of their blurs.
    """

    seed: int
    pair: int
    layout: Layout
    blurs: tuple[Blur, ...]
    camera: CameraDraw
    reach_px: int

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Numbers:
        """The numbers that a row of provenance holds. KeyError where a column is missing."""
        blurs = blur_from(row), blur_from(row, "second_")
        return cls(
            seed=int(row["seed"]),
            pair=int(row["origin_pair"]),
            layout=Layout.from_row(row),
            blurs=tuple(blur for blur in blurs if blur.kind != NO_BLUR.kind),
            camera=CameraDraw.from_row(row),
            reach_px=int(row["reach_px"]),
        )


class Takes:
    """The pairs of one scene: the same crop and mask, each time blurred otherwise. Here their numbers are drawn."""

    def __init__(self, scene: Scene, recipe: Recipe, seed: int, first: int) -> None:
        self.scene, self.recipe, self.seed = scene, recipe, seed
        pairs = range(first, first + recipe.mask.pairs_per_mask)
        self._blurs = {pair: self._sample_blurs(pair) for pair in pairs}
        self._reach_px = max(reach_of(blurs, scene.sharp.shape[:2]) for blurs in self._blurs.values())

    def numbers(self, pair: int) -> Numbers:
        """The numbers of pair number ``pair``, which must be one of the scene's."""
        camera = self._sample_camera(pair)
        return Numbers(self.seed, pair, self.scene.layout, self._blurs[pair], camera, self._reach_px)

    def _sample_blurs(self, pair: int) -> tuple[Blur, ...]:
        """One for each mask; the second blurs in the other way, defocus or motion."""
        rng = stage_rng(self.seed, pair, "blur", self.scene.layout.attempt)
        blurs = [sample_blur(self.recipe.blur, rng)] if self.scene.masks else []
        if len(self.scene.masks) > 1:
            blurs.append(sample_blur(self.recipe.blur, rng, other_than=blurs[0].type))
        return tuple(blurs)

    def _sample_camera(self, pair: int) -> CameraDraw:
        if not self.recipe.camera.draws:
            return CameraDraw()
        camera = sample_camera(self.recipe.camera, stage_rng(self.seed, pair, "camera"))
        return camera if can_be_jpeg(self.scene.sharp) else replace(camera, jpeg_quality=0, jpeg_420=False)


def reach_of(blurs: tuple[Blur, ...], shape: tuple[int, int]) -> int:
    """How far the first of the blurs reaches in images of ``shape`` (H, W), px; 0 if there is none."""
    return lens_of(blurs[0], shape).reach_px if blurs else 0
