"""Shards of any channels and depth, and their targets: what the codec can't hold is stored losslessly."""

import tracemalloc
import zlib

import cv2
import h5py
import numpy as np
import pytest
from helpers_shards import build_shard, example_pair, photo_crop
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blurgen.errors import RecipeError, ShardError
from blurgen.shards.codecs import (
    StorageParams,
    decode_image,
    decode_target,
    encode_image,
    encode_target,
    image_header,
)
from blurgen.shards.format import TARGETS
from blurgen.shards.reader import Shard
from blurgen.shards.writer import ShardBuilder

RNG = np.random.default_rng(0)
SHAPE = (32, 40)  # of the example pairs


def as_array(data):
    return np.frombuffer(data, np.uint8)


def image_of(dtype, channels, height=32, width=40):
    """Noise over the whole range of the type."""
    if dtype == "float32":
        return RNG.normal(size=(height, width, channels)).astype(np.float32) * 1e30
    return RNG.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


def targets_of(pair):
    """Unknown, amount and type of an example pair."""
    amount = RNG.random(SHAPE).astype(np.float16) * (6 + pair)
    return {"unknown": amount > 5, "amount": amount, "type": RNG.integers(0, 3, SHAPE, np.uint8)}


def shard_of(tmp_path, images, codec="jpeg", targets=None):
    """A written shard of the given images, opened."""
    builder = ShardBuilder(StorageParams(codec=codec), photo_id_bytes=20)
    for pair, image in enumerate(images):
        _, mask, provenance = example_pair(pair, *image.shape[:2])
        builder.add(image, mask, provenance, targets(pair) if targets else {})
    return written(tmp_path, builder)


def written(tmp_path, builder):
    path = tmp_path / "shard.h5"
    path.write_bytes(builder.to_bytes())
    return Shard(path)


# Images ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "dtype", "channels", "codec"),
    [
        ("jpeg", "uint8", 3, "jpeg"),
        ("jpeg", "uint8", 1, "jpeg"),
        ("jpeg", "uint8", 2, "zlib"),
        ("jpeg", "uint8", 4, "zlib"),
        ("jpeg", "uint16", 3, "png"),
        ("jpeg", "uint16", 1, "png"),
        ("jpeg", "uint16", 5, "zlib"),
        ("jpeg", "float32", 3, "zlib"),
        ("png", "uint8", 3, "png"),
        ("png", "uint8", 1, "png"),
        ("png", "uint16", 3, "png"),
        ("png", "uint16", 4, "zlib"),
        ("png", "float32", 1, "zlib"),
        *(("raw", dtype, channels, "raw") for dtype in ("uint8", "uint16", "float32") for channels in (1, 3, 7)),
    ],
)
def test_an_image_is_stored_by_the_codec_asked_for_or_else_losslessly(asked, dtype, channels, codec):
    image = image_of(dtype, channels)
    data, stored_as = encode_image(image, StorageParams(codec=asked))
    assert stored_as == codec
    decoded = decode_image(as_array(data), codec, image.shape, dtype)
    assert (decoded.dtype, decoded.shape) == (image.dtype, image.shape)
    assert decoded.flags.writeable
    if codec != "jpeg":
        np.testing.assert_array_equal(decoded, image)


SIDES = st.integers(1, 24)
KINDS = {"u1": None, "u2": None, "f4": {"allow_nan": False, "allow_infinity": False}}


@settings(max_examples=150, deadline=None)
@given(
    image=st.sampled_from(sorted(KINDS)).flatmap(
        lambda kind: arrays(kind, st.tuples(SIDES, SIDES, st.integers(1, 6)), elements=KINDS[kind])
    ),
    asked=st.sampled_from(["png", "raw"]),
)
def test_every_image_comes_back(image, asked):
    data, codec = encode_image(image, StorageParams(codec=asked))
    decoded = decode_image(as_array(data), codec, image.shape, image.dtype.name)
    assert decoded.tobytes() == image.tobytes()  # -0.0 too


def test_a_zlib_image_is_its_bytes_by_significance():
    image = np.array([[[0x0102], [0x0304]], [[0x0506], [0x0708]]], np.uint16)
    data, codec = encode_image(np.repeat(image, 2, axis=2), StorageParams())
    assert codec == "zlib"
    assert zlib.decompress(data) == bytes([2, 2, 4, 4, 6, 6, 8, 8, 1, 1, 3, 3, 5, 5, 7, 7])


def test_the_images_of_other_byte_orders_are_the_same_bytes():
    image = image_of("uint16", 5)
    for codec in ("png", "raw"):
        swapped = encode_image(image.astype(">u2"), StorageParams(codec=codec))
        assert swapped == encode_image(image, StorageParams(codec=codec))


def test_a_grey_jpeg_is_grey_and_close():
    image = photo_crop(0)[..., 1:2]
    data, _ = encode_image(image, StorageParams())
    assert image_header(as_array(data)) == (64, 64, 1, "uint8")
    assert np.abs(decode_image(as_array(data), "jpeg", image.shape, "uint8").astype(int) - image).mean() < 3


def test_sides_beyond_jpeg_and_png_are_stored_losslessly():
    for width, codec in ((65_500, "jpeg"), (65_501, "png"), (1_000_001, "zlib")):
        image = np.zeros((1, width, 1), np.uint8)
        data, stored_as = encode_image(image, StorageParams())
        assert stored_as == codec
        assert decode_image(as_array(data), codec, image.shape, "uint8").shape == image.shape


@pytest.mark.parametrize("codec", ["jpeg", "png", "zlib", "raw"])
def test_an_image_of_another_kind_than_stated_is_refused(codec):
    channels = 2 if codec == "zlib" else 3
    image = image_of("uint8", channels)
    data, stored_as = encode_image(image, StorageParams(codec=codec if codec != "zlib" else "png"))
    assert stored_as == codec
    for shape, dtype in (
        ((*SHAPE, channels - 1), "uint8"),
        ((*SHAPE, channels + 1), "uint8"),
        ((*SHAPE, 256), "uint8"),
        ((*SHAPE, channels), "uint16"),
        ((*SHAPE, channels), "float32"),
        ((8000, 8000, channels), "uint8"),
    ):
        tracemalloc.start()
        with pytest.raises(ShardError):
            decode_image(as_array(data), codec, shape, dtype)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()


def test_pngs_of_other_forms_are_refused():
    image = np.zeros((*SHAPE, 4), np.uint8)
    with_alpha = as_array(cv2.imencode(".png", image)[1].tobytes())
    bilevel = as_array(cv2.imencode(".png", image[..., 0], [cv2.IMWRITE_PNG_BILEVEL, 1])[1].tobytes())
    for data in (with_alpha, bilevel):
        for channels in (1, 2, 3, 4):
            with pytest.raises(ShardError):
                decode_image(data, "png", (*SHAPE, channels), "uint8")


def test_a_chunk_that_claims_to_be_huge_is_refused():
    data = bytearray(encode_image(photo_crop(0, *SHAPE), StorageParams(codec="png"))[0])
    data[data.index(b"IDAT") - 4] = 0x7F
    with pytest.raises(ShardError):
        decode_image(as_array(bytes(data)), "png", (*SHAPE, 3), "uint8")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("codec", ["zlib", "raw"])
def test_images_with_values_that_are_no_numbers_are_refused(codec, value):
    image = image_of("float32", 2)
    image[3, 4, 1] = value
    data, _ = encode_image(image, StorageParams(codec="raw" if codec == "raw" else "png"))
    with pytest.raises(ShardError, match="not finite"):
        decode_image(as_array(data), codec, image.shape, "float32")


# Shards ---------------------------------------------------------------------------------------------------------------


def test_one_shard_holds_images_of_every_kind(tmp_path):
    kinds = [("uint8", 1), ("uint16", 3), ("float32", 7), ("uint8", 3)]
    images = [image_of(*kind) for kind in kinds]
    with shard_of(tmp_path, images, "png") as shard:
        for pair, (dtype, channels) in enumerate(kinds):
            np.testing.assert_array_equal(shard.image(pair), images[pair])
            row = shard.row(pair)
            assert (row["dtype"], row["channels"]) == (dtype, channels)
        assert [shard.row(pair)["codec"] for pair in range(4)] == ["png", "png", "zlib", "png"]
        assert shard.codec == "png"


@pytest.mark.parametrize(("dtype", "channels"), [("uint8", 1), ("uint16", 5), ("float32", 3)])
def test_a_raw_shard_is_one_array_of_its_type(tmp_path, dtype, channels):
    images = [image_of(dtype, channels) for _ in range(3)]
    with shard_of(tmp_path, images, "raw") as shard:
        np.testing.assert_array_equal([shard.image(pair) for pair in range(3)], images)
        path = shard.path
    with h5py.File(path) as file:
        assert file["images"].dtype == np.dtype(dtype).newbyteorder("<")
        np.testing.assert_array_equal(file["images"][:], images)


@pytest.mark.parametrize("other", [image_of("uint8", 1), image_of("uint16", 3), image_of("uint8", 3, 32, 41)])
def test_a_raw_shard_of_several_kinds_is_refused_with_what_to_do(tmp_path, other):
    with pytest.raises(
        RecipeError, match=r'"raw" holds images of one kind, here are 32 x 40 x 3 uint8 and .*: use "png"'
    ):
        shard_of(tmp_path, [image_of("uint8", 3), other], "raw")


@pytest.mark.parametrize(("column", "value"), [("channels", 1), ("dtype", b"uint16"), ("codec", b"png")])
def test_a_raw_shard_whose_table_says_something_else_is_refused(tmp_path, column, value):
    path = tmp_path / "shard.h5"
    path.write_bytes(build_shard("raw").to_bytes())
    for rows in (slice(None), 1):
        with h5py.File(path, "r+") as file:
            table = file["provenance"][:]
            table[column][rows] = value
            file["provenance"][:] = table
        with pytest.raises(ShardError, match=r"images|codec"):
            Shard(path)


def test_a_lossless_shard_holds_no_jpeg(tmp_path):
    path = tmp_path / "shard.h5"
    path.write_bytes(build_shard("png").to_bytes())
    with h5py.File(path, "r+") as file:
        table = file["provenance"][:]
        table["codec"][1] = b"jpeg"
        file["provenance"][:] = table
    with pytest.raises(ShardError, match="column codec"):
        Shard(path)


def test_a_raw_array_in_another_byte_order_is_refused(tmp_path):
    with shard_of(tmp_path, [image_of("uint16", 3)], "raw") as shard:
        path = shard.path
    with h5py.File(path, "r+") as file:
        values = file["images"][:]
        del file["images"]
        file.create_dataset("images", data=values, dtype=">u2")
    with pytest.raises(ShardError, match="images"):
        Shard(path)


# Targets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", [(), ("amount",), ("type", "unknown"), TARGETS])
@pytest.mark.parametrize("codec", ["jpeg", "raw"])
def test_the_targets_asked_for_come_back(tmp_path, names, codec):
    targets = [targets_of(pair) for pair in range(3)]
    images = [image_of("uint8", 3) for _ in range(3)]
    with shard_of(tmp_path, images, codec, lambda pair: {name: targets[pair][name] for name in names}) as shard:
        assert shard.targets == tuple(name for name in TARGETS if name in names)
        for pair in range(3):
            for name in names:
                target = shard.target(name, pair)
                assert target.dtype == targets[pair][name].dtype
                np.testing.assert_array_equal(target, targets[pair][name])
        for name in {*TARGETS, "mask"} - {*names}:
            with pytest.raises(KeyError, match="holds no target"):
                shard.target(name, 0)


def test_all_pairs_of_a_shard_have_the_same_targets(tmp_path):
    for missing in TARGETS:
        with pytest.raises(ValueError, match="pair 1 has"):
            shard_of(
                tmp_path,
                [image_of("uint8", 3)] * 2,
                targets=lambda pair, missing=missing: {
                    k: v for k, v in targets_of(0).items() if not pair or k != missing
                },
            )


def test_a_target_of_another_name_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not in tuple"):
        shard_of(tmp_path, [image_of("uint8", 3)], targets=lambda _: {"depth": np.zeros(SHAPE, np.uint8)})


@settings(max_examples=60, deadline=None)
@given(amount=arrays(np.float16, st.tuples(SIDES, SIDES), elements=st.floats(0, 65504, width=16)))
def test_amounts_are_lossless(amount):
    np.testing.assert_array_equal(
        decode_target("amount", as_array(encode_target("amount", amount)), amount.shape), amount
    )


IMPOSSIBLE = {
    "negative amounts": ("amount", encode_target("amount", np.full(SHAPE, -1, np.float16))),
    "amounts that are not finite": ("amount", encode_target("amount", np.full(SHAPE, np.inf, np.float16))),
    "amounts that are no numbers": ("amount", encode_target("amount", np.full(SHAPE, np.nan, np.float16))),
    "unknown types": ("type", encode_target("type", np.full(SHAPE, 3, np.uint8))),
    **{f"a bomb ({name})": (name, zlib.compress(bytes(40_000_000), 9)) for name in TARGETS},
    **{f"too little ({name})": (name, zlib.compress(bytes(159))) for name in TARGETS},
    **{f"nothing ({name})": (name, b"") for name in TARGETS},
    **{f"no zlib ({name})": (name, b"x" * 50) for name in TARGETS},
    **{f"cut short ({name})": (name, encode_target(name, targets_of(0)[name])[:-5]) for name in TARGETS},
}


@pytest.mark.parametrize("fault", IMPOSSIBLE)
def test_impossible_targets_are_refused_when_they_are_read(tmp_path, fault):
    name, blob = IMPOSSIBLE[fault]
    builder = ShardBuilder(StorageParams(), photo_id_bytes=20)
    builder.add(*example_pair(0), targets_of(0))
    builder.rows[0][0][name] = blob
    with written(tmp_path, builder) as shard:
        assert shard.image(0).shape == (*SHAPE, 3)
        tracemalloc.start()
        with pytest.raises(ShardError, match=rf"pair 0 of this shard: a target \({name}\)"):
            shard.target(name, 0)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()


@pytest.mark.parametrize(
    "change",
    [
        lambda file: file.__delitem__("amount_offsets"),
        lambda file: file.__delitem__("amount_bytes"),
        lambda file: file["amount_offsets"].__setitem__(1, 2**40),
        lambda file: file.create_dataset("sigma_bytes", data=np.zeros(4, np.uint8)),
    ],
)
def test_targets_that_are_not_whole_are_refused_when_the_shard_is_opened(tmp_path, change):
    with shard_of(tmp_path, [image_of("uint8", 3)] * 2, targets=targets_of) as shard:
        path = shard.path
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(ShardError, match=r"shard\.h5: "):
        Shard(path)


def read_everything(path):
    """True if all of a shard can be read, False if it is refused; nothing else may happen."""
    try:
        with Shard(path) as shard:
            for pair in range(len(shard)):
                assert shard.image(pair).ndim == 3
                assert shard.mask(pair).shape == shard.image(pair).shape[:2]
                assert all(shard.target(name, pair).shape == shard.mask(pair).shape for name in shard.targets)
    except ShardError:
        return False
    return True


@pytest.mark.parametrize("codec", ["png", "raw"])
def test_a_flipped_bit_never_raises_anything_but_shard_error(tmp_path, codec):
    kinds = [("uint16", 3), ("float32", 2), ("uint8", 1)] if codec == "png" else [("float32", 2)] * 3
    with shard_of(tmp_path, [image_of(*kind) for kind in kinds], codec, targets_of) as shard:
        path = shard.path
    assert read_everything(path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    outcomes = []
    for place in [*rng.integers(8 * len(data), size=150), *rng.integers(8 * 4000, size=150)]:
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        outcomes.append(read_everything(path))
    assert not all(outcomes)
