"""What a shard is, field by field. Nothing else in blurgen knows the names inside the HDF5 file.

Schema version 1. ``image_bytes`` (uint8, all images end to end) and ``image_offsets`` (uint64, n + 1), or for the
codec ``raw`` one array ``images`` (uint8, n x H x W x 3); ``mask_bytes`` and ``mask_offsets``; ``provenance``, a table
with one row a pair.
"""

from __future__ import annotations

import numpy as np

SCHEMA_VERSION = 1
FORMAT_NAME = "blurgen-shard"
MANIFEST_NAME = "manifest.json"
RECIPE_NAME = "recipe.toml"

SHARD_NAME = "shard-{:05d}.h5"
RECEIPT_NAME = "shard-{:05d}.json"
MAX_SHARDS = 100_000
MAX_PAIRS = 100_000  # in a shard
MAX_PIXELS = 64_000_000  # in an image

PHOTO_ID_BYTES_MAX = 1024

PROVENANCE_FIELDS = {
    "pair": "<i8",
    "photo": "S",  # as wide as the longest id of the data set
    "photo_sha256": "S64",
    "seed": "<u8",
    "attempt": "<i4",
    "top": "<i4",
    "left": "<i4",
    "crop_height": "<i4",
    "crop_width": "<i4",
    "height": "<i4",
    "width": "<i4",
    "mask_kind": "S24",
    "region": "<i4",
    "score": "<f4",
    "inverted": "<u1",
    "blurred_share": "<f8",
    "blur_kind": "S24",
    "sigma_px": "<f8",
    "length_px": "<f8",
    "angle_deg": "<f8",
    "elastic_px": "<f8",
    "elastic_smoothness_px": "<f8",
    "elastic_seed": "<u4",
    "fill": "S24",
    "fill_radius_px": "<i4",
}


def provenance_dtype(photo_id_bytes: int) -> np.dtype:
    """dtype of the table for photo ids of at most so many bytes."""
    return np.dtype([(name, f"S{photo_id_bytes}" if kind == "S" else kind) for name, kind in PROVENANCE_FIELDS.items()])
