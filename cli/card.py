"""`blurgen card`: what a stranger has to know of a model."""

from __future__ import annotations

import click

from blurgen_cli.options import json_option, print_json, printable, require_training, text_option


@click.command()
@click.argument("run", type=click.Path())
@click.argument("shards", type=click.Path(), nargs=-1)
@text_option("--real", type=click.Path(), metavar="DIR", help="Real photos with human blur masks, to score it on.")
@click.option("--real-blurred", type=click.Choice(["white", "black"]), help="What means blurred there.")
@text_option("--real-masks", metavar="NAME", help="The folder of the masks, if there are several.")
@json_option
def card(run, shards, real, real_blurred, real_masks, as_json) -> None:
    """Write the model card of RUN, a folder of `blurgen train`, which was trained on SHARDS [default: shards].

    RUN/README.md names the data, the recipe, what the model can't do and what it scores: on the synthetic pairs that
    were held out, and with --real on real photos, beside detectors that learn nothing.
    """
    require_training()
    from pathlib import Path

    from blurgen.errors import ArgumentError

    if bool(real) != bool(real_blurred) or (real_masks and not real):
        raise ArgumentError("--real goes with --real-blurred (CUHK white, DUT black), and --real-masks with these")
    from blurgen.sources.labelled import open_labelled
    from blurgen.training.card import write_card

    photos = open_labelled(real, real_blurred, masks=real_masks) if real else None
    path = write_card(Path(run), [Path(folder) for folder in shards or ("shards",)], photos)
    print_json({"card": str(path)}) if as_json else click.echo(printable(f"written: {path}"))
