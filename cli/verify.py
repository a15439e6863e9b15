"""`blurgen verify`: check every byte of a data set."""

from __future__ import annotations

import sys

import click

from blurgen_cli.options import count_of, json_option, print_json, printable


@click.command()
@click.argument("shards", type=click.Path(), default="shards")
@json_option
def verify(shards, as_json) -> None:
    """Check the data set SHARDS [default: shards]: every sha256, every count, every pair.

    Exits with 0 if all is well, and with 1 and the names of the bad shards if not.
    """
    from tqdm import tqdm

    from blurgen.dataset import read_manifest
    from blurgen.dataset import verify as check
    from blurgen.engines import is_quiet

    manifest = read_manifest(shards)
    steps = tqdm(check(shards), total=1 + len(manifest["shards"]), desc="verify", unit="shard", disable=is_quiet(True))
    faults = [fault for _, found in steps for fault in found]
    pairs = sum(shard["pairs"] for shard in manifest["shards"])
    if as_json:
        counts = {"shards": len(manifest["shards"]), "pairs": pairs}
        print_json({"ok": not faults, **counts, "digest": manifest["digest"], "faults": faults})
    else:
        for fault in faults:
            click.echo(f"bad: {printable(fault)}", err=True)
        where = f"{count_of(pairs, 'pair')} in {count_of(len(manifest['shards']), 'shard')}"
        click.echo(f"{'FAILED' if faults else 'ok'}: {where}, {count_of(len(faults), 'fault')}")
    sys.exit(1 if faults else 0)
