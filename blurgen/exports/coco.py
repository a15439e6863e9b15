"""COCO: a folder of images, and the blur masks as the run lengths of one category."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from blurgen import __version__
from blurgen.errors import ArgumentError
from blurgen.exports.pairs import StoredPair, StoredPairs
from blurgen.exports.record import subfolder
from blurgen.files import publish
from blurgen.shards.codecs import can_hold

ANNOTATIONS_NAME = "annotations.json"
CATEGORY = {"id": 1, "name": "blurred", "supercategory": "blur"}
_ATTRIBUTES = ("blur_kind", "second_blur_kind", "mask_kind", "second_mask_kind")
_NO_LICENCE = "unknown"


def export_coco(pairs: StoredPairs, out: Path) -> tuple[str, ...]:
    """Write images/ and annotations.json. ArgumentError where an image is neither JPEG nor PNG can be."""
    for *shape, dtype in sorted(pairs.kinds()):
        if not can_hold("png", shape, dtype):
            kind = f"{shape[2]} x {dtype}"
            raise ArgumentError(f"{pairs.folder}: COCO can't hold its images ({kind}): use --to webdataset or png")
    images = subfolder(out, "images")
    jpegs = bytearray()  # of each pair, whether its image is one
    for pair in pairs:
        suffix, data = pair.image_file()
        publish(images / f"{pair.name}.{suffix}", data, sync=False)
        jpegs.append(suffix == "jpg")
    publish(out / ANNOTATIONS_NAME, _document(pairs, jpegs))
    return ()


def _document(pairs: StoredPairs, jpegs: bytearray) -> Iterator[bytes]:
    """The pieces of annotations.json, which is never in memory as a whole."""
    licences = _licences(pairs.manifest)
    numbers = {text: number for number, text in enumerate(sorted({*licences.values(), _NO_LICENCE}), 1)}
    digest = pairs.manifest["digest"]
    about = {
        "info": {"description": f"blurgen data set {digest}", "version": f"blurgen {__version__}", "digest": digest},
        "licenses": [{"id": number, "name": text, "url": ""} for text, number in numbers.items()],
        "categories": [CATEGORY],
    }
    yield json.dumps(about)[:-1].encode()
    images = (
        _image(number, row, jpegs[number], numbers[licences.get(_photo_key(row), _NO_LICENCE)])
        for number, row in enumerate(pairs.rows())
    )
    yield from _list("images", images)
    yield from _list("annotations", chain.from_iterable(map(_annotations, pairs)))
    yield b"}\n"


def _list(key: str, items: Iterable[dict]) -> Iterator[bytes]:
    yield f', "{key}": ['.encode()
    for number, item in enumerate(items):
        yield (",\n" if number else "\n").encode() + json.dumps(item).encode()
    yield b"]"


def _licences(manifest: dict) -> dict[tuple[str, str], str]:
    """(photo id, sha256) -> licence."""
    return {(photo["id"], str(photo.get("sha256", ""))): photo["licence"] for photo in manifest["photos"]}


def _photo_key(row: dict) -> tuple[str, str]:
    return row["photo"], row["photo_sha256"]


def _image(number: int, row: dict, jpeg: int, licence: int) -> dict:
    name = f"{number:09d}.{'jpg' if jpeg else 'png'}"
    size = {"height": row["height"], "width": row["width"]}
    return {"id": number, "file_name": name, **size, "license": licence, "photo": row["photo"]}


def _annotations(pair: StoredPair) -> Iterator[dict]:
    """What is blurred, as one annotation; none where all is sharp."""
    mask, row = pair.mask(), pair.row()
    if not mask.any():
        return
    yield {
        "id": pair.number + 1,  # pycocotools takes 0 for none
        "image_id": pair.number,
        "category_id": CATEGORY["id"],
        "segmentation": {"counts": run_lengths(mask), "size": list(mask.shape)},
        "area": int(mask.sum()),
        "bbox": bounding_box(mask),
        "iscrowd": 0,
        "attributes": {name: row[name] for name in _ATTRIBUTES},
    }


def run_lengths(mask: np.ndarray) -> list[int]:
    """Lengths of the runs of False and True in turn, down the columns of (H, W) bool; the first may be 0."""
    flat = mask.ravel(order="F")
    starts = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0], starts, [flat.size]])).tolist()
    return [0, *runs] if flat[0] else runs


def bounding_box(mask: np.ndarray) -> list[int]:
    """[left, top, width, height] in px of what is True in (H, W) bool; something is."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top]
