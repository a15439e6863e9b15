"""Freeze a data set: check it, describe it, seal it, take the right to write."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path

from blurgen.dataset.card import card
from blurgen.dataset.croissant import croissant
from blurgen.dataset.manifest import read_manifest
from blurgen.dataset.reading import Dataset
from blurgen.dataset.seal import (
    CARD_NAME,
    CROISSANT_NAME,
    SEAL_NAME,
    is_read_only,
    make_read_only,
    part_names,
    read_seal,
    strangers,
    write_seal,
)
from blurgen.dataset.summary import info
from blurgen.dataset.verifying import verify
from blurgen.errors import ArgumentError, OutputError, ShardError
from blurgen.files import locked, publish, read_plain, sha256_file, sweep
from blurgen.shards.format import MANIFEST_NAME, RECIPE_NAME

Faults = tuple[str, list[str]]
Watch = Callable[[Iterable[Faults]], Iterable[Faults]]

SHOWN = 3
"""So many faults are named in the error, the rest is counted."""

MAX_TEXT = 500


@dataclass(frozen=True)
class About:
    """What only the maker of a data set can say of it; it goes into the card, the Croissant file and the seal.

    ``licence`` is a name or a URL (https://spdx.org/licenses/), ``url`` the page of the data set, ``published`` a date
    (YYYY-MM-DD). Croissant asks for all five; what is missing is left out.
    """

    name: str | None = None
    licence: str | None = None
    creator: str | None = None
    url: str | None = None
    published: str | None = None

    def __post_init__(self) -> None:
        for key, value in self.given.items():
            if not value.strip() or len(value) > MAX_TEXT or not value.isprintable():
                raise ArgumentError(f"{key} is {value!r:.40}: give a text of one line, up to {MAX_TEXT} characters")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ArgumentError(f"url is {self.url!r:.60}: give one that begins with https://")
        if self.published and not _is_date(self.published):
            raise ArgumentError(f"published is {self.published!r:.40}: give a date, YYYY-MM-DD")

    @property
    def given(self) -> dict[str, str]:
        """What is said, by key."""
        return {key: value for key, value in asdict(self).items() if value is not None}


def _is_date(value: str) -> bool:
    try:
        return datetime.date.fromisoformat(value).isoformat() == value
    except ValueError:
        return False


def freeze(folder: str | Path, about: About | None = None, *, watch: Watch = iter) -> dict:
    """Freeze a data set and return its seal; does nothing but check if it is frozen already.

    Every shard is checked; README.md, croissant.json and, last, frozen.json are written; then all is made read-only.
    The same data set and ``about`` give the same bytes, and what a kill interrupts can be run again.

    Parameters
    ----------
    watch : callable, optional
        Gets the steps of the check, ``(name, faults)`` each, and passes them on: for a progress bar.

    Raises
    ------
    ShardError
        There is no data set, it is not finished, or it has faults.
    OutputError
        It is frozen with another ``about``, holds foreign files, is in use, or can't be written.
    """
    folder = Path(folder)
    said = None if about is None else about.given
    read_manifest(folder)  # so that nothing is written where there is no data set
    with nullcontext() if is_read_only(folder) and read_seal(folder) else locked(folder):
        manifest, seal = read_manifest(folder), read_seal(folder)
        if seal is None:
            seal = _seal(folder, manifest, said or {}, watch)
        else:
            _refuse_faults(folder, watch(verify(folder)), "is frozen, but its seal doesn't hold")
    if said is not None and said != seal["about"]:
        raise OutputError(f"{folder}: is frozen with another description; freeze a copy without its {SEAL_NAME}")
    make_read_only(folder)
    return seal


def _seal(folder: Path, manifest: dict, said: dict[str, str], watch: Watch) -> dict:
    sweep(folder)
    if manifest["complete"]:
        _refuse_strangers(folder, manifest)
    _refuse_faults(folder, watch(verify(folder, deep=True)), "can't be frozen")
    for name, data in documents(folder, said).items():
        publish(folder / name, data)
    return write_seal(folder, manifest, said)


def documents(folder: str | Path, said: dict[str, str]) -> dict[str, bytes]:
    """README.md and croissant.json of a data set: name -> bytes. ``said`` is the ``about`` of its seal."""
    folder = Path(folder)
    found = info(folder)
    with Dataset(folder) as data:
        manifest, readme = data.manifest, card(data, found, said)
    names = [name for name in (MANIFEST_NAME, RECIPE_NAME) if name in part_names(manifest)]
    files = {name: (sha256_file(folder / name), (folder / name).stat().st_size) for name in names}
    files |= {shard["name"]: (shard["sha256"], shard["bytes"]) for shard in manifest["shards"]}
    metadata = json.dumps(croissant(manifest, found, said, files), indent=1, ensure_ascii=False, allow_nan=False)
    return {CARD_NAME: readme.encode(), CROISSANT_NAME: f"{metadata}\n".encode()}


def _refuse_faults(folder: Path, steps: Iterable[Faults], what: str) -> None:
    faults = [fault for _, found in steps for fault in found]
    if faults:
        more = f"; and {len(faults) - SHOWN} more, see `blurgen verify`" if len(faults) > SHOWN else ""
        raise ShardError(f"{folder}: {what}: {'; '.join(faults[:SHOWN])}{more}")


def _refuse_strangers(folder: Path, manifest: dict) -> None:
    """A seal vouches for all that is in the folder, and a README.md that somebody wrote is not ours to replace."""
    foreign = strangers(folder, part_names(manifest))
    if foreign:
        raise OutputError(f"{folder / foreign[0]}: not part of the data set; move it away")
    links = [name for name in part_names(manifest) if (folder / name).is_symlink()]
    if links:
        raise OutputError(f"{folder / links[0]}: is a link, and what it leads to can change; put the file itself here")
    for name in (CARD_NAME, CROISSANT_NAME):
        path = folder / name
        if os.path.lexists(path) and not _is_of(path, manifest):
            raise OutputError(f"{path}: not written by blurgen for this data set; move it away")


def _is_of(path: Path, manifest: dict) -> bool:
    """Whether a card or Croissant file is of this data set."""
    try:
        return manifest["digest"].encode() in read_plain(path)
    except OSError:
        return False
