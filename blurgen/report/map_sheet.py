"""Maps for people: a photo with its blurred area tinted, and a sheet of photo, true mask and predicted map."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from blurgen.report.contact_sheet import (
    GAP_PX,
    INK,
    LINE_PX,
    PAPER,
    TEXT_PX,
    THUMB_PX,
    outlined,
    resized,
    scaled,
    shortened,
    shown,
)
from blurgen.targets import UNKNOWN

OVERLAY_PX = 1600
"""Longest side of an overlay: a rim of 1 px would be lost in a larger one."""

TINT = np.array((255, 60, 0), np.float32)
OPACITY = 0.5


class Row(NamedTuple):
    """One photo of a sheet; ``mask`` is None where nobody knows the truth."""

    name: str
    photo: np.ndarray
    """(H, W, C) uint8, uint16 or float32."""
    mask: np.ndarray | None
    """(H, W) uint8: 255 blurred, 0 sharp, 128 unknown."""
    blur_map: np.ndarray
    """(H, W) float32: 0 sharp to 1 blurred."""
    auc: float | None = None


def overlay(photo: np.ndarray, blur_map: np.ndarray) -> np.ndarray:
    """The photo (H, W, C), tinted red as far as the map (H, W) says blurred, outlined at .5.

    (h, w, 3) uint8 of the same shape, or smaller: its longer side has 1600 px at most.
    """
    shape = scaled(photo.shape[:2], min(1, OVERLAY_PX / max(photo.shape[:2])))
    picture = resized(shown(photo), shape)
    share = cv2.resize(blur_map, shape[::-1], interpolation=cv2.INTER_AREA)
    opacity = OPACITY * share[..., None]
    tinted = np.rint(picture * (1 - opacity) + TINT * opacity).astype(np.uint8)
    return outlined(tinted, share >= 0.5)


def map_sheet(rows: Iterable[Row], title: str) -> Image.Image:
    """A line for each photo: photo, true mask (unknown pixels grey), map (white blurred), photo with the map on it."""
    rows = list(rows)
    height = THUMB_PX + LINE_PX + GAP_PX
    head = 2 * LINE_PX
    sheet = Image.new("RGB", (4 * (THUMB_PX + GAP_PX) + GAP_PX, len(rows) * height + head + GAP_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    legend = "photo; true mask: white blurred, grey unknown; map; map on the photo, outlined at .5"
    draw.text((GAP_PX, 2), title, INK, ImageFont.load_default(TEXT_PX + 2))
    draw.text((GAP_PX, 2 + LINE_PX), legend, INK, ImageFont.load_default(TEXT_PX))
    for place, row in enumerate(rows):
        top = head + GAP_PX + place * height
        for column, picture in enumerate(_pictures(row)):
            if picture is not None:
                sheet.paste(_thumb(picture), (GAP_PX + column * (THUMB_PX + GAP_PX), top))
        draw.text((GAP_PX, top + THUMB_PX), _caption(row), INK, ImageFont.load_default(TEXT_PX))
    return sheet


def _pictures(row: Row) -> tuple[np.ndarray | None, ...]:
    levels = np.rint(255 * row.blur_map).astype(np.uint8)
    grey = [plane if plane is None else plane[..., None].repeat(3, axis=2) for plane in (row.mask, levels)]
    return shown(row.photo), *grey, overlay(row.photo, row.blur_map)


def _caption(row: Row) -> str:
    known = row.mask is not None and (row.mask != UNKNOWN).any()
    true = f", true {(row.mask > UNKNOWN).sum() / (row.mask != UNKNOWN).sum():.0%}" if known else ""
    auc = f", AUC {row.auc:.3f}" if row.auc is not None else ""
    return f"{shortened(row.name)}: {row.blur_map.mean():.0%} blurred{true}{auc}"


def _thumb(picture: np.ndarray) -> Image.Image:
    """Fit into THUMB_PX."""
    return Image.fromarray(resized(picture, scaled(picture.shape[:2], THUMB_PX / max(picture.shape[:2]))))
