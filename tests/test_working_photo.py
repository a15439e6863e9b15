"""Any photo to 8-bit Lab: equal photos in different dtypes, photos without colour, and what is refused."""

import warnings

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blurgen.errors import PhotoError
from blurgen.proposals.working import working_photo


@pytest.fixture(scope="module")
def photo():
    """Smooth colours with some noise, 150 x 220 px, from 0 to 255."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 9, 3)).astype(np.uint8)
    smooth = cv2.resize(coarse, (220, 150), interpolation=cv2.INTER_CUBIC).astype(int)
    noisy = (smooth + rng.integers(-6, 7, smooth.shape)).clip(0, 255).astype(np.uint8)
    noisy[0, 0], noisy[0, 1] = 0, 255
    return noisy


def far(one, two):
    """The largest difference in levels."""
    assert one.shape == two.shape
    assert one.dtype == two.dtype == np.uint8
    return int(abs(one.astype(int) - two.astype(int)).max())


@pytest.mark.parametrize("side", [37, 75, 110, 219, 220, 512])  # a single px has no range
def test_rgb_of_8_bits_is_resized_and_converted(photo, side):
    ratio = min(1, side / 220)
    size = (max(1, round(220 * ratio)), max(1, round(150 * ratio)))
    resized = cv2.resize(photo, size, interpolation=cv2.INTER_AREA) if ratio < 1 else photo
    assert far(working_photo(photo, side), cv2.cvtColor(resized, cv2.COLOR_RGB2LAB)) == 0


def test_values_by_eye():
    image = np.array([[[0, 0, 0], [255, 255, 255], [255, 0, 0]]], np.uint8)
    # Red is L 53.2, a 80.1, b 67.2.
    assert working_photo(image, 64).tolist() == [[[0, 128, 128], [255, 128, 128], [136, 208, 195]]]


@pytest.mark.parametrize("side", [60, 110, 512])
def test_16_bits_equal_8_bits(photo, side):
    expected = working_photo(photo, side)
    assert far(working_photo(photo.astype(np.uint16) * 257, side), expected) <= 1
    assert far(working_photo(photo.astype(np.uint16), side), expected) <= 1  # 8 bits in a wider dtype


@pytest.mark.parametrize("bits", [10, 12, 14])
def test_sensors_of_fewer_bits_use_the_whole_range(photo, bits):
    sensor = np.rint(photo * ((2**bits - 1) / 255)).astype(np.uint16)
    assert far(working_photo(sensor, 512), working_photo(photo, 512)) <= 1


def test_one_top_bit_in_use_is_16_bits():
    levels = np.array([[0, 2**14]], np.uint16)
    assert working_photo(levels, 64)[0, 1, 0] < 150
    assert working_photo(levels - np.uint16(1) * (levels > 0), 64)[0, 1, 0] == 255


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("side", [60, 110, 512])
def test_floats_in_unit_range_equal_8_bits(photo, dtype, side):
    assert far(working_photo((photo / 255).astype(dtype), side), working_photo(photo, side)) <= 2


def test_floats_within_a_part_of_the_unit_range_are_not_stretched():
    assert np.unique(working_photo(np.full((9, 9), 0.5), 64)[..., 0]).tolist() == [137]
    assert np.unique(working_photo(np.full((401, 603, 3), 1, np.float32), 64)[..., 0]).tolist() == [255]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_temperatures_are_stretched(photo, dtype):
    unit = photo[..., 0] / 255
    stretched = working_photo((270 + 40 * unit).astype(dtype), 110)[..., 0].astype(int)
    assert stretched.min() == 0
    assert stretched.max() == 255
    plain = working_photo(unit.astype(np.float32), 110)[..., 0].astype(int)
    assert np.corrcoef(stretched.ravel(), plain.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("low", "high", "dtype"), [(98, 111, np.uint8), (6973, 7225, np.uint16), (0.5, 0.52, np.float32)]
)
def test_a_narrow_range_is_stretched(photo, low, high, dtype):
    unit = photo / 255
    image = low + (high - low) * unit
    result = working_photo(np.rint(image).astype(dtype) if high > 1 else image.astype(dtype), 110).astype(int)
    steps = high - low if high > 1 else 255
    assert abs(result - working_photo(photo, 110)).mean() < 2 + 255 / steps


def test_an_eighth_of_the_range_is_not_stretched():
    ramp = np.linspace(100, 140, 10_000).reshape(100, 100).astype(np.uint8)
    assert working_photo(ramp, 512)[..., 0].max() < 160


def test_channels_first_is_said_so():
    with pytest.raises(PhotoError, match="channels first"):
        working_photo(np.zeros((3, 64, 64), np.uint8), 512)


def test_stretching_ignores_a_few_outliers():
    ramp = np.linspace(0, 200, 10_000).reshape(100, 100)
    ramp[0, 0], ramp[-1, -1] = -1e6, 1e6
    lightness = working_photo(ramp, 512)[..., 0]
    assert (np.diff(lightness.ravel().astype(int)) >= 0).all()
    assert len(np.unique(lightness)) > 200


@pytest.mark.parametrize("outlier", [1e6, 1e9, 1e20])
def test_one_hot_pixel_does_not_erase_the_photo(photo, outlier):
    image = photo / 255 * 40
    hot = image.copy()
    hot[0, 0] = outlier
    assert abs(working_photo(hot, 512)[1:].astype(int) - working_photo(image, 512)[1:]).max() <= 2


def test_masked_values_are_refused(photo):
    with pytest.raises(PhotoError, match="masked"):
        working_photo(np.ma.masked_array(photo, photo > 200), 512)


def test_sums_of_half_precision_do_not_overflow():
    image = np.full((300, 300), 60_000, np.float16)
    image[:, 150:] = 1_000
    lightness = working_photo(image, 30)[..., 0]
    assert np.unique(lightness[:, :15]).tolist() == [255]
    assert np.unique(lightness[:, 15:]).tolist() == [0]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("side", [60, 110, 512])
def test_grey_is_rgb_with_equal_channels(photo, dtype, side):
    grey = photo[..., 1].astype(dtype)
    rgb = working_photo(np.dstack([grey] * 3), side)
    assert far(working_photo(grey, side), rgb) == 0
    assert far(working_photo(grey[:, :, None], side), rgb) == 0
    assert far(rgb[..., 1:], np.full_like(rgb[..., 1:], 128)) == 0


@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 120))
def test_sides(height, width, side):
    result = working_photo(np.zeros((height, width), np.uint8), side)
    assert result.shape[2] == 3
    ratio = min(1, side / max(height, width))
    assert result.shape[:2] == (max(1, round(height * ratio)), max(1, round(width * ratio)))


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1), (2, 50_000, 3), (70_000, 1, 5)])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float64])
def test_elongated_photos_work(shape, dtype):
    result = working_photo(np.ones(shape, dtype), 512)
    assert sorted(result.shape[:2]) == [1, 512]


@pytest.mark.parametrize("channels", [2, 4, 6, 300])
def test_copies_of_a_grey_photo_have_its_stretched_lightness(photo, channels):
    grey = cv2.resize(photo[..., 1], (110, 75), interpolation=cv2.INTER_AREA)
    result = working_photo(np.dstack([photo[..., 1]] * channels), 110)
    low, high = np.percentile(grey, (0.1, 99.9))
    expected = np.rint(((grey - low) / (high - low)).clip(0, 1) * 255).astype(np.uint8)
    assert far(result[..., 0], expected) <= 1
    assert far(result[..., 1:], np.full_like(result[..., 1:], 128)) == 0


def test_components_by_hand():
    # Four px: the first component is (channel 0 + channel 1) / sqrt 2, the second is channel 2, half as wide.
    image = np.zeros((2, 2, 4), np.float32)
    image[0, :, :2] = 1
    image[:, 0, 2] = 2**0.5 / 2
    result = working_photo(image, 64)
    assert np.array_equal(result[..., 0], [[255, 255], [0, 0]])
    assert np.array_equal(result[..., 1], [[153, 103], [153, 103]])
    assert np.unique(result[..., 2]).tolist() == [128]


def test_opposite_channels_are_signed_by_the_first():
    ramp = np.linspace(0, 1, 64).reshape(8, 8)
    assert far(working_photo(np.dstack([ramp, 1 - ramp]), 64), working_photo(np.dstack([ramp, -ramp]), 64)) == 0
    assert working_photo(np.dstack([ramp, 1 - ramp]), 64)[-1, -1, 0] == 255
    assert working_photo(np.dstack([1 - ramp, ramp]), 64)[-1, -1, 0] == 0


def test_order_of_channels_does_not_matter(photo):
    cube = np.dstack([photo, photo[::-1] // 3])
    assert far(working_photo(cube, 110), working_photo(cube[..., [3, 0, 5, 1, 4, 2]], 110)) <= 1


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("value", [0, 1, 0.1, 300.3, -7e20])
def test_constant_photos_are_flat(channels, value):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dtype in (np.float32, np.float64):
            result = working_photo(np.full((123, 211, channels), value, dtype), 64)
            assert np.ptp(result.reshape(-1, 3), axis=0).tolist() == [0, 0, 0]


def test_a_constant_channel_does_not_matter(photo):
    cube = np.dstack([photo, photo[..., ::-1] // 2]).astype(np.uint16)
    constant = np.full_like(cube[..., :1], 900)
    assert far(working_photo(np.dstack([cube, constant]), 110), working_photo(cube, 110)) <= 1


@given(
    st.sampled_from([np.uint8, np.uint16, np.float16, np.float32, np.float64]).flatmap(
        lambda dtype: arrays(
            dtype,
            st.tuples(st.integers(1, 12), st.integers(1, 12), st.integers(1, 6)),
            elements={"allow_nan": False, "allow_infinity": False, "min_value": -60_000, "max_value": 60_000}
            if np.dtype(dtype).kind == "f"
            else None,
        )
    ),
    st.integers(1, 15),
)
def test_any_photo_becomes_lab_without_a_warning(image, side):
    before = image.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = working_photo(image, side)
    assert result.dtype == np.uint8
    assert result.shape[2] == 3
    assert max(result.shape) <= max(side, 3)
    assert np.array_equal(image, before)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("side", [64, 512])
def test_layout_in_memory_does_not_matter(photo, dtype, channels, side):
    image = np.dstack([photo, photo[::-1]])[..., :channels].astype(dtype)
    expected = working_photo(image, side)
    read_only = image.copy()
    read_only.flags.writeable = False
    wide = np.repeat(image, 2, axis=1)
    planes = np.ascontiguousarray(image.transpose(2, 0, 1)).transpose(1, 2, 0)
    flipped = np.ascontiguousarray(image[::-1, ::-1, ::-1])[::-1, ::-1, ::-1]
    for same in (read_only, wide[:, ::2], planes, flipped, image.astype(image.dtype.newbyteorder(">"))):
        assert far(working_photo(same, side), expected) == 0
        assert np.array_equal(same, image)


@pytest.mark.parametrize("shape", [(40, 50), (40, 50, 3), (40, 50, 6)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_values_that_are_not_finite_are_counted(shape, dtype):
    image = np.ones(shape, dtype)
    image[3, 4:6], image[7, 0] = np.nan, -np.inf
    count = 3 * image[0, 0].size
    with pytest.raises(PhotoError, match=rf"^{count} of the {image.size} values .* replace them first$"):
        working_photo(image, 64)
    with pytest.raises(PhotoError, match=r"^all of the"):
        working_photo(image * np.nan, 64)


def test_fill_values_beyond_all_measure_are_named():
    image = np.ones((40, 50), np.float32)
    image[0, :2] = np.finfo(np.float32).min
    with pytest.raises(PhotoError, match=r"^2 of the 2000 values"):
        working_photo(image, 64)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ([[1, 2]], "list"),
        (None, "NoneType"),
        (np.zeros((5, 5), np.int16), "int16"),
        (np.zeros((5, 5), bool), "bool"),
        (np.zeros((5, 5), complex), "complex128"),
        (np.zeros((5, 5), object), "object"),
        (np.zeros((5, 5), np.int64), "int64"),
        (np.zeros((5, 5), "U1"), "U1"),
        (np.zeros((5, 5), [("a", np.uint8)]), "'a'"),
        (np.zeros(5, np.uint8), "(5,)"),
        (np.array(5, np.uint8), "()"),
        (np.zeros((2, 5, 5, 3), np.uint8), "(2, 5, 5, 3)"),
        (np.zeros((0, 5, 3), np.uint8), "(0, 5, 3)"),
        (np.zeros((5, 0), np.float32), "(5, 0)"),
        (np.zeros((5, 5, 0), np.uint16), "(5, 5, 0)"),
    ],
)
def test_wrong_input_is_named(image, message):
    with pytest.raises(PhotoError) as raised:
        working_photo(image, 64)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
