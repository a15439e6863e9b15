"""The provenance table of a shard that someone else may have made: every column of its type and within its limits."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain

import h5py
import numpy as np

from blurgen.errors import ShardError
from blurgen.shards.format import (
    BLUR_LIMITS,
    BLURRED_SHARES,
    LEAST_SMOOTHNESS_PX,
    MAX_IMAGE_BYTES,
    MAX_PAIRS,
    MAX_PIXELS,
    MIXED_SHARES,
    PHOTO_ID_BYTES_MAX,
    PREFIXES,
    PROVENANCE_FIELDS,
    PROVENANCE_LIMITS,
    PROVENANCE_TEXTS,
    PROVENANCE_WORDS,
    columns,
    provenance_dtype,
)

_EVERYWHERE = slice(None)


def table_dtype(dataset: h5py.Dataset, version: int) -> np.dtype:
    """The dtype of the table of a shard of schema ``version``. Raises ShardError unless it is the one that is due."""
    found = dataset.id.get_type()
    expected = _dtype_of_size(found.get_size(), version)
    if expected and dataset.ndim == 1 and 0 < len(dataset) <= MAX_PAIRS and found.equal(_file_type(expected)):
        return expected
    dtype = dataset.dtype  # takes ten times as long as all this, and says what is wrong
    if dtype.names != columns(version) or dataset.ndim != 1 or not 0 < len(dataset) <= MAX_PAIRS:
        raise ShardError("the provenance table has other columns than this schema version")
    expected = provenance_dtype(min(dtype["photo"].itemsize, PHOTO_ID_BYTES_MAX), version)
    for name in expected.names:
        if dtype[name] != expected[name]:
            raise ShardError(f"column {name} of the provenance table has type {dtype[name]}; expected {expected[name]}")
    if dtype != expected:
        raise ShardError("the provenance table has gaps between its columns")
    return dtype


@lru_cache(maxsize=64)
def _dtype_of_size(size: int, version: int) -> np.dtype | None:
    """The dtype of so many bytes, by the width of its photo ids; None if there is none."""
    least = provenance_dtype(1, version)
    texts = sum(PROVENANCE_FIELDS[name] == "S" for name in least.names)
    width, rest = divmod(size - least.itemsize, texts)
    return provenance_dtype(1 + width, version) if not rest and 0 <= width < PHOTO_ID_BYTES_MAX else None


@lru_cache(maxsize=64)
def _file_type(dtype: np.dtype) -> h5py.h5t.TypeID:
    return h5py.h5t.py_create(dtype)


def check_provenance(table: np.ndarray) -> None:
    """Raise ShardError for a provenance table that holds an impossible value in any column."""
    _check_values(table)
    pixels = table["height"].astype(np.int64) * table["width"]
    if pixels.max() > MAX_PIXELS or (pixels * table["channels"] * _item_bytes(table)).max() > MAX_IMAGE_BYTES:
        raise ShardError("the provenance table holds an impossible image size")
    if (np.diff(table["pair"]) != 1).any():
        raise ShardError("the pairs of the provenance table are not numbered one after the other")


def in_this_version(table: np.ndarray) -> np.ndarray:
    """The table with the columns that its schema version did not have yet."""
    if table.dtype.names == columns():
        return table
    whole = np.zeros(len(table), provenance_dtype(table.dtype["photo"].itemsize))
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
        check_words(table, name, words)
    for kind in set(table["mask_kind"].tolist()):
        limits = BLURRED_SHARES.get(kind, MIXED_SHARES)
        _check_limits(table, "blurred_share", limits, where=table["mask_kind"] == kind)
    for prefix in PREFIXES:
        _check_blurs(table, prefix)


def _check_blurs(table: np.ndarray, prefix: str) -> None:
    """Of each kind the numbers it uses are within their limits, and the others 0."""
    check_words(table, f"{prefix}blur_kind", tuple(BLUR_LIMITS))
    numbers = sorted(set(chain.from_iterable(BLUR_LIMITS.values())))
    for kind in set(table[f"{prefix}blur_kind"].tolist()):
        where = table[f"{prefix}blur_kind"] == kind
        for name in numbers:
            _check_limits(table, prefix + name, BLUR_LIMITS[kind].get(name, (0, 0)), where)
    elastic = table[f"{prefix}elastic_px"] > 0
    _check_limits(table, f"{prefix}elastic_smoothness_px", (LEAST_SMOOTHNESS_PX, np.inf), elastic)


def check_words(table: np.ndarray, name: str, words: tuple[bytes, ...]) -> None:
    """Raise ShardError unless all that a column holds is one of ``words``."""
    if not set(table[name].tolist()) <= set(words):
        raise ShardError(f"column {name} of the provenance table holds an unknown word")


def _item_bytes(table: np.ndarray) -> np.ndarray:
    """Bytes of one value of each pair's image."""
    return np.select([table["dtype"] == b"uint8", table["dtype"] == b"uint16"], [1, 2], 4)


def _check_limits(
    table: np.ndarray, name: str, limits: tuple[float, float], where: np.ndarray | slice = _EVERYWHERE
) -> None:
    values = table[name][where]
    if values.size and not (values.min() >= limits[0] and values.max() <= limits[1]):  # not of NaN
        row = table[where][np.argmin((values >= limits[0]) & (values <= limits[1]))]
        raise ShardError(f"column {name} of the provenance table is {row[name]} for pair {row['pair']}; impossible")


def _check_text(table: np.ndarray, name: str, encoding: str) -> None:
    try:
        b"\n".join(set(table[name].tolist())).decode(encoding)
    except UnicodeDecodeError:
        raise ShardError(f"column {name} of the provenance table is not {encoding.upper()} text") from None
