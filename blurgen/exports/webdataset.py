"""WebDataset: tar files of pairs, to be streamed. Images go in as they are stored."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from blurgen.exports.pairs import StoredPair, StoredPairs, in_volumes
from blurgen.files import publish

TAR_NAME = "pairs-{:06d}.tar"
MAX_PAIRS = 1000  # in a tar file
MAX_BYTES = 500_000_000  # in a tar file, unless a single pair takes more

_END = bytes(2 * tarfile.BLOCKSIZE)


def export_webdataset(pairs: StoredPairs, out: Path) -> tuple[str, ...]:
    """Write pairs-000000.tar, ...: 000000123.jpg (.png, .npy), .mask.png, .json and the targets of each pair."""
    sized = ((sum(len(data) for _, data in files), files) for files in map(_files, pairs))
    for volume, group in groupby(in_volumes(sized, MAX_PAIRS, MAX_BYTES), itemgetter(0)):
        publish(out / TAR_NAME.format(volume), _tar(file for _, files in group for file in files))
    return pairs.targets


def _files(pair: StoredPair) -> list[tuple[str, bytes]]:
    """Everything of one pair: (file name, bytes). What precedes the first dot is the key of the sample."""
    suffix, image = pair.image_file()
    files = [(suffix, image), ("mask.png", pair.mask_file())]
    for name in pair.shard.targets:
        suffix, target = pair.target_file(name)
        files.append((f"{name}.{suffix}", target))
    files.append(("json", json.dumps(pair.row(), allow_nan=False).encode()))
    return [(f"{pair.name}.{suffix}", data) for suffix, data in files]


def _tar(files: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """The pieces of a tar file that says nothing of who wrote it, where or when."""
    for name, data in files:
        about = tarfile.TarInfo(name)
        about.size = len(data)
        yield about.tobuf(tarfile.USTAR_FORMAT)
        yield data
        yield bytes(-len(data) % tarfile.BLOCKSIZE)
    yield _END
