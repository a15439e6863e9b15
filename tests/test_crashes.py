"""Runs that are killed and disks that are full: what has a receipt is whole, and the same command finishes the rest.

The long versions are in tests/torture (``make torture``).
"""

import resource
import subprocess
from contextlib import suppress
from functools import partial

import pytest
from helpers_shards import faults_of, file_bytes, write_photos, write_times
from torture.kills import Killings, begin, result

MEGABYTE = 1_000_000


def test_a_run_killed_at_any_moment_loses_nothing_that_is_finished(tmp_path):
    killings = Killings(write_photos(tmp_path / "photos"), tmp_path, seed=1)
    killings.kill(5)
    killings.finish()
    assert killings.bad == []
    assert killings.counts["kills"] == 5
    assert killings.counts["receipted shards checked"] > 0


# Where no room is left ------------------------------------------------------------------------------------------------

LARGE = {"size": "128x128", "pairs": 120, "per_shard": 10}  # 6 MB in 12 shards


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Photos, their cache, a recipe for large shards, and ``set``: the data set that an undisturbed run makes."""
    folder = tmp_path_factory.mktemp("whole")
    write_photos(folder / "photos")
    (folder / "raw.toml").write_text('[geometry]\nsize = "128x128"\n[storage]\ncodec = "raw"\n')
    assert make(folder, folder / "set") == (0, "")
    return folder


def make(whole, out, cache=None, **options):
    """Exit status and stderr of the command, run to its end."""
    options = LARGE | {"recipe": whole / "raw.toml"} | options
    return result(begin(whole / "photos", cache or whole / "cache", out, **options))


def one_line(errors):
    assert errors.startswith("blurgen: error: "), errors
    assert errors.count("\n") == 1
    return errors


@pytest.fixture
def disk(disk_of):
    """A file system of 5 MB, where the tests may mount one."""
    return disk_of("5m")


def test_a_disk_that_fills_up_is_named_and_the_same_command_finishes_once_there_is_room(whole, disk):
    status, errors = make(whole, disk / "set")
    assert status == 6
    assert "the disk is full: make room and run the same command again, what is finished is kept" in one_line(errors)
    left = file_bytes(disk / "set")
    expected = file_bytes(whole / "set")
    shards = {name for name in left if name.endswith(".h5")}
    receipts = {name for name in left if name.startswith("shard-") and name.endswith(".json")}
    assert left.keys() == {"manifest.json", "recipe.toml"} | shards | receipts
    assert receipts
    assert all(left[name] == expected[name] for name in shards | receipts)
    kept = write_times(disk / "set")
    subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
    assert make(whole, disk / "set") == (0, "")
    assert file_bytes(disk / "set") == expected
    again = write_times(disk / "set")
    assert all(again[name] == kept[name] for name in receipts)


@pytest.mark.parametrize("full", ["set", "cache"])
def test_a_disk_that_is_full_from_the_beginning_is_named(whole, disk, tmp_path, full):
    with open(disk / "filler", "wb", buffering=0) as filler, suppress(OSError):
        while filler.write(bytes(4096)):
            pass
    places = {"set": tmp_path / "set", "cache": tmp_path / "cache"} | {full: disk / full}
    run = partial(make, whole, places["set"], places["cache"], pairs=4, per_shard=2, workers=1)
    status, errors = run()
    assert status == 6
    assert "the disk is full" in one_line(errors)
    assert ("the cache of proposals" in errors) == (full == "cache")
    assert not [path for path in disk.rglob("*") if path.is_file() and path.name != "filler"]
    (disk / "filler").unlink()
    assert run() == (0, "")
    assert faults_of(places["set"]) == []


def test_a_file_that_may_not_become_so_large_is_named_and_nothing_half_is_left(whole, tmp_path):
    run = partial(make, whole, tmp_path / "set", pairs=20, workers=1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (MEGABYTE // 5, limits[1]))  # a shard has half a megabyte
        status, errors = run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert status == 6
    assert "may not become so large here: raise the limit (ulimit -f)" in one_line(errors)
    assert file_bytes(tmp_path / "set").keys() == {"manifest.json", "recipe.toml"}
    assert run() == (0, "")
    assert faults_of(tmp_path / "set") == []
