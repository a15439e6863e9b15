"""Plain folders: a PNG for each image, mask and target, and the provenance as lines of JSON. All of it comes back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from blurgen.exports.pairs import StoredPair, StoredPairs
from blurgen.exports.record import subfolder
from blurgen.files import publish

PROVENANCE_NAME = "provenance.jsonl"
FOLDERS = {"image": "images", "mask": "masks", "unknown": "unknown", "amount": "amounts", "type": "types"}
"""Part of a pair -> the folder of its files, 000000123.png or .npy."""


def export_png(pairs: StoredPairs, out: Path) -> tuple[str, ...]:
    """Write images/, masks/, a folder for each target, and provenance.jsonl."""
    folders = {name: subfolder(out, FOLDERS[name]) for name in ("image", "mask", *pairs.targets)}
    for pair in pairs:
        for part, (suffix, data) in _files(pair):
            publish(folders[part] / f"{pair.name}.{suffix}", data, sync=False)
    publish(out / PROVENANCE_NAME, (json.dumps(row, allow_nan=False).encode() + b"\n" for row in pairs.rows()))
    return pairs.targets


def _files(pair: StoredPair) -> Iterator[tuple[str, tuple[str, bytes]]]:
    """(part of the pair, (suffix, bytes))."""
    yield "image", pair.image_file(keep=("png",))
    yield "mask", ("png", pair.mask_file())
    for name in pair.shard.targets:
        yield name, pair.target_file(name)
