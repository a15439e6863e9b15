"""How sharp an edge is, and where there is no texture."""

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from blurgen.texture import luminance, sharpness, without_texture


def edge(sigma, side=200, factor=8):
    """A slanted edge blurred by a Gaussian of ``sigma`` px, sampled by square pixels."""
    rows, columns = np.mgrid[: side * factor, : side * factor] - side * factor / 2
    fine = ((columns * np.cos(0.3) + rows * np.sin(0.3)) > 0) * 150.0 + 40
    blurred = ndimage.gaussian_filter(fine, sigma * factor)
    return np.rint(blurred.reshape(side, factor, side, factor).mean(axis=(1, 3))).astype(np.uint8)[..., None]


@pytest.mark.parametrize("sigma", [1, 2, 3])
def test_an_edge_has_the_sharpness_of_the_formula(sigma):
    image = edge(sigma)
    assert sharpness(image, np.ones(image.shape[:2], bool)) == pytest.approx(
        1 - sigma / np.sqrt(sigma**2 + 1), abs=0.03
    )


def test_sharpness_does_not_hang_on_contrast_or_depth():
    image = edge(1)
    everywhere = np.ones(image.shape[:2], bool)
    half, deep = image // 2, image.astype(np.uint16) * 257
    assert sharpness(half, everywhere) == pytest.approx(sharpness(image, everywhere), abs=0.01)
    assert sharpness(deep, everywhere) == pytest.approx(sharpness(image, everywhere), abs=0.001)
    assert sharpness((image / 255).astype(np.float32), everywhere) == pytest.approx(
        sharpness(image, everywhere), abs=0.01
    )


def test_sharpness_is_local():
    image = np.concatenate([edge(3, 100), edge(0.5, 100)], axis=1)
    left = np.zeros(image.shape[:2], bool)
    left[:, :95] = True
    assert sharpness(image, left) < 0.08
    assert sharpness(image, ~left) > 0.4


def test_the_more_a_photo_is_blurred_the_less_sharp_it_is():
    photo = data.astronaut()
    everywhere = np.ones(photo.shape[:2], bool)
    found = [sharpness(cv2.GaussianBlur(photo, (0, 0), sigma), everywhere) for sigma in (0.1, 1, 2, 4)]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.4 > 0.15 > found[2]


def test_a_constant_has_no_sharpness():
    assert sharpness(np.full((40, 40, 3), 7, np.uint8), np.ones((40, 40), bool)) == 0


def test_texture_is_the_local_mean_of_the_squared_laplacian():
    image = np.random.default_rng(0).integers(100, 120, (60, 70, 1), dtype=np.uint8)
    image[:, :30] = 110
    values = np.pad(image[..., 0].astype(float), 1, mode="reflect")
    laplacian = values[:-2, 1:-1] + values[2:, 1:-1] + values[1:-1, :-2] + values[1:-1, 2:] - 4 * values[1:-1, 1:-1]
    mean = ndimage.uniform_filter(laplacian**2, 15, mode="mirror")
    for least in (30, 300):
        np.testing.assert_array_equal(without_texture(image, least), mean < least)
    assert without_texture(image, 30)[:, :20].all()
    assert not without_texture(image, 30)[:, 50:].any()


def test_luminance_of_any_image_is_eight_bit_grey():
    grey = np.arange(256, dtype=np.uint8).reshape(16, 16, 1)
    for image in (grey, grey.repeat(3, 2), grey.repeat(5, 2), grey.astype(np.uint16) * 257):
        np.testing.assert_array_equal(luminance(image), grey[..., 0])
    np.testing.assert_array_equal(luminance((grey / 255).astype(np.float32)), grey[..., 0])
