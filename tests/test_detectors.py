"""The detectors that need no training."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.fft import dctn
from scipy.stats import kurtosis
from skimage.feature import local_binary_pattern

from blurgen.errors import ArgumentError
from blurgen.evaluation.detectors import (
    DETECTORS,
    WINDOWS_PX,
    binary_patterns,
    fused_coefficients,
    heavy_tails,
    laplacian,
    luminance,
    singular_values,
    span_and_slope,
    statistics,
    subbands,
    windows,
)
from blurgen.evaluation.metrics import image_scores

FINDERS = [name for name in DETECTORS if name != "constant"]
DTYPES = [np.uint8, np.uint16, np.float32]
SIGMAS_PX = (1, 2, 3, 4, 5, 6)


@pytest.fixture(scope="module")
def photo():
    from skimage import data

    return data.astronaut()[:320, :320]


def noise(side=160):
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)


def leaves(side=160):
    """Small discs of random colours, one on top of the other."""
    rng = np.random.default_rng(0)
    image = np.zeros((side, side, 3), np.uint8)
    for x, y, radius, *colour in zip(
        *rng.integers(0, side, (2, 6000)), rng.integers(1, 5, 6000), *rng.integers(20, 236, (3, 6000)), strict=True
    ):
        cv2.circle(image, (int(x), int(y)), int(radius), [int(value) for value in colour], -1)
    return image


@pytest.mark.parametrize("texture", [noise(), leaves()], ids=["noise", "leaves"])
@pytest.mark.parametrize("name", FINDERS)
def test_a_texture_is_sharper_than_its_blurred_copy(name, texture):
    mask = np.full((160, 320), 128, np.uint8)
    mask[16:-16, 16:144], mask[16:-16, 176:-16] = 0, 255
    for sigma in SIGMAS_PX:
        found = DETECTORS[name](np.hstack([texture, cv2.GaussianBlur(texture, (0, 0), sigma)]))
        assert found[mask == 255].mean() > found[mask == 0].mean(), sigma
        assert image_scores(found, mask)[0] > 0.9, sigma


@pytest.mark.parametrize("name", FINDERS)
def test_motion_blur_is_blur(name):
    streaks = cv2.filter2D(noise(), -1, np.full((1, 15), 1 / 15))
    found = DETECTORS[name](np.hstack([noise(), streaks]))
    assert found[16:-16, 176:-16].mean() > found[16:-16, 16:144].mean()


FLAT = {
    "svd": 1.0,
    "lbp": 0.0,
    "hifst": 0.0,
    "laplacian": 0.0,
    "gradient": 0.0,
    "chakrabarti": 0.0,
    "liu": 0.0,
    "shi": 0.0,
}
"""Few singular values, no pattern, no edge: as blurred as can be. Chakrabarti: undecided. Liu, Shi: nothing differs."""


@pytest.mark.parametrize("name", FINDERS)
@pytest.mark.parametrize("level", [0, 37, 255])
def test_a_flat_photo_is_flat(name, level):
    np.testing.assert_allclose(DETECTORS[name](np.full((50, 70, 3), level, np.uint8)), FLAT[name], atol=1e-4)


@pytest.mark.parametrize("name", ["svd", "lbp", "hifst", "laplacian", "gradient", "chakrabarti"])
def test_a_flat_half_is_more_blurred_than_a_sharp_one(name):
    found = DETECTORS[name](np.hstack([noise(), np.full((160, 160, 3), 99, np.uint8)]))
    assert found[16:-16, 200:-16].min() > found[16:-16, 16:120].max()


@pytest.mark.parametrize("name", DETECTORS)
@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 3), (5, 400, 3), (64, 40, 7)])
@pytest.mark.parametrize("dtype", DTYPES)
def test_any_photo_gives_a_map_of_its_size(name, shape, dtype):
    photo = (np.random.default_rng(0).random(shape) * (1 if dtype == np.float32 else np.iinfo(dtype).max)).astype(dtype)
    before = photo.copy()
    found = DETECTORS[name](photo)
    assert found.shape == shape[:2]
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    assert (photo == before).all()
    assert (DETECTORS[name](photo) == found).all()


@pytest.mark.parametrize("name", DETECTORS)
def test_depth_does_not_matter(name, photo):
    photo = photo[:100, :120]
    found = DETECTORS[name](photo)
    for same in (photo.astype(np.uint16) * 257, photo.astype(np.float32) / 255):
        difference = np.abs(DETECTORS[name](same) - found)
        assert difference.mean() <= 0.01 * found.std() + 1e-6  # rounding may move a pixel over a threshold


@pytest.mark.parametrize("name", ["svd", "lbp", "hifst", "chakrabarti"])
def test_a_mirrored_photo_gives_nearly_the_mirrored_map(name, photo):
    photo = photo[:120, :150]
    found, mirrored = DETECTORS[name](photo), DETECTORS[name](np.ascontiguousarray(photo[:, ::-1]))[:, ::-1]
    assert np.corrcoef(found.ravel(), mirrored.ravel())[0, 1] > 0.98


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


@pytest.mark.filterwarnings("ignore:Applying `local_binary_pattern`")
def test_the_patterns_are_those_of_scikit_image():
    plane = np.random.default_rng(0).integers(0, 256, (40, 50)).astype(np.float64)
    threshold = 255 * binary_patterns.THRESHOLD
    expected = np.zeros(plane.shape, bool)
    for row, column in np.ndindex(plane.shape):  # one pixel raised at a time: scikit-image knows no threshold
        if 1 <= row < 39 and 1 <= column < 49:
            patch = plane[row - 1 : row + 2, column - 1 : column + 2]
            corners = [patch[1, 1] + threshold if place == (1, 1) else patch[place] for place in np.ndindex(3, 3)]
            expected[row, column] = local_binary_pattern(np.reshape(corners, (3, 3)), 8, 1, "uniform")[1, 1] >= 6
    found = binary_patterns._is_sharp_pattern(plane.astype(np.float32))
    # The raised middle also weighs in the corners, by (1 - 2^-.5)^2 of the threshold: few pixels differ by it.
    assert (found != expected)[1:-1, 1:-1].mean() < 0.01


def test_the_share_of_the_singular_values_of_one_patch():
    plane = np.random.default_rng(0).random((60, 60), np.float32) * 255
    patch = plane[31 - 10 : 31 + 11, 28 - 10 : 28 + 11].astype(np.float64)  # the middle of grid cell (10, 9)
    roots = np.sqrt(np.linalg.eigvalsh(patch @ patch.T))[::-1]
    found = singular_values.svd(plane[..., None] / 255)[31, 28]
    assert found == pytest.approx(roots[: singular_values.LARGEST].sum() / roots.sum(), rel=1e-4)


def test_the_layers_are_the_least_coefficients_in_order():
    plane = np.random.default_rng(0).random((80, 90), np.float32)
    row, column = 37, 40  # the middle of grid cell (12, 13)
    high = []
    around = np.pad(plane, 31, "symmetric").astype(np.float64)
    for side in fused_coefficients.SIDES_PX:
        first = 31 - side // 2
        patch = dctn(around[row + first :, column + first :][:side, :side], norm="ortho")
        high += [abs(patch[u, v]) for u in range(side) for v in range(side) if u + v >= side - 1]
    assert len(high) == sum((side**2 + side) // 2 for side in (7, 15, 31, 63))
    found = fused_coefficients._layers(plane)[12, 13]
    np.testing.assert_allclose(found, np.sort(high)[:117], atol=1e-5)


def test_a_box_is_the_likeliest_for_what_it_has_blurred():
    rng = np.random.default_rng(0)
    sharp = rng.normal(0, 20, (80, 400)).cumsum(axis=1)  # its gradients are white
    noise = rng.normal(0, subbands.NOISE, sharp.shape)
    for length in (1, 3, 5):
        blurred = (cv2.blur(sharp, (length, 1)) + noise).astype(np.float32)
        energies = subbands._energies(blurred)[10:-10, 10:-10].mean(axis=(0, 1), keepdims=True)
        scores = [subbands._log_likelihood(energies, candidate)[0, 0] for candidate in (1, *subbands.LENGTHS_PX)]
        assert (1, *subbands.LENGTHS_PX)[int(np.argmax(scores))] == length


def test_the_spread_is_that_of_the_wider_normal_distribution():
    rng = np.random.default_rng(0)
    wide = rng.random((300, 300)) < 0.3
    lengths = np.abs(rng.normal(0, np.where(wide, 40, 3))).astype(np.float32)
    assert np.median(statistics.spread(lengths, 61)) == pytest.approx(40, rel=0.15)


def test_the_kurtosis_is_that_of_scipy():
    values = np.random.default_rng(0).laplace(0, 20, (70, 70))
    box = values[31 - 10 : 31 + 11, 31 - 10 : 31 + 11]
    assert heavy_tails._kurtosis(values, 21)[10, 10] == pytest.approx(kurtosis(box, None, fisher=False), rel=1e-3)


def test_white_noise_has_a_level_spectrum_and_blur_a_steep_one():
    plane = np.random.default_rng(0).normal(128, 20, (200, 200)).astype(np.float32)
    assert np.exp(statistics.log_spectrum(plane, 17)).mean() == pytest.approx(400, rel=0.1)
    assert abs(span_and_slope._steepness(plane).mean()) < 0.2
    assert span_and_slope._steepness(cv2.GaussianBlur(plane, (0, 0), 1.5)).mean() > 1


def test_saturation_is_that_of_the_most_vivid_pixel():
    photo = np.full((30, 30, 3), 100, np.uint8)
    photo[15, 15] = (200, 50, 50)
    found = span_and_slope._saturation(photo)
    assert found[5, 5] == pytest.approx(0.5)  # 1 - 50 / 100
    assert found[0, 0] == 0
    assert (span_and_slope._saturation(photo[..., :1]) == 0).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3, 7, 15]), st.sampled_from([1, 3, 5]))
def test_windows_stand_where_they_say(height, width, side, stride):
    plane = np.random.default_rng(0).random((height, width), np.float32)
    found = windows.windows(plane, side, stride)
    assert found.shape == (-(-height // stride), -(-width // stride), side, side)
    inside = found[: (height - stride // 2 + stride - 1) // stride, : (width - stride // 2 + stride - 1) // stride]
    assert (inside[..., side // 2, side // 2] == plane[stride // 2 :: stride, stride // 2 :: stride]).all()
    assert np.isin(found, plane).all()
    full = windows.enlarged(windows.on_grid(plane, stride), plane.shape, stride)
    assert full.shape == plane.shape
    at_middles = full[stride // 2 :: stride, stride // 2 :: stride]
    np.testing.assert_allclose(at_middles, plane[stride // 2 :: stride, stride // 2 :: stride], atol=1e-6)


def test_luminance_weighs_colours():
    photo = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    np.testing.assert_allclose(luminance(photo), [[76.245, 149.685, 29.07]], rtol=1e-5)
    np.testing.assert_allclose(luminance(np.array([[[10, 20]]], np.uint8)), [[15]])


def test_the_constant_map_is_one():
    assert (DETECTORS["constant"](np.zeros((4, 5, 3), np.uint8)) == np.zeros((4, 5))).all()


@pytest.mark.parametrize("name", FINDERS)
def test_what_is_no_photo_is_refused(name):
    for photo in (np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3))):
        with pytest.raises(ArgumentError):
            DETECTORS[name](photo)
