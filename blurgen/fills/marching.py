"""Filling outwards from the known pixels, one px of distance at a time: what Telea's and the Navier-Stokes fill share.

A pixel is the weighted mean of its usable neighbours, those that are known or nearer to the border. Pixels whose
distances (5x5 chamfer) round up to the same px are filled together; the papers' fast marching takes them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import cv2
import numpy as np

from blurgen.fills.band import reached_band, reached_window, wiped


@dataclass(frozen=True)
class Neighbourhood:
    """The disc of a radius without its centre; at least the eight pixels around it, since four may all lie as deep.

    Attributes
    ----------
    steps : ndarray of shape (2, k), int64
        Rows and columns from a pixel to its neighbours.
    towards : ndarray of shape (2, k), float32
        Unit vectors (rows, columns) from the neighbours to the pixel.
    squared : ndarray of shape (k,), float32
        Squared distances in px.
    """

    steps: np.ndarray
    towards: np.ndarray
    squared: np.ndarray


@dataclass(frozen=True)
class Frame:
    """A window of the image as flat arrays of n places, with an unusable border around it.

    Attributes
    ----------
    values : ndarray of shape (n, C + 1), float32 or float64
        The last channel is 1 where a pixel is usable; the others are 0 where it is 0, so a weighted sum of all
        neighbours passes over those that are not.
    distance : ndarray of shape (n,), float32
        Signed distance in px from the nearest known pixel, not above 0 on the known side.
    stride : int
        Places from a pixel to the one below it.
    """

    values: np.ndarray
    distance: np.ndarray
    stride: int


Weigh = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(pixels (m,), neighbours (m, k)), flat places, to weights (m, k), float32."""


def fill_by_marching(
    image: np.ndarray,
    blur_mask: np.ndarray,
    reach_px: int,
    radius_px: int,
    weigher: Callable[[Frame, Neighbourhood], Weigh],
) -> np.ndarray:
    """``fill_sharp_region`` with the weights of ``weigher``, which is called once; what it returns, once a layer."""
    margin = radius_px + 1
    # A corner of the kernel's square lies sqrt(2) times its reach away, and nothing deeper matters.
    window = reached_window(blur_mask, int(np.ceil(np.sqrt(2) * reach_px)), margin + 1)
    known = blur_mask[window]
    filled = wiped(image, blur_mask)
    distance = _signed_distance(known)
    frame = _frame(filled[window], known, distance, margin)
    band = np.flatnonzero(_causal_band(reached_band(known, reach_px), distance, reach_px, radius_px))
    width = known.shape[1]
    pixels = band + band // width * (frame.stride - width) + margin * (frame.stride + 1)
    _march(frame, pixels, radius_px, weigher)
    _put(filled[window], band, frame.values.take(pixels, axis=0)[:, :-1])
    return filled


def _put(image: np.ndarray, places: np.ndarray, values: np.ndarray) -> None:
    """Write ``values`` (m, C) to flat ``places`` of the image (H, W, C), rounded if it holds whole numbers."""
    if image.dtype.kind == "u":
        values = np.rint(values)
    rows, columns = np.divmod(places, image.shape[1])
    for channel in range(image.shape[2]):  # far faster than all channels of a pixel at once
        image[rows, columns, channel] = values[:, channel]


def _march(frame: Frame, pixels: np.ndarray, radius: int, weigher: Callable[[Frame, Neighbourhood], Weigh]) -> None:
    """Fill ``pixels`` of the frame, flat places."""
    neighbourhood = disc(radius)
    offsets = neighbourhood.steps[0] * frame.stride + neighbourhood.steps[1]
    weigh = weigher(frame, neighbourhood)
    for layer in _layers(frame.distance, pixels):
        neighbours = layer[:, None] + offsets
        frame.values[layer] = _weighted_mean(frame.values, neighbours, weigh(layer, neighbours))


def _layers(distance: np.ndarray, pixels: np.ndarray) -> Iterator[np.ndarray]:
    """``pixels`` in groups of rising distance, rounded up to whole px."""
    layers = np.ceil(distance.take(pixels)).astype(np.uint16)
    pixels = pixels[np.argsort(layers, kind="stable")]
    return (pixels[first:last] for first, last in pairwise(np.cumsum(np.bincount(layers))))


def _weighted_mean(values: np.ndarray, neighbours: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean of the usable neighbours' values: (m, C + 1)."""
    total = (weights[:, None] @ values.take(neighbours, axis=0))[:, 0]
    # A pixel at the rim of the causal band may have no usable neighbour; nothing that is kept hangs on it.
    total /= np.maximum(total[:, -1:], np.float32(1e-12))
    return total


@lru_cache
def disc(radius: int) -> Neighbourhood:
    """The neighbourhood of ``radius`` px."""
    steps = np.stack(np.mgrid[-radius : radius + 1, -radius : radius + 1]).reshape(2, -1)
    squared = (steps**2).sum(axis=0)
    chosen = (squared <= max(radius**2, 2)) & (squared > 0)
    steps, squared = steps[:, chosen], squared[chosen].astype(np.float32)
    return Neighbourhood(steps, (-steps / np.sqrt(squared)).astype(np.float32), squared)


def _frame(image: np.ndarray, known: np.ndarray, distance: np.ndarray, margin: int) -> Frame:
    """A wiped image (H, W, C) and its signed distance, with ``margin`` px around them."""
    height, width, channels = image.shape
    precise = np.float32 if image.dtype == np.uint8 else np.float64
    values = np.zeros((height + 2 * margin, width + 2 * margin, channels + 1), precise)
    values[margin:-margin, margin:-margin] = cv2.merge([image, known.astype(image.dtype)])
    distance = np.pad(distance, margin, mode="edge")
    return Frame(values.reshape(-1, channels + 1), distance.ravel(), distance.shape[1])


def _signed_distance(known: np.ndarray) -> np.ndarray:
    """Distance in px from the nearest known pixel, within 2 % of Euclidean and never below the chessboard distance.

    On the known side 0 at the border and falling inwards.
    """
    inner, outer = (cv2.distanceTransform(side.view(np.uint8), cv2.DIST_L2, 5) for side in (~known, known))
    return inner - np.maximum(outer - 1, 0)


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
    """How far sideways a pixel at ``depth`` can hang on others before the chain is within ``reach_px``.

    A px more than the radius at each step, since the gradient at a neighbour hangs on the pixels beside it.
    """
    return (radius + 1) * max(0, int(np.ceil(depth)) - reach_px)
