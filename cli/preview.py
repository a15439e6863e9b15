"""`blurgen preview`: a contact sheet of a data set, or of what a recipe would make."""

from __future__ import annotations

from pathlib import Path

import click

from blurgen_cli.options import (
    RECIPE_OPTIONS,
    SOURCE_OPTIONS,
    add_options,
    json_option,
    print_json,
    read_recipe,
    read_source,
    text_option,
)


@click.command()
@click.argument("shards", type=click.Path(), required=False)
@add_options(SOURCE_OPTIONS)
@add_options(RECIPE_OPTIONS)
@click.option("--workers", type=int, help="Processes that look for proposals. [default: the cores]")
@click.option("--pairs", type=click.IntRange(1, 400), default=24, show_default=True, help="How many to show.")
@text_option("--out", default="preview.png", show_default=True, help="The PNG to write.")
@json_option
@click.pass_context
def preview(ctx, shards, recipe_name, size, seed, cache, workers, pairs, out, as_json, **source) -> None:
    """Draw a contact sheet: photo, mask outline, kernel and a line of provenance for each pair.

    With SHARDS: pairs evenly spaced through that data set. With --source or --recipe: pairs as they would be made,
    before anything is. With neither: ./shards if it is there, else the default recipe on the sample photos.
    """
    from blurgen.errors import ArgumentError

    asked = [name for name in ctx.params if ctx.get_parameter_source(name).name == "COMMANDLINE"]
    making = [name.removesuffix("_name") for name in asked if name not in ("shards", "pairs", "out", "as_json")]
    if shards and making:
        raise ArgumentError(f"--{making[0]} goes with a source, not with a finished data set; leave one of the two out")
    if not shards and not making and Path("shards").is_dir():
        shards = "shards"
    _check_out(Path(out), source["root"] if source["source_name"] == "folder" else None)
    if shards:
        what, made = _from_shards(shards, pairs)
    else:
        options = {"seed": seed, "cache": cache, "workers": workers}
        what, made = _from_source(source, read_recipe(recipe_name, size), pairs, **options)
    _write(what, made, Path(out))
    if as_json:
        print_json({"out": str(out), "of": what, "pairs": [pair.provenance for pair in made]})
    else:
        click.echo(f"{len(made)} pairs of {what}: {out}")


def _check_out(out: Path, photos: str | None) -> None:
    """A contact sheet is a PNG, and no photo of the folder that it shows."""
    from blurgen.errors import ArgumentError

    if out.suffix.lower() != ".png":
        raise ArgumentError(f"--out is {out}: the contact sheet is a PNG, give a name that ends in .png")
    if photos and out.resolve().is_relative_to(Path(photos).resolve()):
        raise ArgumentError(f"--out is {out}: that lies among the photos of --root, choose a place outside of it")


def _from_shards(shards: str, pairs: int):
    from blurgen.dataset import open_dataset

    with open_dataset(shards) as data:
        count = min(pairs, len(data))
        return str(shards), [data[place * len(data) // count] for place in range(count)]


def _from_source(source: dict, recipe, pairs: int, **options):
    from blurgen.generate import preview_pairs

    photos = read_source(source.pop("source_name"), recipe=recipe, **source)
    return f"{recipe.name} on {photos.name}", preview_pairs(photos, pairs, recipe, **options)


def _write(title: str, pairs: list, out: Path) -> None:
    from blurgen.files import publish
    from blurgen.report.contact_sheet import contact_sheet, png_bytes

    publish(out, png_bytes(contact_sheet(pairs, title)))
