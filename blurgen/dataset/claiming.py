"""Which folders a data set may be written to: empty ones, and those that hold the same data set, finished or not."""

from __future__ import annotations

import os
from pathlib import Path

from blurgen.dataset.manifest import first_difference, read_manifest
from blurgen.dataset.seal import refuse_frozen
from blurgen.errors import ArgumentError, OutputError
from blurgen.files import LOCK_NAME, TEMPORARY_PREFIX, make_folder
from blurgen.shards.format import MANIFEST_NAME
from blurgen.shards.reader import is_file


def claim(out: Path) -> None:
    """Make sure that ``out`` is a folder that may be written to. Raises OutputError."""
    refuse_frozen(out)
    make_folder(out)
    refuse_foreign(out)


def refuse_foreign(out: Path) -> None:
    """Take an empty folder or one of ours that is not frozen; anything else stays as it is (OutputError)."""
    inside = names_inside(out)
    if inside and MANIFEST_NAME not in inside:
        raise OutputError(f"{out}: not empty and not a blurgen data set (it holds {inside[0]}); choose another --out")
    refuse_frozen(out)


def names_inside(out: Path) -> list[str]:
    """What a folder holds, sorted, but for what belongs to a process that writes. Raises OutputError."""
    try:
        return sorted(path.name for path in out.iterdir() if not path.name.startswith((TEMPORARY_PREFIX, LOCK_NAME)))
    except OSError as error:
        raise OutputError(f"{out}: can't be read ({error.strerror}); choose another --out") from None


def refuse_difference(out: Path, former: dict, asked: dict) -> None:
    """Raise OutputError where the manifest that is there differs in any key of what is ``asked`` for."""
    difference = first_difference({key: former.get(key) for key in asked}, asked)
    if difference:
        raise OutputError(f"{out}: holds another data set: {difference}; choose another --out")


def read_former(out: Path, identity: dict) -> dict | None:
    """The manifest that is there already, None if there is none; OutputError if it is of another data set."""
    if not is_file(out / MANIFEST_NAME):
        return None
    former = read_manifest(out)
    refuse_difference(out, former, identity)
    return former


def refuse_inside(out: Path, parents: list[Path]) -> None:
    """Raise ArgumentError where ``out`` is one of the ``parents``, or lies in one."""
    for parent in parents:
        if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(parent)):
            raise ArgumentError(f"{out}: is {parent} or lies inside of it, which is only read; choose another --out")
