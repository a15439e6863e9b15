"""docs/format.md is true: its columns are those of the code, and its reader reads shards without blurgen."""

import re
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
from helpers_shards import example_pair

from blurgen.shards import format as shard_format
from blurgen.shards.codecs import StorageParams
from blurgen.shards.reader import Shard
from blurgen.shards.writer import ShardBuilder

PAGE = (Path(__file__).parent.parent / "docs" / "format.md").read_text()
FORMER = Path(__file__).parent / "data" / "schema-2" / "shard-00000.h5"

WITHOUT_BLURGEN = """
import sys


class Refuse:
    def find_spec(self, name, path=None, target=None):
        assert not name.startswith(("blurgen", "cv2")), name


sys.meta_path.insert(0, Refuse())
"""
SAVE = """
found = {}
for i, (image, mask, targets, row) in enumerate(pairs):
    found |= {f"image{i}": image, f"mask{i}": mask, f"row{i}": row}
    found |= {f"{name}{i}": target for name, target in targets.items()}
np.savez("pairs.npz", **found)
"""


def test_the_columns_are_those_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|.*\|.*\|.*\|$", PAGE, re.M)
    assert [(name, kind.rstrip("*")) for name, kind in rows] == list(shard_format.PROVENANCE_FIELDS.items())


def test_every_column_has_a_meaning_and_says_what_0_means():
    rows = re.findall(r"^\| `\w+` \| `[S<][^`]*` \|(.*)\|(.*)\|(.*)\|$", PAGE, re.M)
    assert len(rows) == len(shard_format.PROVENANCE_FIELDS)
    assert all(meaning.strip() and zero.strip() for _, meaning, zero in rows)


def test_columns_in_px_and_degrees_say_so():
    units = dict(re.findall(r"^\| `(\w+)` \| `[S<][^`]*` \|(.*?)\|", PAGE, re.M))
    for suffix, unit in (("_px", "px"), ("_deg", "deg")):
        assert {units[name].strip() for name in units if name.endswith(suffix)} == {unit}


def test_the_limits_are_those_of_the_code():
    for value in (shard_format.MAX_PIXELS, shard_format.MAX_IMAGE_BYTES, shard_format.MAX_SHARDS):
        assert f"{value:,}" in PAGE
    assert f"{shard_format.MAX_CHANNELS} channels" in PAGE
    assert f"describes schema version {shard_format.SCHEMA_VERSION}" in PAGE
    for names in shard_format.ADDED_COLUMNS.values():
        assert f"columns {', '.join(f'`{name}`' for name in names)} | not there" in PAGE


def as_uint8(image):
    return image


def as_uint16(image):
    return image.astype(np.uint16) * 257 + 3


def as_grey_uint16(image):
    return as_uint16(image)[..., :1]


def as_float32(image):
    return (image / np.float32(255)) * 7 - 1


SHARDS = {  # codec, what the image becomes, codec of the pairs
    "jpeg": ("jpeg", as_uint8, b"jpeg"),
    "png": ("png", as_uint8, b"png"),
    "grey-png-of-16-bits": ("png", as_grey_uint16, b"png"),
    "raw": ("raw", as_uint16, b"raw"),
    "float": ("jpeg", as_float32, b"zlib"),
}


def write_shard(folder, codec, change):
    builder = ShardBuilder(StorageParams(codec=codec), photo_id_bytes=20)
    for pair in range(3):
        image, mask, provenance = example_pair(pair)
        targets = {
            "unknown": image[..., 0] > 100,
            "amount": np.where(mask, image[..., 1] / 16, 0).astype(np.float16),
            "type": mask * np.uint8(1 + pair % 2),
        }
        builder.add(change(image), mask, provenance, targets)
    path = folder / "shard-00000.h5"
    path.write_bytes(builder.to_bytes())
    return path


def read_as_the_page_says(folder):
    [block] = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    code = WITHOUT_BLURGEN + block + SAVE
    subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, check=True, timeout=60)
    with np.load(folder / "pairs.npz") as found:
        return dict(found)


def assert_same(found, path, tolerance):
    with Shard(path) as shard, h5py.File(path) as file:
        for index in range(len(shard)):
            image = shard.image(index)
            assert found[f"image{index}"].dtype == image.dtype
            np.testing.assert_allclose(found[f"image{index}"], image, rtol=0, atol=tolerance)
            np.testing.assert_array_equal(found[f"mask{index}"], shard.mask(index))
            for name in shard.targets:
                target = shard.target(name, index)
                assert found[f"{name}{index}"].dtype == target.dtype
                np.testing.assert_array_equal(found[f"{name}{index}"], target)
            assert found[f"row{index}"] == file["provenance"][index]
        return len(shard) * (3 + len(shard.targets))


@pytest.mark.parametrize("name", SHARDS)
def test_a_shard_is_read_without_blurgen(tmp_path, name):
    codec, change, stored = SHARDS[name]
    path = write_shard(tmp_path, codec, change)
    with Shard(path) as shard:
        assert set(shard.provenance["codec"].tolist()) == {stored}
    found = read_as_the_page_says(tmp_path)
    assert len(found) == assert_same(found, path, tolerance=1 if name == "jpeg" else 0) == 18


def test_a_shard_of_schema_2_is_read_without_blurgen(tmp_path):
    (tmp_path / "shard-00000.h5").write_bytes(FORMER.read_bytes())
    found = read_as_the_page_says(tmp_path)
    assert len(found) == assert_same(found, tmp_path / "shard-00000.h5", tolerance=1)
