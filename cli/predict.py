"""`blurgen predict`: maps of where photos are blurred."""

from __future__ import annotations

import click

from blurgen_cli.finding import DETECTOR_OPTION, MODEL_OPTION, SPREAD_OPTION, TTA_OPTION, open_finder
from blurgen_cli.options import (
    DEVICE_OPTION,
    count_of,
    json_option,
    print_json,
    printable,
    text_option,
)


@click.command()
@click.argument("photos", metavar="PHOTO|FOLDER", type=click.Path())
@MODEL_OPTION
@DETECTOR_OPTION
@text_option("--out", type=click.Path(), required=True, help="Folder of the maps; not among the photos.")
@TTA_OPTION
@SPREAD_OPTION
@click.option(
    "--format", "form", type=click.Choice(["png", "npy"]), default="png", show_default=True, help="8-bit or float."
)
@click.option("--overlay", is_flag=True, help="Write NAME.overlay.jpg too: the photo with its map on it.")
@click.option("--short-side", type=click.IntRange(32), help="Make larger photos so small first. [default: as they are]")
@click.option("--tile", type=click.IntRange(32), help="Side of the tiles of large photos, px. [default: 1024 or more]")
@DEVICE_OPTION
@click.option("--overwrite", is_flag=True, help="Replace maps that are there already.")
@json_option
def predict(
    photos, run, detector, out, tta, spread, form, overlay, short_side, tile, device, overwrite, as_json
) -> None:
    """Write a map for PHOTO, or for each photo of FOLDER, of its own size: 255 (or 1.0) blurred, 0 sharp.

    Maps have the names of their photos (a/b.jpg: a/b.png). Their values are probabilities and are never stretched. A
    photo that can't be used is named, and the others are done. `--tta none --no-spread` gives what the model itself
    says of the photo as it is.

    A detector's scores have no bounds: .npy holds them as they are, a PNG through one fixed logistic curve (of a
    detector that has none: through that of the photo's own median and spread).
    """
    from tqdm import tqdm

    from blurgen.engines import is_quiet
    from blurgen.errors import ArgumentError

    if not photos:
        raise ArgumentError("PHOTO|FOLDER is empty; name a photo or a folder")
    finder = open_finder(run, detector, short_side=short_side, device=device, tta=tta, tile=tile, spread=spread)
    from blurgen.maps import MapOptions, list_photos, predict_files

    listed = list_photos(photos)
    done = predict_files(finder, photos, out, MapOptions(form, overlay, overwrite), listed)
    found = []
    with tqdm(total=len(listed), desc="predict", unit="photo", disable=is_quiet(True)) as bar:
        for one in done:
            found.append(one)
            if not as_json:
                _print(one, bar)
            bar.update()
    if as_json:
        return print_json([one.to_dict() for one in found])
    skipped = sum(bool(one.reason) for one in found)
    click.echo(printable(f"{count_of(len(found) - skipped, 'map')} in {out}, {count_of(skipped, 'photo')} skipped"))


def _print(one, bar) -> None:
    """A line for a photo, above the bar."""
    with bar.external_write_mode():
        if one.reason:
            click.echo(printable(f"skipped: {one.photo}: {one.reason}"), err=True)
        else:
            click.echo(printable(f"mean {one.mean:.3f}  {one.photo}: {one.map}"))
