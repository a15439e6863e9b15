"""How many proposals the softmax over the scores spreads over, by its temperature.

    python benchmarks/temperature.py [--source voc --root PATH] [--write]

The number is the exponential of the entropy of the draw, one for each photo.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import shlex
from pathlib import Path

import numpy as np
from tqdm import tqdm

from blurgen import object_proposals, open_source
from blurgen.masks import effective_number
from blurgen.proposals import ProposalParams
from blurgen.sources import decode

KINDS = {
    "learned, learned": ProposalParams(),
    "gradient, hand-made": ProposalParams(contours="gradient", score="hand-made"),
}
TEMPERATURES = (0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.2, 1.0)
RESULTS = Path(__file__).parent / "results" / "temperature.md"


def report(options: argparse.Namespace) -> str:
    photos = open_source(options.source, options.root, split="all").photos
    words = ["python", "benchmarks/temperature.py", "--source", options.source]
    words += ["--root", options.root.resolve().name] if options.root else []
    lines = [
        "# Temperature of the softmax over the scores\n",
        f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}",
        f"`{shlex.join([*words, '--write'] if options.write else words)}`\n",
        f"{len(photos)} photos: median of the effective number, and a tenth of the photos below and above.\n",
        f"| contours, score | {' | '.join(f'{temperature:g}' for temperature in TEMPERATURES)} |",
        "|---" * (1 + len(TEMPERATURES)) + "|",
    ]
    for kind, params in KINDS.items():
        bar = tqdm(photos, desc=kind, unit="photo", disable=None)
        scores = [object_proposals(decode(photo.read()), params).scores for photo in bar]
        spread = [[effective_number(one, temperature) for one in scores] for temperature in TEMPERATURES]
        lows, medians, highs = np.percentile(spread, (10, 50, 90), axis=1)
        lines += [f"| {kind} | {' | '.join(f'{number:.0f}' for number in medians)} |"]
        lines += [f"| (tenths) | {' | '.join(f'{one:.0f}-{two:.0f}' for one, two in zip(lows, highs, strict=True))} |"]
    return "\n".join([*lines, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="sample", help="sample, voc or folder (default: sample)")
    parser.add_argument("--root", type=Path, help="where the photos are")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    table = report(options)
    print(table)
    if options.write:
        RESULTS.write_text(table)


if __name__ == "__main__":
    main()
