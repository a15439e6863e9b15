"""`blurgen apply`: what maps of blur are good for."""

from __future__ import annotations

import click

from blurgen_cli.finding import FINDING_OPTIONS, open_finder
from blurgen_cli.options import add_options, count_of, json_option, print_json, printable, text_option

OUT_OPTION = text_option("--out", type=click.Path(), required=True, help="Folder to write to; not among the photos.")
OVERWRITE_OPTION = click.option("--overwrite", is_flag=True, help="Replace files that are there already.")


@click.group()
def apply() -> None:
    """Use maps of blur: cut out what is sharp, rank photos by blur, blur a background more.

    Works with a model (--model) or without any training (--detector). A detector can't tell what is flat from what is
    blurred, and its scores are made numbers from 0 to 1 by a rule of thumb.
    """


@apply.command()
@click.argument("photo", type=click.Path())
@add_options(FINDING_OPTIONS)
@OUT_OPTION
@OVERWRITE_OPTION
@json_option
def segment(photo, run, detector, short_side, device, out, overwrite, as_json) -> None:
    """Cut PHOTO into sharp and blurred: NAME.mask.png (255 blurred), NAME.cutout.png (what is sharp, RGBA).

    GrabCut, started from the map: below .1 sharp, below .5 perhaps, below .9 perhaps blurred, else blurred. One that is
    sharp, or blurred, as a whole is left whole.
    """
    finder = _finder(photo, run, detector, short_side, device)
    from blurgen.applications import segment_file

    done = segment_file(finder, photo, out, overwrite)
    if as_json:
        return print_json(done)
    click.echo(printable(f"{done['blurred_share']:.0%} blurred: {done['mask']}, {done['cutout']}"))


@apply.command()
@click.argument("photos", metavar="FOLDER", type=click.Path())
@add_options(FINDING_OPTIONS)
@OUT_OPTION
@OVERWRITE_OPTION
@json_option
def degree(photos, run, detector, short_side, device, out, overwrite, as_json) -> None:
    """Which photos of FOLDER are blurred: degrees.csv, the most blurred first, and degrees.png, a sheet in that order.

    The degree of a photo is the mean of its map, 0 to 1. (Not with liu, shi and hifst, whose scores are relative to the
    photo.) A photo that can't be used is named, and left out.
    """
    from tqdm import tqdm

    finder = _finder(photos, run, detector, short_side, device)
    from blurgen.applications import degree_files, degree_targets, degrees, ranked
    from blurgen.engines import is_quiet
    from blurgen.maps import list_photos

    listed = list_photos(photos)
    table, sheet = degree_targets(photos, out, listed, overwrite)
    bar = tqdm(degrees(finder, listed), desc="degree", total=len(listed), unit="photo", disable=is_quiet(True))
    found = list(bar)
    order = ranked(found)
    if not as_json:
        _print_degrees(found, order)
    degree_files(finder, order, table, sheet)
    if as_json:
        return print_json([one.to_dict() for one in [*order, *(one for one in found if one.reason)]])
    click.echo(printable(f"{count_of(len(order), 'photo')} in {table} and {sheet}"))


def _print_degrees(found: list, order: list) -> None:
    for one in found:
        if one.reason:
            click.echo(printable(f"skipped: {one.photo.id}: {one.reason}"), err=True)
    for one in order:
        click.echo(printable(f"{one.degree:.3f}  {one.photo.id}"))


@apply.command()
@click.argument("photo", type=click.Path())
@click.option("--amount", type=click.FloatRange(0.1, 64), help="Blur at 1.0, px. [default: 1 % of the longer side]")
@add_options(FINDING_OPTIONS)
@OUT_OPTION
@OVERWRITE_OPTION
@json_option
def magnify(photo, amount, run, detector, short_side, device, out, overwrite, as_json) -> None:
    """Blur PHOTO more where it is blurred: NAME.magnified.png; below .5 of the map it stays as it is, to the bit.

    The blur grows with the map, to a Gaussian of --amount px where it is 1. No colour of what is sharp runs into what
    is blurred.
    """
    finder = _finder(photo, run, detector, short_side, device)
    from blurgen.applications import magnify_file

    done = magnify_file(finder, photo, out, amount, overwrite)
    if as_json:
        return print_json(done)
    click.echo(printable(f"{done['amount_px']:g} px: {done['image']}"))


def _finder(path: str, run: str | None, detector: str | None, short_side: int, device: str):
    """A model, or a detector, the Laplacian where none is named. ArgumentError for an empty path, too."""
    from blurgen.errors import ArgumentError

    if not path:
        raise ArgumentError("the photo or folder is empty; name one")
    name = detector or (None if run else "laplacian")
    return open_finder(run, name, short_side=short_side, device=device)
