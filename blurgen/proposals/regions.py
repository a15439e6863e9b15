"""Proposals: many overlapping masks of one photo in a compact form, at the photo's resolution, and their bytes."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from blurgen.errors import PhotoError

_MOST_PX = 100_000_000
_MOST_SIDE_PX = 2**21
_MOST_BYTES = 2**28
_STRIP_PX = 2**18


@dataclass(frozen=True, eq=False)
class Proposals:
    """Scored object masks of one photo, each a set of superpixels, best first.

    Attributes
    ----------
    working_superpixels : ndarray of shape (h, w), int32
        Labels 0..L-1 at the working resolution.
    membership : ndarray of shape (P, L), bool
        ``membership[i, l]``: superpixel ``l`` belongs to proposal ``i``.
    scores : ndarray of shape (P,), float32
        Finite, in rank order; larger is better.
    shape : (int, int), optional
        Height and width of the photo in px, by default those of ``working_superpixels``.
    """

    working_superpixels: np.ndarray
    membership: np.ndarray
    scores: np.ndarray
    shape: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        height, width = self.working_superpixels.shape if self.shape is None else self.shape
        object.__setattr__(self, "shape", (int(height), int(width)))

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def superpixels(self) -> np.ndarray:
        """Labels at the photo's resolution: (H, W) int32, with smooth borders.

        A pixel has the label with the largest bilinear weight among the four working pixels around it (the lower label
        of two with the same): what bilinear interpolation and a threshold at one half give for two labels. Computed at
        each access: who needs many masks takes it once and looks each mask up, ``membership[i][superpixels]``.
        """
        full = np.empty(self.shape, np.int32)
        for rows, strip in _strips(self.working_superpixels, self.shape):
            full[rows] = strip
        return full

    def mask(self, index: int) -> np.ndarray:
        """Mask of proposal ``index`` at the photo's resolution: (H, W) bool, ``membership[index][superpixels]``."""
        mask, chosen = np.empty(self.shape, bool), self.membership[index]
        for rows, strip in _strips(self.working_superpixels, self.shape):
            mask[rows] = chosen[strip]
        return mask

    def to_bytes(self) -> bytes:
        """Pack into some 15 kB: the sha256 of what follows, then a compressed npz."""
        lengths, labels = _runs(self.working_superpixels)
        sizes = (*self.working_superpixels.shape, *self.shape, self.membership.shape[1])
        payload = io.BytesIO()
        np.savez_compressed(
            payload,
            sizes=np.array(sizes, np.int64),
            run_lengths=lengths,
            run_labels=labels,
            membership=np.packbits(self.membership, axis=1),
            score_steps=_steps(self.scores),
        )
        return hashlib.sha256(payload.getvalue()).digest() + payload.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Proposals:
        """Unpack ``to_bytes``. Raises PhotoError if the bytes are not what was packed, or do not fit together."""
        digest, payload = data[:32], data[32:]
        if hashlib.sha256(payload).digest() != digest:
            raise PhotoError("the stored proposals are damaged; compute them again")
        try:
            return cls(*_unpacked(**_arrays(payload)))
        except Exception as error:  # the digest holds, so somebody made it so: it may be anything that numpy can raise
            kind = type(error).__name__
            raise PhotoError(
                f"the stored proposals are of another form or damaged ({kind}); compute them again"
            ) from None


def _strips(labels: np.ndarray, shape: tuple[int, int]) -> Iterator[tuple[slice, np.ndarray]]:
    """Upsample a label map (h, w) to ``shape``, a few rows at a time: the rows and their labels, (R, W) int32."""
    if shape == labels.shape:
        yield slice(None), labels
        return
    y, weights_y = _neighbours(labels.shape[0], shape[0])
    x, weights_x = _neighbours(labels.shape[1], shape[1])
    # Rows between the same two working rows go together: all that depends on the labels is then found once for them.
    cuts = np.union1d(np.flatnonzero(np.diff(y).any(axis=0)) + 1, np.arange(0, shape[0], max(1, _STRIP_PX // shape[1])))
    for first, last in pairwise([*cuts.tolist(), shape[0]]):
        above, below = labels[y[0, first]], labels[y[1, first]]
        corners = np.stack([above[x[0]], above[x[1]], below[x[0]], below[x[1]]])
        strip = np.repeat(corners[:1].astype(np.int32), last - first, axis=0)
        mixed = np.flatnonzero((corners[1:] != corners[0]).any(axis=0))
        strip[:, mixed] = _heaviest(corners[:, mixed], weights_y[:, first:last], weights_x[:, mixed])
        yield slice(first, last), strip


def _neighbours(small: int, full: int) -> tuple[np.ndarray, np.ndarray]:
    """The two working pixels around each full-resolution pixel's centre along one axis, and their weights.

    Returns
    -------
    indices : ndarray of shape (2, full), int64
        In [0, small): beyond the edge is the edge.
    weights : ndarray of shape (2, full), int64
        In units of 1 / (2 * full), so that sums are exact.
    """
    position = (2 * np.arange(full) + 1) * small - full
    index, rest = np.divmod(position, 2 * full)
    return np.stack([index, index + 1]).clip(0, small - 1), np.stack([2 * full - rest, rest])


def _heaviest(corners: np.ndarray, weights_y: np.ndarray, weights_x: np.ndarray) -> np.ndarray:
    """The label with the largest sum of bilinear weights, the lower one of equals.

    Parameters
    ----------
    corners : ndarray of shape (4, M)
        Labels at the upper left, upper right, lower left and lower right of each column.
    weights_y, weights_x : ndarray of shape (2, R) and (2, M)
        Of the upper and lower, of the left and right.

    Returns
    -------
    ndarray of shape (R, M)
    """
    order = corners.argsort(axis=0)
    corners, across = np.take_along_axis(corners, order, axis=0), np.take_along_axis(weights_x, order % 2, axis=0)
    same = corners[:, None] == corners
    upper, lower = ((same * (across * side)).sum(axis=1) for side in (order < 2, order >= 2))
    most = np.multiply.outer(weights_y[0], upper[0]) + np.multiply.outer(weights_y[1], lower[0])
    label = np.broadcast_to(corners[0], most.shape)
    for corner in (1, 2, 3):
        weight = np.multiply.outer(weights_y[0], upper[corner]) + np.multiply.outer(weights_y[1], lower[corner])
        label = np.where(weight > most, corners[corner], label)
        most = np.maximum(most, weight)
    return label


def _runs(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lengths and labels of the runs of equal labels, row after row, in the smallest unsigned dtypes."""
    flat = labels.ravel()
    starts = np.flatnonzero(np.concatenate([[True], flat[1:] != flat[:-1]]))
    lengths = np.diff(starts, append=flat.size)
    return tuple(values.astype(np.min_scalar_type(int(values.max()))) for values in (lengths, flat[starts]))


def _steps(scores: np.ndarray) -> np.ndarray:
    """Differences of the scores' bits, in planes of bytes: (4, P) uint8, of which few differ."""
    bits = scores.astype("<f4").view("<u4")
    return np.diff(bits, prepend=bits[:1] * 0).view(np.uint8).reshape(-1, 4).T


def _scores(steps: np.ndarray) -> np.ndarray:
    """The inverse of ``_steps``: (P,) float32."""
    return np.cumsum(np.ascontiguousarray(steps.T).view("<u4")[:, 0], dtype="<u4").view("<f4").astype(np.float32)


def _arrays(payload: bytes) -> dict[str, np.ndarray]:
    """The arrays of an npz that says it needs no absurd memory."""
    with zipfile.ZipFile(io.BytesIO(payload)) as archive:
        _require(sum(member.file_size for member in archive.infolist()) <= _MOST_BYTES)
    with np.load(io.BytesIO(payload), allow_pickle=False) as arrays:
        return dict(arrays)


def _unpacked(
    sizes: np.ndarray, run_lengths: np.ndarray, run_labels: np.ndarray, membership: np.ndarray, score_steps: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]:
    """Labels, membership, scores and shape; ValueError unless they fit together."""
    _require(sizes.shape == (5,) and sizes.dtype == np.int64 and sizes.min() > 0)
    height, width, full_height, full_width, count = sizes.tolist()
    _require(max(height * width, full_height * full_width) <= _MOST_PX)
    _require(run_lengths.shape == run_labels.shape and run_lengths.dtype.kind == run_labels.dtype.kind == "u")
    _require(run_lengths.min() > 0 and max(height, width, full_height, full_width) <= _MOST_SIDE_PX)
    _require(run_labels.max() < count and int(run_lengths.sum(dtype=np.uint64)) == height * width)
    _require(score_steps.ndim == 2 and len(score_steps) == 4 and score_steps.dtype == membership.dtype == np.uint8)
    scores = _scores(score_steps)
    _require(len(scores) * count <= _MOST_BYTES and np.isfinite(scores).all())
    _require(membership.shape == (len(scores), -(-count // 8)))
    _require(((scores >= 0) & (scores <= 1)).all() and (np.diff(scores) <= 0).all())
    members = np.unpackbits(membership, axis=1, count=count).view(bool)
    _require(members.any(axis=1).all())
    labels = np.repeat(run_labels.astype(np.int32), run_lengths).reshape(height, width)
    return labels, members, scores, (full_height, full_width)


def _require(fact: bool) -> None:
    if not fact:
        raise ValueError
