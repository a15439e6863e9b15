"""Varying blur against loops over px and moments, its amount against measured spreads, and its linearity."""

from unittest.mock import Mock

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blurgen.kernels import NO_BLUR, Blur, make_kernel
from blurgen.varying import MAX_TILT_KERNELS, amount_map, blur_varying, reach_px

ROTATION = Blur("rotation", turn_deg=5.0, centre_y=0.4, centre_x=0.3)
ZOOM = Blur("zoom", zoom=0.12, centre_y=0.6, centre_x=0.7)
TILTED = Blur("gaussian", sigma_px=3.0, tilt=0.5, tilt_angle_deg=30.0)
EACH = [
    NO_BLUR,
    Blur("disk", radius_px=2.5),
    Blur("nonlinear-motion", length_px=9.0, angle_deg=30.0, elastic_px=1.0, elastic_smoothness_px=5.0, seed=1),
    ROTATION,
    ZOOM,
    TILTED,
    Blur("polygon", radius_px=3.0, blades=5, tilt=0.9, tilt_angle_deg=200.0),
]
each = pytest.mark.parametrize("blur", EACH, ids=str)


def convolve(image, kernel):
    """The oracle's convolution: the mirrored image, shifted and added up."""
    reach, (height, width) = kernel.reach_px, image.shape[:2]
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), "reflect")
    total = np.zeros_like(image)
    for (row, column), weight in np.ndenumerate(kernel.weights[::-1, ::-1]):
        total += weight * padded[row : row + height, column : column + width]
    return total


def smooth_noise(shape, seed=0):
    noise = np.random.default_rng(seed).random(shape, dtype=np.float32)
    return cv2.GaussianBlur(noise, (0, 0), 2).reshape(shape) * 100


def bilinear(plane, row, column):
    """One value of the image that goes on as its mirror image."""
    padded = np.pad(plane, 12, "reflect")
    row, column = row + 12, column + 12
    top, left = int(np.floor(row)), int(np.floor(column))
    down, right = row - top, column - left
    upper = (1 - right) * padded[top, left] + right * padded[top, left + 1]
    lower = (1 - right) * padded[top + 1, left] + right * padded[top + 1, left + 1]
    return (1 - down) * upper + down * lower


def exposed(plane, blur, moments=60):
    """Each px as the mean over many moments of what is seen there, px by px."""
    rate = 1j * np.deg2rad(blur.turn_deg) + np.log1p(blur.zoom)
    factors = np.exp(rate * ((np.arange(moments) + 0.5) / moments - 0.5))
    factors = factors * (1 / factors).mean()  # so that a point's mean position is its own
    height, width = plane.shape
    centre = complex(blur.centre_x * width - 0.5, blur.centre_y * height - 0.5)
    result = np.zeros(plane.shape)
    for row in range(height):
        for column in range(width):
            seen = centre + factors * (complex(column, row) - centre)
            result[row, column] = np.mean([bilinear(plane, place.imag, place.real) for place in seen])
    return result


@pytest.mark.parametrize(
    "blur",
    [
        ROTATION,
        ZOOM,
        Blur("rotation", turn_deg=40.0, centre_y=0.5, centre_x=0.4),
        Blur("zoom", zoom=0.5, centre_y=0.5, centre_x=0.6),
    ],
    ids=str,
)
def test_rotation_and_zoom_are_the_mean_over_the_exposure(blur):
    image = smooth_noise((24, 30, 1))
    expected = exposed(image[..., 0], blur)
    change = np.abs(expected - image[..., 0]).max()
    assert change > 0.5
    np.testing.assert_allclose(blur_varying(image, blur, None)[..., 0], expected, atol=0.06 * change)


@pytest.mark.parametrize("blur", [Blur("rotation", turn_deg=15.0), Blur("zoom", zoom=0.4, centre_y=0.3)], ids=str)
def test_two_rounds_of_warps_give_what_one_gives(blur, monkeypatch):
    image = smooth_noise((120, 160, 3))
    two = blur_varying(image, blur, None)
    monkeypatch.setattr("blurgen.varying.MAX_WARPS_AT_ONCE", 10**6)
    one = blur_varying(image, blur, None)
    assert (one != two).any()
    np.testing.assert_allclose(two, one, atol=1)  # at the border too
    assert np.sqrt(np.mean((two - one) ** 2)) < 0.1


def spread_of(blurred):
    """Centroid (row, column) and standard deviation along an axis."""
    weights = blurred.astype(float) / blurred.sum(dtype=float)
    grid = np.mgrid[: weights.shape[0], : weights.shape[1]]
    middle = (grid * weights).sum(axis=(1, 2))
    return middle, np.sqrt((((grid - middle[:, None, None]) ** 2) * weights).sum() / 2)


@pytest.mark.parametrize("blur", [ROTATION, Blur("rotation", turn_deg=12.0, centre_y=0.4, centre_x=0.3)], ids=str)
@pytest.mark.parametrize("place", [(120, 90), (210, 200), (60, 250), (150, 40)])
def test_an_impulse_stays_centred_and_spreads_as_the_amount_says(blur, place):
    image = np.zeros((300, 300, 1), np.float32)
    image[place] = 1000
    middle, sigma = spread_of(blur_varying(image, blur, None)[..., 0])
    np.testing.assert_allclose(middle, place, atol=0.05)
    stated = amount_map(blur, (300, 300))[place]
    assert 0.98 * stated**2 <= sigma**2 <= 1.02 * stated**2 + 0.35  # bilinear sampling adds up to 1/3


@pytest.mark.parametrize("column", [20, 150, 280])
def test_an_edge_stays_where_it_is_while_the_camera_zooms(column):
    blur = Blur("zoom", zoom=0.12, centre_y=0.5, centre_x=0.4)
    image = np.zeros((41, 300, 1), np.float32)
    image[:, column:] = 1
    profile = blur_varying(image, blur, None)[20, :, 0].astype(float)
    assert 300 - profile.sum() == pytest.approx(column, abs=0.05)
    places = np.arange(299) + 1
    shares = np.diff(profile)
    spread = np.sqrt((shares * (places - column) ** 2).sum())
    # An edge moves in one direction only, the amount is averaged over two; sampling adds up to 1/4 in one.
    stated = amount_map(blur, (41, 300))[20, column] * np.sqrt(2)
    assert stated**2 * 0.97 <= spread**2 <= stated**2 * 1.03 + 0.3


@pytest.mark.parametrize("blur", [TILTED, Blur("disk", radius_px=6.0, tilt=0.9, tilt_angle_deg=110.0)], ids=str)
@pytest.mark.parametrize("place", [(60, 60), (20, 60), (60, 25), (90, 95)])
def test_where_a_plane_is_tilted_the_kernel_has_the_amount_that_is_stated(blur, place):
    amounts = amount_map(blur, (121, 121))
    # The kernel of a px says what each px gives to it; to see it, every impulse must be blurred on its own.
    weights = np.zeros((121, 121))
    reach = reach_px(blur, (121, 121))
    for row in range(max(0, place[0] - reach), min(121, place[0] + reach + 1)):
        image = np.zeros((121, 121, 121), np.float32)  # one channel for each impulse of this row
        image[row, np.arange(121), np.arange(121)] = 1
        near = np.s_[place[0] : place[0] + 1, place[1] : place[1] + 1]
        weights[row] = blur_varying(image, blur, lambda image, kernel: at(image, kernel, place))[near][0, 0]
    middle, sigma = spread_of(weights)
    np.testing.assert_allclose(middle, place, atol=0.01)
    assert sigma == pytest.approx(amounts[place], rel=0.01)


def at(image, kernel, place):
    """Convolution at one px only, which is all that is looked at."""
    reach, (row, column) = kernel.reach_px, place
    padded = np.pad(image, ((reach, reach), (reach, reach), (0, 0)))
    result = np.zeros_like(image)
    window = padded[row : row + 2 * reach + 1, column : column + 2 * reach + 1]
    result[place] = np.tensordot(kernel.weights[::-1, ::-1], window, 2)
    return result


def test_a_tilted_amount_goes_from_one_side_to_the_other():
    amounts = amount_map(Blur("gaussian", sigma_px=4.0, tilt=0.5), (40, 81))
    assert (np.diff(amounts, axis=1) > 0).all()  # 0 deg: grows to the right
    np.testing.assert_allclose(amounts, amounts[:1].repeat(40, axis=0))
    np.testing.assert_allclose(amounts[0, [0, 40, 80]], [2, 4, 6], rtol=0.03)
    upwards = amount_map(Blur("gaussian", sigma_px=4.0, tilt=0.5, tilt_angle_deg=90.0), (81, 40))
    np.testing.assert_allclose(upwards, np.rot90(amounts), rtol=1e-5)


@pytest.mark.parametrize("tilt", [0.2, 0.5, 0.9])
def test_a_blend_is_near_to_a_kernel_for_each_column(tilt):
    image = 100 * np.random.default_rng(0).random((60, 60, 1), dtype=np.float32)
    blurred = blur_varying(image, Blur("gaussian", sigma_px=3.0, tilt=tilt), convolve)  # 0 deg: columns are alike
    for column in range(0, 60, 7):
        sigma = 3 * (1 + tilt * (column - 29.5) / 29.5)
        alone = convolve(image, make_kernel(Blur("gaussian", sigma_px=sigma)))[:, column]
        assert np.abs(blurred[:, column] - alone).mean() < 0.15 * np.abs(image[:, column] - alone).mean()


@each
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_each_channel_is_blurred_alike_and_the_input_is_left_alone(blur, channels):
    image = smooth_noise((20, 26, channels))
    kept = image.copy()
    blurred = blur_varying(image, blur, convolve)
    assert blurred.shape == image.shape
    assert blurred.dtype == np.float32
    for channel in range(channels):
        alone = blur_varying(image[..., channel : channel + 1], blur, convolve)
        np.testing.assert_allclose(blurred[..., channel : channel + 1], alone, atol=1e-4)
    np.testing.assert_array_equal(image, kept)
    np.testing.assert_array_equal(blurred, blur_varying(image, blur, convolve))


@each
def test_a_constant_stays_and_sums_of_images_are_sums_of_blurs(blur):
    first, second = smooth_noise((30, 22, 2)), smooth_noise((30, 22, 2), seed=1)
    constant = np.full((30, 22, 5), 200, np.float32)
    np.testing.assert_allclose(blur_varying(constant, blur, convolve), 200, rtol=1e-5)
    both = blur_varying(2 * first - second, blur, convolve)
    apart = 2 * blur_varying(first, blur, convolve) - blur_varying(second, blur, convolve)
    np.testing.assert_allclose(both, apart, atol=1e-3)


@each
def test_nothing_beyond_the_reach_is_touched(blur):
    reach = reach_px(blur, (60, 80))
    for place in ((30, 40), (2, 3), (57, 77)):
        image = np.zeros((60, 80, 1), np.float32)
        image[place] = 1
        rows, columns = np.nonzero(blur_varying(image, blur, convolve)[..., 0])
        assert max(np.abs(rows - place[0]).max(), np.abs(columns - place[1]).max()) <= reach


def test_what_is_the_same_all_over_has_the_reach_and_the_amount_of_its_kernel():
    for blur in EACH[:3]:
        kernel = make_kernel(blur)
        assert reach_px(blur, (9, 7)) == kernel.reach_px
        np.testing.assert_allclose(amount_map(blur, (9, 7)), np.full((9, 7), kernel.sigma_px), rtol=1e-6)
    assert not amount_map(NO_BLUR, (4, 4)).any()


def test_the_amount_of_a_turn_grows_with_the_distance_from_its_centre():
    amounts = amount_map(Blur("rotation", turn_deg=4.0, centre_y=0.5, centre_x=0.5), (101, 101))
    assert amounts[50, 50] == 0
    assert amounts[50, 90] == pytest.approx(40 * np.deg2rad(4) / np.sqrt(24), rel=0.02)  # a line of that length
    assert amounts[10, 50] == pytest.approx(amounts[50, 90])
    np.testing.assert_array_equal(amount_map(Blur("rotation"), (9, 9)), 0)


def test_a_plane_takes_few_convolutions():
    for tilt, count in ((0.2, 3), (0.5, 4), (0.9, MAX_TILT_KERNELS)):
        convolution = Mock(side_effect=convolve)
        blur_varying(np.ones((30, 30, 1), np.float32), Blur("disk", radius_px=4.0, tilt=tilt), convolution)
        assert convolution.call_count == count


@given(
    st.sampled_from(["rotation", "zoom"]),
    st.floats(0, 1),
    st.tuples(st.floats(-1, 2), st.floats(-1, 2)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
)
@settings(max_examples=60, deadline=None)
def test_over_the_whole_range_a_constant_stays(kind, amount, centre, shape):
    numbers = {"turn_deg": 45 * amount} if kind == "rotation" else {"zoom": amount}
    blur = Blur(kind, **numbers, centre_y=centre[0], centre_x=centre[1])
    blurred = blur_varying(np.full((*shape, 3), 10, np.float32), blur, None)
    np.testing.assert_allclose(blurred, 10, rtol=1e-5)
    assert np.isfinite(amount_map(blur, shape)).all()
    assert reach_px(blur, shape) >= 0
