"""BSDS500: photos that several people have segmented.

Source: Arbelaez, Maire, Fowlkes, Malik, "Contour detection and hierarchical image segmentation", TPAMI 2011.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.io import loadmat

from blurgen.errors import SourceError
from blurgen.sources.photo import decode, read_file

_AREA_RANGE = (0.01, 0.6)


@dataclass(frozen=True)
class Example:
    """A photo (H, W, 3) uint8 RGB and the segments (A, H, W) uint16 of its annotators."""

    photo: np.ndarray
    segments: np.ndarray


def read_examples(root: Path, split: str) -> list[Example]:
    """All photos of a split with their annotations, sorted by name. Raises SourceError if there are none.

    ``root`` holds ``images/<split>/*.jpg`` and ``groundTruth/<split>/*.mat``.
    """
    paths = sorted((root / "images" / split).glob("*.jpg"))
    if not paths:
        raise SourceError(f"{root}: no photo in images/{split}; give the folder with images/ and groundTruth/")
    return [_read_example(path, root / "groundTruth" / split / f"{path.stem}.mat") for path in paths]


def _read_example(photo: Path, annotation: Path) -> Example:
    try:
        entries = loadmat(annotation)["groundTruth"][0]
        segments = np.stack([entry["Segmentation"][0, 0] for entry in entries]).astype(np.uint16)
        return Example(decode(read_file(photo)), segments)
    except Exception as error:  # a damaged file may be anything that numpy and scipy can raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise SourceError(f"{photo} and {annotation.name}: can't be read ({reason}); get BSDS500 again") from None


def jaccard_indices(segments: np.ndarray, labels: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Jaccard index of every segment that covers 1 to 60 % of the photo with every mask.

    Parameters
    ----------
    segments : ndarray of shape (A, H, W), uint16
        Segments of each annotator.
    labels : ndarray of shape (H, W), int32
        Superpixels 0..L-1.
    masks : ndarray of shape (P, L), bool

    Returns
    -------
    ndarray of shape (G, P), float64
        Annotator by annotator.
    """
    count = masks.shape[1]
    proposed = masks @ np.bincount(labels.ravel(), minlength=count)
    found = []
    for annotated in segments.astype(np.int64):
        sizes = np.bincount(annotated.ravel())
        used = (sizes >= _AREA_RANGE[0] * labels.size) & (sizes <= _AREA_RANGE[1] * labels.size)
        joint = np.bincount((annotated * count + labels).ravel(), minlength=len(sizes) * count)
        common = joint.reshape(len(sizes), count)[used].astype(np.float64) @ masks.T
        found.append(common / (sizes[used][:, None] + proposed - common))
    return np.concatenate(found)
