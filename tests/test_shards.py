"""Shards: what is written comes back, equal pairs are equal bytes, and nothing in a file is believed unchecked."""

import os
import tracemalloc
import zlib

import cv2
import h5py
import numpy as np
import pytest
from helpers_shards import build_shard, example_pair, photo_crop
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from blurgen.errors import ShardError
from blurgen.shards.codecs import StorageParams, decode_image, decode_mask, encode_image, encode_mask, image_header
from blurgen.shards.format import MAX_PIXELS, PROVENANCE_FIELDS, SCHEMA_VERSION
from blurgen.shards.reader import Shard

CODECS = ("jpeg", "png", "raw")


RGB = (3, "uint8")


def stored(image, **storage):
    """The bytes of an image, without the name of the codec."""
    return encode_image(image, StorageParams(**storage))[0]


def decode_rgb(data, codec, shape):
    return decode_image(data, codec, (*shape, 3), "uint8")


def as_array(data):
    return np.frombuffer(data, np.uint8)


# Codecs ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["png", "raw"])
@settings(max_examples=40, deadline=None)
@given(image=arrays(np.uint8, st.tuples(st.integers(1, 33), st.integers(1, 33), st.just(3))))
def test_png_and_raw_are_lossless(codec, image):
    data = stored(image, codec=codec)
    np.testing.assert_array_equal(decode_rgb(as_array(data), codec, image.shape[:2]), image)


@pytest.mark.parametrize("shape", [(64, 64), (47, 33), (1, 17)])
def test_jpeg_is_close_and_keeps_red_and_blue_apart(shape):
    image = photo_crop(0, *shape)
    decoded = decode_rgb(as_array(stored(image)), "jpeg", shape)
    assert decoded.dtype == np.uint8
    difference = np.abs(decoded.astype(int) - image)
    assert difference.mean() < 3
    assert difference.max() < 40


def test_jpeg_stores_colour_at_full_resolution():
    data = stored(photo_crop(0))
    frame = data.index(b"\xff\xc0")
    sampling = [data[frame + 11 + 3 * component] for component in range(3)]
    assert sampling == [0x11, 0x11, 0x11]


@settings(max_examples=150, deadline=None)
@given(mask=arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_masks_are_lossless(mask):
    np.testing.assert_array_equal(decode_mask(as_array(encode_mask(mask)), mask.shape), mask)


def test_a_mask_of_another_size_is_refused():
    data = as_array(encode_mask(np.ones((17, 9), bool)))
    for shape in ((17, 17), (8, 9), (1, 1), (9000, 7000)):
        with pytest.raises(ShardError, match="mask"):
            decode_mask(data, shape)


@pytest.mark.parametrize("codec", CODECS)
def test_an_image_of_another_size_than_stated_is_refused(codec):
    data = as_array(stored(photo_crop(0, 20, 30), codec=codec))
    for shape in ((30, 20), (20, 29), (8000, 8000)):
        if codec == "raw" and shape == (30, 20):
            continue  # the same number of bytes
        with pytest.raises(ShardError, match="size"):
            decode_rgb(data, codec, shape)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("data", [b"", b"\xff\xd8", b"\xff\xd8\xff\xc0", b"\x89PNG\r\n\x1a\n", b"BM" + bytes(60)])
def test_bytes_that_are_no_image_are_refused(codec, data):
    with pytest.raises(ShardError):
        decode_rgb(as_array(data), codec, (20, 30))


def test_the_size_in_a_thumbnail_is_not_taken_for_the_size_of_the_image():
    data = stored(photo_crop(0, 20, 30))
    thumbnail = stored(photo_crop(0, 8, 8))
    segment = b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2) + thumbnail
    assert image_header(as_array(data[:2] + segment + data[2:])) == (20, 30, *RGB)


@pytest.mark.parametrize("hidden", [b"\xff", b"\xff\xd0", b"\xff\x01", b"\xff\xd8", b"\xff\xc9\x00\x0b" + bytes(9)])
def test_jpeg_headers_that_decoders_may_read_otherwise_are_refused(hidden):
    data = stored(photo_crop(0, 20, 30))
    assert image_header(as_array(data)) == (20, 30, *RGB)
    with pytest.raises(ShardError):
        decode_rgb(as_array(data[:2] + hidden + data[2:]), "jpeg", (20, 30))


def test_a_png_that_does_not_begin_with_its_header_is_refused():
    data = stored(photo_crop(0, 20, 30), codec="png")
    fake = (13).to_bytes(4) + b"tEXt" + data[16:29]
    fake += zlib.crc32(fake[4:]).to_bytes(4)
    assert image_header(as_array(data)) == (20, 30, *RGB)
    assert image_header(as_array(data[:8] + fake + data[8:])) is None


# A shard's bytes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", CODECS)
def test_a_shard_is_the_same_bytes_whatever_the_order_of_add(codec):
    first = build_shard(codec, (0, 1, 2)).to_bytes()
    assert build_shard(codec, (2, 0, 1)).to_bytes() == first
    assert build_shard(codec, (2, 1, 0)).to_bytes() == first


def test_a_shard_records_no_time(shard_path):
    with h5py.File(shard_path) as file:
        assert {h5py.h5g.get_objinfo(file.id, name.encode()).mtime for name in file} == {0}


@pytest.fixture
def shard_path(tmp_path):
    """A good JPEG shard of three pairs."""
    path = tmp_path / "shard-00000.h5"
    path.write_bytes(build_shard().to_bytes())
    return path


def test_what_is_written_comes_back(tmp_path):
    for codec in CODECS:
        path = tmp_path / f"{codec}.h5"
        path.write_bytes(build_shard(codec).to_bytes())
        with Shard(path) as shard:
            assert len(shard) == 3
            for pair in range(3):
                image, mask, provenance = example_pair(pair)
                tolerance = 40 if codec == "jpeg" else 0
                assert np.abs(shard.image(pair).astype(int) - image).max() <= tolerance
                np.testing.assert_array_equal(shard.mask(pair), mask)
                added = {"inverted": False, "codec": codec, "dtype": "uint8", "channels": 3}
                assert shard.row(pair) == provenance | added
                assert shard.targets == ()


def test_a_jpeg_shard_can_be_read_with_plain_h5py(shard_path):
    with h5py.File(shard_path) as file:
        assert set(file) == {"image_bytes", "image_offsets", "mask_bytes", "mask_offsets", "provenance"}
        assert dict(file.attrs) == {"format": b"blurgen-shard", "schema_version": SCHEMA_VERSION, "codec": b"jpeg"}
        table = file["provenance"][:]
        assert table.dtype.names == tuple(PROVENANCE_FIELDS)
        assert table["pair"].tolist() == [0, 1, 2]
        assert table["photo"][2].decode() == "Füße/2.jpg"
        for name in ("image", "mask"):
            offsets = file[f"{name}_offsets"][:]
            assert offsets.dtype == np.uint64
            assert offsets[0] == 0
            assert offsets[-1] == len(file[f"{name}_bytes"])
        for pair in range(3):
            image, mask, _ = example_pair(pair)
            first, end = file["image_offsets"][pair : pair + 2]
            jpeg = cv2.imdecode(file["image_bytes"][first:end], cv2.IMREAD_COLOR_RGB)
            assert np.abs(jpeg.astype(int) - image).mean() < 3
            first, end = file["mask_offsets"][pair : pair + 2]
            bits = np.unpackbits(as_array(zlib.decompress(file["mask_bytes"][first:end].tobytes())))
            np.testing.assert_array_equal(bits[: mask.size].reshape(mask.shape), mask)


def test_a_raw_shard_is_one_plain_array(tmp_path):
    path = tmp_path / "shard.h5"
    path.write_bytes(build_shard("raw").to_bytes())
    with h5py.File(path) as file:
        assert set(file) == {"images", "mask_bytes", "mask_offsets", "provenance"}
        np.testing.assert_array_equal(file["images"][:], [example_pair(pair)[0] for pair in range(3)])


def test_pairs_of_several_sizes_fit_in_one_shard(tmp_path):
    builder = build_shard("png", (0,))
    builder.add(*example_pair(1, 17, 33))
    path = tmp_path / "shard.h5"
    path.write_bytes(builder.to_bytes())
    with Shard(path) as shard:
        assert [shard.image(pair).shape for pair in range(2)] == [(32, 40, 3), (17, 33, 3)]
        np.testing.assert_array_equal(shard.mask(1), example_pair(1, 17, 33)[1])


# Hostile shards: each change makes one thing wrong in a good shard ----------------------------------------------------


def replaced_by(name, make):
    """A change that puts something else in the place of a member; ``make`` gets its data."""

    def change(file):
        values = file[name][:]
        del file[name]
        make(file, values)

    return change


def stored_elsewhere(how):
    """Changes whose bytes are good but lie in another place: a reader that follows would not notice."""

    def change(file):
        values = file["mask_bytes"][:]
        del file["mask_bytes"]
        elsewhere = f"{file.filename}.elsewhere"
        if how == "soft link":
            file["image_bytes2"] = values
            file["mask_bytes"] = h5py.SoftLink("/image_bytes2")
        elif how == "external storage":
            values.tofile(elsewhere)
            file.create_dataset("mask_bytes", values.shape, "u1", external=[(elsewhere, 0, values.size)])
        else:
            with h5py.File(elsewhere, "w") as other:
                other["mask_bytes"] = values
            if how == "external link":
                file["mask_bytes"] = h5py.ExternalLink(elsewhere, "/mask_bytes")
            else:
                layout = h5py.VirtualLayout(values.shape, "u1")
                layout[:] = h5py.VirtualSource(elsewhere, "mask_bytes", shape=values.shape)
                file.create_virtual_dataset("mask_bytes", layout)

    return change


def soft_link_inside(file):
    file.move("mask_offsets", "image_offsets2")
    file["mask_offsets"] = h5py.SoftLink("/image_offsets2")
    del file["image_offsets"]
    file.move("image_offsets2", "image_offsets")


def replaced_with(name, **options):
    return replaced_by(name, lambda file, values: file.create_dataset(name, data=values, **options))


def with_values(name, change):
    """Write other values into a member, in place."""

    def apply(file):
        values = file[name][:]
        change(values)
        file[name][:] = values

    return apply


def provenance_without_a_column(file, values):
    file["provenance"] = values[[name for name in values.dtype.names if name != "seed"]].copy()


def provenance_of_another_type(file, values):
    kinds = {name: values.dtype[name] for name in PROVENANCE_FIELDS} | {"height": "<f4"}
    file["provenance"] = values.astype(list(kinds.items()))


def sized(table, height, width):
    table["height"], table["width"] = height, width


def provenance_with_gaps(file, values):
    kinds = [values.dtype[name] for name in PROVENANCE_FIELDS]
    offsets = [50 + values.dtype.fields[name][1] for name in PROVENANCE_FIELDS]
    shape = {"names": list(PROVENANCE_FIELDS), "formats": kinds, "offsets": offsets, "itemsize": 4000}
    file.create_dataset("provenance", (len(values),), np.dtype(shape))


def references(file, values):
    file.create_dataset("mask_bytes", values.shape, h5py.ref_dtype)


def strings(file, values):
    file.create_dataset("mask_bytes", data=["x"] * len(values), dtype=h5py.string_dtype())


HOSTILE = {
    **{how: stored_elsewhere(how) for how in ("external link", "soft link", "external storage", "virtual data set")},
    "soft link among the members": soft_link_inside,
    "chunked": replaced_with("image_bytes", chunks=(64,)),
    "compressed": replaced_with("image_bytes", compression="gzip"),
    "checksummed": replaced_with("provenance", fletcher32=True),
    "48 TB": replaced_by("image_bytes", lambda file, _: file.create_dataset("image_bytes", (48 * 10**12,), "u1")),
    "48 TB in chunks": replaced_by(
        "image_bytes", lambda file, _: file.create_dataset("image_bytes", (48 * 10**12,), "u1", chunks=(2**20,))
    ),
    "huge table": replaced_by(
        "provenance", lambda file, values: file.create_dataset("provenance", (10**12,), values.dtype)
    ),
    "null data set": replaced_by("mask_bytes", lambda file, _: file.__setitem__("mask_bytes", h5py.Empty("u1"))),
    "group": replaced_by("mask_bytes", lambda file, _: file.create_group("mask_bytes")),
    "named type": replaced_by("mask_bytes", lambda file, _: file.__setitem__("mask_bytes", np.dtype("u1"))),
    "object references": replaced_by("mask_bytes", references),
    "strings": replaced_by("mask_bytes", strings),
    "missing member": lambda file: file.__delitem__("mask_offsets"),
    "extra member": lambda file: file.create_dataset("extra", data=[1]),
    "signed bytes": replaced_by("mask_bytes", lambda file, v: file.create_dataset("mask_bytes", data=v.astype("i1"))),
    "signed offsets": replaced_by(
        "mask_offsets", lambda file, v: file.create_dataset("mask_offsets", data=v.astype("i8"))
    ),
    "bytes in two dimensions": replaced_by(
        "mask_bytes", lambda file, v: file.create_dataset("mask_bytes", data=v.reshape(1, -1))
    ),
    "offsets one short": replaced_by("mask_offsets", lambda file, v: file.create_dataset("mask_offsets", data=v[1:])),
    "offsets not rising": with_values("image_offsets", lambda v: v.__setitem__(1, v[2] + 1)),
    "offsets not from 0": with_values("image_offsets", lambda v: v.__setitem__(0, 1)),
    "offsets past the end": with_values("mask_offsets", lambda v: v.__setitem__(3, v[3] + 1)),
    "offsets short of the end": with_values("mask_offsets", lambda v: v.__setitem__(3, v[3] - 1)),
    "offsets beyond 2**63": with_values("mask_offsets", lambda v: v.__setitem__(1, 2**64 - 1)),
    "table without a column": replaced_by("provenance", provenance_without_a_column),
    "column of another type": replaced_by("provenance", provenance_of_another_type),
    "table with gaps": replaced_by("provenance", provenance_with_gaps),
    "table of numbers": replaced_by("provenance", lambda file, _: file.create_dataset("provenance", data=[1.0, 2, 3])),
    "empty table": replaced_by("provenance", lambda file, v: file.create_dataset("provenance", data=v[:0])),
    "table in two dimensions": replaced_by(
        "provenance", lambda file, v: file.create_dataset("provenance", data=v.reshape(1, -1))
    ),
    "height 0": with_values("provenance", lambda v: v["height"].__setitem__(1, 0)),
    "negative width": with_values("provenance", lambda v: v["width"].__setitem__(1, -40)),
    "an image of 2**62 px": with_values("provenance", lambda v: sized(v, 2**31 - 1, 2**31 - 1)),
    "an image just above the limit": with_values("provenance", lambda v: sized(v, 8001, MAX_PIXELS // 8000)),
    "no format": lambda file: file.attrs.__delitem__("format"),
    "another format": lambda file: file.attrs.__setitem__("format", "zarr"),
    "format as an array": lambda file: file.attrs.__setitem__("format", ["blurgen-shard"] * 3),
    "format as a reference": lambda file: file.attrs.__setitem__("format", file["provenance"].ref),
    "empty format": lambda file: file.attrs.__setitem__("format", h5py.Empty("S10")),
    "format that is not UTF-8": lambda file: file.attrs.__setitem__("format", b"\xff\xfe"),
    "another schema version": lambda file: file.attrs.__setitem__("schema_version", 1),
    "schema version as text": lambda file: file.attrs.__setitem__("schema_version", "1" * 1000),
    "schema version as an array": lambda file: file.attrs.__setitem__("schema_version", np.ones((50, 50))),
    "no codec": lambda file: file.attrs.__delitem__("codec"),
    "unknown codec": lambda file: file.attrs.__setitem__("codec", "exec"),
    "codec as numbers": lambda file: file.attrs.__setitem__("codec", np.arange(3)),
    "codec of another layout": lambda file: file.attrs.__setitem__("codec", "raw"),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_a_hostile_shard_is_refused_when_it_is_opened(shard_path, fault):
    with h5py.File(shard_path, "r+") as file:
        HOSTILE[fault](file)
    with pytest.raises(ShardError, match=r"shard-00000\.h5: ") as caught:
        Shard(shard_path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 700 + len(str(shard_path))


MOTION = {"length_px": 9, "elastic_px": 1, "elastic_smoothness_px": 5}
MOTION |= {"blur_kind": b"nonlinear-motion", "sigma_px": 0}
BLURS = [
    {"blur_kind": b"none"},
    {"blur_kind": b"gaussian", "sigma_px": 64, "tilt": 0.9, "tilt_angle_deg": 360},
    {"blur_kind": b"disk", "radius_px": 0.5, "tilt": 0.1},
    {"blur_kind": b"polygon", "radius_px": 9, "blades": 16, "angle_deg": -5},
    {"blur_kind": b"linear-motion", "length_px": 200, "angle_deg": 180},
    {**MOTION, "blur_seed": 2**32 - 1},
    {**MOTION, "elastic_px": 0, "elastic_smoothness_px": 0},
    {"blur_kind": b"camera-shake", "length_px": 400, "blur_seed": 7},
    {"blur_kind": b"rotation", "turn_deg": 45, "centre_y": -1, "centre_x": 2},
    {"blur_kind": b"zoom", "zoom": 1, "centre_y": 0.5},
]
NOT_OF_A_GAUSSIAN = (
    "radius_px",
    "blades",
    "length_px",
    "angle_deg",
    "elastic_px",
    "elastic_smoothness_px",
    "blur_seed",
)
NOT_OF_A_GAUSSIAN += ("turn_deg", "zoom", "centre_y", "centre_x")


@pytest.mark.parametrize(
    "values",
    [
        *({"blur_kind": kind} for kind in (b"evil", b"\xff", b"", b"Gaussian")),
        *({name: b"\xff"} for name in ("photo", "photo_sha256", "mask_kind", "fill")),
        *({name: b"\xff"} for name in ("mask_photo", "second_mask_kind")),
        *({name: b"other"} for name in ("mask_kind", "second_mask_kind", "fill")),
        *({name: np.nan} for name in ("sharpness", "second_share", "highlight_gain", "noise_sigma", "second_score")),
        *({name: value} for name in ("sharpness", "second_share", "mask_share", "mask_x") for value in (-0.1, 1.1)),
        *({"highlight_gain": value} for value in (0, 0.99, 1001)),
        *({name: -1} for name in ("noise_sigma", "noise_added", "noise_y", "noise_x", "second_region")),
        *({"jpeg_quality": value} for value in (-1, 101)),
        *({"mask_angle_deg": value} for value in (-1, 361)),
        *({name: 2} for name in ("near", "second_near", "linear_light", "jpeg_420")),
        *({name: np.nan} for name in ("score", "blurred_share", "sigma_px", "angle_deg", "elastic_px")),
        *({"score": value} for value in (np.inf, -np.inf)),
        *({"blurred_share": value} for value in (0, 1, -0.5, np.inf)),
        *({"mask_kind": b"all-sharp", "blurred_share": value} for value in (1, 0.5, 1e-300, np.nan)),
        *({"mask_kind": b"all-blurred", "blurred_share": value} for value in (0, 1.1, np.nan)),
        *({"mask_kind": kind, "blurred_share": 1} for kind in (b"proposal", b"half-plane", b"none")),
        *({"codec": value} for value in (b"", b"gif", b"raw", b"\xff")),
        *({"dtype": value} for value in (b"", b"int8", b"float64", b"O")),
        *({"channels": value} for value in (0, -3, 128)),
        {"channels": 127, "dtype": b"float32", "height": 2000, "width": 1000},
        *({"sigma_px": value} for value in (0, -1, 65, 1e300)),
        *({name: 1} for name in NOT_OF_A_GAUSSIAN),
        *({f"second_{name}": 1} for name in (*NOT_OF_A_GAUSSIAN, "sigma_px", "tilt", "tilt_angle_deg")),
        *({"tilt": value} for value in (-0.1, 0.91, np.nan)),
        *({"second_blur_kind": kind} for kind in (b"", b"motion", b"gaussian")),
        *({"second_blur_kind": b"gaussian", "second_sigma_px": value} for value in (0, 65, np.nan)),
        *({"sigma_px": 0} | blur for blur in ({"blur_kind": b"disk"}, {"blur_kind": b"zoom", "zoom": 1.1})),
        *({"sigma_px": 0, "blur_kind": b"polygon", "radius_px": 9, "blades": value} for value in (0, 2, 17)),
        {"sigma_px": 0, "blur_kind": b"camera-shake", "length_px": 401},
        {"sigma_px": 0, "blur_kind": b"rotation", "turn_deg": 1, "centre_x": 2.1},
        *({"inverted": value} for value in (2, 255)),
        *({name: -1} for name in ("attempt", "top", "left", "region", "fill_radius_px")),
        *({name: value} for name in ("crop_height", "crop_width") for value in (0, -5)),
        *({"pair": value} for value in (0, 2, -1, 2**62, -(2**63))),
        {"seed": 2**63},
        *(MOTION | {"length_px": value} for value in (0, -9, 201, np.nan)),
        *(MOTION | {"angle_deg": value} for value in (-361, 361)),
        *(MOTION | {"elastic_px": value} for value in (-1, 33)),
        *(MOTION | {"elastic_smoothness_px": value} for value in (0, 1e-300, 65)),
        MOTION | {"sigma_px": 1},
    ],
)
def test_provenance_that_can_not_be_is_refused(shard_path, values):
    with h5py.File(shard_path, "r+") as file:
        table = file["provenance"][:]
        for name, value in values.items():
            table[name][1] = value
        file["provenance"][:] = table
    with pytest.raises(ShardError, match=r"shard-00000\.h5: .*provenance table") as caught:
        Shard(shard_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "second_"])
@pytest.mark.parametrize("blur", BLURS)
def test_every_kind_of_blur_is_read(shard_path, blur, prefix):
    with h5py.File(shard_path, "r+") as file:
        table = file["provenance"][:]
        for name, value in ({"sigma_px": 0} | blur).items():
            table[prefix + name][1] = value
        file["provenance"][:] = table
    with Shard(shard_path) as shard:
        row = shard.row(1)
        assert row[f"{prefix}blur_kind"] == blur["blur_kind"].decode()
        assert all(row[prefix + name] == value for name, value in blur.items() if name != "blur_kind")


def test_127_channels_are_read_since_opencv_takes_as_many(tmp_path):
    image = np.zeros((32, 40, 127), np.uint8)
    builder = build_shard("png", ())
    builder.add(image, *example_pair(0)[1:])
    path = tmp_path / "shard.h5"
    path.write_bytes(builder.to_bytes())
    with Shard(path) as shard:
        assert shard.image(0).shape == image.shape


@pytest.mark.parametrize(("kind", "share"), [(b"all-sharp", 0), (b"all-blurred", 1), (b"all-blurred", 0.99)])
def test_masks_of_one_class_are_read(shard_path, kind, share):
    with h5py.File(shard_path, "r+") as file:
        table = file["provenance"][:]
        table["mask_kind"][1], table["blurred_share"][1] = kind, share
        file["provenance"][:] = table
    with Shard(shard_path) as shard:
        assert shard.row(1)["blurred_share"] == share


@pytest.mark.parametrize(("stated", "other"), [("jpeg", "png"), ("png", "jpeg")])
def test_an_image_of_another_codec_than_stated_is_refused(tmp_path, stated, other):
    blob = stored(example_pair(0)[0], codec=other)
    refused = pytest.raises(ShardError, match=f"pair 0 of this shard: an image is not stored as {stated}")
    with hostile_blobs(tmp_path, "image", blob, stated) as shard, refused:
        shard.image(0)


@pytest.mark.parametrize("name", ["x" * 256, "x\0y", "\ud800"])
def test_a_path_that_can_not_be_is_refused(tmp_path, name):
    with pytest.raises(ShardError, match=str(tmp_path)):
        Shard(tmp_path / name)


@pytest.mark.parametrize("shape", [(3, 40, 32, 3), (3, 32, 40, 4), (2, 32, 40, 3), (3, 32, 40)])
def test_a_raw_array_of_another_shape_is_refused(tmp_path, shape):
    path = tmp_path / "shard.h5"
    path.write_bytes(build_shard("raw").to_bytes())
    with h5py.File(path, "r+") as file:
        del file["images"]
        file["images"] = np.zeros(shape, np.uint8)
    with pytest.raises(ShardError, match="images"):
        Shard(path)


def test_a_blob_longer_than_any_codec_needs_is_not_read(shard_path):
    late = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    late.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    late.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    huge = 2 * 10**12  # a hole in the file: it takes no room on the disk
    with h5py.File(shard_path, "r+") as file:
        del file["image_bytes"]
        try:
            h5py.h5d.create(file.id, b"image_bytes", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((huge,)), late)
            file["image_offsets"][:] = [0, huge, huge, huge]
            file.flush()
        except (OSError, RuntimeError):
            pytest.skip("this file system has no files of that size")
    with Shard(shard_path) as shard, pytest.raises(ShardError, match="pair 0 of this shard: its image claims"):
        shard.image(0)


def hostile_blobs(tmp_path, kind, blob, codec="jpeg"):
    """A shard whose only pair has ``blob`` for its image or mask."""
    builder = build_shard(codec, (0,))
    builder.rows[0][0][kind] = blob
    path = tmp_path / "shard.h5"
    path.write_bytes(builder.to_bytes())
    return Shard(path)


def jpeg_claiming(side):
    data = stored(photo_crop(0, 32, 40))
    frame = data.index(b"\xff\xc0")
    return data[: frame + 5] + side.to_bytes(2) * 2 + data[frame + 9 :]


def png_claiming(side):
    data = stored(photo_crop(0, 32, 40), codec="png")
    header = b"IHDR" + side.to_bytes(4) * 2 + data[24:29]
    return data[:12] + header + zlib.crc32(header).to_bytes(4) + data[33:]


@pytest.mark.parametrize("codec", ["jpeg", "png"])
@pytest.mark.parametrize("bomb", [jpeg_claiming(65500), png_claiming(60000), png_claiming(2**31 - 1), b""])
def test_an_image_bomb_is_refused_by_its_header(tmp_path, codec, bomb):
    with hostile_blobs(tmp_path, "image", bomb, codec) as shard:
        assert shard.mask(0).any()
        tracemalloc.start()
        with pytest.raises(ShardError, match="pair 0 of this shard: an image has another size"):
            shard.image(0)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()


@pytest.mark.parametrize("blob", [zlib.compress(bytes(40_000_000), 9), zlib.compress(bytes(161)), b"", b"x" * 50])
def test_a_mask_that_unpacks_to_another_size_is_refused(tmp_path, blob):
    with hostile_blobs(tmp_path, "mask", blob) as shard:
        assert shard.image(0).shape == (32, 40, 3)
        tracemalloc.start()
        with pytest.raises(ShardError, match="pair 0 of this shard: a mask can't be decoded"):
            shard.mask(0)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()


def test_a_mask_cut_short_is_refused(tmp_path):
    blob = encode_mask(example_pair(0)[1])
    with hostile_blobs(tmp_path, "mask", blob[:-5]) as shard, pytest.raises(ShardError, match="mask"):
        shard.mask(0)


# Damage ---------------------------------------------------------------------------------------------------------------


def read_everything(path):
    """True if all of a shard can be read, False if it is refused; nothing else may happen."""
    try:
        with Shard(path) as shard:
            for pair in range(len(shard)):
                assert shard.image(pair).dtype == np.uint8
                assert shard.mask(pair).dtype == bool
                assert set(shard.row(pair)) == set(PROVENANCE_FIELDS)
    except ShardError:
        return False
    return True


@pytest.mark.parametrize("codec", CODECS)
def test_a_flipped_bit_never_raises_anything_but_shard_error(tmp_path, codec):
    data = build_shard(codec, height=16, width=16).to_bytes()
    path = tmp_path / "shard.h5"
    path.write_bytes(data)
    assert read_everything(path)
    rng = np.random.default_rng(0)
    places = [*rng.integers(8 * len(data), size=100), *rng.integers(8 * 2500, size=100)]  # the file; its first headers
    outcomes = []
    for place in places:
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        outcomes.append(read_everything(path))
    assert not all(outcomes)


@pytest.mark.parametrize("codec", CODECS)
def test_a_truncated_shard_is_refused(tmp_path, codec):
    data = build_shard(codec).to_bytes()
    path = tmp_path / "shard.h5"
    lengths = [0, 1, 8, 96, 512, *np.random.default_rng(1).integers(len(data) - 1, size=40), len(data) - 1]
    for length in lengths:
        path.write_bytes(data[:length])
        assert not read_everything(path)


def test_what_is_no_file_is_refused(tmp_path):
    pipe = tmp_path / "pipe.h5"
    os.mkfifo(pipe)
    (tmp_path / "text.h5").write_text("not HDF5\n" * 100)
    for path in (tmp_path / "missing.h5", tmp_path, pipe, tmp_path / "text.h5"):
        with pytest.raises(ShardError, match=str(path)):
            Shard(path)


def test_a_refused_shard_is_closed_again(shard_path):
    with h5py.File(shard_path, "r+") as file:
        file.attrs["format"] = "zarr"
    with pytest.raises(ShardError):
        Shard(shard_path)
    with h5py.File(shard_path, "r+") as file:  # HDF5 refuses this while the file is open for reading
        assert file.attrs["format"] == "zarr"
