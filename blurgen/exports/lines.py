"""provenance.jsonl, line by line, checked: every column, its type and its limits."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from blurgen.errors import ShardError
from blurgen.shards.format import FLAGS
from blurgen.shards.table import check_provenance

MAX_LINE_BYTES = 100_000
BATCH = 1000
"""Rows that are checked at once, which is a hundred times as fast as one by one."""


def read_rows(file: IO[bytes], path: Path, origins: list[dict], pairs: int, dtype: np.dtype) -> Iterator[dict]:
    """The row of each pair, 0 to ``pairs`` - 1, fit for a table of ``dtype``. ShardError names the line."""
    for first in range(0, pairs, BATCH):
        rows = [_read_row(file, path, number, dtype) for number in range(first, min(first + BATCH, pairs))]
        _check(rows, path, first, origins, dtype)
        yield from rows
    if file.read(1):
        raise ShardError(f"{path}: has more than {pairs} lines, one for each pair; export it again")


def _read_row(file: IO[bytes], path: Path, number: int, dtype: np.dtype) -> dict:
    line = file.readline(MAX_LINE_BYTES + 1)
    where = f"{path}: line {number + 1}"
    if not line:
        raise ShardError(f"{where} is missing: there must be one for each pair; export it again")
    if len(line) > MAX_LINE_BYTES:
        raise ShardError(f"{where} is longer than {MAX_LINE_BYTES} bytes; refused")
    try:
        row = json.loads(line, parse_constant=_refuse)
    except (ValueError, RecursionError):
        raise ShardError(f"{where} is not JSON; export it again") from None
    if not isinstance(row, dict) or row.keys() != set(dtype.names):
        odd = sorted(row.keys() ^ set(dtype.names)) if isinstance(row, dict) else ["all of it"]
        raise ShardError(f"{where} has other columns than provenance ({odd[0]!r:.40}); export it again")
    if row["pair"] != number:
        raise ShardError(f"{where}: column pair is {row['pair']!r:.40}, {number} is due; export it again")
    return row


def _refuse(constant: str) -> None:
    raise ValueError(constant)  # NaN and Infinity are no JSON


def _check(rows: list[dict], path: Path, first: int, origins: list[dict], dtype: np.dtype) -> None:
    table = np.zeros(len(rows), dtype)
    for place, row in enumerate(rows):
        try:
            _fill(table[place], row)
            _check_origin(row, origins)
        except ShardError as error:
            raise ShardError(f"{path}: line {first + place + 1}: {error}") from None
    try:
        check_provenance(table)
    except ShardError:  # of which line?
        for place in range(len(table)):
            try:
                check_provenance(table[place : place + 1])
            except ShardError as error:
                raise ShardError(f"{path}: line {first + place + 1}: {error}") from None
        raise


def _fill(stored: np.void, row: dict) -> None:
    """Put a row into a table; ShardError for a value that is not what the column holds, or does not come out again."""
    for name, value in row.items():
        kind = stored.dtype[name].kind
        types = (bool,) if name in FLAGS else {"S": (str,), "f": (float, int)}.get(kind, (int,))
        try:
            with np.errstate(over="ignore"):
                stored[name] = value.encode() if type(value) is str else value
            kept = stored[name].decode() if kind == "S" else stored[name].item()
        except (ValueError, TypeError, OverflowError):
            kept = None
        if type(value) not in types or kept != value:
            raise ShardError(f"column {name} can't be {value!r:.60}")


def _check_origin(row: dict, origins: list[dict]) -> None:
    number = row["origin"]
    if not 0 <= number < len(origins) or not 0 <= row["origin_pair"] < origins[number]["pairs"]:
        raise ShardError(f"origin {number}, pair {row['origin_pair']} of it, is no pair of the manifest's origins")
