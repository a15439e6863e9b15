"""Images, masks and the other targets as bytes. All but JPEG are lossless."""

from __future__ import annotations

import math
import zlib
from typing import Literal

import cv2
import numpy as np

from blurgen.errors import ShardError
from blurgen.params import Params, param
from blurgen.sources.png import is_whole_png

Codec = Literal["jpeg", "png", "raw"]

_SIGNATURES = {"jpeg": b"\xff\xd8", "png": b"\x89PNG\r\n\x1a\n"}
_JPEG_FRAMES = (0xC0, 0xC1, 0xC2)
_JPEG_TABLES = (0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE)
"""What may stand before the frame. Anything else, padding too, could make us and the decoder see different frames."""

_PNG_CHANNELS = {0: 1, 2: 3}  # colour type -> channels; palettes and transparency we never write
_TYPES = {8: "uint8", 16: "uint16"}
_HOLDS = {"jpeg": (("uint8",), 65_500), "png": (("uint8", "uint16"), 1_000_000)}
"""Codec -> the types that it can store, with 1 or 3 channels, and its longest side in px."""

_JPEG_444 = (cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)
_PNG_FAST = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH),
]
"""For photos 1.8 times as fast as zlib's search for repetitions with all filters tried, and 7 % smaller."""


class StorageParams(Params):
    """How the images of a shard are stored."""

    codec: Codec = param("jpeg", "", "jpeg (4:4:4), png (lossless, 3 times larger) or raw (needs a fixed size)")
    jpeg_quality: int = param(95, "", "of the JPEG images", low=1, high=100)


# Images ---------------------------------------------------------------------------------------------------------------


def encode_image(image: np.ndarray, params: StorageParams) -> tuple[bytes, str]:
    """Encode (H, W, C) uint8, uint16 or float32, RGB where C is 3: (bytes, how it is stored).

    That is the recipe's codec where it can hold the image. Else the image is stored losslessly: ``png``, or ``zlib``,
    the k-th bytes of all values together (little-endian, C order) and compressed.
    """
    codec = _codec_for(image, params.codec)
    if codec == "raw":
        return _little(image).tobytes(), codec
    if codec == "zlib":
        return _pack(image), codec
    flags = [cv2.IMWRITE_JPEG_QUALITY, params.jpeg_quality, *_JPEG_444] if codec == "jpeg" else _PNG_FAST
    stored = cv2.cvtColor(image, cv2.COLOR_RGB2BGR) if image.shape[2] == 3 else image
    return cv2.imencode(".jpg" if codec == "jpeg" else ".png", stored, flags)[1].tobytes(), codec


def _codec_for(image: np.ndarray, codec: Codec) -> str:
    if codec == "raw":
        return codec
    for able in ("jpeg", "png") if codec == "jpeg" else ("png",):
        if can_hold(able, image.shape, image.dtype.name):
            return able
    return "zlib"


def can_hold(codec: str, shape: tuple[int, int, int], dtype: str) -> bool:
    """Whether "jpeg" or "png" can store an image of this shape (H, W, C) and type."""
    types, side = _HOLDS[codec]
    return shape[2] in (1, 3) and dtype in types and max(shape) <= side


def decode_image(data: np.ndarray, codec: str, shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    """Decode (n,) uint8 to (H, W, C) of the ``shape`` and ``dtype`` that the provenance states, or raise ShardError.

    Raw images are views of ``data`` where that may be written to.
    """
    if codec in ("raw", "zlib"):
        image = _unpack(data, shape, dtype, packed=codec == "zlib", what="an image")
    else:
        image = _decode_file(data, codec, shape, dtype)
    if dtype == "float32" and not np.isfinite(image).all():
        raise ShardError("an image holds values that are not finite")
    return image


def _decode_file(data: np.ndarray, codec: str, shape: tuple[int, int, int], dtype: str) -> np.ndarray:
    """Decode a JPEG or PNG; nothing is unpacked before its header is what the provenance says."""
    header = image_header(data)
    if header is None or header[:2] != shape[:2]:
        raise ShardError("an image has another size than its provenance says")
    if header[2:] != (shape[2], dtype):
        raise ShardError("an image has other channels or another type than its provenance says")
    if not data[:8].tobytes().startswith(_SIGNATURES[codec]):
        raise ShardError(f"an image is not stored as {codec}, though the shard says so")
    colour = cv2.IMREAD_COLOR_RGB if shape[2] == 3 else cv2.IMREAD_GRAYSCALE
    try:
        image = cv2.imdecode(data, colour | (cv2.IMREAD_ANYDEPTH if dtype == "uint16" else 0))
    except cv2.error:
        image = None
    if image is None or (*image.shape, 1)[:3] != shape or image.dtype.name != dtype:
        raise ShardError("an image can't be decoded")
    return image.reshape(shape)


def image_header(data: np.ndarray) -> tuple[int, int, int, str] | None:
    """(height, width, channels, dtype) from the header of a PNG or JPEG, without decoding; None for anything else."""
    head = data.tobytes()
    if head[:8] == _SIGNATURES["png"] and head[12:16] == b"IHDR" and is_whole_png(head):
        size = int.from_bytes(head[20:24]), int.from_bytes(head[16:20])
        return *size, _PNG_CHANNELS.get(head[25], 0), _TYPES.get(head[24], "")
    at = 2 if head[:2] == _SIGNATURES["jpeg"] else len(head)
    while at + 9 < len(head) and head[at] == 0xFF:
        if head[at + 1] in _JPEG_FRAMES:
            size = int.from_bytes(head[at + 5 : at + 7]), int.from_bytes(head[at + 7 : at + 9])
            return *size, head[at + 9], _TYPES.get(head[at + 4], "")
        if head[at + 1] not in _JPEG_TABLES:
            return None
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None


# Masks and the other targets ------------------------------------------------------------------------------------------


def encode_mask(mask: np.ndarray) -> bytes:
    """Encode (H, W) bool, True = blurred: one bit a pixel in row order, zlib."""
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def decode_mask(data: np.ndarray, shape: tuple[int, int], what: str = "a mask") -> np.ndarray:
    """Decode to (H, W) bool, or raise ShardError that names ``what``. Never unpacks more than ``shape`` holds."""
    pixels = shape[0] * shape[1]
    bits = _unpack(data, ((pixels + 7) // 8,), "uint8", packed=True, what=what)
    return np.unpackbits(bits, count=pixels).view(bool).reshape(shape)


def encode_target(name: str, target: np.ndarray) -> bytes:
    """Encode one of ``format.TARGETS``, (H, W).

    unknown : bool, True where nobody can tell whether the pixel is blurred; stored like a mask.
    amount : float16, standard deviation of the blur in px, finite, 0 or more; stored like a ``zlib`` image.
    type : uint8, 0 sharp, 1 defocus, 2 motion; stored like a ``zlib`` image.
    """
    return encode_mask(target) if name == "unknown" else _pack(target)


def decode_target(name: str, data: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Decode to (H, W) of the target's type, or raise ShardError for values that it can't have."""
    what = f"a target ({name})"
    if name == "unknown":
        return decode_mask(data, shape, what)
    target = _unpack(data, shape, "float16" if name == "amount" else "uint8", packed=True, what=what)
    if not ((target >= 0) & (target < np.inf)).all() if name == "amount" else target.max() > 2:
        raise ShardError(f"{what} holds values that it can't have")
    return target


# Bytes ----------------------------------------------------------------------------------------------------------------


def _little(array: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def _pack(array: np.ndarray) -> bytes:
    """The k-th bytes of all values together, zlib: the high bytes of neighbours are alike."""
    items = _little(array).view(np.uint8).reshape(-1, array.dtype.itemsize)
    return zlib.compress(items.T.tobytes(), 1)


def _unpack(data: np.ndarray, shape: tuple[int, ...], dtype: str, *, packed: bool, what: str) -> np.ndarray:
    """The inverse of ``_pack`` or, if not ``packed``, of plain bytes. Never unpacks more than ``shape`` holds."""
    little = np.dtype(dtype).newbyteorder("<")
    length = math.prod(shape) * little.itemsize
    if packed:
        unpacker = zlib.decompressobj()
        try:
            unpacked = unpacker.decompress(data, length + 1)
        except zlib.error:
            unpacked = b""
        if len(unpacked) != length or not unpacker.eof or unpacker.unused_data:
            raise ShardError(f"{what} can't be decoded")
        data = np.frombuffer(unpacked, np.uint8).reshape(little.itemsize, -1).T.flatten()
    if len(data) != length:
        raise ShardError(f"{what} has another size than its provenance says")
    return data.view(little).reshape(shape).astype(dtype, copy=not data.flags.writeable)
