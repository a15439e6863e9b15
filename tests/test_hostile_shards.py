"""Shards made to harm: whatever HDF5 allows beyond what a shard needs is refused, and no other file is ever opened.

test_shards.py has the commoner faults, here are those of HDF5's farther corners. In each case that could lead
elsewhere, elsewhere is a pipe that nobody writes to, so that whoever opens it waits for ever.
"""

import io
import os
import subprocess
import sys
from functools import cache
from itertools import product
from pathlib import Path

import h5py
import numpy as np
import pytest
from h5py import h5d, h5f, h5p, h5s, h5t, h5z
from helpers_shards import build_shard
from torture.damage import Damage, data_set, is_found
from torture.fuzz import fuzz
from torture.mutants import valid_shard

from blurgen.errors import ShardError
from blurgen.shards.format import PROVENANCE_FIELDS
from blurgen.shards.reader import Shard

MEMBERS = ("image_bytes", "image_offsets", "mask_bytes", "mask_offsets", "provenance")


def build(path, change=None, codec="jpeg"):
    """A good shard of three pairs, and then the change."""
    path.write_bytes(build_shard(codec).to_bytes())
    if change:
        with h5py.File(path, "r+") as file:
            change(file)
    return path


def is_refused(path):
    """Whether a shard is refused, in one line that names it."""
    try:
        with Shard(path):
            return False
    except ShardError as error:
        return str(error).startswith(f"{path}: ") and "\n" not in str(error)


# Elsewhere ------------------------------------------------------------------------------------------------------------


@cache
def shape_of(name):
    """Shape and dtype of a member of a good shard."""
    with h5py.File(io.BytesIO(valid_shard("jpeg"))) as file:
        return file[name].shape, file[name].dtype


def external_link(file, name, elsewhere):
    file[name] = h5py.ExternalLink(elsewhere, f"/{name}")


def link_to_a_group_elsewhere(file, name, elsewhere):
    file["aside"] = h5py.ExternalLink(elsewhere, "/")
    file[name] = h5py.SoftLink(f"/aside/{name}")


def external_storage(file, name, elsewhere):
    shape, dtype = shape_of(name)
    file.create_dataset(name, shape, dtype, external=[(elsewhere, 0, h5py.h5f.UNLIMITED)])


def external_storage_in_two_files(file, name, elsewhere):
    shape, dtype = shape_of(name)
    half = np.dtype(dtype).itemsize * shape[0] // 2
    file.create_dataset(name, shape, dtype, external=[(elsewhere, 0, half), (elsewhere, half, h5py.h5f.UNLIMITED)])


def virtual(file, name, elsewhere):
    shape, dtype = shape_of(name)
    layout = h5py.VirtualLayout(shape, dtype)
    layout[:] = h5py.VirtualSource(elsewhere, name, shape=shape)
    file.create_virtual_dataset(name, layout)


def virtual_by_pattern(file, name, elsewhere):
    """A pattern for the names of sources: HDF5 opens one after the other to see how large the array is."""
    shape, dtype = shape_of(name)
    whole = h5s.create_simple(shape, (h5s.UNLIMITED,))
    blocks = whole.copy()
    blocks.select_hyperslab((0,), (h5s.UNLIMITED,), shape, shape)
    plan = h5p.create(h5p.DATASET_CREATE)
    plan.set_virtual(blocks, f"{elsewhere}%b".encode(), name.encode(), h5s.create_simple(shape))
    h5d.create(file.id, name.encode(), h5t.py_create(dtype, logical=True), whole, plan)


WAYS = (
    external_link,
    link_to_a_group_elsewhere,
    external_storage,
    external_storage_in_two_files,
    virtual,
    virtual_by_pattern,
)
READ = """
import sys
from test_hostile_shards import is_refused
print(*[is_refused(path) for path in sys.stdin.read().splitlines()])
"""


def test_no_other_file_is_opened(tmp_path):
    for folder in ("away", "set"):
        (tmp_path / folder).mkdir()
    elsewhere = str(tmp_path / "away" / "canary")
    cases = [("jpeg", *case) for case in product(WAYS, MEMBERS, (elsewhere, "../away/canary"))]
    cases += product(("jpeg", "schema-2"), WAYS[:2], ("unknown_bytes", "unknown_offsets", "images"), (elsewhere,))
    paths = [misled(tmp_path / "set" / f"{number}.h5", *case) for number, case in enumerate(cases)]
    for pipe in (elsewhere, f"{elsewhere}0"):
        os.mkfifo(pipe)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *filter(None, sys.path)])}
    asked = {"input": "\n".join(map(str, paths)), "env": environment, "timeout": 100}
    child = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, **asked)
    assert child.stdout.split() == ["True"] * len(cases), child.stderr


def misled(path, kind, way, name, target):
    """A shard of which one member is ``target``'s."""
    path.write_bytes(valid_shard(kind))
    with h5py.File(path, "r+") as file:
        if name in file:
            del file[name]
        way(file, name, target)
    return path


# What HDF5 allows and a shard does not need ---------------------------------------------------------------------------


def instead(name, make):
    """A change that puts something else in the place of a member; ``make`` gets the file, its name and its values."""

    def change(file):
        values = file[name][:]
        del file[name]
        make(file, name, values)

    return change


def of_type(name, dtype):
    """A member of the same shape and another type."""
    return instead(name, lambda file, name, values: file.create_dataset(name, values.shape, dtype))


def with_fields(**changes):
    """A provenance table in which columns have another type, or which has columns more."""

    def make(file, name, values):
        kinds = {column: values.dtype[column] for column in values.dtype.names} | changes
        file.create_dataset(name, values.shape, np.dtype(list(kinds.items())))

    return instead("provenance", make)


def reordered(file, name, values):
    names = values.dtype.names[::-1]
    file[name] = np.zeros(values.shape, [(column, values.dtype[column]) for column in names])


def with_low_level(name, *, layout=None, filters=()):
    """A member made with HDF5's own calls: another layout, filters that h5py has no name for."""

    def make(file, name, values):
        plan = h5p.create(h5p.DATASET_CREATE)
        if layout is not None:
            plan.set_layout(layout)
        if filters:
            plan.set_chunk(values.shape)
        for code in filters:
            plan.set_filter(code, h5z.FLAG_OPTIONAL, (1, 2, 3))
        kind = h5t.py_create(values.dtype, logical=True)
        h5d.create(file.id, name.encode(), kind, h5s.create_simple(values.shape), plan)

    return instead(name, make)


def scalar(file, name, values):
    file.create_dataset(name, (), values.dtype)


def null(file, name, values):
    file[name] = h5py.Empty(values.dtype)


def growing(file, name, values):
    file.create_dataset(name, data=values, maxshape=(None, *values.shape[1:]))


def committed(file, name, values):
    """A type that is a member of its own, and which a member's header only points to."""
    file[f"{name}-type"] = values.dtype
    file.create_dataset(name, data=values, dtype=file[f"{name}-type"])


def group_of_itself(file, name, values):
    group = file.create_group(name)
    group["again"] = group


def attribute(name, value, **options):
    """A root attribute of another type, shape or size."""
    return lambda file: file.attrs.create(name, value, **options)


def region_references(file, name, values):
    file.create_dataset(name, values.shape, h5py.regionref_dtype)


HOSTILE = {
    "unknown filter": with_low_level("image_bytes", filters=(32_001,)),
    "filter of a number that HDF5 reserves": with_low_level("mask_bytes", filters=(300,)),
    "shuffle, deflate and checksum": with_low_level("mask_bytes", filters=(h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE)),
    "szip": with_low_level("mask_offsets", filters=(h5z.FILTER_SHUFFLE, h5z.FILTER_FLETCHER32)),
    "compact offsets": with_low_level("mask_offsets", layout=h5d.COMPACT),
    "compact blob": with_low_level("mask_bytes", layout=h5d.COMPACT),
    **{f"growing {name}": instead(name, growing) for name in MEMBERS},
    **{f"scalar {name}": instead(name, scalar) for name in MEMBERS},
    **{f"null {name}": instead(name, null) for name in MEMBERS},
    **{f"group for {name}": instead(name, lambda file, name, _: file.create_group(name)) for name in MEMBERS},
    **{f"group of itself for {name}": instead(name, group_of_itself) for name in MEMBERS},
    **{f"committed type of {name}": instead(name, committed) for name in MEMBERS},
    "region references": instead("mask_bytes", region_references),
    "references in the table": with_fields(seed=h5py.ref_dtype),
    "region references in the table": with_fields(seed=h5py.regionref_dtype),
    "text of any length in the table": with_fields(photo=h5py.string_dtype()),
    "arrays of any length in the table": with_fields(top=h5py.vlen_dtype(np.int32)),
    "arrays of any length": of_type("mask_bytes", h5py.vlen_dtype(np.uint8)),
    "arrays of any length as offsets": of_type("mask_offsets", h5py.vlen_dtype(np.uint64)),
    "enumeration": of_type("mask_bytes", h5py.enum_dtype({"a": 0}, basetype="u1")),
    "truth values": of_type("mask_bytes", bool),
    "opaque bytes": of_type("mask_bytes", np.dtype("V1")),
    "opaque offsets": of_type("mask_offsets", np.dtype("V8")),
    "half floats as offsets": of_type("mask_offsets", np.float16),
    "complex numbers as offsets": of_type("mask_offsets", np.complex64),
    "big-endian offsets": of_type("mask_offsets", ">u8"),
    "arrays in each byte": of_type("mask_bytes", np.dtype(("u1", (1000, 1000)))),
    "table with a column more": with_fields(payload="<f8"),
    "table with a column called ..": with_fields(**{"..": "<i4"}),
    "table with a huge text": with_fields(photo="S100000"),
    "table with an empty text": with_fields(photo="S1", fill="S1"),
    "table with an array in a column": with_fields(top=("<i4", (3,))),
    "table in a table": with_fields(top=[("a", "<i4")]),
    "table in another byte order": with_fields(seed=">u8"),
    "table in another order": instead("provenance", reordered),
    **{f"member {name!r}": lambda file, name=name: file.create_group(name) for name in ("..x", "../x/y", "a/b", "\n")},
    "member that is a hard link to another": lambda file: file.__setitem__("unknown_bytes", file["mask_bytes"]),
    "root as its own member": lambda file: file.__setitem__("self", file["/"]),
    "soft link to itself": instead("mask_bytes", lambda file, name, _: file.__setitem__(name, h5py.SoftLink(name))),
    "soft link to the folder above": instead(
        "mask_bytes", lambda file, name, _: file.__setitem__(name, h5py.SoftLink("../../etc/passwd"))
    ),
    "format of any length": attribute("format", "blurgen-shard", dtype=h5py.string_dtype()),
    "codec of any length": attribute("codec", "jpeg", dtype=h5py.string_dtype()),
    "huge format": attribute("format", np.bytes_(b"x" * 60_000)),
    "codec as a reference": lambda file: file.attrs.create("codec", file.ref, dtype=h5py.ref_dtype),
    "codec as numbers of any length": attribute("codec", np.arange(3), dtype=np.dtype("u1")),
    "codec as opaque bytes": attribute("codec", np.void(b"jpeg")),
    "codec as a record": attribute("codec", np.zeros((), [("codec", "S4")])),
    "codec as a truth value": attribute("codec", True),
    "schema version as a float": attribute("schema_version", 3.0),
    "schema version as a complex number": attribute("schema_version", 3j),
    "schema version of 2**64 - 1": attribute("schema_version", np.uint64(2**64 - 1)),
    "schema version below 0": attribute("schema_version", np.int64(-3)),
    "schema version as nothing": attribute("schema_version", h5py.Empty("i8")),
}


@pytest.mark.parametrize("fault", HOSTILE)
def test_what_a_shard_does_not_need_is_refused(tmp_path, fault):
    assert is_refused(build(tmp_path / "shard.h5", HOSTILE[fault]))


def test_a_good_shard_is_not_refused(tmp_path):
    assert not is_refused(build(tmp_path / "shard.h5"))


@pytest.mark.parametrize("codec", ["jpeg", "raw"])
def test_bytes_before_or_after_a_shard_are_refused(tmp_path, codec):
    data = build_shard(codec).to_bytes()
    path = tmp_path / "shard.h5"
    for block in (512, 4096):  # HDF5 looks for its signature at 0, 512, 1024, 2048, ...
        path.write_bytes(bytes(block) + data)
        assert is_refused(path)
    path.write_bytes(data + b"more")
    assert is_refused(path)
    with h5py.File(path, "w", userblock_size=512) as file:
        file["x"] = 1
    assert is_refused(path)


def test_a_shard_that_claims_to_belong_to_others_is_refused(tmp_path):
    """HDF5 can spread a file over several: "family" and "multi" are its names for it."""
    data = bytearray(build_shard().to_bytes())
    block = len(data)
    data += bytes([0, 0, 0, 0]) + (2**31).to_bytes(4, "little") + b"NCSAmult" + bytes(200)
    data[40:48], data[48:56] = len(data).to_bytes(8, "little"), block.to_bytes(8, "little")
    path = tmp_path / "shard.h5"
    path.write_bytes(data)
    assert is_refused(path)


def test_a_shard_with_attributes_in_a_heap_is_read_or_refused(tmp_path):
    """Many or large attributes move all of them into structures that are read in another way."""
    path = tmp_path / "shard.h5"
    path.write_bytes(build_shard().to_bytes())
    plan = h5p.create(h5p.FILE_ACCESS)
    plan.set_libver_bounds(h5f.LIBVER_LATEST, h5f.LIBVER_LATEST)
    with h5py.File(h5f.open(os.fsencode(path), h5f.ACC_RDWR, plan)) as file:
        for number in range(100):
            file.attrs[f"more-{number}"] = np.bytes_(b"x" * 10_000)
    assert is_refused(path) or read_pair(path)


def read_pair(path):
    with Shard(path) as shard:
        return set(shard.row(0)) == set(PROVENANCE_FIELDS)


# Chance ---------------------------------------------------------------------------------------------------------------


def test_mutants_of_shards_raise_nothing_but_shard_error(tmp_path):
    findings = fuzz(range(25), tmp_path)
    assert not findings.bad
    assert findings.outcomes["refused"] > findings.outcomes["read"] > 0


def test_flipped_bits_and_cuts_are_found(tmp_path):
    damage = Damage(data_set(tmp_path))
    damage.do(flips=60, cuts=20, seed=1)
    assert damage.missed == []
    assert damage.counts.total() == 80


@pytest.mark.parametrize("name", ["manifest.json", "shard-00001.json"])
def test_another_spelling_of_the_same_document_is_found(tmp_path, name):
    """JSON has several spellings of a text or a number: one flipped bit can turn one into another."""
    path = data_set(tmp_path) / "set" / name
    whole = path.read_bytes()
    for other in (whole[:-1], whole + b"\n", whole.replace(b"\\u00fc", b"\\u00Fc"), whole.replace(b": ", b":  ")):
        if other != whole:
            path.write_bytes(other)
            assert is_found(tmp_path, path)
