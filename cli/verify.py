"""`blurgen verify`: check every byte of a data set."""

from __future__ import annotations

import sys

import click

from blurgen_cli.options import CACHE_OPTION, count_of, json_option, print_json, printable


@click.command()
@click.argument("shards", type=click.Path(), default="shards")
@click.option("--deep", is_flag=True, help="Decode every pair, too: for a data set whose maker you don't know.")
@click.option("--workers", type=click.IntRange(1, 256), help="Threads. [default: the cores]")
@CACHE_OPTION
@json_option
def verify(shards, deep, workers, cache, as_json) -> None:
    """Check the data set SHARDS [default: shards]: every sha256 and count, structure and provenance of every shard.

    Cached proposals of its photos are checked as well. Exits with 0 if all is well, and with 1 and the names of what is
    bad if not.
    """
    from tqdm import tqdm

    from blurgen.dataset import read_manifest
    from blurgen.dataset import verify as check
    from blurgen.engines import is_quiet
    from blurgen.regions import default_cache

    manifest, seal = read_manifest(shards), _seal_digest(shards)
    found = check(shards, deep=deep, workers=workers, cache=cache or default_cache())
    steps = tqdm(found, total=3 + len(manifest["shards"]), desc="verify", unit="shard", disable=is_quiet(True))
    faults = [fault for _, found in steps for fault in found]
    pairs = sum(shard["pairs"] for shard in manifest["shards"])
    if as_json:
        counts = {"shards": len(manifest["shards"]), "pairs": pairs}
        print_json({"ok": not faults, **counts, "digest": manifest["digest"], "seal": seal, "faults": faults})
    else:
        for fault in faults:
            click.echo(f"bad: {printable(fault)}", err=True)
        where = f"{count_of(pairs, 'pair')} in {count_of(len(manifest['shards']), 'shard')}"
        click.echo(f"{'FAILED' if faults else 'ok'}: {where}, {count_of(len(faults), 'fault')}")
        click.echo(f"digest  {manifest['digest']}")
        if seal:
            click.echo(f"seal    {seal}")
    sys.exit(1 if faults else 0)


def _seal_digest(shards) -> str | None:
    """The digest of the seal; None where there is none, or a damaged one, which is a fault."""
    from blurgen.dataset.seal import read_seal
    from blurgen.errors import ShardError

    try:
        seal = read_seal(shards)
    except ShardError:
        return None
    return seal and seal["digest"]
