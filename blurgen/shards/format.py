"""What a shard is, field by field. Nothing else in blurgen knows the names inside the HDF5 file.

Schema version 1. ``image_bytes`` (uint8, all images end to end) and ``image_offsets`` (uint64, n + 1), or for the
codec ``raw`` one array ``images`` (uint8, n x H x W x 3); ``mask_bytes`` and ``mask_offsets``; ``provenance``, a table
with one row a pair.
"""

from __future__ import annotations

import numpy as np

from blurgen.kernels import BlurParams

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

_ABOVE_0, _BELOW_1 = float(np.nextafter(0, 1)), float(np.nextafter(1, 0))

PROVENANCE_LIMITS = {
    **dict.fromkeys(("attempt", "top", "left", "region", "fill_radius_px"), (0, 2**31 - 1)),
    **dict.fromkeys(("crop_height", "crop_width", "height", "width"), (1, 2**31 - 1)),
    **{"pair": (0, MAX_SHARDS * MAX_PAIRS - 1), "seed": (0, 2**63 - 1), "inverted": (0, 1)},
    **{"score": (-1e30, 1e30), "blurred_share": (_ABOVE_0, _BELOW_1)},
}
"""Column -> the least and the greatest value it may hold. NaN is outside of any."""


def _limits_of(param: str) -> tuple[float, float]:
    extra = BlurParams.model_fields[param].json_schema_extra
    return extra["low"], extra["high"]


_MOTION_LIMITS = {name: _limits_of(f"{name}_range") for name in ("length_px", "angle_deg", "elastic_px")}
_SMOOTHNESS_LIMITS = _limits_of("elastic_smoothness_px")

BLUR_LIMITS = {
    b"gaussian": {"sigma_px": _limits_of("sigma_px_range")},
    b"motion": {
        **_MOTION_LIMITS,
        **{"elastic_smoothness_px": (0, _SMOOTHNESS_LIMITS[1]), "elastic_seed": (0, 2**32 - 1)},
    },
}
"""Kind of blur -> the same for the numbers it uses; those it does not use are 0."""

LEAST_SMOOTHNESS_PX = _SMOOTHNESS_LIMITS[0]  # where there is an elastic field at all


def provenance_dtype(photo_id_bytes: int) -> np.dtype:
    """dtype of the table for photo ids of at most so many bytes."""
    return np.dtype([(name, f"S{photo_id_bytes}" if kind == "S" else kind) for name, kind in PROVENANCE_FIELDS.items()])
