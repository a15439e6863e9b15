"""How fast maps are scored: exact AUC and AP of one map beside scikit-learn, and a whole data set from its files.

    python benchmarks/metrics.py [--images 500] [--write]

One thread, CPU seconds. Maps and masks are made up: smooth fields of 640x480 px, the map being the truth with noise.
Both sides score the same arrays; the difference is the largest one over all maps. The data set is written as PNGs in
the layout of CUHK, its maps once at full size and once at 224x224, 8 bits both, and scored by what
`blurgen eval` runs, decoding included.
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
import sklearn
from sklearn.metrics import average_precision_score, roc_auc_score

from blurgen.evaluation.metrics import image_scores
from blurgen.evaluation.protocol import evaluate, list_maps, list_truths

RESULTS = Path(__file__).parent / "results" / "metrics.md"
HEIGHT, WIDTH = 480, 640
COMPARED, TURNS = 8, 5
BOOTSTRAP = 1000


def make_pair(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A map and a mask of smooth regions, (480, 640) uint8 both."""
    rng = np.random.default_rng(seed)
    field = smooth(rng, 60)
    mask = np.where(field > np.quantile(field, rng.uniform(0.2, 0.6)), np.uint8(255), np.uint8(0))
    likely = 1 / (1 + np.exp(-4 * (field + 0.7 * smooth(rng, 20))))
    return np.rint(255 * likely).astype(np.uint8), mask


def smooth(rng: np.random.Generator, sigma: float) -> np.ndarray:
    field = cv2.GaussianBlur(rng.normal(size=(HEIGHT, WIDTH)), (0, 0), sigma)
    return (field - field.mean()) / field.std()


def by_scikit_learn(blur_map: np.ndarray, mask: np.ndarray) -> tuple[float, float]:
    truth, values = mask.ravel() > 128, blur_map.ravel()
    return roc_auc_score(truth, values), average_precision_score(truth, values)


def ms_per_map(score, pairs) -> float:
    """The best of some turns over all pairs."""
    seconds = []
    for _ in range(TURNS):
        begun = time.process_time()
        for pair in pairs:
            score(*pair)
        seconds.append(time.process_time() - begun)
    return 1e3 * min(seconds) / len(pairs)


def compare():
    """Rows of the table of single maps."""
    eight_bit = [make_pair(seed) for seed in range(COMPARED)]
    floats = [(cv2.GaussianBlur(one / np.float32(255), (0, 0), 1), mask) for one, mask in eight_bit]
    for name, pairs in (("8 bits", eight_bit), ("float32", floats)):
        ours, theirs = ms_per_map(image_scores, pairs), ms_per_map(by_scikit_learn, pairs)
        apart = max(np.abs(np.subtract(image_scores(*pair), by_scikit_learn(*pair))).max() for pair in pairs)
        yield f"| {name} | {ours:.2f} | {theirs:.1f} | {theirs / ours:.0f} | {apart:.0e} |"


def write_set(folder: Path, images: int) -> None:
    for name in ("gt", "full", "small"):
        (folder / name).mkdir()
    for index in range(images):
        blur_map, mask = make_pair(index)
        name = f"{'motion' if index % 3 == 0 else 'out_of_focus'}{index:04d}.png"
        cv2.imwrite(str(folder / "gt" / name), mask)
        cv2.imwrite(str(folder / "full" / name), blur_map)
        cv2.imwrite(str(folder / "small" / name), cv2.resize(blur_map, (224, 224), interpolation=cv2.INTER_AREA))


def score_set(folder: Path, maps: str) -> str:
    """A row: CPU seconds of reading and scoring, and of the table with its intervals."""
    begun = time.process_time()
    truths, _ = list_truths(folder / "gt", "cuhk")
    found = evaluate(truths, list_maps(folder / maps), "white")
    read = time.process_time()
    scores = found.scores(BOOTSTRAP)
    done = time.process_time()
    size = "640x480" if maps == "full" else "224x224"
    return f"| {len(truths)} | {size} | {read - begun:.1f} | {done - read:.1f} | {scores['all']['auc']:.4f} |"


def report(options) -> str:
    command = shlex.join(["python", "benchmarks/metrics.py", *sys.argv[1:]])
    lines = [
        "# How fast maps are scored",
        "",
        f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}, "
        f"scikit-learn {sklearn.__version__}",
        f"`{command}`",
        "",
        "AUC and AP of one map of 640x480 px, ms of one thread:",
        "",
        "| map | blurgen | scikit-learn | ratio | largest difference |",
        "|---|---|---|---|---|",
        *compare(),
        "",
        f"A data set, from its files to the table; CPU seconds, {BOOTSTRAP} resamplings:",
        "",
        "| images | maps | decode and score | table with intervals | AUC |",
        "|---|---|---|---|---|",
    ]
    with tempfile.TemporaryDirectory() as work:
        write_set(Path(work), options.images)
        lines += [score_set(Path(work), maps) for maps in ("full", "small")]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500, help="of the data set (default: 500)")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    table = report(options)
    print(table)
    if options.write:
        RESULTS.write_text(table)


if __name__ == "__main__":
    main()
