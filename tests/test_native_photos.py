"""Decoding with pixels="native": every channel and every bit of the file, or a reason why not."""

import io
import struct
import tracemalloc
import zlib
from contextlib import suppress

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

from blurgen.errors import ArgumentError, PhotoError, SourceError
from blurgen.sources import decode, open_source
from blurgen.sources.params import PhotoParams

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
RNG = np.random.default_rng(0)
COLOUR16 = RNG.integers(0, 2**16, (40, 50, 3), np.uint16)
GREY16 = COLOUR16[..., :1]
FLOATS = RNG.normal(size=(40, 50, 5)).astype(np.float32)


def native(data):
    """Decoded as native, with what holds for every photo checked."""
    pixels = decode(data, "native")
    assert pixels.ndim == 3
    assert pixels.dtype in (np.uint8, np.uint16, np.float32)
    assert pixels.dtype.isnative
    assert pixels.flags.c_contiguous
    assert pixels.flags.writeable
    assert pixels.dtype.kind == "u" or np.isfinite(pixels).all()
    return pixels


def reason(data):
    with pytest.raises(PhotoError) as caught:
        decode(data, "native")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200
    return str(caught.value)


def pillow(image, form, **options):
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def tiff(array, **options):
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **options)
    return buffer.getvalue()


def opencv(suffix, array, *options):
    return cv2.imencode(suffix, array[..., ::-1] if array.ndim == 3 else array, options)[1].tobytes()


def npy(array, **options):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asarray(array), **options)
    return buffer.getvalue()


def png16(array, kind, extra=b""):
    """A 16-bit PNG written by hand: colour type 0 grey, 2 RGB, 4 grey with alpha, 6 RGB with alpha."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    height, width = array.shape[:2]
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    transparent = chunk(b"tRNS", extra) if extra else b""
    return b"\x89PNG\r\n\x1a\n" + header + transparent + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def same(data, expected):
    pixels = native(data)
    assert pixels.dtype == expected.dtype
    np.testing.assert_array_equal(pixels, expected)


# The mode -------------------------------------------------------------------------------------------------------------


def test_rgb8_is_the_default_and_an_unknown_mode_is_refused():
    data = opencv(".png", COLOUR16)
    assert PhotoParams().pixels == "rgb8"
    np.testing.assert_array_equal(decode(data), decode(data, PhotoParams().pixels))
    assert decode(data).dtype == np.uint8
    with pytest.raises(ArgumentError, match="pixels is 'rgb16': give 'rgb8' or 'native'"):
        decode(data, "rgb16")


def test_arrays_are_listed_only_when_asked_for(tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "a.png")
    np.save(tmp_path / "b.npy", FLOATS)
    assert [photo.id for photo in open_source("folder", tmp_path).photos] == ["a.png"]
    photos = open_source("folder", tmp_path, arrays=True).photos
    assert [photo.id for photo in photos] == ["a.png", "b.npy"]
    same(photos[1].read(), FLOATS)
    assert open_source("sample", arrays=True) == open_source("sample")
    with pytest.raises(SourceError, match="arrays is int: give True or False"):
        open_source("folder", tmp_path, arrays=1)


# 8 bits ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "BMP", "PPM", "GIF"])
def test_8_bit_colour_is_what_rgb8_gives(form):
    photo = (COLOUR16 >> 8).astype(np.uint8)
    data = pillow(photo, form, **({"lossless": True} if form == "WEBP" else {}))
    same(data, decode(data))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "PPM"])
def test_grey_has_one_channel(form):
    data = pillow((GREY16[..., 0] >> 8).astype(np.uint8), form)
    same(data, decode(data)[..., :1])
    assert native(data).shape == (40, 50, 1)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_bilevel_is_0_and_255_in_one_channel(form):
    bits = GREY16[..., 0] > 2**15
    same(pillow(Image.fromarray(bits), form), np.where(bits, np.uint8(255), np.uint8(0))[..., None])


@pytest.mark.parametrize(("mode", "channels"), [("P", 3), ("RGBA", 3), ("LA", 1), ("CMYK", 3)])
def test_other_modes_become_rgb_or_grey_as_in_rgb8(mode, channels):
    photo = (COLOUR16 >> 8).astype(np.uint8)
    image = Image.fromarray(photo).convert(mode)
    if mode in ("RGBA", "LA"):
        image.putalpha(Image.fromarray(photo[..., 1]))
    data = pillow(image, "TIFF" if mode == "CMYK" else "PNG")
    same(data, decode(data)[..., :channels])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "deep PNG", "TIFF", "deep TIFF"])
def test_orientation_is_applied_as_in_rgb8(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    ramp = np.linspace(0, 255, 40 * 50).astype(np.uint8).reshape(40, 50)[..., None].repeat(3, 2)
    if form == "deep TIFF":
        data = tiff(ramp * np.uint16(257), photometric="rgb", extratags=[(274, "H", 1, orientation, True)])
    elif form == "deep PNG":
        plain = png16(ramp * np.uint16(257), 2)
        whole = pillow(ramp, "PNG", exif=exif)
        start = whole.index(b"eXIf") - 4
        length = 12 + int.from_bytes(whole[start : start + 4])
        data = plain[:33] + whole[start : start + length] + plain[33:]
    else:
        data = pillow(ramp, form, exif=exif)
    pixels = native(data)
    assert pixels.shape == ((50, 40, 3) if orientation > 4 else (40, 50, 3))
    np.testing.assert_array_equal(pixels >> 8 if "deep" in form else pixels, decode(data))


# 16 bits --------------------------------------------------------------------------------------------------------------


def test_16_bit_png_keeps_its_bits():
    same(png16(GREY16, 0), GREY16)
    same(png16(COLOUR16, 2), COLOUR16)


def laid_on_white(colours, alpha):
    share = alpha.astype(float)[..., None] / 65535
    return np.rint(colours * share + 65535 * (1 - share)).astype(np.uint16)


def test_16_bit_transparency_lies_on_white():
    alpha = np.roll(GREY16, 7)
    alpha[:4], alpha[4:8] = 0, 65535
    same(png16(np.dstack([COLOUR16, alpha]), 6), laid_on_white(COLOUR16, alpha[..., 0]))
    same(png16(np.dstack([GREY16, alpha]), 4), laid_on_white(GREY16, alpha[..., 0]))
    unassociated = tiff(np.dstack([COLOUR16, alpha]), photometric="rgb", extrasamples=["unassalpha"])
    same(unassociated, laid_on_white(COLOUR16, alpha[..., 0]))
    multiplied = np.rint(COLOUR16 * (alpha / 65535)).astype(np.uint16)
    associated = native(tiff(np.dstack([multiplied, alpha]), photometric="rgb", extrasamples=["assocalpha"]))
    assert np.abs(associated.astype(int) - laid_on_white(COLOUR16, alpha[..., 0])).max() <= 1


def test_the_transparent_colour_of_a_16_bit_png_becomes_white():
    grey, colour = GREY16.copy(), COLOUR16.copy()
    grey[3, 5], colour[3, 5] = 777, (1, 2, 3)
    for array, kind, key in ((grey, 0, [777]), (colour, 2, [1, 2, 3])):
        expected = np.where((array == key).all(axis=2, keepdims=True), np.uint16(65535), array)
        assert expected[3, 5, 0] == 65535
        same(png16(array, kind, np.array(key, ">u2").tobytes()), expected)


@pytest.mark.parametrize("most", [1023, 4095, 65535])
def test_pnm_values_stay_as_they_are_stored(most):
    for magic, array in ((b"P5", GREY16), (b"P6", COLOUR16)):
        stored = np.minimum(array, np.uint16(most))
        same(magic + b"\n50 40\n%d\n" % most + stored.astype(">u2").tobytes(), stored)


# TIFF -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 13])
def test_tiff_with_any_number_of_channels(dtype, byteorder, channels):
    array = (RNG.random((50, 64, channels)) * 250).astype(dtype)
    options = {"photometric": "minisblack", "byteorder": byteorder, "metadata": None}
    layouts = (
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "predictor": 2},
        {"tile": (16, 32)},
        {"rowsperstrip": 7},
    )
    for layout in layouts if dtype != "f4" else (layouts[0], layouts[1], layouts[3]):
        if channels == 1:
            same(tiff(array[..., 0], **options, **layout), array)
            continue
        same(tiff(array, planarconfig="contig", **options, **layout), array)
        same(tiff(np.moveaxis(array, 2, 0), planarconfig="separate", **options, **layout), array)


def test_tiff_colour_and_big_tiff():
    for options in ({}, {"bigtiff": True}, {"compression": "zlib", "predictor": 2}):
        same(tiff(COLOUR16, photometric="rgb", **options), COLOUR16)
    same(tiff(np.moveaxis(COLOUR16, 2, 0), photometric="rgb", planarconfig="separate"), COLOUR16)


def test_a_fourth_channel_that_is_not_transparency_is_kept():
    array = np.dstack([COLOUR16, GREY16])
    same(tiff(array, photometric="rgb", extrasamples=["unspecified"]), array)
    same(
        tiff((array >> 8).astype(np.uint8), photometric="rgb", extrasamples=["unspecified"]),
        (array >> 8).astype(np.uint8),
    )


def test_white_is_zero_is_inverted():
    same(tiff(GREY16[..., 0], photometric="miniswhite"), 65535 - GREY16)
    same(tiff((GREY16[..., 0] >> 8).astype(np.uint8), photometric="miniswhite"), (255 - (GREY16 >> 8)).astype(np.uint8))
    assert "zero for white" in reason(tiff(FLOATS[..., 0], photometric="miniswhite"))


def test_12_bits_in_16_stay_as_they_are():
    same(tiff(GREY16[..., 0] >> 4, photometric="minisblack"), GREY16 >> 4)


def test_other_floats_become_float32():
    for dtype in (np.float16, np.float64):
        array = FLOATS.astype(dtype)
        same(tiff(array, photometric="minisblack", planarconfig="contig"), array.astype(np.float32))


@pytest.mark.parametrize("compression", [5, 32773])  # LZW, PackBits
def test_compressions_that_only_libtiff_reads(compression):
    for array in (GREY16[..., 0], COLOUR16, FLOATS[..., 0], np.ascontiguousarray(FLOATS[..., :3])):
        data = opencv(".tif", array, cv2.IMWRITE_TIFF_COMPRESSION, compression)
        same(data, array.reshape(40, 50, -1))
    photo = (COLOUR16 >> 8).astype(np.uint8)
    same(pillow(photo, "TIFF", compression={5: "tiff_lzw", 32773: "packbits"}[compression]), photo)


def test_a_float_predictor_is_undone():
    data = opencv(".tif", FLOATS[..., 0], cv2.IMWRITE_TIFF_COMPRESSION, 8)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.pages[0].predictor == 3
    same(data, FLOATS[..., :1])


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "u4", "i8", "u8", "c8"])
def test_other_types_are_refused_with_what_to_do(dtype):
    array = np.ones((40, 50), dtype)
    assert "convert to uint8, uint16 or float32 first" in reason(npy(array))
    assert reason(tiff(array, photometric="minisblack"))


def test_pages_and_volumes_are_refused_and_previews_are_not():
    stack = np.stack([GREY16[..., 0], GREY16[..., 0].T.reshape(40, 50)])
    assert reason(tiff(stack, photometric="minisblack")).endswith("or all as the channels of one page")
    assert "a volume" in reason(tiff(stack.repeat(16, 0), photometric="minisblack", volumetric=True, tile=(16, 16, 16)))
    data = io.BytesIO()
    with tifffile.TiffWriter(data) as writer:
        writer.write(COLOUR16, photometric="rgb")
        writer.write(COLOUR16[::2, ::2], photometric="rgb", subfiletype=1)
    same(data.getvalue(), COLOUR16)


def test_camera_raw_is_not_taken_for_its_preview():
    version = [(50706, "B", 4, (1, 4, 0, 0), True)]
    assert "camera raw" in reason(tiff(COLOUR16, photometric="rgb", extratags=version))


def test_a_deflate_bomb_is_not_unpacked():
    bomb = zlib.compress(bytes(1 << 29), 9)
    good = tiff(np.zeros((64, 64), np.uint16), photometric="minisblack", compression="zlib", metadata=None)
    with tifffile.TiffFile(io.BytesIO(good)) as file:
        tags = {name: file.pages[0].tags[name].valueoffset for name in ("StripOffsets", "StripByteCounts")}
    data = bytearray(good + bomb)
    struct.pack_into("<I", data, tags["StripOffsets"], len(good))
    struct.pack_into("<I", data, tags["StripByteCounts"], len(bomb))
    tracemalloc.start()
    assert "unpacks to more than it should" in reason(bytes(data))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_every_truncation_of_a_deep_photo_is_found():
    small = COLOUR16[:32, :32]
    for data in (
        png16(small, 2),
        npy(small),
        tiff(small, photometric="rgb", compression="zlib"),
        tiff(small, photometric="rgb"),
    ):
        same(data, small)
        for length in [*range(0, len(data) - 40, 61), *range(len(data) - 40, len(data))]:
            with pytest.raises(PhotoError):
                decode(data[:length], "native")


# Arrays ---------------------------------------------------------------------------------------------------------------


@FUZZ
@given(
    array=st.sampled_from(["u1", "<u2", ">u2", "<f4", ">f4"]).flatmap(
        lambda dtype: arrays(dtype, st.tuples(st.integers(32, 36), st.integers(32, 36), st.integers(1, 5)),
                             elements={"min_value": -1e9, "max_value": 1e9} if "f" in dtype else None)
    ),
    version=st.sampled_from([(1, 0), (2, 0)]),
    fortran=st.booleans(),
)  # fmt: skip
def test_arrays_come_back(array, version, fortran):
    expected = array.astype(array.dtype.newbyteorder("="))
    same(npy(np.asfortranarray(array) if fortran else array, version=version), expected)
    same(npy(array[..., 0], version=version), expected[..., :1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_values_that_are_no_numbers_are_refused(value):
    array = FLOATS.astype(np.float64)
    array[5, 5, 2] = value
    assert reason(npy(array)) == "holds NaN, infinity or values beyond 1e+09: replace or scale them first"
    assert "replace or scale them first" in reason(tiff(array, photometric="minisblack", planarconfig="contig"))


def test_an_array_is_refused_as_rgb8():
    with pytest.raises(PhotoError, match=r'^an array: set photo\.pixels = "native" to use it$'):
        decode(npy(COLOUR16))


@FUZZ
@given(shape=array_shapes(min_dims=1, max_dims=4, max_side=3))
def test_arrays_of_other_shapes_are_refused(shape):
    assert reason(npy(np.zeros(shape, np.uint8)))


def test_what_an_array_may_not_be():
    assert "channels first: move them last" in reason(npy(np.zeros((3, 40, 50), np.uint8)))
    assert reason(npy(np.zeros((40, 31, 3), np.uint8))) == "31 x 40 px: smaller than 32 px"
    assert "257 channels" in reason(npy(np.zeros((40, 50, 257), np.uint8)))
    assert "give (height, width)" in reason(npy(np.uint8(5)))
    assert "not supported" in reason(npy(np.array([[None]]), allow_pickle=True))
    assert "not supported" in reason(npy(np.zeros((40, 40), [("a", "u1")])))


def header_claiming(shape, dtype="<u2", version=1):
    text = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape}}}\n".encode()
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text


@pytest.mark.parametrize(
    "header",
    [
        header_claiming("(8000, 8000, 8)"),
        header_claiming("(7000, 7000, 200)", "<f8"),
        header_claiming("(2147483647, 2147483647, 1)"),
        header_claiming("(9223372036854775807, 64)"),
        header_claiming("(-64, -64)"),
        header_claiming("(64, -64, -1)"),
        header_claiming("(64, 0)"),
        header_claiming("(64.0, 64)"),
        header_claiming("(True, 64)"),
        header_claiming("(64, 64)", "|O"),
        header_claiming("(64, 64)", "<M8[s]"),
        header_claiming("(64, 64)", "|V1000000000"),
        header_claiming("(64, 64)", "not a type"),
        header_claiming("[64, 64]"),
        header_claiming("(" * 5000),
        header_claiming("64", version=2),
        header_claiming("(64, 64)", version=3),
        header_claiming("(64, 64)", version=9),
        header_claiming("(64, 64)", version=2)[:8] + b"\xff" * 4,
        b"\x93NUMPY",
    ],
)
def test_hostile_headers_allocate_nothing(header):
    tracemalloc.start()
    reason(header + bytes(100))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


# Whatever the bytes are -----------------------------------------------------------------------------------------------


def seeds():
    grey, colour, floats = GREY16[:33, :34], COLOUR16[:33, :34], FLOATS[:33, :34]
    return [
        npy(floats),
        npy(grey, version=(2, 0)),
        png16(colour, 2),
        png16(np.dstack([grey, grey]), 4),
        b"P6 34 33 65535\n" + colour.tobytes(),
        tiff(floats, photometric="minisblack", planarconfig="contig"),
        tiff(colour, photometric="rgb", compression="zlib", predictor=2),
        tiff(np.moveaxis(colour, 2, 0), photometric="rgb", planarconfig="separate", tile=(16, 16), bigtiff=True),
        tiff(grey[..., 0], photometric="miniswhite", byteorder=">", rowsperstrip=5),
        opencv(".tif", colour, cv2.IMWRITE_TIFF_COMPRESSION, 5),
        opencv(".tif", floats[..., 0], cv2.IMWRITE_TIFF_COMPRESSION, 5),
        pillow((colour >> 8).astype(np.uint8), "JPEG"),
        pillow((colour >> 8).astype(np.uint8), "TIFF", compression="tiff_lzw"),
    ]


SEEDS = seeds()


def only_photo_errors(data):
    with suppress(PhotoError):
        native(data)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_seeds_are_good(seed):
    assert native(seed).shape[:2] == (33, 34)


@FUZZ
@given(
    start=st.sampled_from(
        [b"\x93NUMPY\1\0", b"\x93NUMPY\2\0v\0\0\0{", b"II*\0\x08\0\0\0", b"MM\0*", b"II+\0\x08\0\0\0"]
    ),
    rest=st.binary(max_size=400),
)
def test_random_bytes_raise_nothing_else(start, rest):
    only_photo_errors(start + rest)


@settings(FUZZ, max_examples=600)
@given(data=st.data())
def test_mutated_photos_raise_nothing_else(data):
    seed = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        ends = min(len(seed), 300)
        where = data.draw(
            st.integers(0, ends - 1) | st.integers(0, len(seed) - 1) | st.integers(len(seed) - ends, len(seed) - 1)
        )
        patch = data.draw(st.binary(max_size=8))
        seed[where : where + data.draw(st.integers(0, 8))] = patch
        if not seed:
            break
    only_photo_errors(bytes(seed))


def test_damaged_photos_write_nothing(capfd):
    rng = np.random.default_rng(0)
    for seed in SEEDS:
        for _ in range(30):
            damaged = bytearray(seed)
            for where in rng.integers(8, min(len(seed), 400), 6):
                damaged[where] = rng.integers(256)
            only_photo_errors(bytes(damaged))
    assert capfd.readouterr() == ("", "")
