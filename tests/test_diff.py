"""What differs between two data sets is found, and nothing else."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers_shards import RECIPE, make, photo_crop, write_photos
from PIL import Image

from blurgen.dataset import read_manifest
from blurgen.dataset.deriving import merge, subset
from blurgen.dataset.differing import diff
from blurgen.errors import ShardError
from blurgen.files import document_digest, publish_json, sha256_file
from blurgen.shards.codecs import StorageParams, encode_mask
from blurgen.shards.reader import Shard
from blurgen.shards.writer import ShardBuilder
from blurgen_cli.main import main

LOSSLESS = RECIPE.with_values({"storage.codec": "png"})


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Data sets of 8 lossless pairs that are not to be changed: a, and those with another seed, sharding or recipe."""
    folder = tmp_path_factory.mktemp("root")
    photos = write_photos(folder / "photos")
    changes = {
        "a": {},
        "seed": {"seed": 6},
        "sharding": {"pairs_per_shard": 5},
        "recipe": {"recipe": LOSSLESS.with_values({"blur.p_motion": 0.25, "fill.method": "none"})},
    }
    for name, change in changes.items():
        make(photos, folder / name, folder / "cache", **({"recipe": LOSSLESS} | change))
    return folder


@pytest.fixture
def copy(root, tmp_path):
    """A copy of data set a, to be changed."""
    return shutil.copytree(root / "a", tmp_path / "copy")


def changed_shard(folder, index, change):
    """Write a shard anew, each pair after ``change(blobs, row)``, and list it with its new sha256."""
    path = folder / f"shard-{index:05d}.h5"
    builder = ShardBuilder(StorageParams(codec="png"), photo_id_bytes=30)
    with Shard(path) as shard:
        for place in range(len(shard)):
            blobs, row = {name: shard.stored(name, place) for name in ("image", "mask")}, shard.row(place)
            change(blobs, row)
            builder.add_stored(blobs, row)
    path.write_bytes(builder.to_bytes())
    manifest = read_manifest(folder)
    manifest["shards"][index] |= {"sha256": sha256_file(path), "bytes": path.stat().st_size}
    publish_json(folder / "manifest.json", manifest | {"digest": document_digest(manifest)})


def keys(found):
    return [one["key"] for one in found["made"]]


def test_a_data_set_is_the_same_as_its_copy(root, copy):
    found = diff(root / "a", copy)
    assert found["same"]
    assert found["digests"] == [read_manifest(copy)["digest"]] * 2
    assert found["made"] == []
    assert found["photos"] == {"only_one": [], "only_other": [], "changed": []}
    assert found["pairs"] == {"one": 8, "other": 8, "compared": 8, "differing": 0, "parts": {}, "first": []}


def test_shards_of_one_sha256_are_not_read(root, copy):
    for index in range(3):
        (copy / f"shard-{index:05d}.h5").unlink()
    assert diff(root / "a", copy)["same"]


def test_other_seeds_and_recipes_are_named_by_key(root, tmp_path):
    found = diff(root / "a", root / "seed")
    assert found["made"] == [{"key": "seed", "one": 5, "other": 6}]
    assert found["pairs"]["parts"]["provenance.seed"] == found["pairs"]["differing"] == 8
    found = diff(root / "a", root / "recipe")
    assert keys(found) == ["recipe.blur.p_motion", "recipe.fill.method", "recipe_toml_sha256"]
    assert found["made"][0] == {"key": "recipe.blur.p_motion", "one": 0.5, "other": 0.25}
    assert found["pairs"]["parts"]["provenance.fill"] == 8
    assert not found["same"]
    make(root / "photos", tmp_path / "typed", root / "cache", recipe=LOSSLESS.with_values({"targets.type": True}))
    assert diff(root / "a", tmp_path / "typed")["pairs"]["parts"] == {"type": 8}


def test_what_differs_in_a_pair_is_named(root, copy):
    flipped = np.zeros((48, 48), bool)
    flipped[:20] = True

    def change(blobs, row):
        if row["pair"] == 3:
            row["sharpness"] /= 2
        if row["pair"] == 4:
            blobs["mask"] = encode_mask(flipped)
        if row["pair"] == 5:
            blobs["image"] = next(stored for stored in images if stored != blobs["image"])
            row["photo"] = "elsewhere.png"

    with Shard(copy / "shard-00001.h5") as shard:
        images = [shard.stored("image", place) for place in range(3)]
    changed_shard(copy, 1, change)
    found = diff(root / "a", copy)
    assert found["made"] == []
    assert found["pairs"]["first"] == [
        {"pair": 3, "parts": ["provenance.sharpness"]},
        {"pair": 4, "parts": ["mask"]},
        {"pair": 5, "parts": ["image", "provenance.photo"]},
    ]
    assert found["pairs"]["differing"] == 3
    assert diff(root / "a", copy, shown=1)["pairs"]["first"] == found["pairs"]["first"][:1]


def test_other_bytes_of_the_same_pixels_do_not_differ(root, copy, tmp_path):
    def pack_again(blobs, row):
        Image.fromarray(pictures[row["pair"]]).save(tmp_path / "again.png", compress_level=9)
        blobs["image"] = (tmp_path / "again.png").read_bytes()

    with Shard(copy / "shard-00000.h5") as shard:
        pictures = [shard.image(place) for place in range(3)]
        before = shard.stored("image", 0)
    changed_shard(copy, 0, pack_again)
    with Shard(copy / "shard-00000.h5") as shard:
        assert shard.stored("image", 0) != before
    found = diff(root / "a", copy)
    assert found["same"]
    assert found["digests"][0] != found["digests"][1]


def test_pairs_are_compared_by_number_however_they_lie_in_shards(root):
    found = diff(root / "a", root / "sharding")
    assert keys(found) == ["shards"]
    assert found["pairs"]["differing"] == 0


def test_data_sets_of_other_sizes_are_compared_in_what_they_have_in_common(root, tmp_path):
    subset(root / "a", tmp_path / "first", "pair < 5")
    found = diff(root / "a", tmp_path / "first")
    assert keys(found) == ["derived", "pairs", "shards"]
    assert found["pairs"] == {"one": 8, "other": 5, "compared": 5, "differing": 0, "parts": {}, "first": []}
    assert not found["same"]
    subset(root / "a", tmp_path / "last", "pair >= 5")
    found = diff(tmp_path / "last", tmp_path / "first")
    assert "derived.arguments.where" in keys(found)
    assert found["pairs"]["compared"] == found["pairs"]["parts"]["provenance.origin_pair"] == 3


def test_merged_data_sets_are_compared_origin_by_origin(root, tmp_path):
    for name in ("a", "seed", "recipe"):
        subset(root / name, tmp_path / name, "pair < 2")
    merge([tmp_path / "a", tmp_path / "seed"], tmp_path / "one")
    merge([tmp_path / "a", tmp_path / "recipe"], tmp_path / "other")
    found = diff(tmp_path / "one", tmp_path / "other")
    assert [key for key in keys(found) if key.startswith("origins.")] == [
        "origins.1.recipe.blur.p_motion",
        "origins.1.recipe.fill.method",
        "origins.1.seed",
    ]
    assert [one["pair"] for one in found["pairs"]["first"]] == [2, 3]


def test_photos_that_came_went_or_changed_are_named(root, tmp_path):
    photos = shutil.copytree(root / "photos", tmp_path / "photos")
    (photos / "0.png").rename(photos / "new.png")
    Image.fromarray(photo_crop(3, 60, 64)).save(photos / "1.png")
    make(photos, tmp_path / "other", root / "cache", recipe=LOSSLESS)
    found = diff(root / "a", tmp_path / "other")["photos"]
    assert (found["only_one"], found["only_other"]) == (["0.png"], ["new.png"])
    [changed] = found["changed"]
    assert changed["id"] == "1.png"
    assert {"sha256", "height", "bytes"} <= {*changed["keys"]}


def test_a_damaged_data_set_is_refused(root, copy):
    def nothing(blobs, row):
        blobs["image"] = b"nothing"

    changed_shard(copy, 0, nothing)
    with pytest.raises(ShardError, match=r"shard-00000\.h5: pair 0"):
        diff(root / "a", copy)
    (copy / "manifest.json").unlink()
    with pytest.raises(ShardError, match="no blurgen data set here"):
        diff(root / "a", copy)


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_the_command_is_0_for_the_same_and_1_for_another(root, copy):
    same = run("diff", root / "a", copy)
    assert (same.exit_code, same.output) == (0, "same: 8 pairs\n")
    other = run("diff", root / "a", root / "seed")
    assert other.exit_code == 1
    assert "seed: 5 / 6" in other.output
    assert "pairs: 8 of 8 differ" in other.output
    assert max(map(len, other.output.splitlines())) < 400
    as_json = run("diff", root / "a", root / "seed", "--json")
    assert as_json.exit_code == 1
    assert json.loads(as_json.output) == diff(root / "a", root / "seed")
    assert run("diff", root / "a", Path("nothing")).exit_code == 7


def test_the_command_names_ten_and_counts_the_rest(root, tmp_path):
    for name, seed in (("one", 1), ("other", 2)):
        make(root / "photos", tmp_path / name, root / "cache", n=13, seed=seed)
    lines = run("diff", tmp_path / "one", tmp_path / "other").output.splitlines()
    assert lines[-1] == "  ... and 3 more"
    assert [line.split(":")[0].strip() for line in lines[-11:-1]] == [str(number) for number in range(10)]
