"""The contact sheet shows what it says, checked in its pixels."""

import numpy as np

from blurgen.report.contact_sheet import OUTLINE, THUMB_PX, contact_sheet, png_bytes, provenance_lines
from blurgen.synthesis import Pair

PROVENANCE = {
    "pair": 3,
    "photo": "deep/" * 20 + "photo.jpg",
    "blur_kind": "gaussian",
    "sigma_px": 2.0,
    "length_px": 0.0,
    "angle_deg": 0.0,
    "elastic_px": 0.0,
    "elastic_smoothness_px": 0.0,
    "elastic_seed": 0,
    "inverted": False,
    "mask_kind": "proposal",
    "region": 5,
    "score": 0.5,
    "blurred_share": 0.25,
    "fill": "nearest",
}


def pair(height, width):
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    return Pair(np.full((height, width, 3), 200, np.uint8), mask, PROVENANCE)


def outline_places(sheet):
    rows, columns = np.nonzero((np.asarray(sheet) == OUTLINE).all(axis=2))
    return rows, columns


def test_the_outline_runs_around_the_mask_and_nowhere_else():
    for height, width in ((120, 240), (240, 120), (240, 240)):
        rows, columns = outline_places(contact_sheet([pair(height, width)], "t"))
        scale = THUMB_PX / max(height, width)
        assert abs(np.ptp(rows) - height / 4 * scale) <= 3
        assert abs(np.ptp(columns) - width / 4 * scale) <= 3


def test_any_number_of_pairs_fits():
    for count in (1, 3, 4, 5, 9):
        sheet = contact_sheet([pair(40, 60)] * count, "t")
        assert sheet.width > 2 * THUMB_PX * min(count, 4)
        assert sheet.height > THUMB_PX * -(-count // 4)
    assert png_bytes(sheet).startswith(b"\x89PNG")


def test_the_lines_tell_the_story_and_are_short():
    first, second = provenance_lines(PROVENANCE)
    assert first.startswith("#3  ...")
    assert first.endswith("photo.jpg  gaussian 2.0 px")
    assert second == "inside of proposal 5 (score 0.50), 25% blurred, fill nearest"
    assert max(len(first), len(second)) < 80
