"""The first promise: kept blurred pixels do not depend, to the bit, on what the sharp region contains."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from blurgen.camera.light import Light
from blurgen.compositing import composite_far, composite_near
from blurgen.convolution import Lens, Surround
from blurgen.fill import FILLS, FillParams, fill_sharp_region
from blurgen.geometry import bounds
from blurgen.kernels import Blur
from blurgen.masks import largest_object
from blurgen.recipe import Recipe
from blurgen.synthesis import synthesize

EXACT_FILLS = [method for method in FILLS if method != "none"]
BLURS = {
    "small gaussian": Blur("gaussian", sigma_px=1),
    "gaussian": Blur("gaussian", sigma_px=4),
    "disk": Blur("disk", radius_px=6.3),
    "polygon": Blur("polygon", radius_px=4.1, blades=6, angle_deg=10),
    "short line": Blur("linear-motion", length_px=5, angle_deg=20),
    "path": Blur("nonlinear-motion", length_px=17, angle_deg=70, elastic_px=2, elastic_smoothness_px=5, seed=3),
    "shake": Blur("camera-shake", length_px=25, seed=9),
    "rotation": Blur("rotation", turn_deg=12, centre_y=0.4, centre_x=0.6),
    "zoom": Blur("zoom", zoom=0.15, centre_y=0.3, centre_x=0.5),
    "tilted": Blur("gaussian", sigma_px=3, tilt=0.6, tilt_angle_deg=40),
}
DTYPES = (np.uint8, np.uint16, np.float32)


def random_image(shape, dtype, rng):
    values = rng.random(shape)
    return values.astype(np.float32) if dtype == np.float32 else (values * np.iinfo(dtype).max).astype(dtype)


def far(image, mask, blur, method, light):
    lens = Lens.of(blur, mask.shape)
    filled = fill_sharp_region(image, mask, lens.reach_px, FillParams(method=method))
    seen = light.of(filled) if light.changes_values else filled
    return composite_far(image, mask, lens, Surround(seen, bounds(mask), lens.reach_px), light, None)[0]


def masks(height=41, width=53):
    """Blur masks of every awkward kind, by name; True = blurred."""
    rows, columns = np.mgrid[:height, :width]
    disc = (rows - 20) ** 2 + (columns - 25) ** 2 < 120
    pixel, corner = np.zeros((2, height, width), bool)
    pixel[7, 9] = corner[0, 0] = True
    return {
        "object sharp": ~disc,
        "object blurred": disc,
        "touches the border": columns < 20,
        "one sharp pixel": ~pixel,
        "one blurred pixel": pixel,
        "blurred corner pixel": corner,
        "thin line sharp": rows != 11,
        "thin line blurred": columns == 30,
        "checkerboard": (rows + columns) % 2 == 0,
        "noise": np.random.default_rng(1).random((height, width)) < 0.5,
    }


@pytest.mark.parametrize("name", masks())
@pytest.mark.parametrize("method", EXACT_FILLS)
@pytest.mark.parametrize("blur", BLURS)
def test_kept_blurred_pixels_do_not_depend_on_the_sharp_region_to_the_bit(name, method, blur):
    mask = masks()[name]
    rng = np.random.default_rng(0)
    image = random_image((*mask.shape, 3), np.uint8, rng)
    other = np.where(mask[..., None], image, random_image(image.shape, np.uint8, rng))
    first, second = (far(one, mask, BLURS[blur], method, Light(np.uint8)) for one in (image, other))
    np.testing.assert_array_equal(first[mask], second[mask])
    np.testing.assert_array_equal(first[~mask], image[~mask])


@given(st.data())
@settings(max_examples=120, deadline=None)
def test_no_leak_for_random_masks_sizes_depths_channels_and_light(data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    height, width = rng.integers(3, 60, 2)
    mask = ndimage.gaussian_filter(rng.random((height, width)), rng.uniform(0, 4))
    mask = mask > np.quantile(mask, data.draw(st.floats(0.02, 0.98)))
    if mask.all() or not mask.any():
        return
    dtype, channels = data.draw(st.sampled_from(DTYPES)), data.draw(st.sampled_from([1, 3, 5]))
    light = Light(dtype, data.draw(st.booleans()), data.draw(st.sampled_from([1.0, 8.0])))
    method, blur = data.draw(st.sampled_from(EXACT_FILLS)), BLURS[data.draw(st.sampled_from(sorted(BLURS)))]
    image = random_image((height, width, channels), dtype, rng)
    other = np.where(mask[..., None], image, random_image(image.shape, dtype, rng))
    first, second = (far(one, mask, blur, method, light) for one in (image, other))
    np.testing.assert_array_equal(first[mask], second[mask])
    np.testing.assert_array_equal(first[~mask], image[~mask])


@pytest.mark.parametrize("name", masks())
@pytest.mark.parametrize("blur", BLURS)
def test_of_a_near_layer_what_is_opaque_does_not_depend_on_what_is_behind_it(name, blur):
    mask = masks()[name]
    rng = np.random.default_rng(0)
    image = random_image((*mask.shape, 3), np.uint8, rng)
    other = np.where(mask[..., None], image, random_image(image.shape, np.uint8, rng))
    lens, light = Lens.of(BLURS[blur], mask.shape), Light(np.uint8)
    first, second = (composite_near(one, mask, lens, FillParams(), light, None)[0] for one in (image, other))
    opaque = ndimage.binary_erosion(mask, np.ones((2 * lens.reach_px + 1,) * 2), border_value=1)
    np.testing.assert_array_equal(first[opaque], second[opaque])


def test_the_naive_way_does_leak():
    mask = masks()["object sharp"]
    image = np.full((*mask.shape, 3), 100, np.uint8)
    bright = np.where(mask[..., None], image, np.uint8(255))
    assert (far(bright, mask, BLURS["gaussian"], "none", Light(np.uint8))[mask] != 100).any()


def test_the_callers_image_is_not_changed():
    mask = masks()["object sharp"]
    image = random_image((*mask.shape, 3), np.uint8, np.random.default_rng(7))
    before = image.copy()
    for method in FILLS:
        far(image, mask, BLURS["path"], method, Light(np.uint8))
    composite_near(image, mask, Lens.of(BLURS["path"], mask.shape), FillParams(), Light(np.uint8), None)
    np.testing.assert_array_equal(image, before)


EVERYTHING = Recipe().with_values(
    {
        "geometry.size": "native",
        "geometry.crop_scale_range": [1.0, 1.0],
        "mask.kinds": {"largest-object": 1.0},
        "mask.area_range": [0.0, 1.0],
        "mask.p_invert": 0.5,
        "blur.defocus_kinds": {"gaussian": 1.0, "disk": 1.0, "polygon": 1.0},
        "blur.motion_kinds": dict.fromkeys(("linear-motion", "camera-shake", "rotation", "zoom"), 1.0),
        "blur.p_tilt": 0.3,
        "camera.linear_light": True,
        "camera.highlight_gain_range": [1.0, 8.0],
        "camera.noise": 1.0,
    }
)


@given(st.integers(0, 10**6), st.sampled_from(EXACT_FILLS), st.sampled_from(DTYPES))
@settings(max_examples=60, deadline=None)
def test_a_whole_pair_with_light_highlights_and_noise_does_not_leak(pair, method, dtype):
    rng = np.random.default_rng(pair)
    rows, columns = np.mgrid[:64, :80]
    labels = ((rows - rng.integers(64)) ** 2 + (columns - rng.integers(80)) ** 2 < rng.integers(30, 1500)).astype(
        np.int32
    )
    recipe = EVERYTHING.with_values({"fill.method": method})
    photo = random_image((64, 80, 3), dtype, rng)
    photo[10:50, 10:60] = photo[0, 0]  # flat, so that there are blocks in which noise is found
    first = synthesize(photo, recipe, largest_object(labels), pair=pair)
    other = np.where(first.mask[..., None], photo, random_image(photo.shape, dtype, rng))
    region = labels.astype(bool) != first.provenance["inverted"]
    other = np.where(region[..., None], photo, other)  # where a turn is too slow to count, it is blurred all the same
    second = synthesize(other, recipe, largest_object(labels), pair=pair)
    np.testing.assert_array_equal(first.image[region], second.image[region])
    np.testing.assert_array_equal(first.image[~region], photo[~region])
