"""Centre and width of each detector's scores, for blurgen.evaluation.calibration.

    python benchmarks/calibration.py shards/ [--detectors NAME ...]

The table of that module was made from pairs of the recipe `standard`, seed 0, of the photos in BSDS500 images/train.
"""

from __future__ import annotations

import argparse
from itertools import islice

from blurgen import open_dataset
from blurgen.evaluation.calibration import fit
from blurgen.evaluation.detectors import DETECTORS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", help="a folder of pairs")
    parser.add_argument("--pairs", type=int, default=400, help="how many of them (default: 400)")
    parser.add_argument("--detectors", nargs="*", choices=DETECTORS, default=[n for n in DETECTORS if n != "constant"])
    options = parser.parse_args()
    for name in options.detectors:
        pairs = islice(open_dataset(options.shards), options.pairs)
        centre, width = fit((DETECTORS[name](pair.image), pair.mask) for pair in pairs)
        print(f'"{name}": ({centre:.3g}, {width:.3g}),')


if __name__ == "__main__":
    main()
