"""`blurgen info`: what is in a data set."""

from __future__ import annotations

import click

from blurgen_cli.options import SHOWN, count_of, json_option, megabytes, print_json, printable

AMOUNTS = ("sigma_px", "radius_px", "length_px", "turn_deg", "zoom", "tilt")


@click.command()
@click.argument("shards", type=click.Path(), default="shards")
@json_option
def info(shards, as_json) -> None:
    """Say what is in the data set SHARDS [default: shards]."""
    from blurgen.dataset import info as read_info

    found = read_info(shards)
    if as_json:
        print_json(found)
        return
    amounts = [(key, found[key]) for key in AMOUNTS if key in found]
    lines = [
        ("pairs", f"{found['pairs']} in {count_of(found['shards'], 'shard')}, {megabytes(found['bytes'])}"),
        ("sizes", _sizes(found["sizes"])),
        *_history(found),
        ("photos", f"{found['photos']}{_source(found)}, {len(found['quarantined'])} quarantined"),
        ("licences", _counts(found["licences"])),
        ("blur", _counts(found["blur_kinds"])),
        *((f"  {key}", _spread(value)) for key, value in amounts),
        ("masks", _counts(found["mask_kinds"])),
        ("inverted", f"{found['inverted_share']:.1%} of the pairs (the outside of the region is blurred)"),
        ("blurred share", _spread(found["blurred_share"])),
        ("two blurs", f"{found['second_share']:.1%} of the pairs") if found["second_share"] else ("", ""),
        ("near", f"{found['near_share']:.1%} of the pairs (blurred in front)") if found["near_share"] else ("", ""),
        ("JPEG before", f"{found['jpeg_share']:.1%} of the pairs") if found["jpeg_share"] else ("", ""),
        ("sharpness", _spread(found["sharpness"])),
        ("noise", _spread(found["noise_sigma"])) if "noise_sigma" in found else ("", ""),
        ("targets", ", ".join(found["targets"])) if found["targets"] else ("", ""),
        ("rejected", _counts(found["rejected"])),
        ("replaced", f"{count_of(found['replaced'], 'pair')}, made from another photo than planned"),
        ("upscaled", f"{count_of(found['upscaled'], 'pair')}, from crops smaller than the pair"),
        ("digest", found["digest"]),
    ]
    for name, text in lines:
        if text:
            click.echo(printable(f"{name:<15}{text}"))
    for one in found["quarantined"][:SHOWN]:
        click.echo(printable(f"  quarantined  {one['id']}: {one['reason']}"))


def _history(found: dict) -> list[tuple[str, str]]:
    """Recipe and seed, or what the data set was derived from."""
    if "derived" not in found:
        return [("recipe", f"{found['recipe']}, seed {found['seed']}")]
    derived, origins = found["derived"], found["origins"]
    arguments = ", ".join(f"{name} {value}" for name, value in derived["arguments"].items())
    lines = [("derived", f"by {derived['by']}{f' ({arguments})' if arguments else ''}")]
    lines += [("  parent", digest) for digest in derived["parents"][:SHOWN]]
    lines += [
        ("  origin", f"{count_of(one['pairs'], 'pair')}, recipe {one['recipe']}, seed {one['seed']}{_source(one)}")
        for one in origins[:SHOWN]
    ]
    more = max(len(derived["parents"]), len(origins)) - SHOWN
    return [*lines, ("", f"... and {more} more: --json")] if more > 0 else lines


def _source(one: dict) -> str:
    split = f" ({one['split']})" if one.get("split") else ""
    return f" from {one['source']}{split}" if "source" in one else ""


def _counts(values: dict) -> str:
    return ", ".join(f"{count} {name}" for name, count in values.items()) or "-"


def _sizes(sizes: dict[str, int]) -> str:
    if len(sizes) <= 4:
        return _counts(sizes)
    by_area = sorted(sizes, key=lambda size: int(size.split("x")[0]) * int(size.split("x")[1]))
    return f"{len(sizes)} sizes, {by_area[0]} to {by_area[-1]}"


def _spread(values: dict) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in values.items())
