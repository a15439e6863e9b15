"""What stands under the sharp region before the blur, so that nothing of it leaks into the blurred one.

Every fill sees the blurred side of the photo only: the sharp region is wiped first. Only the band that the kernel can
reach is filled; both fills are causal (a pixel depends on pixels nearer to the border alone), so the band is to the bit
what a fill of the whole region would give.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
from scipy import sparse

from blurgen.params import Params, param

FillMethod = Literal["telea", "nearest", "none"]


class FillParams(Params):
    """How the sharp region is filled before the blur."""

    method: FillMethod = param("nearest", "", "nearest (copy the nearest pixel), telea (2004, as in the paper), none")
    radius_px: int = param(
        3, "px", "telea: radius of the neighbourhood that a filled pixel is drawn from", low=1, high=8
    )


def fill_sharp_region(image: np.ndarray, blur_mask: np.ndarray, reach_px: int, params: FillParams) -> np.ndarray:
    """Replace the sharp region as far as a kernel of half-width ``reach_px`` can carry it into the blurred one.

    Parameters
    ----------
    image : ndarray of shape (H, W, C), uint8
    blur_mask : ndarray of shape (H, W), bool
        True where the pixel will be blurred. Both classes must be there.
    reach_px : int
        Half the kernel's width in px: the band is the sharp pixels within this chessboard distance of a blurred one.

    Returns
    -------
    ndarray of shape (H, W, C), uint8
        The blurred side as it was, the band filled, what lies deeper zero but for the few pixels that the band's own
        values hang on ("none": the image itself).
    """
    return FILLS[params.method](image, blur_mask, reach_px, params)


def _fill_none(image: np.ndarray, blur_mask: np.ndarray, reach_px: int, params: FillParams) -> np.ndarray:
    """The naive way, which leaves halos; for comparison."""
    return image


def _fill_nearest(image: np.ndarray, blur_mask: np.ndarray, reach_px: int, params: FillParams) -> np.ndarray:
    """Copy the nearest blurred-side pixel (Euclidean)."""
    sharp = (~blur_mask).view(np.uint8)
    _, labels = cv2.distanceTransformWithLabels(sharp, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    known = np.flatnonzero(blur_mask)
    source = np.zeros(len(known) + 1, np.int64)
    source[labels.ravel()[known]] = known
    filled = _wiped(image, blur_mask)
    band = np.flatnonzero(_band(sharp, reach_px))
    pixels = filled.reshape(-1, image.shape[2])
    pixels[band] = pixels.take(source[labels.ravel()[band]], axis=0)
    return filled


def _fill_telea(image: np.ndarray, blur_mask: np.ndarray, reach_px: int, params: FillParams) -> np.ndarray:
    """Telea 2004, "An image inpainting technique based on the fast marching method": weights of equations 2 and 3.

    Pixels are filled in the order of their distance to the border (5x5 chamfer distance; Telea: the fast-marching
    one), those whose distances round up to the same px together. As in OpenCV in effect, the extrapolation
    along the gradient is left out: it amplifies noise (benchmarks/fill_quality.py). Unlike in OpenCV, nothing is added
    in its place, so a constant stays that constant.
    """
    band = _band((~blur_mask).view(np.uint8), reach_px)
    window = _bounds(band, _chain_px(np.sqrt(2) * reach_px, reach_px, params.radius_px) + params.radius_px + 2)
    distance = _signed_distance(blur_mask[window])
    band = _causal_band(band[window], distance, reach_px, params.radius_px)
    filled = _wiped(image, blur_mask)
    filled[window] = _march(filled[window], distance, band, params.radius_px)
    return filled


def _causal_band(band: np.ndarray, distance: np.ndarray, reach_px: int, radius: int) -> np.ndarray:
    """``band`` and every pixel that its values hang on.

    What lies within a distance of ``reach_px`` of the border hangs on nothing outside of the band. Only corners
    of the kernel's square reach deeper; for them, pixels are added that a chain of neighbourhoods can lead through.
    """
    deep = band & (distance > reach_px)
    if not deep.any():
        return band
    deepest = distance[deep].max()
    side = 2 * _chain_px(deepest, reach_px, radius) + 1
    around = cv2.dilate(deep.view(np.uint8), np.ones((side, side), np.uint8)).view(bool)
    return band | (around & (distance > reach_px) & (distance <= np.ceil(deepest)))


def _chain_px(depth: float, reach_px: int, radius: int) -> int:
    """How far sideways a pixel at ``depth`` can hang on others before the chain is within ``reach_px``."""
    return (radius + 1) * max(0, int(np.ceil(depth)) - reach_px)


def _march(image: np.ndarray, distance: np.ndarray, band: np.ndarray, radius: int) -> np.ndarray:
    """Fill ``band`` of a wiped image outwards from the known pixels (``distance`` <= 0), a px of distance at a time."""
    margin = radius + 1
    height, width, channels = image.shape
    stride = width + 2 * margin
    inner = np.s_[margin:-margin, margin:-margin]
    # A last channel is 1 where a pixel is usable; the others are 0 where it is 0, so a weighted sum passes over it.
    framed = np.zeros((height + 2 * margin, stride, channels + 1), np.float32)
    framed[inner][..., :-1] = image
    framed[inner][..., -1] = distance <= 0
    values = framed.reshape(-1, channels + 1)
    distance = np.pad(distance, margin, mode="edge").ravel()
    pixels = np.flatnonzero(np.pad(band, margin)).astype(np.int32)
    layers = np.ceil(distance.take(pixels)).astype(np.uint16)
    pixels = pixels[np.argsort(layers, kind="stable")]
    for first, last in pairwise(np.cumsum(np.bincount(layers))):
        layer = pixels[first:last]
        weights, neighbours = _telea_weights(distance, layer, radius, stride)
        values[layer] = _weighted_mean(values, neighbours, weights)
    filled = image.copy()
    rows, columns = np.divmod(pixels, stride)
    filled[rows - margin, columns - margin] = np.rint(values.take(pixels, axis=0)[:, :-1])
    return filled


def _telea_weights(distance: np.ndarray, pixels: np.ndarray, radius: int, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """Direction times distance times level-set weight of each neighbour: float32 and flat places, (n pixels, k)."""
    offsets, directions, squared = _neighbourhood(radius, stride)
    beside = distance.take(pixels + np.array([[stride], [1], [-stride], [-1]], np.int32))
    normal = beside[:2] - beside[2:]
    normal /= np.maximum(np.sqrt(normal[0] ** 2 + normal[1] ** 2), np.float32(1e-6))
    neighbours = pixels[:, None] + offsets
    weights = np.maximum(np.abs(normal.T @ directions), np.float32(1e-6))
    level = distance.take(neighbours)
    level -= distance.take(pixels)[:, None]
    weights /= squared * (1 + np.abs(level))
    return weights, neighbours


def _weighted_mean(values: np.ndarray, neighbours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of the usable neighbours' values: (n pixels, C + 1). A sparse product, as each pixel has few neighbours."""
    n, k = weights.shape
    starts = np.arange(0, n * k + 1, k, dtype=np.int32)
    total = sparse.csr_array((weights.ravel(), neighbours.ravel(), starts), shape=(n, len(values))) @ values
    # A pixel at the rim of the causal band may have no usable neighbour; nothing that is kept hangs on it.
    return total / np.maximum(total[:, -1:], np.float32(1e-12))


@lru_cache(maxsize=64)
def _neighbourhood(radius: int, stride: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of the disc without its centre: flat offsets, unit vectors to the pixel (2, k), squared distances."""
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    chosen = (rows**2 + columns**2 <= radius**2) & ((rows != 0) | (columns != 0))
    rows, columns = rows[chosen], columns[chosen]
    squared = (rows**2 + columns**2).astype(np.float32)
    directions = -np.stack([rows, columns]) / np.sqrt(squared)
    return (rows * stride + columns).astype(np.int32), directions.astype(np.float32), squared


def _signed_distance(known: np.ndarray) -> np.ndarray:
    """Distance in px from the nearest known pixel, within 2 % of Euclidean and never below the chessboard distance.

    On the known side 0 at the border and falling inwards.
    """
    inner, outer = (cv2.distanceTransform(side.view(np.uint8), cv2.DIST_L2, 5) for side in (~known, known))
    return np.where(known, np.minimum(1 - outer, 0), inner)


def _band(sharp: np.ndarray, reach_px: int) -> np.ndarray:
    """Sharp pixels within the chessboard distance ``reach_px`` of a blurred one: (H, W) bool."""
    side = 2 * reach_px + 1
    near = cv2.dilate(1 - sharp, np.ones((side, side), np.uint8), borderType=cv2.BORDER_CONSTANT, borderValue=0)
    return (near & sharp).view(bool)


def _bounds(mask: np.ndarray, margin: int) -> tuple[slice, slice]:
    """Bounding box of ``mask``, grown by ``margin`` and clipped to the image."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(rows[0] - margin, 0), rows[-1] + 1 + margin),
        slice(max(columns[0] - margin, 0), columns[-1] + 1 + margin),
    )


def _wiped(image: np.ndarray, blur_mask: np.ndarray) -> np.ndarray:
    """Copy of ``image`` with the sharp region set to zero."""
    return cv2.copyTo(image, blur_mask.view(np.uint8), np.zeros_like(image))


FILLS = {"telea": _fill_telea, "nearest": _fill_nearest, "none": _fill_none}
