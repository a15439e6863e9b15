"""Proposals: many overlapping masks of one photo in a compact form, and their bytes."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass

import numpy as np

from blurgen.errors import PhotoError


@dataclass(frozen=True)
class Proposals:
    """Scored object masks of one photo, each a set of superpixels, best first.

    Attributes
    ----------
    superpixels : ndarray of shape (H, W), int32
        Labels 0..L-1 at the working resolution.
    membership : ndarray of shape (P, L), bool
        ``membership[i, l]``: superpixel ``l`` belongs to proposal ``i``.
    scores : ndarray of shape (P,), float32
        Finite, in rank order; larger is better.
    """

    superpixels: np.ndarray
    membership: np.ndarray
    scores: np.ndarray

    def __len__(self) -> int:
        return len(self.scores)

    def mask(self, index: int) -> np.ndarray:
        """Mask of proposal ``index``: (H, W) bool at the working resolution."""
        return self.membership[index][self.superpixels]

    def to_bytes(self) -> bytes:
        """Pack into a few tens of kB: the sha256 of what follows, then a compressed npz."""
        labels = self.superpixels.astype(np.uint16 if self.membership.shape[1] < 2**16 else np.int32)
        payload = io.BytesIO()
        np.savez_compressed(
            payload,
            superpixels=labels,
            membership=np.packbits(self.membership, axis=1),
            count=np.int64(self.membership.shape[1]),
            scores=self.scores.astype(np.float32),
        )
        return hashlib.sha256(payload.getvalue()).digest() + payload.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Proposals:
        """Unpack ``to_bytes``. Raises PhotoError unless the bytes are exactly what was packed."""
        digest, payload = data[:32], data[32:]
        if hashlib.sha256(payload).digest() != digest:
            raise PhotoError("the stored proposals are damaged; they will be computed again")
        with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
            membership = np.unpackbits(arrays["membership"], axis=1, count=int(arrays["count"])).astype(bool)
            return cls(arrays["superpixels"].astype(np.int32), membership, arrays["scores"])
