"""The detectors that need no training."""

import cv2
import numpy as np
import pytest

from blurgen.errors import ArgumentError
from blurgen.evaluation.detectors import DETECTORS, WINDOWS_PX, laplacian, luminance
from blurgen.evaluation.metrics import image_scores


@pytest.fixture(scope="module")
def photo():
    from skimage import data

    return data.astronaut()[:320, :320]


def test_the_laplacian_finds_the_blurred_half(photo):
    mask = np.zeros(photo.shape[:2], np.uint8)
    mask[:, 160:] = 255
    image = np.where(mask[..., None] > 0, cv2.GaussianBlur(photo, (0, 0), 3), photo)
    assert image_scores(laplacian(image), mask)[0] > 0.85
    assert image_scores(laplacian(photo), mask)[0] < 0.75  # it is not the place that tells


def test_the_laplacian_is_the_local_variance_of_the_laplacian():
    grey = np.random.default_rng(0).integers(0, 256, (90, 100, 1), np.uint8)
    plane = np.pad(grey[..., 0].astype(np.float64), 1, "symmetric")
    edges = plane[:-2, 1:-1] + plane[2:, 1:-1] + plane[1:-1, :-2] + plane[1:-1, 2:] - 4 * plane[1:-1, 1:-1]
    edges = np.pad(edges, 31, "symmetric")
    row, column = 40, 7
    expected = 0.0
    for side in WINDOWS_PX:
        half = side // 2
        box = edges[row + 31 - half : row + 32 + half, column + 31 - half : column + 32 + half]
        expected -= np.log(1 + box.var())
    assert laplacian(grey)[row, column] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (5, 400, 3), (64, 40, 7)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_any_photo_gives_a_map_of_its_size(name, shape, dtype):
    photo = (np.random.default_rng(0).random(shape) * (1 if dtype == np.float32 else np.iinfo(dtype).max)).astype(dtype)
    before = photo.copy()
    found = DETECTORS[name](photo)
    assert found.shape == shape[:2]
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (photo == before).all()


def test_depth_does_not_matter(photo):
    deep = laplacian(photo.astype(np.uint16) * 257)
    light = laplacian(photo.astype(np.float32) / 255)
    np.testing.assert_allclose(deep, laplacian(photo), atol=1e-3)
    np.testing.assert_allclose(light, laplacian(photo), atol=1e-3)


def test_luminance_weighs_colours():
    photo = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(luminance(photo), [[76.245, 149.685, 29.07]], rtol=1e-5)
    np.testing.assert_allclose(luminance(np.array([[[10, 20]]], np.uint8)), [[15]])


def test_the_constant_map_is_one():
    assert (DETECTORS["constant"](np.zeros((4, 5, 3), np.uint8)) == np.zeros((4, 5))).all()


def test_what_is_no_photo_is_refused():
    for photo in (np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3))):
        with pytest.raises(ArgumentError):
            laplacian(photo)
