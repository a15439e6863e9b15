"""`blurgen freeze`: seal a data set under its digest."""

from __future__ import annotations

import click

from blurgen_cli.options import count_of, json_option, megabytes, print_json, printable, text_option


@click.command()
@click.argument("shards", type=click.Path(), default="shards")
@text_option("--name", help="What the data set is called.")
@text_option("--licence", help="Of the data set, a name or URL. [default: those of its photos]")
@text_option("--creator", help="Who made it.")
@text_option("--url", help="Where it is published.")
@text_option("--published", metavar="DATE", help="When it is published, YYYY-MM-DD.")
@json_option
def freeze(shards, as_json, **about) -> None:
    """Seal the data set SHARDS [default: shards]: check it, describe it, make it read-only.

    Writes README.md (a data set card), croissant.json (metadata in Croissant 1.1) and frozen.json (the sha256 of every
    file). A frozen data set stays as it is; freezing it again only checks it.
    """
    from tqdm import tqdm

    from blurgen.dataset import read_manifest
    from blurgen.dataset.describing import citation
    from blurgen.dataset.freezing import About
    from blurgen.dataset.freezing import freeze as seal_dataset
    from blurgen.engines import is_quiet

    manifest = read_manifest(shards)
    said = About(**about) if any(about.values()) else None
    total = 2 + len(manifest["shards"])
    seal = seal_dataset(
        shards, said, watch=lambda steps: tqdm(steps, total=total, desc="check", unit="shard", disable=is_quiet(True))
    )
    pairs, size = manifest["pairs"], sum(shard["bytes"] for shard in manifest["shards"])
    cite = citation(manifest, seal["about"])
    if as_json:
        counts = {"pairs": pairs, "shards": len(manifest["shards"]), "bytes": size}
        digests = {"digest": manifest["digest"], "seal": seal["digest"]}
        print_json({"folder": str(shards), **digests, **counts, "cite": cite})
        return
    click.echo(
        printable(
            f"frozen  {shards}: {count_of(pairs, 'pair')} in {count_of(len(manifest['shards']), 'shard')}, "
            f"{megabytes(size)}"
        )
    )
    click.echo(f"digest  {manifest['digest']}\nseal    {seal['digest']}\n\n{cite}")
