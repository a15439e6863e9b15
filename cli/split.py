"""`blurgen split`: a data set by photo in train, val and test."""

from __future__ import annotations

import click

from blurgen_cli.options import json_option, print_derived, print_json, text_option


@click.command()
@click.argument("shards", type=click.Path(), default="shards")
@click.option("--val", type=float, default=0.1, show_default=True, help="Share of the pairs; 0 for no such side.")
@click.option("--test", type=float, default=0.1, show_default=True, help="Share of the pairs; 0 for no such side.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other photos on each side.")
@text_option("--out", required=True, type=click.Path(), help="Folder for the data sets train, val and test.")
@json_option
def split(shards, val, test, seed, out, as_json) -> None:
    """Split the data set SHARDS [default: shards] in OUT/train, OUT/val and OUT/test, so that no photo is in two.

    A photo is known by its sha256. The shares are met as nearly as whole photos allow.
    """
    from blurgen.dataset.deriving import split as split_it
    from blurgen.engines import is_quiet

    sides = split_it(shards, out, val=val, test=test, seed=seed, progress=not is_quiet(True))
    if as_json:
        print_json({side: made.to_dict() for side, made in sides.items()})
        return
    for side, made in sides.items():
        print_derived(made, side)
