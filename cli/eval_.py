"""`blurgen eval`: how good blur maps are, beside human masks."""

from __future__ import annotations

import click

from blurgen_cli.finding import SPREAD_OPTION, TTA_OPTION, open_finder
from blurgen_cli.options import (
    DEVICE_OPTION,
    json_option,
    print_json,
    printable,
    require_packages,
    text_option,
)

PLOT_NAMES = ("curves.png", "curves.csv", "images.csv")


@click.command("eval")
@text_option("--maps", type=click.Path(), help="Folder of maps: PNG, BMP, JPEG (255 blurred) or .npy (1 blurred).")
@text_option("--model", type=click.Path(), help="Make the maps by a model instead: the folder of a run.")
@text_option("--detector", metavar="NAME", help="Make the maps by a detector without training instead.")
@text_option("--images", type=click.Path(), help="Folder of the photos (--model, --detector).")
@text_option("--truth", type=click.Path(), required=True, help="Folder of the human masks.")
@click.option(
    "--layout",
    type=click.Choice(["cuhk", "dut", "plain"]),
    default="cuhk",
    show_default=True,
    help="cuhk: white is blurred, names tell the type. dut: black is. plain: see --polarity.",
)
@click.option("--polarity", type=click.Choice(["white", "black"]), help="What blurred is in the masks (plain).")
@text_option("--subset", metavar="even|odd|all|FILE", default="all", show_default=True, help="By number, or a list.")
@click.option("--short-side", type=click.IntRange(32), help="Make larger photos so small first. [default: as they are]")
@TTA_OPTION
@SPREAD_OPTION
@DEVICE_OPTION
@click.option("--bootstrap", type=click.IntRange(0, 100_000), default=1000, show_default=True, help="0: no intervals.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of the bootstrap.")
@text_option("--plots", type=click.Path(), help="Folder for curves.png, curves.csv and images.csv.")
@click.option("--overwrite", is_flag=True, help="Replace plots that are there already.")
@json_option
def eval_(
    maps,
    model,
    detector,
    images,
    truth,
    layout,
    polarity,
    subset,
    short_side,
    tta,
    spread,
    device,
    bootstrap,
    seed,
    plots,
    overwrite,
    as_json,
) -> None:
    """Score blur maps against human masks, by type of blur, beside a map that says the same everywhere.

    Maps and masks are matched by name without suffix. Maps of another size are enlarged bilinearly and never
    rescaled in value. docs/metrics.md defines every number. What could not be scored as it is stands on stderr.
    """
    from tqdm import tqdm

    from blurgen.engines import is_quiet
    from blurgen.errors import ArgumentError
    from blurgen.evaluation.protocol import evaluate, list_maps, list_truths

    polarity = _polarity(layout, polarity)
    _check_choice(maps, model, detector, images)
    if maps and (short_side or tta or spread is not None or device != "auto"):
        raise ArgumentError(
            "--short-side and --device are for --model and --detector, --tta and --spread for --model: "
            "leave them out with --maps"
        )
    if plots:
        require_packages("train", "matplotlib")
        _make_room(plots, overwrite, truth, maps or images)
    truths, missing = list_truths(truth, layout, subset)
    known = [one.stem for one in (truths if subset == "all" else list_truths(truth, layout)[0])]
    listed = list_maps(maps or images)
    make_map = _maker(model, detector, short_side, tta, spread, device)
    shown = tqdm(truths, desc="eval", unit="image", disable=is_quiet(True))
    found = evaluate(shown, listed, polarity, make_map, all_stems=known)
    found.notes.names_without_truth += missing
    scores = found.scores(bootstrap, seed)
    for line in found.notes.lines():
        click.echo(printable(line), err=True)
    try:
        if plots:
            _write_plots(plots, found, scores)
    finally:  # whatever becomes of the plots, the scores are told
        print_json(scores | {"notes": vars(found.notes)}) if as_json else _print(scores)


def _make_room(plots: str, overwrite: bool, *sources: str) -> None:
    """The folder of the plots, made before anything is scored. OutputError where they would be in the way."""
    from pathlib import Path

    from blurgen.files import make_folder
    from blurgen.maps import refuse_among_photos, refuse_to_overwrite

    for source in sources:
        refuse_among_photos(Path(plots), source)
    refuse_to_overwrite((Path(plots, name) for name in PLOT_NAMES), (), overwrite)
    make_folder(Path(plots))


def _polarity(layout: str, asked: str | None) -> str:
    from blurgen.errors import ArgumentError
    from blurgen.evaluation.protocol import POLARITIES

    own = POLARITIES[layout]
    if asked and own and asked != own:
        raise ArgumentError(f"--polarity {asked} contradicts --layout {layout} ({own} is blurred); use --layout plain")
    if not (own or asked):
        raise ArgumentError("--layout plain needs --polarity: say what blurred is in the masks, white or black")
    return own or asked


def _check_choice(maps, model, detector, images) -> None:
    from blurgen.errors import ArgumentError

    if sum(map(bool, (maps, model, detector))) != 1:
        raise ArgumentError("give one of --maps, --model and --detector")
    if bool(maps) == bool(images):
        raise ArgumentError("--images goes with --model and --detector: give the folder of the photos")


def _maker(model, detector, short_side, tta, spread, device):
    """What makes a map of a file: reads it, or shows a photo to a model or a detector."""
    from blurgen.evaluation.protocol import read_map, read_photo

    if not (model or detector):
        return read_map
    finder = open_finder(model, detector, short_side=short_side, device=device, tta=tta, spread=spread)
    return lambda path: finder.probability(read_photo(path, finder.pixels))


def _write_plots(folder: str, found, scores: dict) -> None:
    from pathlib import Path

    from blurgen.files import make_folder, publish
    from blurgen.report.score_plots import curves_csv, curves_png, images_csv

    groups = {name: table for name, table in found.groups().items() if len(table) and table.scaled.all()}
    curves = {name: table.curves.by_threshold() for name, table in groups.items()}
    constant = {name: scores["constant"] if name == "all" else scores["constant"][name] for name in groups}
    make_folder(Path(folder))
    publish(Path(folder, "images.csv"), images_csv(found.names, found.types, found.table.auc, found.table.ap))
    publish(Path(folder, "curves.csv"), curves_csv(curves))
    publish(Path(folder, "curves.png"), curves_png(curves, constant))


def _print(scores: dict) -> None:
    """A column for each type of blur that is there: value, interval, and the constant map's score in brackets."""
    from blurgen.evaluation.summary import SCORES

    groups = [name for name in ("defocus", "motion", "all") if scores[name]["n"] or name == "all"]
    headings = [f"{name} ({scores[name]['n']} images)" for name in groups]
    rows = [["", *headings]]
    for key, words in SCORES.items():
        constant = {name: scores["constant"] if name == "all" else scores["constant"][name] for name in groups}
        rows.append([words, *(_entry(scores[name], constant[name], key) for name in groups)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    click.echo("[95 % interval]  (a map that says the same everywhere)")


def _entry(scores: dict, constant: dict, key: str) -> str:
    if scores[key] is None:
        return "-"
    interval = scores.get("ci", {}).get(key)
    between = f" [{interval[0]:.3f}, {interval[1]:.3f}]" if interval else ""
    beside = "" if constant[key] is None else f"  ({constant[key]:.3f})"
    return f"{scores[key]:.3f}{between}{beside}"
