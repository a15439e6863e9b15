"""`blurgen make`: photos in, shards out."""

from __future__ import annotations

import click

from blurgen_cli.options import (
    RECIPE_OPTIONS,
    SHOWN,
    SOURCE_OPTIONS,
    add_options,
    count_of,
    json_option,
    megabytes,
    print_json,
    printable,
    read_recipe,
    read_source,
    text_option,
)


@click.command()
@add_options(SOURCE_OPTIONS)
@click.option("--n", type=int, required=True, help="Number of pairs.")
@text_option("--out", default="shards", show_default=True, help="Folder of the data set.")
@add_options(RECIPE_OPTIONS)
@click.option("--workers", type=int, help="Processes; changes nothing in the result. [default: the cores]")
@click.option("--pairs-per-shard", type=int, help="[default: 1000, fewer for small sets and large pairs]")
@json_option
def make(n, out, recipe_name, size, seed, cache, workers, pairs_per_shard, as_json, **source) -> None:
    """Make a data set of blurred photos and their blur masks.

    Proposals are computed once per photo and kept. Run the same command again after an interruption: finished shards
    stay as they are.
    """
    from blurgen.generate import make_dataset

    recipe = read_recipe(recipe_name, size)
    options = {"seed": seed, "workers": workers, "pairs_per_shard": pairs_per_shard, "cache": cache}
    photos = read_source(source.pop("source_name"), recipe=recipe, **source)
    summary = make_dataset(photos, n, out, recipe=recipe, **options)
    if as_json:
        print_json(summary.to_dict() | {"pairs_per_second_per_core": summary.pairs_per_second_per_core})
    else:
        _print(summary)


def _print(summary) -> None:
    rate = f"{summary.pairs_per_second_per_core:.0f} pairs/s per core"
    now = f"{summary.pairs_made} in {summary.seconds:.1f} s, {rate}" if summary.pairs_made else "0, it was all there"
    rejected = ", ".join(f"{count} {reason}" for reason, count in summary.rejected.items() if count)
    pairs, shards = count_of(summary.pairs, "pair"), count_of(summary.shards, "shard")
    small = "from crops smaller than the pair, so a little soft; a smaller --size avoids it"
    soft = f" ({summary.too_soft} of them not sharp enough)" if summary.too_soft else ""
    lines = [
        ("data set", f"{summary.out}: {pairs} in {shards}, {megabytes(summary.bytes)}"),
        ("made now", now),
        ("rejected", f"{rejected or 'none'} (masks drawn again)"),
        ("replaced", f"{count_of(summary.replaced, 'pair')}, made from another photo" if summary.replaced else ""),
        ("upscaled", f"{count_of(summary.upscaled, 'pair')}, {small}" if summary.upscaled else ""),
        (
            "photos",
            f"{summary.photos} used, {len(summary.quarantined)} quarantined{soft}, {summary.survey_seconds:.1f} s",
        ),
    ]
    for name, text in lines:
        if text:
            click.echo(printable(f"{name:<13}{text}"))
    for one in summary.quarantined[:SHOWN]:
        click.echo(printable(f"  {one['id']}: {one['reason']}"))
    if len(summary.quarantined) > SHOWN:
        click.echo(f"  ... and {len(summary.quarantined) - SHOWN} more: blurgen info {summary.out} --json")
