"""The learned numbers that ship with the package (``weights/README.md`` says where they come from)."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

NAMES = ("contours.npz", "scores.npz")


def packaged_weights(name: str) -> bytes:
    """One of the files of ``NAMES``."""
    return files("blurgen.proposals").joinpath("weights", name).read_bytes()


@cache
def weights_digest() -> str:
    """sha256 (hex) of all of them: other weights, other proposals."""
    return hashlib.sha256(b"".join(packaged_weights(name) for name in NAMES)).hexdigest()
