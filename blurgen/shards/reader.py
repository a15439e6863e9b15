"""Read a shard that someone else may have made: nothing is believed before it is checked."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

import h5py
import numpy as np

from blurgen.errors import ShardError
from blurgen.shards.codecs import decode_image, decode_mask, decode_target
from blurgen.shards.format import (
    BLUR_LIMITS,
    BLURRED_SHARES,
    FLAGS,
    FORMAT_NAME,
    LEAST_SMOOTHNESS_PX,
    MAX_IMAGE_BYTES,
    MAX_PAIRS,
    MAX_PIXELS,
    MIXED_SHARES,
    PAIR_CODECS,
    PHOTO_ID_BYTES_MAX,
    PREFIXES,
    PROVENANCE_LIMITS,
    PROVENANCE_TEXTS,
    PROVENANCE_WORDS,
    READABLE_VERSIONS,
    SCHEMA_VERSION,
    TARGETS,
    columns,
    provenance_dtype,
)


class Shard:
    """One open shard: ``len``, ``image(i)``, ``mask(i)``, ``targets``, ``target(name, i)``, ``provenance``.

    Raises ShardError for anything amiss.
    """

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
        """(H, W, C) uint8, uint16 or float32, RGB where C is 3."""
        row = self.provenance[index]
        shape, dtype = (*self._shape(index), int(row["channels"])), row["dtype"].decode()
        with self._naming(index):
            return decode_image(self._stored("image", index), row["codec"].decode(), shape, dtype)

    def mask(self, index: int) -> np.ndarray:
        """(H, W) bool, True = blurred."""
        with self._naming(index):
            return decode_mask(self._stored("mask", index), self._shape(index))

    def target(self, name: str, index: int) -> np.ndarray:
        """(H, W) of one of ``targets``, else KeyError: "unknown" bool, "amount" float16 in px, "type" uint8, 0 to 2."""
        if name not in self.targets:
            raise KeyError(f"{self.path}: holds no target {name!r:.40}, only {', '.join(self.targets) or 'the mask'}")
        with self._naming(index):
            return decode_target(name, self._stored(name, index), self._shape(index))

    @contextmanager
    def _naming(self, index: int) -> Iterator[None]:
        """Errors name the shard and the pair."""
        try:
            yield
        except (ShardError, OSError, RuntimeError) as error:
            raise ShardError(f"{self.path}: pair {index} of this shard: {_one_line(error)}") from None

    def row(self, index: int) -> dict:
        """Provenance of one pair as plain Python values."""
        row = self.provenance[index]
        values = {name: row[name].item() for name in self.provenance.dtype.names}
        values = {name: _text(value) if isinstance(value, bytes) else value for name, value in values.items()}
        return values | {name: bool(values[name]) for name in FLAGS}

    def _shape(self, index: int) -> tuple[int, int]:
        row = self.provenance[index]
        return int(row["height"]), int(row["width"])

    def stored(self, name: str, index: int) -> bytes:
        """The bytes that stand for "image", "mask" or one of ``targets`` of a pair, as they are in the file."""
        with self._naming(index):
            return self._stored(name, index).tobytes()

    def _stored(self, name: str, index: int) -> np.ndarray:
        if name == "image" and self.codec == "raw":
            return np.ascontiguousarray(self.file["images"][index]).reshape(-1).view(np.uint8)
        height, width = self._shape(index)
        row = self.provenance[index]
        pixel_bytes = row["channels"] * np.dtype(row["dtype"].decode()).itemsize if name == "image" else 2
        first, end = self.offsets[name][index : index + 2].tolist()
        if end - first > 2 * pixel_bytes * height * width + 65536:  # more than any codec needs
            raise ShardError(f"its {name} claims {end - first} bytes; refused")
        return self.file[f"{name}_bytes"][first:end]

    def _check(self) -> None:
        """Everything that can be checked without decoding a pair."""
        attributes = {name: _read_attribute(self.file, name) for name in ("format", "schema_version", "codec")}
        if attributes["format"] != FORMAT_NAME:
            raise ShardError("not a blurgen shard")
        version = attributes["schema_version"]
        if version not in READABLE_VERSIONS:
            raise ShardError(
                f"schema version {version!s:.20}, this blurgen reads {READABLE_VERSIONS[0]} to {SCHEMA_VERSION}; "
                "make the data set again, or take another blurgen"
            )
        self.codec = attributes["codec"]
        if self.codec not in PAIR_CODECS:
            raise ShardError("unknown codec")
        self.targets = tuple(name for name in TARGETS if f"{name}_bytes" in self.file)
        blobs = [*(() if self.codec == "raw" else ("image",)), "mask", *self.targets]
        expected = {f"{name}_{part}" for name in blobs for part in ("bytes", "offsets")} | {"provenance"}
        expected |= {"images"} if self.codec == "raw" else set()
        if set(self.file) != expected:
            raise ShardError(f"holds {', '.join(sorted(self.file))[:200]}; expected {', '.join(sorted(expected))}")
        for name in sorted(expected):
            _check_plain(self.file, name)
        self.provenance = _read_provenance(self.file["provenance"], version)
        _check_words(self.provenance, "codec", PAIR_CODECS[self.codec])
        self.offsets = {name: _read_offsets(self.file, name, len(self.provenance)) for name in blobs}
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


def _read_provenance(dataset: h5py.Dataset, version: int) -> np.ndarray:
    dtype = dataset.dtype
    if dtype.names != columns(version) or dataset.ndim != 1 or not 0 < len(dataset) <= MAX_PAIRS:
        raise ShardError("the provenance table has other columns than this schema version")
    expected = provenance_dtype(min(dtype["photo"].itemsize, PHOTO_ID_BYTES_MAX), version)
    for name in expected.names:
        if dtype[name] != expected[name]:
            raise ShardError(f"column {name} of the provenance table has type {dtype[name]}; expected {expected[name]}")
    if dtype != expected:
        raise ShardError("the provenance table has gaps between its columns")
    table = _in_this_version(dataset[:])
    _check_values(table)
    pixels = table["height"].astype(np.int64) * table["width"]
    if pixels.max() > MAX_PIXELS or (pixels * table["channels"] * _item_bytes(table)).max() > MAX_IMAGE_BYTES:
        raise ShardError("the provenance table holds an impossible image size")
    if (np.diff(table["pair"]) != 1).any():
        raise ShardError("the pairs of the provenance table are not numbered one after the other")
    return table


def _in_this_version(table: np.ndarray) -> np.ndarray:
    """The table with the columns that its schema version did not have yet."""
    whole = np.zeros(len(table), provenance_dtype(table.dtype["photo"].itemsize))
    if table.dtype == whole.dtype:
        return table
    for name in table.dtype.names:
        whole[name] = table[name]
    whole["origin_pair"], whole["reach_px"] = table["pair"], -1
    return whole


def _check_values(table: np.ndarray) -> None:
    """Every column: numbers within their limits, text that is text, blurs that can be made again."""
    for name, limits in PROVENANCE_LIMITS.items():
        _check_limits(table, name, limits)
    for name, encoding in PROVENANCE_TEXTS.items():
        _check_text(table, name, encoding)
    for name, words in PROVENANCE_WORDS.items():
        _check_words(table, name, words)
    for kind in np.unique(table["mask_kind"]):
        _check_limits(table[table["mask_kind"] == kind], "blurred_share", BLURRED_SHARES.get(kind, MIXED_SHARES))
    for prefix in PREFIXES:
        _check_blurs(table, prefix)


def _check_blurs(table: np.ndarray, prefix: str) -> None:
    """Of each kind the numbers it uses are within their limits, and the others 0."""
    _check_words(table, f"{prefix}blur_kind", tuple(BLUR_LIMITS))
    numbers = sorted(set(chain.from_iterable(BLUR_LIMITS.values())))
    for kind, limits in BLUR_LIMITS.items():
        rows = table[table[f"{prefix}blur_kind"] == kind]
        for name in numbers if len(rows) else ():
            _check_limits(rows, prefix + name, limits.get(name, (0, 0)))
    elastic = table[table[f"{prefix}elastic_px"] > 0]
    _check_limits(elastic, f"{prefix}elastic_smoothness_px", (LEAST_SMOOTHNESS_PX, np.inf))


def _check_words(table: np.ndarray, name: str, words: tuple[bytes, ...]) -> None:
    if not np.isin(table[name], words).all():
        raise ShardError(f"column {name} of the provenance table holds an unknown word")


def _item_bytes(table: np.ndarray) -> np.ndarray:
    """Bytes of one value of each pair's image."""
    return np.select([table["dtype"] == b"uint8", table["dtype"] == b"uint16"], [1, 2], 4)


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
    kinds = np.unique(provenance[["height", "width", "channels", "dtype"]])
    height, width, channels, dtype = kinds[0].item()
    same = images.shape == (len(provenance), height, width, channels) and images.dtype.name == dtype.decode()
    if len(kinds) > 1 or not same or images.dtype.byteorder == ">":
        raise ShardError("images has another shape or type than the provenance table says")


def _text(value: bytes) -> str:
    return value.decode(errors="replace")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200]
