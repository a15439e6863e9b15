"""Where photos come from: lists of photos, their decoding, and their annotated objects if there are any.

source = open_source("folder", "my_photos")
pixels = decode(source.photos[0].read())
"""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from blurgen.errors import SourceError
from blurgen.sources.coco import CocoObjects, open_coco
from blurgen.sources.folder import open_folder
from blurgen.sources.limits import MAX_PIXELS, MIN_SIDE_PX
from blurgen.sources.photo import Photo, Source, decode, printable
from blurgen.sources.sample import open_sample
from blurgen.sources.voc import SPLITS, VocObjects, open_voc

__all__ = [
    "MAX_PIXELS",
    "MIN_SIDE_PX",
    "SOURCES",
    "CocoObjects",
    "Photo",
    "Source",
    "VocObjects",
    "decode",
    "open_source",
]

SOURCES = {"sample": open_sample, "folder": open_folder, "voc": open_voc, "coco": open_coco}
_OPTIONS = {  # what each opener takes; anything else is refused, not passed over
    "sample": (),
    "folder": ("root", "licence", "arrays"),
    "voc": ("root", "split", "with_objects", "licence"),
    "coco": ("root", "split", "annotations", "with_objects", "licence"),
}


def open_source(
    name: str,
    root: str | Path | None = None,
    *,
    split: str = "trainval",
    annotations: str | Path | None = None,
    with_objects: bool = False,
    licence: str | None = None,
    arrays: bool = False,
) -> Source:
    """List the photos of a source; none of them is read.

    Parameters
    ----------
    name : str
        sample, folder, voc or coco.
    root : path, optional
        Where the photos are. Not for sample; voc looks in its usual places without it.
    split : str
        voc, coco: train, val, trainval or all. The other sources have no splits and pass over it.
    annotations : path, optional
        coco: the instances JSON, where it is not in its usual place.
    with_objects : bool
        voc, coco: only photos with annotated objects, and these with them.
    licence : str, optional
        folder, voc: the licence to note for every photo. coco: for those whose licence the JSON does not state.
    arrays : bool
        folder: list .npy arrays too, which ``decode`` takes as "native" only. The other sources have none.

    Returns
    -------
    Source
        Its photos sorted by id.

    Raises
    ------
    SourceError
        An unknown name or split, an option of a wrong type or that the source has no use for, or no photo.
    """
    _check_types(name=(name, str), split=(split, str), licence=(licence, str | None))
    _check_types(with_objects=(with_objects, bool), arrays=(arrays, bool))
    _check_path("root", root, "a folder")
    _check_path("annotations", annotations, "a file")
    if name not in SOURCES:
        raise SourceError(f"unknown source {name!r}: {_suggest(name, SOURCES)}")
    if split not in SPLITS:
        raise SourceError(f"unknown split {split!r}: {_suggest(split, SPLITS)}")
    given = {
        "root": root,
        "annotations": annotations,
        "with_objects": with_objects or None,
        "licence": printable(licence) if licence is not None else None,
    }
    for option, value in given.items():
        if value is not None and option not in _OPTIONS[name]:
            raise SourceError(_useless(name, option))
    wanted = {"root": root, "split": split, **given, "with_objects": with_objects, "arrays": arrays}
    return SOURCES[name](**{option: wanted[option] for option in _OPTIONS[name]})


def _check_types(**options: tuple[object, type]) -> None:
    for option, (value, kind) in options.items():
        if not isinstance(value, kind):
            wanted = {str: "a str", bool: "True or False"}.get(kind, "a str or None")
            raise SourceError(f"{option} is {type(value).__name__}: give {wanted}")


def _check_path(option: str, value: object, what: str) -> None:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if path is not None and not isinstance(path, str):
        raise SourceError(f"{option} is {type(value).__name__}, not a path: name {what}")
    if path == "":
        raise SourceError(f"{option} is empty: name {what}")


def _suggest(word: str, known: object) -> str:
    close = get_close_matches(str(word), list(known), n=1)
    return f"did you mean {close[0]!r}?" if close else f"choose one of {', '.join(known)}"


def _useless(name: str, option: str) -> str:
    takers = [source for source, options in _OPTIONS.items() if option in options]
    what = {"with_objects": "has no annotated objects, which the recipe needs", "licence": "states its own licences"}
    instead = "another recipe" if option == "with_objects" else "leave it out"
    return f"the source {name!r} {what.get(option, f'takes no {option}')}: use {' or '.join(takers)}, or {instead}"
