"""A contact sheet: each pair as image, mask outline, kernel and a line of provenance."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from blurgen.kernels import NO_BLUR, blur_from
from blurgen.masks import SHAPES, WHOLE
from blurgen.report.blur_picture import blur_picture
from blurgen.synthesis import Pair

THUMB_PX = 240
KERNEL_PX = 64
TEXT_PX = 13
GAP_PX = 8
LINE_PX = TEXT_PX + 5
OUTLINE = (255, 230, 0)
PAPER, INK = (250, 250, 250), (30, 30, 30)


def contact_sheet(pairs: list[Pair], title: str, columns: int = 4) -> Image.Image:
    """Draw ``pairs`` in a grid. In the right half of a cell the blurred side is outlined and the sharp one dimmed."""
    columns = min(columns, len(pairs))
    cell_width, cell_height = 2 * THUMB_PX + 2 * GAP_PX, THUMB_PX + 2 * LINE_PX + GAP_PX
    rows = -(-len(pairs) // columns)
    head = 2 * LINE_PX
    sheet = Image.new("RGB", (columns * cell_width + GAP_PX, rows * cell_height + head + GAP_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    legend = (
        "left: the image; right: sharp side dimmed, outline yellow, can't tell grey, kernel (enlarged) in the corner"
    )
    draw.text((GAP_PX, GAP_PX), f"{title}  -  {legend}", INK, ImageFont.load_default(TEXT_PX + 2))
    for place, pair in enumerate(pairs):
        corner = (GAP_PX + place % columns * cell_width, head + place // columns * cell_height)
        _draw_pair(sheet, draw, pair, corner)
    return sheet


def png_bytes(sheet: Image.Image) -> bytes:
    """The sheet as a PNG file."""
    buffer = io.BytesIO()
    mark = PngInfo()
    mark.add_text("Software", "blurgen contact sheet")  # decode knows it: a sheet is no photo
    sheet.save(buffer, "PNG", pnginfo=mark)
    return buffer.getvalue()


def provenance_lines(provenance: dict) -> tuple[str, str]:
    """The story of a pair in two short lines."""
    first, second = blur_from(provenance), blur_from(provenance, "second_")
    blurs = f"{first} + {second}" if second != NO_BLUR else str(first)
    return (
        f"#{provenance['pair']}  {shortened(str(provenance.get('photo', '')))}  {blurs}",
        f"{region_line(provenance)}, {provenance['blurred_share']:.0%} blurred, fill {provenance['fill']}",
    )


def region_line(provenance: dict) -> str:
    """Which region was blurred, in a few words."""
    kind = provenance["mask_kind"]
    if kind in WHOLE:
        return kind
    what = f"{kind} {provenance['region']} (score {provenance['score']:.2f})" if kind not in SHAPES else kind
    near = ", near" if provenance["near"] else ""
    return f"{'outside' if provenance['inverted'] else 'inside'} of {what}{near}"


def shortened(name: str) -> str:
    """The end of a long name: 40 characters at most."""
    return name if len(name) <= 40 else "..." + name[-37:]


def scaled(shape: tuple[int, int], ratio: float) -> tuple[int, int]:
    """Height and width times ``ratio``, at least 1 px each."""
    height, width = (max(1, round(side * ratio)) for side in shape)
    return height, width


def resized(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """``image`` (H, W, 3) uint8 at ``shape``: averages when it gets smaller, its own px when it gets larger."""
    smaller = shape[0] * shape[1] < image.shape[0] * image.shape[1]
    return cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_NEAREST)


def outlined(picture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Draw the rim of ``mask`` (h, w) bool, 1 px inside of it, into ``picture`` (h, w, 3) uint8, which is returned."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(picture, contours, -1, OUTLINE, 1)


def _draw_pair(sheet: Image.Image, draw: ImageDraw.ImageDraw, pair: Pair, corner: tuple[int, int]) -> None:
    left, top = corner
    sheet.paste(Image.fromarray(_thumb(shown(pair.image))), (left, top))
    sheet.paste(Image.fromarray(_pair_outlined(pair)), (left + THUMB_PX + 2, top))
    blurs = [blur_from(pair.provenance, prefix) for prefix in ("", "second_")]
    for place, blur in enumerate(blur for blur in blurs if blur != NO_BLUR):
        corner = (left + 2 * THUMB_PX + 2 - (place + 1) * (KERNEL_PX + 2), top + THUMB_PX - KERNEL_PX)
        sheet.paste(Image.fromarray(blur_picture(blur, KERNEL_PX, least_shown=25)), corner)
    font = ImageFont.load_default(TEXT_PX)
    for number, line in enumerate(provenance_lines(pair.provenance)):
        draw.text((left, top + THUMB_PX + 2 + number * LINE_PX), line, INK, font)


def _thumb(image: np.ndarray, around: tuple[int, int, int] = PAPER) -> np.ndarray:
    """Fit into a square of THUMB_PX, on the colour of the paper or another."""
    ratio = THUMB_PX / max(image.shape[:2])
    height, width = scaled(image.shape[:2], ratio)
    square = np.full((THUMB_PX, THUMB_PX, 3), around, np.uint8)
    small = resized(image, (height, width))
    top, left = (THUMB_PX - height) // 2, (THUMB_PX - width) // 2
    square[top : top + height, left : left + width] = small
    return square


def _pair_outlined(pair: Pair) -> np.ndarray:
    image = shown(pair.image)
    dimmed = np.where(pair.mask[..., None], image, image // 3 + 20)
    if "unknown" in pair.targets:
        dimmed = np.where(pair.targets["unknown"][..., None], np.uint8(128), dimmed)
    thumb = _thumb(dimmed)
    mask = _thumb(np.repeat(pair.mask[..., None] * np.uint8(255), 3, axis=2), (0, 0, 0))[..., 0]
    return outlined(thumb, mask > 127)


def shown(image: np.ndarray) -> np.ndarray:
    """Any image (H, W, C) as 8-bit RGB (H, W, 3): colours where there are three channels, else their mean as grey.

    Deeper images are stretched to their largest value.
    """
    values = image if image.shape[2] == 3 else image.mean(axis=2, keepdims=True, dtype=np.float32).repeat(3, axis=2)
    if image.dtype != np.uint8:  # whatever their range: 12 bits in 16, Kelvin, counts
        low = float(values.min()) if image.dtype == np.float32 else 0.0
        return ((values - low) * (255 / max(float(values.max()) - low, 1e-12))).astype(np.uint8)
    return values.astype(np.uint8)
