"""What a camera does to a scene besides blurring it. Each effect is an option of its own, off by default."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import field_validator

from blurgen.params import Interval, Params, param, whole_ends


class CameraParams(Params):
    """Which effects a pair gets."""

    linear_light: bool = param(False, "", "blur light, not the sRGB code of it")
    highlight_gain_range: Interval = param(
        (1.0, 1.0), "times white", "how bright a clipped highlight is taken to be before the blur", low=1, high=100
    )
    highlight_start: float = param(
        0.985, "share of white", "from where on a pixel is taken for a clipped highlight", low=0.5, high=0.999
    )
    noise: float = param(
        0.0, "", "share of the photo's own noise that is put back where the blur took it; 1 matches, 0 is off",
        low=0, high=4,
    )  # fmt: skip
    soft_border: bool = param(
        False, "", "a near object that is blurred spreads over what is behind it, instead of ending at its outline"
    )
    p_jpeg: float = param(0.0, "", "probability that the finished image has been a JPEG before", low=0, high=1)
    jpeg_quality_range: Interval = param((60.0, 95.0), "", "quality of that JPEG, whole numbers", low=1, high=100)
    p_jpeg_420: float = param(0.5, "", "probability that its colours were halved (4:2:0; else 4:4:4)", low=0, high=1)

    @field_validator("jpeg_quality_range")
    @classmethod
    def _whole(cls, value: Interval) -> Interval:
        return whole_ends(value)

    @property
    def draws(self) -> bool:
        """Whether any effect has a number to draw."""
        return self.highlight_gain_range[1] > 1 or self.noise > 0 or self.p_jpeg > 0


@dataclass(frozen=True)
class CameraDraw:
    """The plain numbers of one pair's effects. ``jpeg_quality`` 0: it has not been a JPEG."""

    highlight_gain: float = 1.0
    noise_y: int = 0
    noise_x: int = 0
    jpeg_quality: int = 0
    jpeg_420: bool = False

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> CameraDraw:
        """The numbers that a row of provenance holds. KeyError where one is missing."""
        return cls(
            highlight_gain=float(row["highlight_gain"]),
            noise_y=int(row["noise_y"]),
            noise_x=int(row["noise_x"]),
            jpeg_quality=int(row["jpeg_quality"]),
            jpeg_420=bool(row["jpeg_420"]),
        )


def sample_camera(params: CameraParams, rng: np.random.Generator) -> CameraDraw:
    """Draw the plain numbers. Gains are drawn evenly in stops (factors of two)."""
    low, high = np.log2(params.highlight_gain_range)
    gain = float(2 ** rng.uniform(low, high))
    noise_y, noise_x = rng.integers(1024, size=2).tolist()
    been_jpeg, quality, halved = rng.random(3).tolist()
    low, high = np.rint(params.jpeg_quality_range).astype(int).tolist()
    return CameraDraw(
        highlight_gain=gain if params.highlight_gain_range[1] > 1 else 1.0,
        noise_y=noise_y if params.noise else 0,
        noise_x=noise_x if params.noise else 0,
        jpeg_quality=low + int(quality * (high - low + 1)) if been_jpeg < params.p_jpeg else 0,
        jpeg_420=been_jpeg < params.p_jpeg and halved < params.p_jpeg_420,
    )
