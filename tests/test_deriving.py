"""Merge, split and subset: what is stored of a pair stays what it was, and a pair says where it comes from."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from helpers_shards import RECIPE, faults_of, file_bytes, make, write_photos, write_times
from hypothesis import given, settings
from hypothesis import strategies as st

from blurgen import open_dataset
from blurgen.dataset import copying, info, read_manifest
from blurgen.dataset.deriving import merge, share_out, split, subset
from blurgen.dataset.seal import SEAL_NAME
from blurgen.errors import ArgumentError, BlurgenError, OutputError, ShardError
from blurgen.files import document_digest, locked, publish_json
from blurgen.shards.reader import Shard
from blurgen_cli.main import main

FORMER = Path(__file__).parent / "data" / "schema-2"
COPIED = {"pair", "origin", "origin_pair"}
"""Columns that say where a pair is and was; all others are copied."""


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Data sets not to be changed: a, b (another seed), png (lossless), typed (with a target), many (pairs)."""
    folder = tmp_path_factory.mktemp("root")
    photos = write_photos(folder / "photos", 4)
    changes = {
        "a": {},
        "b": {"seed": 6, "n": 5},
        "png": {"recipe": RECIPE.with_values({"storage.codec": "png", "name": "lossless"}), "n": 4},
        "typed": {"recipe": RECIPE.with_values({"targets.type": True}), "n": 4},
        "many": {"n": 60, "pairs_per_shard": 13},
    }
    for name, change in changes.items():
        make(photos, folder / name, folder / "cache", **change)
    return folder


@pytest.fixture(scope="module")
def merged(root):
    """a and b in one; not to be changed."""
    merge([root / "a", root / "b"], root / "merged")
    return root / "merged"


@pytest.fixture
def copy(root, tmp_path):
    """A copy of data set a, to be damaged."""
    return shutil.copytree(root / "a", tmp_path / "copy")


def pairs_of(folder):
    """Of every pair: what is stored of it, by name, and its row."""
    for listed in read_manifest(folder)["shards"]:
        with Shard(Path(folder) / listed["name"]) as shard:
            for place in range(len(shard)):
                stored = {name: shard.stored(name, place) for name in ("image", "mask", *shard.targets)}
                yield stored, shard.row(place)


def story(row):
    """A row without the columns that say where the pair is."""
    return {name: value for name, value in row.items() if name not in COPIED}


def rewrite(folder, **changes):
    """Change the manifest, with a digest that holds."""
    manifest = read_manifest(folder) | changes
    manifest = {key: value for key, value in manifest.items() if value is not None}
    publish_json(folder / "manifest.json", manifest | {"digest": document_digest(manifest)})


# Merge ----------------------------------------------------------------------------------------------------------------


def test_a_merged_data_set_holds_the_pairs_of_all_in_their_order(root, tmp_path):
    made = merge([root / "b", root / "a"], tmp_path / "out")
    found, parents = list(pairs_of(tmp_path / "out")), [list(pairs_of(root / name)) for name in ("b", "a")]
    assert made.pairs == made.pairs_copied == len(found) == 13
    for pair, (number, origin) in enumerate([(n, 0) for n in range(5)] + [(n, 1) for n in range(8)]):
        stored, row = parents[origin][number]
        assert found[pair][0] == stored
        assert story(found[pair][1]) == story(row)
        assert [found[pair][1][name] for name in ("pair", "origin", "origin_pair")] == [pair, origin, number]
    assert faults_of(tmp_path / "out") == []
    with open_dataset(tmp_path / "out") as data, open_dataset(root / "a") as parent:
        assert np.array_equal(data[5].image, parent[0].image)
        assert np.array_equal(data[-1].mask, parent[-1].mask)


def test_its_manifest_says_what_it_was_made_from(root, tmp_path):
    merge([root / "a", root / "png"], tmp_path / "out")
    manifest, parents = read_manifest(tmp_path / "out"), [read_manifest(root / name) for name in ("a", "png")]
    digests = [parent["digest"] for parent in parents]
    assert manifest["derived"] == {"by": "merge", "arguments": {}, "parents": digests}
    keys = ("digest", "recipe", "seed", "source", "split", "build", "pairs")
    assert manifest["origins"] == [{key: parent[key] for key in keys} for parent in parents]
    assert not {"seed", "recipe", "source", "split", "pairs_per_shard", "recipe_toml_sha256"} & {*manifest}
    assert not (tmp_path / "out" / "recipe.toml").exists()
    assert manifest["photos"] == parents[0]["photos"]
    with open_dataset(tmp_path / "out") as data:
        assert [recipe.name for recipe in data.recipes] == [RECIPE.name, "lossless"]
        with pytest.raises(ArgumentError, match=r"made from 2 data sets .* use \.recipes"):
            _ = data.recipe


def test_one_recipe_stays_the_recipe(root, tmp_path):
    merge([root / "a", root / "b"], tmp_path / "out")
    with open_dataset(tmp_path / "out") as data:
        assert data.recipe == RECIPE
        assert data.recipes == (RECIPE, RECIPE)
    assert (tmp_path / "out" / "recipe.toml").read_bytes() == (root / "a" / "recipe.toml").read_bytes()
    assert open_dataset(root / "a").recipes == (RECIPE,)


def test_the_same_again_is_the_same_bytes_wherever_the_parents_lie(root, merged, tmp_path):
    times = write_times(merged)
    again = merge([root / "a", root / "b"], merged)
    assert (again.pairs, again.pairs_copied) == (13, 0)
    assert write_times(merged) == times
    elsewhere = [shutil.copytree(root / name, tmp_path / "elsewhere" / name) for name in ("a", "b")]
    merge([os.path.relpath(folder) for folder in elsewhere], tmp_path / "twin")
    assert file_bytes(tmp_path / "twin") == file_bytes(merged)


@pytest.mark.parametrize("name", ["shard-00001.h5", "shard-00002.json", "recipe.toml"])
@pytest.mark.parametrize("lost", [True, False])
def test_a_part_that_was_lost_or_damaged_is_made_again(root, merged, tmp_path, name, lost):
    out = shutil.copytree(merged, tmp_path / "out")
    (out / name).write_bytes((out / name).read_bytes()[:-9] + b"otherwise")
    if lost:
        (out / name).unlink()
    assert merge([root / "a", root / "b"], out).pairs_copied == 13
    assert file_bytes(out) == file_bytes(merged)


@pytest.mark.parametrize("step", ["renamed:manifest.json", "synced:shard-00001.json", "written:recipe.toml"])
def test_killed_at_any_step_it_ends_as_if_never_killed(root, merged, tmp_path, step):
    code = "import sys; from blurgen.dataset.deriving import merge; merge(sys.argv[1:3], sys.argv[3])"
    command = [sys.executable, "-c", code, root / "a", root / "b", tmp_path / "out"]
    assert subprocess.run(command, env={**os.environ, "BLURGEN_DIE_AT": step}).returncode == -9
    with pytest.raises(ShardError, match="not finished; run the same `blurgen merge` again"):
        open_dataset(tmp_path / "out")
    merge([root / "a", root / "b"], tmp_path / "out")
    assert file_bytes(tmp_path / "out") == file_bytes(merged)


def test_a_shard_is_of_one_codec_and_no_longer_than_those_of_the_parents(root, tmp_path):
    merge([root / "a", root / "png", root / "b"], tmp_path / "out")
    shards = [Shard(path) for path in sorted((tmp_path / "out").glob("*.h5"))]
    assert [(shard.codec, len(shard)) for shard in shards] == [
        *[("jpeg", 3), ("jpeg", 3), ("jpeg", 2)],
        *[("png", 3), ("png", 1)],
        *[("jpeg", 3), ("jpeg", 2)],
    ]
    assert faults_of(tmp_path / "out") == []


def test_raw_images_of_several_sizes_lie_in_several_shards(root, tmp_path):
    for size in ("48x48", "40x56"):
        recipe = RECIPE.with_values({"geometry.size": size, "storage.codec": "raw"})
        make(root / "photos", tmp_path / size, root / "cache", recipe=recipe, n=3)
    merge([tmp_path / "48x48", tmp_path / "40x56"], tmp_path / "out")
    with open_dataset(tmp_path / "out") as data:
        assert [pair.image.shape[:2] for pair in data] == [(48, 48)] * 3 + [(40, 56)] * 3
    assert faults_of(tmp_path / "out") == []


def test_large_pairs_make_short_shards(root, tmp_path, monkeypatch):
    sizes = [sum(map(len, stored.values())) for stored, _ in pairs_of(root / "a")]
    monkeypatch.setattr(copying, "SHARD_BYTES", 2 * max(sizes))
    merge([root / "a", root / "b"], tmp_path / "out")
    assert read_manifest(tmp_path / "out")["shards"][0]["pairs"] == 2
    assert faults_of(tmp_path / "out") == []


def test_data_sets_of_a_former_schema_can_be_merged(root, tmp_path):
    make(FORMER.parent / "schema-2-photos", tmp_path / "new", root / "cache", recipe=open_dataset(FORMER).recipe)
    merge([FORMER, tmp_path / "new"], tmp_path / "out")
    assert faults_of(tmp_path / "out") == []
    for (stored, row), (former, former_row) in zip(pairs_of(tmp_path / "out"), pairs_of(FORMER), strict=False):
        assert (stored, story(row)) == (former, story(former_row))
    assert read_manifest(tmp_path / "out")["origins"][0]["digest"] == read_manifest(FORMER)["digest"]


def test_photos_of_one_name_that_are_not_the_same_are_both_listed(root, tmp_path):
    other = write_photos(tmp_path / "photos", 2)
    shutil.copy(other / "1.png", other / "0.png")
    make(other, tmp_path / "other", root / "cache")
    made = merge([root / "a", tmp_path / "other"], tmp_path / "out")
    photos = [(one["id"], one["sha256"]) for one in read_manifest(tmp_path / "out")["photos"]]
    used = {(row["photo"], row["photo_sha256"]) for _, row in pairs_of(tmp_path / "out")}
    assert photos == sorted(photos)
    assert {*photos} == used
    assert made.photos == len(photos) == 5


# What a merge refuses -------------------------------------------------------------------------------------------------


def test_pairs_are_never_in_a_data_set_twice(root, tmp_path):
    copied = shutil.copytree(root / "a", tmp_path / "copied")
    with pytest.raises(ArgumentError, match=r"a and .*copied are the same data set"):
        merge([root / "a", root / "b", copied], tmp_path / "out")
    subset(root / "a", tmp_path / "some", "pair < 3")
    subset(root / "a", tmp_path / "others", "pair >= 3")
    subset(root / "a", tmp_path / "last", "pair >= 7")
    for folders, shared in (([root / "a", tmp_path / "some"], 3), ([tmp_path / "last", tmp_path / "others"], 1)):
        with pytest.raises(ArgumentError, match=f"have {shared} pairs in common"):
            merge(folders, tmp_path / "out")
    with pytest.raises(ArgumentError, match="two data sets or more"):
        merge([root / "a"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_targets_are_refused(root, tmp_path):
    with pytest.raises(ArgumentError, match=r"/a and .*/typed hold other targets \(none; type\)"):
        merge([root / "a", root / "typed"], tmp_path / "out")


def test_a_parent_is_never_written_to(root, copy, tmp_path):
    (tmp_path / "link").symlink_to(copy)
    for out in (copy, copy / "inside", tmp_path / "link" / "deep" / "inside"):
        with pytest.raises(ArgumentError, match="choose another --out"):
            merge([copy, root / "b"], out)
    assert file_bytes(copy) == file_bytes(root / "a")


def test_a_folder_that_holds_something_else_stays_as_it_is(root, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.tex").write_text("")
    with pytest.raises(OutputError, match="not empty and not a blurgen data set"):
        merge([root / "a", root / "b"], out)
    for former in ("original", "derived"):
        shutil.rmtree(out)
        shutil.copytree(root / "png", out) if former == "original" else subset(root / "a", out, "pair < 3")
        before = file_bytes(out)
        with pytest.raises(OutputError, match="holds another data set: derived"):
            merge([root / "a", root / "b"], out)
        assert file_bytes(out) == before


def test_a_folder_in_use_and_a_frozen_one_are_refused(root, merged, tmp_path):
    with locked(merged), pytest.raises(OutputError, match="is writing here"):
        merge([root / "a", root / "b"], merged)
    frozen = shutil.copytree(merged, tmp_path / "frozen")
    (frozen / SEAL_NAME).write_text("{}")
    before = file_bytes(frozen)
    with pytest.raises(BlurgenError, match="frozen"):
        merge([root / "a", root / "b"], frozen)
    assert file_bytes(frozen) == before


@pytest.mark.parametrize("damage", ["flip", "cut", "missing", "swapped", "pipe"])
def test_a_damaged_parent_is_refused_before_anything_is_written(root, copy, tmp_path, damage):
    path = copy / "shard-00001.h5"
    data = path.read_bytes()
    path.unlink()
    if damage == "flip":
        path.write_bytes(data[:-700] + bytes([data[-700] ^ 1]) + data[-699:])
    elif damage == "cut":
        path.write_bytes(data[:-1])
    elif damage == "swapped":
        shutil.copy(copy / "shard-00000.h5", path)
    elif damage == "pipe":
        os.mkfifo(path)
    with pytest.raises(ShardError, match=r"shard-00001\.h5: .*(sha256|missing)"):
        merge([root / "b", copy], tmp_path / "out")
    with pytest.raises(ShardError, match=r"shard-00001\.h5"):
        subset(copy, tmp_path / "out", "pair == 0")
    assert not (tmp_path / "out").exists()


def test_parents_that_contradict_themselves_or_each_other_are_refused(root, merged, copy, tmp_path):
    subset(root / "a", tmp_path / "some", "pair < 3")
    subset(root / "a", tmp_path / "forged", "pair >= 3")
    [origin] = read_manifest(tmp_path / "forged")["origins"]
    rewrite(tmp_path / "forged", origins=[origin | {"seed": 99}])
    with pytest.raises(ShardError, match="says something else about the data set"):
        merge([tmp_path / "some", tmp_path / "forged"], tmp_path / "out")
    rewrite(copy, photos=read_manifest(copy)["photos"][1:])
    with pytest.raises(ShardError, match=r"shows the photo 0\.png, which the manifest does not list"):
        subset(copy, tmp_path / "out", "area < 2")
    short = shutil.copytree(merged, tmp_path / "short")
    rewrite(short, origins=read_manifest(short)["origins"][:1])
    with pytest.raises(ShardError, match="names origin 1, the manifest has 1"):
        subset(short, tmp_path / "out", "area < 2")
    with pytest.raises(ShardError, match="a pair is of an origin that the manifest does not list"):
        info(short)
    shutil.copy(root / "png" / "recipe.toml", copy / "recipe.toml")
    rewrite(copy, photos=read_manifest(root / "a")["photos"])
    with pytest.raises(ShardError, match=r"recipe\.toml: changed or damaged"):
        subset(copy, tmp_path / "out", "area < 2")
    rewrite(copy, complete=False, shards=[])
    with pytest.raises(ShardError, match="not finished; run the same `blurgen make` again"):
        subset(copy, tmp_path / "out", "area < 2")


ORIGIN = {"digest": "0" * 64, "recipe": {"name": ""}, "seed": 0, "source": "", "split": "", "build": {}, "pairs": 1}
DERIVED = {"by": "merge", "arguments": {}, "parents": ["0" * 64]}


@pytest.mark.parametrize(
    "changes",
    [
        {"origins": None},
        {"derived": None},
        {"origins": []},
        {"origins": {}},
        {"origins": [ORIGIN, ORIGIN]},
        {"origins": [[]]},
        *({"origins": [{key: value for key, value in ORIGIN.items() if key != name}]} for name in ORIGIN),
        {"origins": [ORIGIN | {"digest": "0" * 63 + "G"}]},
        {"origins": [ORIGIN | {"digest": "0" * 64 + "\n"}]},
        {"origins": [ORIGIN | {"recipe": "standard"}]},
        {"origins": [ORIGIN | {"recipe": {}}]},
        {"origins": [ORIGIN | {"seed": -1}]},
        {"origins": [ORIGIN | {"seed": True}]},
        {"origins": [ORIGIN | {"pairs": 0}]},
        {"origins": [ORIGIN, ORIGIN | {"digest": "1" * 64, "recipe": {"name": "other"}}]},
        {"derived": []},
        {"derived": DERIVED | {"by": "magic"}},
        {"derived": DERIVED | {"by": []}},
        {"derived": DERIVED | {"arguments": []}},
        {"derived": DERIVED | {"parents": []}},
        {"derived": DERIVED | {"parents": "0" * 64}},
        {"derived": DERIVED | {"parents": [7]}},
        {"derived": DERIVED | {"more": 1}},
        {"recipe_toml_sha256": 7},
        {"recipe_toml_sha256": "abc"},
        *({name: value} for name, value in (("seed", 5), ("recipe", {"name": ""}), ("source", ""), ("split", ""))),
        {"pairs_per_shard": 3},
        {"photos": [{"id": "0.png", "licence": "", "sha256": []}]},
    ],
    ids=str,
)
def test_a_manifest_that_mixes_things_up_is_refused(merged, tmp_path, changes):
    shutil.copy(merged / "manifest.json", tmp_path)
    rewrite(tmp_path)
    assert read_manifest(tmp_path) == read_manifest(merged)
    rewrite(tmp_path, **changes)
    with pytest.raises(ShardError, match="malformed, though its digest holds"):
        read_manifest(tmp_path)


# Subset ---------------------------------------------------------------------------------------------------------------


def test_a_subset_holds_the_pairs_that_meet_the_condition(root, tmp_path):
    made = subset(root / "many", tmp_path / "out", "blur_kind == 'motion' and area < 0.5")
    rows = list(pairs_of(root / "many"))
    kept = [one for one in rows if one[1]["blur_kind"] == "nonlinear-motion" and one[1]["blurred_share"] < 0.5]
    found = list(pairs_of(tmp_path / "out"))
    assert 0 < len(kept) == len(found) == made.pairs < 60
    for pair, ((stored, row), (kept_stored, kept_row)) in enumerate(zip(found, kept, strict=True)):
        assert (stored, story(row)) == (kept_stored, story(kept_row))
        assert [row[name] for name in COPIED - {"origin_pair"}] in ([pair, 0], [0, pair])
        assert row["origin_pair"] == kept_row["pair"]
    manifest = read_manifest(tmp_path / "out")
    assert {one["id"] for one in manifest["photos"]} == {row["photo"] for _, row in found}
    assert manifest["derived"]["arguments"] == {"where": "blur_kind == 'motion' and area < 0.5"}
    assert faults_of(tmp_path / "out") == []


def test_a_condition_that_no_pair_meets_or_that_is_none_leaves_nothing_behind(root, tmp_path):
    for where in ("area > 1", "area", "blur_kind == 'moton'", "1 / zoom > 1"):
        with pytest.raises(ArgumentError):
            subset(root / "a", tmp_path / "out", where)
    assert not (tmp_path / "out").exists()


def test_parts_put_together_again_come_from_one_origin(root, tmp_path):
    for name, where in (("low", "pair < 3"), ("high", "pair >= 3"), ("highest", "origin_pair >= 5")):
        subset(root / "a" if name != "highest" else tmp_path / "high", tmp_path / name, where)
    subset(tmp_path / "high", tmp_path / "middle", "origin_pair < 5")
    merge([tmp_path / name for name in ("low", "middle", "highest")], tmp_path / "out")
    merge([tmp_path / "out", root / "b"], tmp_path / "more")
    manifest = read_manifest(tmp_path / "out")
    assert [one["digest"] for one in manifest["origins"]] == [read_manifest(root / "a")["digest"]]
    assert len(manifest["derived"]["parents"]) == 3
    assert list(pairs_of(tmp_path / "out")) == list(pairs_of(root / "a"))
    assert len(read_manifest(tmp_path / "more")["origins"]) == 2
    subset(tmp_path / "more", tmp_path / "of-b", "origin == 1")
    assert [one["digest"] for one in read_manifest(tmp_path / "of-b")["origins"]] == [
        read_manifest(root / "b")["digest"]
    ]
    assert [row["origin"] for _, row in pairs_of(tmp_path / "of-b")] == [0] * 5
    for name in ("out", "more", "of-b"):
        assert faults_of(tmp_path / name) == []


# Split ----------------------------------------------------------------------------------------------------------------


def sides_of(out):
    return {side.name: list(pairs_of(side)) for side in sorted(out.iterdir())}


def test_no_photo_is_on_two_sides_and_every_pair_on_one(root, tmp_path):
    split(root / "many", tmp_path / "out", val=0.25, test=0.25, seed=3)
    sides = sides_of(tmp_path / "out")
    assert {name: len(pairs) for name, pairs in sides.items()} == {"train": 30, "val": 15, "test": 15}
    photos = [{row["photo_sha256"] for _, row in pairs} for pairs in sides.values()]
    assert sum(map(len, photos)) == len(set.union(*photos)) == 4
    by_origin = sorted((row["origin_pair"], stored, story(row)) for pairs in sides.values() for stored, row in pairs)
    assert by_origin == [(row["pair"], stored, story(row)) for stored, row in pairs_of(root / "many")]
    for name in sides:
        assert faults_of(tmp_path / "out" / name) == []
        arguments = {"val": 0.25, "test": 0.25, "seed": 3, "side": name}
        assert read_manifest(tmp_path / "out" / name)["derived"]["arguments"] == arguments


def test_the_same_photo_under_two_names_is_one_photo(root, tmp_path):
    photos = write_photos(tmp_path / "photos", 4)
    for index in range(4):
        shutil.copy(photos / f"{index}.png", photos / f"again-{index}.png")
    make(photos, tmp_path / "set", root / "cache", n=32, pairs_per_shard=9)
    for seed in range(2):
        split(tmp_path / "set", tmp_path / f"out-{seed}", val=0.25, test=0.25, seed=seed)
        sides = sides_of(tmp_path / f"out-{seed}")
        digests = [{row["photo_sha256"] for _, row in pairs} for pairs in sides.values()]
        assert sum(map(len, digests)) == len(set.union(*digests)) == 4
        assert sorted(len({row["photo"] for _, row in pairs}) for pairs in sides.values()) == [2, 2, 4]


def test_only_outlines_cross_over_and_who_lent_them_is_listed(root, tmp_path):
    recipe = RECIPE.with_values({"mask.kinds": {"other-photo": 1.0}})
    make(root / "photos", tmp_path / "set", root / "cache", recipe=recipe, n=24)
    split(tmp_path / "set", tmp_path / "out", val=0.25, test=0.25)
    ids = {photo["id"]: photo["sha256"] for photo in read_manifest(tmp_path / "set")["photos"]}
    seen = []
    for name, pairs in sides_of(tmp_path / "out").items():
        manifest = read_manifest(tmp_path / "out" / name)
        shown = {row["photo_sha256"] for _, row in pairs}
        assert {photo["sha256"] for photo in manifest["photos"]} == shown
        lent = {ids[row["mask_photo"]] for _, row in pairs} - shown
        assert {photo["sha256"] for photo in manifest["lenders"]} == lent
        seen.append(shown)
    assert sum(map(len, seen)) == len(set.union(*seen)) == 4


def test_a_side_without_a_share_is_not_made(root, tmp_path):
    made = split(root / "many", tmp_path / "out", val=0, test=0.25)
    assert [*made] == ["train", "test"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["test", "train"]
    again = split(root / "many", tmp_path / "out", val=0, test=0.25)
    assert [one.pairs_copied for one in again.values()] == [0, 0]
    for shares in ({"val": 0.25, "test": 0}, {"val": 0.25, "test": 0.25}, {"val": 0, "test": 0.25, "seed": 1}):
        with pytest.raises(OutputError, match="choose another --out"):
            split(root / "many", tmp_path / "out", **shares)


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"val": 0.01}, r"val would be empty: 0\.01 of 60 pairs is nearer to none than to the 15 or more of a whole"),
        ({"val": 0.4, "test": 0.55}, "train would be empty"),
        ({"val": 0.5, "test": 0.5}, "leave none to train"),
        ({"val": 0, "test": 0}, "nothing to split"),
        ({"val": -0.1}, "give a share"),
        ({"val": 1}, "give a share"),
        ({"test": float("nan")}, "give a share"),
        ({"test": float("inf")}, "give a share"),
        ({"test": "0.1"}, "give a share"),
        ({"val": True}, "give a share"),
        ({"seed": -1, "val": 0.25}, "give a number from 0"),
        ({"seed": 2**63, "val": 0.25}, "give a number from 0"),
        ({"seed": 1.5, "val": 0.25}, "give a whole number"),
    ],
)
def test_shares_that_cant_be_met_are_refused(root, tmp_path, shares, message):
    with pytest.raises(ArgumentError, match=message):
        split(root / "many", tmp_path / "out", **shares)
    assert not (tmp_path / "out").exists()


photo_counts = st.dictionaries(st.binary(min_size=1, max_size=6), st.integers(1, 40), min_size=3, max_size=30)


@settings(max_examples=200, deadline=None)
@given(photo_counts, st.sampled_from([0, 0.1, 0.3]), st.sampled_from([0.1, 0.25]), st.integers(0, 2**63 - 1))
def test_photos_are_shared_out_once_each_and_as_nearly_as_they_allow(pairs, val, test, seed):
    shares = {"val": val, "test": test}
    try:
        sides = share_out(pairs, shares, seed)
    except ArgumentError:
        return
    assert sorted(photo for photos in sides.values() for photo in photos) == sorted(pairs)
    total = sum(pairs.values())
    for side, share in shares.items():
        assert bool(sides[side]) == bool(share)
        assert abs(sum(pairs[photo] for photo in sides[side]) - share * total) <= max(pairs.values()) / 2
    assert sides["train"]
    assert share_out(dict(sorted(pairs.items())), shares, seed) == sides


@settings(max_examples=100, deadline=None)
@given(st.integers(20, 200), st.integers(1, 9), st.integers(0, 9))
def test_photos_of_one_count_are_shared_out_to_half_a_photo(photos, each, seed):
    pairs = {b"%d" % photo: each for photo in range(photos)}
    sides = share_out(pairs, {"val": 0.1, "test": 0.2}, seed)
    assert abs(len(sides["val"]) - 0.1 * photos) <= 0.5 + 1e-9
    assert abs(len(sides["test"]) - 0.2 * photos) <= 0.5 + 1e-9
    if photos >= 100:
        assert sides != share_out(pairs, {"val": 0.1, "test": 0.2}, seed + 1)


# Info and the command line --------------------------------------------------------------------------------------------


def test_info_tells_of_origins(root, tmp_path):
    merge([root / "a", root / "png"], tmp_path / "merged")
    subset(tmp_path / "merged", tmp_path / "out", "origin_pair < 2 or origin == 1")
    found = info(tmp_path / "out")
    assert found["derived"]["by"] == "subset"
    assert [(one["recipe"], one["seed"], one["source"], one["pairs"]) for one in found["origins"]] == [
        (RECIPE.name, 5, "folder", 2),
        ("lossless", 5, "folder", 4),
    ]
    assert not {"recipe", "seed", "source", "split"} & {*found}
    rows = [row for _, row in pairs_of(tmp_path / "out")]
    assert found["pairs"] == len(rows) == 6
    assert found["photos"] == len({row["photo_sha256"] for row in rows})
    assert found["upscaled"] == sum(row["height"] > row["crop_height"] for row in rows)
    assert found["rejected"] == {}


def run(*arguments):
    return CliRunner().invoke(main, [str(one) for one in arguments])


def test_the_commands_make_what_the_functions_make(root, merged, tmp_path):
    commands = {
        "merged": ("merge", root / "a", root / "b"),
        "some": ("subset", root / "many", "--where", "area < 0.5"),
        "sides": ("split", root / "many", "--val", 0.25, "--test", 0),
    }
    for name, command in commands.items():
        for _ in range(2):
            done = run(*command, "--out", tmp_path / name)
            assert done.exit_code == 0, done.output
        assert "it was all there" in done.output
        assert json.loads(run(*command, "--out", tmp_path / name, "--json").output)
    assert file_bytes(tmp_path / "merged") == file_bytes(merged)
    told = run("info", tmp_path / "some").output
    assert "by subset (where area < 0.5)" in told
    assert f"20 pairs, recipe {RECIPE.name}, seed 5 from folder" in told
    for folder in ("merged", "some", "sides/train", "sides/val"):
        assert run("verify", tmp_path / folder).exit_code == 0
        assert json.loads(run("info", tmp_path / folder, "--json").output)["derived"]["parents"]


def test_the_commands_refuse_in_one_line(root, tmp_path):
    for command, code in (
        (("merge", root / "a"), 2),
        (("merge", root / "a", tmp_path / "nothing"), 7),
        (("subset", root / "a", "--where", "__import__('os')"), 2),
        (("subset", root / "a", "--where", "(" * 10_000), 2),
        (("split", root / "a", "--val", "nan"), 2),
    ):
        done = run(*command, "--out", tmp_path / "out")
        assert done.exit_code == code, done.output
        assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()
