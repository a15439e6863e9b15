"""A model's map of a photo, whole or in tiles without seams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

import cv2
import numpy as np
import torch

from blurgen.channels import check_photo
from blurgen.errors import ArgumentError, ModelError, TrainingError
from blurgen.evaluation.detectors import RED_GREEN_BLUE
from blurgen.evaluation.scaling import enlarged, smaller
from blurgen.maps import Finder
from blurgen.training.explaining import is_out_of_memory
from blurgen.training.inputs import to_inputs
from blurgen.training.models import BlurModel
from blurgen.training.spreading import edge_weights
from blurgen.training.spreading import spread as spread_out

TILE_PX = 1024
"""Side of a tile where none is asked for; larger for models that see far."""

VIEWS = {
    "none": ((1, 1),),
    "flip": ((1, 1), (1, -1)),
    "4": ((1, 1), (1, -1), (-1, 1), (-1, -1)),
    "scales": ((1, 1),),
}
"""Test-time augmentation -> steps along rows and columns of the views whose maps are averaged; -1 is a mirror."""
BEST = {"tta": "scales", "spread": True}
"""What finds most in real photos (docs/recipes.md): what the commands do unless told otherwise."""
LEAST_SIDE_PX = 256
"""tta "scales" halves a photo as long as its short side stays that long."""
SHARP_SIDE_PX = 1024
"""tta "scales": a photo should be sharp somewhere when its short side is that long; of larger sizes those that hardly
are do not count."""
LEAST_SHARP = 0.05
"""Share of a photo's gradients that must lie where it is found sharp, for a larger size to count."""


def model_finder(
    model: BlurModel,
    dtype: str = "uint8",
    *,
    tta: str = "none",
    tile_px: int | None = None,
    short_side: int | None = None,
    spread: bool = False,
) -> Finder:
    """``predict`` with these settings; ``dtype`` is that of the images that the model was trained on."""
    pixels = "rgb8" if (model.channels, dtype) == (3, "uint8") else "native"
    return Finder(partial(predict, model, tta=tta, tile_px=tile_px, short_side=short_side, spread=spread), pixels)


def predict(
    model: BlurModel,
    photo: np.ndarray,
    *,
    tta: str = "none",
    tile_px: int | None = None,
    short_side: int | None = None,
    spread: bool = False,
) -> np.ndarray:
    """Probability that a pixel is blurred, for every pixel of ``photo``; never stretched to the range from 0 to 1.

    Parameters
    ----------
    model : BlurModel
        In eval mode, on any device.
    photo : ndarray of shape (H, W, C), uint8, uint16 or float32
        A model of three channels sees a grey photo as red = green = blue; one of a single channel sees the luminance.
    tta : str
        "none"; "flip": mean of the probabilities of the photo and of its mirror image; "4": of all four mirror images;
        "scales": of the photo and of its halves, as long as their short side has ``LEAST_SIDE_PX``: strong blur shows
        best in small photos. What is sharp in a large photo is often so only at a smaller size: sizes above
        ``SHARP_SIDE_PX`` are left out, from the first on at which hardly anything is found sharp.
    tile_px : int, optional
        Side of the tiles that a larger photo is cut into; 1024, or more if the model sees far. Memory grows with it.
    short_side : int, optional
        Photos with a longer one are made smaller first (area), and the map larger again (bilinear, corners aligned).
    spread : bool
        Where there is no texture, what is found around it counts, as far as the next edge: see ``spreading.spread``.
        Sizes of "scales" are then weighted by their gradients, not averaged.

    Returns
    -------
    ndarray of shape (H, W), float32
        0 sharp to 1 blurred. With a model of bounded reach tiles change nothing; with others they are cross-faded.

    Raises
    ------
    ArgumentError
        An unknown tta; a size that is too small; something that is no photo.
    ModelError
        The photo has other channels than the model, or the model gives no numbers.
    TrainingError
        Out of memory; the message says what to lower.
    DependencyError
        ``spread``: OpenCV is there without its contributed modules.
    """
    if tta not in VIEWS:
        raise ArgumentError(f"tta is {tta!r:.40}: give one of {', '.join(VIEWS)}")
    if short_side is not None and short_side < 1:
        raise ArgumentError(f"short side is {short_side}: give 1 px or more")
    _check_photo(photo, model.channels)
    side = _tile_side(model, tile_px)
    small = smaller(photo, short_side)
    sizes = _halved(small) if tta == "scales" else [small]
    with _memory(f"with tiles of {side} px: lower --tile"):
        maps = _maps(model, sizes, VIEWS[tta], side)
    with _memory("for a map of this size: use --short-side"):
        total = spread_out(maps, sizes[-len(maps) :]) if spread else _mean(maps)
    return np.minimum(enlarged(total, photo.shape[:2]), 1)  # weights may add up to a rounding more


def _halved(photo: np.ndarray) -> list[np.ndarray]:
    """The photo, its half, the half of that, as long as the short side has ``LEAST_SIDE_PX``."""
    sizes = [photo]
    while (half := min(sizes[-1].shape[:2]) // 2) >= LEAST_SIDE_PX:
        sizes.append(smaller(sizes[-1], half))
    return sizes


@contextmanager
def _memory(what: str) -> Iterator[None]:
    """Turns memory that runs out into a TrainingError, which says ``what``."""
    try:
        yield
    except (RuntimeError, MemoryError, cv2.error) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(f"out of memory {what}") from None


def _maps(model: BlurModel, sizes: list[np.ndarray], views: tuple, side: int) -> list[np.ndarray]:
    """The maps of a photo's sizes, the smallest last; without those from the first on that is too large to be sharp."""
    maps = []
    for size in reversed(sizes):
        found = _mean_of_views(model, size, views, side)
        if not np.isfinite(found).all():
            raise ModelError("the model gives values that are no numbers; train it again")
        if maps and min(size.shape[:2]) > SHARP_SIDE_PX and _sharp_share(found, size) < LEAST_SHARP:
            break
        maps.insert(0, found)
    return maps


def _mean(maps: list[np.ndarray]) -> np.ndarray:
    """(H, W) float32: the mean of maps, the first of which is the largest."""
    return sum(enlarged(one, maps[0].shape) for one in maps) / len(maps)


def _sharp_share(found: np.ndarray, photo: np.ndarray) -> float:
    """Share of the photo's gradients that lie where it is found sharp."""
    weights = edge_weights(photo)
    return float(weights[found < 0.5].sum() / weights.sum())


def _mean_of_views(model: BlurModel, photo: np.ndarray, views: tuple, side: int) -> np.ndarray:
    """(H, W) float32: the mean map of mirror images."""
    total = np.zeros(photo.shape[:2], np.float32)
    for down, right in views:  # each view adds to the same view of the map
        _add(model, photo[::down, ::right], total[::down, ::right], side)
    total /= len(views)
    return total


def _check_photo(photo: np.ndarray, channels: int) -> None:
    check_photo(photo)
    if photo.shape[2] != channels and {photo.shape[2], channels} != {1, 3}:
        raise ModelError(
            f"a photo of {photo.shape[2]} channels: the model was trained on {channels}; train one on such"
        )


def _tile_side(model: BlurModel, asked: int | None) -> int:
    """Side of a tile, a multiple of what the model needs; ArgumentError if nothing of a tile could be kept."""
    multiple, reach = model.multiple_px, model.reach_px or 0
    side = (asked or max(TILE_PX, 4 * reach)) // multiple * multiple
    least = -(-2 * reach // multiple) * multiple + 2 * multiple
    if side < least:
        raise ArgumentError(f"--tile {asked}: this model needs tiles of {least} px at least")
    return side


def _add(model: BlurModel, photo: np.ndarray, total: np.ndarray, side: int) -> None:
    """Add the map of ``photo`` to ``total``, tile by tile."""
    rows, columns = (tiles(length, side, model.multiple_px, model.reach_px) for length in total.shape)
    for down, weight_down in rows:
        for right, weight_right in columns:
            found = _tile(model, photo[down, right])
            total[down, right] += found * weight_down[:, None] * weight_right


@torch.inference_mode()
def _tile(model: BlurModel, photo: np.ndarray) -> np.ndarray:
    """(h, w) float32 probabilities."""
    # A copy: numpy calls a mirrored array of a single pixel contiguous, and torch takes no negative strides.
    inputs = to_inputs(photo[None].copy(), next(model.parameters()).device)
    if inputs.shape[1] > model.channels:
        inputs = (inputs * inputs.new_tensor(RED_GREEN_BLUE)[:, None, None]).sum(1, keepdim=True)
    return torch.sigmoid(model(inputs.expand(-1, model.channels, -1, -1)))[0, 0].float().cpu().numpy()


def tiles(length: int, side: int, multiple: int, reach: int | None) -> list[tuple[slice, np.ndarray]]:
    """Overlapping tiles along an axis of ``length`` px, and the weight of each of their pixels (float32).

    They start at multiples of ``multiple``, and the weights of a pixel add up to 1. With a ``reach`` every pixel is
    taken from one tile, from whose inner edges it is that far away at least; without, tiles fade linearly into each
    other.
    """
    overlap = -(-side // 4) if reach is None else 2 * reach
    step = max((side - overlap) // multiple, 1) * multiple
    over = max(length - side, 0)
    starts = [*range(0, over, step), -(-over // multiple) * multiple]
    found, at, left = [], np.arange(length) + 0.5, np.ones(length)
    for start, before in zip(reversed(starts), [*reversed(starts[:-1]), None], strict=True):  # later ones lie on top
        rise = np.ones(length) if before is None else _rise(at, start, before + side, reach)
        window = slice(start, min(start + side, length))
        found.append((window, (left * rise)[window].astype(np.float32)))
        left *= 1 - rise
    return found[::-1]


def _rise(at: np.ndarray, start: int, stop: int, reach: int | None) -> np.ndarray:
    """From 0 to 1 between two ends: at once in the middle, or linearly where the reach has no bound."""
    if reach is None:
        return np.clip((at - start) / (stop - start), 0, 1)
    return (at >= (start + stop) / 2).astype(np.float64)
