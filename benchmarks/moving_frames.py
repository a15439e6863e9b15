"""Photos blurred by motion as a camera does it: many sharp frames, averaged as light. No kernel is involved.

Frames are made of photos: an object moves in front of a still background; or the camera follows it, so the background
moves; or the camera moves past a scene whose distances are known (a stereo pair's), each of which moves by its own
disparity. None of this is what a recipe does.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from blurgen.targets import BLURRED, SHARP, UNKNOWN
from blurgen.training.proposals.bsds import read_examples

FRAMES = 48
PHOTOS = 60
LENGTH_PX = (8.0, 24.0)
AREA = (0.05, 0.5)
STEREO_FOCUS = (0.1, 0.6, 0.9)
"""Quantiles of the disparity that the camera follows."""


def moving_pairs(bsds: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images (H, W, 3) uint8 and masks (H, W) uint8, 128 where one can't tell: of BSDS500's val photos, and stereo."""
    for number, example in enumerate(read_examples(bsds, "val")[:PHOTOS]):
        photo, segments = example.photo, example.segments[0]
        rng = np.random.default_rng(number)
        areas = np.bincount(segments.ravel()) / segments.size
        fits = np.flatnonzero((areas >= AREA[0]) & (areas <= AREA[1]))
        if len(fits):
            path_px = draw_path(rng)
            yield moved(photo, segments == rng.choice(fits), path_px, follows=number % 2 == 1)
    yield from stereo_pairs()


def draw_path(rng: np.random.Generator) -> np.ndarray:
    """Where the moving thing is in each frame, px from its mean place: (FRAMES, 2), an arc of a drawn length."""
    heading = rng.uniform(0, 2 * np.pi) + np.linspace(0, 1, FRAMES) * rng.uniform(-1.5, 1.5)
    steps = np.stack([np.cos(heading), np.sin(heading)], axis=1) * rng.uniform(*LENGTH_PX) / FRAMES
    places = np.cumsum(steps, axis=0)
    return places - places.mean(axis=0)


def moved(photo: np.ndarray, thing: np.ndarray, path_px: np.ndarray, follows: bool) -> tuple[np.ndarray, np.ndarray]:
    """The mean of frames in which ``thing`` (H, W) bool moves, or, if the camera follows it, all but it."""
    light = to_light(photo)
    hole = cv2.dilate(thing.astype(np.uint8), np.ones((5, 5)))
    behind = to_light(cv2.inpaint(photo, hole, 3, cv2.INPAINT_TELEA))
    cover = cv2.GaussianBlur(thing.astype(np.float32), (0, 0), 0.6)[..., None]
    total, covered = np.zeros_like(light), np.zeros_like(cover)
    for x, y in path_px:
        if follows:
            over, under, alpha = light, shifted(behind, x, y), cover
        else:
            over, under, alpha = shifted(light, x, y), behind, shifted(cover, x, y)[..., None]
        total += alpha * over + (1 - alpha) * under
        covered += alpha
    covered = covered[..., 0] / len(path_px)
    mask = np.full(thing.shape, UNKNOWN, np.uint8)
    mask[covered < 0.02], mask[covered > 0.98] = (BLURRED, SHARP) if follows else (SHARP, BLURRED)
    mask[(hole > 0) & (covered <= 0.3)] = UNKNOWN  # what was behind it is made up
    if not follows:
        mask[covered > 0.3] = BLURRED
    return to_photo(total / len(path_px)), mask


def stereo_pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """scikit-image's motorcycle, from a camera that moves and follows one distance: the left view, by its disparity."""
    from skimage import data

    left, _, disparity = data.stereo_motorcycle()
    known = np.isfinite(disparity)
    disparity = cv2.inpaint(
        np.where(known, disparity, 0).astype(np.float32), (~known).astype(np.uint8), 5, cv2.INPAINT_TELEA
    )
    light, rows = to_light(left), np.arange(left.shape[0], dtype=np.float32)[:, None].repeat(left.shape[1], 1)
    columns = np.arange(left.shape[1], dtype=np.float32)[None].repeat(left.shape[0], 0)
    for quantile in STEREO_FOCUS:
        speed = disparity - np.quantile(disparity[known], quantile)
        speed *= 12 / np.abs(speed).max()  # px during the exposure
        # Backward maps with the disparity of the reference view: right but at occlusions, which are left out.
        frames = (
            cv2.remap(light, columns + at * speed, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
            for at in np.linspace(-0.5, 0.5, FRAMES, dtype=np.float32)
        )
        image = to_photo(sum(frames) / FRAMES)
        amount = np.abs(speed)
        mask = np.full(amount.shape, UNKNOWN, np.uint8)
        mask[amount < 1], mask[amount > 4] = SHARP, BLURRED
        jumps = cv2.morphologyEx(speed, cv2.MORPH_GRADIENT, np.ones((21, 21))) > 4
        mask[jumps | ~known] = UNKNOWN
        yield image, mask


def shifted(image: np.ndarray, x: float, y: float) -> np.ndarray:
    """An image moved by a part of a pixel or more, cubic."""
    matrix = np.float32([[1, 0, x], [0, 1, y]])
    flags, border = cv2.INTER_CUBIC, cv2.BORDER_REFLECT_101
    return cv2.warpAffine(image, matrix, image.shape[1::-1], flags=flags, borderMode=border)


def to_light(photo: np.ndarray) -> np.ndarray:
    """sRGB codes (H, W, 3) uint8 -> light, float32 in [0, 1] (IEC 61966-2-1)."""
    code = photo.astype(np.float32) / 255
    return np.where(code <= 0.04045, code / 12.92, ((code + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_photo(light: np.ndarray) -> np.ndarray:
    light = np.clip(light, 0, 1)
    code = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.round(255 * code).astype(np.uint8)
