"""A folder of shards as one data set: reading pairs, and finding everything that is wrong with it."""

import json
import os
import pickle
import re
import resource
import shutil
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from helpers_shards import RECIPE, build_shard, example_pair, faults_of, make, write_photos

from blurgen import open_dataset
from blurgen.dataset import info, read_manifest, reading, verify
from blurgen.dataset.manifest import first_difference, write_manifest
from blurgen.errors import ShardError
from blurgen.files import document_digest, publish_json, sha256
from blurgen.shards.reader import Shard


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished data set of 8 pairs in 3 shards; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    make(write_photos(folder / "photos"), folder / "set", folder / "cache")
    return folder / "set"


@pytest.fixture
def copy(made, tmp_path):
    """A copy of the data set, to be damaged."""
    return shutil.copytree(made, tmp_path / "set")


# Reading pairs --------------------------------------------------------------------------------------------------------


def test_pairs_come_by_index_from_either_end(made):
    with open_dataset(made) as data:
        assert len(data) == 8
        assert [data[index].provenance["pair"] for index in range(8)] == list(range(8))
        assert [data[index].provenance["pair"] for index in range(-8, 0)] == list(range(8))
        assert data[np.int64(7)].provenance == data[-1].provenance
        for index in (8, -9, 10**9):
            with pytest.raises(IndexError, match=str(index)):
                data[index]


def test_a_pair_is_an_image_a_mask_and_its_story(made):
    with open_dataset(str(made)) as data:
        pair = data[4]
    assert pair.image.shape == (48, 48, 3)
    assert pair.image.dtype == np.uint8
    assert pair.mask.shape == (48, 48)
    assert pair.mask.dtype == bool
    assert pair.provenance["blurred_share"] == pair.mask.mean()
    assert pair.provenance["photo"] in ("0.png", "1.png", "2.png")
    assert pair.provenance["seed"] == 5
    assert isinstance(pair.provenance["inverted"], bool)


def test_threads_read_what_is_there_though_shards_are_closed_meanwhile(made, monkeypatch):
    monkeypatch.setattr(reading, "MAX_OPEN_SHARDS", 1)
    with open_dataset(made) as data, ThreadPoolExecutor(8) as pool:
        numbers = [number * 3 % 8 for number in range(800)]
        for number, pair in zip(numbers, pool.map(data.__getitem__, numbers), strict=True):
            assert pair.provenance["pair"] == number
            assert pair.provenance["blurred_share"] == pair.mask.mean()


def test_iteration_gives_every_pair_once_as_often_as_asked(made):
    with open_dataset(made) as data:
        for _ in range(2):
            assert [pair.provenance["pair"] for pair in data] == list(range(8))
        first, second = iter(data), iter(data)
        assert next(first).provenance == next(second).provenance


def test_a_closed_data_set_has_no_file_open_and_opens_again_when_used(made):
    def open_shards():
        return [name for name in map(os.path.realpath, os.scandir("/proc/self/fd")) if name.startswith(str(made))]

    with open_dataset(made) as data:
        list(data)
        assert len(open_shards()) == 3
    assert not open_shards()
    assert data[0].provenance["pair"] == 0
    data.close()
    data.close()
    assert not open_shards()


def test_the_recipe_is_the_one_it_was_made_with(made):
    assert open_dataset(made).recipe == RECIPE
    assert open_dataset(made).manifest["recipe"] == RECIPE.model_dump(mode="json")


def test_more_shards_than_files_may_be_open(tmp_path):
    data = build_shard(order=(0,), height=8, width=8).to_bytes()
    receipts = [{"shard": index, "sha256": sha256(data), "pairs": 1, "bytes": len(data)} for index in range(400)]
    for index in range(400):
        (tmp_path / f"shard-{index:05d}.h5").write_bytes(data)
    nothing = {"photos": [], "quarantined": []}
    identity = {
        "pairs": 400,
        "seed": 0,
        "source": "folder",
        "split": "",
        "recipe": RECIPE.model_dump(mode="json"),
        **nothing,
    }
    write_manifest(tmp_path, RECIPE, identity, receipts)
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (350, limits[1]))
    try:
        with open_dataset(tmp_path) as dataset:
            assert sum(1 for _ in dataset) == 400
            assert dataset[0].mask.shape == dataset[-1].mask.shape == (8, 8)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_folder_without_a_data_set_is_refused(tmp_path):
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ShardError, match="no blurgen data set here"):
            open_dataset(folder)


def test_an_unfinished_data_set_is_refused(copy, made):
    manifest = read_manifest(made)
    manifest |= {"shards": [], "complete": False}
    publish_json(copy / "manifest.json", manifest | {"digest": document_digest(manifest)})
    with pytest.raises(ShardError, match="not finished; run the same `blurgen make` again"):
        open_dataset(copy)
    assert faults_of(copy) == [f"{copy}: not finished; run the same `blurgen make` again"]


def test_a_shard_that_is_gone_or_another_one_is_refused_when_it_is_used(copy):
    (copy / "shard-00001.h5").unlink()
    shutil.copy(copy / "shard-00000.h5", copy / "shard-00002.h5")
    with open_dataset(copy) as data:
        assert data[2].provenance["pair"] == 2
        with pytest.raises(ShardError, match=r"shard-00001\.h5: this shard is missing"):
            data[3]
        with pytest.raises(ShardError, match=r"shard-00002\.h5: holds 3 pairs, the manifest says 2"):
            data[6]


# Verify ---------------------------------------------------------------------------------------------------------------


def test_a_sound_data_set_has_no_fault(made):
    names = ["manifest.json", "frozen.json", "shard-00000.h5", "shard-00001.h5", "shard-00002.h5"]
    assert list(verify(made)) == [(name, []) for name in names]


@pytest.mark.parametrize("name", ["shard-00001.h5", "shard-00001.json", "recipe.toml"])
def test_verify_finds_any_flipped_bit(copy, name):
    path = copy / name
    data = path.read_bytes()
    for place in np.random.default_rng(0).integers(8 * len(data), size=25):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        [fault] = faults_of(copy)
        assert str(path) in fault
        assert "`blurgen repair` makes it again, or says how" in fault


def test_a_flipped_bit_in_the_manifest_is_refused(copy):
    path = copy / "manifest.json"
    data = path.read_bytes()
    for place in np.random.default_rng(0).integers(8 * len(data), size=60):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        for use in (read_manifest, faults_of, open_dataset, info):
            with pytest.raises(ShardError, match=str(path)):
                use(copy)


@pytest.mark.parametrize("name", ["shard-00002.h5", "shard-00002.json", "recipe.toml"])
@pytest.mark.parametrize("left", [None, 0, 100])
def test_verify_names_what_is_missing_or_cut_short(copy, name, left):
    path = copy / name
    if left is None:
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:left])
    [fault] = faults_of(copy)
    assert fault.startswith(str(path))


def test_verify_finds_an_extra_shard(copy):
    shutil.copy(copy / "shard-00000.h5", copy / "shard-00003.h5")
    assert faults_of(copy) == [f"{copy / 'shard-00003.h5'}: not in the manifest"]


@pytest.mark.parametrize("suffixes", [[".h5"], [".json"], [".h5", ".json"]])
def test_verify_finds_two_shards_that_changed_places(copy, suffixes):
    for suffix in suffixes:
        first, second, aside = copy / f"shard-00000{suffix}", copy / f"shard-00001{suffix}", copy / "aside"
        first.rename(aside)
        second.rename(first)
        aside.rename(second)
    faults = faults_of(copy)
    assert len(faults) == 2
    assert "shard-00000" in faults[0]
    assert "shard-00001" in faults[1]


def test_verify_finds_a_shard_and_receipt_from_another_data_set(copy, made, tmp_path):
    make(write_photos(tmp_path / "photos"), tmp_path / "other", made.parent / "cache", seed=6)
    for name in ("shard-00001.h5", "shard-00001.json"):
        shutil.copy(tmp_path / "other" / name, copy / name)
    [fault] = faults_of(copy)
    assert "shard-00001.h5: its sha256 is" in fault


def forged(tmp_path, mask, **changes):
    """A data set of two pairs under good checksums, whose second has this mask and other provenance."""
    builder = build_shard("png", (0, 1))
    provenance = builder.rows[1][1] | changes
    builder.add(np.zeros((32, 40, 3), np.uint8), mask, provenance)
    counts = {"rejected": {"area": 0, "single-class": 0}, "replaced": 0, "upscaled": 0}
    receipt = builder.publish(tmp_path, 0, counts)
    identity = {"pairs": 2, "seed": 0, "source": "folder", "split": "", "recipe": RECIPE.model_dump(mode="json")}
    write_manifest(tmp_path, RECIPE, identity | {"photos": listed_photos(2), "quarantined": []}, [receipt])
    return tmp_path


def listed_photos(count):
    """What a manifest says of the photos of the example pairs."""
    rows = [example_pair(pair)[2] for pair in range(count)]
    return [{"id": row["photo"], "sha256": row["photo_sha256"], "licence": "unknown"} for row in rows]


ONE_CLASS = {"all": np.ones((32, 40), bool), "nothing": np.zeros((32, 40), bool)}


@pytest.mark.parametrize("blurred", ONE_CLASS)
def test_verify_finds_a_mask_of_one_class_under_good_checksums(tmp_path, blurred):
    mask = ONE_CLASS[blurred]
    [fault] = faults_of(forged(tmp_path, mask))
    assert re.search(rf"pair 1 of this shard is {mask.mean():.1%} blurred, its provenance says [1-9]\d\.\d%$", fault)


@pytest.mark.parametrize("blurred", ONE_CLASS)
def test_verify_finds_a_mask_of_one_class_whose_provenance_owns_up_to_it(tmp_path, blurred):
    mask = ONE_CLASS[blurred]
    [fault] = faults_of(forged(tmp_path, mask, mask_kind="proposal", blurred_share=mask.mean()))
    assert f"column blurred_share of the provenance table is {mask.mean()} for pair 1; impossible" in fault


@pytest.mark.parametrize(("kind", "blurred"), [("all-blurred", "all"), ("all-sharp", "nothing")])
def test_a_mask_of_one_class_is_no_fault_where_it_is_meant(tmp_path, kind, blurred):
    mask = ONE_CLASS[blurred]
    assert not faults_of(forged(tmp_path, mask, mask_kind=kind, blurred_share=mask.mean()))


@pytest.mark.parametrize(("kind", "blurred"), [("all-sharp", "all"), ("all-blurred", "nothing")])
def test_verify_finds_a_mask_that_is_meant_to_be_of_the_other_class(tmp_path, kind, blurred):
    mask = ONE_CLASS[blurred]
    [fault] = faults_of(forged(tmp_path, mask, mask_kind=kind, blurred_share=1 - mask.mean()))
    assert f"is {mask.mean():.1%} blurred" in fault


def test_verify_finds_a_mask_that_is_not_the_one_that_was_made(tmp_path):
    mask = np.zeros((32, 40), bool)
    mask[:16] = True
    [fault] = faults_of(forged(tmp_path, mask))
    assert "pair 1 of this shard is 50.0% blurred, its provenance says" in fault


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"origin": 1}, "names origin 1, the manifest has 1"),
        ({"origin_pair": 0}, "holds pairs of another data set, though the manifest names none"),
        ({"photo": "other.jpg"}, "shows the photo other.jpg, which the manifest does not list"),
        ({"photo_sha256": "0" * 64}, "shows the photo Füße/1.jpg, which the manifest does not list"),
    ],
)
def test_verify_finds_pairs_of_unknown_origin_under_good_checksums(tmp_path, changes, fault):
    mask = example_pair(1)[1]
    folder = forged(tmp_path, mask, **changes)
    assert faults_of(folder, deep=False) == [f"{folder / 'shard-00000.h5'}: {fault}"]


def test_verify_finds_pairs_that_are_there_twice_under_good_checksums(tmp_path):
    counts = {"rejected": {"area": 0, "single-class": 0}, "replaced": 0, "upscaled": 0}
    receipts = [build_shard("png", (0, 1)).publish(tmp_path, index, counts) for index in range(2)]
    identity = {"pairs": 4, "seed": 0, "source": "folder", "split": "", "photos": listed_photos(4)}
    identity["quarantined"] = []
    write_manifest(tmp_path, RECIPE, identity | {"recipe": RECIPE.model_dump(mode="json")}, receipts)
    assert faults_of(tmp_path) == [f"{tmp_path / 'shard-00001.h5'}: begins with pair 0, 2 is due"]


@pytest.mark.parametrize(
    "change",
    [
        {"shards": []},
        {"shards": [7]},
        {"shards": None},
        {"complete": "yes"},
        {"photos": [{"id": 7, "licence": "x"}]},
        {"photos": {}},
        {"recipe": {}},
        {"seed": None},
        {"build": None},
        {"pairs": 8.5},
        *({"pairs": pairs} for pairs in (0, 7, 9, 10**30, True)),
        *({"pairs_per_shard": count} for count in (2, 4, 8, "3", 0, None)),
        {"seed": -1},
        {"split": None},
        {"source": "\ud800"},
        {"photos": [{"id": "0.png", "licence": "\udfff"}]},
        {"photos": [{"id": "\ud800", "licence": "x"}]},
        {"quarantined": [{"id": "0.png"}]},
        {"quarantined": [{"id": "0.png", "reason": 7}]},
        {"recipe": {"name": "\ud800"}},
        {"recipe_toml_sha256": None},
        {"schema_version": 99},
        {"format": "other"},
    ],
)
def test_a_forged_manifest_is_refused_though_its_digest_holds(copy, change):
    manifest = read_manifest(copy) | change
    publish_json(copy / "manifest.json", manifest | {"digest": document_digest(manifest)})
    for use in (open_dataset, info, faults_of):
        with pytest.raises(ShardError, match=r"manifest\.json"):
            use(copy)


@pytest.mark.parametrize(
    "change",
    [
        *({"name": "../shard-00001.h5"}, {"bytes": True}, {"bytes": 10**30}, {"sha256": 5}),
        *({"pairs": pairs} for pairs in (-3, 2, 4, 10**30)),
    ],
)
def test_a_forged_list_of_shards_is_refused_though_its_digest_holds(copy, change):
    manifest = read_manifest(copy)
    manifest["shards"][1] |= change
    publish_json(copy / "manifest.json", manifest | {"digest": document_digest(manifest)})
    with pytest.raises(ShardError, match=r"manifest\.json"):
        open_dataset(copy)


def test_a_complete_manifest_that_lists_fewer_shards_than_were_made_is_refused(copy):
    manifest = read_manifest(copy)
    for shards in (manifest["shards"][:2], [manifest["shards"][0] | {"pairs": 8}]):
        forged = manifest | {"shards": shards}
        publish_json(copy / "manifest.json", forged | {"digest": document_digest(forged)})
        with pytest.raises(ShardError, match=r"manifest\.json"):
            read_manifest(copy)


@pytest.mark.parametrize("name", ["x" * 256, "x\0y", "\ud800"])
@pytest.mark.parametrize("use", [open_dataset, info, read_manifest, faults_of])
def test_a_folder_that_can_not_be_is_refused(tmp_path, use, name):
    with pytest.raises(ShardError, match=str(tmp_path)):
        use(tmp_path / name)


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied"), ValueError("embedded null byte")])
def test_a_path_that_can_not_be_looked_at_is_named(copy, monkeypatch, error):
    def refuse(*_, **__):
        raise error

    data = open_dataset(copy)
    monkeypatch.setattr(Path, "stat", refuse)
    monkeypatch.setattr("blurgen.files.open_plain", refuse)
    for use in (open_dataset, info, read_manifest, faults_of, lambda _: data.recipe):
        with pytest.raises(ShardError, match=rf"{copy}.*can't be read \((Permission denied|embedded null byte)\)"):
            use(copy)


@pytest.mark.parametrize("text", ["", "[]", "null", "{", '{"a": ' * 100_000, "1" * 10_000, "\udcff"])
def test_a_manifest_that_is_not_json_is_refused(copy, text):
    (copy / "manifest.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ShardError, match=r"manifest\.json"):
        open_dataset(copy)


def test_the_digest_of_the_data_set_covers_its_shards(made):
    manifest = json.loads((made / "manifest.json").read_text())
    assert manifest["digest"] == document_digest(manifest)
    assert [shard["sha256"] for shard in manifest["shards"]] == [
        sha256((made / f"shard-0000{index}.h5").read_bytes()) for index in range(3)
    ]


# What differs ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("former", "asked", "difference"),
    [
        ({"a": 1}, {"a": 1}, None),
        ({}, {}, None),
        ({"a": 1}, {"a": 2}, "a (1 there, 2 asked for)"),
        ({"a": 0}, {"a": False}, "a (0 there, false asked for)"),
        ({"a": 1}, {}, "a (1 there, nothing asked for)"),
        ({}, {"a": 1}, "a (nothing there, 1 asked for)"),
        ({"b": {"c": [1, 2]}}, {"b": {"c": [1, 3]}}, "b.c ([1, 2] there, [1, 3] asked for)"),
        ({"a": {"x": 1}, "b": 1}, {"a": {"x": 2}, "b": 2}, "a.x (1 there, 2 asked for)"),
        ({"p": [{"id": "k", "v": 1}]}, {"p": [{"id": "k", "v": 2}]}, "p.k.v (1 there, 2 asked for)"),
        ({"p": [{"id": "k"}, {"id": "l"}]}, {"p": [{"id": "l"}, {"id": "k"}]}, None),
        ({"p": [{"id": "k"}]}, {"p": []}, 'p.k ({"id": "k"} there, nothing asked for)'),
        ({"a": "x" * 80}, {"a": None}, f'a ("{"x" * 56}... there, nothing asked for)'),
    ],
)
def test_the_first_difference_names_key_and_both_values(former, asked, difference):
    assert first_difference(former, asked) == difference


# Info -----------------------------------------------------------------------------------------------------------------


def test_info_agrees_with_a_pass_over_all_pairs(made):
    found = info(made)
    with open_dataset(made) as data:
        rows = [pair.provenance for pair in data]
        shares = sorted(pair.mask.mean() for pair in data)
        sizes = Counter("{}x{}".format(*pair.image.shape[:2]) for pair in data)
        assert found["digest"] == data.manifest["digest"]
    assert found["pairs"] == len(rows) == 8
    assert found["shards"] == 3
    assert found["bytes"] == sum(path.stat().st_size for path in made.glob("*.h5"))
    assert found["photos"] == len({row["photo"] for row in rows})
    assert found["blur_kinds"] == Counter(row["blur_kind"] for row in rows)
    assert found["inverted_share"] == np.mean([row["inverted"] for row in rows])
    assert found["sizes"] == sizes
    assert found["upscaled"] == sum(row["crop_height"] < row["height"] for row in rows)
    assert found["replaced"] == 0
    assert (found["blurred_share"]["min"], found["blurred_share"]["max"]) == (shares[0], shares[-1])
    assert found["blurred_share"]["median"] == np.median(shares)
    for kind, name in (("gaussian", "sigma_px"), ("disk", "radius_px"), ("nonlinear-motion", "length_px")):
        values = [row[name] for row in rows if row["blur_kind"] == kind]
        assert found.get(name, {}).get("max") == (max(values) if values else None)
    assert sum(found["rejected"].values()) == sum(row["attempt"] for row in rows)
    assert found["licences"] == {"unknown": 3}
    assert (found["recipe"], found["seed"], found["source"]) == ("custom", 5, "folder")
    json.dumps(found)


def test_info_needs_every_shard_and_receipt(copy):
    (copy / "shard-00001.json").unlink()
    with pytest.raises(ShardError, match=r"shard-00001\.json: no receipt"):
        info(copy)


def test_a_shard_alone_tells_its_pairs(made):
    with Shard(made / "shard-00002.h5") as shard:
        assert [shard.row(place)["pair"] for place in range(len(shard))] == [6, 7]


def test_a_data_set_can_be_pickled_after_it_was_read_from(made):
    with open_dataset(made) as data:
        first = data[0]
        with pickle.loads(pickle.dumps(data)) as copy:
            np.testing.assert_array_equal(copy[0].image, first.image)
            assert copy[0].provenance == first.provenance
        assert str(len(data)) in repr(data)
        with pytest.raises(TypeError):
            data[0:2]


# How it is verified ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 3])
def test_faults_come_in_the_order_of_the_shards(copy, workers):
    for index in range(3):
        flip(copy / f"shard-{index:05d}.h5")
    names = [name for name, faults in verify(copy, workers=workers) if faults]
    assert names == [f"shard-{index:05d}.h5" for index in range(3)]


@pytest.mark.parametrize(
    "damage", [lambda path: flip(path), lambda path: os.truncate(path, 50), lambda path: path.write_bytes(b"")]
)
def test_a_damaged_cache_entry_is_found(tmp_path, damage):
    make(write_photos(tmp_path / "photos"), tmp_path / "set", tmp_path / "cache")
    entry = sorted((tmp_path / "cache").rglob("*.regions"))[1]
    assert faults_of(tmp_path / "set", cache=tmp_path / "cache") == []
    damage(entry)
    assert faults_of(tmp_path / "set", cache=tmp_path / "cache") == [
        f"{entry}: damaged; delete it, and the proposals are computed again"
    ]


def test_a_missing_cache_is_no_fault_and_is_not_made(made, tmp_path):
    assert faults_of(made, cache=tmp_path / "cache") == []
    assert not (tmp_path / "cache").exists()


def test_what_only_decoding_tells_takes_a_deep_verify(tmp_path):
    folder = forged(tmp_path, ONE_CLASS["all"])
    assert faults_of(folder, deep=False) == []
    assert len(faults_of(folder, deep=True)) == 1


def flip(path: Path) -> None:
    """Flip one bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize(
    "change", [lambda text: text[:-1], lambda text: text + "\n", lambda text: text.replace(": ", " : ")]
)
def test_verify_finds_another_spelling_of_the_manifest(copy, change):
    path = copy / "manifest.json"
    path.write_text(change(path.read_text()))
    assert any("not spelled as blurgen spells it" in fault for fault in faults_of(copy))
