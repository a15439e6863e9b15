"""A sheet of photos in the order of how blurred they are."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from blurgen.report.contact_sheet import GAP_PX, INK, LINE_PX, PAPER, TEXT_PX, resized, scaled, shown

THUMB_PX = 160
COLUMNS = 8
NAME_CHARACTERS = 17


def degree_sheet(rows: Iterable[tuple[str, np.ndarray, float]], title: str) -> Image.Image:
    """Draw photos, (name, (H, W, C) array, degree 0 to 1) each, in their order, row by row, under ``title``."""
    cells = [(_caption(name, degree), _thumb(photo)) for name, photo, degree in rows]
    width, height = THUMB_PX + GAP_PX, THUMB_PX + LINE_PX + GAP_PX
    columns, head = max(3, min(COLUMNS, len(cells))), 2 * LINE_PX
    sheet = Image.new("RGB", (columns * width + GAP_PX, -(-len(cells) // columns) * height + head), PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP_PX, GAP_PX), title, INK, ImageFont.load_default(TEXT_PX + 2))
    for place, (caption, thumb) in enumerate(cells):
        left, top = GAP_PX + place % columns * width, head + place // columns * height
        sheet.paste(thumb, (left + (THUMB_PX - thumb.width) // 2, top + THUMB_PX - thumb.height))
        draw.text((left, top + THUMB_PX), caption, INK, ImageFont.load_default(TEXT_PX))
    return sheet


def _caption(name: str, degree: float) -> str:
    short = name if len(name) <= NAME_CHARACTERS else "..." + name[3 - NAME_CHARACTERS :]
    return f"{degree:.2f} {short}"


def _thumb(photo: np.ndarray) -> Image.Image:
    return Image.fromarray(resized(shown(photo), scaled(photo.shape[:2], THUMB_PX / max(photo.shape[:2]))))
