"""Quality and time of the object proposals on BSDS500, beside two simple peers in the same run.

    python benchmarks/proposals.py --bsds PATH [--split val] [--photos 20]

PATH holds ``images/<split>/*.jpg`` and ``groundTruth/<split>/*.mat``. Every segment of every annotator that covers 1 to
60 % of its photo is looked for: the best Jaccard index among the first N proposals, mean over segments, then over
photos. Time is CPU time of one thread.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import cv2
import numpy as np
from scipy.io import loadmat
from skimage.segmentation import felzenszwalb

from blurgen.proposals import object_proposals

DEPTHS = (10, 100, 500)
AREA_RANGE = (0.01, 0.6)
FELZENSZWALB_SCALES = (1600, 800, 400, 200, 100, 50)
RECTANGLES = 500

# Each method gives label maps (H, W) and, for each of them, sets of labels (P, L) in rank order.
Found = list[tuple[np.ndarray, np.ndarray]]


def blurgen(photo: np.ndarray) -> Found:
    proposals = object_proposals(photo)
    return [(proposals.superpixels, proposals.membership)]


def felzenszwalb_regions(photo: np.ndarray) -> Found:
    """Every region of six segmentations, from coarse to fine, large regions first."""
    found = []
    for scale in FELZENSZWALB_SCALES:
        labels = felzenszwalb(photo, scale=scale, sigma=0.8, min_size=100)
        order = np.argsort(-np.bincount(labels.ravel()), kind="stable")
        found.append((labels, np.eye(len(order), dtype=bool)[order]))
    return found


def random_rectangles(photo: np.ndarray) -> Found:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(RECTANGLES):
        labels = np.zeros(photo.shape[:2], np.int32)
        (top, bottom), (left, right) = (np.sort(rng.integers(0, side + 1, 2)) for side in labels.shape)
        labels[top:bottom, left:right] = 1
        found.append((labels, np.array([[False, True]])))
    return found


METHODS: dict[str, Callable[[np.ndarray], Found]] = {
    "blurgen": blurgen,
    "felzenszwalb x6": felzenszwalb_regions,
    "random rectangles": random_rectangles,
}


def annotated_segments(path: Path) -> np.ndarray:
    """Segments of all annotators that cover 1 to 60 % of the photo: (G, H, W) bool."""
    segments = []
    for annotation in loadmat(path)["groundTruth"][0]:
        labels = annotation["Segmentation"][0, 0]
        segments += [labels == value for value in np.unique(labels)]
    return np.array([segment for segment in segments if AREA_RANGE[0] <= segment.mean() <= AREA_RANGE[1]])


def jaccard_indices(segments: np.ndarray, found: Found) -> np.ndarray:
    """Jaccard index of each segment with each proposal: (G, P) float64."""
    columns = []
    for labels, membership in found:
        count = membership.shape[1]
        flat = [np.bincount(labels[segment], minlength=count) for segment in segments]
        common = np.array(flat, float) @ membership.T
        sizes = membership @ np.bincount(labels.ravel(), minlength=count)
        union = segments.sum(axis=(1, 2))[:, None] + sizes[None] - common
        columns.append(common / np.maximum(union, 1))
    return np.concatenate(columns, axis=1)


def measure(photo: np.ndarray, segments: np.ndarray, method: Callable[[np.ndarray], Found]) -> list[float]:
    """Mean best Jaccard index at each depth and of the whole pool, size of the pool, CPU seconds."""
    start = time.process_time()
    found = method(photo)
    seconds = time.process_time() - start
    scores = jaccard_indices(segments, found)
    best = [scores[:, :depth].max(axis=1, initial=0).mean() for depth in (*DEPTHS, scores.shape[1])]
    return [*best, scores.shape[1], seconds]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bsds", type=Path, required=True, help="folder with images/ and groundTruth/")
    parser.add_argument("--split", default="val", help="train, val or test (default: val)")
    parser.add_argument("--photos", type=int, default=None, help="use the first N photos only (default: all)")
    arguments = parser.parse_args()

    cv2.setNumThreads(1)
    paths = sorted((arguments.bsds / "images" / arguments.split).glob("*.jpg"))[: arguments.photos]
    if not paths:
        parser.error(f"no photo in {arguments.bsds / 'images' / arguments.split}")
    rows: dict[str, list[list[float]]] = {name: [] for name in METHODS}
    for path in paths:
        photo = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
        segments = annotated_segments(arguments.bsds / "groundTruth" / arguments.split / f"{path.stem}.mat")
        for name, method in METHODS.items():
            rows[name].append(measure(photo, segments, method))

    print(f"BSDS500 {arguments.split}, {len(paths)} photos, mean best Jaccard index at N proposals")
    print("| method | " + " | ".join(f"@{depth}" for depth in DEPTHS) + " | all | proposals | CPU s |")
    print("|---" * (len(DEPTHS) + 4) + "|")
    for name, values in rows.items():
        *best, size, seconds = np.mean(values, axis=0)
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in best) + f" | {size:.0f} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
