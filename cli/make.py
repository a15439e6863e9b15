"""`blurgen make`: photos in, shards out."""

from __future__ import annotations

import click

from blurgen_cli.options import (
    RECIPE_OPTIONS,
    SOURCE_OPTIONS,
    add_options,
    json_option,
    megabytes,
    print_json,
    read_recipe,
    read_source,
    shorten,
)


@click.command()
@add_options(SOURCE_OPTIONS)
@click.option("--n", type=int, required=True, help="Number of pairs.")
@click.option("--out", type=click.Path(), default="shards", show_default=True, help="Folder of the data set.")
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
    rejected = ", ".join(f"{count} {reason}" for reason, count in summary.rejected.items() if count)
    click.echo(
        f"{summary.pairs} pairs in {summary.shards} shards, {megabytes(summary.bytes)}, from {summary.photos} photos: {summary.out}"
    )
    if summary.pairs_made:
        click.echo(
            f"  made now      {summary.pairs_made} in {summary.seconds:.1f} s, {summary.pairs_per_second_per_core:.0f} pairs/s per core"
        )
    else:
        click.echo("  made now      0, it was all there")
    click.echo(f"  redrawn       {rejected or 0}")
    if summary.replaced:
        click.echo(f"  other photo   {summary.replaced} pairs, whose own photo gave no good mask")
    if summary.upscaled:
        click.echo(f"  enlarged      {summary.upscaled} pairs, from crops smaller than the pair")
    click.echo(f"  quarantined   {len(summary.quarantined)} photos")
    for one in shorten(summary.quarantined):
        click.echo(f"    {one['id']}: {one['reason']}")
    if len(summary.quarantined) > 10:
        click.echo(f"    ... and {len(summary.quarantined) - 10} more: blurgen info {summary.out} --json")
