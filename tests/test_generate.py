"""Making a data set: the same bytes however it is made, resumed or killed, and every refusal in one line."""

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from helpers_shards import (
    RECIPE,
    faults_of,
    file_bytes,
    make,
    photo_crop,
    source_of,
    surveyed,
    write_photos,
    write_times,
)
from PIL import Image

from blurgen import make_dataset, open_dataset
from blurgen.dataset import freeze, read_manifest
from blurgen.errors import ArgumentError, OutputError, SourceError
from blurgen.files import locked, publish, sweep
from blurgen.generate import make_shard, preview_pairs
from blurgen.plan import default_pairs_per_shard, photo_order, plan
from blurgen.regions import RegionCache
from blurgen.sources import Photo, Source, open_source
from blurgen.survey import survey


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """``set``, a finished data set of 8 pairs in 3 shards, and its ``photos`` and ``cache``; not to be changed."""
    folder = tmp_path_factory.mktemp("made")
    make(write_photos(folder / "photos"), folder / "set", folder / "cache")
    return folder


@pytest.fixture
def copy(made, tmp_path):
    """A copy of the data set, to be damaged."""
    return shutil.copytree(made / "set", tmp_path / "set")


def remake(made, out, **changes):
    return make(made / "photos", out, made / "cache", **changes)


# The plan -------------------------------------------------------------------------------------------------------------


def test_each_photo_is_used_as_often_as_any_other(made):
    with open_dataset(made / "set") as data:
        uses = Counter(pair.provenance["photo"] for pair in data)
    assert sorted(uses.values()) == [2, 3, 3]


@pytest.mark.parametrize(("photos", "n", "per_shard"), [(7, 100, 9), (3, 8, 3), (50, 20, 7), (1, 5, 2), (10, 10, 10)])
def test_every_shard_is_a_fair_sample_of_the_photos(photos, n, per_shard):
    some = [surveyed(f"{i:02d}.png") for i in range(photos)]
    tasks = plan(some, n, per_shard, RECIPE, 0, Path("cache"), Path("out"))
    assert [pair for task in tasks for pair in task.pairs] == list(range(n))
    assert all(len(task.pairs) == len(task.photos) <= per_shard for task in tasks)
    total = Counter({photo.photo.id: 0 for photo in some})
    for task in tasks:
        uses = Counter({photo.photo.id: 0 for photo in some} | Counter(photo.photo.id for photo in task.photos))
        assert max(uses.values()) - min(uses.values()) <= 2
        assert all(len(task.spares_of(pair)) == 20 for pair in task.pairs)
        total.update(uses)
    assert set(total.values()) <= {n // photos, -(-n // photos)}


def test_the_order_of_photos_depends_on_the_seed_alone():
    np.testing.assert_array_equal(photo_order(9, 30, 4)[:20], photo_order(9, 20, 4))
    assert photo_order(9, 30, 0).tolist() != photo_order(9, 30, 1).tolist()


def test_a_shard_has_1000_pairs_or_fewer_where_pairs_are_few_or_large():
    photo = surveyed("a", 4000, 6000)
    assert default_pairs_per_shard(200_000, RECIPE, [photo]) == 1000
    assert default_pairs_per_shard(200, RECIPE, [photo]) == 50
    assert default_pairs_per_shard(3, RECIPE, [photo]) == 25
    native = RECIPE.with_values({"geometry.size": "native"})
    assert default_pairs_per_shard(200_000, native, [photo]) == 10
    deep = surveyed("b", 4000, 6000, channels=12, dtype="uint16")
    assert default_pairs_per_shard(200_000, native, [photo, deep]) == 1
    assert default_pairs_per_shard(200_000, RECIPE.with_values({"geometry.size": "320"}), [deep]) == 312


# The same bytes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [2, 4])
def test_any_number_of_workers_makes_the_same_bytes_as_one(made, tmp_path, workers):
    remake(made, tmp_path / "set", workers=workers)
    assert read_manifest(tmp_path / "set")["digest"] == read_manifest(made / "set")["digest"]
    assert file_bytes(tmp_path / "set") == file_bytes(made / "set")


def test_two_workers_with_an_empty_cache_make_the_same_bytes_as_one(made, tmp_path):
    make(made / "photos", tmp_path / "set", tmp_path / "cache", workers=2)
    assert file_bytes(tmp_path / "set") == file_bytes(made / "set")


def test_the_order_in_which_photos_are_listed_changes_nothing(made, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for name in ("2.png", "1.png", "0.png"):
        shutil.copy(made / "photos" / name, photos / name)
    make(photos, tmp_path / "a", made / "cache")
    make(source_of(photos, ["1.png", "2.png", "0.png"]), tmp_path / "b", made / "cache")
    assert file_bytes(tmp_path / "a") == file_bytes(tmp_path / "b") == file_bytes(made / "set")


def test_the_size_of_shards_changes_no_pair(made, tmp_path):
    remake(made, tmp_path / "set", pairs_per_shard=8)
    with open_dataset(tmp_path / "set") as one, open_dataset(made / "set") as other:
        for first, second in zip(one, other, strict=True):
            assert first.provenance == second.provenance
            np.testing.assert_array_equal(first.image, second.image)
            np.testing.assert_array_equal(first.mask, second.mask)


def test_seed_0_is_a_seed(made, tmp_path):
    for seed in (0, 1):
        remake(made, tmp_path / str(seed), seed=seed, n=2)
    first, second = (open_dataset(tmp_path / str(seed)) for seed in (0, 1))
    assert [data[0].provenance["seed"] for data in (first, second)] == [0, 1]
    assert first.manifest["seed"] == 0
    assert any((one.mask != other.mask).any() for one, other in zip(first, second, strict=True))
    assert read_manifest(made / "set")["seed"] == 5


def test_a_source_may_be_given_by_name(made, tmp_path):
    options = {"recipe": RECIPE, "seed": 5, "workers": 1, "pairs_per_shard": 3, "cache": made / "cache"}
    summary = make_dataset("folder", 8, tmp_path / "set", root=made / "photos", **options)
    assert file_bytes(tmp_path / "set") == file_bytes(made / "set")
    assert (summary.pairs, summary.pairs_made, summary.shards, summary.photos) == (8, 8, 3, 3)
    assert summary.bytes == sum(path.stat().st_size for path in (tmp_path / "set").glob("*.h5"))
    assert summary.pairs_per_second_per_core > 0


def test_nothing_is_printed_where_there_is_no_terminal(made, tmp_path, capfd):
    remake(made, tmp_path / "set", n=2, progress=True)
    assert capfd.readouterr() == ("", "")


def test_the_callers_number_of_threads_is_put_back(made, tmp_path):
    former = cv2.getNumThreads()
    try:
        cv2.setNumThreads(2)
        remake(made, tmp_path / "set", n=1)
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(former)


def test_a_preview_needs_no_folder(made):
    pairs = preview_pairs(open_source("folder", made / "photos"), 2, RECIPE, cache=made / "cache")
    assert [pair.provenance["pair"] for pair in pairs] == [0, 1]
    assert {pair.provenance["photo"] for pair in pairs} == {"0.png", "2.png"}


# Resume ---------------------------------------------------------------------------------------------------------------


def test_a_finished_data_set_is_left_alone(made):
    former = write_times(made / "set")
    summary = remake(made, made / "set", workers=2)
    assert (summary.pairs, summary.pairs_made, summary.pairs_per_second_per_core) == (8, 0, 0)
    assert write_times(made / "set") == former


@pytest.mark.parametrize("name", ["shard-00001.h5", "shard-00001.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "flipped"])
def test_a_missing_or_damaged_shard_is_made_again_and_no_other(made, copy, name, damage):
    path = copy / name
    data = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else data[:100] + bytes([data[100] ^ 1]) + data[101:])
    former = write_times(copy)
    assert remake(made, copy).pairs_made == 3
    assert file_bytes(copy) == file_bytes(made / "set")
    for other in ("shard-00000.h5", "shard-00000.json", "shard-00002.h5", "shard-00002.json"):
        assert write_times(copy)[other] == former[other]


def test_leftovers_of_a_killed_run_are_swept(made, copy):
    (copy / ".blurgen-tmp-123-shard-00001.h5").write_bytes(b"half a shard")
    (copy / ".blurgen-lock").touch()
    assert remake(made, copy).pairs_made == 0
    assert file_bytes(copy) == file_bytes(made / "set")


@pytest.mark.parametrize("left", [(), ("manifest.json",), ("manifest.json", "shard-00000.h5")])
def test_a_run_killed_at_its_very_beginning_can_be_resumed(made, copy, left):
    manifest = read_manifest(copy)
    for path in copy.iterdir():
        if path.name not in left:
            path.unlink()
    (copy / ".blurgen-tmp-123-manifest.json").write_bytes(b"{")
    assert remake(made, copy).pairs_made == 8
    assert read_manifest(copy) == manifest
    assert file_bytes(copy) == file_bytes(made / "set")


@pytest.mark.parametrize("content", [None, b"", b'name = "other"\n'])
def test_a_damaged_recipe_file_is_written_again(made, copy, content):
    path = copy / "recipe.toml"
    path.unlink() if content is None else path.write_bytes(content)
    assert remake(made, copy).pairs_made == 0
    assert file_bytes(copy) == file_bytes(made / "set")


def test_a_shard_of_another_seed_with_its_receipt_is_not_kept(made, copy, tmp_path):
    remake(made, tmp_path / "other", seed=6)
    for name in ("shard-00000.h5", "shard-00000.json"):
        shutil.copy(tmp_path / "other" / name, copy / name)
    (copy / "shard-00002.json").unlink()
    assert remake(made, copy).pairs_made == 5
    assert file_bytes(copy) == file_bytes(made / "set")


RUN = """
import sys
from pathlib import Path
from helpers_shards import make
make(*map(Path, sys.argv[1:4]), n=24, pairs_per_shard=2, workers=int(sys.argv[4]))
"""


def start(made, out, workers):
    """A process group that makes 24 pairs in 12 shards."""
    arguments = [made / "photos", out, made / "cache", str(workers)]
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", RUN, *arguments],
        start_new_session=True,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )


def wait_for(condition, process, seconds=120):
    """Poll until ``condition`` holds or the process has ended."""
    end = time.monotonic() + seconds
    while not condition() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.002)
    assert condition(), process.communicate(timeout=seconds)[1]


@pytest.fixture(scope="module")
def uninterrupted(made):
    """24 pairs in 12 shards, made in one go."""
    remake(made, made / "long", n=24, pairs_per_shard=2)
    return file_bytes(made / "long")


@pytest.mark.parametrize(("workers", "receipts"), [(1, 4), (2, 1)])
def test_a_killed_run_ends_where_an_uninterrupted_one_would_have(made, tmp_path, uninterrupted, workers, receipts):
    out = tmp_path / "set"
    process = start(made, out, workers)
    wait_for(lambda: len(list(out.glob("shard-*.json"))) >= receipts, process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    for receipt in out.glob("shard-*.json"):
        assert receipt.read_bytes() == uninterrupted[receipt.name]
        shard = receipt.with_suffix(".h5")
        assert shard.read_bytes() == uninterrupted[shard.name]
    kept = write_times(out)
    summary = remake(made, out, n=24, pairs_per_shard=2)
    assert summary.pairs_made <= 24 - 2 * receipts
    assert file_bytes(out) == uninterrupted
    again = write_times(out)
    assert all(again[name] == kept[name] for name in kept if name.startswith("shard") and name.endswith("json"))


def workers_of(process):
    """The ids of the worker processes of a run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process.pid and b"popen_loky_posix" in (folder / "cmdline").read_bytes():
                found.append(int(folder.name))
        except (OSError, ValueError):
            continue
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers by /proc")
def test_workers_that_are_killed_change_nothing(made, tmp_path, uninterrupted):
    out = tmp_path / "set"
    process = start(made, out, workers=2)
    try:
        wait_for(lambda: list(out.glob("shard-*.json")), process)
        for worker in workers_of(process):
            os.kill(worker, signal.SIGKILL)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert file_bytes(out) == uninterrupted


# Another data set in the same folder ----------------------------------------------------------------------------------


def test_pairs_per_shard_left_out_is_what_it_was(made, copy):
    former = write_times(copy)
    assert remake(made, copy, pairs_per_shard=None).pairs_made == 0
    assert write_times(copy) == former


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"seed": 6}, r"seed \(5 there, 6 asked for\)"),
        ({"seed": 0}, r"seed \(5 there, 0 asked for\)"),
        ({"n": 9}, r"pairs \(8 there, 9 asked for\)"),
        ({"pairs_per_shard": 4}, r"pairs_per_shard \(3 there, 4 asked for\)"),
        ({"recipe": RECIPE.with_values({"blur.p_motion": 0.25})}, r"recipe\.blur\.p_motion \(0\.5 there, 0\.25 asked"),
        ({"recipe": RECIPE.with_values({"storage.codec": "png"})}, r"recipe\.storage\.codec"),
        ({"recipe": RECIPE.with_values({"name": "mine"})}, r"recipe\.name"),
    ],
)
def test_other_arguments_are_refused_with_the_key_that_differs(made, copy, changes, named):
    former = write_times(copy)
    with pytest.raises(OutputError, match=f"holds another data set: {named}"):
        remake(made, copy, **changes)
    assert write_times(copy) == former


def test_other_photos_are_refused_by_name(made, copy, tmp_path):
    former = write_times(copy)
    for change, named in {
        "changed": r"photos\.1\.png\.",
        "more": r"photos\.3\.png \(nothing there",
        "fewer": r"photos\.2\.png \(.* there, nothing asked for\)",
        "worse": r"photos\.1\.png \(.* there, nothing asked for\)",
        "one bad": r"quarantined\.bad\.png",
    }.items():
        photos = shutil.copytree(made / "photos", tmp_path / change)
        if change in ("changed", "more"):
            Image.fromarray(photo_crop(3)).save(photos / ("1.png" if change == "changed" else "3.png"))
        elif change == "fewer":
            (photos / "2.png").unlink()
        else:
            (photos / ("1.png" if change == "worse" else "bad.png")).write_bytes(b"no photo")
        with pytest.raises(OutputError, match=f"another data set: {named}"):
            make(photos, copy, made / "cache")
        assert write_times(copy) == former


def test_another_source_of_the_same_photos_is_refused(made, copy):
    source = replace(open_source("folder", made / "photos"), name="voc")
    with pytest.raises(OutputError, match=r'source \("folder" there, "voc" asked for\)'):
        make(source, copy, made / "cache")


@pytest.mark.parametrize("name", ["holiday.jpg", "shard-00000.h5", "recipe.toml", ".git"])
def test_a_folder_that_is_not_ours_is_refused_and_left_alone(made, tmp_path, name):
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_bytes(b"dear")
    former = write_times(out)
    with pytest.raises(OutputError, match=f"not empty and not a blurgen data set .it holds {name}"):
        remake(made, out)
    assert write_times(out) == former


def test_a_frozen_data_set_is_refused_and_left_alone(made, copy):
    freeze(copy)
    former = write_times(copy)
    with pytest.raises(OutputError, match="is frozen under digest"):
        remake(made, copy)
    assert write_times(copy) == former


def test_a_folder_in_use_is_refused(made, copy):
    former = write_times(copy)
    with locked(copy), pytest.raises(OutputError, match=r"another blurgen .* is writing here"):
        remake(made, copy)
    assert write_times(copy) == former
    remake(made, copy)


def test_a_lock_is_let_go_after_an_error(tmp_path):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError), locked(tmp_path):
            raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


# Where nothing can be written -----------------------------------------------------------------------------------------


def test_a_place_that_can_not_be_written_is_refused(made, tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    for out in (file, file / "set", file / "a" / "set", Path("/proc/blurgen-set"), tmp_path / ("x" * 300)):
        with pytest.raises(OutputError, match=f"{out}: "):
            remake(made, out)
        with pytest.raises(OutputError, match=f"{out}: "):
            make(made / "photos", tmp_path / "set", cache=out)
    assert file.read_text() == "mine"
    with pytest.raises(OutputError, match="a part of the path is a file"):
        publish(file / "x", b"data")


def test_a_leftover_that_can_not_be_removed_is_named(tmp_path):
    (tmp_path / ".blurgen-tmp-1").mkdir()
    with pytest.raises(OutputError, match=r"\.blurgen-tmp-1: can't be removed"):
        sweep(tmp_path)


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_refused(made, tmp_path):
    (tmp_path / "out").mkdir(mode=0o500)
    for out in (tmp_path / "out", tmp_path / "out" / "set"):
        with pytest.raises(OutputError, match="no permission: choose another folder"):
            remake(made, out)


def test_a_write_that_fails_half_way_leaves_nothing_and_can_be_resumed(made, tmp_path):
    out, recipe = tmp_path / "set", RECIPE.with_values({"storage.codec": "raw"})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_000, limits[1]))  # manifest and recipe fit, a shard does not
    try:
        with pytest.raises(OutputError, match=r"shard-00000\.h5: can't be written"):
            remake(made, out, recipe=recipe)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert set(file_bytes(out)) == {"manifest.json", "recipe.toml"}
    assert remake(made, out, recipe=recipe).pairs_made == 8
    assert not faults_of(out)


@pytest.fixture
def small_disk(disk_of):
    """A file system of 2 MB, where the tests may mount one."""
    return disk_of("2m")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_full_disk_is_named_and_the_run_can_be_resumed(made, small_disk, workers):
    options = {
        "n": 15,
        "recipe": RECIPE.with_values({"geometry.size": "256x256", "storage.codec": "raw"}),
        "workers": workers,
    }
    with pytest.raises(OutputError, match=r"shard-0000\d\.h5: can't be written \(the disk is full: make room"):
        remake(made, small_disk / "set", **options)
    assert not list((small_disk / "set").glob(".*"))
    times = write_times(small_disk / "set")
    receipts = [name for name in times if name.startswith("shard-") and name.endswith(".json")]
    kept = {name: times[name] for receipt in receipts for name in (receipt, receipt.replace(".json", ".h5"))}
    assert len(receipts) < 5
    subprocess.run(["mount", "-o", "remount,size=16m", small_disk], check=True)
    remake(made, small_disk / "set", **options)
    assert not faults_of(small_disk / "set")
    assert kept.items() <= write_times(small_disk / "set").items()


# Arguments ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n": 0}, "n is 0: give the number of pairs"),
        ({"n": -5}, "n is -5"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": 2**63}, "seed is"),
        ({"workers": 0}, "workers is 0"),
        ({"workers": -1}, "workers is -1"),
        ({"pairs_per_shard": 0}, "pairs per shard is 0"),
        ({"pairs_per_shard": 100_001}, "pairs per shard is 100001: give 1 to 100000"),
        ({"n": 100_001, "pairs_per_shard": 1}, "over 100000 shards"),
    ],
)
def test_arguments_out_of_range_are_refused_before_anything_is_made(made, tmp_path, changes, message):
    with pytest.raises(ArgumentError, match=message):
        remake(made, tmp_path / "set", **changes)
    assert not (tmp_path / "set").exists()


def test_more_pairs_than_a_data_set_holds_are_refused_before_anything_is_done(made, tmp_path):
    with pytest.raises(ArgumentError, match="at most 20000000 pairs"):
        remake(made, tmp_path / "set", n=10**12, pairs_per_shard=None)
    assert not (tmp_path / "set").exists()


@pytest.mark.parametrize("name", ["n", "seed", "workers", "pairs_per_shard"])
def test_numbers_are_whole_numbers_of_any_kind(made, tmp_path, name):
    for wrong in (1.5, "2", True):
        with pytest.raises(ArgumentError, match="give a whole number"):
            remake(made, tmp_path / "set", **{name: wrong})
    given = {"n": 2, "seed": 5, "workers": 1, "pairs_per_shard": 2} | {name: np.int64(2)}
    remake(made, tmp_path / "set", **given)
    assert not any(faults_of(tmp_path / "set"))


# Bad photos -----------------------------------------------------------------------------------------------------------


def bad_photos(folder):
    """One photo for each fault, and a piece of the reason that must be given for it."""
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(folder / "constant.png")
    Image.fromarray(photo_crop(0, 20, 20)).save(folder / "tiny.png")
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("not a photo")
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:3000])
    (folder / "folder.jpg").mkdir()
    (folder / "dangling.png").symlink_to(folder / "nowhere.png")
    deep = folder.joinpath(*["d" * 200] * 6)
    deep.mkdir(parents=True)
    shutil.copy(folder / "0.png", deep / "deep.png")
    return {
        "constant.png": "no object proposal",
        "tiny.png": "smaller than 32 px",
        "empty.jpg": "empty file",
        "text.jpg": "not a photo",
        "cut.png": "",
        "dangling.png": "can't be read",
        "/".join(["d" * 200] * 6) + "/deep.png": "longer than 1024 bytes",
    }


def test_bad_photos_are_quarantined_with_their_reason_and_the_run_goes_on(made, tmp_path):
    photos = shutil.copytree(made / "photos", tmp_path / "photos")
    expected = bad_photos(photos)
    summary = make(photos, tmp_path / "set", tmp_path / "cache", workers=2)
    found = {entry["id"]: entry["reason"] for entry in summary.quarantined}
    assert set(found) == set(expected)
    for name, reason in expected.items():
        assert reason in found[name]
        assert found[name]
        assert "\n" not in found[name]
    assert read_manifest(tmp_path / "set")["quarantined"] == summary.quarantined
    assert not faults_of(tmp_path / "set")
    for index in range(3):  # the good photos' pairs are what they are without the bad ones
        name = f"shard-0000{index}.h5"
        assert (tmp_path / "set" / name).read_bytes() == (made / "set" / name).read_bytes()


def test_no_usable_photo_is_an_error_with_a_reason(tmp_path):
    photos = write_photos(tmp_path / "photos", 1)
    bad_photos(photos)
    (photos / "0.png").unlink()
    with pytest.raises(SourceError, match=r"photos: none of its 7 photos can be used \(1 x no object"):
        make(photos, tmp_path / "set", tmp_path / "cache")
    assert not list((tmp_path / "set").iterdir())


def test_the_same_photo_twice_makes_two_photos(made, tmp_path):
    photos = write_photos(tmp_path / "photos", 1)
    shutil.copy(photos / "0.png", photos / "again.png")
    make(photos, tmp_path / "set", tmp_path / "cache", workers=2)
    first, second = read_manifest(tmp_path / "set")["photos"]
    assert first["sha256"] == second["sha256"]
    assert not faults_of(tmp_path / "set")
    with open_dataset(tmp_path / "set") as data:
        assert Counter(pair.provenance["photo"] for pair in data) == {"0.png": 4, "again.png": 4}
        assert len({pair.image.tobytes() for pair in data}) == 8


@dataclass(frozen=True)
class OneSquare:
    """An annotation: one square object in the middle of the photo."""

    side: int

    def label_map(self, height, width):
        labels = np.zeros((height, width), np.int32)
        top, left = (height - self.side) // 2, (width - self.side) // 2
        labels[top : top + self.side, left : left + self.side] = 1
        return labels

    def digest(self):
        return f"square of {self.side} px"


def test_a_pair_that_a_photo_can_not_give_is_made_from_another(made, tmp_path):
    good, speck = (Photo(f"{side}.png", made / "photos" / "0.png", objects=OneSquare(side)) for side in (40, 3))
    options = {"recipe": RECIPE.with_values({"mask.kinds": {"largest-object": 1.0}}), "cache": tmp_path / "cache"}
    summary = make(Source("coco", "here", (good, speck)), tmp_path / "set", **options)
    assert summary.replaced == 4
    assert summary.quarantined == []
    assert not faults_of(tmp_path / "set")
    with open_dataset(tmp_path / "set") as data:
        assert [pair.provenance["photo"] for pair in data] == ["40.png"] * 8
        assert {pair.provenance["mask_kind"] for pair in data} == {"largest-object"}
    with pytest.raises(SourceError, match=r"50 area\); widen mask\.area_range"):
        make(Source("coco", "here", (speck,)), tmp_path / "none", **options)


def test_photos_without_an_annotated_object_are_quarantined(made, tmp_path):
    photos = (
        Photo("none.png", made / "photos" / "0.png"),
        Photo("a.png", made / "photos" / "1.png", "", OneSquare(30)),
    )
    recipe = RECIPE.with_values({"mask.kinds": {"largest-object": 1.0}})
    summary = make(Source("voc", "here", photos), tmp_path / "set", tmp_path / "cache", recipe=recipe)
    assert summary.quarantined == [{"id": "none.png", "reason": "no annotated object in this photo"}]


@pytest.mark.parametrize("change", ["removed", "changed"])
def test_a_photo_that_changes_while_in_use_is_named(tmp_path, change):
    photos = write_photos(tmp_path / "photos", 1)
    found, _ = survey(open_source("folder", photos), RECIPE, tmp_path / "cache", 1, False)
    [task] = plan(found, 2, 2, RECIPE, 0, tmp_path / "cache", tmp_path)
    if change == "removed":
        (photos / "0.png").unlink()
    else:
        Image.fromarray(photo_crop(1)).save(photos / "0.png")
    with pytest.raises(SourceError, match=r"0\.png: .*put it back, or start anew in another folder"):
        make_shard(task)
    assert not list(tmp_path.glob("shard-*"))


# The cache of regions -------------------------------------------------------------------------------------------------


def cached(folder):
    """Write time and content of everything in a cache."""
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*") if path.is_file()}


def test_regions_are_found_once(made, tmp_path):
    former = cached(made / "cache")
    assert len(former) >= 3
    remake(made, tmp_path / "a", n=1, seed=99)
    remake(made, tmp_path / "b", n=2, recipe=RECIPE.with_values({"blur.p_motion": 1.0}))
    assert cached(made / "cache") == former


def test_other_parameters_find_other_regions(made, tmp_path):
    cache = tmp_path / "cache"
    make(made / "photos", tmp_path / "a", cache, n=1)
    make(made / "photos", tmp_path / "b", cache, n=1, recipe=RECIPE.with_values({"proposals.max_proposals": 7}))
    keys = [{photo["region_keys"]["proposal"] for photo in read_manifest(tmp_path / name)["photos"]} for name in "ab"]
    assert len(keys[0] | keys[1]) == len(cached(cache)) == 6
    assert all(len(RegionCache(cache).get(key)) <= 7 for key in keys[1])


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "other"])
def test_a_damaged_cache_file_is_found_again(made, tmp_path, damage):
    cache = shutil.copytree(made / "cache", tmp_path / "cache")
    former = {path: content for path, (_, content) in cached(cache).items()}
    for path, content in former.items():
        flipped = content[:50] + bytes([content[50] ^ 4]) + content[51:]
        path.write_bytes({"empty": b"", "cut": content[:-1], "flipped": flipped, "other": b"x" * 500}[damage])
    make(made / "photos", tmp_path / "set", cache)
    used = {photo["region_keys"]["proposal"] for photo in read_manifest(tmp_path / "set")["photos"]}
    assert {path for path in former if path.stem in used} == {
        path for path in former if path.read_bytes() == former[path]
    }
    assert file_bytes(tmp_path / "set") == file_bytes(made / "set")
