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


def annotations(path: Path) -> list[np.ndarray]:
    """Segment labels (H, W) int64 of each annotator."""
    return [entry["Segmentation"][0, 0].astype(np.int64) for entry in loadmat(path)["groundTruth"][0]]


def jaccard_indices(annotated: list[np.ndarray], found: Found) -> np.ndarray:
    """Jaccard index of each segment that covers 1 to 60 % of the photo with each proposal: (G, P) float64."""
    return np.concatenate([_of_one_annotator(segments, found) for segments in annotated])


def _of_one_annotator(segments: np.ndarray, found: Found) -> np.ndarray:
    sizes = np.bincount(segments.ravel())
    used = (sizes >= AREA_RANGE[0] * segments.size) & (sizes <= AREA_RANGE[1] * segments.size)
    columns = []
    for labels, membership in found:
        count = membership.shape[1]
        joint = np.bincount((segments * count + labels).ravel(), minlength=len(sizes) * count)
        common = joint.reshape(len(sizes), count)[used].astype(float) @ membership.T
        proposed = membership @ np.bincount(labels.ravel(), minlength=count)
        columns.append(common / np.maximum(sizes[used][:, None] + proposed - common, 1))
    return np.concatenate(columns, axis=1)


def measure(photo: np.ndarray, annotated: list[np.ndarray], method: Callable[[np.ndarray], Found]) -> list[float]:
    """Mean best Jaccard index at each depth and of the whole pool, size of the pool, CPU seconds."""
    start = time.process_time()
    found = method(photo)
    seconds = time.process_time() - start
    scores = jaccard_indices(annotated, found)
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
        annotated = annotations(arguments.bsds / "groundTruth" / arguments.split / f"{path.stem}.mat")
        for name, method in METHODS.items():
            rows[name].append(measure(photo, annotated, method))

    print(f"BSDS500 {arguments.split}, {len(paths)} photos, mean best Jaccard index at N proposals")
    print("| method | " + " | ".join(f"@{depth}" for depth in DEPTHS) + " | all | proposals | CPU s |")
    print("|---" * (len(DEPTHS) + 4) + "|")
    for name, values in rows.items():
        *best, size, seconds = np.mean(values, axis=0)
        print(f"| {name} | " + " | ".join(f"{value:.3f}" for value in best) + f" | {size:.0f} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
