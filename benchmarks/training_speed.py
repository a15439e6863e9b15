"""How fast models are trained, and whether the loader keeps up with them; for a machine with a GPU.

    python benchmarks/training_speed.py --bsds BSDS500 [--models NAME ...] [--batch 64] [--steps 100] [--device cuda]
                                        [--write]

Trains on 1600 pairs of 320x320 px from images/train. Pairs per second are those of steps, without validation;
"waiting" is the share of the time in which no batch was ready. "agreement" is the largest difference of the
probabilities that the model gives for a photo on the device, in float32, and on a CPU.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import shlex
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

from blurgen import make_dataset, open_dataset, open_source
from blurgen.training.options import Execution
from blurgen.training.params import PRESETS
from blurgen.training.predict import predict
from blurgen.training.run import load_model
from blurgen.training.session import train_model

RESULTS = Path(__file__).parent / "results" / "training_speed.md"
PAIRS = 1600
WARM_UP_STEPS = 10
CACHES = ("none", "ram", "gpu")


def measure(options, shards: Path, work: Path, model: str, cache: str) -> str:
    """A row of the table."""
    params = PRESETS["default"].with_values(
        {"model": model, "batch.size": options.batch, "augment.size": options.crop, "batch.val_share": 0.0}
    )
    how = Execution(device=options.device, cache=cache)
    train_model([shards], work / f"{model}-{cache}-warm", params.with_values({"batch.steps": WARM_UP_STEPS}), how=how)
    if options.device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    out = work / f"{model}-{cache}"
    done = train_model([shards], out, params.with_values({"batch.steps": options.steps}), how=how)
    peak = f"{torch.cuda.max_memory_allocated() / 1e9:.1f}" if options.device == "cuda" else ""
    photo = open_dataset(shards)[0].image
    maps = [predict(load_model(out, device)[0], photo) for device in (options.device, "cpu")]
    difference = float(np.abs(maps[0] - maps[1]).max())
    rate, waiting = f"{done.pairs_per_second:.0f}", f"{done.waiting_share:.0%}"
    return f"| {model} | {cache} | {rate} | {waiting} | {peak} | {difference:.1e} |"


def report(options, work: Path) -> str:
    shards = work / "shards"
    make_dataset(open_source("folder", options.bsds / "images" / "train"), PAIRS, shards)
    command = shlex.join(["python", "benchmarks/training_speed.py", *sys.argv[1:]])
    where = torch.cuda.get_device_name() if options.device == "cuda" else platform.machine()
    lines = [
        "# How fast models are trained",
        "",
        f"{datetime.date.today()}, {where}, Python {platform.python_version()}, torch {torch.__version__}",
        f"`{command}`",
        "",
        f"{PAIRS} pairs of 320x320 px, {options.crop} windows, {options.batch} a step, {options.steps} steps.",
        "",
        "| model | --cache | pairs/s | waiting | peak GB | agreement |",
        "|---|---|---|---|---|---|",
    ]
    for model in options.models:
        for cache in CACHES if options.device == "cuda" else CACHES[:2]:
            lines.append(measure(options, shards, work, model, cache))
            print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bsds", type=Path, required=True, help="the folder of BSDS500, with images/")
    parser.add_argument("--models", nargs="+", default=["unet-s", "deeplabv3-resnet101"], help="which (default: both)")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--crop", default="224x224")
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        table = report(options, Path(work))
    print(table)
    if options.write:
        RESULTS.write_text(table)


if __name__ == "__main__":
    main()
