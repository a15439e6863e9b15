"""Read a shard that someone else may have made: nothing is believed before it is checked."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np

from blurgen.errors import ShardError
from blurgen.shards.codecs import decode_image, decode_mask
from blurgen.shards.format import FORMAT_NAME, PHOTO_ID_BYTES_MAX, PROVENANCE_FIELDS, SCHEMA_VERSION

MAX_PAIRS = 1_000_000


class Shard:
    """One open shard: ``len``, ``image(i)``, ``mask(i)``, ``provenance``. Raises ShardError for anything amiss."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = h5py.File(path, "r")
        except FileNotFoundError:
            raise ShardError(f"{path}: this shard is missing; make the data set again in the same folder") from None
        except (OSError, RuntimeError, ValueError) as error:
            raise ShardError(f"{path}: not a readable HDF5 file ({_one_line(error)})") from None
        try:
            self._check()
        except ShardError as error:
            self.file.close()
            raise ShardError(f"{path}: {error}") from None
        except Exception as error:  # h5py raises almost any type on a damaged file
            self.file.close()
            raise ShardError(f"{path}: damaged ({type(error).__name__}: {_one_line(error)})") from None

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless when called twice."""
        self.file.close()

    def __len__(self) -> int:
        return len(self.provenance)

    def image(self, index: int) -> np.ndarray:
        """(H, W, 3) uint8 RGB."""
        try:
            if self.codec == "raw":
                return self.file["images"][index]
            return decode_image(self._blob("image", index), self.codec, self._shape(index))
        except (ShardError, OSError, RuntimeError) as error:
            raise ShardError(f"{self.path}: pair {index} of this shard: {_one_line(error)}") from None

    def mask(self, index: int) -> np.ndarray:
        """(H, W) bool, True = blurred."""
        try:
            return decode_mask(self._blob("mask", index), self._shape(index))
        except (ShardError, OSError, RuntimeError) as error:
            raise ShardError(f"{self.path}: pair {index} of this shard: {_one_line(error)}") from None

    def row(self, index: int) -> dict:
        """Provenance of one pair as plain Python values."""
        row = self.provenance[index]
        values = {name: row[name].item() for name in self.provenance.dtype.names}
        values = {name: _text(value) if isinstance(value, bytes) else value for name, value in values.items()}
        return values | {"inverted": bool(values["inverted"])}

    def _shape(self, index: int) -> tuple[int, int]:
        row = self.provenance[index]
        return int(row["height"]), int(row["width"])

    def _blob(self, name: str, index: int) -> np.ndarray:
        offsets = self.offsets[name]
        return self.file[f"{name}_bytes"][int(offsets[index]) : int(offsets[index + 1])]

    def _check(self) -> None:
        """Everything that can be checked without decoding a pair."""
        attributes = {name: self.file.attrs.get(name) for name in ("format", "schema_version", "codec")}
        if attributes["format"] != FORMAT_NAME:
            raise ShardError("not a blurgen shard")
        if attributes["schema_version"] != SCHEMA_VERSION:
            raise ShardError(f"schema version {attributes['schema_version']!s:.20}, this blurgen reads {SCHEMA_VERSION}")
        self.codec = attributes["codec"]
        if self.codec not in ("jpeg", "png", "raw"):
            raise ShardError("unknown codec")
        images = ["images"] if self.codec == "raw" else ["image_bytes", "image_offsets"]
        expected = {*images, "mask_bytes", "mask_offsets", "provenance"}
        if set(self.file) != expected:
            raise ShardError(f"holds {', '.join(sorted(self.file))[:200]}; expected {', '.join(sorted(expected))}")
        for name in sorted(expected):
            _check_plain(self.file, name)
        self.provenance = _read_provenance(self.file["provenance"])
        names = ("mask",) if self.codec == "raw" else ("image", "mask")
        self.offsets = {name: _read_offsets(self.file, name, len(self.provenance)) for name in names}
        if self.codec == "raw":
            _check_raw(self.file["images"], self.provenance)


def _check_plain(file: h5py.File, name: str) -> None:
    """Refuse links, external storage, virtual data sets, filters and chunks before anything is read."""
    if type(file.get(name, getlink=True)) is not h5py.HardLink:
        raise ShardError(f"{name} is a link to somewhere else; refused")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ShardError(f"{name} is not stored in this file; refused")
    if dataset.chunks is not None or dataset.shape is None or dataset.id.get_create_plist().get_nfilters():
        raise ShardError(f"{name} is not a plain contiguous array; refused")
    if dataset.nbytes > file.id.get_filesize():
        raise ShardError(f"{name} claims {dataset.nbytes} bytes, more than the file has; refused")


def _read_provenance(dataset: h5py.Dataset) -> np.ndarray:
    dtype = dataset.dtype
    if dtype.names != tuple(PROVENANCE_FIELDS) or dataset.ndim != 1 or not 0 < len(dataset) <= MAX_PAIRS:
        raise ShardError("the provenance table has other columns than this schema version")
    for name, kind in PROVENANCE_FIELDS.items():
        good = dtype[name].kind == "S" and dtype[name].itemsize <= PHOTO_ID_BYTES_MAX if kind == "S" else dtype[name] == kind
        if not good:
            raise ShardError(f"column {name} of the provenance table has type {dtype[name]}; expected {kind}")
    table = dataset[:]
    if min(table["height"].min(), table["width"].min()) < 1 or max(table["height"].max(), table["width"].max()) > 2**16:
        raise ShardError("the provenance table holds an impossible image size")
    return table


def _read_offsets(file: h5py.File, name: str, pairs: int) -> np.ndarray:
    offsets, blob = file[f"{name}_offsets"], file[f"{name}_bytes"]
    if offsets.shape != (pairs + 1,) or offsets.dtype != np.uint64 or blob.ndim != 1 or blob.dtype != np.uint8:
        raise ShardError(f"{name}_bytes and {name}_offsets don't fit together")
    values = offsets[:].astype(np.int64)
    if values[0] != 0 or values[-1] != len(blob) or (np.diff(values) < 0).any():
        raise ShardError(f"{name}_offsets don't rise from 0 to the end of {name}_bytes")
    return values


def _check_raw(images: h5py.Dataset, provenance: np.ndarray) -> None:
    shape = (len(provenance), provenance["height"][0], provenance["width"][0], 3)
    same = (provenance["height"] == shape[1]).all() and (provenance["width"] == shape[2]).all()
    if images.shape != shape or images.dtype != np.uint8 or not same:
        raise ShardError("images has another shape than the provenance table says")


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
