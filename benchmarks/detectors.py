"""How well detectors that learn nothing find the blur in pairs of photos, and what they cost.

    python benchmarks/detectors.py --bsds BSDS500 [--write]

Pairs made from images/val with the default recipe. AUC and AP are those of each image, averaged; the difference to the
Laplacian is paired by image (bootstrap, 95 %). The constant map shows what a score is worth. CPU seconds: one thread,
a photo of 640x480 px, the best of three turns.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np

from blurgen import make_dataset, open_dataset, open_source
from blurgen.evaluation.detectors import DETECTORS
from blurgen.evaluation.metrics import image_scores, paired_bootstrap

RESULTS = Path(__file__).parent / "results" / "detectors.md"
PAIRS, SEED = 100, 1
TIMED_PX = (640, 480)
TURNS = 3


def held_out(bsds: Path, work: Path) -> list[tuple[np.ndarray, np.ndarray]]:
    """Photos and blur masks (255 blurred): pairs of the default recipe."""
    make_dataset(open_source("folder", bsds / "images" / "val"), PAIRS, work / "val", seed=SEED)
    return [(pair.image, pair.mask.view(np.uint8) * 255) for pair in open_dataset(work / "val")]


def scores(detect, pairs) -> np.ndarray:
    """AUC and AP of each image: (N, 2); NaN where a class is missing."""
    return np.array([image_scores(detect(photo), mask) for photo, mask in pairs])


def seconds(detect, photo: np.ndarray) -> float:
    """CPU seconds of one map, the best of ``TURNS``."""
    spent = []
    for _ in range(TURNS):
        begun = time.process_time()
        detect(photo)
        spent.append(time.process_time() - begun)
    return min(spent)


def rows(pairs, timed: np.ndarray):
    """Lines of a table: one detector a line."""
    baseline = scores(DETECTORS["laplacian"], pairs)
    known = ~np.isnan(baseline[:, 0])
    for name, detect in DETECTORS.items():
        found = scores(detect, pairs)[known]
        gains = []
        for column in (0, 1):
            mean, low, high = paired_bootstrap(found[:, column] - baseline[known, column], seed=0)
            gains.append(f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]" if name != "laplacian" else "")
        auc, ap = found.mean(axis=0)
        yield f"| {name} | {auc:.3f} | {gains[0]} | {ap:.3f} | {gains[1]} | {seconds(detect, timed):.3f} |"


def report(options, work: Path) -> str:
    pairs = held_out(options.bsds, work)
    timed = cv2.resize(pairs[0][0], TIMED_PX, interpolation=cv2.INTER_CUBIC)
    command = shlex.join(["python", "benchmarks/detectors.py", *sys.argv[1:]])
    lines = [
        "# Detectors that need no training",
        "",
        f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}, OpenCV {cv2.__version__}",
        f"`{command}`",
        "",
        f"{len(pairs)} pairs of BSDS500 val, recipe `standard`, 320x320 px; CPU s: a photo of "
        f"{TIMED_PX[0]}x{TIMED_PX[1]} px.",
        "",
        "| detector | AUC | over the Laplacian | AP | over the Laplacian | CPU s |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows(pairs, timed):
        print(row, flush=True)
        lines.append(row)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bsds", type=Path, required=True, help="the folder of BSDS500, with images/")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as work:
        text = report(options, Path(work))
    print(text)
    if options.write:
        RESULTS.write_text(text)


if __name__ == "__main__":
    main()
