"""Point spread functions. Each sums to 1 and has its centroid at the origin, so image and mask stay aligned."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from blurgen.params import Interval, Params, param

BlurKind = Literal["gaussian", "motion"]

SAMPLES_PER_PX = 8


class BlurParams(Params):
    """Which blur a pair gets. Lengths are in px of the stored image."""

    p_motion: float = param(0.5, "", "probability of motion blur; else defocus blur", low=0, high=1)
    sigma_px_range: Interval = param((1.0, 6.0), "px", "defocus: standard deviation of the Gaussian", low=0.3, high=64)
    length_px_range: Interval = param((7.0, 25.0), "px", "motion: length of the line", low=1, high=200)
    angle_deg_range: Interval = param((0.0, 180.0), "deg", "motion: rotation of the line", low=-360, high=360)
    elastic_px_range: Interval = param(
        (0.0, 3.0), "px", "motion: standard deviation of the elastic field", low=0, high=32
    )
    elastic_smoothness_px: float = param(5.0, "px", "motion: smoothness of the elastic field", low=0.5, high=64)


@dataclass(frozen=True)
class Blur:
    """The plain numbers that define one kernel. Numbers that its kind does not use are zero."""

    kind: BlurKind
    sigma_px: float = 0.0
    length_px: float = 0.0
    angle_deg: float = 0.0
    elastic_px: float = 0.0
    elastic_smoothness_px: float = 0.0
    elastic_seed: int = 0

    def __str__(self) -> str:
        if self.kind == "gaussian":
            return f"gaussian {self.sigma_px:.1f} px"
        return f"motion {self.length_px:.0f} px {self.angle_deg:.0f} deg"

    to_dict = asdict


@dataclass(frozen=True)
class Kernel:
    """A point spread function on a square grid of odd side.

    Attributes
    ----------
    weights : ndarray of shape (k, k), float32
        Not negative, sum 1, centroid at the centre. Rows before columns.
    taps : ndarray of shape (k,), float32, or None
        Where the kernel is separable: ``weights = outer(taps, taps)``.
    """

    weights: np.ndarray
    taps: np.ndarray | None = None

    @property
    def reach_px(self) -> int:
        """Half the side: no pixel farther than this (chessboard distance) contributes."""
        return len(self.weights) // 2


def sample_blur(params: BlurParams, rng: np.random.Generator) -> Blur:
    """Draw the plain numbers of one blur (section 2.2 of the paper)."""
    if rng.random() < params.p_motion:
        return Blur(
            "motion",
            length_px=rng.uniform(*params.length_px_range),
            angle_deg=rng.uniform(*params.angle_deg_range),
            elastic_px=rng.uniform(*params.elastic_px_range),
            elastic_smoothness_px=params.elastic_smoothness_px,
            elastic_seed=int(rng.integers(2**32)),
        )
    return Blur("gaussian", sigma_px=rng.uniform(*params.sigma_px_range))


def make_kernel(blur: Blur) -> Kernel:
    """The kernel of ``blur``: a pure function of its numbers."""
    return KERNELS[blur.kind](blur)


def gaussian(blur: Blur) -> Kernel:
    """Isotropic Gaussian of standard deviation ``sigma_px``, cut at three of them."""
    radius = max(1, int(np.ceil(3 * blur.sigma_px)))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / blur.sigma_px) ** 2)
    taps /= taps.sum()
    return Kernel(np.outer(taps, taps).astype(np.float32), taps.astype(np.float32))


def motion(blur: Blur) -> Kernel:
    """Non-linear motion blur of Alvarez-Gila et al. 2019, section 2.2.

    A horizontal line of length m, rotated by alpha, elastically deformed. The line is kept as points until the end: the
    deformation moves the points (an isotropic Gaussian field seen along a straight line is a Gaussian process of the
    same smoothness), the path is centred on its centroid and only then drawn on the grid, bilinearly, which keeps the
    centroid exact.
    """
    path = np.zeros((round(SAMPLES_PER_PX * blur.length_px) + 1, 2))
    path[:, 1] = np.linspace(-blur.length_px / 2, blur.length_px / 2, len(path))
    angle = np.deg2rad(blur.angle_deg)
    path = path @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    if blur.elastic_px:
        path += blur.elastic_px * _elastic_field(len(path), blur)
    return _draw(path - path.mean(axis=0))


def _elastic_field(count: int, blur: Blur) -> np.ndarray:
    """Smooth random displacements of unit standard deviation along the line: (count, 2)."""
    smoothness = blur.elastic_smoothness_px * SAMPLES_PER_PX
    margin = int(np.ceil(4 * smoothness))
    noise = np.random.default_rng(blur.elastic_seed).standard_normal((count + 2 * margin, 2))
    field = ndimage.gaussian_filter1d(noise, smoothness, axis=0, mode="constant", truncate=4)[margin : margin + count]
    return field * np.sqrt(2 * np.sqrt(np.pi) * smoothness)


def _draw(path: np.ndarray) -> Kernel:
    """Spread each point over its four grid neighbours: sum 1, centroid kept exactly."""
    radius = int(np.ceil(np.abs(path).max())) + 1
    side = 2 * radius + 1
    floor = np.floor(path).astype(int)
    part = path - floor
    weights = np.zeros(side * side)
    for row in (0, 1):
        for column in (0, 1):
            share = np.abs(1 - row - part[:, 0]) * np.abs(1 - column - part[:, 1])
            places = (floor[:, 0] + row + radius) * side + floor[:, 1] + column + radius
            weights += np.bincount(places, share, side * side)
    return Kernel(_trim(weights.reshape(side, side) / len(path)).astype(np.float32))


def _trim(weights: np.ndarray) -> np.ndarray:
    """Cut empty rings from the outside."""
    rows, columns = np.nonzero(weights)
    centre = len(weights) // 2
    reach = max(1, np.abs(rows - centre).max(), np.abs(columns - centre).max())
    return weights[centre - reach : centre + reach + 1, centre - reach : centre + reach + 1]


KERNELS = {"gaussian": gaussian, "motion": motion}
