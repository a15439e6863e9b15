"""The photo's noise is measured right, and what is put back is like it."""

import numpy as np
import pytest
from scipy import ndimage
from skimage import data

from blurgen.camera.noise import Noise, estimate_noise, noise_planes
from blurgen.kernels import Blur, make_kernel

COVARIANCE = np.array([[1.0, 0.6, 0.4], [0.6, 1.0, 0.5], [0.4, 0.5, 1.2]])


def grey_card(sigma, smoothness, channels=3, seed=0, dtype=np.uint8):
    """An even grey with noise made here, not by the module: filtered white noise, correlated channels."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal((320, 320, channels)) @ np.linalg.cholesky(COVARIANCE[:channels, :channels]).T
    taps = np.array([smoothness, 1 - 2 * smoothness, smoothness])
    for axis in (0, 1):
        white = ndimage.correlate1d(white, taps / np.sqrt((taps**2).sum()), axis=axis, mode="wrap")
    white_level = np.iinfo(dtype).max if dtype != np.float32 else 1.0
    card = (120 + sigma * white) / 255 * white_level
    return card.astype(dtype) if dtype == np.float32 else np.clip(np.rint(card), 0, white_level).astype(dtype)


@pytest.mark.parametrize("sigma", [1, 3, 8])
@pytest.mark.parametrize("smoothness", [0, 0.1, 0.2])
def test_the_noise_of_a_grey_card_is_found(sigma, smoothness):
    found = estimate_noise(grey_card(sigma, smoothness))
    true = sigma * np.sqrt(np.trace(COVARIANCE) / 3)
    assert found.sigma == pytest.approx(true, rel=0.15)
    assert found.smoothness == pytest.approx(smoothness, abs=0.04)
    off = found.covariance / found.sigma**2 - COVARIANCE / (np.trace(COVARIANCE) / 3)
    assert np.abs(off).max() < 0.25


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)])
def test_noise_is_in_pixel_values_of_any_depth(dtype, white):
    found = estimate_noise(grey_card(4, 0, channels=1, dtype=dtype))
    assert found.sigma * 255 / white == pytest.approx(4, rel=0.15)


def test_structure_is_not_taken_for_noise():
    rows, columns = np.mgrid[:320, :320]
    stripes = ((columns // 40 + rows // 40) % 2 * 100 + 60 + columns / 8)[..., None]  # edges, and a slope
    image = np.rint(stripes + np.random.default_rng(0).normal(0, 2, (320, 320, 1))).astype(np.uint8)
    assert estimate_noise(image).sigma == pytest.approx(2, rel=0.2)


def test_texture_without_any_flat_block_is_not_believed_to_be_noise():
    rng = np.random.default_rng(0)
    strength = np.kron(rng.uniform(5, 60, (25, 25, 1)), np.ones((8, 8, 1)))  # unlike noise, here more and there less
    grass = np.clip(np.rint(120 + strength * rng.standard_normal((200, 200, 3))), 0, 255).astype(np.uint8)
    assert estimate_noise(grass).sigma == pytest.approx(0.015 * 255)
    assert estimate_noise(grey_card(12, 0)).sigma > 11  # a noisy photo is believed


@pytest.mark.parametrize("shape", [(8, 8, 3), (24, 200, 3), (1, 1, 1)])
def test_too_small_an_image_has_no_known_noise(shape):
    assert estimate_noise(np.zeros(shape, np.uint8)).sigma == 0


@pytest.mark.parametrize("value", [0, 255])
def test_where_all_is_clipped_no_noise_is_known(value):
    assert estimate_noise(np.full((64, 64, 3), value, np.uint8)).sigma == 0


def test_a_field_has_the_noise_that_was_asked_for():
    noise = Noise(9 * COVARIANCE, 0.15)
    field = np.dstack(noise_planes(noise, (400, 500), (900, 30)))  # goes over the edge of the fixed field
    assert field.shape == (400, 500, 3)
    np.testing.assert_allclose(np.cov(field.reshape(-1, 3).T), 9 * COVARIANCE, atol=0.35)
    taps = np.array([0.15, 0.7, 0.15])
    neighbours = np.corrcoef(field[:, 1:, 0].ravel(), field[:, :-1, 0].ravel())[0, 1]
    assert neighbours == pytest.approx(2 * taps[0] * taps[1] / (taps**2).sum(), abs=0.03)


def test_a_larger_image_than_the_field_and_many_channels():
    assert np.dstack(noise_planes(Noise(np.eye(6), 0.0), (1100, 40), (5, 5))).shape == (1100, 40, 6)


@pytest.mark.parametrize("smoothness", [0, 0.2])
def test_how_much_noise_a_kernel_leaves(smoothness):
    kernel = make_kernel(Blur("gaussian", sigma_px=1.2))
    card = grey_card(8, smoothness, channels=1, dtype=np.float32)[..., 0] * 255
    left = ndimage.convolve(card.astype(float), kernel.weights.astype(float)).var() / card.var()
    assert Noise(np.eye(1), smoothness).left_by(kernel.weights) == pytest.approx(left, rel=0.1)


def test_a_real_photo_has_a_little_noise():
    assert 0.2 < estimate_noise(data.chelsea()[:300]).sigma < 3
