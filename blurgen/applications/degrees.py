"""How blurred a photo is as a whole: the mean of its map (Ma et al. 2016, section 4.3)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from blurgen.applications.photos import refuse_files
from blurgen.errors import ModelError, PhotoError, SourceError
from blurgen.files import make_folder, publish
from blurgen.maps import Finder
from blurgen.report.contact_sheet import png_bytes
from blurgen.report.degree_sheet import degree_sheet
from blurgen.sources import Photo

SHEET_PHOTOS = 200


@dataclass(frozen=True)
class Degree:
    """How blurred a photo is, 0 to 1: the mean of its map; or the reason why that isn't known."""

    photo: Photo
    degree: float | None = None
    reason: str = ""

    def to_dict(self) -> dict:
        """For --json."""
        why = {"reason": self.reason} if self.reason else {}
        return {"photo": self.photo.id, "degree": self.degree, **why}


def degrees(finder: Finder, photos: Iterable[Photo]) -> Iterator[Degree]:
    """The degree of each photo, in their order."""
    for photo in photos:
        try:
            found = finder.probability(finder.read(photo))
        except (PhotoError, ModelError) as error:
            yield Degree(photo, reason=str(error))
        else:
            yield Degree(photo, round(float(found.mean(dtype=np.float64)), 6))


def ranked(found: Iterable[Degree]) -> list[Degree]:
    """Those that are known, the most blurred first; of equal ones by name."""
    return sorted((one for one in found if not one.reason), key=lambda one: (-one.degree, one.photo.id))


def degree_csv(found: Iterable[Degree]) -> bytes:
    """A table of names and degrees, UTF-8."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["name", "degree"])
    table.writerows([one.photo.id, f"{one.degree:.6f}"] for one in found)
    return text.getvalue().encode()


def degree_targets(path: str | Path, out: str | Path, photos: Iterable[Photo], overwrite: bool = False) -> list[Path]:
    """degrees.csv and degrees.png in ``out``, which must not be among the photos. OutputError."""
    targets = [Path(out) / name for name in ("degrees.csv", "degrees.png")]
    refuse_files(targets, path, Path(out), photos, overwrite)
    return targets


def degree_files(finder: Finder, found: list[Degree], table: Path, sheet: Path) -> None:
    """Write a table, and a contact sheet in the same order, of what ``ranked`` gives.

    A sheet of more than ``SHEET_PHOTOS`` shows so many of them, evenly through the order. SourceError if there is none.
    """
    if not found:
        raise SourceError("none of the photos can be used; give others")
    chosen = np.unique(np.linspace(0, len(found) - 1, min(SHEET_PHOTOS, len(found))).round().astype(int))
    rows = ((found[place].photo.id, finder.read(found[place].photo), found[place].degree) for place in chosen)
    drawn = degree_sheet(rows, f"{len(chosen)} of {len(found)} photos, the most blurred first")
    make_folder(table.parent)
    publish(table, degree_csv(found))
    publish(sheet, png_bytes(drawn))
