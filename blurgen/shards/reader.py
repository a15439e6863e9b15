"""Read a shard that someone else may have made: nothing is believed before it is checked."""

from __future__ import annotations

import stat
from itertools import chain
from pathlib import Path

import h5py
import numpy as np

from blurgen.errors import ShardError
from blurgen.shards.codecs import decode_image, decode_mask
from blurgen.shards.format import (
    BLUR_LIMITS,
    FORMAT_NAME,
    LEAST_SMOOTHNESS_PX,
    MAX_PAIRS,
    MAX_PIXELS,
    PHOTO_ID_BYTES_MAX,
    PROVENANCE_FIELDS,
    PROVENANCE_LIMITS,
    SCHEMA_VERSION,
    provenance_dtype,
)


class Shard:
    """One open shard: ``len``, ``image(i)``, ``mask(i)``, ``provenance``. Raises ShardError for anything amiss."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not is_file(self.path):
            raise ShardError(f"{path}: this shard is missing; run the same `blurgen make` again")
        try:
            self.file = h5py.File(path, "r")
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
        height, width = self._shape(index)
        first, end = self.offsets[name][index : index + 2].tolist()
        if end - first > 4 * height * width + 65536:  # more than any codec needs
            raise ShardError(f"its {name} claims {end - first} bytes; refused")
        return self.file[f"{name}_bytes"][first:end]

    def _check(self) -> None:
        """Everything that can be checked without decoding a pair."""
        attributes = {name: _read_attribute(self.file, name) for name in ("format", "schema_version", "codec")}
        if attributes["format"] != FORMAT_NAME:
            raise ShardError("not a blurgen shard")
        if attributes["schema_version"] != SCHEMA_VERSION:
            raise ShardError(
                f"schema version {attributes['schema_version']!s:.20}, this blurgen reads {SCHEMA_VERSION}"
            )
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


def is_file(path: Path) -> bool:
    """Whether ``path`` is a plain file; raises ShardError where that can't be told."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise ShardError(f"{path}: can't be read ({getattr(error, 'strerror', error)})") from None


def _read_attribute(file: h5py.File, name: str) -> str | int | None:
    """A single string or whole number; None for anything else."""
    if name not in file.attrs or file.attrs.get_id(name).shape != ():
        return None
    value = file.attrs[name]
    return int(value) if isinstance(value, np.integer) else value if isinstance(value, str) else None


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
    expected = provenance_dtype(min(dtype["photo"].itemsize, PHOTO_ID_BYTES_MAX))
    for name in PROVENANCE_FIELDS:
        if dtype[name] != expected[name]:
            raise ShardError(f"column {name} of the provenance table has type {dtype[name]}; expected {expected[name]}")
    if dtype != expected:
        raise ShardError("the provenance table has gaps between its columns")
    table = dataset[:]
    _check_values(table)
    if (table["height"].astype(np.int64) * table["width"]).max() > MAX_PIXELS:
        raise ShardError("the provenance table holds an impossible image size")
    if (np.diff(table["pair"]) != 1).any():
        raise ShardError("the pairs of the provenance table are not numbered one after the other")
    return table


def _check_values(table: np.ndarray) -> None:
    """Every column: numbers within their limits, text that is text, blurs that can be made again."""
    for name, limits in PROVENANCE_LIMITS.items():
        _check_limits(table, name, limits)
    for name, encoding in (("photo", "utf-8"), ("photo_sha256", "ascii"), ("mask_kind", "ascii"), ("fill", "ascii")):
        _check_text(table, name, encoding)
    if not np.isin(table["blur_kind"], list(BLUR_LIMITS)).all():
        raise ShardError("column blur_kind of the provenance table holds an unknown kind")
    numbers = sorted(set(chain.from_iterable(BLUR_LIMITS.values())))
    for kind, limits in BLUR_LIMITS.items():
        rows = table[table["blur_kind"] == kind]
        for name in numbers:
            _check_limits(rows, name, limits.get(name, (0, 0)))
    _check_limits(table[table["elastic_px"] > 0], "elastic_smoothness_px", (LEAST_SMOOTHNESS_PX, np.inf))


def _check_limits(rows: np.ndarray, name: str, limits: tuple[float, float]) -> None:
    good = (rows[name] >= limits[0]) & (rows[name] <= limits[1])  # not of NaN
    if not good.all():
        row = rows[np.argmin(good)]
        raise ShardError(f"column {name} of the provenance table is {row[name]} for pair {row['pair']}; impossible")


def _check_text(table: np.ndarray, name: str, encoding: str) -> None:
    try:
        b"\n".join(np.unique(table[name]).tolist()).decode(encoding)
    except UnicodeDecodeError:
        raise ShardError(f"column {name} of the provenance table is not {encoding.upper()} text") from None


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
