"""A contact sheet: each pair as image, mask outline, kernel and a line of provenance."""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from PIL.PngImagePlugin import PngInfo

from blurgen.kernels import Blur, make_kernel
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
    legend = "left: the image; right: sharp side dimmed, outline yellow, kernel (enlarged) in the corner"
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
    side = "outside" if provenance["inverted"] else "inside"
    region = f"{provenance['mask_kind']} {provenance['region']} (score {provenance['score']:.2f})"
    return (
        f"#{provenance['pair']}  {shortened(str(provenance.get('photo', '')))}  {blur_of(provenance)}",
        f"{side} of {region}, {provenance['blurred_share']:.0%} blurred, fill {provenance['fill']}",
    )


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
    sheet.paste(Image.fromarray(_thumb(pair.image)), (left, top))
    sheet.paste(Image.fromarray(_pair_outlined(pair)), (left + THUMB_PX + 2, top))
    kernel = Image.fromarray(_kernel_picture(blur_of(pair.provenance)))
    sheet.paste(kernel, (left + 2 * THUMB_PX + 2 - KERNEL_PX, top + THUMB_PX - KERNEL_PX))
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
    dimmed = np.where(pair.mask[..., None], pair.image, pair.image // 3 + 20)
    thumb = _thumb(dimmed)
    mask = _thumb(np.repeat(pair.mask[..., None] * np.uint8(255), 3, axis=2), (0, 0, 0))[..., 0]
    return outlined(thumb, mask > 127)


def blur_of(provenance: dict) -> Blur:
    """The blur that a row of provenance describes."""
    names = ("sigma_px", "length_px", "angle_deg", "elastic_px", "elastic_smoothness_px", "elastic_seed")
    return Blur(provenance["blur_kind"], **{name: provenance[name] for name in names})


def _kernel_picture(blur: Blur) -> np.ndarray:
    """The kernel as a picture of KERNEL_PX, white on black, one of its px at least one and a half here."""
    weights = make_kernel(blur).weights
    scale = max(1, KERNEL_PX // max(len(weights), 25))
    picture = cv2.resize(weights / weights.max(), None, fx=scale, fy=scale, interpolation=cv2.INTER_NEAREST)
    canvas = np.zeros((KERNEL_PX, KERNEL_PX), np.float32)
    picture = picture[-KERNEL_PX:, -KERNEL_PX:] if len(picture) > KERNEL_PX else picture
    start = (KERNEL_PX - len(picture)) // 2
    canvas[start : start + len(picture), start : start + len(picture)] = picture
    return np.repeat((255 * np.sqrt(canvas)).astype(np.uint8)[..., None], 3, axis=2)
