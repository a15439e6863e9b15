"""What a run would come to, without one: the same photos, refusals and about the same bytes, and nothing written."""

import json
import shutil

import numpy as np
import pytest
from click.testing import CliRunner
from helpers_shards import RECIPE, file_bytes, make, photo_crop, source_of, write_photos, write_times
from PIL import Image

from blurgen.dataset import read_manifest
from blurgen.dataset.seal import CARD_NAME, CROISSANT_NAME, write_seal
from blurgen.errors import ArgumentError, OutputError, RecipeError, SourceError
from blurgen.estimate import expect_dataset
from blurgen.sources import open_source
from blurgen_cli.make import make as make_command


def expect(photos, out, cache, **changes):
    """The expectation for what ``make`` of the tests makes."""
    source = open_source("folder", photos)
    options = {"n": 8, "pairs_per_shard": 3, "recipe": RECIPE, "seed": 5, "workers": 1, "progress": False}
    return expect_dataset(source, out=out, cache=cache, **(options | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A data set of 8 pairs in 3 shards with its photos and cache."""
    folder = tmp_path_factory.mktemp("made")
    make(write_photos(folder / "photos"), folder / "set", folder / "cache")
    return folder


@pytest.mark.parametrize("workers", [1, 2])
def test_nothing_is_written_and_the_bytes_are_about_right(made, tmp_path, workers):
    options = {"n": 300, "pairs_per_shard": 100, "workers": workers}
    found = expect(made / "photos", tmp_path / "a" / "set", tmp_path / "cache", **options)
    assert not (tmp_path / "a").exists()
    summary = make(made / "photos", tmp_path / "set", tmp_path / "cache", **options)
    assert (found.pairs, found.pairs_left, found.shards, found.shards_left) == (300, 300, 3, 3)
    assert (found.photos, found.photos_to_search, found.quarantined) == (3, 0, [])
    assert found.bytes == pytest.approx(summary.bytes, rel=0.15)
    assert found.minutes > 0
    assert json.loads(json.dumps(found.to_dict())) == found.to_dict()


def test_photos_that_can_not_be_used_are_found(made, tmp_path):
    photos = shutil.copytree(made / "photos", tmp_path / "photos")
    (photos / "text.jpg").write_text("not a photo")
    Image.fromarray(photo_crop(0, 20, 20)).save(photos / "tiny.png")
    found = expect(photos, tmp_path / "set", made / "cache")
    assert [one["id"] for one in found.quarantined] == ["text.jpg", "tiny.png"]
    assert found.quarantined == make(photos, tmp_path / "set", made / "cache").quarantined
    with pytest.raises(SourceError, match="none of its 1 photos can be used"):
        expect_dataset(source_of(photos, ["tiny.png"]), 3, tmp_path / "b", recipe=RECIPE, cache=made / "cache")


def test_a_new_photo_that_is_useless_is_told_of(made, tmp_path):
    photos = shutil.copytree(made / "photos", tmp_path / "photos")
    Image.new("RGB", (90, 90)).save(photos / "black.png")
    found = expect(photos, tmp_path / "set", made / "cache")
    assert [one["id"] for one in found.quarantined] == ["black.png"]
    assert (found.photos, found.photos_to_search, found.pairs_left) == (3, 0, 8)


def test_only_some_photos_are_searched_and_those_stay_in_the_cache(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for index in range(12):
        Image.fromarray(np.roll(photo_crop(index), index, axis=1)).save(photos / f"{index:02d}.png")
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(photos / "00 flat.png")  # the first is in the sample
    for left in (5, 0):
        found = expect(photos, tmp_path / "set", tmp_path / "cache")
        assert found.photos_to_search == left
        assert (found.seconds_per_photo > 0) == (left > 0)
        assert len(list((tmp_path / "cache").rglob("*.regions"))) == 12 - left
        assert [one["id"] for one in found.quarantined] == ["00 flat.png"]
        assert found.photos == 12


def test_what_is_there_already_is_not_counted(made, tmp_path):
    out = shutil.copytree(made / "set", tmp_path / "set")
    there = expect(made / "photos", out, made / "cache")
    assert (there.pairs, there.pairs_left, there.shards_left, there.bytes) == (8, 0, 0, 0)
    (out / "shard-00001.json").unlink()
    before, times = file_bytes(out), write_times(out)
    found = expect(made / "photos", out, made / "cache")
    assert (found.pairs, found.pairs_left, found.shards, found.shards_left) == (8, 3, 3, 1)
    assert found.bytes > 0
    assert (file_bytes(out), write_times(out)) == (before, times)


def test_what_make_refuses_is_refused(made, tmp_path):
    out = shutil.copytree(made / "set", tmp_path / "set")
    with pytest.raises(OutputError, match=r"another data set: seed \(5 there, 6 asked for\)"):
        expect(made / "photos", out, made / "cache", seed=6)
    more = shutil.copytree(made / "photos", tmp_path / "photos")
    Image.fromarray(photo_crop(3)).save(more / "3.png")
    with pytest.raises(OutputError, match=r"another data set: photos\.3\.png"):
        expect(more, out, made / "cache")
    with pytest.raises(ArgumentError, match="n is 0"):
        expect(made / "photos", tmp_path / "new", made / "cache", n=0)
    Image.fromarray(photo_crop(3)[..., 0]).save(more / "3.png")
    native = RECIPE.with_values({"storage.codec": "raw", "photo.pixels": "native"})
    with pytest.raises(RecipeError, match="holds images of one kind"):
        expect(more, tmp_path / "new", made / "cache", recipe=native)
    for name in (CARD_NAME, CROISSANT_NAME):
        (out / name).touch()
    write_seal(out, read_manifest(out), {})
    with pytest.raises(OutputError, match="is frozen under digest"):
        expect(made / "photos", out, made / "cache")
    (tmp_path / "file").write_text("mine")
    for mine in (tmp_path / "file", more):
        with pytest.raises(OutputError, match=str(mine)):
            expect(made / "photos", mine, made / "cache")
    assert not (tmp_path / "new").exists()


def test_a_recipe_of_masks_that_need_no_regions_searches_nothing(made, tmp_path):
    recipe = RECIPE.with_values({"mask.kinds": {"half-plane": 1.0}})
    found = expect(made / "photos", tmp_path / "set", tmp_path / "cache", recipe=recipe)
    assert (found.photos_to_search, found.photos, found.seconds_per_photo) == (0, 3, 0)
    assert not list((tmp_path / "cache").rglob("*.regions"))


def test_a_recipe_whose_masks_come_from_other_photos_can_be_expected(made, tmp_path):
    recipe = RECIPE.with_values({"mask.kinds": {"other-photo": 1.0}})
    assert expect(made / "photos", tmp_path / "set", tmp_path / "cache", recipe=recipe).bytes > 0


def test_the_command_says_it_in_words_and_in_json(made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = ["--source", "folder", "--root", made / "photos", "--n", "30", "--size", "48", "--workers", "1"]
    options = [*map(str, options), "--cache", str(made / "cache"), "--dry-run"]
    said = CliRunner().invoke(make_command, options, catch_exceptions=False).output
    for words in (
        "would make",
        "30 pairs in 2 shards",
        "3 can be used, 0 quarantined",
        "ms of a core",
        "with 1 worker",
    ):
        assert words in said
    found = json.loads(CliRunner().invoke(make_command, [*options, "--json"], catch_exceptions=False).output)
    assert (found["pairs"], found["pairs_left"], found["shards"], found["photos"]) == (30, 30, 2, 3)
    assert not list(tmp_path.iterdir())
