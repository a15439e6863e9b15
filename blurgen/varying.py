"""Blur that differs from place to place: a camera that turns or zooms while it exposes, and a plane tilted in depth.

Everything here is linear in the image, leaves a constant as it is, and takes any number of channels, so a premultiplied
alpha can go through as one more channel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from math import ceil, isqrt

import cv2
import numpy as np

from blurgen.geometry import Window
from blurgen.kernels import Blur, Kernel, make_kernel

Convolution = Callable[[np.ndarray, Kernel], np.ndarray]

MAX_WARPS_AT_ONCE = 12
"""Above so many, the copies of a turn are averaged in two rounds, which takes fewer warps; but two bilinear samplings
soften more than one, which shows where there is little blur."""

MAX_TILT_KERNELS = 5
"""3 kernels at a tilt of .2, 4 at .5 and 5 at .9 differ from a plane of 200 kernels by .6 to .9, 2 to 3 and 5 to 6 % of
what the blur changes (root mean square, on a photo)."""


def reach_px(blur: Blur, shape: tuple[int, int]) -> int:
    """How far the blur of any pixel reaches in an image of ``shape`` (H, W): chessboard distance in px, rounded up."""
    if blur.kind not in RATES:
        return _tilt_kernel(blur, 1 + blur.tilt).reach_px
    moments = np.outer(*_factors(blur, shape))
    longest = max(np.abs(moments - 1).max(), np.abs(1 / moments - 1).max())
    return ceil(_farthest_px(blur, shape) * longest) + 2 if longest else 0


def amount_map(blur: Blur, shape: tuple[int, int]) -> np.ndarray:
    """Blur amount at each pixel, as ``blurgen.kernels`` defines it: (H, W) float32, in px, 0 where nothing is blurred.

    Of a rotation or zoom it is the spread of the positions that a point takes during the exposure, in proportion to its
    distance from the centre. That of the bilinear sampling, below .6 px, is left out.
    """
    if blur.kind in RATES:
        rows, columns = (np.arange(side) for side in shape)
        distances = np.abs(columns + 1j * rows[:, None] - _centre(blur, shape))
        spread = np.mean(np.abs(1 / np.outer(*_factors(blur, shape)) - 1) ** 2)
        return (distances * np.sqrt(spread / 2)).astype(np.float32)
    variances = np.array([kernel.sigma_px**2 for kernel in _tilt_kernels(blur)])
    places = _tilt_places(blur, shape) if blur.tilt else np.zeros(shape)
    return np.sqrt(np.interp(places, np.arange(len(variances)), variances)).astype(np.float32)


EVERYWHERE = (slice(None), slice(None))


def blur_varying(image: np.ndarray, blur: Blur, convolve: Convolution, window: Window = EVERYWHERE) -> np.ndarray:
    """Blur a window of an image with a blur of any kind; what is around the window is blurred into it.

    Parameters
    ----------
    image : ndarray of shape (H, W, C), float32
        Any C. For rotation and zoom it goes on beyond its border as its mirror image.
    convolve : callable
        ``convolve(image, kernel)`` gives the window of the image convolved, (h, w, C) float32, and decides what lies
        beyond the image's border. Not called for rotation and zoom.

    Returns
    -------
    ndarray of shape (h, w, C), float32
    """
    if blur.kind in RATES:
        return _expose(image, blur)[window]
    if blur.tilt:
        return _blur_tilted(image, blur, convolve, window)
    return image[window].copy() if blur.kind == "none" else convolve(image, make_kernel(blur))


RATES = {"rotation": lambda blur: 1j * np.deg2rad(blur.turn_deg), "zoom": lambda blur: np.log1p(blur.zoom) + 0j}
"""A rotation and a zoom are both z -> exp(rate * t) z, with z = column + i row seen from the centre, and t the time."""


def _expose(image: np.ndarray, blur: Blur) -> np.ndarray:
    """The mean of the image over what is seen of it during the exposure.

    The coarse steps followed by the fine ones give every moment once, so the mean over the fine ones of the mean over
    the coarse ones is the mean over all, for the square root of the number of warps. The first round goes beyond the
    border as far as the second looks, so that the photo is mirrored there and not its blur.
    """
    height, width = image.shape[:2]
    coarse, fine = _factors(blur, (height, width))
    centre = _centre(blur, (height, width))
    margin = ceil(_farthest_px(blur, (height, width)) * np.abs(fine - 1).max())
    around = centre + margin * (1 + 1j)
    planes = _mean_warped(_in_fours(image), coarse, centre, around, (height + 2 * margin, width + 2 * margin))
    if len(fine) > 1:
        planes = _mean_warped(planes, fine, around, centre, (height, width))
    return _as_image(planes, image.shape[2])


def _mean_warped(
    planes: list[np.ndarray], factors: np.ndarray, centre: complex, new_centre: complex, shape: tuple[int, int]
) -> list[np.ndarray]:
    """The mean of the copies that show at z, seen from ``new_centre``, what was at factor * z, seen from ``centre``."""
    flags = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REFLECT_101}
    matrices = [_matrix(factor, centre - factor * new_centre) for factor in factors]
    copy, means = np.empty((*shape, 4), np.float32), []
    for plane in planes:
        total = np.zeros_like(copy)
        for matrix in matrices:
            cv2.accumulate(cv2.warpAffine(plane, matrix, shape[::-1], dst=copy, **flags), total)
        means.append(np.divide(total, len(factors), out=total))
    return means


def _matrix(factor: complex, start: complex) -> np.ndarray:
    """The affine map z -> factor * z + start of column + i row: (2, 3) float64."""
    return np.array([[factor.real, -factor.imag, start.real], [factor.imag, factor.real, start.imag]])


def _in_fours(image: np.ndarray) -> list[np.ndarray]:
    """The channels four at a time, zeros added: OpenCV warps no more at once, and four as fast as one."""
    planes = list(cv2.split(image))
    planes += [np.zeros_like(planes[0])] * (-len(planes) % 4)
    return [cv2.merge(planes[first : first + 4]) for first in range(0, len(planes), 4)]


def _as_image(planes: list[np.ndarray], channels: int) -> np.ndarray:
    """The first ``channels`` of ``planes``, which have any number each, as one array (H, W, channels)."""
    flat = [one for plane in planes for one in cv2.split(plane)]
    return cv2.merge(flat[:channels]).reshape(*flat[0].shape, channels)


def _factors(blur: Blur, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Complex factors of the coarse and of the fine steps; each product of the two is one moment of the exposure.

    Moments are equally spaced around the middle of the exposure, with the variance of a continuous one, and a point at
    the farthest corner moves at most 1 px from one to the next. They are scaled, by less than 1 in 1000 for a turn of
    5 deg or a zoom of 12 %, such that the mean position of a point, and so of an edge, is where it is in the mask: the
    centroid of an arc lies inside of the arc.
    """
    rate = RATES[blur.kind](blur)
    span_px = _farthest_px(blur, shape) * abs(rate) * np.exp(rate.real / 2)
    count = max(2, ceil(np.hypot(span_px, 1)))
    fine = isqrt(count) if count > MAX_WARPS_AT_ONCE else 1
    coarse = ceil(count / fine)
    step = rate / np.sqrt((coarse * fine) ** 2 - 1)
    moments = fine * step * _around_0(coarse), step * _around_0(fine)
    shrink = np.prod([np.exp(-moment).mean() for moment in moments]).real
    return shrink * np.exp(moments[0]), np.exp(moments[1])


def _around_0(count: int) -> np.ndarray:
    """``count`` numbers 1 apart with mean 0."""
    return np.arange(count) - (count - 1) / 2


def _centre(blur: Blur, shape: tuple[int, int]) -> complex:
    """Column + i row of the fixed point, in px; the first pixel's centre is 0."""
    return blur.centre_x * shape[1] - 0.5 + 1j * (blur.centre_y * shape[0] - 0.5)


def _farthest_px(blur: Blur, shape: tuple[int, int]) -> float:
    """Distance of the pixel that is farthest from the fixed point."""
    columns, rows = np.array([[0], [shape[1] - 1]]), np.array([0, shape[0] - 1])
    return float(np.abs(columns + 1j * rows - _centre(blur, shape)).max())


def _blur_tilted(image: np.ndarray, blur: Blur, convolve: Convolution, window: Window) -> np.ndarray:
    """Blend a few blurred copies such that the variance of the kernel at each pixel is right.

    The variance of a mix of kernels is the mix of their variances.
    """
    places = np.ascontiguousarray(_tilt_places(blur, image.shape[:2])[window])
    blended = [np.zeros(places.shape, np.float32) for _ in range(image.shape[2])]
    for number, kernel in enumerate(_tilt_kernels(blur)):
        share = np.maximum(0, 1 - np.abs(places - number)).astype(np.float32)
        for total, plane in zip(blended, cv2.split(convolve(image, kernel)), strict=True):
            cv2.accumulateProduct(plane, share, total)
    return _as_image(blended, image.shape[2])


def least_amount(blur: Blur) -> float:
    """The least blur amount at any pixel, in px: 0 at the centre of a rotation or zoom."""
    return 0.0 if blur.kind in RATES else _tilt_kernel(blur, 1 - blur.tilt).sigma_px


def _tilt_kernels(blur: Blur) -> list[Kernel]:
    """The kernels of the amounts that are blended, from the least to the largest; one if nothing is tilted."""
    return [_tilt_kernel(blur, scale) for scale in _tilt_scales(blur)]


def _tilt_kernel(blur: Blur, scale: float) -> Kernel:
    """The kernel of ``scale`` times the drawn amount."""
    return make_kernel(replace(blur, sigma_px=blur.sigma_px * scale, radius_px=blur.radius_px * scale))


def _tilt_scales(blur: Blur) -> np.ndarray:
    """Shares of the drawn amount at which there is a kernel, their roots equally spaced: (k,) float64.

    Blends between larger amounts may be coarser, but not in proportion: this came closer to a plane of many kernels
    than equal steps and than equal ratios.
    """
    if not blur.tilt:
        return np.ones(1)
    count = min(MAX_TILT_KERNELS, ceil(2 + 4 * blur.tilt))
    return np.linspace(np.sqrt(1 - blur.tilt), np.sqrt(1 + blur.tilt), count) ** 2


def _tilt_places(blur: Blur, shape: tuple[int, int]) -> np.ndarray:
    """Which kernels each pixel lies between: (H, W) float64, 1.25 is three parts kernel 1 and one part kernel 2.

    The amount grows linearly across the image, from 1 - tilt to 1 + tilt at the outermost pixels; its square, to which
    the variance is proportional, is what places a pixel between two kernels.
    """
    rows, columns = (np.arange(side) - (side - 1) / 2 for side in shape)
    angle = np.deg2rad(blur.tilt_angle_deg)
    depth = np.cos(angle) * columns - np.sin(angle) * rows[:, None]
    scale = 1 + blur.tilt * depth / max(np.abs(depth).max(), 1e-9)
    scales = _tilt_scales(blur)
    return np.interp(scale**2, scales**2, np.arange(len(scales)))
