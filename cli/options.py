"""Options that several commands share, and how they print."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import click


def text_option(*names: str, **settings: Any) -> Callable:
    """An option that takes a text; an empty one is a slip (an unset variable, say), not a value."""

    def check(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
        if value == "":
            raise click.BadParameter("is empty; give a value or leave the option out")
        return value

    return click.option(*names, callback=check, **settings)


ROOT_OPTION = text_option("--root", type=click.Path(), help="Where the photos are (folder, voc, coco).")
ANNOTATIONS_OPTION = text_option(
    "--annotations", type=click.Path(), help="The instances JSON (coco), if not where COCO puts it."
)
CACHE_OPTION = text_option(
    "--cache", type=click.Path(), help="Where proposals are kept. [default: $BLURGEN_CACHE or ~/.cache/blurgen]"
)
SOURCE_OPTIONS = (
    text_option("--source", "source_name", metavar="NAME", help="sample, voc, coco or folder. [default: sample]"),
    ROOT_OPTION,
    text_option(
        "--split",
        metavar="SPLIT",
        default="trainval",
        show_default=True,
        help="train, val, trainval or all (voc, coco).",
    ),
    ANNOTATIONS_OPTION,
    text_option("--licence", help="Noted for photos whose source states none (folder, voc, coco)."),
)
RECIPE_OPTIONS = (
    text_option(
        "--recipe",
        "recipe_name",
        metavar="NAME|FILE",
        help="What is made; `blurgen recipes` lists them. [default: real]",
    ),
    text_option("--size", metavar="SIZE", help='Pairs of 320, HEIGHTxWIDTH px, or "native". [default: the recipe\'s]'),
    click.option("--seed", type=int, default=0, show_default=True, help="Another seed, other pairs."),
    CACHE_OPTION,
)
PHOTO_OPTIONS = (
    text_option("--source", "source_name", metavar="NAME", help="sample, voc, coco, folder. [default: the manifest's]"),
    ROOT_OPTION,
    text_option("--split", metavar="SPLIT", help="train, val, trainval or all (voc, coco). [default: the manifest's]"),
    ANNOTATIONS_OPTION,
)
"""Where the photos of a data set are that is there already: see ``open_photos``."""

DEVICE_OPTION = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="auto: a GPU, if any.",
)

SHOWN = 10
"""How many quarantined photos are printed before the rest is only counted."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def add_options(options: tuple[Callable, ...]) -> Callable:
    """A decorator that adds ``options`` in their order."""

    def decorate(command: Callable) -> Callable:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


def read_recipe(name: str | None, size: str | None):
    """The recipe that --recipe and --size ask for."""
    from blurgen.errors import ArgumentError, RecipeError
    from blurgen.recipe import load_recipe

    recipe = load_recipe(name) if name else load_recipe()
    try:
        return recipe.with_values({"geometry.size": size}, "--size") if size else recipe
    except RecipeError as error:
        raise ArgumentError(str(error)) from None


def read_source(name: str | None, root, split: str, annotations, licence: str | None, recipe):
    """The source that the options ask for, with annotated objects if the recipe wants them."""
    from blurgen.order import recipe_options
    from blurgen.sources import open_source

    options = {"annotations": annotations, "licence": licence, **recipe_options(recipe)}
    return open_source(name or "sample", root, split=split, **options)


def open_photos(origin, source_name, root, split, annotations):
    """The photos of an origin of pairs: where the options say, else where the manifest says they came from."""
    if source_name is None and origin.source == "sample":  # one of several sources, maybe: it takes no folder
        root = annotations = None
    name, split = source_name or origin.source, split or origin.split or "trainval"
    return read_source(name, root, split, annotations, None, origin.recipe)


def print_json(value: Any) -> None:
    """One JSON document on stdout."""
    click.echo(json.dumps(value, indent=1))


def printable(text: str) -> str:
    """``text`` on one line and without control characters, which a file name may hold."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def count_of(count: int, noun: str) -> str:
    """1 pair, 2 pairs."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def megabytes(count: int) -> str:
    """Bytes for people."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.{2 if unit == 'GB' else 1}f} {unit}"
    return f"{count / 1e3:.0f} kB"


def duration(seconds: float) -> str:
    """Seconds for people."""
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= (2 if unit == "days" else 1) * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def print_derived(made, name: str = "data set") -> None:
    """What a merge, a split or a subset made, for people."""
    now = "" if made.pairs_copied else "; it was all there"
    size = f"{count_of(made.pairs, 'pair')} in {count_of(made.shards, 'shard')}, {megabytes(made.bytes)}"
    click.echo(printable(f"{name:<10}{made.out}: {size}, {count_of(made.photos, 'photo')}{now}"))


def require_training() -> None:
    """Raise DependencyError unless what `train` and `predict` need is installed."""
    require_packages("train", "torch", "safetensors", "matplotlib")


def require_packages(extra: str, *names: str) -> None:
    """Raise DependencyError, which names the extra, unless all these packages are installed."""
    from importlib.util import find_spec

    from blurgen.errors import DependencyError

    missing = [name for name in names if find_spec(name) is None]
    if missing:
        raise DependencyError(f"{', '.join(missing)} not installed; `pip install 'blurgen[{extra}]'` brings it")
