"""`blurgen diff`: what differs between two data sets."""

from __future__ import annotations

import sys

import click

from blurgen_cli.options import SHOWN, count_of, json_option, print_json, printable


@click.command()
@click.argument("a", type=click.Path())
@click.argument("b", type=click.Path())
@json_option
def diff(a, b, as_json) -> None:
    """Say what differs between the data sets A and B: recipe, seed, photos, build, and pairs by their number.

    Exits with 0 if they are the same, and with 1 if not. Shards that both manifests list with the same sha256 are not
    read: `blurgen verify` tells whether they are what the manifest says.
    """
    from blurgen.dataset.differing import diff as compare

    found = compare(a, b)
    if as_json:
        print_json(found)
    else:
        for line in _lines(found, a, b):
            click.echo(printable(line))
    sys.exit(0 if found["same"] else 1)


def _lines(found: dict, a: str, b: str) -> list[str]:
    from blurgen.dataset.manifest import short

    photos, pairs = found["photos"], found["pairs"]
    if found["same"]:
        return [f"same: {count_of(pairs['compared'], 'pair')}"]
    made = [f"{one['key']}: {short(one['one'])} / {short(one['other'])}" for one in found["made"]]
    changed = [f"{one['id']} ({_some(one['keys'])})" for one in photos["changed"]]
    lines = [
        *_listed("made", made),
        *_listed(f"photos only in {a}", photos["only_one"]),
        *_listed(f"photos only in {b}", photos["only_other"]),
        *_listed("photos that changed", changed),
        f"pairs: {pairs['differing']} of {pairs['compared']} differ{_parts(pairs['parts'])}",
    ]
    lines += [f"  {one['pair']}: {_some(one['parts'])}" for one in pairs["first"]]
    left = pairs["differing"] - len(pairs["first"])
    return [*lines, f"  ... and {left} more"] if left else lines


def _listed(title: str, lines: list[str]) -> list[str]:
    """A title with the number of lines, the first of them, and how many are left."""
    shown = [f"  {line}" for line in lines[:SHOWN]]
    more = [f"  ... and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []
    return [f"{title}: {len(lines)}", *shown, *more] if lines else []


def _parts(parts: dict[str, int]) -> str:
    return f" ({_some([f'{name} {count}' for name, count in parts.items()])})" if parts else ""


def _some(words: list[str]) -> str:
    words = [word.removeprefix("provenance.") for word in words]
    more = f", ... and {len(words) - SHOWN} more" if len(words) > SHOWN else ""
    return ", ".join(words[:SHOWN]) + more
