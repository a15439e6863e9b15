"""`blurgen import`: an export to png becomes a data set again."""

from __future__ import annotations

import click

from blurgen_cli.options import count_of, json_option, megabytes, print_json, printable, text_option


@click.command("import")
@click.argument("folder", type=click.Path())
@text_option("--out", type=click.Path(), required=True, help="Folder of the data set, new or empty.")
@json_option
def import_(folder, out, as_json) -> None:
    """Make a data set of FOLDER, which `blurgen export --to png` wrote: the same pixels, masks and provenance."""
    from blurgen.exports import import_png

    made = import_png(folder, out)
    if as_json:
        print_json(made.to_dict())
    else:
        where = f"{count_of(made.pairs, 'pair')} in {count_of(made.shards, 'shard')}, {megabytes(made.bytes)}"
        click.echo(printable(f"{made.out}: {where}"))
        click.echo(f"digest {made.digest}")
