"""Read the pairs of a shard."""

from __future__ import annotations

import os
import stat
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

import numpy as np

from blurgen.errors import ShardError
from blurgen.shards.codecs import decode_image, decode_mask, decode_target
from blurgen.shards.format import FLAGS
from blurgen.shards.structure import one_line, read_structure


class Shard:
    """One open shard: ``len``, ``image(i)``, ``mask(i)``, ``targets``, ``target(name, i)``, ``provenance``.

    May be read from several threads. Raises ShardError for anything amiss.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        if not is_file(self.path):
            raise ShardError(f"{path}: this shard is missing; `blurgen repair` makes it again")
        try:
            found = read_structure(self.path)
            self._file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        except ShardError as error:
            raise ShardError(f"{path}: {error}") from None
        except OSError as error:
            raise ShardError(f"{path}: can't be read ({error.strerror})") from None
        self._finalizer = weakref.finalize(self, os.close, self._file)
        self.codec, self.targets, self.provenance = found.codec, found.targets, found.provenance
        self._places = found.places
        self._texts = tuple(name for name in self.provenance.dtype.names if self.provenance.dtype[name].kind == "S")

    def __enter__(self) -> Shard:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; harmless when called twice."""
        self._finalizer()

    @property
    def closed(self) -> bool:
        """Whether the file is closed."""
        return not self._finalizer.alive

    def __len__(self) -> int:
        return len(self.provenance)

    def image(self, index: int) -> np.ndarray:
        """(H, W, C) uint8, uint16 or float32, RGB where C is 3."""
        shape, dtype, codec = self._kinds[index]
        with self._naming(index):
            return decode_image(self._read("image", index), codec, shape, dtype)

    def mask(self, index: int) -> np.ndarray:
        """(H, W) bool, True = blurred."""
        with self._naming(index):
            return decode_mask(self._read("mask", index), self._kinds[index][0][:2])

    def target(self, name: str, index: int) -> np.ndarray:
        """(H, W) of one of ``targets``, else KeyError: "unknown" bool, "amount" float16 in px, "type" uint8, 0 to 2."""
        if name not in self.targets:
            raise KeyError(f"{self.path}: holds no target {name!r:.40}, only {', '.join(self.targets) or 'the mask'}")
        with self._naming(index):
            return decode_target(name, self._read(name, index), self._kinds[index][0][:2])

    def stored(self, name: str, index: int) -> bytes:
        """The bytes that stand for "image", "mask" or one of ``targets`` of a pair, as they are in the file."""
        with self._naming(index):
            return self._read(name, index).tobytes()

    def row(self, index: int) -> dict:
        """Provenance of one pair as plain Python values."""
        row = dict(zip(self.provenance.dtype.names, self.provenance[index].item(), strict=True))
        row |= {name: row[name].decode(errors="replace") for name in self._texts}
        return row | {name: bool(row[name]) for name in FLAGS}

    @contextmanager
    def _naming(self, index: int) -> Iterator[None]:
        """Errors name the shard and the pair."""
        try:
            yield
        except (ShardError, OSError) as error:
            raise ShardError(f"{self.path}: pair {index} of this shard: {one_line(error)}") from None

    @cached_property
    def _kinds(self) -> list[tuple[tuple[int, int, int], str, str]]:
        """Of each image its shape, type and codec."""
        table = self.provenance
        shapes = zip(*(table[name].tolist() for name in ("height", "width", "channels")), strict=True)
        words = ([word.decode() for word in table[name].tolist()] for name in ("dtype", "codec"))
        return list(zip(shapes, *words, strict=True))

    def _read(self, name: str, index: int) -> np.ndarray:
        """The stored bytes of a member: (n,) uint8, which belong to the caller."""
        (height, width, channels), dtype, _ = self._kinds[index]
        first, end = self._places[name][index], self._places[name][index + 1]
        pixel_bytes = channels * _ITEM_BYTES[dtype] if name == "image" else 2
        if end - first > 2 * pixel_bytes * height * width + 65536:  # more than any codec needs
            raise ShardError(f"its {name} claims {end - first} bytes; refused")
        if self.closed:
            raise ShardError("the shard is closed")
        data = np.empty(end - first, np.uint8)
        if data.size and os.preadv(self._file, [data], first) != data.size:
            raise ShardError(f"its {name} is cut short")
        return data


_ITEM_BYTES = {"uint8": 1, "uint16": 2, "float32": 4}


def is_file(path: Path) -> bool:
    """Whether ``path`` is a plain file; raises ShardError where that can't be told."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:
        raise ShardError(f"{path}: can't be read ({getattr(error, 'strerror', error)})") from None
