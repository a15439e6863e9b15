"""`python -m blurgen.training.proposals`: make the learned numbers of the proposals again, from BSDS500."""

from __future__ import annotations

import argparse
import sys
from importlib.util import find_spec
from pathlib import Path

from blurgen.errors import BlurgenError, DependencyError, OutputError, SourceError
from blurgen.files import publish
from blurgen.training.proposals.bsds import read_examples

PARTS = {"all": slice(None), "even": slice(0, None, 2), "odd": slice(1, None, 2)}
"""Which of the sorted photos the contours are trained on; the score needs networks of both halves."""


def contours(options: argparse.Namespace) -> bytes:
    from blurgen.training.proposals.contours import train_contours

    return train_contours(read_examples(options.bsds, "train")[PARTS[options.photos]], options.steps, options.seed)


def scores(options: argparse.Namespace) -> bytes:
    from blurgen.training.proposals.scores import train_scores

    halves = (_network(path) for path in (options.even, options.odd))
    return train_scores(read_examples(options.bsds, "train"), *halves, options.seed)


def _network(path: Path):
    from blurgen.proposals.network import Network

    try:
        return Network(path.read_bytes())
    except Exception as error:  # whatever the file is, it is no network
        raise SourceError(f"{path}: no contour network ({type(error).__name__}); make it with `contours`") from None


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m blurgen.training.proposals", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="contours|scores")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--bsds", type=Path, required=True, help="folder with images/train and groundTruth/train")
    common.add_argument("--out", type=Path, required=True, help="the file of weights to write")
    common.add_argument("--seed", type=int, default=0, help="default: 0")
    one = commands.add_parser("contours", parents=[common], help="train the contour network")
    one.add_argument("--photos", choices=PARTS, default="all", help="every photo, or every other one (default: all)")
    one.add_argument("--steps", type=_at_least_one, default=8000, help="batches of 8 windows (default: 8000)")
    one.set_defaults(run=contours)
    two = commands.add_parser("scores", parents=[common], help="fit the learned scores")
    two.add_argument("--even", type=Path, required=True, help="network trained with --photos even")
    two.add_argument("--odd", type=Path, required=True, help="network trained with --photos odd")
    two.set_defaults(run=scores)
    return parser.parse_args()


def _at_least_one(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return number


def main() -> None:
    options = _arguments()
    try:
        if find_spec("torch") is None:
            raise DependencyError("torch is not installed; `pip install 'blurgen[train]'` or `make torch` brings it")
        if not options.out.parent.is_dir():  # better now than after half an hour
            raise OutputError(f"{options.out.parent}: no such folder; make it first")
        publish(options.out, options.run(options))
        print(f"written: {options.out}")
    except BlurgenError as error:
        print(f"blurgen.training.proposals: error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
