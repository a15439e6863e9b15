"""Crops stay inside the photo, keep their shape, and image and mask are cut alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blurgen.geometry import Crop, GeometryParams, crop_labels, crop_photo, largest_crop, parse_size, sample_crop


@given(st.integers(32, 900), st.integers(32, 900), st.sampled_from(["320", "64x256", "native"]), st.integers(0, 999))
@settings(max_examples=100, deadline=None)
def test_a_crop_lies_inside_the_photo_and_has_the_targets_shape(height, width, size, seed):
    params = GeometryParams(size=size)
    crop = sample_crop((height, width), params, np.random.default_rng(seed))
    assert 0 <= crop.top <= height - crop.crop_height
    assert 0 <= crop.left <= width - crop.crop_width
    assert (crop.height, crop.width) == (params.shape or (crop.crop_height, crop.crop_width))
    wanted = crop.width / crop.height
    assert abs(crop.crop_width - wanted * crop.crop_height) <= 0.5 + 0.5 * wanted  # each side is rounded to a px


def test_the_scale_is_drawn_from_its_range():
    params = GeometryParams(size="100", crop_scale_range=(0.5, 0.8))
    rng = np.random.default_rng(0)
    sides = [sample_crop((1000, 2000), params, rng).crop_height for _ in range(300)]
    assert 500 <= min(sides) < 520
    assert 780 < max(sides) <= 800


@pytest.mark.parametrize(
    ("text", "shape"), [("320", (320, 320)), ("240x320", (240, 320)), ("0320", (320, 320)), ("native", None)]
)
def test_sizes_are_height_by_width(text, shape):
    assert parse_size(text) == shape


@pytest.mark.parametrize("text", ["", "x", "0", "8", "320x", "99999", "-5", "3.5", "320x320x3", "Native", "９９"])
def test_a_bad_size_is_refused(text):
    with pytest.raises(ValueError, match="is no size"):
        parse_size(text)


def test_a_crop_at_its_own_size_is_a_copy_of_the_window():
    photo = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    crop = Crop(5, 7, 20, 30, 20, 30)
    np.testing.assert_array_equal(crop_photo(photo, crop), photo[5:25, 7:37])
    labels = np.random.default_rng(1).integers(0, 4, (50, 70)).astype(np.int32)
    chosen = np.array([True, False, True, False])
    np.testing.assert_array_equal(crop_labels(labels, chosen, (50, 70), crop), chosen[labels][5:25, 7:37])


@given(st.integers(32, 900), st.integers(32, 900), st.sampled_from(["320", "64x256", "256x64", "native"]))
@settings(max_examples=100, deadline=None)
def test_the_largest_crop_touches_two_opposite_sides_and_lies_in_the_middle(height, width, size):
    params = GeometryParams(size=size)
    crop = largest_crop((height, width), params)
    assert crop.crop_height == height or crop.crop_width == width
    assert abs(crop.top - (height - crop.crop_height - crop.top)) <= 1
    assert abs(crop.left - (width - crop.crop_width - crop.left)) <= 1
    assert (crop.height, crop.width) == (params.shape or (height, width))
    whole = GeometryParams(size=size, crop_scale_range=(1.0, 1.0))
    drawn = sample_crop((height, width), whole, np.random.default_rng(0))
    assert (drawn.crop_height, drawn.crop_width) == (crop.crop_height, crop.crop_width)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("stored", [(20, 30), (11, 17), (40, 60)])
def test_channels_are_cut_each_for_itself_whatever_their_number_and_type(dtype, channels, stored):
    photo = (np.random.default_rng(0).random((50, 70, channels)) * 255).astype(dtype)
    crop = Crop(5, 7, 20, 30, *stored)
    image = crop_photo(photo, crop)
    assert image.dtype == photo.dtype
    assert image.shape == (*stored, channels)
    assert image.flags.c_contiguous
    alone = [crop_photo(np.ascontiguousarray(photo[..., [channel]]), crop) for channel in range(channels)]
    np.testing.assert_allclose(
        image.astype(float), np.dstack(alone).astype(float), atol=1e-3 if dtype == "float32" else 1
    )


@given(st.integers(0, 2**32 - 1), st.sampled_from([1.0, 0.5, 0.37]))
@settings(max_examples=40, deadline=None)
def test_mask_and_image_are_cut_alike_at_any_scale(seed, label_scale):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(150, 500, 2)
    rows, columns = np.mgrid[:height, :width]
    top, left = rng.uniform(0, 0.5, 2) * (height, width)
    inside = (rows > top) & (columns > left) & (rows < top + 0.45 * height) & (columns < left + 0.45 * width)
    photo = np.repeat((inside * np.uint8(255))[..., None], 3, axis=2)
    low = (int(height * label_scale), int(width * label_scale))
    picks = [
        ((np.arange(count) + 0.5) * full / count).astype(int) for count, full in zip(low, (height, width), strict=True)
    ]
    labels = inside[np.ix_(*picks)].astype(np.int32)
    crop = sample_crop((height, width), GeometryParams(size="96"), rng)
    image = crop_photo(photo, crop)[..., 0] > 127
    mask = crop_labels(labels, np.array([False, True]), (height, width), crop)
    # Each of at most four straight edges may be off by half a pixel of the coarser grid.
    step = max(1, crop.height / crop.crop_height / label_scale)
    assert (image != mask).sum() <= 4 * 96 * 0.75 * step


def test_a_small_object_is_not_lost_when_shrunk():
    labels = np.zeros((640, 640), np.int32)
    labels[300:340, 300:340] = 1
    mask = crop_labels(labels, np.array([False, True]), (640, 640), Crop(0, 0, 640, 640, 64, 64))
    assert mask.sum() == pytest.approx(16, abs=4)
