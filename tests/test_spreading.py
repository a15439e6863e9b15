"""Maps where there is no texture: what is found around counts."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from blurgen.texture import luminance, texture
from blurgen.training.spreading import HALF_TEXTURE, LEAST_GRADIENT, SIDES_PX, spread


def noise(*shape, seed=3):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def test_flat_pixels_take_over_what_is_found_beside_them():
    photo = np.full((120, 160, 3), 128, np.uint8)
    photo[:, :60] = noise(120, 60, 3)
    found = np.full((120, 160), 0.5, np.float32)
    found[:, :60] = 0.9
    spreaded = spread(found, photo)
    np.testing.assert_allclose(spreaded[:, :40], 0.9, atol=0.01)
    assert spreaded[60, 72] > 0.8  # flat, but beside
    assert spreaded[60, 80] > 0.7
    np.testing.assert_allclose(spreaded[:, 100:], 0.5, atol=1e-3)  # farther than the squares reach


def test_textured_pixels_keep_what_was_found():
    photo, found = noise(90, 100, 3), np.random.default_rng(0).random((90, 100), np.float32)
    np.testing.assert_allclose(spread(found, photo), found, atol=0.01)


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3, 5]))),
    st.floats(0, 1, width=32),
)
def test_what_is_the_same_everywhere_stays_so(photo, value):
    found = np.full(photo.shape[:2], value, np.float32)
    spreaded = spread(found, photo)
    assert spreaded.dtype == np.float32
    assert spreaded.shape == found.shape
    np.testing.assert_allclose(spreaded, value, atol=2e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_against_plain_loops(dtype):
    photo = cv2.GaussianBlur(noise(40, 50, 3), (0, 0), 2.0).astype(dtype)
    photo = photo * dtype(257) if dtype == np.uint16 else photo
    found = np.random.default_rng(1).random((40, 50), np.float32)
    grey = luminance(photo)
    logits = np.log(found / (1 - found.astype(np.float64)))
    down, right = (cv2.Sobel(grey.astype(np.float64), -1, *order) / 8 for order in ((0, 1), (1, 0)))
    weights = np.hypot(down, right) + LEAST_GRADIENT
    own = texture(grey).astype(np.float64)
    own /= own + HALF_TEXTURE
    around = means(weights * logits) / means(weights)
    wanted = 1 / (1 + np.exp(-(own * logits + (1 - own) * around)))
    np.testing.assert_allclose(spread(found, photo), wanted, atol=2e-4)


def means(values):
    for side in SIDES_PX:
        padded = np.pad(values, side // 2, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side))
        values = np.array([[window.mean() for window in row] for row in windows])
    return values
