"""`blurgen merge`: several data sets in one."""

from __future__ import annotations

import click

from blurgen_cli.options import json_option, print_derived, print_json, text_option


@click.command()
@click.argument("shards", type=click.Path(), nargs=-1, required=True)
@text_option("--out", required=True, type=click.Path(), help="Folder of the data set that is made.")
@json_option
def merge(shards, out, as_json) -> None:
    """Make one data set of all pairs of the data sets SHARDS, in this order.

    Pairs are copied as they are stored; each keeps the number of its origin and its number there. Data sets that have
    pairs in common, or other targets than each other, are refused.
    """
    from blurgen.dataset.deriving import merge as merge_them
    from blurgen.engines import is_quiet

    made = merge_them(shards, out, progress=not is_quiet(True))
    print_json(made.to_dict()) if as_json else print_derived(made)
