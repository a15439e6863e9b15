"""`blurgen preview`: a contact sheet of a data set or of what a recipe would make; one photo's proposals; kernels."""

from __future__ import annotations

from pathlib import Path

import click

from blurgen_cli.options import (
    RECIPE_OPTIONS,
    SOURCE_OPTIONS,
    add_options,
    json_option,
    print_json,
    printable,
    read_recipe,
    read_source,
    text_option,
)


@click.command()
@click.argument("shards", type=click.Path(), required=False)
@text_option("--proposals", type=click.Path(), metavar="PHOTO", help="Show the object proposals of this photo instead.")
@click.option("--kernels", is_flag=True, help="Show kernels of each kind instead.")
@add_options(SOURCE_OPTIONS)
@add_options(RECIPE_OPTIONS)
@click.option("--workers", type=int, help="Processes that look for proposals. [default: the cores]")
@click.option("--pairs", type=click.IntRange(1, 400), default=24, show_default=True, help="How many to show.")
@text_option("--out", default="preview.png", show_default=True, help="The PNG to write.")
@json_option
@click.pass_context
def preview(
    ctx, shards, proposals, kernels, recipe_name, size, seed, cache, workers, pairs, out, as_json, **source
) -> None:
    """Draw a contact sheet: photo, mask outline, kernel and a line of provenance for each pair.

    With SHARDS: pairs evenly spaced through that data set. With --source or --recipe: pairs as they would be made,
    before anything is. With neither: ./shards if it is there, else the default recipe on the sample photos.

    With --proposals: no pairs, but that photo, its contours and its first 24 object proposals, found as the recipe
    says. With --json: "area" is a share of the photo, "count" that of all proposals.

    With --kernels: no pairs, but six draws of each kind of blur with their parameters. Their ranges are those of the
    recipe; the kinds that it does not mix are shown too.
    """
    from blurgen.dataset.seal import refuse_frozen
    from blurgen.errors import ArgumentError

    asked = [name for name in ctx.params if ctx.get_parameter_source(name).name == "COMMANDLINE"]
    refuse_frozen(Path(out).parent)
    if proposals:
        _check_alone(asked, "proposals", "one photo", ())
        return _show_proposals(proposals, read_recipe(recipe_name, None).proposals, Path(out), as_json)
    if kernels:
        _check_alone(asked, "kernels", "no photos", ("seed",))
        return _show_kernels(read_recipe(recipe_name, None), seed, Path(out), as_json)
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


def _check_alone(asked: list[str], mode: str, shown: str, also: tuple[str, ...]) -> None:
    """With --proposals and --kernels go --recipe, --out, --json and what is in ``also``."""
    from blurgen.errors import ArgumentError

    others = [name for name in asked if name not in (mode, "recipe_name", "out", "as_json", *also)]
    if others:
        name = "SHARDS" if others[0] == "shards" else f"--{others[0].removesuffix('_name')}"
        raise ArgumentError(f"{name} does not go with --{mode}, which shows {shown}; leave one of the two out")


def _show_kernels(recipe, seed: int, out: Path, as_json: bool) -> None:
    from blurgen.errors import ArgumentError
    from blurgen.files import publish
    from blurgen.report.contact_sheet import png_bytes
    from blurgen.report.kernel_sheet import kernel_draws, kernel_rows, kernel_sheet

    _check_out(out, None)
    if not 0 <= seed < 2**63:
        raise ArgumentError(f"seed is {seed}: give a number from 0 to 2**63 - 1")
    draws = kernel_draws(recipe.blur, seed)
    title = f"kernels of {recipe.name}, seed {seed}"
    publish(out, png_bytes(kernel_sheet(draws, printable(title))))
    if as_json:
        print_json({"out": str(out), "recipe": recipe.name, "seed": seed, "kernels": kernel_rows(draws)})
    else:
        click.echo(printable(f"{title}: {out}"))


def _show_proposals(path: str, params, out: Path, as_json: bool) -> None:
    from blurgen.files import publish
    from blurgen.proposals import object_proposals, ultrametric_contours
    from blurgen.report.contact_sheet import png_bytes
    from blurgen.report.proposal_sheet import proposal_rows, proposal_sheet, sheet_title

    _check_out(out, None)
    photo = _read_photo(path, out)
    found = object_proposals(photo, params)
    superpixels = found.superpixels
    title = sheet_title(Path(path).name, photo.shape[:2], found, params)
    contours = ultrametric_contours(photo, params)
    publish(out, png_bytes(proposal_sheet(photo, found, superpixels, contours, title)))
    if not as_json:
        return click.echo(printable(f"{title}: {out}"))
    facts = {
        "out": str(out),
        "photo": path,
        "shape": photo.shape[:2],
        "contours": params.contours,
        "score": params.score,
    }
    print_json(
        {
            **facts,
            "superpixels": found.membership.shape[1],
            "proposals": proposal_rows(found, superpixels),
            "count": len(found),
        }
    )


def _read_photo(path: str, out: Path):
    """The pixels of the photo, which --out must not overwrite."""
    from blurgen.errors import ArgumentError, PhotoError
    from blurgen.sources.photo import decode, read_file

    try:
        data = read_file(Path(path), "photo")
        if out.exists() and out.samefile(path):
            raise ArgumentError(f"--out is {out}: that is the photo itself, choose another name")
        return decode(data)
    except PhotoError as error:
        raise PhotoError(f"{path}: {error} (--proposals takes the path of one photo)") from None


def _from_shards(shards: str, pairs: int):
    from blurgen.dataset import open_dataset
    from blurgen.plan import evenly_spread

    with open_dataset(shards) as data:
        return str(shards), [data[place] for place in evenly_spread(pairs, len(data))]


def _from_source(source: dict, recipe, pairs: int, **options):
    from blurgen.generate import preview_pairs

    photos = read_source(source.pop("source_name"), recipe=recipe, **source)
    return f"{recipe.name} on {photos.name}", preview_pairs(photos, pairs, recipe, **options)


def _write(title: str, pairs: list, out: Path) -> None:
    from blurgen.files import publish
    from blurgen.report.contact_sheet import contact_sheet, png_bytes

    publish(out, png_bytes(contact_sheet(pairs, title)))
