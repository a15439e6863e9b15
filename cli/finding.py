"""What finds blur: the options of the commands that take a model or a detector."""

from __future__ import annotations

import click

from blurgen_cli.options import DEVICE_OPTION, require_training, text_option

MODEL_OPTION = text_option(
    "--model", "run", type=click.Path(), metavar="RUN", help="The folder of a run, or its best.safetensors."
)
DETECTOR_OPTION = text_option("--detector", metavar="NAME", help="Instead: a detector that needs no training.")
TTA_OPTION = click.option(
    "--tta",
    type=click.Choice(["none", "flip", "4", "scales"]),
    help="Combine the maps of mirror images, or of a photo and its halves, if its short side has 512 px. "
    "[default, with --model: scales]",
)
SPREAD_OPTION = click.option(
    "--spread/--no-spread",
    default=None,
    help="Where there is no texture, go by what is found around it. [default, with --model: --spread]",
)
FINDING_OPTIONS = (
    MODEL_OPTION,
    text_option("--detector", metavar="NAME", help="One that needs no training. [default, without --model: laplacian]"),
    click.option(
        "--short-side",
        type=click.IntRange(32),
        default=320,
        show_default=True,
        help="Blur is looked for in photos made so small.",
    ),
    DEVICE_OPTION,
)


def open_finder(
    run: str | None,
    detector: str | None,
    *,
    short_side: int | None,
    device: str = "auto",
    tta: str | None = None,
    tile: int | None = None,
    spread: bool | None = None,
):
    """The model or the detector that the options ask for, exactly one of them.

    Models spread what they find, at all the sizes of a large photo together, unless told otherwise: docs/recipes.md.

    ArgumentError; ModelError; DependencyError where a model needs torch and there is none.
    """
    from blurgen.errors import ArgumentError
    from blurgen.maps import detector_finder

    if (run is None) == (detector is None):
        raise ArgumentError("give either --model or --detector")
    if detector is not None:
        if tta or tile or spread is not None or device != "auto":
            raise ArgumentError("--tta, --spread, --tile and --device are for models: leave them out with --detector")
        return detector_finder(detector, short_side)
    require_training()
    from blurgen.training.predict import BEST, model_finder
    from blurgen.training.processes import choose_device
    from blurgen.training.run import load_model

    model, config = load_model(run, choose_device(device))
    how = BEST | {name: value for name, value in (("tta", tta), ("spread", spread)) if value is not None}
    return model_finder(model, config.data.dtype, tile_px=tile, short_side=short_side, **how)
