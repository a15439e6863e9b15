"""An export to ``png`` becomes a data set again: nothing in the folder is believed before it is checked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np
from tqdm import tqdm

from blurgen.dataset.claiming import claim, read_former, refuse_inside
from blurgen.dataset.copying import Derived, publish_copies
from blurgen.dataset.manifest import listed_photos, origins_of, publish_manifest
from blurgen.dataset.verifying import disagreement
from blurgen.engines import is_quiet
from blurgen.errors import OutputError, ShardError
from blurgen.exports.lines import read_rows
from blurgen.exports.pairs import from_npy, in_volumes
from blurgen.exports.plain import PlainFolder
from blurgen.exports.png import FOLDERS, PROVENANCE_NAME
from blurgen.exports.record import read_record
from blurgen.files import locked, remove, sha256, sweep
from blurgen.recipe import MAX_RECIPE_BYTES
from blurgen.shards.codecs import StorageParams, can_hold, decode_image, encode_image, encode_mask, encode_target
from blurgen.shards.format import (
    PHOTO_ID_BYTES_MAX,
    RECEIPT_NAME,
    RECIPE_NAME,
    SCHEMA_VERSION,
    SHARD_BYTES,
    SHARD_NAME,
    provenance_dtype,
)
from blurgen.shards.writer import ShardBuilder

PAIRS_PER_SHARD = 1000
_STORAGE = StorageParams(codec="png")
_HEADER_BYTES = 65_536
"""A file may take twice the bytes of its pixels and so many more: more than any PNG needs."""


def import_png(folder: str | Path, out: str | Path, *, progress: bool = True) -> Derived:
    """Make a data set in ``out`` of a folder that ``export`` wrote as png: the same pixels, masks, targets, provenance.

    Images are stored losslessly. Run again, a begun import starts over.

    Raises
    ------
    BlurgenError
        ShardError, which names the file or line, for anything that an export does not write; ArgumentError for an
        export to another format; OutputError for a folder that holds something else, is in use or full.
    """
    folder, out = Path(folder), Path(out).absolute()
    record = read_record(folder, "png")
    identity = _identity(record["manifest"])
    refuse_inside(out, [folder])
    with ExitStack() as stack:
        opened = _Export(folder, record, stack)
        claim(out)
        stack.enter_context(locked(out))
        _prepare(out, identity)
        toml = opened.recipe_toml()
        publish_manifest(out, identity, [], toml)
        receipts = list(_write(opened, out, progress))
        manifest = publish_manifest(out, identity, receipts, toml)
    return Derived.of(out, manifest, receipts, manifest["pairs"])


def _identity(manifest: dict) -> dict:
    """What the manifest of the imported data set says, but for its shards."""
    return {
        "schema_version": SCHEMA_VERSION,
        "pairs": manifest["pairs"],
        "derived": {"by": "import", "arguments": {}, "parents": [manifest["digest"]]},
        "origins": origins_of(manifest),
        "photos": manifest["photos"],
        "lenders": manifest.get("lenders", []),
        "quarantined": [],
    }


def _prepare(out: Path, identity: dict) -> None:
    """Refuse a data set that is finished or another one, and clear away what a begun import left."""
    sweep(out)
    former = read_former(out, identity)
    if former and former["complete"]:
        raise OutputError(f"{out}: holds a finished import of this data set; choose another --out")
    for pattern in (SHARD_NAME, RECEIPT_NAME):
        for path in out.glob(pattern.replace("{:05d}", "*")):
            remove(path)


def _write(opened: _Export, out: Path, progress: bool) -> Iterator[dict]:
    """Publish shard after shard: its receipts."""
    pairs = ((sum(map(len, blobs.values())), (blobs, row)) for blobs, row in opened.pairs())
    pairs = tqdm(pairs, total=opened.count, desc="pairs", unit="pair", disable=is_quiet(progress))
    for index, group in groupby(in_volumes(pairs, PAIRS_PER_SHARD, SHARD_BYTES), itemgetter(0)):
        builder = ShardBuilder(_STORAGE, opened.photo_id_bytes)
        for _, (blobs, row) in group:
            builder.add_stored(blobs, row)
        yield publish_copies(builder, out, index)


class _Export:
    """A folder that was exported to ``png``, held open until the ``stack`` unwinds."""

    def __init__(self, folder: Path, record: dict, stack: ExitStack) -> None:
        manifest = record["manifest"]
        self.count, self.origins = manifest["pairs"], origins_of(manifest)
        self.toml_sha256 = manifest.get("recipe_toml_sha256")
        self.targets = tuple(record["targets"])
        self.photos = {(photo["id"], photo.get("sha256", "")) for photo in manifest["photos"]}
        ids = (len(photo["id"].encode()) for photo in listed_photos(manifest))
        self.photo_id_bytes = min(max(ids, default=1), PHOTO_ID_BYTES_MAX)
        self.top = stack.enter_context(closing(PlainFolder(folder, follow=True)))
        self.folders = {
            name: stack.enter_context(closing(PlainFolder(folder / FOLDERS[name])))
            for name in ("image", "mask", *self.targets)
        }

    def recipe_toml(self) -> bytes | None:
        """Its recipe.toml, checked against the manifest; None where the manifest speaks of none."""
        if self.toml_sha256 is None:
            return None
        data = self.top.read(RECIPE_NAME, MAX_RECIPE_BYTES)
        if sha256(data) != self.toml_sha256:
            raise ShardError(f"{self.top.path / RECIPE_NAME}: changed or damaged (its sha256 differs); export it again")
        return data

    def pairs(self) -> Iterator[tuple[dict[str, bytes], dict]]:
        """Every pair as a shard stores it: encoded image, mask and targets, and its row."""
        dtype = provenance_dtype(self.photo_id_bytes)
        with self.top.open(PROVENANCE_NAME) as file:
            for row in read_rows(file, self.top.path / PROVENANCE_NAME, self.origins, self.count, dtype):
                yield self._pair(row)

    def _pair(self, row: dict) -> tuple[dict[str, bytes], dict]:
        if (row["photo"], row["photo_sha256"]) not in self.photos:
            raise ShardError(
                f"{self.top.path}: pair {row['pair']} shows the photo {row['photo']!r:.60}, which its manifest does "
                "not list; export it again"
            )
        image, codec = encode_image(self._image(row), _STORAGE)
        mask = self._black_and_white("mask", row)
        targets = {name: self._target(name, row) for name in self.targets}
        fault = disagreement(mask, row, targets)
        if fault:
            raise ShardError(f"{self.top.path}: pair {row['pair']} {fault}; export it again")
        blobs = {"image": image, "mask": encode_mask(mask)}
        blobs |= {name: encode_target(name, target) for name, target in targets.items()}
        return blobs, row | {"codec": codec}

    def _image(self, row: dict) -> np.ndarray:
        shape, dtype = (row["height"], row["width"], row["channels"]), row["dtype"]
        suffix = "png" if can_hold("png", shape, dtype) else "npy"
        return self._read("image", f"{row['pair']:09d}.{suffix}", shape, dtype)

    def _target(self, name: str, row: dict) -> np.ndarray:
        if name == "unknown":
            return self._black_and_white(name, row)
        shape, file = (row["height"], row["width"]), f"{row['pair']:09d}.{'npy' if name == 'amount' else 'png'}"
        if name == "amount":
            target = self._read(name, file, shape, "float16")
        else:
            target = self._read(name, file, (*shape, 1), "uint8")[..., 0]
        if target.min() < 0 or (name == "type" and target.max() > 2):
            raise ShardError(f"{self.folders[name].path / file}: holds values that it can't have; export it again")
        return target

    def _black_and_white(self, part: str, row: dict) -> np.ndarray:
        """(H, W) bool: what is 255 in a PNG of 0 and 255."""
        name = f"{row['pair']:09d}.png"
        pixels = self._read(part, name, (row["height"], row["width"], 1), "uint8")[..., 0]
        if ((pixels != 0) & (pixels != 255)).any():
            raise ShardError(f"{self.folders[part].path / name}: holds more than 0 and 255; export it again")
        return pixels == 255

    def _read(self, part: str, name: str, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """Decode a PNG or .npy file of this shape and type; nothing is unpacked before its header says the same."""
        folder = self.folders[part]
        data = folder.read(name, 2 * int(np.prod(shape)) * np.dtype(dtype).itemsize + _HEADER_BYTES)
        try:
            if name.endswith("npy"):
                return from_npy(data, shape, dtype)
            return decode_image(np.frombuffer(data, np.uint8), "png", shape, dtype)
        except ShardError as error:
            raise ShardError(f"{folder.path / name}: {error}; export it again") from None
