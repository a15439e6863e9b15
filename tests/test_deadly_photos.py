"""Photos that kill the process that touches them: they are quarantined, and nothing else changes."""

import shutil
from dataclasses import replace

import pytest
from helpers_deadly import DeadlyPhoto
from helpers_shards import RECIPE, faults_of, file_bytes, make, photo_crop, write_photos, write_times
from PIL import Image

from blurgen import generate, open_dataset
from blurgen.dataset import info, read_manifest
from blurgen.dataset.receipts import read_receipt
from blurgen.engines import Died
from blurgen.errors import SourceError, WorkerError
from blurgen.plan import plan
from blurgen.sources import Source, open_source
from blurgen.survey import survey


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """``set``, a finished data set of 8 pairs in 3 shards, and its ``photos`` and ``cache``; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    make(write_photos(folder / "photos"), folder / "set", folder / "cache")
    return folder


def deadly_source(made, name, marker=None):
    """The photos, one of which kills: always, or with a marker only after the survey."""
    photos = open_source("folder", made / "photos").photos
    deadly = {photo.id: DeadlyPhoto(photo.id, photo.path, marker=marker) for photo in photos if photo.id == name}
    return Source("folder", "here", tuple(deadly.get(photo.id, photo) for photo in photos))


def test_a_photo_that_kills_who_looks_at_it_is_quarantined_and_the_run_goes_on(made, tmp_path):
    photos = shutil.copytree(made / "photos", tmp_path / "photos")
    Image.fromarray(photo_crop(3)).save(photos / "bad.png")
    source = deadly_source(tmp_path, "bad.png")
    summary = make(source, tmp_path / "set", tmp_path / "cache", workers=2)
    [entry] = summary.quarantined
    assert entry["id"] == "bad.png"
    assert entry["reason"].startswith("kills the process that looks at it")
    assert read_manifest(tmp_path / "set")["quarantined"] == [entry]
    without = file_bytes(made / "set")
    assert all(data == without[name] for name, data in file_bytes(tmp_path / "set").items() if name.endswith(".h5"))


def test_a_photo_that_kills_while_pairs_are_made_is_replaced_in_its_shards_and_nothing_else_changes(made, tmp_path):
    clean, out = file_bytes(made / "set"), tmp_path / "set"
    marker = tmp_path / "marker"
    source = deadly_source(made, "1.png", marker)
    summary = make(source, out, tmp_path / "cache", workers=2)
    with open_dataset(made / "set") as before, open_dataset(out) as after:
        its = [pair.provenance["photo"] == "1.png" for pair in before]
        assert summary.replaced == sum(its) > 0
        assert not {pair.provenance["photo"] for pair in after} & {"1.png"}
        for was, first, second in zip(its, before, after, strict=True):
            assert was or first.image.tobytes() == second.image.tobytes()
            assert was or first.provenance == second.provenance
    assert not faults_of(out)
    assert set(file_bytes(out)) == set(clean)
    [entry] = summary.quarantined
    assert entry["id"] == "1.png"
    assert entry["reason"].startswith("kills the process that makes pairs from it")
    assert info(out)["quarantined"] == [entry]
    assert read_manifest(out)["quarantined"] == []
    receipts = [read_receipt(out, index)["quarantined"] for index in range(3)]
    assert receipts == [[entry] if any(its[3 * index : 3 * index + 3]) else [] for index in range(3)]
    former = write_times(out)
    marker.unlink()
    assert make(source, out, tmp_path / "cache", workers=2).pairs_made == 0
    assert write_times(out) == former


def test_shards_without_the_photo_that_kills_are_what_they_are_without_it(made, tmp_path):
    make(made / "photos", tmp_path / "clean", made / "cache", pairs_per_shard=1)
    make(
        deadly_source(made, "0.png", tmp_path / "marker"),
        tmp_path / "set",
        made / "cache",
        workers=2,
        pairs_per_shard=1,
    )
    clean, found = file_bytes(tmp_path / "clean"), file_bytes(tmp_path / "set")
    same = {name for name in clean if name.endswith(".h5") and clean[name] == found[name]}
    with open_dataset(tmp_path / "clean") as data:
        assert same == {f"shard-{i:05d}.h5" for i, pair in enumerate(data) if pair.provenance["photo"] != "0.png"}


def test_photos_that_all_kill_are_an_error_and_not_a_hang(made, tmp_path):
    photos = [DeadlyPhoto(f"{i}.png", made / "photos" / f"{i}.png") for i in range(2)]
    with pytest.raises(SourceError, match=r"none of its 2 photos can be used .2 x kills the process"):
        make(Source("folder", "here", tuple(photos)), tmp_path / "set", tmp_path / "cache", workers=2)
    photos = [replace(photo, marker=tmp_path / photo.id) for photo in photos]
    with pytest.raises(SourceError, match=r"the last: kills the process that makes pairs from it"):
        make(Source("folder", "here", tuple(photos)), tmp_path / "set", tmp_path / "cache", workers=2, n=2)
    assert not list((tmp_path / "set").glob("shard-*"))


def test_a_task_that_dies_with_no_photo_to_blame_is_an_error(made):
    found, _ = survey(open_source("folder", made / "photos"), RECIPE, made / "cache", 1, False)
    [task] = plan(found, 2, 2, RECIPE, 0, made / "cache", made)
    for place in ("", "0.png"):
        with pytest.raises(WorkerError, match="fewer --workers"):
            generate.without_the_blamed(Died((task.without("0.png"),), place))


def test_a_photo_that_is_avoided_is_neither_used_nor_lends(made, tmp_path):
    recipe = RECIPE.with_values({"mask.kinds": {"other-photo": 1.0}})
    found, _ = survey(open_source("folder", made / "photos"), recipe, made / "cache", 1, False)
    [task] = plan(found, 6, 6, recipe, 0, made / "cache", tmp_path)
    pairs = [made for made, _ in generate.shard_pairs(task.without("2.png"))]
    assert len(pairs) == 6
    assert {(pair.provenance["photo"], pair.provenance["mask_photo"]) for pair in pairs} <= {
        ("0.png", "1.png"),
        ("1.png", "0.png"),
    }
