"""A data set in formats that other libraries read, and back again from the one that keeps everything as plain files."""

from __future__ import annotations

from pathlib import Path

from blurgen.dataset.claiming import refuse_inside
from blurgen.errors import ArgumentError
from blurgen.exports.coco import export_coco
from blurgen.exports.hf import export_hf
from blurgen.exports.importing import import_png
from blurgen.exports.pairs import StoredPairs
from blurgen.exports.png import export_png
from blurgen.exports.record import Exported, begin, finish
from blurgen.exports.webdataset import export_webdataset
from blurgen.files import locked, make_folder
from blurgen.params import suggest

__all__ = ["EXPORTS", "Exported", "export", "import_png"]

EXPORTS = {"webdataset": export_webdataset, "png": export_png, "coco": export_coco, "hf": export_hf}
"""Format -> the function that writes it to the folder ``out``, and returns the targets that it wrote."""


def export(folder: str | Path, to: str, out: str | Path, *, progress: bool = True) -> Exported:
    """Write the pairs of a finished data set to the new folder ``out`` in another format; one of ``EXPORTS``.

    Every shard is checked against the manifest before it is read, every pair is decoded, and the bytes hang on the
    data set alone. ``out`` is finished when blurgen-export.json is there; run again, a begun export starts over.

    Raises
    ------
    BlurgenError
        ArgumentError for an unknown format, or one that can't hold these images; ShardError for a damaged pair;
        DependencyError for a missing library; OutputError for a folder that holds something else, is in use or full.
    """
    if to not in EXPORTS:
        raise ArgumentError(f"no format {to!r:.40}; {suggest(str(to), list(EXPORTS))}")
    pairs, out = StoredPairs(folder, progress), Path(out).absolute()
    refuse_inside(out, [pairs.folder])
    make_folder(out)
    with locked(out):
        begin(out, to, pairs)
        targets = EXPORTS[to](pairs, out)
        return finish(out, to, pairs, targets)
