"""The contact sheet shows what it says, checked in its pixels."""

import numpy as np
import pytest

from blurgen.kernels import NO_BLUR, Blur
from blurgen.masks import Region
from blurgen.report.contact_sheet import OUTLINE, THUMB_PX, contact_sheet, png_bytes, provenance_lines
from blurgen.synthesis import Pair

PROVENANCE = {
    "pair": 3,
    "photo": "deep/" * 20 + "photo.jpg",
    "inverted": False,
    **Region("proposal", region=5, score=0.5).to_row(),
    "near": False,
    **Blur("gaussian", sigma_px=2.0).to_row(),
    **NO_BLUR.to_row("second_"),
    "blurred_share": 0.25,
    "fill": "nearest",
}


def pair(height, width, channels=3, dtype=np.uint8):
    mask = np.zeros((height, width), bool)
    mask[height // 4 : height // 2, width // 4 : width // 2] = True
    return Pair(np.full((height, width, channels), 200, dtype), mask, PROVENANCE)


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


def lines(**changes):
    return provenance_lines(PROVENANCE | changes)


def test_the_lines_name_what_else_there_is():
    motion = Blur("linear-motion", length_px=9.0, angle_deg=30.0).to_row("second_")
    assert lines(**motion)[0].endswith("gaussian 2.0 px + linear motion 9 px 30 deg")
    assert lines(inverted=True, near=True)[1].startswith("outside of proposal 5 (score 0.50), near, 25% blurred")
    assert lines(**Region("ellipse").to_row())[1].startswith("inside of ellipse, 25%")
    sharp = lines(**Region("all-sharp").to_row(), **NO_BLUR.to_row(), blurred_share=0.0)
    assert sharp[0].endswith("photo.jpg  sharp")
    assert sharp[1] == "all-sharp, 0% blurred, fill nearest"


@pytest.mark.parametrize(("channels", "dtype"), [(1, np.uint16), (5, np.float32), (3, np.float32), (2, np.uint8)])
def test_images_of_any_kind_are_shown(channels, dtype):
    sheet = contact_sheet([pair(40, 60, channels, dtype)], "t")
    rows, columns = outline_places(sheet)
    assert abs(np.ptp(rows) - 10 * THUMB_PX / 60) <= 3
    assert abs(np.ptp(columns) - 15 * THUMB_PX / 60) <= 3
