"""What is where in a shard that someone else may have made: nothing is believed before it is checked.

h5py reads the structure and the small tables once. The large arrays are contiguous, so that all a pair needs is to be
read from its place in the file: faster than by h5py, from any thread, and nothing of HDF5 is left to be exploited.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from blurgen.errors import ShardError
from blurgen.shards.format import (
    FIXED_LENGTH_SINCE,
    FORMAT_NAME,
    MAX_PAIRS,
    PAIR_CODECS,
    READABLE_VERSIONS,
    SCHEMA_VERSION,
    TARGETS,
)
from blurgen.shards.table import check_provenance, check_words, in_this_version, table_dtype


@dataclass(frozen=True)
class Structure:
    """A shard's tables, and where its pairs lie.

    Attributes
    ----------
    provenance : ndarray of shape (n,)
        The table, with the columns of this schema version.
    places : dict
        "image", "mask" and each target -> n + 1 places in the file, in bytes: pair i lies from places[i] to
        places[i + 1].
    """

    codec: str
    targets: tuple[str, ...]
    provenance: np.ndarray
    places: dict[str, list[int]]


def read_structure(path: Path) -> Structure:
    """Check everything that can be checked without decoding a pair. Raises ShardError that does not name the file."""
    _check_superblock(path)
    try:
        file = h5py.File(path, "r")
    except (OSError, RuntimeError, ValueError) as error:
        raise ShardError(f"not a readable HDF5 file ({one_line(error)})") from None
    with file:
        try:
            return _checked(file)
        except ShardError:
            raise
        except Exception as error:  # h5py raises almost any type on a damaged file
            raise ShardError(f"damaged ({type(error).__name__}: {one_line(error)})") from None


def _check_superblock(path: Path) -> None:
    """Refuse another beginning of the file than the one we write.

    The HDF5 library believes the sizes that stand there, and would take gigabytes for what a damaged address points to.
    """
    with open(path, "rb") as file:
        head, size = file.read(56), file.seek(0, os.SEEK_END)
    if head[:8] != _SIGNATURE:
        raise ShardError("not an HDF5 file")
    if head[8:16] != _VERSIONS or head[24:40] != bytes(8) + _UNDEFINED or head[48:56] != _UNDEFINED:
        raise ShardError("the first bytes are not those of a shard; refused")
    if int.from_bytes(head[40:48], "little") != size:
        raise ShardError(f"has {size} bytes, not as many as were written: cut short, or grown")


_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_VERSIONS = bytes([0, 0, 0, 0, 0, 8, 8, 0])  # of the superblock and what it describes; 8 bytes an address, 8 a size
_UNDEFINED = b"\xff" * 8  # an address that points nowhere


def _checked(file: h5py.File) -> Structure:
    version, codec = _read_attributes(file)
    targets = tuple(name for name in TARGETS if f"{name}_bytes" in file)
    blobs = [*(() if codec == "raw" else ("image",)), "mask", *targets]
    expected = {f"{name}_{part}" for name in blobs for part in ("bytes", "offsets")} | {"provenance"}
    expected |= {"images"} if codec == "raw" else set()
    if set(file) != expected:
        raise ShardError(f"holds {', '.join(map(ascii, sorted(file)))[:200]}; expected {', '.join(sorted(expected))}")
    found = {name: _plain_dataset(file, name) for name in sorted(expected)}
    dtype = table_dtype(found["provenance"], version)
    provenance = in_this_version(_read(found["provenance"], "provenance", dtype))
    check_provenance(provenance)
    check_words(provenance, "codec", PAIR_CODECS[codec])
    places = {name: _places(found[f"{name}_bytes"], found[f"{name}_offsets"], name, len(provenance)) for name in blobs}
    if codec == "raw":
        places["image"] = _raw_places(found["images"], provenance)
    return Structure(codec, targets, provenance, places)


def _read_attributes(file: h5py.File) -> tuple[int, str]:
    """Schema version and codec."""
    version = _read_attribute(file, "schema_version")
    if version not in READABLE_VERSIONS:
        raise ShardError(
            f"not a blurgen shard, or of schema version {version!s:.20}; this blurgen reads "
            f"{READABLE_VERSIONS[0]} to {SCHEMA_VERSION}: make the data set again, or take another blurgen"
        )
    if version < FIXED_LENGTH_SINCE:
        return version, _former_codec(file)
    if _read_attribute(file, "format") != FORMAT_NAME:
        raise ShardError("not a blurgen shard")
    codec = _read_attribute(file, "codec")
    if codec not in PAIR_CODECS:
        raise ShardError("unknown codec")
    return version, codec


def _read_attribute(file: h5py.File, name: str) -> str | int | None:
    """A single string of fixed length or whole number; None for anything else.

    Damaged strings of variable length, which lie in a heap of their own, can hang or crash the HDF5 library.
    """
    if name not in file.attrs:
        return None
    attribute = file.attrs.get_id(name)
    if attribute.shape != () or attribute.dtype.kind not in "Siu":
        return None
    value = file.attrs[name]
    return int(value) if isinstance(value, np.integer) else value.decode(errors="replace")


def _former_codec(file: h5py.File) -> str:
    """The codec of a shard whose own word for it is a string of variable length."""
    if "images" in file:
        return "raw"
    codecs = _plain_dataset(file, "provenance").fields("codec")[:MAX_PAIRS]
    return "jpeg" if b"jpeg" in codecs else "png"


def _plain_dataset(file: h5py.File, name: str) -> h5py.Dataset:
    """Refuse links, external storage, virtual data sets, filters and chunks before anything is read."""
    if type(file.get(name, getlink=True)) is not h5py.HardLink:
        raise ShardError(f"{name} is a link to somewhere else; refused")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ShardError(f"{name} is not stored in this file; refused")
    if dataset.chunks is not None or dataset.shape is None or dataset.id.get_create_plist().get_nfilters():
        raise ShardError(f"{name} is not a plain contiguous array; refused")
    if _bytes_of(dataset) > file.id.get_filesize():
        raise ShardError(f"{name} claims {_bytes_of(dataset)} bytes, more than the file has; refused")
    return dataset


def _bytes_of(dataset: h5py.Dataset) -> int:
    """As ``dataset.nbytes``, which builds the dtype anew each time."""
    return math.prod(dataset.shape) * dataset.id.get_type().get_size()


def _place(dataset: h5py.Dataset, name: str) -> int:
    """Where in the file an array begins."""
    size = _bytes_of(dataset)
    place = dataset.id.get_offset() if size else 0
    if place is None or place + size > dataset.file.id.get_filesize():
        raise ShardError(f"{name} does not lie in the file; refused")
    return place


def _read(dataset: h5py.Dataset, name: str, dtype: np.dtype) -> np.ndarray:
    """A small array of one axis from its place in the file, which takes a tenth of the time that h5py takes."""
    count = dataset.shape[0]
    values = np.fromfile(dataset.file.filename, dtype, count, offset=_place(dataset, name))
    if len(values) != count:
        raise ShardError(f"{name} is cut short")
    return values


def _places(blob: h5py.Dataset, offsets: h5py.Dataset, name: str, pairs: int) -> list[int]:
    if offsets.shape != (pairs + 1,) or offsets.dtype != np.uint64 or blob.ndim != 1 or blob.dtype != np.uint8:
        raise ShardError(f"{name}_bytes and {name}_offsets don't fit together")
    values = _read(offsets, f"{name}_offsets", np.dtype("<u8")).astype(np.int64)
    if values[0] != 0 or values[-1] != len(blob) or (np.diff(values) < 0).any():
        raise ShardError(f"{name}_offsets don't rise from 0 to the end of {name}_bytes")
    return (_place(blob, f"{name}_bytes") + values).tolist()


def _raw_places(images: h5py.Dataset, provenance: np.ndarray) -> list[int]:
    names = ("height", "width", "channels", "dtype")
    one_kind = all((provenance[name] == provenance[name][0]).all() for name in names)
    height, width, channels, dtype = (provenance[name][0].item() for name in names)
    same = images.shape == (len(provenance), height, width, channels) and images.dtype.name == dtype.decode()
    if not one_kind or not same or images.dtype.byteorder == ">":
        raise ShardError("images has another shape or type than the provenance table says")
    first, each = _place(images, "images"), _bytes_of(images) // len(provenance)
    return [first + each * index for index in range(len(provenance) + 1)]


def one_line(error: BaseException) -> str:
    """What a library says of an error, short."""
    return " ".join(str(error).split())[:200]
