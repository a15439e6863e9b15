"""`blurgen repair`: make missing and damaged shards again."""

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
@click.option("--workers", type=click.IntRange(min=1), help="Processes. [default: the cores]")
@add_options((*PHOTO_OPTIONS, CACHE_OPTION))
@json_option
def repair(shards, workers, cache, as_json, **photos) -> None:
    """Make the missing and damaged shards of the data set SHARDS [default: shards] again, to the byte, and no other.

    Takes the photos that the data set was made from. A shard that would come out otherwise is left as it is. A frozen
    data set stays frozen. Damaged entries of the cache of proposals are thrown away. Exits with 0 if all is well
    afterwards, and with 1 and what is wrong if not.
    """
    from blurgen.repair import repair as make_again

    done = make_again(shards, lambda origin: open_photos(origin, **photos), workers=workers, cache=cache)
    if as_json:
        print_json(done.to_dict())
        sys.exit(1 if done.faults else 0)
    for name in done.files:
        click.echo(printable(f"made again   {name}"))
    for path in done.cache:
        click.echo(printable(f"thrown away  {path}"))
    for fault in done.faults:
        click.echo(f"bad: {printable(fault)}", err=True)
    made = f"{count_of(len(done.files), 'file')} made again" if done.files else "nothing to repair"
    click.echo(f"FAILED: {made}, {count_of(len(done.faults), 'fault')} left" if done.faults else f"ok: {made}")
    sys.exit(1 if done.faults else 0)
