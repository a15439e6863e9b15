"""`blurgen subset`: the pairs of a data set that meet a condition."""

from __future__ import annotations

import click

from blurgen_cli.options import json_option, print_derived, print_json, text_option


@click.command()
@click.argument("shards", type=click.Path(), default="shards")
@text_option("--where", required=True, metavar="CONDITION", help="Such as \"blur_kind == 'motion' and area < 0.5\".")
@text_option("--out", required=True, type=click.Path(), help="Folder of the data set that is made.")
@json_option
def subset(shards, where, out, as_json) -> None:
    """Make a data set of those pairs of SHARDS [default: shards] that meet a condition on their provenance.

    A condition is made of names of the provenance (also area, the blurred share, and blur_type), numbers, texts in
    quotes, comparisons, in, and, or, not, + - * / and parentheses.
    """
    from blurgen.dataset.deriving import subset as subset_it
    from blurgen.engines import is_quiet

    made = subset_it(shards, out, where, progress=not is_quiet(True))
    print_json(made.to_dict()) if as_json else print_derived(made)
