"""Build a shard in memory and publish it: file first, receipt last."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from blurgen.errors import RecipeError, ShardError
from blurgen.files import document_digest, publish, publish_json, sha256
from blurgen.shards.codecs import StorageParams, encode_image, encode_mask, encode_target
from blurgen.shards.format import FORMAT_NAME, RECEIPT_NAME, SCHEMA_VERSION, SHARD_NAME, TARGETS, provenance_dtype

_NO_TARGETS: Mapping[str, np.ndarray] = {}


class ShardBuilder:
    """Collects encoded pairs. Nothing touches the disk before ``publish``."""

    def __init__(self, storage: StorageParams, photo_id_bytes: int) -> None:
        self.storage = storage
        self.dtype = provenance_dtype(photo_id_bytes)
        self.rows: dict[int, tuple[dict[str, bytes], dict]] = {}

    def add(
        self, image: np.ndarray, mask: np.ndarray, provenance: dict, targets: Mapping[str, np.ndarray] = _NO_TARGETS
    ) -> None:
        """Add a pair; ``provenance["pair"]`` decides its place, so the order of calls does not matter.

        Parameters
        ----------
        image : ndarray of shape (H, W, C), uint8, uint16 or float32
            Codec, dtype and channels are added to the provenance here.
        mask : ndarray of shape (H, W), bool
        targets : mapping
            "unknown" (bool), "amount" (float16, px), "type" (uint8), each (H, W): the same names for all pairs.

        Raises
        ------
        RecipeError
            The codec is raw, and this image has another shape or type than the others.
        ValueError
            A target of another name, or other targets than the pairs before.
        """
        stored, codec = encode_image(image, self.storage)
        about = {"codec": codec, "dtype": image.dtype.name, "channels": image.shape[2]}
        blobs = {"image": stored, "mask": encode_mask(mask)}
        blobs |= {name: encode_target(name, targets[name]) for name in sorted(targets, key=TARGETS.index)}
        self.add_stored(blobs, provenance | about)

    def add_stored(self, blobs: dict[str, bytes], provenance: dict) -> None:
        """Add a pair that is encoded already: "image", "mask" and targets by name, and its whole row of provenance.

        Raises what ``add`` raises.
        """
        self._check_like_others(blobs, provenance)
        self.rows[provenance["pair"]] = (blobs, provenance)

    def _check_like_others(self, blobs: dict[str, bytes], provenance: dict) -> None:
        if not self.rows:
            return
        other, others = next(iter(self.rows.values()))
        if blobs.keys() != other.keys():
            raise ValueError(f"pair {provenance['pair']} has {', '.join(blobs)}, the others {', '.join(other)}")
        kind, kinds = (
            f"{row['height']} x {row['width']} x {row['channels']} {row['dtype']}" for row in (provenance, others)
        )
        if self.storage.codec == "raw" and kind != kinds:
            raise RecipeError(f'storage.codec "raw" holds images of one kind, here are {kinds} and {kind}: use "png"')

    def to_bytes(self) -> bytes:
        """The HDF5 file."""
        blobs, provenance = zip(*(self.rows[pair] for pair in sorted(self.rows)), strict=True)
        table = self._table(provenance)
        buffer = io.BytesIO()
        with h5py.File("shard", "w", driver="core", backing_store=False, libver=("earliest", "v110")) as file:
            file.attrs["format"] = np.bytes_(FORMAT_NAME)
            file.attrs["schema_version"] = SCHEMA_VERSION
            file.attrs["codec"] = np.bytes_(self.storage.codec)
            for name in blobs[0]:
                stored = [row[name] for row in blobs]
                if name == "image" and self.storage.codec == "raw":
                    file["images"] = _raw_images(stored, table)
                else:
                    _write_blobs(file, name, stored)
            file["provenance"] = table
            file.flush()
            buffer.write(file.id.get_file_image())
        return buffer.getvalue()

    def _table(self, provenance: tuple[dict, ...]) -> np.ndarray:
        table = np.zeros(len(provenance), self.dtype)
        for row, values in zip(table, provenance, strict=True):
            for name in self.dtype.names:
                value = values[name]
                row[name] = value.encode() if isinstance(value, str) else value
        return table

    def publish(self, folder: Path, index: int, receipt: dict, expected_sha256: str = "") -> dict:
        """Write shard ``index`` and then its receipt, which is returned: ``receipt`` with sha256, counts, digest.

        Raises ShardError, and writes nothing, if the shard is not the one that is expected.
        """
        data = self.to_bytes()
        if expected_sha256 and sha256(data) != expected_sha256:
            raise ShardError(
                f"{folder / SHARD_NAME.format(index)}: comes out otherwise than it was (sha256 {sha256(data)[:12]}, "
                f"the manifest says {expected_sha256[:12]}); left as it is"
            )
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


def _raw_images(images: list[bytes], table: np.ndarray) -> np.ndarray:
    """One array (n, H, W, C), little-endian."""
    dtype = np.dtype(table["dtype"][0].decode()).newbyteorder("<")
    shape = [table[name][0] for name in ("height", "width", "channels")]
    return np.frombuffer(b"".join(images), dtype).reshape(len(table), *shape)


def _write_blobs(file: h5py.File, name: str, blobs: list[bytes]) -> None:
    offsets = np.zeros(len(blobs) + 1, np.uint64)
    np.cumsum([len(blob) for blob in blobs], out=offsets[1:])
    file[f"{name}_bytes"] = np.frombuffer(b"".join(blobs), np.uint8)
    file[f"{name}_offsets"] = offsets
