"""`blurgen make`: photos in, shards out."""

from __future__ import annotations

import click

from blurgen_cli.options import (
    RECIPE_OPTIONS,
    SHOWN,
    SOURCE_OPTIONS,
    add_options,
    count_of,
    duration,
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
@click.option("--dry-run", is_flag=True, help="Make nothing; say what it would come to.")
@json_option
def make(n, out, recipe_name, size, seed, cache, workers, pairs_per_shard, dry_run, as_json, **source) -> None:
    """Make a data set of blurred photos and their blur masks.

    Proposals are computed once per photo and kept. Run the same command again after an interruption: finished shards
    stay as they are.

    With --dry-run every photo is decoded and a few pairs are made in memory, to say which photos can be used and how
    many bytes and minutes the rest would take. Nothing is written into --out.
    """
    recipe = read_recipe(recipe_name, size)
    options = {"seed": seed, "workers": workers, "pairs_per_shard": pairs_per_shard, "cache": cache}
    photos = read_source(source.pop("source_name"), recipe=recipe, **source)
    if dry_run:
        return _expect(photos, n, out, as_json, recipe=recipe, **options)
    from blurgen.generate import make_dataset

    summary = make_dataset(photos, n, out, recipe=recipe, **options)
    if as_json:
        print_json(summary.to_dict() | {"pairs_per_second_per_core": summary.pairs_per_second_per_core})
    else:
        _print(summary)


def _expect(photos, n, out, as_json, **options) -> None:
    from blurgen.estimate import expect_dataset

    found = expect_dataset(photos, n, out, **options)
    if as_json:
        return print_json(found.to_dict())
    size = f"about {megabytes(found.bytes)}, {megabytes(found.bytes_per_pair)} a pair"
    there = f", {found.pairs - found.pairs_left} of them there already" if found.pairs_left < found.pairs else ""
    shards = count_of(found.shards, "shard")
    left = count_of(found.photos_to_search, "photo") if found.photos_to_search else ""
    lines = [
        ("would make", f"{found.out}: {count_of(found.pairs, 'pair')} in {shards}{there}"),
        ("to make" if there else "bytes", size if found.bytes else "0"),
        ("time", f"about {duration(found.minutes * 60)} with {count_of(found.workers, 'worker')}"),
        ("  each pair", f"{found.seconds_per_pair * 1000:.0f} ms of a core" if found.pairs_left else ""),
        ("  each photo", f"{found.seconds_per_photo:.2f} s of a core to find its regions" if left else ""),
        ("photos", f"{found.photos} can be used, {len(found.quarantined)} quarantined"),
        ("", f"{left} not searched yet; some may turn out to offer no region" if left else ""),
    ]
    _print_lines(lines)
    _print_quarantined(found.quarantined, "--json lists them")


def _print(summary) -> None:
    rate = f"{summary.pairs_per_second_per_core:.0f} pairs/s per core"
    now = f"{summary.pairs_made} in {summary.seconds:.1f} s, {rate}" if summary.pairs_made else "0, it was all there"
    rejected = ", ".join(f"{count} {reason}" for reason, count in summary.rejected.items() if count)
    pairs, shards = count_of(summary.pairs, "pair"), count_of(summary.shards, "shard")
    small = "from crops smaller than the pair, so a little soft; a smaller --size avoids it"
    soft = f" ({summary.too_soft} of them not sharp enough, by mask.least_sharpness)" if summary.too_soft else ""
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
    _print_lines(lines)
    _print_quarantined(summary.quarantined, f"blurgen info {summary.out} --json")


def _print_lines(lines: list[tuple[str, str]]) -> None:
    for name, text in lines:
        if text:
            click.echo(printable(f"{name:<13}{text}"))


def _print_quarantined(quarantined: list[dict], where: str) -> None:
    for one in quarantined[:SHOWN]:
        click.echo(printable(f"  {one['id']}: {one['reason']}"))
    if len(quarantined) > SHOWN:
        click.echo(f"  ... and {len(quarantined) - SHOWN} more: {where}")
