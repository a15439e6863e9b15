"""How examples are changed: windows to the bit, maps against a slow loop, image and mask together."""

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blurgen.training.augment import DRAWS, Numbers, apply, draw
from blurgen.training.params import PRESETS, AugmentParams

DTYPES = (np.uint8, np.uint16, np.float32)


def example(shape=(70, 90), channels=3, dtype=np.uint8, seed=0):
    """Noise, and a mask with all three values in noise."""
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*shape, channels)).astype(dtype)
    return image / np.float32(255) if dtype == np.float32 else image, rng.choice(np.uint8([0, 128, 255]), shape)


def changed(params, image, mask, seed):
    numbers = draw(params, mask.shape, np.random.default_rng(seed).random(DRAWS))
    return numbers, *apply(numbers, image, mask)


# Windows


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 3, 4, 7])
def test_an_exact_window_holds_the_pixels_to_the_bit(dtype, channels):
    image, mask = example((70, 90), channels, dtype)
    seen = set()
    for seed in range(60):
        numbers, window, labels = changed(AugmentParams(size="48x64", p_turn=0.5), image, mask, seed)
        top, left, height, width = numbers.window
        assert (height, width) == ((64, 48) if numbers.turns % 2 else (48, 64))
        for got, whole in ((window, image), (labels, mask)):
            part = whole[top : top + height, left : left + width]
            wanted = np.rot90(part[:, ::-1] if numbers.flip else part, numbers.turns)
            assert got.dtype == whole.dtype
            assert got.flags.c_contiguous
            np.testing.assert_array_equal(got, wanted)
        seen.add((numbers.flip, numbers.turns))
    assert len(seen) == 8


def test_every_place_of_a_window_is_drawn():
    rng, params = np.random.default_rng(0), AugmentParams(size="32x32")
    places = {draw(params, (34, 33), rng.random(DRAWS)).window[:2] for _ in range(200)}
    assert places == {(top, left) for top in range(3) for left in range(2)}


def test_a_mirror_image_and_its_mask_mirror_together():
    image = np.zeros((32, 32, 3), np.uint8)
    image[:, :5] = 9
    numbers = Numbers((32, 32), (0, 0, 32, 32), flip=True)
    flipped, mask = apply(numbers, image, np.where(image[..., 0] == 9, np.uint8(255), np.uint8(0)))
    assert (flipped[:, 27:] == 9).all()
    assert (mask[:, 27:] == 255).all()
    assert not flipped[:, :27].any()
    assert not mask[:, :27].any()


@pytest.mark.parametrize("channels", [1, 3, 6])
def test_beyond_the_border_the_image_is_mirrored_and_the_mask_unknown(channels):
    image, mask = example((20, 40), channels)
    numbers, window, labels = changed(AugmentParams(size="64x64", p_flip=0), image, mask, 5)
    top, left = numbers.window[:2]
    assert -44 <= top <= 0
    assert -24 <= left <= 0
    beyond = [(-top, 64 + top - 20), (-left, 64 + left - 40)]
    np.testing.assert_array_equal(window, np.pad(image, [*beyond, (0, 0)], mode="reflect"))
    np.testing.assert_array_equal(labels, np.pad(mask, beyond, constant_values=128))


# Maps


def test_the_whole_example_is_averaged_where_it_shrinks():
    image, mask = example((96, 128))
    params = AugmentParams(size="48x32", crop="scaled", p_flip=0)
    _, small, labels = changed(params, image, mask, 0)
    means = image.reshape(48, 2, 32, 4, 3).mean((1, 3))
    assert np.abs(small - means).max() <= 0.5
    assert set(np.unique(labels)) == {0, 128, 255}


def test_the_drawn_area_is_that_share_of_the_example():
    params = AugmentParams(size="32x32", crop="scaled", crop_area_range=(0.25, 0.25))
    rng = np.random.default_rng(0)
    windows = np.array([draw(params, (100, 200), rng.random(DRAWS)).window for _ in range(300)])
    assert (windows[:, 2:] == (50, 100)).all()
    assert windows[:, :2].min() == 0
    assert tuple(windows[:, :2].max(0)) == (50, 100)


def by_loop(image, numbers):
    """Bilinear sampling of the mirrored image at the places that the map names, one pixel after the other."""
    height, width = image.shape[:2]
    pad = 200
    wide = np.pad(image.astype(float), [(pad, pad), (pad, pad), (0, 0)], mode="reflect")
    a, b, c, d, e, f = numbers.affine
    out = np.empty((*numbers.shape, image.shape[2]))
    inside = np.empty(numbers.shape, bool)
    for y in range(numbers.shape[0]):
        for x in range(numbers.shape[1]):
            u, v = a * x + b * y + c, d * x + e * y + f
            left, top = math.floor(u), math.floor(v)
            right, low = u - left, v - top
            four = wide[top + pad : top + pad + 2, left + pad : left + pad + 2]
            out[y, x] = np.einsum("i,j,ijc", [1 - low, low], [1 - right, right], four)
            inside[y, x] = -0.5 <= u <= width - 0.5 and -0.5 <= v <= height - 0.5
    return out, inside


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_a_map_samples_like_a_slow_loop(channels):
    image, _ = example((60, 80), channels)
    image = cv2.GaussianBlur(image, (0, 0), 2).reshape(image.shape)
    params = AugmentParams(
        size="48x40", crop="scaled", crop_area_range=(0.5, 1), rotate_deg_range=(-40, 40), shear_deg_range=(-20, 20),
        scale_range=(0.9, 1.6), shift_range=(-0.2, 0.2),
    )  # fmt: skip
    compared = 0
    for seed in range(8):
        numbers, turned, labels = changed(params, image, np.zeros((60, 80), np.uint8), seed)
        if np.hypot(*np.reshape(numbers.affine, (2, 3))[:, :2].T).max() < 1.5:
            wanted, inside = by_loop(image, numbers)
            assert np.abs(turned - wanted).max() < 2
            assert ((labels == 0) == inside).mean() > 0.995
            compared += 1
    assert compared >= 3


def test_a_quarter_of_a_turn_is_a_quarter_turn():
    image, mask = example((40, 40))
    params = AugmentParams(size="40x40", crop="scaled", p_flip=0, rotate_deg_range=(90, 90))
    _, turned, labels = changed(params, image, mask, 0)
    np.testing.assert_array_equal(turned, np.rot90(image, -1))
    np.testing.assert_array_equal(labels, np.rot90(mask, -1))


def test_magnified_twice_the_middle_half_is_seen():
    params = AugmentParams(size="40x40", crop="scaled", p_flip=0, scale_range=(2, 2))
    assert draw(params, (40, 60), np.random.default_rng(0).random(DRAWS)).window == (10, 15, 20, 30)


def test_a_map_is_its_steps_one_after_the_other():
    """Mirror, horizontal shear, clockwise turn, magnification, all about the middle; stretch; shift."""
    params = AugmentParams(
        size="40x50", crop="scaled", p_flip=1, rotate_deg_range=(30, 30), shear_deg_range=(20, 20),
        scale_range=(1.5, 1.5), shift_range=(0.1, 0.1),
    )  # fmt: skip
    matrix = np.reshape(draw(params, (60, 100), np.random.default_rng(0).random(DRAWS)).affine, (2, 3))
    for x, y in ((0, 0), (49, 0), (13, 37)):
        across, down = 24.5 - x, y - 19.5
        across += down * math.tan(math.radians(20))
        turned = (across + 1j * down) * np.exp(-1j * math.radians(30)) / 1.5
        wanted = 49.5 + turned.real * 100 / 50 + 0.1 * 100, 29.5 + turned.imag * 60 / 40 + 0.1 * 60
        np.testing.assert_allclose(matrix @ [x, y, 1], wanted)


def test_where_a_map_shrinks_much_places_are_kept_to_a_tenth_of_a_pixel():
    """Each pixel tells its own place: (x, y)."""
    image = np.stack(np.meshgrid(np.arange(170), np.arange(130)), 2).astype(np.float32)
    params = AugmentParams(size="40x40", crop="scaled", rotate_deg_range=(20, 20), scale_range=(1.1, 1.1))
    numbers, told, labels = changed(params, image, np.zeros((130, 170), np.uint8), 0)
    x, y = np.meshgrid(np.arange(40), np.arange(40))
    places = np.stack([x, y, np.ones_like(x)], 2) @ np.reshape(numbers.affine, (2, 3)).T
    middle = np.s_[10:30, 10:30]
    assert np.abs(told - places)[middle].max() < 0.1
    assert not labels[middle].any()


@pytest.mark.parametrize(("side", "most_px"), [(40, 0.3), (100, 0.15), (200, 0.1)])
@pytest.mark.parametrize("degrees", [0, 15])
def test_image_and_mask_stay_aligned(side, most_px, degrees):
    """The image shows its own mask. Half way between black and white is where the mask changes, to half a pixel."""
    yy, xx = np.mgrid[:side, :side] / side
    mask = np.where(np.hypot(yy - 0.45, xx - 0.4) < 0.3, np.uint8(255), np.uint8(0))
    params = AugmentParams(
        size="96x96", crop="scaled", crop_area_range=(0.6, 1), rotate_deg_range=(-degrees, degrees)
    )  # fmt: skip
    for seed in range(6):
        _, image, labels = changed(params, np.repeat(mask[..., None], 3, 2), mask, seed)
        shown, known = image[..., 0], labels != 128
        differ = known & ((shown > 127) != (labels == 255))
        step = math.ceil(96 / side)
        edge = cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, np.ones((2 * step + 1,) * 2, np.uint8)) > 0
        assert not (differ & ~edge).any()
        # On the mean the border is where the image has it: same area, same middle.
        assert abs(shown[known].mean() - labels[known].mean()) < 2.5
        for place in np.mgrid[:96, :96]:
            middles = [np.average(place[known], weights=values[known]) for values in (shown, labels)]
            assert abs(middles[0] - middles[1]) < most_px


# Colours


def test_colours_by_hand():
    image = np.full((32, 32, 3), 100, np.uint8)
    image[16:] = 200
    mask, whole = np.zeros((32, 32), np.uint8), Numbers((32, 32), (0, 0, 32, 32))
    brighter = apply(whole._replace(brightness=1.5), image, mask)[0]
    assert (brighter[0, 0, 0], brighter[31, 0, 0]) == (150, 255)
    flatter = apply(whole._replace(contrast=0.5), image, mask)[0]  # the mean grey is 150
    assert (flatter[0, 0, 0], flatter[31, 0, 0]) == (125, 175)
    image[:] = (140, 100, 80)
    grey = apply(whole._replace(saturation=0), image, mask)[0]
    assert grey[0, 0].tolist() == [110] * 3  # .299 x 140 + .587 x 100 + .114 x 80 = 109.7
    turned = apply(whole._replace(hue_deg=120), image, mask)[0]
    assert np.argmax(turned[0, 0]) != 0
    assert abs(turned[0, 0] @ [0.299, 0.587, 0.114] - 109.7) < 0.6


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_brightness_and_contrast_are_equal_for_all_channels_and_dtypes(dtype, channels):
    image, mask = example((32, 33), channels, dtype)
    whole = Numbers((32, 33), (0, 0, 32, 33), brightness=1.25, contrast=0.75)
    got = apply(whole, image, mask)[0]
    means = image.astype(float).mean((0, 1))
    grey = means @ [0.299, 0.587, 0.114] if channels == 3 else means.mean()
    wanted = ((image * 1.25) - 1.25 * grey) * 0.75 + 1.25 * grey
    most = np.inf if dtype == np.float32 else np.iinfo(dtype).max
    assert got.dtype == dtype
    np.testing.assert_allclose(got, np.clip(wanted, 0, most), atol=1e-5 if dtype == np.float32 else 0.51)


def test_grey_has_no_hue_and_no_saturation_to_change():
    image = np.repeat(example((32, 32), 1)[0], 3, 2)
    numbers = Numbers((32, 32), (0, 0, 32, 32), saturation=1.7, hue_deg=77)
    np.testing.assert_array_equal(apply(numbers, image, image[..., 0])[0], image)


# JPEG


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_degrades_and_keeps_colours(channels):
    image = np.zeros((48, 48, channels), np.uint8)
    image[..., 0] = 220
    image += np.random.default_rng(0).integers(0, 30, image.shape, dtype=np.uint8)
    mask, whole = np.zeros((48, 48), np.uint8), Numbers((48, 48), (0, 0, 48, 48))
    errors = []
    for quality in (95, 10):
        stored = apply(whole._replace(quality=quality), image, mask)[0]
        assert stored.shape == image.shape
        assert np.abs(stored.mean((0, 1)) - image.mean((0, 1))).max() < 10
        errors.append(np.abs(stored.astype(int) - image).mean())
    assert 0 < errors[0] < errors[1]


@pytest.mark.parametrize(("channels", "dtype"), [(3, np.uint16), (3, np.float32), (4, np.uint8)])
def test_what_jpeg_can_not_hold_is_passed_on(channels, dtype):
    image, mask = example((32, 32), channels, dtype)
    np.testing.assert_array_equal(apply(Numbers((32, 32), (0, 0, 32, 32), quality=30), image, mask)[0], image)


# Numbers


def test_a_parameter_changes_only_what_it_is_about():
    few = AugmentParams(size="40x40")
    many = AugmentParams(size="40x40", p_turn=1, brightness=0.5, hue_deg=30, p_jpeg=1)
    for seed in range(20):
        one, other = (draw(params, (64, 64), np.random.default_rng(seed).random(DRAWS)) for params in (few, many))
        assert (one.window, one.flip) == (other.window, other.flip)
        assert one.turns == 0 < other.turns
        assert 30 <= other.quality <= 95
        assert one[5:] == (1, 1, 1, 0, 0)


def test_probabilities_are_kept():
    rng = np.random.default_rng(0)
    params = AugmentParams(p_flip=0.2, p_turn=0.3, p_jpeg=0.4)
    drawn = [draw(params, (200, 200), rng.random(DRAWS)) for _ in range(4000)]
    for share, wanted in ((0.2, "flip"), (0.3, "turns"), (0.4, "quality")):
        assert abs(np.mean([bool(getattr(numbers, wanted)) for numbers in drawn]) - share) < 0.03


@settings(max_examples=60, deadline=None)
@given(
    preset=st.sampled_from(sorted(PRESETS)),
    shape=st.tuples(st.integers(8, 90), st.integers(8, 90)),
    size=st.tuples(st.integers(32, 80), st.integers(32, 80)),
    channels=st.sampled_from([1, 3, 5]),
    dtype=st.sampled_from(DTYPES),
    wild=st.booleans(),
    seed=st.integers(0, 2**32),
)
def test_whatever_is_drawn(preset, shape, size, channels, dtype, wild, seed):
    image, mask = example(shape, channels, dtype)
    kept = image.copy(), mask.copy()
    params = PRESETS[preset].augment.model_copy(update={"size": "{}x{}".format(*size), "p_turn": 0.5})
    if wild:
        ends = {"scale_range": (0.25, 4.0), "shift_range": (-0.5, 0.5), "crop_area_range": (0.01, 1.0)}
        params = params.model_copy(update={**ends, "rotate_deg_range": (0.0, 0.0), "shear_deg_range": (0.0, 0.0)})
    numbers, changed_image, changed_mask = changed(params, image, mask, seed)
    assert changed_image.shape == (*size, channels)
    assert changed_mask.shape == size
    assert changed_image.dtype == dtype
    assert set(np.unique(changed_mask)) <= {0, 128, 255}
    assert changed_image.flags.c_contiguous
    assert changed_mask.flags.c_contiguous
    again = changed(params, image, mask, seed)
    assert again[0] == numbers
    np.testing.assert_array_equal(again[1], changed_image)
    np.testing.assert_array_equal(image, kept[0])
    np.testing.assert_array_equal(mask, kept[1])
