"""What is lost of a data set is made again, to the byte, or not at all."""

import os
import shutil

import pytest
from helpers_shards import RECIPE, faults_of, file_bytes, make, photo_crop, write_photos, write_times
from PIL import Image

from blurgen.dataset import freeze, read_manifest
from blurgen.dataset.deriving import subset
from blurgen.dataset.receipts import read_receipt
from blurgen.errors import OutputError, ShardError, SourceError
from blurgen.files import LOCK_NAME, document_digest, publish_json
from blurgen.repair import repair
from blurgen.sources import open_source

PHOTOS = 5


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Photos, cache and a data set of 8 pairs in 3 shards, whose masks come from other photos, too."""
    folder = tmp_path_factory.mktemp("made")
    recipe = RECIPE.with_values({"mask.kinds": {"proposal": 0.5, "other-photo": 0.5}})
    make(write_photos(folder / "photos", PHOTOS), folder / "set", folder / "cache", recipe=recipe)
    return folder


@pytest.fixture
def copy(made, tmp_path):
    """A copy of all that, to be damaged."""
    return shutil.copytree(made, tmp_path / "copy")


def repaired(copy, **options):
    options = {"workers": 1, "cache": copy / "cache", "progress": False} | options
    return repair(copy / "set", lambda origin: open_source(origin.source, copy / "photos"), **options)


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 8
    path.write_bytes(data)


def test_a_sound_data_set_is_left_alone(copy):
    former = write_times(copy / "set")
    assert repaired(copy).to_dict() == {"files": [], "cache": [], "faults": []}
    assert write_times(copy / "set") == former


@pytest.mark.parametrize("damage", [flip, os.remove, lambda path: os.truncate(path, 10)])
@pytest.mark.parametrize("name", ["shard-00000.h5", "shard-00001.json", "recipe.toml"])
def test_what_is_damaged_is_made_again_and_nothing_else(copy, made, name, damage):
    former = write_times(copy / "set")
    damage(copy / "set" / name)
    done = repaired(copy)
    assert done.files == [name.replace(".json", ".h5")]
    assert file_bytes(copy / "set") == file_bytes(made / "set")
    touched = {name, name.replace(".json", ".h5"), name.replace(".h5", ".json")}
    now = write_times(copy / "set")
    assert all(now[other] == former[other] for other in former if other not in touched)


@pytest.mark.parametrize("workers", [1, 2])
def test_all_shards_come_back(copy, made, workers):
    for path in (copy / "set").glob("shard-*"):
        path.unlink()
    shutil.rmtree(copy / "cache")
    repaired(copy, workers=workers)
    assert file_bytes(copy / "set") == file_bytes(made / "set")


def test_damaged_regions_are_thrown_away(copy):
    entry = sorted((copy / "cache").rglob("*.regions"))[0]
    flip(entry)
    assert repaired(copy).cache == [str(entry)]
    assert not entry.exists()
    assert faults_of(copy / "set", cache=copy / "cache") == []


def test_a_frozen_data_set_is_repaired_and_stays_frozen(copy):
    freeze(copy / "set")
    sound = file_bytes(copy / "set")
    for name in ("shard-00002.h5", "README.md", "croissant.json"):
        os.chmod(copy / "set" / name, 0o644)
        flip(copy / "set" / name)
    assert sorted(repaired(copy).files) == ["README.md", "croissant.json", "shard-00002.h5"]
    assert file_bytes(copy / "set") == sound
    assert faults_of(copy / "set") == []
    assert not any(path.stat().st_mode & 0o222 for path in [copy / "set", *(copy / "set").iterdir()])


def test_photos_that_the_bad_shards_do_not_show_are_not_needed(tmp_path):
    make(write_photos(tmp_path / "photos", 4), tmp_path / "set", tmp_path / "cache", n=4, pairs_per_shard=1)
    sound = file_bytes(tmp_path / "set")
    (tmp_path / "set" / "shard-00000.h5").unlink()
    needed = shown_by(tmp_path / "set", 0)
    for photo in (tmp_path / "photos").iterdir():
        if photo.name not in needed:
            photo.unlink()
    repaired(tmp_path)
    assert file_bytes(tmp_path / "set") == sound


def shown_by(folder, pair):
    """The photo of a pair, by the plan alone: each photo makes one of four pairs."""
    from blurgen.plan import photo_order

    manifest = read_manifest(folder)
    return {manifest["photos"][photo_order(4, 24, manifest["seed"])[pair]]["id"]}


def test_missing_photos_are_named(copy):
    (copy / "set" / "shard-00000.h5").unlink()
    for photo in (copy / "photos").iterdir():
        photo.unlink()
    Image.fromarray(photo_crop(0)).save(copy / "photos" / "other.png")
    with pytest.raises(SourceError, match="photos that the bad shards show are not there"):
        repaired(copy)


def test_a_changed_photo_is_refused(copy):
    flip_pixel(copy / "photos")
    (copy / "set" / "shard-00000.h5").unlink()
    with pytest.raises(SourceError, match="changed"):
        repaired(copy)
    assert not (copy / "set" / "shard-00000.h5").exists()


def flip_pixel(photos):
    for path in photos.iterdir():
        with Image.open(path) as image:
            changed = image.copy()
        changed.putpixel((0, 0), (1, 2, 3))
        changed.save(path)


def test_a_shard_that_would_come_out_otherwise_is_left_as_it_is(copy):
    """As with another build of the libraries: here the manifest asks for a sha256 that nothing has."""
    manifest = read_manifest(copy / "set")
    manifest["shards"][1]["sha256"] = "0" * 64
    manifest["build"]["numpy"] = "1.0"
    manifest["digest"] = document_digest(manifest)
    publish_json(copy / "set" / "manifest.json", manifest)
    former = file_bytes(copy / "set")
    with pytest.raises(
        ShardError, match=r"shard-00001.h5: comes out otherwise than it was .*made with numpy 1.0, here"
    ):
        repaired(copy)
    assert file_bytes(copy / "set") == former


def test_a_derived_data_set_is_derived_again(copy):
    subset(copy / "set", copy / "some", "area > 0")
    (copy / "set").rename(copy / "whole")
    (copy / "some").rename(copy / "set")
    assert repaired(copy).files == []
    flip(copy / "set" / "shard-00000.h5")
    with pytest.raises(ShardError, match="run the same `blurgen subset` again"):
        repaired(copy)


def test_an_unfinished_data_set_is_not_repaired(copy):
    manifest = read_manifest(copy / "set") | {"complete": False, "shards": []}
    manifest["digest"] = document_digest(manifest)
    publish_json(copy / "set" / "manifest.json", manifest)
    with pytest.raises(ShardError, match="not finished"):
        repaired(copy)
    assert not (copy / "set" / LOCK_NAME).exists()


def test_what_a_repair_can_not_mend_is_named(copy):
    shutil.copy(copy / "set" / "shard-00000.h5", copy / "set" / "shard-00003.h5")
    assert repaired(copy).faults == [f"{copy / 'set' / 'shard-00003.h5'}: not in the manifest"]


@pytest.mark.parametrize(
    "told", [{"region_keys": 5}, {"region_keys": {"proposal": "../x"}}, {"height": "64"}, {"lends": 1}]
)
def test_a_manifest_that_tells_nonsense_of_its_photos_is_refused(copy, told):
    manifest = read_manifest(copy / "set")
    manifest["photos"][0] |= told
    manifest["digest"] = document_digest(manifest)
    publish_json(copy / "set" / "manifest.json", manifest)
    (copy / "set" / "shard-00000.h5").unlink()
    with pytest.raises(ShardError, match="not made by blurgen"):
        repaired(copy)


def test_another_manifest_than_the_sealed_one_is_not_believed(copy, made, tmp_path):
    make(copy / "photos", tmp_path / "other", copy / "cache", seed=7)
    freeze(copy / "set")
    sealed = file_bytes(copy / "set")
    os.chmod(copy / "set", 0o755)
    os.chmod(copy / "set" / "manifest.json", 0o644)
    shutil.copy(tmp_path / "other" / "manifest.json", copy / "set" / "manifest.json")
    with pytest.raises(ShardError, match=r"frozen.json: is the seal of another data set"):
        repaired(copy)
    now = file_bytes(copy / "set")
    assert {name for name in sealed if now[name] != sealed[name]} == {"manifest.json"}


def test_a_forged_receipt_of_a_frozen_data_set_is_made_again(copy):
    freeze(copy / "set")
    sealed = file_bytes(copy / "set")
    receipt = read_receipt(copy / "set", 0)
    receipt["rejected"]["area"] += 9
    receipt["digest"] = document_digest(receipt)
    os.chmod(copy / "set", 0o755)
    publish_json(copy / "set" / "shard-00000.json", receipt)
    assert repaired(copy).to_dict() == {"files": ["shard-00000.h5"], "cache": [], "faults": []}
    assert file_bytes(copy / "set") == sealed


def test_photos_that_were_moved_are_found_by_their_bytes(copy, made):
    (copy / "set" / "shard-00000.h5").unlink()
    for number, path in enumerate(sorted((copy / "photos").iterdir())):
        (copy / "photos" / "deep").mkdir(exist_ok=True)
        path.rename(copy / "photos" / "deep" / f"moved-{number}.png")
    repaired(copy)
    assert file_bytes(copy / "set") == file_bytes(made / "set")


@pytest.mark.parametrize("name", ["recipe.toml", "shard-00000.json", "shard-00001.h5"])
def test_a_pipe_among_the_files_hangs_nobody(copy, name):
    (copy / "set" / name).unlink()
    os.mkfifo(copy / "set" / name)
    assert any(name.split(".")[0] in fault for fault in faults_of(copy / "set"))
    with pytest.raises(OutputError, match="not a plain file"):
        repaired(copy)
