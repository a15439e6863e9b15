"""Build a shard in memory and publish it: file first, receipt last."""

from __future__ import annotations

import io
from pathlib import Path

import h5py
import numpy as np

from blurgen.files import document_digest, publish, publish_json, sha256
from blurgen.shards.codecs import StorageParams, encode_image, encode_mask
from blurgen.shards.format import FORMAT_NAME, RECEIPT_NAME, SCHEMA_VERSION, SHARD_NAME, provenance_dtype


class ShardBuilder:
    """Collects encoded pairs. Nothing touches the disk before ``publish``."""

    def __init__(self, storage: StorageParams, photo_id_bytes: int) -> None:
        self.storage = storage
        self.dtype = provenance_dtype(photo_id_bytes)
        self.rows: dict[int, tuple[bytes, bytes, dict]] = {}

    def add(self, image: np.ndarray, mask: np.ndarray, provenance: dict) -> None:
        """Add a pair; ``provenance["pair"]`` decides its place, so the order of calls does not matter."""
        self.rows[provenance["pair"]] = (encode_image(image, self.storage), encode_mask(mask), provenance)

    def to_bytes(self) -> bytes:
        """The HDF5 file."""
        images, masks, provenance = zip(*(self.rows[pair] for pair in sorted(self.rows)), strict=True)
        table = np.zeros(len(provenance), self.dtype)
        for row, values in zip(table, provenance, strict=True):
            for name in self.dtype.names:
                value = values[name]
                row[name] = value.encode() if isinstance(value, str) else value
        buffer = io.BytesIO()
        with h5py.File("shard", "w", driver="core", backing_store=False, libver=("earliest", "v110")) as file:
            file.attrs["format"] = FORMAT_NAME
            file.attrs["schema_version"] = SCHEMA_VERSION
            file.attrs["codec"] = self.storage.codec
            if self.storage.codec == "raw":
                shape = (len(table), table["height"][0], table["width"][0], 3)
                file["images"] = np.frombuffer(b"".join(images), np.uint8).reshape(shape)
            else:
                _write_blobs(file, "image", images)
            _write_blobs(file, "mask", masks)
            file["provenance"] = table
            file.flush()
            buffer.write(file.id.get_file_image())
        return buffer.getvalue()

    def publish(self, folder: Path, index: int, receipt: dict) -> dict:
        """Write shard ``index`` and then its receipt, which is returned: ``receipt`` with sha256, counts, digest."""
        data = self.to_bytes()
        publish(folder / SHARD_NAME.format(index), data)
        whole = {
            "schema_version": SCHEMA_VERSION,
            "shard": index,
            "pairs": len(self.rows),
            "bytes": len(data),
            "sha256": sha256(data),
            **receipt,
        }
        whole["digest"] = document_digest(whole)
        publish_json(folder / RECEIPT_NAME.format(index), whole)
        return whole


def _write_blobs(file: h5py.File, name: str, blobs: tuple[bytes, ...]) -> None:
    offsets = np.zeros(len(blobs) + 1, np.uint64)
    np.cumsum([len(blob) for blob in blobs], out=offsets[1:])
    file[f"{name}_bytes"] = np.frombuffer(b"".join(blobs), np.uint8)
    file[f"{name}_offsets"] = offsets
