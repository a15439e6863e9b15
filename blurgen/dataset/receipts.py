"""Receipts: a shard is finished if, and only if, its receipt is there and the sha256 in it holds."""

from __future__ import annotations

from pathlib import Path

from blurgen.dataset.documents import REPLACE, is_count, read_json
from blurgen.errors import ShardError
from blurgen.files import document_digest, sha256_file
from blurgen.shards.format import READABLE_VERSIONS, RECEIPT_NAME, SHARD_NAME
from blurgen.shards.reader import is_file


def finished_receipt(folder: Path, index: int, expected: dict) -> dict | None:
    """The receipt of a shard that is there, whole and as ``expected`` (a part of its receipt), else None."""
    try:
        receipt = read_receipt(folder, index)
        shard = folder / SHARD_NAME.format(index)
        wanted = all(receipt.get(key) == value for key, value in expected.items())
        whole = wanted and shard.is_file() and sha256_file(shard) == receipt["sha256"]
    except (ShardError, OSError):
        return None
    return receipt if whole else None


def read_receipt(folder: Path, index: int) -> dict:
    """Read and check the receipt of shard ``index``. Raises ShardError."""
    path = Path(folder) / RECEIPT_NAME.format(index)
    if not is_file(path):
        raise ShardError(f"{path}: no receipt, so this shard is not finished; {REPLACE}")
    receipt = read_json(path, REPLACE)
    numbers = ("shard", "pairs", "bytes", "replaced", "upscaled")
    good = all(is_count(receipt.get(key)) for key in numbers) and receipt["shard"] == index
    rejected = receipt.get("rejected")
    good = good and isinstance(rejected, dict) and all(is_count(count) for count in rejected.values())
    good = good and receipt.get("schema_version") in READABLE_VERSIONS and isinstance(receipt.get("sha256"), str)
    quarantined = receipt.get("quarantined", [])  # schema 2 has none
    good = good and isinstance(quarantined, list) and all(map(_names_a_photo, quarantined))
    if not good or receipt.get("digest") != document_digest(receipt):
        raise ShardError(f"{path}: malformed or damaged receipt; {REPLACE}")
    return receipt


def _names_a_photo(one: object) -> bool:
    return isinstance(one, dict) and isinstance(one.get("id"), str) and isinstance(one.get("reason"), str)


def all_quarantined(manifest: dict, receipts: list[dict]) -> list[dict]:
    """[{"id", "reason"}], sorted by id: photos that the survey found unusable, and those that stopped a shard."""
    found = [*manifest["quarantined"], *(one for receipt in receipts for one in receipt.get("quarantined", []))]
    return sorted({one["id"]: one for one in found}.values(), key=lambda one: one["id"])
