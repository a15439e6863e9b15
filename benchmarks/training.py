"""What models learn from the pairs in a fixed number of steps, beside a detector that learns nothing.

    python benchmarks/training.py --bsds BSDS500 [--runs NAME ...] [--write]

Trains on pairs made from images/train, judges on pairs made from images/val, so on photos that no model has seen. One
thread of torch; 96x96 windows, 16 a step. AUC is that of each image, averaged. The baseline is the variance of the
Laplacian at three scales; the difference to it is paired by image (bootstrap, 95 %). The control learns from pairs
that have each other's masks. "sharp or blurred": all held-out photos, and all of them blurred as a whole (Gaussian,
sigma 2), ranked by the mean of the map.
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
import torch

from blurgen import load_recipe, make_dataset, open_dataset, open_source
from blurgen.evaluation.detectors import DETECTORS
from blurgen.evaluation.metrics import image_scores, paired_bootstrap
from blurgen.sources import decode
from blurgen.training.batches import Schedule
from blurgen.training.examples import Pairs, gather
from blurgen.training.loader import Maker, RamCache, batches
from blurgen.training.options import Execution
from blurgen.training.params import TrainingParams
from blurgen.training.predict import predict
from blurgen.training.run import load_model
from blurgen.training.session import train_model

RESULTS = Path(__file__).parent / "results" / "training.md"
TRAIN_PAIRS, HELD_OUT_PAIRS = 1600, 100
RECIPE = "standard"
SMALL = {"augment.size": "96x96", "batch.size": 16, "batch.val_share": 0.0}
RUNS = {
    "unet-xs": {"model": "unet-xs", "batch.steps": 300},
    "control": {"model": "unet-xs", "batch.steps": 300},
    "unet-s": {"model": "unet-s", "batch.steps": 800},
}
BLUR_SIGMA_PX = 2.0
LOADS = 5


def make_sets(bsds: Path, work: Path) -> tuple[Path, Path]:
    """Pairs of ``RECIPE``: to train on, and to judge on."""
    for split, n, seed in (("train", TRAIN_PAIRS, 0), ("val", HELD_OUT_PAIRS, 1)):
        make_dataset(
            open_source("folder", bsds / "images" / split), n, work / split, recipe=load_recipe(RECIPE), seed=seed
        )
    return work / "train", work / "val"


def aucs(maps, pairs) -> np.ndarray:
    """AUC of each image that holds both classes; NaN where one is missing."""
    return np.array(
        [image_scores(one, pair.mask.view(np.uint8) * 255)[0] for one, pair in zip(maps, pairs, strict=True)]
    )


def rank_auc(negatives: np.ndarray, positives: np.ndarray) -> float:
    """Share of (sharp, blurred) photos that are ranked rightly."""
    above = positives[:, None] > negatives[None]
    return float((above + 0.5 * (positives[:, None] == negatives[None])).mean())


def judge(find, pairs, photos) -> tuple[np.ndarray, float]:
    """AUC of each held-out pair; how well whole photos are told apart."""
    found = aucs([find(pair.image) for pair in pairs], pairs)
    sharp = np.array([find(photo).mean() for photo in photos])
    blurred = np.array([find(cv2.GaussianBlur(photo, (0, 0), BLUR_SIGMA_PX)).mean() for photo in photos])
    return found, rank_auc(sharp, blurred)


def quality(options, train: Path, val: Path, work: Path):
    """Rows of the table of quality."""
    pairs = list(open_dataset(val))
    photos = [decode(photo.read()) for photo in open_source("folder", options.bsds / "images" / "val").photos]
    baseline, whole = judge(DETECTORS["laplacian"], pairs, photos)
    known = ~np.isnan(baseline)
    yield f"| Laplacian variance, three scales | | | {baseline[known].mean():.3f} | | {whole:.3f} |"
    how = Execution(device="cpu", workers=0)
    for name in options.runs:
        begun = time.process_time()
        params = TrainingParams().with_values(SMALL | RUNS[name])
        done = train_model([train], work / name, params, seed=options.seed, how=how, shuffle_masks=name == "control")
        seconds = time.process_time() - begun
        model, _ = load_model(work / name)
        found, whole = judge(lambda photo, model=model: predict(model, photo), pairs, photos)
        mean, low, high = paired_bootstrap((found - baseline)[known], seed=0)
        title = f"{params.model}, {done.parameters / 1e6:.2f} M weights"
        title += ", masks shuffled (control)" if name == "control" else ""
        gain = f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
        yield f"| {title} | {done.steps} | {seconds:.0f} | {found[known].mean():.3f} | {gain} | {whole:.3f} |"


def loading(train: Path) -> list[str]:
    """Pairs per CPU second that come out of the loader, from cold start to end; nothing is done with them.

    The best of ``LOADS`` turns, beside decoding the same JPEGs and nothing else.
    """
    jobs = {("none", 1): 0.0, ("ram", 1): 0.0, ("ram", 5): 0.0}
    decoding = 0.0
    for _ in range(LOADS):
        for (cache, epochs), best in jobs.items():
            jobs[cache, epochs] = max(best, load(train, cache, epochs))
        decoding = max(decoding, decode_only(train))
    rows = [f"| {cache} | {epochs} | {rate:.0f} | {rate / decoding:.0%} |" for (cache, epochs), rate in jobs.items()]
    return [*rows, f"| OpenCV decodes the JPEGs, nothing else | 1 | {decoding:.0f} | 100% |"]


def load(train: Path, cache: str, epochs: int) -> float:
    begun = time.process_time()
    examples = gather(Pairs([train]), None, real_fraction=1, val_share=0.0, max_val=1, seed=0)
    schedule = Schedule(len(examples.train[0]), 0, 64, 0)
    make = Maker(examples, schedule, TrainingParams(), 0, 1)
    if cache == "ram":
        make.read = RamCache(examples)
    count = sum(len(batch) for batch in batches(make, 0, epochs * schedule.steps_per_pass, 1))
    return count / (time.process_time() - begun)


def decode_only(train: Path) -> float:
    data = open_dataset(train)
    files = [shard.stored("image", place) for shard, place in map(data.locate, range(len(data)))]
    begun = time.process_time()
    for file in files:
        cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB)
    return len(files) / (time.process_time() - begun)


def report(options, work: Path) -> str:
    train, val = make_sets(options.bsds, work)
    command = shlex.join(["python", "benchmarks/training.py", *sys.argv[1:]])
    lines = [
        "# What models learn from the pairs",
        "",
        f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}",
        f"`{command}`",
        "",
        f"{TRAIN_PAIRS} pairs of 200 photos to train on, {HELD_OUT_PAIRS} of 100 other photos to judge on, recipe "
        f"`{RECIPE}`, 320x320 px; 96x96 windows, 16 a step, one thread, seed {options.seed}.",
        "",
        "| | steps | CPU s | AUC | over the baseline | sharp or blurred, AUC |",
        "|---|---|---|---|---|---|",
    ]
    for row in quality(options, train, val, work):
        print(row, flush=True)
        lines.append(row)
    lines += [
        "",
        "| --cache | epochs | pairs loaded per CPU second | of decoding |",
        "|---|---|---|---|",
        *loading(train),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bsds", type=Path, required=True, help="the folder of BSDS500, with images/")
    parser.add_argument("--runs", nargs="*", choices=RUNS, default=list(RUNS), help="which models (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the training (default: 0)")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as work:
        table = report(options, Path(work))
    print(table)
    if options.write:
        RESULTS.write_text(table)


if __name__ == "__main__":
    main()
