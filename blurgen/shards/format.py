"""What a shard is, field by field. Nothing else in blurgen knows the names inside the HDF5 file.

Schema version 3. ``image_bytes`` (uint8, all images end to end) and ``image_offsets`` (uint64, n + 1), or for the
codec ``raw`` one array ``images`` (n x H x W x C); ``mask_bytes`` and ``mask_offsets``; the same two for each of the
targets that was asked for; ``provenance``, a table with one row a pair.
"""

from __future__ import annotations

import numpy as np

from blurgen.fill import FILLS
from blurgen.kernels import BlurParams
from blurgen.masks import KINDS, WHOLE

SCHEMA_VERSION = 3
READABLE_VERSIONS = (2, 3)
FIXED_LENGTH_SINCE = 3
"""The schema version since which the attributes are strings of fixed length."""
FORMAT_NAME = "blurgen-shard"
MANIFEST_NAME = "manifest.json"
RECIPE_NAME = "recipe.toml"

SHARD_NAME = "shard-{:05d}.h5"
RECEIPT_NAME = "shard-{:05d}.json"
SHARD_BYTES = 256_000_000  # rough upper bound of a shard by default, since it is held in memory while it is built
MAX_SHARDS = 100_000
MAX_PAIRS = 100_000  # in a shard
MAX_PIXELS = 64_000_000  # in an image
MAX_CHANNELS = 127  # as many as OpenCV takes
MAX_IMAGE_BYTES = 1_000_000_000  # unpacked

PHOTO_ID_BYTES_MAX = 1024

TARGETS = ("unknown", "amount", "type")
"""What a shard can hold of each pair beside its mask: see ``codecs``."""

BLUR_FIELDS = {
    "blur_kind": "S24",
    "sigma_px": "<f8",
    "radius_px": "<f8",
    "blades": "<i4",
    "length_px": "<f8",
    "angle_deg": "<f8",
    "elastic_px": "<f8",
    "elastic_smoothness_px": "<f8",
    "blur_seed": "<u4",
    "turn_deg": "<f8",
    "zoom": "<f8",
    "centre_y": "<f8",
    "centre_x": "<f8",
    "tilt": "<f8",
    "tilt_angle_deg": "<f8",
}

REGION_FIELDS = {
    "mask_kind": "S24",
    "region": "<i4",
    "score": "<f4",
    "mask_angle_deg": "<f8",
    "mask_share": "<f8",
    "mask_aspect": "<f8",
    "mask_y": "<f8",
    "mask_x": "<f8",
    "near": "<u1",
}

PREFIXES = ("", "second_")
"""Before the columns of the first region and its blur, and of the second's: kind ``none`` where there is no second."""

PROVENANCE_FIELDS = {
    "pair": "<i8",
    "photo": "S",  # as wide as the longest id of the data set
    "photo_sha256": "S64",
    "origin": "<i4",  # number of the data set in which the pair was made, among the origins of this one
    "origin_pair": "<i8",  # its number there
    "seed": "<u8",
    "attempt": "<i4",
    "top": "<i4",
    "left": "<i4",
    "crop_height": "<i4",
    "crop_width": "<i4",
    "height": "<i4",
    "width": "<i4",
    "channels": "<i4",
    "dtype": "S8",
    "codec": "S8",
    "inverted": "<u1",
    "mask_photo": "S",  # whose regions were drawn, if not this photo's
    "blurred_share": "<f8",
    "second_share": "<f8",
    **{prefix + name: kind for prefix in PREFIXES for name, kind in (REGION_FIELDS | BLUR_FIELDS).items()},
    "fill": "S24",
    "fill_radius_px": "<i4",
    "reach_px": "<i4",  # how far the fill and the Fourier transform reach; -1 where that was not recorded
    "sharpness": "<f8",
    "linear_light": "<u1",
    "highlight_gain": "<f8",
    "noise_sigma": "<f8",
    "noise_added": "<f8",
    "noise_y": "<i4",
    "noise_x": "<i4",
    "jpeg_quality": "<i4",
    "jpeg_420": "<u1",
}

ADDED_COLUMNS = {3: ("origin", "origin_pair", "reach_px")}
"""Schema version -> the columns that it added."""

FLAGS = ("inverted", "near", "second_near", "linear_light", "jpeg_420")
"""Columns that hold 0 or 1."""

_ABOVE_0, _BELOW_1 = float(np.nextafter(0, 1)), float(np.nextafter(1, 0))

_REGION_LIMITS = {
    **{"region": (0, 2**31 - 1), "score": (-1e30, 1e30), "mask_angle_deg": (0, 360)},
    **dict.fromkeys(("mask_share", "mask_aspect", "mask_y", "mask_x"), (0, 1)),
}

PROVENANCE_LIMITS = {
    **dict.fromkeys(FLAGS, (0, 1)),
    **dict.fromkeys(("attempt", "top", "left", "fill_radius_px", "noise_y", "noise_x"), (0, 2**31 - 1)),
    **{prefix + name: limits for prefix in PREFIXES for name, limits in _REGION_LIMITS.items()},
    **dict.fromkeys(("crop_height", "crop_width", "height", "width"), (1, 2**31 - 1)),
    **{"origin": (0, 2**31 - 1), "origin_pair": (0, MAX_SHARDS * MAX_PAIRS - 1), "reach_px": (-1, 2**31 - 1)},
    **{"pair": (0, MAX_SHARDS * MAX_PAIRS - 1), "seed": (0, 2**63 - 1), "channels": (1, MAX_CHANNELS)},
    **dict.fromkeys(("blurred_share", "second_share", "sharpness"), (0, 1)),
    **{"highlight_gain": (1, 1000), "jpeg_quality": (0, 100)},
    **dict.fromkeys(("noise_sigma", "noise_added"), (0, 1e30)),
}
"""Column -> the least and the greatest value it may hold. NaN is outside of any."""

PROVENANCE_WORDS = {
    "dtype": (b"uint8", b"uint16", b"float32"),
    "mask_kind": tuple(kind.encode() for kind in (*KINDS, *WHOLE)),
    "second_mask_kind": tuple(kind.encode() for kind in (*KINDS, "none")),
    "fill": tuple(kind.encode() for kind in FILLS),
}
"""Column -> the words it may hold."""

PAIR_CODECS = {"jpeg": (b"jpeg", b"png", b"zlib"), "png": (b"png", b"zlib"), "raw": (b"raw",)}
"""Codec of a shard, which is the recipe's -> the words that the column ``codec`` of its pairs may hold."""

PROVENANCE_TEXTS = {"photo": "utf-8", "mask_photo": "utf-8", "photo_sha256": "ascii"}
"""Column -> the encoding of its text."""

BLURRED_SHARES = {b"all-sharp": (0, 0), b"all-blurred": (_ABOVE_0, 1)}  # the middle of a zoom stays sharp
"""Kind of mask -> the limits of its blurred share; those of every other kind follow."""

MIXED_SHARES = (_ABOVE_0, _BELOW_1)


def _limits_of(param: str) -> tuple[float, float]:
    extra = BlurParams.model_fields[param].json_schema_extra
    return extra["low"], extra["high"]


_SMOOTHNESS = _limits_of("elastic_smoothness_px")
_LENGTH, _ANGLE = {"length_px": _limits_of("length_px_range")}, {"angle_deg": _limits_of("angle_deg_range")}
_RADIUS = {"radius_px": _limits_of("radius_px_range")}
_SEED = {"blur_seed": (0, 2**32 - 1)}
_CENTRE = dict.fromkeys(("centre_y", "centre_x"), _limits_of("centre_range"))
_TILT = {"tilt": (0, _limits_of("tilt_range")[1]), "tilt_angle_deg": (0, 360)}
_ELASTIC = {"elastic_px": _limits_of("elastic_px_range"), "elastic_smoothness_px": (0, _SMOOTHNESS[1])}
_POLYGON = {"blades": _limits_of("blades_range"), "angle_deg": _limits_of("aperture_angle_deg_range")}

BLUR_LIMITS = {
    b"none": {},
    b"gaussian": {"sigma_px": _limits_of("sigma_px_range"), **_TILT},
    b"disk": {**_RADIUS, **_TILT},
    b"polygon": {**_RADIUS, **_POLYGON, **_TILT},
    b"linear-motion": {**_LENGTH, **_ANGLE},
    b"nonlinear-motion": {**_LENGTH, **_ANGLE, **_ELASTIC, **_SEED},
    b"camera-shake": {"length_px": _limits_of("shake_px_range"), **_SEED},
    b"rotation": {"turn_deg": _limits_of("turn_deg_range"), **_CENTRE},
    b"zoom": {"zoom": _limits_of("zoom_range"), **_CENTRE},
}
"""Kind of blur -> the limits of the numbers it uses; those it does not use are 0."""

LEAST_SMOOTHNESS_PX = _SMOOTHNESS[0]  # where there is an elastic field at all


def columns(version: int = SCHEMA_VERSION) -> tuple[str, ...]:
    """The columns of the provenance table of a schema version, in order."""
    later = {name for since, names in ADDED_COLUMNS.items() if since > version for name in names}
    return tuple(name for name in PROVENANCE_FIELDS if name not in later)


def provenance_dtype(photo_id_bytes: int, version: int = SCHEMA_VERSION) -> np.dtype:
    """dtype of the table for photo ids of at most so many bytes."""
    kinds = {name: PROVENANCE_FIELDS[name] for name in columns(version)}
    return np.dtype([(name, f"S{photo_id_bytes}" if kind == "S" else kind) for name, kind in kinds.items()])
