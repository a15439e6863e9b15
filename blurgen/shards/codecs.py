"""Images and masks as bytes. Masks are always lossless."""

from __future__ import annotations

import zlib
from typing import Literal

import cv2
import numpy as np

from blurgen.errors import ShardError
from blurgen.params import Params, param

Codec = Literal["jpeg", "png", "raw"]


_SIGNATURES = {"jpeg": b"\xff\xd8", "png": b"\x89PNG\r\n\x1a\n"}
_JPEG_FRAMES = (0xC0, 0xC1, 0xC2)
_JPEG_TABLES = (0xC4, 0xDB, 0xDD, *range(0xE0, 0xF0), 0xFE)
"""What may stand before the frame. Anything else, padding too, could make us and the decoder see different frames."""


class StorageParams(Params):
    """How the images of a shard are stored."""

    codec: Codec = param("jpeg", "", "jpeg (4:4:4), png (lossless, 3 times larger) or raw (needs a fixed size)")
    jpeg_quality: int = param(95, "", "of the JPEG images", low=1, high=100)


def encode_image(image: np.ndarray, params: StorageParams) -> bytes:
    """Encode (H, W, 3) uint8 RGB."""
    if params.codec == "raw":
        return image.tobytes()
    if params.codec == "jpeg":
        flags = [
            *(cv2.IMWRITE_JPEG_QUALITY, params.jpeg_quality),
            *(cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444),
        ]
        return cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), flags)[1].tobytes()
    return cv2.imencode(".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes()


def decode_image(data: np.ndarray, codec: str, shape: tuple[int, int]) -> np.ndarray:
    """Decode to (H, W, 3) uint8 RGB of the ``shape`` that the provenance states, or raise ShardError."""
    if codec == "raw":
        if data.size != shape[0] * shape[1] * 3:
            raise ShardError("an image has another size than its provenance says")
        return np.array(data, np.uint8).reshape(*shape, 3)
    if image_shape(data) != shape:
        raise ShardError("an image has another size than its provenance says")
    if not data[:8].tobytes().startswith(_SIGNATURES[codec]):
        raise ShardError(f"an image is not stored as {codec}, though the shard says so")
    try:
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB)
    except cv2.error:
        image = None
    if image is None or image.shape[:2] != shape:
        raise ShardError("an image can't be decoded")
    return image


def image_shape(data: np.ndarray) -> tuple[int, int] | None:
    """(height, width) from the header of a PNG or JPEG, without decoding; None for anything else."""
    head = data.tobytes()
    if head[:8] == b"\x89PNG\r\n\x1a\n" and head[12:16] == b"IHDR":
        return int.from_bytes(head[20:24]), int.from_bytes(head[16:20])
    at = 2 if head[:2] == b"\xff\xd8" else len(head)
    while at + 9 <= len(head) and head[at] == 0xFF:
        if head[at + 1] in _JPEG_FRAMES:
            return int.from_bytes(head[at + 5 : at + 7]), int.from_bytes(head[at + 7 : at + 9])
        if head[at + 1] not in _JPEG_TABLES:
            return None
        at += 2 + int.from_bytes(head[at + 2 : at + 4])
    return None


def encode_mask(mask: np.ndarray) -> bytes:
    """Encode (H, W) bool, True = blurred: one bit a pixel in row order, zlib."""
    return zlib.compress(np.packbits(mask).tobytes(), 1)


def decode_mask(data: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Decode to (H, W) bool, or raise ShardError. Never unpacks more than ``shape`` holds."""
    length = (shape[0] * shape[1] + 7) // 8
    unpacker = zlib.decompressobj()
    try:
        bits = unpacker.decompress(data.tobytes(), length + 1)
    except zlib.error:
        bits = b""
    if len(bits) != length or not unpacker.eof:
        raise ShardError("a mask can't be decoded")
    return np.unpackbits(np.frombuffer(bits, np.uint8), count=shape[0] * shape[1]).astype(bool).reshape(shape)
