"""What a model learns from defocus alone, from motion alone, from both (Alvarez-Gila et al. 2019, Table 2).

    python benchmarks/ablation_blur_type.py --photos DIR --held-out DIR [--cuhk DIR] [--size small|full] [--write]

Three data sets of the recipe `standard`, of the same photos, p_motion 0, 1 and .5; one model trained on each, judged on
synthetic pairs of either type, made of photos that no model has seen, and with --cuhk on CUHK's real ones (motionNNNN,
out_of_focusNNNN; white = blurred). AUC and AP are those of each image, averaged. small: minutes on one core, BSDS500's
images/train and images/val are enough photos. full: the paper's preset, for a GPU; give VOC's photos, and the weights
of torchvision's model that the paper begins with.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch

from blurgen import load_recipe, make_dataset, open_dataset, open_source
from blurgen.evaluation.metrics import image_scores, mean_scores
from blurgen.maps import detector_finder, to_levels
from blurgen.sources.labelled import open_labelled
from blurgen.training.params import PRESETS, TrainingParams
from blurgen.training.predict import predict
from blurgen.training.run import load_model
from blurgen.training.session import Execution, train_model

RESULTS = Path(__file__).parent / "results" / "ablation_blur_type.md"
P_MOTION = {"defocus": 0.0, "motion": 1.0, "both": 0.5}
HELD_OUT_PAIRS = 100
SMALL = {"model": "unet-xs", "batch.steps": 300, "batch.size": 16, "batch.val_share": 0.0, "augment.size": "96x96"}
SIZES: dict[str, tuple[int, TrainingParams]] = {
    "small": (800, TrainingParams().with_values(SMALL)),
    "full": (10_000, PRESETS["alvarez-gila-2019"]),
}
"""Size -> how many pairs to train on, and how."""

CUHK_PREFIX = {"defocus": "out_of_focus", "motion": "motion"}


def make_pairs(photos: Path, out: Path, blur: str, n: int, seed: int) -> Path:
    """Pairs of the standard recipe with one type of blur, or both."""
    recipe = load_recipe("standard").with_values({"blur.p_motion": P_MOTION[blur]})
    make_dataset(open_source("folder", photos), n, out, recipe=recipe, seed=seed)
    return out


def synthetic(folder: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    return ((pair.image, pair.mask_picture) for pair in open_dataset(folder))


def cuhk(folder: Path, blur: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The even photos of a type, as in the paper: the number in their names."""
    data = open_labelled(folder, "white")
    for index, name in enumerate(data.names):
        number = name.removeprefix(CUHK_PREFIX[blur])
        if number != name and number.isdigit() and int(number) % 2 == 0:
            yield data.read(index)


def judge(find, examples: Iterable[tuple[np.ndarray, np.ndarray]]) -> str:
    """AUC and AP, averaged over the images that hold both classes, for a table."""
    auc, ap, _ = mean_scores(image_scores(find(image), mask) for image, mask in examples)
    return f"{auc:.3f} {ap:.3f}"


def rows(options, work: Path) -> Iterator[str]:
    n, params = SIZES[options.size]
    held_out = {
        blur: make_pairs(options.held_out, work / f"val-{blur}", blur, HELD_OUT_PAIRS, 1) for blur in CUHK_PREFIX
    }

    def scores(find) -> str:
        found = [judge(find, synthetic(folder)) for folder in held_out.values()]
        if options.cuhk:
            found += [judge(find, cuhk(options.cuhk, blur)) for blur in CUHK_PREFIX]
        return " | ".join(found)

    yield f"| Laplacian variance, learns nothing | | {scores(detector_finder('laplacian', options.short_side).find)} |"
    for blur in P_MOTION:
        pairs = make_pairs(options.photos, work / f"train-{blur}", blur, n, 0)
        how = Execution(device=options.device)
        done = train_model([pairs], work / blur, params, weights=options.weights, seed=options.seed, how=how)
        model, _ = load_model(work / blur, done.device)
        find = lambda image, model=model: to_levels(predict(model, image, short_side=options.short_side))  # noqa: E731
        yield f"| {blur} | {done.steps} | {scores(find)} |"


def report(options, work: Path) -> str:
    n, params = SIZES[options.size]
    command = shlex.join(["python", "benchmarks/ablation_blur_type.py", *sys.argv[1:]])
    real = [" CUHK even, defocus |", " CUHK even, motion |"] if options.cuhk else []
    head = "| trained on | steps | synthetic defocus | synthetic motion |" + "".join(real)
    lines = [
        "# Blur types to learn from",
        "",
        f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}",
        f"`{command}`",
        "",
        f"{n} pairs to train {params.model} on, {HELD_OUT_PAIRS} of other photos to judge on, seed {options.seed}. "
        "AUC and AP.",
        "",
        head,
        "|" + "---|" * (head.count("|") - 1),
    ]
    for row in rows(options, work):
        print(row, flush=True)
        lines.append(row)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos to train on")
    parser.add_argument("--held-out", type=Path, required=True, help="a folder of other photos to judge on")
    parser.add_argument("--cuhk", type=Path, help="CUHK's folder, with image/ and gt/")
    parser.add_argument("--size", choices=SIZES, default="small", help="of the experiment (default: small)")
    parser.add_argument("--weights", type=Path, help="to begin with: .safetensors, or .pth of torchvision's models")
    parser.add_argument("--short-side", type=int, help="photos are judged at this scale (default: as they are)")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda (default: auto)")
    parser.add_argument("--seed", type=int, default=0, help="of the training (default: 0)")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as work:
        table = report(options, Path(work))
    print(table)
    if options.write:
        RESULTS.write_text(table)


if __name__ == "__main__":
    main()
