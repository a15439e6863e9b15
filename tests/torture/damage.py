"""One fault at a time in a data set or in the cache beside it: a bit that flips, a file that is cut short."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from helpers_shards import make, photo_crop
from PIL import Image

from blurgen.dataset import verify
from blurgen.errors import ShardError
from blurgen.regions import RegionCache

KINDS = {
    "shards": "set/shard-*.h5",
    "receipts": "set/shard-*.json",
    "manifest": "set/manifest.json",
    "recipe": "set/recipe.toml",
    "proposal cache": "cache/*/*.regions",
}


@dataclass
class Damage:
    """Faults done to ``set`` and ``cache`` in a folder, each undone before the next, and how many were found."""

    folder: Path

    def __post_init__(self) -> None:
        self.found, self.missed, self.counts = Counter(), [], Counter()

    def do(self, flips: int, cuts: int, seed: int) -> None:
        """So many flips and cuts, shared evenly among the kinds of files."""
        rng = np.random.default_rng(seed)
        for what, times in ((flip, flips), (cut, cuts)):
            for number in range(times):
                kind = list(KINDS)[number % len(KINDS)]
                files = sorted(self.folder.glob(KINDS[kind]))
                self._one(kind, files[rng.integers(len(files))], what, rng)

    def _one(self, kind: str, path: Path, what, rng: np.random.Generator) -> None:
        whole = path.read_bytes()
        damaged, place = what(whole, rng)
        path.write_bytes(damaged)
        self.counts[f"{kind}, {what.__name__}"] += 1
        if is_found(self.folder, path):
            self.found[f"{kind}, {what.__name__}"] += 1
        else:
            self.missed.append(f"{path.name}: {what.__name__} at {place}")
        path.write_bytes(whole)


def flip(data: bytes, rng: np.random.Generator) -> tuple[bytes, int]:
    """Another bit, and which."""
    bit = int(rng.integers(8 * len(data)))
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :], bit


def cut(data: bytes, rng: np.random.Generator) -> tuple[bytes, int]:
    """The beginning of a file, and how long it is."""
    length = int(rng.integers(len(data)))
    return data[:length], length


def is_found(folder: Path, path: Path) -> bool:
    """Whether ``verify`` finds a fault, and names the file in it; it may raise nothing but ShardError."""
    try:
        faults = [fault for _, found in verify(folder / "set", cache=folder / "cache") for fault in found]
    except ShardError as error:
        faults = [str(error)]
    if path.suffix == ".regions" and RegionCache(folder / "cache").get(path.stem) is not None:
        return False
    return any(path.name in fault or path.stem in fault for fault in faults)


def data_set(folder: Path) -> Path:
    """``set`` and ``cache`` in ``folder``: 8 pairs in 3 shards, from photos with names beyond ASCII."""
    (folder / "photos").mkdir()
    for index, name in enumerate(("Füße.png", "日本.png", "z.png")):
        Image.fromarray(photo_crop(index)).save(folder / "photos" / name)
    make(folder / "photos", folder / "set", folder / "cache")
    assert not [fault for _, found in verify(folder / "set", cache=folder / "cache") for fault in found]
    return folder
