"""Decoding: one way in for every photo, one typed error out for everything else."""

import io
import struct
import time
import zlib

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from blurgen.errors import PhotoError
from blurgen.sources import MAX_PIXELS, decode, open_source
from blurgen.sources.jpeg import check_jpeg
from blurgen.sources.photo import first_line

FUZZ = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
COLOURS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 0]]], np.uint8)  # red green / blue yellow


def encode(image, form, **options):
    """The bytes of a Pillow image or an array, saved in the given format."""
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, form, **options)
    return buffer.getvalue()


def corners():
    """(40, 60, 3): four quarters of one colour each."""
    return COLOURS.repeat(20, 0).repeat(30, 1)


def reason(data):
    with pytest.raises(PhotoError) as caught:
        decode(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture(scope="module")
def photo():
    """A real photo, (160, 200, 3) RGB."""
    samples = {photo.id: photo for photo in open_source("sample").photos}
    return decode(samples["coffee.png"].read())[40:200, 180:380]


@pytest.fixture(scope="module")
def jpeg(photo):
    return encode(photo, "JPEG", quality=85)


# Orientation, colour, depth


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_is_turned_upright(form, orientation):
    # stored = what a camera held in that way writes, so that the photo is upright again after decoding
    inverse = {2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE", 6: "ROTATE_90"}
    inverse |= {7: "TRANSVERSE", 8: "ROTATE_270"}
    stored = Image.fromarray(corners())
    if orientation in inverse:
        stored = stored.transpose(Image.Transpose[inverse[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"quality": 95, "subsampling": 0} if form == "JPEG" else {"lossless": True} if form == "WEBP" else {}
    decoded = decode(encode(stored, form, exif=exif, **options)).astype(int)
    assert decoded.shape == (40, 60, 3)
    assert np.abs(decoded[[5, 5, 35, 35], [5, 55, 5, 55]] - COLOURS.reshape(4, 3)).max() <= 4


def test_broken_exif_and_unknown_orientation_do_not_lose_the_photo(photo):
    assert decode(encode(photo, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff garbage")).shape == photo.shape
    exif = Image.Exif()
    exif[0x0112] = 77
    assert decode(encode(photo, "JPEG", exif=exif)).shape == photo.shape


def test_plain_rgb_is_exact_and_the_array_is_our_own(photo):
    decoded = decode(encode(photo, "PNG"))
    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    assert decoded.flags.writeable
    assert np.array_equal(decoded, photo)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "CMYK", "I;16"])
def test_large_photos_are_converted_in_strips_without_a_seam(mode, photo, monkeypatch):
    grey = (photo[..., 0] * np.uint16(200)).astype(np.uint16)
    data = encode(grey if mode == "I;16" else Image.fromarray(photo).convert(mode), "TIFF")
    whole = decode(data)
    monkeypatch.setattr("blurgen.sources.photo._STRIP_PIXELS", 200 * 7 + 3)
    assert np.array_equal(decode(data), whole)


def test_grey_and_black_and_white_become_three_equal_channels():
    grey = np.arange(40, dtype=np.uint8)[:, None].repeat(50, 1)
    assert np.array_equal(decode(encode(grey, "PNG")), grey[..., None].repeat(3, 2))
    assert np.array_equal(decode(encode(Image.fromarray(grey > 20), "PNG"))[:, 0, 1], np.where(grey[:, 0] > 20, 255, 0))


def test_palette_becomes_its_colours():
    image = Image.fromarray(corners()).quantize(4)
    assert image.mode == "P"
    assert np.array_equal(decode(encode(image, "PNG")), corners())
    assert np.array_equal(decode(encode(image, "GIF")), corners())


def test_transparent_pixels_lie_on_white():
    rgba = np.zeros((40, 40, 4), np.uint8)
    rgba[:20] = [200, 100, 0, 255]
    rgba[30:] = [0, 0, 0, 128]
    decoded = decode(encode(rgba, "PNG"))
    assert decoded[0, 0].tolist() == [200, 100, 0]
    assert decoded[25, 0].tolist() == [255] * 3
    assert np.abs(decoded[35, 0].astype(int) - 127).max() <= 1
    grey = Image.fromarray(rgba).convert("LA")
    assert decode(encode(grey, "PNG"))[25, 0].tolist() == [255] * 3
    palette = Image.fromarray(corners()).quantize(4)
    red = int(np.asarray(palette)[0, 0])
    assert decode(encode(palette, "PNG", transparency=red))[0, 0].tolist() == [255] * 3


@pytest.mark.parametrize("form", ["JPEG", "TIFF"])
def test_cmyk(form):
    cmyk = Image.fromarray(corners()).convert("CMYK")
    options = {"quality": 98, "subsampling": 0} if form == "JPEG" else {}
    decoded = decode(encode(cmyk, form, **options)).astype(int)
    assert np.abs(decoded[[5, 5, 35, 35], [5, 55, 5, 55]] - COLOURS.reshape(4, 3)).max() <= 6


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_16_bit_grey_is_divided_by_257(form):
    grey = np.zeros((40, 40), np.uint16)
    grey[0, :7] = [0, 128, 129, 257, 32768, 65535 - 129, 65535]
    assert decode(encode(grey, form))[0, :7, 0].tolist() == [0, 0, 1, 1, 128, 254, 255]


@pytest.mark.parametrize("byteorder", ["<", ">"])
def test_16_bit_tiffs_of_other_programs(byteorder):
    ramp = np.arange(0, 65536, 16, dtype=np.uint16).reshape(64, 64)
    proper = np.rint(ramp / 257).astype(int)
    for options in ({}, {"compression": "zlib"}, {"photometric": "miniswhite"})[: 3 if byteorder == "<" else 2]:
        data = io.BytesIO()
        tifffile.imwrite(data, ramp, byteorder=byteorder, **options)
        inverted = "photometric" in options
        assert np.array_equal(decode(data.getvalue())[..., 0], 255 - proper if inverted else proper)
    colour = np.stack([ramp, ramp[::-1], ramp.T], 2)
    for options in ({}, {"compression": "zlib"}, {"compression": "zlib", "predictor": True}):
        data = io.BytesIO()
        tifffile.imwrite(data, colour, photometric="rgb", byteorder=byteorder, **options)
        assert np.abs(decode(data.getvalue()).astype(int) - np.rint(colour / 257)).max() <= 1


def test_16_bit_tiff_in_planes_is_refused_because_pillow_mixes_it_up():
    planes, data = np.zeros((3, 40, 40), np.uint16), io.BytesIO()
    tifffile.imwrite(data, planes, photometric="rgb", planarconfig="separate")
    assert "separate planes" in reason(data.getvalue())


def test_float_and_32_bit_photos_are_refused_with_their_mode():
    assert "colour mode F" in reason(encode(np.zeros((40, 40), np.float32), "TIFF"))
    assert "colour mode I" in reason(encode(np.zeros((40, 40), np.int32), "TIFF"))


@pytest.mark.parametrize("form", ["BMP", "PPM", "WEBP", "GIF", "JPEG2000", "AVIF"])
def test_other_formats(form, photo):
    assert decode(encode(photo, form)).shape == photo.shape


# Refused by the header


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_more_than_one_frame_is_refused(form, photo):
    frames = [Image.fromarray(np.roll(photo, 20 * k, 1)) for k in range(3)]
    said = "several pages" if form == "TIFF" else "animated (3 frames): extract the frames first"
    assert said in reason(encode(frames[0], form, save_all=True, append_images=frames[1:]))


def test_mpo_of_a_camera_is_a_photo_its_first_frame(photo):
    frames = [Image.fromarray(photo), Image.fromarray(photo[::-1])]
    data = encode(frames[0], "MPO", save_all=True, append_images=frames[1:], quality=95)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    assert np.abs(decode(data).astype(int) - photo).mean() < 4


def test_a_tiff_with_a_preview_page_is_one_photo(photo):
    data = io.BytesIO()
    with tifffile.TiffWriter(data) as writer:
        writer.write(photo, photometric="rgb")
        writer.write(photo[::4, ::4], photometric="rgb", subfiletype=1)
    assert np.array_equal(decode(data.getvalue()), photo)


def test_camera_raw_is_not_taken_for_its_preview(photo):
    data = io.BytesIO()
    tifffile.imwrite(data, photo, photometric="rgb", extratags=[(50706, "B", 4, (1, 4, 0, 0), True)])
    assert "camera raw" in reason(data.getvalue())
    assert "camera raw" in reason(b"FUJIFILMCCD-RAW 0201FF129505" + bytes(1000))
    assert "camera raw" in reason(b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(1000))


def test_heic_is_named():
    assert reason(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(200)).startswith("HEIC is not supported")


def png(width, height, payload):
    """An RGB PNG of any stated size, without an encoder."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", payload) + chunk(b"IEND", b"")


def test_bombs_are_refused_before_anything_is_decoded():
    payload = zlib.compress(bytes(1_000_000), 9)
    start = time.perf_counter()
    assert reason(png(20000, 20000, payload)) == "400.0 Mpx is above the limit of 64 Mpx: resize it first"
    assert reason(png(8000, MAX_PIXELS // 8000 + 1, payload)).startswith("64.1 Mpx is above")
    assert "Mpx is above" in reason(png(2**31 - 1, 2**31 - 1, payload))
    webp = b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0\x12\0\0\0\xfe\x3f\0\xfe\x3f\0" + bytes(64)
    assert "268.5 Mpx" in reason(webp)
    assert time.perf_counter() - start < 0.5


def test_small_photos_are_refused():
    assert reason(encode(np.zeros((31, 400, 3), np.uint8), "PNG")) == "400 x 31 px: smaller than 32 px"
    assert decode(encode(np.zeros((32, 32, 3), np.uint8), "PNG")).shape == (32, 32, 3)


@pytest.mark.parametrize("data", [b"photo" * 100, bytes(5000), b"%!PS-Adobe-3.0\n" * 20, b"<svg></svg>"])
def test_what_is_no_photo(data):
    assert reason(data) == "not a photo that Pillow can read"


def test_a_contact_sheet_of_blurgen_is_no_photo(photo):
    for program, refused in (("blurgen contact sheet", True), ("another program", False)):
        text = PngImagePlugin.PngInfo()
        text.add_text("Software", program)
        data = encode(photo, "PNG", pnginfo=text)
        if refused:
            assert reason(data) == "a contact sheet of blurgen, not a photo"
        else:
            assert np.array_equal(decode(data), photo)


def test_reasons_hold_no_address_and_are_one_printable_line():
    assert (
        first_line(ValueError("bad <_io.BytesIO object at 0x7f00ab>\nend\x1b")) == "bad <_io.BytesIO object> end\\u001b"
    )


def test_an_empty_file():
    assert reason(b"") == "empty file"


# Damaged JPEGs


def test_every_truncation_of_a_jpeg_is_found(photo):
    for options in ({}, {"progressive": True}, {"optimize": True}):
        data = encode(photo[:64, :80], "JPEG", quality=80, **options)
        assert decode(data).shape == (64, 80, 3)
        for length in range(len(data)):
            with pytest.raises(PhotoError):
                decode(data[:length])


def test_truncation_is_named_even_when_an_embedded_preview_is_complete(photo, jpeg):
    exif = Image.Exif()
    exif[0x927C] = encode(photo[:64, :64], "JPEG")  # a whole JPEG, with its own end of image, inside a segment
    data = encode(photo, "JPEG", quality=85, exif=exif)
    assert data.count(b"\xff\xd9") == 2
    assert reason(data[: len(data) // 2]) == "truncated JPEG (no end-of-image marker)"


def test_trailing_data_is_allowed(photo, jpeg):
    assert np.array_equal(decode(jpeg + bytes(5000)), decode(jpeg))
    assert np.array_equal(decode(jpeg + jpeg[:700]), decode(jpeg))


@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}], ids=str)
def test_zeroed_bytes_in_a_photo_are_found(photo, options):
    data = encode(photo, "JPEG", quality=90, **options)
    start = len(data) // 3
    zeroed = "JPEG with zeroed bytes: copy it again from the original"
    assert reason(data[:start] + bytes(600) + data[start + 600 :]) == zeroed
    if not options:
        assert reason(data[:start] + bytes(256 + 2) + data[start + 258 :]) == zeroed
        assert reason(data[:start] + bytes(len(data) - start)) == zeroed
    assert "JPEG" in reason(data[:start] + bytes(len(data) - start))


def plain_pictures():
    """Pictures whose undamaged JPEGs hold long runs of zeros, or might."""
    rows, columns = np.mgrid[:600, :800]
    yield "white", np.full((1500, 2000), 255, np.uint8)
    yield "black", np.zeros((600, 800, 3), np.uint8)
    yield "ramp", (255 - columns * 255 // 799).astype(np.uint8)
    yield "falling", (255 - rows * 255 // 599).astype(np.uint8)
    for period in (2, 4, 8):
        yield f"checks {period}", ((rows // period + columns // period) % 2 * 255).astype(np.uint8)
        yield f"faint stripes {period}", (120 + columns // period % 2 * 3).astype(np.uint8)
    page = np.full((600, 800, 3), 255, np.uint8)
    page[200:300, 200:400] = [200, 30, 30]
    yield "page", page


@pytest.mark.parametrize("picture", list(plain_pictures()), ids=lambda picture: picture[0])
def test_no_false_alarm_on_plain_pictures(picture):
    for quality in (20, 75, 95):
        for options in ({}, {"optimize": True}, {"progressive": True}):
            check_jpeg(encode(picture[1], "JPEG", quality=quality, **options))


def test_a_white_page_does_hold_zeros_so_the_test_above_means_something():
    assert bytes(1000) in encode(np.full((1500, 2000), 255, np.uint8), "JPEG", optimize=True)


# Whatever the bytes are


def only_photo_errors(data):
    try:
        decoded = decode(data)
    except PhotoError:
        return
    assert decoded.dtype == np.uint8
    assert decoded.shape == (*decoded.shape[:2], 3)


def seeds():
    small = corners()
    grey16 = np.arange(1600, dtype=np.uint16).reshape(40, 40) * 40
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [Image.fromarray(small[::-1])]}
    return [
        encode(small, "JPEG", exif=exif),
        encode(small, "JPEG", progressive=True),
        encode(small, "MPO", **frames),
        encode(small, "PNG"),
        encode(grey16, "PNG"),
        encode(Image.fromarray(small).quantize(4), "PNG", transparency=1),
        encode(small, "PNG", **frames),
        encode(small, "TIFF"),
        encode(small, "TIFF", compression="tiff_lzw"),
        encode(grey16, "TIFF", compression="tiff_adobe_deflate"),
        encode(small, "GIF"),
        encode(small, "WEBP"),
        encode(small, "BMP"),
        encode(small, "PPM"),
        encode(small, "JPEG2000"),
        encode(small, "AVIF"),
    ]


SEEDS = seeds()
STARTS = [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"MM\0*", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"BM", b"P6 ", b""]


@FUZZ
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=400))
def test_random_bytes_raise_nothing_else(start, rest):
    only_photo_errors(start + rest)


@settings(FUZZ, max_examples=600)
@given(data=st.data())
def test_mutated_photos_raise_nothing_else(data):
    seed = bytearray(data.draw(st.sampled_from(SEEDS)))
    for _ in range(data.draw(st.integers(1, 6))):
        where = data.draw(st.integers(0, len(seed) - 1) | st.integers(0, min(len(seed), 200) - 1))
        patch = data.draw(st.binary(max_size=8))
        seed[where : where + data.draw(st.integers(0, 8))] = patch
        if not seed:
            break
    only_photo_errors(bytes(seed))


def test_damaged_photos_write_nothing_to_stderr(capfd, photo):
    rng = np.random.default_rng(0)
    for seed in SEEDS:
        for _ in range(20):
            damaged = bytearray(seed)
            for where in rng.integers(8, len(seed), 8):
                damaged[where] = rng.integers(256)
            only_photo_errors(bytes(damaged))
    assert capfd.readouterr() == ("", "")
    print("heard")
    assert capfd.readouterr().out == "heard\n"


def test_pillows_settings_are_left_alone(jpeg):
    before = Image.MAX_IMAGE_PIXELS
    decode(jpeg)
    reason(png(20000, 20000, b""))
    assert before == Image.MAX_IMAGE_PIXELS
