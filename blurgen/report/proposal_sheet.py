"""A sheet of one photo: the photo, its hierarchy as an ultrametric contour map, and its first proposals."""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from blurgen.proposals import ProposalParams, Proposals
from blurgen.report.contact_sheet import GAP_PX, INK, LINE_PX, PAPER, TEXT_PX, outlined, resized, scaled, shortened
from blurgen.sources.photo import printable

SHOWN, COLUMNS = 24, 6
TILE_AREA_PX, TILE_SIDE_PX = 30_000, 320
CAPTION_PX = 172
LARGE_PX = 700
PALEST = 215
FRAME = (200, 200, 200)
NOTHING = "no proposal was found"


def proposal_sheet(
    photo: np.ndarray, proposals: Proposals, superpixels: np.ndarray, contours: np.ndarray, title: str
) -> Image.Image:
    """Draw a photo, its contour map and its first 24 proposals: in colour inside, grey and darker outside.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
        RGB. Not changed.
    proposals : Proposals
        Of that photo.
    superpixels : ndarray of shape (H, W), int32
        ``proposals.superpixels``, which takes a while for a large photo.
    contours : ndarray of shape (h, w), float32
        The photo's ultrametric contour map, of any size.
    title : str
        The first line of the sheet.
    """
    tiles = proposal_tiles(photo, superpixels, proposals.membership[:SHOWN])
    cell_height, cell_width = tiles.shape[1] + LINE_PX + GAP_PX, max(tiles.shape[2], CAPTION_PX) + GAP_PX
    half = COLUMNS * cell_width // 2 - GAP_PX
    large = scaled(photo.shape[:2], min(LARGE_PX / photo.shape[0], half / photo.shape[1]))
    grid_top = 2 * LINE_PX + large[0] + 3 * GAP_PX
    height = grid_top + max(-(-len(tiles) // COLUMNS) * cell_height, LINE_PX) + GAP_PX
    sheet = Image.new("RGB", (COLUMNS * cell_width + GAP_PX, height), PAPER)
    _write(sheet, (GAP_PX, GAP_PX), title, TEXT_PX + 2)
    _draw_top(sheet, half, resized(photo, large), contour_picture(contours, large))
    _draw_grid(sheet, (grid_top, cell_height, cell_width), tiles, proposal_rows(proposals, superpixels))
    return sheet


def sheet_title(name: str, shape: tuple[int, int], proposals: Proposals, params: ProposalParams) -> str:
    """One line that says what the sheet shows; ``shape`` is the photo's (H, W)."""
    facts = [
        f"{shape[1]} x {shape[0]} px",
        f"superpixels: {proposals.membership.shape[1]}",
        f"first {min(SHOWN, len(proposals))} of {len(proposals)} proposals",
        f"contours: {params.contours}, score: {params.score}",
    ]
    return f"{shortened(printable(name))}  -  {', '.join(facts)}"


def proposal_rows(proposals: Proposals, superpixels: np.ndarray) -> list[dict]:
    """Rank (from 0), score and area (share of the photo, in [0, 1]) of each of the first 24 proposals."""
    count = proposals.membership.shape[1]
    parts = np.array_split(superpixels.ravel(), 1 + superpixels.size // 2**20)  # bincount copies to int64
    shares = sum(np.bincount(part, minlength=count) for part in parts) / superpixels.size
    shown = zip(proposals.membership[:SHOWN], proposals.scores, strict=False)
    return [
        {"rank": rank, "score": float(score), "area": float(shares[chosen].sum())}
        for rank, (chosen, score) in enumerate(shown)
    ]


def proposal_tiles(photo: np.ndarray, superpixels: np.ndarray, membership: np.ndarray) -> np.ndarray:
    """One small picture for each proposal, all masks looked up in one small label map.

    Parameters
    ----------
    photo : ndarray of shape (H, W, 3), uint8
    superpixels : ndarray of shape (H, W), int32
    membership : ndarray of shape (N, L), bool

    Returns
    -------
    ndarray of shape (N, h, w, 3), uint8
        h * w is about TILE_AREA_PX, and no side above TILE_SIDE_PX.
    """
    height, width = photo.shape[:2]
    shape = scaled((height, width), min((TILE_AREA_PX / (height * width)) ** 0.5, TILE_SIDE_PX / max(height, width)))
    colour = resized(photo, shape)
    grey = cv2.cvtColor(colour, cv2.COLOR_RGB2GRAY)[..., None] // 2 + 30
    labels = superpixels[np.ix_(*(_centres(full, small) for full, small in zip((height, width), shape, strict=True)))]
    tiles = np.empty((len(membership), *shape, 3), np.uint8)
    for tile, chosen in zip(tiles, membership, strict=True):
        mask = chosen[labels]
        tile[:] = outlined(np.where(mask[..., None], colour, grey), mask)
    return tiles


def contour_picture(contours: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Draw a contour map as dark lines on white.

    Parameters
    ----------
    contours : ndarray of shape (h, w), float32
        Altitudes in [0, 1].
    shape : (int, int)
        Height and width of the picture. Where it is smaller than the map, each px shows the highest altitude below it.

    Returns
    -------
    ndarray of shape (*shape, 3), uint8
        255 where the altitude is 0; along lines from PALEST for the lowest altitude of the map down to 0 for the
        highest, in the order of altitudes, since most of them may lie close together.
    """
    steps = [-(-old // new) for old, new in zip(contours.shape, shape, strict=True)]
    lines = cv2.dilate(contours, np.ones(steps, np.uint8), anchor=(0, 0))
    lines = cv2.resize(lines, shape[::-1], interpolation=cv2.INTER_NEAREST)
    altitudes = np.unique(contours[contours > 0])
    stronger = len(altitudes) - 1 - np.searchsorted(altitudes, lines)
    grey = np.where(lines > 0, PALEST * stronger / max(len(altitudes) - 1, 1), 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _centres(full: int, small: int) -> np.ndarray:
    """Indices (small,) of the px of ``full`` under the centres of ``small`` px along one axis."""
    return (2 * np.arange(small) + 1) * full // (2 * small)


def _draw_top(sheet: Image.Image, half: int, photo: np.ndarray, lines: np.ndarray) -> None:
    """The two large pictures side by side, each with a line about it above."""
    legends = ("photo", "ultrametric contours: the darker a line, the stronger the border that it draws")
    top, draw = 2 * GAP_PX + 2 * LINE_PX, ImageDraw.Draw(sheet)
    for number, (picture, legend) in enumerate(zip((photo, lines), legends, strict=True)):
        left = GAP_PX + number * (half + GAP_PX)
        _write(sheet, (left, top - LINE_PX), legend)
        draw.rectangle((left - 1, top - 1, left + picture.shape[1], top + picture.shape[0]), outline=FRAME)
        sheet.paste(Image.fromarray(picture), (left, top))


def _draw_grid(sheet: Image.Image, grid: tuple[int, int, int], tiles: np.ndarray, rows: list[dict]) -> None:
    """The proposals, each with a line about it below; ``grid`` is its top and the height and width of a cell."""
    grid_top, cell_height, cell_width = grid
    if not rows:
        _write(sheet, (GAP_PX, grid_top), NOTHING)
    for place, (tile, row) in enumerate(zip(tiles, rows, strict=True)):
        left, top = GAP_PX + place % COLUMNS * cell_width, grid_top + place // COLUMNS * cell_height
        sheet.paste(Image.fromarray(tile), (left, top))
        _write(sheet, (left, top + len(tile) + 2), f"#{row['rank']}  score {row['score']:.2f}  area {row['area']:.1%}")


def _write(sheet: Image.Image, corner: tuple[int, int], text: str, size: int = TEXT_PX) -> None:
    ImageDraw.Draw(sheet).text(corner, text, INK, ImageFont.load_default(size))
