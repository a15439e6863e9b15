"""Small shards of every kind, and mutants of them: each is a function of (kind, number) alone."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import h5py
import numpy as np
from helpers_shards import example_pair

from blurgen.shards.codecs import StorageParams
from blurgen.shards.writer import ShardBuilder

KINDS = ("jpeg", "png", "raw", "zlib", "targets", "schema-2")
FORMER = Path(__file__).parents[1] / "data" / "schema-2" / "shard-00000.h5"
SIDE = 16  # px

WORDS = (0, 1, 2, 3, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x10000, 2**31 - 1, 2**31, 2**32 - 1)
LONG_WORDS = (*WORDS, 2**32, 2**40, 2**47, 2**62, 2**63 - 1, 2**63, 2**64 - 8, 2**64 - 1)
"""Numbers at which programs go wrong."""


@cache
def valid_shard(kind: str) -> bytes:
    """A good shard of a few small pairs."""
    if kind == "schema-2":
        return FORMER.read_bytes()
    codec = {"zlib": "png", "targets": "jpeg"}.get(kind, kind)
    builder = ShardBuilder(StorageParams(codec=codec), photo_id_bytes=20)
    for pair in range(3):
        image, mask, provenance = example_pair(pair, SIDE, SIDE)
        if kind == "zlib":
            image = np.dstack([image, image[..., :2]]).astype(np.uint16)
        amount = np.where(mask, 2.5, 0).astype(np.float16)
        targets = {"unknown": ~mask, "amount": amount, "type": mask.astype(np.uint8)}
        builder.add(image, mask, provenance, targets if kind == "targets" else {})
    return builder.to_bytes()


@cache
def spans(kind: str) -> dict[str, list[tuple[int, int]]]:
    """Where in a shard HDF5's own structures, the provenance table and the offsets lie: (first byte, end)."""
    data = valid_shard(kind)
    with h5py.File(io.BytesIO(data)) as file:
        content = sorted(
            (file[name].id.get_offset(), file[name].id.get_offset() + file[name].nbytes, name) for name in file
        )
    metadata, at = [], 0
    for first, end, _ in content:
        metadata.append((at, first))
        at = end
    metadata.append((at, len(data)))
    return {
        "metadata": [span for span in metadata if span[0] < span[1]],
        "provenance": [(first, end) for first, end, name in content if name == "provenance"],
        "offsets": [(first, end) for first, end, name in content if name.endswith("_offsets")],
        "all": [(0, len(data))],
    }


PARTS, CHANCES = ("metadata", "provenance", "offsets", "all"), (0.7, 0.1, 0.1, 0.1)


def mutant(kind: str, number: int) -> bytes:
    """A shard with one to four faults, most of them in HDF5's structures."""
    rng = np.random.default_rng([KINDS.index(kind), number])
    data = bytearray(valid_shard(kind))
    for _ in range(rng.integers(1, 5)):
        part = spans(kind)[PARTS[rng.choice(len(PARTS), p=CHANCES)]]
        lengths = np.array([end - first for first, end in part])
        first, end = part[rng.choice(len(part), p=lengths / lengths.sum())]
        place = min(int(rng.integers(first, end)), len(data) - 1)
        MUTATIONS[rng.choice(len(MUTATIONS), p=MUTATION_CHANCES)](data, place, rng)
    return bytes(data)


def flip_bit(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data[place] ^= 1 << int(rng.integers(8))


def random_byte(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data[place] = int(rng.integers(256))


def telling_number(data: bytearray, place: int, rng: np.random.Generator) -> None:
    size = int(rng.choice([1, 2, 4, 8]))
    place -= place % size if rng.random() < 0.8 else 0
    value = int(rng.choice(np.array(LONG_WORDS, np.uint64))) % 256**size
    data[place : place + size] = value.to_bytes(size, "little")[: len(data) - place]


def small_step(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data[place] = (data[place] + int(rng.integers(-8, 9))) % 256


def pointer(data: bytearray, place: int, rng: np.random.Generator) -> None:
    """The address of another place of the file, where HDF5 keeps addresses."""
    place -= place % 8
    target = int(rng.integers(len(data) // 8)) * 8
    data[place : place + 8] = target.to_bytes(8, "little")[: len(data) - place]


def copy_block(data: bytearray, place: int, rng: np.random.Generator) -> None:
    source, size = int(rng.integers(len(data))), int(rng.integers(1, 64))
    block = data[source : source + size][: len(data) - place]
    data[place : place + len(block)] = block


def delete_block(data: bytearray, place: int, rng: np.random.Generator) -> None:
    if len(data) > 100:
        del data[place : place + int(rng.integers(1, 32))]


def insert_block(data: bytearray, place: int, rng: np.random.Generator) -> None:
    data[place:place] = rng.bytes(int(rng.integers(1, 32)))


def cut(data: bytearray, place: int, rng: np.random.Generator) -> None:
    if place > 100:
        del data[place:]


MUTATIONS = (flip_bit, random_byte, telling_number, small_step, pointer, copy_block, delete_block, insert_block, cut)
MUTATION_CHANCES = (0.18, 0.14, 0.24, 0.14, 0.14, 0.1, 0.025, 0.025, 0.01)
