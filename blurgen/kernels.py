"""Point spread functions: which blur a pair gets, and the kernels of those that are the same all over the image.

Each kernel sums to 1 and has its centroid at the origin, so image and mask stay aligned. The amount of a blur is, for
all kinds alike, the standard deviation of its kernel along one axis, averaged over the axes: sqrt((var_y + var_x) / 2)
in px. That is sigma for a Gaussian (1.4 % less, since it is cut at three of them), about R / 2 for a disk of radius R
and L / sqrt(24) for a line of length L.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from pydantic import field_validator

from blurgen.params import Interval, Params, draw_from, mix_of, param, whole_ends

BlurKind = Literal[
    "none", "gaussian", "disk", "polygon", "linear-motion", "nonlinear-motion", "camera-shake", "rotation", "zoom"
]
DEFOCUS = ("gaussian", "disk", "polygon")
MOTION = ("linear-motion", "nonlinear-motion", "camera-shake", "rotation", "zoom")
SHARP_TYPE, DEFOCUS_TYPE, MOTION_TYPE = 0, 1, 2

SAMPLES_PER_PX = 8
SHAKE_STEPS = 100

COLUMN_NAMES = {"kind": "blur_kind", "seed": "blur_seed"}
"""Fields of a Blur that are called otherwise in a row of provenance, which has a seed of its own."""


class BlurParams(Params):
    """Which blur a pair gets. Lengths are in px of the stored image."""

    p_motion: float = param(0.5, "", "probability of motion blur; else defocus blur", low=0, high=1)
    defocus_kinds: mix_of(*DEFOCUS) = param({"gaussian": 1.0}, "", f"defocus: a mix of {', '.join(DEFOCUS)}")
    motion_kinds: mix_of(*MOTION) = param({"nonlinear-motion": 1.0}, "", f"motion: a mix of {', '.join(MOTION)}")
    sigma_px_range: Interval = param((1.0, 6.0), "px", "gaussian: standard deviation", low=0.3, high=64)
    radius_px_range: Interval = param(
        (2.0, 12.0), "px", "disk, polygon: radius, of a polygon that of its corners", low=0.5, high=128
    )
    blades_range: Interval = param((5.0, 9.0), "", "polygon: number of corners", low=3, high=16)
    aperture_angle_deg_range: Interval = param((0.0, 180.0), "deg", "polygon: rotation", low=-360, high=360)
    p_tilt: float = param(0.0, "", "defocus: probability that its amount varies as on a tilted plane", low=0, high=1)
    tilt_range: Interval = param(
        (0.2, 0.8), "", "tilted plane: the amount goes from 1 - tilt to 1 + tilt times the drawn one", low=0, high=0.9
    )
    length_px_range: Interval = param((7.0, 25.0), "px", "linear, non-linear motion: length", low=1, high=200)
    angle_deg_range: Interval = param((0.0, 180.0), "deg", "linear, non-linear motion: rotation", low=-360, high=360)
    elastic_px_range: Interval = param(
        (0.0, 3.0), "px", "non-linear motion: standard deviation of the elastic field", low=0, high=32
    )
    elastic_smoothness_px: float = param(
        5.0, "px", "non-linear motion: smoothness of the elastic field", low=0.5, high=64
    )
    shake_px_range: Interval = param(
        (10.0, 60.0), "px", "camera-shake: length of the path, curls and all", low=1, high=400
    )
    turn_deg_range: Interval = param((1.0, 5.0), "deg", "rotation: angle turned during the exposure", low=0, high=45)
    zoom_range: Interval = param((0.02, 0.12), "", "zoom: growth during the exposure, .1 for 10 %", low=0, high=1)
    centre_range: Interval = param(
        (0.25, 0.75), "", "rotation, zoom: the centre, as a share of the height and of the width", low=-1, high=2
    )

    @field_validator("blades_range")
    @classmethod
    def _whole(cls, value: Interval) -> Interval:
        return whole_ends(value)


@dataclass(frozen=True)
class Blur:
    """The plain numbers that define one blur. Numbers that its kind does not use are zero.

    Attributes
    ----------
    angle_deg : float
        Of a motion or a polygon, counterclockwise as seen.
    seed : int
        Of the elastic field or of the trajectory.
    centre_y, centre_x : float
        Of a rotation or a zoom, as shares of the image's height and width.
    tilt, tilt_angle_deg : float
        The amount goes from 1 - tilt to 1 + tilt times that of the kernel, growing towards this angle.
    """

    kind: BlurKind
    sigma_px: float = 0.0
    radius_px: float = 0.0
    blades: int = 0
    length_px: float = 0.0
    angle_deg: float = 0.0
    elastic_px: float = 0.0
    elastic_smoothness_px: float = 0.0
    seed: int = 0
    turn_deg: float = 0.0
    zoom: float = 0.0
    centre_y: float = 0.0
    centre_x: float = 0.0
    tilt: float = 0.0
    tilt_angle_deg: float = 0.0

    def __str__(self) -> str:
        tilted = f", tilt {self.tilt:.0%}" if self.tilt else ""
        return f"{CAPTIONS[self.kind].format(blur=self)}{tilted}"

    @property
    def type(self) -> int:
        """0 sharp, 1 defocus, 2 motion."""
        return DEFOCUS_TYPE if self.kind in DEFOCUS else MOTION_TYPE if self.kind in MOTION else SHARP_TYPE

    @property
    def varies(self) -> bool:
        """Whether the blur is not the same all over the image."""
        return self.kind in ("rotation", "zoom") or self.tilt > 0

    def to_dict(self) -> dict[str, Any]:
        """The numbers by name."""
        return dict(vars(self))

    def to_row(self, prefix: str = "") -> dict[str, Any]:
        """The numbers under the names that they have in a row of provenance."""
        return {prefix + COLUMN_NAMES.get(name, name): value for name, value in vars(self).items()}


NO_BLUR = Blur("none")

CAPTIONS = {
    "none": "sharp",
    "gaussian": "gaussian {blur.sigma_px:.1f} px",
    "disk": "disk {blur.radius_px:.1f} px",
    "polygon": "polygon {blur.blades} blades {blur.radius_px:.1f} px {blur.angle_deg:.0f} deg",
    "linear-motion": "linear motion {blur.length_px:.0f} px {blur.angle_deg:.0f} deg",
    "nonlinear-motion": "motion {blur.length_px:.0f} px {blur.angle_deg:.0f} deg elastic {blur.elastic_px:.1f} px",
    "camera-shake": "camera shake {blur.length_px:.0f} px",
    "rotation": "rotation {blur.turn_deg:.1f} deg",
    "zoom": "zoom {blur.zoom:.1%}",
}


def blur_from(row: Mapping[str, Any], prefix: str = "") -> Blur:
    """The blur that a row of provenance describes: the inverse of ``Blur.to_row``.

    Numbers may be numpy's; other columns of the row are ignored. KeyError where one is missing.
    """
    kinds = {"kind": str, "blades": int, "seed": int}
    names = [field.name for field in fields(Blur)]
    return Blur(**{name: kinds.get(name, float)(row[prefix + COLUMN_NAMES.get(name, name)]) for name in names})


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

    @property
    def sigma_px(self) -> float:
        """The amount of blur, as defined at the head of this module."""
        squares = np.arange(-self.reach_px, self.reach_px + 1) ** 2
        sums = self.weights.sum(axis=0, dtype=float) + self.weights.sum(axis=1, dtype=float)
        return float(np.sqrt(sums @ squares / 2))


def sample_blur(params: BlurParams, rng: np.random.Generator, other_than: int | None = None) -> Blur:
    """Draw the plain numbers of one blur.

    Drawn in this order: the type, the kind, the numbers of the kind in the order in which ``SAMPLERS`` names them, for
    a defocus whether it is tilted, and if so how much and where to.

    Parameters
    ----------
    other_than : int, optional
        1 (defocus) or 2 (motion): draw a blur of the other of the two types, whatever ``p_motion`` says.
    """
    motion = rng.random() < params.p_motion
    if other_than is not None:
        motion = other_than == DEFOCUS_TYPE
    kind = draw_from(params.motion_kinds if motion else params.defocus_kinds, rng.random())
    numbers = SAMPLERS[kind](params, rng)
    if not motion and rng.random() < params.p_tilt:
        numbers |= {"tilt": rng.uniform(*params.tilt_range), "tilt_angle_deg": rng.uniform(0, 360)}
    return Blur(kind, **numbers)


def _sample_polygon(params: BlurParams, rng: np.random.Generator) -> dict[str, Any]:
    least, most = params.blades_range
    return {
        "radius_px": rng.uniform(*params.radius_px_range),
        "blades": int(rng.integers(int(least), int(most), endpoint=True)),
        "angle_deg": rng.uniform(*params.aperture_angle_deg_range),
    }


def _sample_line(params: BlurParams, rng: np.random.Generator) -> dict[str, Any]:
    return {"length_px": rng.uniform(*params.length_px_range), "angle_deg": rng.uniform(*params.angle_deg_range)}


def _sample_nonlinear(params: BlurParams, rng: np.random.Generator) -> dict[str, Any]:
    return {
        **_sample_line(params, rng),
        "elastic_px": rng.uniform(*params.elastic_px_range),
        "elastic_smoothness_px": params.elastic_smoothness_px,
        "seed": _sample_seed(rng),
    }


def _sample_centre(params: BlurParams, rng: np.random.Generator) -> dict[str, Any]:
    return {"centre_y": rng.uniform(*params.centre_range), "centre_x": rng.uniform(*params.centre_range)}


def _sample_seed(rng: np.random.Generator) -> int:
    return int(rng.integers(2**32))


SAMPLERS = {
    "gaussian": lambda params, rng: {"sigma_px": rng.uniform(*params.sigma_px_range)},
    "disk": lambda params, rng: {"radius_px": rng.uniform(*params.radius_px_range)},
    "polygon": _sample_polygon,
    "linear-motion": _sample_line,
    "nonlinear-motion": _sample_nonlinear,
    "camera-shake": lambda params, rng: {"length_px": rng.uniform(*params.shake_px_range), "seed": _sample_seed(rng)},
    "rotation": lambda params, rng: {"turn_deg": rng.uniform(*params.turn_deg_range), **_sample_centre(params, rng)},
    "zoom": lambda params, rng: {"zoom": rng.uniform(*params.zoom_range), **_sample_centre(params, rng)},
}


@lru_cache(maxsize=16)
def make_kernel(blur: Blur) -> Kernel:
    """The kernel of ``blur``: a pure function of its numbers. Of a tilted defocus, the kernel of the drawn amount.

    KeyError for rotation and zoom, which have another kernel at each pixel: see ``blurgen.varying``.
    """
    return KERNELS[blur.kind](blur)


def identity(_: Blur) -> Kernel:
    """No blur: a single px."""
    return Kernel(np.ones((1, 1), np.float32))


def gaussian(blur: Blur) -> Kernel:
    """Isotropic Gaussian of standard deviation ``sigma_px``, cut at three of them."""
    radius = max(1, int(np.ceil(3 * blur.sigma_px)))
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / blur.sigma_px) ** 2)
    taps /= taps.sum()
    return Kernel(np.outer(taps, taps).astype(np.float32), taps.astype(np.float32))


def disk(blur: Blur) -> Kernel:
    """A uniform disk of radius ``radius_px``: the circle of confusion of a full circular aperture."""
    rows = _chord_rows(-blur.radius_px, blur.radius_px)
    right = np.sqrt(blur.radius_px**2 - rows**2)
    return _draw_chords(rows, -right, right)


def polygon(blur: Blur) -> Kernel:
    """A uniform regular polygon with ``blades`` corners at ``radius_px``, one of them at ``angle_deg``.

    It is the intersection of the half-planes normal @ (column, row) <= apothem, whose borders bound each row.
    """
    corners = np.deg2rad(-blur.angle_deg) + 2 * np.pi * np.arange(blur.blades) / blur.blades
    heights = blur.radius_px * np.sin(corners)
    rows = _chord_rows(heights.min(), heights.max())
    normals = corners + np.pi / blur.blades
    apothem = blur.radius_px * np.cos(np.pi / blur.blades)
    across, along = np.cos(normals)[:, None], np.sin(normals)[:, None]
    sideways = np.abs(across) > 1e-9  # the others bound the rows, not the columns
    borders = (apothem - rows * along) / np.where(sideways, across, 1)
    left = np.where(sideways & (across < 0), borders, -np.inf).max(axis=0)
    right = np.where(sideways & (across > 0), borders, np.inf).min(axis=0)
    return _draw_chords(rows, left, np.maximum(left, right))


def _chord_rows(top: float, bottom: float) -> np.ndarray:
    """Equidistant heights (n,) at which an aperture is cut into chords."""
    count = max(4 * SAMPLES_PER_PX, int(np.ceil(SAMPLES_PER_PX * (bottom - top))))
    return top + (np.arange(count) + 0.5) * ((bottom - top) / count)


def _draw_chords(rows: np.ndarray, left: np.ndarray, right: np.ndarray) -> Kernel:
    """Spread each point of each chord over its four grid neighbours: sum 1, centroid kept exactly.

    A px takes from a chord the integral of the hat function around the px, in closed form.
    """
    lengths = right - left
    rows = rows - lengths @ rows / lengths.sum()
    shift = lengths @ (left + right) / 2 / lengths.sum()
    radius = int(max(np.abs(rows).max(), np.abs(left - shift).max(), np.abs(right - shift).max())) + 1
    grid = np.arange(-radius, radius + 1)
    shares = _hat_integral(right[:, None] - shift - grid) - _hat_integral(left[:, None] - shift - grid)
    weights = np.maximum(0, 1 - np.abs(grid[:, None] - rows)) @ shares
    return Kernel((weights / weights.sum()).astype(np.float32))


def _hat_integral(ends: np.ndarray) -> np.ndarray:
    """Integral of max(0, 1 - abs(x)) from 0 to each end."""
    ends = np.clip(ends, -1, 1)
    return ends * (1 - 0.5 * np.abs(ends))


def linear_motion(blur: Blur) -> Kernel:
    """A straight line of length ``length_px``, drawn at constant speed."""
    return _draw_path(_line(blur))


def nonlinear_motion(blur: Blur) -> Kernel:
    """Non-linear motion blur of Alvarez-Gila et al. 2019, section 2.2.

    A horizontal line of length m, rotated by alpha, elastically deformed. The line is kept as points until the end: the
    deformation moves the points (an isotropic Gaussian field seen along a straight line is a Gaussian process of the
    same smoothness), the path is centred on its centroid and only then drawn on the grid, bilinearly, which keeps the
    centroid exact.
    """
    path = _line(blur)
    if blur.elastic_px:
        path = path + blur.elastic_px * _elastic_field(np.linspace(0, blur.length_px, len(path)), blur)
    return _draw_path(path)


def camera_shake(blur: Blur) -> Kernel:
    """The random trajectory of a trembling hand, ``length_px`` long: Boracchi and Foi 2012.

    Modeling the Performance of Image Restoration from Motion Blur, IEEE Transactions on Image Processing 21 (8). A
    particle of constant speed keeps its direction by inertia, is pushed at random, pulled back to where it started,
    and now and then jerked backwards; drawn from ``seed`` like everything else that they draw.
    """
    path = _shake_path(blur.seed)
    count = round(SAMPLES_PER_PX * blur.length_px) + 1
    points = np.interp(np.linspace(0, SHAKE_STEPS, count), np.arange(SHAKE_STEPS + 1), path)
    return _draw_path(blur.length_px * points)


def _shake_path(seed: int) -> np.ndarray:
    """A trajectory of length 1: (SHAKE_STEPS + 1,) complex.

    The ranges are those of the authors' program, which takes 2000 steps along 60 px, with an anxiety of .0005 to .005.
    What grows with the number of steps is scaled to ours, random pushes by its square root.
    """
    rng = np.random.default_rng(seed)
    anxiety = 2000 * 0.005 * 10 ** -rng.random()
    pull = 60 * anxiety * 0.7 * rng.random() / SHAKE_STEPS
    p_jerk = anxiety * 0.2 * rng.random() / SHAKE_STEPS
    pushes = (
        rng.standard_normal((SHAKE_STEPS, 2)) @ (1, 1j) * (anxiety * 10 * rng.random() / np.sqrt(2000 * SHAKE_STEPS))
    )
    jerks = np.where(rng.random(SHAKE_STEPS) < p_jerk, -2 * np.exp(1j * (rng.random(SHAKE_STEPS) - 0.5)), 0)
    place, direction = 0j, np.exp(2j * np.pi * rng.random()).item()
    path = [place]
    for push, jerk in zip(pushes.tolist(), jerks.tolist(), strict=True):
        direction += jerk * direction + push - pull * place
        direction /= abs(direction)
        place += direction / SHAKE_STEPS
        path.append(place)
    return np.array(path)


def _line(blur: Blur) -> np.ndarray:
    """Points of a straight line through the origin: (n,) complex, columns + i * height."""
    half = blur.length_px / 2
    count = round(SAMPLES_PER_PX * blur.length_px) + 1
    return np.linspace(-half, half, count) * np.exp(1j * np.deg2rad(blur.angle_deg))


def _elastic_field(places: np.ndarray, blur: Blur) -> np.ndarray:
    """Smooth random displacements of unit standard deviation along each axis, at ``places`` (n,) px: (n,) complex.

    White noise at nodes as far apart as the smoothness, under a Gaussian of that standard deviation, cut at four.
    """
    places = places / blur.elastic_smoothness_px
    below = places.astype(int)
    around = np.arange(-4, 6)
    noise = np.random.default_rng(blur.seed).standard_normal((below[-1] + len(around), 2)) @ (1, 1j)
    weights = np.exp(-0.5 * ((places - below)[:, None] - around) ** 2)
    weights /= np.sqrt((weights**2).sum(axis=1, keepdims=True))
    return (weights * noise[below[:, None] + around + 4]).sum(axis=1)


def _draw_path(path: np.ndarray) -> Kernel:
    """Centre the points (n,) complex and spread each over its four grid neighbours: sum 1, centroid kept exactly."""
    path = path - path.mean()
    points = np.stack([-path.imag, path.real])
    radius = int(np.abs(points).max()) + 1
    side = 2 * radius + 1
    floor = np.floor(points)
    (down, right), (row, column) = points - floor, floor.astype(int) + radius
    up, left, first = 1 - down, 1 - right, row * side + column
    places = np.concatenate([first, first + 1, first + side, first + side + 1])
    shares = np.concatenate([up * left, up * right, down * left, down * right])
    weights = np.bincount(places, shares, side * side).reshape(side, side) / len(path)
    return Kernel(weights.astype(np.float32))


KERNELS = {
    "none": identity,
    "gaussian": gaussian,
    "disk": disk,
    "polygon": polygon,
    "linear-motion": linear_motion,
    "nonlinear-motion": nonlinear_motion,
    "camera-shake": camera_shake,
}
