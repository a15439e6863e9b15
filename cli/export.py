"""`blurgen export`: a data set in a format that other libraries read."""

from __future__ import annotations

import click

from blurgen_cli.options import count_of, json_option, print_json, printable, text_option


@click.command()
@click.argument("shards", type=click.Path(), default="shards")
@text_option("--to", required=True, metavar="FORMAT", help="webdataset, png, coco or hf.")
@text_option("--out", type=click.Path(), required=True, help="A new or empty folder.")
@json_option
def export(shards, to, out, as_json) -> None:
    """Write the pairs of the data set SHARDS [default: shards] in another format.

    \b
    webdataset  tar files of 1000 pairs; images as they are stored
    png         plain folders of PNGs and lines of JSON; `blurgen import` makes a data set of it again
    coco        images and annotations.json, the mask as run lengths
    hf          Parquet files that Hugging Face's load_dataset opens; needs pyarrow

    The folder is finished when blurgen-export.json is in it.
    """
    from blurgen.exports import export as write

    exported = write(shards, to, out)
    if as_json:
        print_json(exported.to_dict())
    else:
        targets = f", with {', '.join(exported.targets)}" if exported.targets else ""
        click.echo(printable(f"{exported.out}: {count_of(exported.pairs, 'pair')} as {exported.to}{targets}"))
        click.echo(f"of the data set {exported.digest}")
