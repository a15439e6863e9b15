"""`blurgen replay`: render pairs again from their provenance and compare them to the bit."""

from __future__ import annotations

import sys

import click

from blurgen_cli.options import (
    CACHE_OPTION,
    PHOTO_OPTIONS,
    add_options,
    count_of,
    json_option,
    open_photos,
    print_json,
    printable,
)


@click.command()
@click.argument("shards", type=click.Path(), default="shards")
@click.option("--pair", "pairs", metavar="N", type=int, multiple=True, help="A pair's number; may be given often.")
@click.option("--sample", metavar="N", type=click.IntRange(min=1), help="So many pairs, evenly spread. [default: 10]")
@add_options((*PHOTO_OPTIONS, CACHE_OPTION))
@json_option
def replay(shards, pairs, sample, cache, as_json, **photos) -> None:
    """Render pairs of the data set SHARDS [default: shards] again and compare them, to the bit.

    Nothing is drawn: the numbers are those of each pair's provenance. Photos are found by name or, if they were moved,
    by their sha256. Exits with 0 if all pairs agree, and with 1 and what differs if not.
    """
    from dataclasses import replace

    from tqdm import tqdm

    from blurgen.dataset import read_manifest
    from blurgen.engines import is_quiet
    from blurgen.errors import ArgumentError
    from blurgen.plan import evenly_spread
    from blurgen.replay import replay as render_again

    if pairs and sample:
        raise ArgumentError("--pair and --sample exclude each other; leave one of the two out")
    manifest = read_manifest(shards)
    chosen = list(pairs) or evenly_spread(sample or 10, manifest["pairs"])
    done = render_again(shards, lambda origin: open_photos(origin, **photos), chosen, cache=cache)
    steps = tqdm(done, total=len(chosen), desc="replay", unit="pair", disable=is_quiet(True))
    bad, lost = [], 0
    for one in steps:
        if one.faults:
            lost += one.made is None
            bad.append(replace(one, made=None))  # images of many pairs would fill the memory
    if as_json:
        faults = [{"pair": one.pair, "faults": one.faults, "other_build": one.other_build} for one in bad]
        print_json({"ok": not bad, "pairs": chosen, "digest": manifest["digest"], "faults": faults})
    else:
        for one in bad:
            why = f" ({one.other_build})" if one.other_build else ""
            click.echo(printable(f"bad: pair {one.pair}: {'; '.join(one.faults)}{why}"), err=True)
        agree = f"{len(chosen) - len(bad)} of {count_of(len(chosen), 'pair')} agree to the bit"
        click.echo(f"{'FAILED' if bad else 'ok'}: {agree}{f', {lost} could not be rendered' if lost else ''}")
    sys.exit(1 if bad else 0)
