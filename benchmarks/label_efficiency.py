"""How many human masks are worth it: with and without synthetic pairs (Alvarez-Gila et al. 2019, Figure 6).

    python benchmarks/label_efficiency.py --photos DIR --real DIR --real-blurred white [--size small|full] [--write]

2 to 80 % of the real photos that may be learned from; "supervised" from these alone, "semi-supervised" half of every
batch from pairs of the recipe `standard`, made of --photos, "self-supervised" from those pairs alone. All are judged on
the same real photos, which none has seen: of CUHK those of even number in their type (the paper's), of any other folder
the last half in the order of names, since neighbours may show one scene (that at the cut may be on both sides). A
smaller part of the photos is a part of a larger one. small: minutes on one core. full: the paper's preset, for a GPU.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import re
import shlex
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import cv2
import numpy as np
import torch

from blurgen import load_recipe, make_dataset, open_source
from blurgen.evaluation.metrics import image_scores, mean_scores
from blurgen.maps import detector_finder, to_levels
from blurgen.sources.labelled import Labelled, open_labelled
from blurgen.training.params import PRESETS, TrainingParams
from blurgen.training.predict import predict
from blurgen.training.run import load_model
from blurgen.training.session import Execution, Real, train_model

RESULTS = Path(__file__).parent / "results" / "label_efficiency.md"
SHARES = (0.02, 0.04, 0.05, 0.1, 0.2, 0.4, 0.8)
SMALL = {"model": "unet-xs", "batch.steps": 200, "batch.size": 16, "batch.val_share": 0.0, "augment.size": "96x96"}
SIZES: dict[str, tuple[int, TrainingParams]] = {
    "small": (800, TrainingParams().with_values(SMALL)),
    "full": (10_000, PRESETS["alvarez-gila-2019"]),
}
"""Size -> how many pairs to train on, and how."""

CUHK_NAME = re.compile(r"(?:motion|out_of_focus)(\d+)")


def is_test(names: tuple[str, ...]) -> np.ndarray:
    """(N,) bool: which photos are judged on."""
    numbers = [CUHK_NAME.fullmatch(name) for name in names]
    if all(numbers):
        return np.array([int(number[1]) % 2 == 0 for number in numbers])
    return np.arange(len(names)) >= len(names) / 2


def link_training_photos(data: Labelled, test: np.ndarray, out: Path) -> Path:
    """A folder with links to the photos that may be learned from, and their masks."""
    for part, files in (("image", data.photos), ("mask", data.masks)):
        (out / part).mkdir(parents=True)
        for number in np.flatnonzero(~test):
            (out / part / files[number].name).symlink_to(files[number].absolute())
    return out


def fraction(share: float, params: TrainingParams) -> float:
    """``share`` of all photos as a part of those that are not held out for validation."""
    return min(1.0, share / (1 - params.batch.val_share))


def judge(find, data: Labelled, test: np.ndarray) -> str:
    """AUC and AP, averaged over the images that hold both classes, for a table."""
    examples = (data.read(int(number)) for number in np.flatnonzero(test))
    auc, ap, _ = mean_scores(image_scores(find(image), mask) for image, mask in examples)
    return f"{auc:.3f} {ap:.3f}"


def rows(options, data: Labelled, work: Path) -> Iterator[str]:
    n, params = SIZES[options.size]
    test = is_test(data.names)
    real = link_training_photos(data, test, work / "real")
    recipe = load_recipe("standard")
    make_dataset(open_source("folder", options.photos), n, work / "pairs", recipe=recipe, seed=0)

    def learned(shards: list[Path], share: float) -> str:
        out = work / f"run-{len(shards)}-{share}"
        human = Real(real, options.real_blurred, "mask", fraction(share, params)) if share else None
        how = Execution(device=options.device)
        done = train_model(shards, out, params, real=human, weights=options.weights, seed=options.seed, how=how)
        model, _ = load_model(out, done.device)
        return judge(lambda image: to_levels(predict(model, image, short_side=options.short_side)), data, test)

    baseline = detector_finder("laplacian", options.short_side).find
    yield f"| Laplacian variance, learns nothing | | {judge(baseline, data, test)} | |"
    yield f"| self-supervised | 0 | | {learned([work / 'pairs'], 0)} |"
    for share in options.shares:
        count = max(1, round(share * int((~test).sum())))
        yield f"| {share:.0%} | {count} | {learned([], share)} | {learned([work / 'pairs'], share)} |"


def report(options, work: Path) -> str:
    n, params = SIZES[options.size]
    data = open_labelled(options.real, options.real_blurred, masks=options.real_masks)
    command = shlex.join(["python", "benchmarks/label_efficiency.py", *sys.argv[1:]])
    lines = [
        "# Human masks to learn from",
        "",
        f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}, torch {torch.__version__}",
        f"`{command}`",
        "",
        f"{len(data)} real photos, {is_test(data.names).sum()} of them to judge on; {n} synthetic pairs; "
        f"{params.model}, seed {options.seed}. AUC and AP, means over photos.",
        "",
        "| human masks | photos | supervised | with synthetic pairs |",
        "|---|---|---|---|",
    ]
    for row in rows(options, data, work):
        print(row, flush=True)
        lines.append(row)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True, help="a folder of photos to make pairs of")
    parser.add_argument("--real", type=Path, required=True, help="photos with human masks (CUHK's, DUT's layout)")
    parser.add_argument("--real-blurred", choices=["white", "black"], required=True, help="what means blurred there")
    parser.add_argument("--real-masks", help="the folder of the masks, if there are several")
    parser.add_argument(
        "--shares", type=float, nargs="*", default=SHARES, help="of the human masks (default: 2 to 80 %%)"
    )
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
