"""Light and its sRGB code, highlights, rounding."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from blurgen.camera.light import Light, light_to_srgb, rounded, srgb_to_light, white_level


def test_known_values_of_the_standard():
    np.testing.assert_allclose(srgb_to_light(np.array([0, 0.04045, 0.5, 1])), [0, 0.0031308, 0.2140411, 1], atol=1e-6)
    np.testing.assert_allclose(light_to_srgb(np.array([0, 0.0031308, 0.2140411, 1])), [0, 0.04045, 0.5, 1], atol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("linear", [False, True])
def test_every_code_comes_back(dtype, linear):
    codes = np.arange(np.iinfo(dtype).max + 1, dtype=dtype).reshape(1, -1, 1)
    light = Light(dtype, linear)
    np.testing.assert_array_equal(rounded(light.code(light.of(codes)), np.dtype(dtype)), codes)


def test_half_black_half_white_mixes_to_188_in_light_and_to_128_in_code():
    image = np.array([[[0], [255]]], np.uint8)
    for linear, expected in ((True, 188), (False, 128)):
        light = Light(np.uint8, linear)
        mixed = light.of(image).mean(axis=1, keepdims=True)
        assert rounded(light.code(mixed), np.dtype(np.uint8)).item() == expected


def test_highlights_exceed_white_and_nothing_else_is_raised():
    light = Light(np.uint8, linear=True, highlight_gain=8, highlight_start=0.9)
    codes = np.arange(256, dtype=np.uint8).reshape(1, -1, 1)
    raised, plain = light.of(codes).ravel(), Light(np.uint8, linear=True).of(codes).ravel()
    assert raised[255] == pytest.approx(8)
    np.testing.assert_array_equal(raised[: int(0.9 * 255)], plain[: int(0.9 * 255)])
    assert (np.diff(raised) > 0).all()
    assert light.code(raised.reshape(1, -1, 1)).max() == 255  # clipped at white again


def test_raised_highlights_keep_their_hue():
    light = Light(np.uint8, linear=True, highlight_gain=8, highlight_start=0.9)
    pixels = np.array([[[255, 252, 250], [255, 250, 60], [255, 255, 255]]], np.uint8)
    raised, plain = light.of(pixels)[0], Light(np.uint8, linear=True).of(pixels)[0]
    ratio = raised / plain
    np.testing.assert_allclose(ratio, ratio[:, :1] * np.ones(3), rtol=1e-6)
    assert ratio[0, 0] > 5
    assert ratio[1, 0] == 1  # yellow isn't clipped light
    assert ratio[2, 0] == pytest.approx(8)


def test_float_is_light_already_and_is_not_clipped():
    image = np.array([[[-0.5], [0.25], [7.0]]], np.float32)
    light = Light(np.float32, linear=True, highlight_gain=4)
    assert not light.changes_values
    np.testing.assert_array_equal(light.code(light.of(image)), image)


@given(st.floats(0, 1e6, width=32))
def test_rounding_is_to_the_nearest_and_never_beyond_white(value):
    for dtype in (np.uint8, np.uint16):
        number = rounded(np.full((1, 1, 1), value, np.float32), np.dtype(dtype)).item()
        assert number == min(np.rint(np.float32(value)), white_level(np.dtype(dtype)))


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_number_of_channels(dtype, channels):
    image = np.ones((4, 6, channels), dtype)
    light = Light(dtype, linear=True)
    assert light.of(image).shape == light.code(light.of(image)).shape == image.shape
