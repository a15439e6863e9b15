"""The pairs of a data set as they are stored, and as the files that the formats share: images, masks, targets."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from tqdm import tqdm

from blurgen.dataset.copying import Parent
from blurgen.engines import is_quiet
from blurgen.errors import ShardError
from blurgen.shards.codecs import StorageParams, can_hold, encode_image
from blurgen.shards.reader import Shard

Item = TypeVar("Item")

_AS_STORED = {"jpeg": "jpg", "png": "png"}


@dataclass(frozen=True)
class StoredPair:
    """One pair: its number in the data set, and where it lies. Whatever is asked of it, ShardError if it is damaged."""

    number: int
    shard: Shard
    place: int

    @property
    def name(self) -> str:
        """What its files are called: computed from its number, so no name ever comes from the data."""
        return f"{self.number:09d}"

    def row(self) -> dict:
        """Its provenance as plain Python values."""
        return self.shard.row(self.place)

    def mask(self) -> np.ndarray:
        """(H, W) bool, True = blurred."""
        return self.shard.mask(self.place)

    def image_file(self, keep: tuple[str, ...] = ("jpeg", "png")) -> tuple[str, bytes]:
        """Suffix and bytes of the image: as stored for the codecs to ``keep``, else a PNG, or .npy where PNG loses.

        It is decoded in any case, so that no damaged image is passed on.
        """
        image = self.shard.image(self.place)
        codec = self.shard.provenance["codec"][self.place].decode()
        if codec in keep:
            return _AS_STORED[codec], self.shard.stored("image", self.place)
        held = can_hold("png", image.shape, image.dtype.name)
        return ("png", to_png(image)) if held else ("npy", to_npy(image))

    def mask_file(self) -> bytes:
        """PNG, 255 = blurred, else 0."""
        return to_png(self.mask() * np.uint8(255))

    def target(self, name: str) -> np.ndarray:
        """(H, W): "unknown" bool, "amount" float16 in px, "type" uint8, 0 to 2."""
        return self.shard.target(name, self.place)

    def target_file(self, name: str) -> tuple[str, bytes]:
        """Suffix and bytes: "amount" a float16 array, "type" a PNG of 0 to 2, "unknown" a PNG of 0 and 255."""
        target = self.target(name)
        if name == "amount":
            return "npy", to_npy(target)
        return "png", to_png(target * np.uint8(255) if name == "unknown" else target)


class StoredPairs:
    """The pairs of a finished data set in the order of their numbers, read shard by shard.

    No shard is believed that has another sha256 than the manifest says. Raises ShardError for anything amiss.
    """

    def __init__(self, folder: str | Path, progress: bool) -> None:
        self.parent = Parent(folder)
        self.folder, self.manifest, self.progress = self.parent.folder, self.parent.manifest, progress
        with self.parent.data.open_shard(0) as shard:
            self.targets = shard.targets

    def __len__(self) -> int:
        return self.manifest["pairs"]

    def __iter__(self) -> Iterator[StoredPair]:
        number = 0
        with tqdm(total=len(self), desc="pairs", unit="pair", disable=is_quiet(self.progress)) as bar:
            for shard in self._shards():
                for place in range(len(shard)):
                    yield StoredPair(number, shard, place)
                    number += 1
                    bar.update()

    def rows(self) -> Iterator[dict]:
        """The provenance of every pair, without a look at its image."""
        for shard in self._shards():
            yield from map(shard.row, range(len(shard)))

    def kinds(self) -> set[tuple[int, int, int, str]]:
        """Every (height, width, channels, dtype) that an image has."""
        found = set()
        for shard in self._shards():
            found.update(np.unique(shard.provenance[["height", "width", "channels", "dtype"]]).tolist())
        return {(*shape, dtype.decode()) for *shape, dtype in found}

    def _shards(self) -> Iterator[Shard]:
        for shard in self.parent.shards():
            if shard.targets != self.targets:
                here, there = (", ".join(targets) or "none" for targets in (shard.targets, self.targets))
                raise ShardError(f"{shard.path}: holds other targets ({here}) than the first shard ({there})")
            yield shard


def in_volumes(items: Iterable[tuple[int, Item]], count: int, size: int) -> Iterator[tuple[int, Item]]:
    """(number of the volume, item) for items that come with their bytes.

    A volume holds at most ``count`` items and ``size`` bytes, or a single item that is larger.
    """
    volume = held = filled = 0
    for item_size, item in items:
        if held and (held == count or filled + item_size > size):
            volume, held, filled = volume + 1, 0, 0
        held, filled = held + 1, filled + item_size
        yield volume, item


# Files ----------------------------------------------------------------------------------------------------------------


def to_png(pixels: np.ndarray) -> bytes:
    """(H, W) or (H, W, C) uint8 or uint16, one channel or RGB, as a PNG."""
    return encode_image(pixels.reshape(*pixels.shape[:2], -1), StorageParams(codec="png"))[0]


def to_npy(array: np.ndarray) -> bytes:
    """An array in numpy's format: little-endian, C order."""
    little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    return _npy_header(little.shape, little.dtype) + little.tobytes()


def from_npy(data: bytes, shape: tuple[int, ...], dtype: str) -> np.ndarray:
    """The array in a file as ``to_npy`` writes it, of exactly this shape and type; nothing in it is evaluated.

    Raises ShardError for another file, and for floats that are not finite.
    """
    little = np.dtype(dtype).newbyteorder("<")
    header = _npy_header(shape, little)
    if not data.startswith(header) or len(data) != len(header) + int(np.prod(shape)) * little.itemsize:
        raise ShardError(f"not a numpy array of {' x '.join(map(str, shape))} {dtype}, whole and in C order")
    array = np.frombuffer(data, little, offset=len(header)).reshape(shape).astype(dtype)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ShardError("holds values that are not finite")
    return array


def _npy_header(shape: tuple[int, ...], dtype: np.dtype) -> bytes:
    stream = io.BytesIO()
    about = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, about)
    return stream.getvalue()
