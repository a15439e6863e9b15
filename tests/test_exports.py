"""Exports, each opened by the library that it is for, and the way back from plain folders."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zlib
from contextlib import suppress
from pathlib import Path

import cv2
import h5py
import numpy as np
import pytest
from helpers_shards import RECIPE, example_pair, faults_of, file_bytes, make, write_photos
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from PIL import Image

import blurgen
from blurgen import open_dataset
from blurgen.dataset import read_manifest
from blurgen.dataset.manifest import write_manifest
from blurgen.errors import ArgumentError, BlurgenError, DependencyError, OutputError, ShardError
from blurgen.exports import EXPORTS, export, hf, import_png, webdataset
from blurgen.exports.coco import bounding_box, run_lengths
from blurgen.exports.pairs import from_npy, in_volumes, to_npy
from blurgen.files import document_digest, locked, publish_json, sha256
from blurgen.shards.codecs import StorageParams
from blurgen.shards.format import PROVENANCE_FIELDS
from blurgen.shards.writer import ShardBuilder
from blurgen_cli.main import main

TARGETS = ("unknown", "amount", "type")
LICENCES = {0: "CC-BY-4.0", 1: 'odd "licence" <b>', 2: "CC-BY-4.0"}


# Data sets ------------------------------------------------------------------------------------------------------------


def image_of(number, height, width, channels, dtype):
    rng = np.random.default_rng(number)
    if dtype == "float32":
        return rng.normal(size=(height, width, channels)).astype(dtype) * 1e30
    if (channels, dtype) == (3, "uint8"):
        return example_pair(number, height, width)[0]
    return rng.integers(0, np.iinfo(dtype).max, (height, width, channels), dtype, endpoint=True)


def images_of(kinds):
    return [image_of(number, *one) for number, one in enumerate(kinds)]


def pair_of(number, image):
    """Mask, provenance and targets for an image; the second is all sharp, the third all blurred."""
    _, mask, row = example_pair(number, *image.shape[:2])
    row |= {"origin": 0, "origin_pair": number, "photo_sha256": f"{number:064x}", "mask_photo": ""}
    if number in (1, 2):
        mask = np.full(mask.shape, number == 2)
        row |= {"mask_kind": ("all-sharp", "all-blurred")[number - 1]}
    amount = (mask * np.random.default_rng(number).uniform(0.1, 9, mask.shape)).astype(np.float16)
    targets = {"unknown": amount > 5, "amount": amount, "type": mask * np.uint8(1 + number % 2)}
    return mask, row | {"blurred_share": mask.mean()}, targets


def data_set(folder, images, codec="jpeg", targets=TARGETS, per_shard=2):
    """A data set of the given images."""
    folder.mkdir()
    receipts = []
    for shard, first in enumerate(range(0, len(images), per_shard)):
        builder = ShardBuilder(StorageParams(codec=codec), photo_id_bytes=12)
        for number, image in enumerate(images[first : first + per_shard], first):
            mask, row, made = pair_of(number, image)
            builder.add(image, mask, row, {name: made[name] for name in targets})
        receipts.append(builder.publish(folder, shard, {"rejected": {}, "replaced": 0, "upscaled": 0}))
    photos = [
        {"id": f"Füße/{number}.jpg", "licence": LICENCES.get(number, "unknown"), "sha256": f"{number:064x}"}
        for number in range(len(images))
    ]
    identity = {"pairs": len(images), "seed": 2**63 - 1, "source": "folder", "split": "", "photos": photos}
    identity |= {"recipe": RECIPE.model_dump(mode="json"), "quarantined": []}
    write_manifest(folder, RECIPE, identity, receipts)
    return folder


SIZES = ((32, 40), (40, 32), (33, 47), (32, 40), (35, 35))
KINDS = {
    "jpeg": ("jpeg", [(*size, 3, "uint8") for size in SIZES]),
    "jpeg-grey": ("jpeg", [(*size, 1, "uint8") for size in SIZES]),
    "png": ("png", [(*size, 3, "uint8") for size in SIZES]),
    "png-deep": ("png", [(*size, 1, "uint16") for size in SIZES]),
    "png-deep-colour": ("png", [(*size, 3, "uint16") for size in SIZES]),
    "raw": ("raw", [(32, 40, 3, "uint8")] * 5),
    "raw-two-channels": ("raw", [(32, 40, 2, "uint16")] * 5),
    "floats": ("jpeg", [(*size, 5 - place, "float32") for place, size in enumerate(SIZES)]),
    "mixed": ("jpeg", [(32, 40, 3, "uint8"), (32, 40, 3, "uint16"), (33, 47, 4, "uint8"), (40, 32, 1, "uint16")]),
}
NO_PNG = ("raw-two-channels", "floats", "mixed")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Data sets of each kind, made when first asked for; not to be changed."""
    root, made = tmp_path_factory.mktemp("sets"), {}

    def get(kind):
        if kind not in made:
            codec, kinds = KINDS[kind]
            made[kind] = data_set(root / kind, images_of(kinds), codec)
        return made[kind]

    return get


def pairs_of(folder):
    with open_dataset(folder) as data:
        return list(data)


def assert_same_pixels(found, pair):
    """``found`` is (H, W) or (H, W, C), and equal to the pair's image in shape, type and value."""
    found = np.asarray(found)
    expected = pair.image[..., 0] if pair.image.shape[2] == 1 and found.ndim == 2 else pair.image
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def read_image(data, suffix):
    """By what blurgen reads JPEGs with, whose decoders differ by a level; else by numpy or Pillow; RGB."""
    if suffix == "npy":
        return np.load(io.BytesIO(data), allow_pickle=False)
    if suffix == "jpg" or data[24] == 16:  # Pillow would cut 16-bit colour
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
        return pixels[..., ::-1] if pixels.ndim == 3 else pixels
    return np.asarray(Image.open(io.BytesIO(data)))


def tree(folder):
    """Every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# WebDataset -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_webdataset_gives_every_pair(sets, tmp_path, kind):
    import webdataset as wds

    export(sets(kind), "webdataset", tmp_path / "out", progress=False)
    urls = [str(path) for path in sorted((tmp_path / "out").glob("*.tar"))]
    samples = list(wds.WebDataset(urls, shardshuffle=False))
    pairs = pairs_of(sets(kind))
    assert [sample["__key__"] for sample in samples] == [f"{number:09d}" for number in range(len(pairs))]
    for sample, pair in zip(samples, pairs, strict=True):
        [suffix] = {"jpg", "png", "npy"} & sample.keys()
        assert_same_pixels(read_image(sample[suffix], suffix), pair)
        np.testing.assert_array_equal(read_image(sample["mask.png"], "png"), pair.mask * np.uint8(255))
        np.testing.assert_array_equal(read_image(sample["unknown.png"], "png"), pair.targets["unknown"] * np.uint8(255))
        np.testing.assert_array_equal(read_image(sample["type.png"], "png"), pair.targets["type"])
        np.testing.assert_array_equal(np.load(io.BytesIO(sample["amount.npy"])), pair.targets["amount"])
        assert json.loads(sample["json"]) == pair.provenance


def test_webdataset_decodes_a_sample_by_itself(sets, tmp_path):
    import webdataset as wds

    export(sets("png"), "webdataset", tmp_path / "out", progress=False)
    [url] = (tmp_path / "out").glob("*.tar")
    decoded = wds.WebDataset(str(url), shardshuffle=False).decode("rgb8").to_tuple("png", "mask.png", "amount.npy")
    for (image, mask, amount), pair in zip(decoded, pairs_of(sets("png")), strict=True):
        np.testing.assert_array_equal(image, pair.image)
        np.testing.assert_array_equal(mask[..., 0], pair.mask * np.uint8(255))
        np.testing.assert_array_equal(amount, pair.targets["amount"])


def test_stored_jpegs_and_pngs_go_into_the_tar_as_they_are(sets, tmp_path):
    for kind, suffix in (("jpeg", "jpg"), ("png", "png")):
        export(sets(kind), "webdataset", tmp_path / kind, progress=False)
        with (
            tarfile.open(tmp_path / kind / "pairs-000000.tar") as tar,
            h5py.File(sets(kind) / "shard-00000.h5") as file,
        ):
            images = b"".join(tar.extractfile(f"{number:09d}.{suffix}").read() for number in (0, 1))
            assert images == file["image_bytes"][:].tobytes()
            assert {(one.mtime, one.uid, one.uname, one.mode) for one in tar} == {(0, 0, "", 0o644)}


@pytest.mark.parametrize(("limits", "counts"), [({"MAX_PAIRS": 2}, [2, 2, 1]), ({"MAX_BYTES": 1}, [1] * 5)])
def test_a_tar_holds_so_many_pairs_or_bytes(sets, tmp_path, monkeypatch, limits, counts):
    for name, value in limits.items():
        monkeypatch.setattr(webdataset, name, value)
    export(sets("jpeg"), "webdataset", tmp_path / "out", progress=False)
    files = [f"pairs-{number:06d}.tar" for number in range(len(counts))]
    assert sorted(path.name for path in (tmp_path / "out").glob("*.tar")) == files
    held = []
    for file in files:
        with tarfile.open(tmp_path / "out" / file) as tar:
            held.append(sum("mask" in name for name in tar.getnames()))
    assert held == counts


@given(st.lists(st.integers(0, 9)), st.integers(1, 4), st.integers(1, 20))
def test_volumes_are_full_but_never_too_full(sizes, count, size):
    volumes = {}
    for volume, item in in_volumes(((one, place) for place, one in enumerate(sizes)), count, size):
        volumes.setdefault(volume, []).append(item)
    assert [item for held in volumes.values() for item in held] == list(range(len(sizes)))
    assert list(volumes) == list(range(len(volumes)))
    for volume, held in volumes.items():
        filled = sum(sizes[item] for item in held)
        assert len(held) == 1 or (len(held) <= count and filled <= size)
        following = volumes.get(volume + 1)
        assert not following or len(held) == count or filled + sizes[following[0]] > size


# Plain folders --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_plain_folders_hold_every_pair(sets, tmp_path, kind):
    export(sets(kind), "png", tmp_path, progress=False)
    rows = (tmp_path / "provenance.jsonl").read_text().splitlines()
    for number, (pair, row) in enumerate(zip(pairs_of(sets(kind)), rows, strict=True)):
        [path] = (tmp_path / "images").glob(f"{number:09d}.*")
        assert path.suffix in ((".png", ".npy") if kind in NO_PNG else (".png",))
        assert_same_pixels(read_image(path.read_bytes(), path.suffix[1:]), pair)
        masks = {name: np.asarray(Image.open(tmp_path / name / f"{number:09d}.png")) for name in ("masks", "unknown")}
        np.testing.assert_array_equal(masks["masks"], pair.mask * np.uint8(255))
        np.testing.assert_array_equal(masks["unknown"], pair.targets["unknown"] * np.uint8(255))
        types = np.asarray(Image.open(tmp_path / "types" / f"{number:09d}.png"))
        np.testing.assert_array_equal(types, pair.targets["type"])
        amount = np.load(tmp_path / "amounts" / f"{number:09d}.npy")
        assert amount.dtype == np.float16
        np.testing.assert_array_equal(amount, pair.targets["amount"])
        assert json.loads(row) == pair.provenance
        assert list(json.loads(row)) == list(PROVENANCE_FIELDS)


@pytest.mark.parametrize("kind", KINDS)
def test_plain_folders_come_back_as_the_same_data_set(sets, tmp_path, kind):
    export(sets(kind), "png", tmp_path / "plain", progress=False)
    made = import_png(tmp_path / "plain", tmp_path / "set", progress=False)
    assert faults_of(tmp_path / "set") == []
    assert made.digest == read_manifest(tmp_path / "set")["digest"]
    for before, after in zip(pairs_of(sets(kind)), pairs_of(tmp_path / "set"), strict=True):
        assert_same_pixels(after.image, before)
        np.testing.assert_array_equal(after.mask, before.mask)
        assert after.targets.keys() == before.targets.keys()
        for name, target in before.targets.items():
            assert after.targets[name].dtype == target.dtype
            np.testing.assert_array_equal(after.targets[name], target)
        codec = "zlib" if before.image.shape[2] in (2, 4, 5) or before.image.dtype == np.float32 else "png"
        assert after.provenance == before.provenance | {"codec": codec}


def test_an_imported_data_set_says_where_it_is_from(sets, tmp_path):
    parent = read_manifest(sets("jpeg"))
    export(sets("jpeg"), "png", tmp_path / "plain", progress=False)
    import_png(tmp_path / "plain", tmp_path / "set", progress=False)
    manifest = read_manifest(tmp_path / "set")
    assert manifest["derived"] == {"by": "import", "arguments": {}, "parents": [parent["digest"]]}
    keys = ("digest", "recipe", "seed", "source", "split", "build", "pairs")
    assert manifest["origins"] == [{key: parent[key] for key in keys}]
    assert manifest["photos"] == parent["photos"]
    assert "seed" not in manifest
    assert (tmp_path / "set" / "recipe.toml").read_bytes() == (sets("jpeg") / "recipe.toml").read_bytes()


def test_an_imported_data_set_is_exported_and_imported_like_any_other(sets, tmp_path):
    export(sets("jpeg"), "png", tmp_path / "plain", progress=False)
    import_png(tmp_path / "plain", tmp_path / "set", progress=False)
    export(tmp_path / "set", "png", tmp_path / "again", progress=False)
    import_png(tmp_path / "again", tmp_path / "second", progress=False)
    first, second = (read_manifest(tmp_path / name) for name in ("set", "second"))
    assert second["derived"]["parents"] == [first["digest"]]
    assert second["origins"] == first["origins"]
    assert second["shards"] == first["shards"]


def test_a_data_set_without_targets_that_was_made_from_photos_comes_back(tmp_path):
    make(write_photos(tmp_path / "photos"), tmp_path / "made", tmp_path / "cache")
    export(tmp_path / "made", "png", tmp_path / "plain", progress=False)
    import_png(tmp_path / "plain", tmp_path / "set", progress=False)
    assert faults_of(tmp_path / "set") == []
    for before, after in zip(pairs_of(tmp_path / "made"), pairs_of(tmp_path / "set"), strict=True):
        np.testing.assert_array_equal(after.image, before.image)
        assert after.provenance == before.provenance | {"codec": "png"}
        assert after.targets == {}


def test_a_data_set_of_an_older_schema_comes_back_in_this_one(tmp_path):
    older = Path(__file__).parent / "data" / "schema-2"
    export(older, "png", tmp_path / "plain", progress=False)
    import_png(tmp_path / "plain", tmp_path / "set", progress=False)
    assert faults_of(tmp_path / "set") == []
    for before, after in zip(pairs_of(older), pairs_of(tmp_path / "set"), strict=True):
        np.testing.assert_array_equal(after.image, before.image)
        assert after.provenance == before.provenance | {"codec": "png"}


@given(
    arrays(st.sampled_from(["uint8", "uint16", "float32", "float16"]), array_shapes(min_dims=2, max_dims=3, max_side=4))
)
def test_arrays_are_what_numpy_saves(array):
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    assert to_npy(array) == stream.getvalue()
    if np.isfinite(array).all():
        np.testing.assert_array_equal(from_npy(to_npy(array), array.shape, array.dtype.name), array)
    else:
        with pytest.raises(ShardError, match="not finite"):
            from_npy(to_npy(array), array.shape, array.dtype.name)


# COCO -----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NO_PNG])
def test_pycocotools_gives_every_mask(sets, tmp_path, kind, capsys):
    from pycocotools.coco import COCO

    export(sets(kind), "coco", tmp_path, progress=False)
    coco, pairs = COCO(str(tmp_path / "annotations.json")), pairs_of(sets(kind))
    licences = {one["id"]: one["name"] for one in coco.dataset["licenses"]}
    assert coco.getImgIds() == list(range(len(pairs)))
    assert coco.loadCats(coco.getCatIds()) == [{"id": 1, "name": "blurred", "supercategory": "blur"}]
    for number, pair in enumerate(pairs):
        [image] = coco.loadImgs(number)
        path = tmp_path / "images" / image["file_name"]
        assert_same_pixels(read_image(path.read_bytes(), path.suffix[1:]), pair)
        assert (image["height"], image["width"]) == pair.mask.shape
        assert licences[image["license"]] == LICENCES.get(number, "unknown")
        found = coco.loadAnns(coco.getAnnIds(imgIds=number))
        assert len(found) == pair.mask.any()
        for one in found:
            np.testing.assert_array_equal(coco.annToMask(one), pair.mask)
            assert one["area"] == pair.mask.sum()
            assert one["attributes"]["blur_kind"] == pair.provenance["blur_kind"]
    assert coco.dataset["info"]["digest"] == read_manifest(sets(kind))["digest"]


masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, max_side=9))


@given(masks)
def test_run_lengths_are_those_of_a_plain_loop(mask):
    runs, value = [0], False
    for pixel in (mask[row, column] for column in range(mask.shape[1]) for row in range(mask.shape[0])):
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    assert run_lengths(mask) == runs


@given(masks.filter(np.any))
def test_the_box_is_that_of_pycocotools(mask):
    from pycocotools import mask as coco_mask

    runs = coco_mask.frPyObjects({"counts": run_lengths(mask), "size": list(mask.shape)}, *mask.shape)
    np.testing.assert_array_equal(coco_mask.decode(runs), mask)
    assert bounding_box(mask) == coco_mask.toBbox(runs).tolist()


# Hugging Face ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def load(tmp_path, monkeypatch):
    """``datasets.load_dataset`` with a cache of its own and no network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets

    datasets.disable_progress_bars()
    return lambda folder: datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "hf-cache"), split="train")


@pytest.mark.parametrize("kind", ["jpeg", "jpeg-grey", "png", "png-deep", "raw"])
def test_datasets_gives_every_pair(sets, tmp_path, load, kind):
    import datasets

    export(sets(kind), "hf", tmp_path / "out", progress=False)
    loaded, pairs = load(tmp_path / "out"), pairs_of(sets(kind))
    assert list(loaded.features) == ["image", "mask", *TARGETS, *PROVENANCE_FIELDS]
    assert isinstance(loaded.features["image"], datasets.Image)
    stored = loaded.cast_column("image", datasets.Image(decode=False))
    for example, file, pair in zip(loaded, stored, pairs, strict=True):
        assert example["image"].size == pair.image.shape[1::-1]
        suffix = file["image"]["path"].split(".")[-1]
        assert_same_pixels(example["image"] if suffix == "png" else read_image(file["image"]["bytes"], suffix), pair)
        np.testing.assert_array_equal(np.asarray(example["mask"]), pair.mask * np.uint8(255))
        np.testing.assert_array_equal(np.asarray(example["unknown"]), pair.targets["unknown"] * np.uint8(255))
        np.testing.assert_array_equal(np.asarray(example["type"]), pair.targets["type"])
        np.testing.assert_array_equal(np.asarray(example["amount"]), pair.targets["amount"].astype(np.float32))
        assert {name: example[name] for name in PROVENANCE_FIELDS} == pair.provenance


def test_datasets_joins_several_files(sets, tmp_path, load, monkeypatch):
    size = sum(path.stat().st_size for path in sets("jpeg").glob("*.h5"))
    monkeypatch.setattr(hf, "MAX_FILE_BYTES", size // 4 + 1)
    monkeypatch.setattr(hf, "MAX_GROUP", 1)
    export(sets("jpeg"), "hf", tmp_path / "out", progress=False)
    names = [f"train-{number:05d}-of-00004.parquet" for number in range(4)]
    assert sorted(path.name for path in (tmp_path / "out" / "data").iterdir()) == names
    assert load(tmp_path / "out")["pair"] == list(range(5))


def test_without_pyarrow_the_extra_is_named(sets, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DependencyError, match=r"pip install 'blurgen\[hf\]'"):
        export(sets("png"), "hf", tmp_path / "out", progress=False)
    export(sets("png"), "webdataset", tmp_path / "out", progress=False)  # the folder is as good as empty


# All formats ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", EXPORTS)
def test_exports_are_identical_to_the_byte_and_say_what_they_are_of(sets, tmp_path, to):
    one, other = (export(sets("png"), to, tmp_path / name, progress=False) for name in ("one", "other"))
    assert tree(tmp_path / "one") == tree(tmp_path / "other")
    assert (one.to, one.pairs, one.digest) == (other.to, other.pairs, other.digest)
    record, manifest = json.loads((tmp_path / "one" / "blurgen-export.json").read_bytes()), read_manifest(sets("png"))
    assert record["manifest"] == manifest
    expected = {"format": "blurgen-export", "version": 1, "to": to, "pairs": 5, "digest": manifest["digest"]}
    assert {key: record[key] for key in expected} == expected
    assert record["targets"] == ([] if to == "coco" else list(TARGETS))


@pytest.mark.parametrize(
    ("to", "kind"),
    [(to, kind) for to in ("coco", "hf") for kind in NO_PNG] + [("hf", "png-deep-colour")],
)
def test_images_that_a_format_would_lose_are_refused_before_anything_is_written(sets, tmp_path, to, kind):
    with pytest.raises(ArgumentError, match=r"can't hold its images \(\d x \w+\): use --to webdataset or png"):
        export(sets(kind), to, tmp_path / "out", progress=False)
    assert os.listdir(tmp_path / "out") == ["blurgen-export-begun.json"]


def test_an_unknown_format_is_refused(sets, tmp_path):
    with pytest.raises(ArgumentError, match="no format 'webdatset'; did you mean \"webdataset\""):
        export(sets("png"), "webdatset", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", EXPORTS)
def test_an_unfinished_data_set_is_refused(sets, tmp_path, to):
    manifest = read_manifest(sets("png")) | {"shards": [], "complete": False}
    (tmp_path / "set").mkdir()
    publish_json(tmp_path / "set" / "manifest.json", manifest | {"digest": document_digest(manifest)})
    with pytest.raises(ShardError, match="not finished"):
        export(tmp_path / "set", to, tmp_path / "out")


def with_damage(folder, tmp_path, name, value):
    """A copy whose second shard has other bytes at the start of a blob, and a manifest that agrees with that."""
    copy = shutil.copytree(folder, tmp_path / "damaged")
    with h5py.File(copy / "shard-00001.h5", "r+") as file:
        file[name][: len(value)] = value
    return signed(copy)


def signed(copy):
    """A data set whose manifest was made to say what its shards are now."""
    manifest = read_manifest(copy)
    for shard in manifest["shards"]:
        data = (copy / shard["name"]).read_bytes()
        shard["bytes"], shard["sha256"] = len(data), sha256(data)
    publish_json(copy / "manifest.json", manifest | {"digest": document_digest(manifest)})
    return copy


@pytest.mark.parametrize("blob", ["image", "mask"])
@pytest.mark.parametrize("to", EXPORTS)
def test_a_damaged_pair_is_named_and_leaves_the_export_unfinished(sets, tmp_path, to, blob):
    copy = with_damage(sets("png"), tmp_path, f"{blob}_bytes", [0] * 8)
    with pytest.raises(ShardError, match=r"shard-00001\.h5: pair 0 of this shard: "):
        export(copy, to, tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "blurgen-export.json").exists()
    assert (tmp_path / "out" / "blurgen-export-begun.json").exists()


@pytest.mark.parametrize("to", EXPORTS)
def test_a_shard_with_another_sha256_is_refused(sets, tmp_path, to):
    copy = shutil.copytree(sets("png"), tmp_path / "copy")
    data = bytearray((copy / "shard-00001.h5").read_bytes())
    data[-1] ^= 1
    (copy / "shard-00001.h5").write_bytes(data)
    with pytest.raises(ShardError, match=r"shard-00001\.h5: .*sha256 differs"):
        export(copy, to, tmp_path / "out", progress=False)
    (copy / "shard-00001.h5").unlink()
    with pytest.raises(ShardError, match=r"shard-00001\.h5: this shard is missing"):
        export(copy, to, tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "blurgen-export.json").exists()


@pytest.mark.parametrize("to", EXPORTS)
def test_a_shard_with_other_targets_than_the_first_is_refused(sets, tmp_path, to):
    codec, kinds = KINDS["png"]
    other = data_set(tmp_path / "other", images_of(kinds), codec, targets=("type",))
    copy = shutil.copytree(sets("png"), tmp_path / "copy")
    shutil.copy(other / "shard-00002.h5", copy)
    with pytest.raises(ShardError, match=r"shard-00002\.h5: holds other targets \(type\) than the first shard \(unkn"):
        export(signed(copy), to, tmp_path / "out", progress=False)


@pytest.mark.parametrize("to", EXPORTS)
def test_shards_out_of_order_are_refused(sets, tmp_path, to):
    copy = shutil.copytree(sets("png"), tmp_path / "copy")
    shutil.copy(copy / "shard-00000.h5", copy / "shard-00001.h5")
    with pytest.raises(ShardError, match=r"shard-00001\.h5: begins with pair 0, 2 is due"):
        export(signed(copy), to, tmp_path / "out", progress=False)


# The folder that is written to ----------------------------------------------------------------------------------------


def test_an_export_takes_an_empty_folder_only(sets, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"holds notes\.txt and is no begun export"):
        export(sets("png"), "png", tmp_path, progress=False)
    assert file_bytes(tmp_path) == {"notes.txt": b"mine"}


def test_a_finished_export_is_not_written_again(sets, tmp_path):
    export(sets("png"), "webdataset", tmp_path, progress=False)
    before = tree(tmp_path)
    for kind, to in (("png", "webdataset"), ("png", "png"), ("jpeg", "webdataset")):
        with pytest.raises(OutputError, match="holds a finished export"):
            export(sets(kind), to, tmp_path, progress=False)
    assert tree(tmp_path) == before


@pytest.mark.parametrize("to", EXPORTS)
def test_a_killed_export_starts_over_and_ends_alike(sets, tmp_path, to):
    export(sets("png"), to, tmp_path / "whole", progress=False)
    name = {"webdataset": "pairs-000000.tar", "coco": "annotations.json", "png": "000000002.png"}.get(to, "README.md")
    command = [sys.executable, "-m", "blurgen_cli", "export", sets("png"), "--to", to, "--out", tmp_path / "out"]
    assert subprocess.run(command, env=os.environ | {"BLURGEN_DIE_AT": f"renamed:{name}"}).returncode == -9
    assert not (tmp_path / "out" / "blurgen-export.json").exists()
    with pytest.raises(OutputError, match="is no begun export of this data set"):
        export(sets("jpeg"), to, tmp_path / "out", progress=False)
    export(sets("png"), to, tmp_path / "out", progress=False)
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")


def test_a_folder_in_use_is_refused(sets, tmp_path):
    (tmp_path / "out").mkdir()
    with locked(tmp_path / "out"), pytest.raises(OutputError, match="is writing here"):
        export(sets("png"), "png", tmp_path / "out", progress=False)


def test_an_export_never_follows_a_link_out_of_its_folder(sets, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out").mkdir()
    manifest = read_manifest(sets("png"))
    begun = {"format": "blurgen-export", "version": 1, "to": "png", "digest": manifest["digest"]}
    begun["blurgen"] = blurgen.__version__
    publish_json(tmp_path / "out" / "blurgen-export-begun.json", begun)
    (tmp_path / "out" / "images").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="images: is a link"):
        export(sets("png"), "png", tmp_path / "out", progress=False)
    assert os.listdir(tmp_path / "elsewhere") == []


@pytest.mark.parametrize("inside", [".", "out"])
def test_an_export_into_its_own_data_set_is_refused(sets, tmp_path, inside):
    copy = shutil.copytree(sets("png"), tmp_path / "copy")
    before = tree(copy)
    with pytest.raises(ArgumentError, match="choose another --out"):
        export(copy, "png", copy / inside, progress=False)
    assert tree(copy) == before


# Hostile imports ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def exported(sets, tmp_path_factory):
    """An export to png; not to be changed."""
    folder = tmp_path_factory.mktemp("exported") / "plain"
    export(sets("jpeg"), "png", folder, progress=False)
    return folder


@pytest.fixture
def plain(exported, tmp_path):
    """A copy of it, to be damaged."""
    return shutil.copytree(exported, tmp_path / "plain")


def refusal(plain, kind=ShardError):
    """The error of an import; whatever there is of a data set says that it is not finished."""
    out = plain.parent / "imported"
    with pytest.raises(kind) as caught:
        import_png(plain, out, progress=False)
    assert not (out / "manifest.json").exists() or not read_manifest(out)["complete"]
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change_line(plain, number, change):
    """Apply ``change`` to one line of provenance.jsonl, a dict or what stands there instead."""
    path = plain / "provenance.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    row = json.loads(lines[number])
    changed = change(row)
    lines[number] = changed if isinstance(changed, str) else json.dumps(row | changed) + "\n"
    path.write_text("".join(lines))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"extra": 1}, "line 3 has other columns than provenance ('extra')"),
        ({"sigma_px": float("nan")}, "line 3 is not JSON"),
        ({"sigma_px": 1e999}, "line 3 is not JSON"),
        ({"sigma_px": -1.0}, "line 3: column sigma_px of the provenance table is -1.0 for pair 2; impossible"),
        ({"sigma_px": "1"}, "line 3: column sigma_px can't be '1'"),
        ({"sigma_px": True}, "line 3: column sigma_px can't be True"),
        ({"sigma_px": None}, "line 3: column sigma_px can't be None"),
        ({"sigma_px": [1.0]}, "line 3: column sigma_px can't be [1.0]"),
        ({"sigma_px": 10**400}, "line 3: column sigma_px can't be 1000"),
        ({"score": 1e300}, "line 3: column score can't be 1e+300"),
        ({"score": 0.1}, "line 3: column score can't be 0.1"),
        ({"seed": -1}, "line 3: column seed can't be -1"),
        ({"seed": 2.0}, "line 3: column seed can't be 2.0"),
        ({"seed": 2**63}, "line 3: column seed of the provenance table is 9223372036854775808 for pair 2; impossible"),
        ({"near": 1}, "line 3: column near can't be 1"),
        ({"pair": 7}, "line 3: column pair is 7, 2 is due"),
        ({"pair": "../../x"}, "line 3: column pair is '../../x', 2 is due"),
        ({"photo": "x" * 5000}, "line 3: column photo can't be"),
        ({"photo": "\ud800"}, "line 3: column photo can't be"),
        ({"photo": "a\0"}, "line 3: column photo can't be"),
        ({"fill": "é"}, "line 3: column fill of the provenance table holds an unknown word"),
        ({"blur_kind": "wobble"}, "line 3: column blur_kind of the provenance table holds an unknown word"),
        ({"dtype": "object"}, "line 3: column dtype of the provenance table holds an unknown word"),
        ({"height": 0}, "line 3: column height of the provenance table is 0"),
        ({"height": 2**31 - 1, "width": 2**31 - 1}, "line 3: the provenance table holds an impossible image size"),
        ({"height": 9000, "width": 7000, "channels": 100}, "line 3: the provenance table holds an impossible image"),
        ({"origin": 1}, "line 3: origin 1, pair 2 of it, is no pair of the manifest's origins"),
        ({"origin_pair": 5}, "line 3: origin 0, pair 5 of it, is no pair of the manifest's origins"),
        ({"blurred_share": 0.5}, "plain: pair 2 is 100.0% blurred, its provenance says 50.0%"),
    ],
)
def test_a_line_that_no_export_writes_is_named(plain, change, message):
    change_line(plain, 2, lambda row: change)
    assert message in refusal(plain)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("", "line 5 is missing"),
        ("\n", "line 3 is not JSON"),
        ("[" * 90_000 + "\n", "line 3 is not JSON"),
        ("[1]\n", "line 3 has other columns"),
        ("{}\n", "line 3 has other columns"),
        ('{"pair": ' + "1" * 5000 + "}\n", "line 3 is not JSON"),
        (" " * 200_000 + "\n", "line 3 is longer than 100000 bytes"),
        ("\xff\n", "line 3 is not JSON"),
    ],
)
def test_a_line_that_is_none_is_named(plain, line, message):
    change_line(plain, 2, lambda row: line)
    found = refusal(plain)
    assert message in found or (not line and "line 3: column pair is 3, 2 is due" in found)


def test_the_last_line_missing_or_one_too_many_is_refused(plain):
    path = plain / "provenance.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    assert "line 5 is missing" in refusal(plain)
    path.write_text("".join([*lines, lines[-1]]))
    assert "more than 5 lines" in refusal(plain)


def picture(pixels, mode=None, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels, mode).save(stream, "PNG", **options)
    return stream.getvalue()


def bomb():
    """A PNG of 65535 x 65535 px in its header."""
    data = bytearray(picture(np.zeros((33, 47, 3), np.uint8)))
    data[16:24] = (65535).to_bytes(4) * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4)
    return bytes(data)


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 255, shape, dtype, endpoint=True)


NOT_PICTURES = {
    "nothing": b"",
    "text": b"__import__('os').system('true')",
    "truncated": picture(noise(33, 47, 3))[:-40],
    "half": picture(noise(33, 47, 3))[:2000],
    "bomb": bomb(),
    "another-size": picture(noise(47, 33, 3)),
    "alpha": picture(noise(33, 47, 4)),
    "palette": picture(noise(33, 47), "P"),
    "bits": picture(noise(33, 47) > 99),
    "deep": picture(noise(33, 47, dtype=np.uint16)),
    "long": picture(noise(33, 47, 3)) + bytes(200_000),
    "jpeg": cv2.imencode(".jpg", noise(33, 47, 3))[1].tobytes(),
}


@pytest.mark.parametrize("part", ["images", "masks", "unknown", "types"])
@pytest.mark.parametrize("data", NOT_PICTURES.values(), ids=NOT_PICTURES)
def test_a_picture_that_no_export_writes_is_named(plain, part, data):
    (plain / part / "000000002.png").write_bytes(data)
    assert f"{part}/000000002.png: " in refusal(plain)


@pytest.mark.parametrize(("part", "value"), [("masks", 254), ("unknown", 1), ("types", 3)])
def test_a_value_that_a_mask_or_target_can_not_have_is_named(plain, part, value):
    path = plain / part / "000000002.png"
    pixels = np.array(Image.open(path))
    pixels[5, 6] = value
    path.write_bytes(picture(pixels))
    assert f"{part}/000000002.png: holds " in refusal(plain)


def test_a_mask_that_its_provenance_or_its_targets_contradict_is_refused(plain):
    path = plain / "types" / "000000002.png"
    path.write_bytes(picture(np.zeros((33, 47), np.uint8)))
    assert "pair 2 has another type than its mask allows" in refusal(plain)
    path = plain / "masks" / "000000001.png"
    path.write_bytes(picture(np.full((40, 32), 255, np.uint8)))
    assert "pair 1 is 100.0% blurred, its provenance says 0.0%" in refusal(plain)


def saved(array, **options):
    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


NOT_AMOUNTS = {
    "nothing": b"",
    "pickle": saved(np.array([{}, print], object), allow_pickle=True),
    "floats": saved(np.ones((33, 47), np.float32)),
    "nan": saved(np.full((33, 47), np.nan, np.float16)),
    "infinite": saved(np.full((33, 47), np.inf, np.float16)),
    "negative": saved(np.full((33, 47), -1, np.float16)),
    "size": saved(np.ones((47, 33), np.float16)),
    "fortran": saved(np.asfortranarray(np.ones((33, 47), np.float16))),
    "truncated": saved(np.ones((33, 47), np.float16))[:-1],
    "longer": saved(np.ones((33, 47), np.float16)) + b"\0",
    "header": saved(np.ones((33, 47), np.float16)).replace(b"<f2", b"<i2"),
}


@pytest.mark.parametrize("data", NOT_AMOUNTS.values(), ids=NOT_AMOUNTS)
def test_an_array_that_no_export_writes_is_named(plain, data):
    (plain / "amounts" / "000000002.npy").write_bytes(data)
    assert "amounts/000000002.npy: " in refusal(plain)


NAMES = ["images/000000002.png", "masks/000000000.png", "amounts/000000004.npy", "provenance.jsonl", "recipe.toml"]


@pytest.mark.parametrize("name", [*NAMES, "blurgen-export.json", "images", "masks", "types"])
def test_links_pipes_and_missing_files_are_refused(plain, tmp_path, name):
    path = plain / name
    path.rename(tmp_path / "elsewhere")
    assert name in refusal(plain)
    path.symlink_to(tmp_path / "elsewhere")
    assert name in refusal(plain)
    path.unlink()
    os.mkfifo(path)
    assert name in refusal(plain)
    path.unlink()
    path.mkdir()
    assert name in refusal(plain)


def change_record(plain, **changes):
    path = plain / "blurgen-export.json"
    publish_json(path, json.loads(path.read_bytes()) | changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "other"},
        {"version": 2},
        {"version": True},
        {"version": "1"},
        {"digest": "0" * 64},
        {"digest": None},
        {"pairs": 4},
        {"targets": ["mask"]},
        {"targets": "amount"},
        {"targets": None},
        {"targets": [["amount"]]},
        {"targets": ["amount", "amount"]},
        {"targets": ["../../x"]},
        {"manifest": None},
        {"manifest": {}},
        {"manifest": []},
    ],
    ids=repr,
)
def test_a_record_that_no_export_writes_is_refused(plain, changes):
    change_record(plain, **changes)
    assert "blurgen-export.json" in refusal(plain)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 7},
        {"pairs": 4},
        {"complete": False},
        {"photos": [{"id": "x"}]},
        {"recipe_toml_sha256": "0" * 64},
        {"derived": {"by": "import"}},
    ],
    ids=repr,
)
@pytest.mark.parametrize("sealed", [False, True])
def test_a_manifest_that_was_changed_is_refused(plain, changes, sealed):
    manifest = json.loads((plain / "blurgen-export.json").read_bytes())["manifest"] | changes
    if sealed:
        manifest["digest"] = document_digest(manifest)
    change_record(plain, manifest=manifest, digest=manifest["digest"], pairs=manifest["pairs"])
    if sealed and changes == {"seed": 7}:  # then it is another data set's
        import_png(plain, plain.parent / "other", progress=False)
        return
    refusal(plain)


@pytest.mark.parametrize("to", ["webdataset", "coco", "hf"])
def test_only_an_export_to_png_comes_back(sets, tmp_path, to):
    export(sets("jpeg"), to, tmp_path / "plain", progress=False)
    assert f"an export to '{to}'" in refusal(tmp_path / "plain", ArgumentError)


def test_an_unfinished_export_or_none_is_refused(plain, tmp_path):
    (plain / "blurgen-export.json").unlink()
    assert "no finished export here" in refusal(plain)
    assert "no finished export here" in refusal(tmp_path / "nowhere")


@settings(max_examples=30, deadline=None)
@given(st.data())
def test_no_flipped_bit_makes_an_import_fail_untyped(hostile, data):
    folder, contents = hostile
    name = data.draw(st.sampled_from(sorted(contents)))
    damaged = bytearray(contents[name])
    place = data.draw(st.integers(0, 8 * len(damaged) - 1))
    damaged[place // 8] ^= 1 << (place % 8)
    (folder / name).write_bytes(damaged)
    out = folder.parent / "set"
    with suppress(BlurgenError):
        import_png(folder, out, progress=False)
        assert faults_of(out) == []
    (folder / name).write_bytes(contents[name])
    shutil.rmtree(out, ignore_errors=True)


@pytest.fixture(scope="module")
def hostile(sets, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hostile") / "plain"
    export(sets("mixed"), "png", folder, progress=False)
    return folder, tree(folder)


# The folder that is imported to ---------------------------------------------------------------------------------------


def test_an_import_takes_an_empty_folder_or_its_own_begun_one(sets, plain, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match="not empty"):
        import_png(plain, tmp_path / "mine", progress=False)
    whole = (plain / "masks" / "000000004.png").read_bytes()
    (plain / "masks" / "000000004.png").unlink()
    refusal(plain)
    (tmp_path / "imported" / "shard-00007.h5").write_text("left behind by a begun import of more pairs")
    (plain / "masks" / "000000004.png").write_bytes(whole)
    import_png(plain, tmp_path / "imported", progress=False)
    assert faults_of(tmp_path / "imported") == []
    before = tree(tmp_path / "imported")
    with pytest.raises(OutputError, match="holds a finished import"):
        import_png(plain, tmp_path / "imported", progress=False)
    with pytest.raises(OutputError, match="holds another data set:"):
        import_png(plain, shutil.copytree(sets("png"), tmp_path / "png"), progress=False)
    with pytest.raises(ArgumentError, match="choose another --out"):
        import_png(plain, plain / "set", progress=False)
    assert tree(tmp_path / "imported") == before


# Commands -------------------------------------------------------------------------------------------------------------


def run(capsys, *arguments):
    with pytest.raises(SystemExit) as left:
        main(list(map(str, arguments)))
    return left.value.code, *capsys.readouterr()


@pytest.mark.parametrize("to", EXPORTS)
def test_the_export_command_says_what_it_wrote(sets, tmp_path, capsys, to):
    digest = read_manifest(sets("png"))["digest"]
    code, out, _ = run(capsys, "export", sets("png"), "--to", to, "--out", tmp_path / "one")
    assert (code, digest in out, f"5 pairs as {to}" in out) == (0, True, True)
    code, out, _ = run(capsys, "export", sets("png"), "--to", to, "--out", tmp_path / "two", "--json")
    assert code == 0
    assert json.loads(out)["digest"] == digest
    code, out, _ = run(capsys, "export", "--help")
    assert f"\n  {to} " in out


def test_the_import_command_says_what_it_made(plain, tmp_path, capsys):
    code, out, _ = run(capsys, "import", plain, "--out", tmp_path / "one")
    assert code == 0
    assert "5 pairs in 1 shard" in out
    assert read_manifest(tmp_path / "one")["digest"] in out
    code, out, _ = run(capsys, "import", plain, "--out", tmp_path / "two", "--json")
    assert json.loads(out)["pairs"] == 5
    code, _, err = run(capsys, "import", tmp_path, "--out", tmp_path / "three")
    assert code == 7
    assert err.count("\n") == 1
    code, _, err = run(capsys, "export", plain, "--to", "zip", "--out", tmp_path / "four")
    assert code == 2
    assert not (tmp_path / "four").exists()
