"""A sheet of kernels: for each kind of blur a row of draws, with their parameters, reach and amount."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from blurgen.kernels import DEFOCUS_TYPE, MOTION, MOTION_TYPE, Blur, BlurParams, sample_blur
from blurgen.report.blur_picture import FIELD_PX, POINT_GAP_PX, blur_picture
from blurgen.report.contact_sheet import GAP_PX, INK, LINE_PX, PAPER, TEXT_PX
from blurgen.varying import amount_map, reach_px

COLUMNS = 6
TILE_PX = 208
HEAD_PX = 3 * LINE_PX
CELL_PX = TILE_PX + 2 * LINE_PX + 2 * GAP_PX
TILTED = "tilted"

ABOUT = {
    "gaussian": "gaussian: standard deviation",
    "disk": "disk: radius",
    "polygon": "polygon aperture: blades, radius of the corners, rotation",
    TILTED: "tilted plane: a defocus whose amount goes from 1 - tilt to 1 + tilt times its own, towards an angle",
    "linear-motion": "linear motion: length, rotation",
    "nonlinear-motion": "non-linear motion: length, rotation, elastic field (standard deviation / smoothness)",
    "camera-shake": "camera shake: length of the path",
    "rotation": "rotation: angle, centre (share of the height, of the width)",
    "zoom": "zoom: growth, centre (share of the height, of the width)",
}
LEGEND = (
    "each kernel on its own scale, from one reach to the other; blur that varies by what it makes of points "
    f"{POINT_GAP_PX} px apart in {FIELD_PX} x {FIELD_PX} px; amount: standard deviation along an axis"
)
NUMBERS = {
    "gaussian": "{blur.sigma_px:.1f} px",
    "disk": "{blur.radius_px:.1f} px",
    "polygon": "{blur.blades} blades, {blur.radius_px:.1f} px, {blur.angle_deg:.0f} deg",
    "linear-motion": "{blur.length_px:.1f} px, {blur.angle_deg:.0f} deg",
    "nonlinear-motion": "{blur.length_px:.1f} px, {blur.angle_deg:.0f} deg, "
    "{blur.elastic_px:.1f} / {blur.elastic_smoothness_px:.1f} px",
    "camera-shake": "{blur.length_px:.1f} px",
    "rotation": "{blur.turn_deg:.1f} deg, centre ({blur.centre_y:.2f}, {blur.centre_x:.2f})",
    "zoom": "{blur.zoom:.1%}, centre ({blur.centre_y:.2f}, {blur.centre_x:.2f})",
}


def kernel_draws(params: BlurParams, seed: int) -> dict[str, list[Blur]]:
    """Six draws of each kind and of a tilted defocus, with the ranges of ``params``, whatever kinds it mixes."""
    draws = {}
    for place, row in enumerate(ABOUT):
        rng = np.random.default_rng([seed, place])
        alone, other_than = _only(params, row)
        draws[row] = [sample_blur(alone, rng, other_than) for _ in range(COLUMNS)]
    return draws


def _only(params: BlurParams, row: str) -> tuple[BlurParams, int]:
    """Parameters that give nothing but this row, and the type that the row is not of."""
    if row in MOTION:
        return params.model_copy(update={"motion_kinds": {row: 1.0}}), DEFOCUS_TYPE
    if row == TILTED:
        return params.model_copy(update={"p_tilt": 1.0}), MOTION_TYPE
    return params.model_copy(update={"defocus_kinds": {row: 1.0}, "p_tilt": 0.0}), MOTION_TYPE


def kernel_rows(draws: dict[str, list[Blur]]) -> list[dict]:
    """The numbers of each tile in their order: row, those of the blur, reach, least and largest amount, in px."""
    return [{"row": row, **blur.to_dict(), **_measures(blur)} for row, blurs in draws.items() for blur in blurs]


def captions(blur: Blur) -> tuple[str, str]:
    """Two lines below a tile: its parameters; its amount and reach."""
    numbers = NUMBERS[blur.kind].format(blur=blur)
    if blur.tilt:
        numbers = f"{blur.kind} {numbers.split(', ')[0]}, tilt {blur.tilt:.0%}, {blur.tilt_angle_deg:.0f} deg"
    reach, *amounts = _measures(blur).values()
    span = dict.fromkeys(f"{amount:.1f}" for amount in amounts)
    return numbers, f"amount {' to '.join(span)} px, reach {reach} px"


def _measures(blur: Blur) -> dict[str, float]:
    """Reach and amount in px, in an image of FIELD_PX."""
    amounts = amount_map(blur, (FIELD_PX, FIELD_PX))
    return {
        "reach_px": reach_px(blur, amounts.shape),
        "least_amount_px": float(amounts.min()),
        "largest_amount_px": float(amounts.max()),
    }


def kernel_sheet(draws: dict[str, list[Blur]], title: str) -> Image.Image:
    """Draw a row of tiles for each kind, with a line about the kind above and two about the tile below."""
    cell_width, row_height = TILE_PX + GAP_PX, LINE_PX + GAP_PX + CELL_PX
    sheet = Image.new("RGB", (COLUMNS * cell_width + GAP_PX, HEAD_PX + len(draws) * row_height), PAPER)
    draw = ImageDraw.Draw(sheet)
    _write(draw, (GAP_PX, GAP_PX), title, TEXT_PX + 2)
    _write(draw, (GAP_PX, GAP_PX + LINE_PX + 3), LEGEND)
    for number, (row, blurs) in enumerate(draws.items()):
        top = HEAD_PX + number * row_height + GAP_PX
        _write(draw, (GAP_PX, top), ABOUT[row], TEXT_PX + 1)
        for column, blur in enumerate(blurs):
            left, below = GAP_PX + column * cell_width, top + LINE_PX + GAP_PX
            sheet.paste(Image.fromarray(blur_picture(blur, TILE_PX)), (left, below))
            for place, text in enumerate(captions(blur)):
                _write(draw, (left, below + TILE_PX + 2 + place * LINE_PX), text)
    return sheet


def _write(draw: ImageDraw.ImageDraw, corner: tuple[int, int], text: str, size: int = TEXT_PX) -> None:
    draw.text(corner, text, INK, ImageFont.load_default(size))
