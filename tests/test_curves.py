"""Pictures of a run and of its maps."""

import io
import math
import sys

import numpy as np
import pytest
from PIL import Image

from blurgen.errors import DependencyError, PhotoError
from blurgen.report.contact_sheet import GAP_PX, THUMB_PX, png_bytes
from blurgen.report.curves import curves_png
from blurgen.report.map_sheet import OVERLAY_PX, Row, map_sheet, overlay
from blurgen.sources import decode


def rows(count):
    return [
        {"step": 10 * i, "epoch": i, "loss": 1 / (i + 1), "lr": 1e-3, "val_loss": 2 / (i + 2), "auc": 0.9, "ap": 0.8}
        for i in range(count)
    ]


@pytest.fixture
def opened():
    pytest.importorskip("matplotlib")
    return lambda metrics: np.asarray(Image.open(io.BytesIO(curves_png(metrics))).convert("RGB"))


def test_curves_are_drawn_left_and_right(opened):
    drawn, empty = opened(rows(20)), opened([])
    assert drawn.shape == empty.shape
    for half in np.array_split(np.arange(drawn.shape[1]), 2):
        assert (drawn[:, half] != empty[:, half]).any()


def test_equal_rows_are_equal_bytes():
    pytest.importorskip("matplotlib")
    assert curves_png(rows(9)) == curves_png(rows(9))


@pytest.mark.parametrize("value", [None, math.nan, math.inf, "0.5", True])
def test_what_is_no_number_is_left_out(opened, value):
    metrics = rows(9)
    metrics[4] = {**metrics[4], "loss": value, "auc": value}
    np.testing.assert_array_equal(
        opened(metrics), opened([*metrics[:4], {"step": 40, "val_loss": 2 / 6, "ap": 0.8}, *metrics[5:]])
    )


def test_one_row_is_a_point(opened):
    assert (opened(rows(1)) != opened([])).any()


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(DependencyError, match=r"pip install 'blurgen\[train\]'"):
        curves_png(rows(2))


def test_an_overlay_tints_what_is_blurred_and_outlines_it():
    photo = np.full((60, 80, 3), 100, np.uint8)
    blur_map = np.zeros((60, 80), np.float32)
    blur_map[:, 40:] = 0.8
    drawn = overlay(photo, blur_map)
    np.testing.assert_array_equal(drawn[30, 20], [100, 100, 100])
    np.testing.assert_array_equal(drawn[30, 60], [162, 84, 60])  # .4 of (255, 60, 0), .6 of the photo
    np.testing.assert_array_equal(drawn[30, 40], [255, 230, 0])


@pytest.mark.parametrize(("shape", "dtype"), [((50, 30, 1), np.uint16), ((3, 4, 7), np.float32)])
def test_overlays_of_any_photo(shape, dtype):
    drawn = overlay(np.ones(shape, dtype), np.full(shape[:2], 0.2, np.float32))
    assert (drawn.shape, drawn.dtype) == ((*shape[:2], 3), np.uint8)


def test_overlays_are_no_larger_than_a_screen():
    drawn = overlay(np.zeros((200, 4000, 3), np.uint8), np.zeros((200, 4000), np.float32))
    assert drawn.shape == (200 * OVERLAY_PX // 4000, OVERLAY_PX, 3)


def test_a_sheet_shows_photo_mask_and_map():
    photo = np.full((THUMB_PX, THUMB_PX, 3), (10, 20, 200), np.uint8)
    mask = np.full((THUMB_PX, THUMB_PX), 128, np.uint8)
    mask[:, :100], mask[:, 200:] = 0, 255
    blur_map = np.full((THUMB_PX, THUMB_PX), 0.2, np.float32)
    sheet = map_sheet([Row("a.jpg", photo, mask, blur_map, 0.75), Row("b.jpg", photo, None, blur_map)], "two photos")
    middle = np.asarray(sheet)[36 + GAP_PX + THUMB_PX // 2]
    cells = [GAP_PX + column * (THUMB_PX + GAP_PX) for column in range(4)]
    np.testing.assert_array_equal(middle[cells[0] + 5], [10, 20, 200])
    np.testing.assert_array_equal(middle[[cells[1] + 50, cells[1] + 150, cells[1] + 220], 0], [0, 128, 255])
    np.testing.assert_array_equal(middle[cells[2] + 5], [51, 51, 51])
    assert sheet.width == 4 * (THUMB_PX + GAP_PX) + GAP_PX
    with pytest.raises(PhotoError, match="contact sheet"):
        decode(png_bytes(sheet))
