"""Convolution, and what is put where: far and near layers, light and noise."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, signal

from blurgen.camera.light import Light, light_to_srgb, srgb_to_light
from blurgen.camera.noise import Noise, noise_planes
from blurgen.compositing import Grain, composite_far, composite_near
from blurgen.convolution import Lens, Surround, convolve
from blurgen.fill import FillParams, fill_sharp_region
from blurgen.geometry import bounds
from blurgen.kernels import Blur, make_kernel

BLURS = {
    "gaussian": Blur("gaussian", sigma_px=2.5),
    "disk": Blur("disk", radius_px=4.2),
    "polygon": Blur("polygon", radius_px=5, blades=5, angle_deg=20),
    "short line": Blur("linear-motion", length_px=2, angle_deg=20),
    "line": Blur("linear-motion", length_px=15, angle_deg=70),
    "path": Blur("nonlinear-motion", length_px=17, angle_deg=70, elastic_px=2, elastic_smoothness_px=5, seed=3),
    "shake": Blur("camera-shake", length_px=30, seed=4),
}
PLAIN = Light(np.uint8)


def noise_image(height=70, width=64, channels=3, dtype=np.uint8, seed=5):
    values = np.random.default_rng(seed).random((height, width, channels))
    return values.astype(np.float32) if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)


def exact(image, weights):
    """The convolution of an image mirrored at its border, in double precision."""
    reach = len(weights) // 2
    padded = np.pad(image.astype(float), ((reach, reach), (reach, reach), (0, 0)), mode="reflect")
    return np.stack([signal.convolve(plane, weights, mode="valid") for plane in np.moveaxis(padded, 2, 0)], -1)


@pytest.mark.parametrize("blur", BLURS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.uint8, 0.501), (np.uint16, 0.6), (np.float32, 1e-5)])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_convolution_agrees_with_scipy(blur, dtype, tolerance, channels):
    kernel, image = make_kernel(BLURS[blur]), noise_image(channels=channels, dtype=dtype)
    assert convolve(image, kernel).dtype == dtype
    assert np.abs(convolve(image, kernel) - exact(image, kernel.weights)).max() <= tolerance


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_a_window_with_room_to_spare_gives_what_the_whole_image_gives(data):
    image = noise_image(40, 50)
    top, left = data.draw(st.integers(0, 39)), data.draw(st.integers(0, 49))
    window = np.s_[top : data.draw(st.integers(top + 1, 40)), left : data.draw(st.integers(left + 1, 50))]
    blur = BLURS[data.draw(st.sampled_from(sorted(BLURS)))]
    lens = Lens.of(blur, (40, 50))
    part = Surround(image, window, lens.reach_px + data.draw(st.integers(0, 9))).blurred(lens)
    assert np.abs(part.astype(int) - convolve(image, lens.kernel)[window].astype(int)).max() <= 1  # round-off at .5
    assert np.abs(part - exact(image, lens.kernel.weights)[window]).max() <= 0.501


def test_bounds_of_a_mask():
    mask = np.zeros((20, 30), bool)
    mask[4:7, 9] = mask[5, 12] = True
    assert bounds(mask) == (slice(4, 7), slice(9, 13))
    assert bounds(mask, 5) == (slice(0, 12), slice(4, 18))
    assert bounds(mask, 100) == (slice(0, 20), slice(0, 30))


def disc(height=70, width=64, radius=15):
    rows, columns = np.mgrid[:height, :width]
    return (rows - height // 2) ** 2 + (columns - width // 2) ** 2 < radius**2


def far(image, mask, blur, light=PLAIN, grain=None, method="nearest"):
    lens = Lens.of(blur, mask.shape)
    filled = fill_sharp_region(image, mask, lens.reach_px, FillParams(method=method))
    seen = light.of(filled) if light.changes_values else filled
    return composite_far(image, mask, lens, Surround(seen, bounds(mask), lens.reach_px), light, grain)[0]


def test_a_far_layer_is_equation_1_of_the_paper():
    image, mask, blur = noise_image(), ~disc(), BLURS["disk"]
    filled = fill_sharp_region(image, mask, 100, FillParams())
    truth = np.where(mask[..., None], exact(filled, make_kernel(blur).weights), image)
    made = far(image, mask, blur)
    assert np.abs(made - truth).max() <= 0.501
    np.testing.assert_array_equal(made[~mask], image[~mask])


def test_light_is_blurred_in_linear_light():
    image, mask, blur = noise_image(), np.ones((70, 64), bool), BLURS["line"]
    lens = Lens.of(blur, mask.shape)
    light = Light(np.uint8, linear=True)
    made, _ = composite_far(image, mask, lens, Surround(light.of(image), bounds(mask), lens.reach_px), light, None)
    truth = 255 * light_to_srgb(exact(srgb_to_light(image / 255), lens.kernel.weights))
    assert np.abs(made - truth).max() <= 0.51


def near_by_definition(image, mask, blur, behind):
    """Premultiplied light over what is behind it, in double precision."""
    weights = make_kernel(blur).weights
    alpha = exact(mask[..., None].astype(float), weights)
    return exact(image * mask[..., None], weights) + (1 - alpha) * behind, alpha[..., 0]


@pytest.mark.parametrize("blur", BLURS)
def test_a_near_layer_spreads_over_what_is_behind_it(blur):
    image, mask = noise_image(), disc()
    side = 2 * (Lens.of(BLURS[blur], mask.shape).reach_px // 3 or 1) + 1
    continued = fill_sharp_region(image, ~mask, 100, FillParams()).astype(float)
    smooth = np.rint(ndimage.uniform_filter(continued, (side, side, 1), mode="mirror"))
    behind = np.where(mask[..., None], smooth, image)
    truth, alpha = near_by_definition(image, mask, BLURS[blur], behind)
    made, soft = composite_near(image, mask, Lens.of(BLURS[blur], mask.shape), FillParams(), PLAIN, None)
    assert np.abs(made - truth).max() <= 1.02  # what is behind may be rounded the other way
    np.testing.assert_array_equal(soft[np.abs(alpha - 0.5) > 1e-4], (alpha > 0.5)[np.abs(alpha - 0.5) > 1e-4])
    np.testing.assert_array_equal(made[alpha < 1e-6], image[alpha < 1e-6])


def test_along_a_straight_border_half_alpha_is_the_border():
    mask = np.zeros((60, 80), bool)
    mask[:, :40] = True
    for blur in BLURS.values():
        _, soft = composite_near(noise_image(60, 80), mask, Lens.of(blur, mask.shape), FillParams(), PLAIN, None)
        assert np.abs(soft.sum(axis=1) - 40).max() <= 1


def test_the_colour_of_a_near_object_is_seen_outside_of_its_outline_and_that_of_a_far_one_is_not():
    mask = disc()
    image = np.where(mask[..., None], np.uint8(250), np.uint8(10)) * np.ones(3, np.uint8)
    lens = Lens.of(BLURS["gaussian"], mask.shape)
    made, _ = composite_near(image, mask, lens, FillParams(), PLAIN, None)
    assert made[~mask].max() > 80
    assert far(image, mask, BLURS["gaussian"])[~mask].max() == 10
    assert far(image, ~mask, BLURS["gaussian"])[~mask].max() == 10  # nor does a sharp object leave a halo


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("near", [False, True])
def test_a_constant_stays_that_constant(dtype, linear, near):
    value = 0.4 if dtype == np.float32 else int(0.4 * np.iinfo(dtype).max)
    image = np.full((70, 64, 2), value, dtype)
    light = Light(dtype, linear)
    for blur in BLURS.values():
        if near:
            made, _ = composite_near(image, disc(), Lens.of(blur, (70, 64)), FillParams(), light, None)
        else:
            made = far(image, disc(), blur, light)
        np.testing.assert_allclose(made, image, rtol=1e-4, atol=0)


def test_highlights_bloom():
    image = np.full((70, 64, 3), 40, np.uint8)
    image[35, 32] = 255
    mask = np.ones((70, 64), bool)
    lens = Lens.of(Blur("disk", radius_px=5), mask.shape)
    seen = {}
    for gain in (1, 16):
        light = Light(np.uint8, linear=True, highlight_gain=gain)
        made, _ = composite_far(image, mask, lens, Surround(light.of(image), bounds(mask), lens.reach_px), light, None)
        seen[gain] = made[35, 34, 0]
    assert seen[1] < 70 < 110 < seen[16]


@pytest.mark.parametrize("near", [False, True])
def test_flat_areas_have_the_same_noise_after_the_blur_as_before(near):
    noise = Noise(np.eye(3) * 9.0, 0.1)
    image = np.rint(120 + np.dstack(noise_planes(noise, (300, 300), (500, 40)))).astype(np.uint8)
    mask = np.zeros((300, 300), bool)
    mask[:, 150:] = True
    grain = Grain(noise, (3, 999))
    for blur in (Blur("gaussian", sigma_px=0.8), Blur("gaussian", sigma_px=4), BLURS["line"]):
        lens = Lens.of(blur, mask.shape)
        if near:
            made, without = (composite_near(image, mask, lens, FillParams(), PLAIN, one)[0] for one in (grain, None))
        else:
            made, without = (far(image, mask, blur, PLAIN, one) for one in (grain, None))
        deep = np.s_[20:-20, 190:-20]
        assert without[deep].std() < 0.5 * image[deep].std()
        assert made[deep].std() == pytest.approx(image[deep].std(), rel=0.04)
        border = np.s_[20:-20, 140:160]  # where near layers are half there
        assert made[border].std() == pytest.approx(image[border].std(), rel=0.1)


@pytest.mark.parametrize("kind", ["rotation", "zoom", "tilt"])
@pytest.mark.parametrize("near", [False, True])
def test_blur_that_varies_is_composited_too(kind, near):
    blur = {
        "rotation": Blur("rotation", turn_deg=8, centre_y=0.5, centre_x=0.5),
        "zoom": Blur("zoom", zoom=0.2, centre_y=0.5, centre_x=0.5),
        "tilt": Blur("gaussian", sigma_px=3, tilt=0.5, tilt_angle_deg=30),
    }[kind]
    image = ndimage.gaussian_filter(noise_image(), (2, 2, 0))
    mask = disc(radius=25)
    if near:
        made, soft = composite_near(image, mask, Lens.of(blur, mask.shape), FillParams(), PLAIN, None)
        assert 0.5 < soft.sum() / mask.sum() < 1.5
    else:
        made = far(image, mask, blur)
        np.testing.assert_array_equal(made[~mask], image[~mask])
    assert made.dtype == np.uint8
    assert np.abs(made[mask].astype(int) - image[mask]).mean() > 0.5
