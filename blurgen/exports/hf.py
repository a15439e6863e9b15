"""Hugging Face: Parquet files that ``datasets.load_dataset(folder)`` opens, images and masks as its Image features."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blurgen.errors import ArgumentError, DependencyError
from blurgen.exports.pairs import StoredPair, StoredPairs, in_volumes
from blurgen.exports.record import subfolder
from blurgen.files import publish
from blurgen.shards.format import FLAGS, PROVENANCE_FIELDS

FILE_NAME = "train-{:05d}-of-{:05d}.parquet"
MAX_FILE_BYTES = 500_000_000  # about, and of the shards that go into a file
MAX_GROUP = 100  # pairs in a row group: what a reader has to fetch for one of them
MAX_GROUP_BYTES = 100_000_000

_TYPES = {"<i8": "int64", "<i4": "int32", "<u8": "uint64", "<u4": "uint32", "<f8": "float64", "<f4": "float32"}

_README = """---
license: other
task_categories:
- image-segmentation
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
---
# {pairs} pairs of an image and its blur mask

Made by blurgen and exported from the data set with the digest

    {digest}

- `image`: the pair's image; `mask`: 255 where it is blurred, else 0
{targets}- the other columns: how the pair was made

`blurgen-export.json` lists the photos with their licences, which hold for what was made of them.
"""
_ABOUT = {
    "unknown": "- `unknown`: 255 where nobody can tell whether a pixel is blurred\n",
    "amount": "- `amount`: standard deviation of the blur in px, as floats\n",
    "type": "- `type`: 0 sharp, 1 defocus, 2 motion\n",
}


def export_hf(pairs: StoredPairs, out: Path) -> tuple[str, ...]:
    """Write README.md and data/train-00000-of-00004.parquet, ...

    Raises ArgumentError where Pillow would lose a part of an image, and DependencyError without pyarrow.
    """
    schema = _schema(_pyarrow(), pairs.targets)
    for _, _, channels, dtype in sorted(pairs.kinds()):
        if (channels, dtype) not in ((1, "uint8"), (3, "uint8"), (1, "uint16")):
            kind = f"{channels} x {dtype}"
            raise ArgumentError(f"{pairs.folder}: Pillow can't hold its images ({kind}): use --to webdataset or png")
    count = min(-(-sum(shard["bytes"] for shard in pairs.manifest["shards"]) // MAX_FILE_BYTES), len(pairs))
    ends = [len(pairs) * number // count for number in range(count + 1)]
    data, rest = subfolder(out, "data"), iter(pairs)
    for number, size in enumerate(np.diff(ends).tolist()):
        publish(data / FILE_NAME.format(number, count), _parquet(islice(rest, size), schema))
    about = "".join(_ABOUT[name] for name in pairs.targets)
    page = _README.format(pairs=len(pairs), digest=pairs.manifest["digest"], targets=about)
    publish(out / "README.md", page.encode())
    return pairs.targets


def _pyarrow() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise DependencyError("Parquet files need pyarrow: pip install 'blurgen[hf]'") from None
    return pyarrow


def _schema(pyarrow: Any, targets: tuple[str, ...]) -> Any:
    """Columns of the Parquet files, with what ``datasets`` has to know of them."""
    picture = pyarrow.struct({"bytes": pyarrow.binary(), "path": pyarrow.string()})
    pictures = ("image", "mask", *targets)
    types = {name: _column_type(name) for name in PROVENANCE_FIELDS}
    features = {name: {"_type": "Image"} for name in pictures}
    features |= {name: {"dtype": kind, "_type": "Value"} for name, kind in types.items()}
    columns = dict.fromkeys(pictures, picture)
    columns |= {name: getattr(pyarrow, "bool_" if kind == "bool" else kind)() for name, kind in types.items()}
    return pyarrow.schema(columns, {"huggingface": json.dumps({"info": {"features": features}})})


def _column_type(name: str) -> str:
    kind = PROVENANCE_FIELDS[name]
    return "bool" if name in FLAGS else "string" if kind.startswith("S") else _TYPES[kind]


class _Pieces(io.RawIOBase):
    """A file to write to, from which the bytes are taken away again."""

    def __init__(self) -> None:
        self.taken, self.pieces = 0, []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self.pieces.append(bytes(data))
        return len(self.pieces[-1])

    def tell(self) -> int:
        return self.taken + sum(map(len, self.pieces))

    def take(self) -> bytes:
        data = b"".join(self.pieces)
        self.taken, self.pieces = self.taken + len(data), []
        return data


def _parquet(pairs: Iterator[StoredPair], schema: Any) -> Iterator[bytes]:
    """The pieces of a Parquet file, a row group at a time."""
    pyarrow, file = _pyarrow(), _Pieces()
    with pyarrow.parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        sized = ((_size(record), record) for record in map(_record, pairs))
        for _, group in groupby(in_volumes(sized, MAX_GROUP, MAX_GROUP_BYTES), itemgetter(0)):
            writer.write_table(pyarrow.Table.from_pylist([record for _, record in group], schema))
            yield file.take()
    yield file.take()


def _size(record: dict) -> int:
    return sum(len(value["bytes"]) for value in record.values() if isinstance(value, dict))


def _record(pair: StoredPair) -> dict:
    suffix, image = pair.image_file()
    files = {"image": (suffix, image), "mask": ("png", pair.mask_file())}
    for name in pair.shard.targets:
        files[name] = ("tif", _tiff(pair.target(name))) if name == "amount" else pair.target_file(name)
    pictures = {name: {"bytes": data, "path": f"{pair.name}.{suffix}"} for name, (suffix, data) in files.items()}
    return pictures | pair.row()


def _tiff(amount: np.ndarray) -> bytes:
    """(H, W) float16 as a TIFF of float32, the one kind of floats that Pillow opens."""
    stream = io.BytesIO()
    Image.fromarray(amount.astype(np.float32)).save(stream, "TIFF", compression="tiff_adobe_deflate")
    return stream.getvalue()
