"""blurgen-export.json: which data set an export is of. Written last, so a folder without it is not finished."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from blurgen import __version__
from blurgen.dataset.claiming import names_inside
from blurgen.dataset.documents import COPY_AGAIN, is_count, read_json
from blurgen.dataset.manifest import check_manifest
from blurgen.errors import ArgumentError, OutputError, ShardError
from blurgen.exports.pairs import StoredPairs
from blurgen.files import make_folder, publish, publish_json, remove, shown, sweep, sync_all
from blurgen.shards.format import RECIPE_NAME, TARGETS
from blurgen.shards.reader import is_file

FORMAT_NAME = "blurgen-export"
FORMAT_VERSION = 1
RECORD_NAME = "blurgen-export.json"
BEGUN_NAME = "blurgen-export-begun.json"
"""There from the first file to the last, so that a begun export is known for what it is and can be written again."""


@dataclass(frozen=True)
class Exported:
    """What an export holds, and where; ``digest`` is that of the data set."""

    out: str
    to: str
    digest: str
    pairs: int
    targets: tuple[str, ...]

    to_dict = asdict


def begin(out: Path, to: str, pairs: StoredPairs) -> None:
    """Take an empty folder, or one with a begun export of the same data set; OutputError for anything else."""
    sweep(out)
    begun = {"format": FORMAT_NAME, "version": FORMAT_VERSION, "to": to, "digest": pairs.manifest["digest"]}
    begun["blurgen"] = __version__
    inside = set(names_inside(out))
    if RECORD_NAME in inside and BEGUN_NAME not in inside:
        raise OutputError(f"{out}: holds a finished export; choose another --out")
    if inside - {BEGUN_NAME} and not (BEGUN_NAME in inside and _read_begun(out / BEGUN_NAME) == begun):
        raise OutputError(
            f"{out}: holds {min(inside)} and is no begun export of this data set to {to}; choose another --out"
        )
    publish_json(out / BEGUN_NAME, begun)
    remove(out / RECORD_NAME)


def _read_begun(path: Path) -> dict | None:
    try:
        return read_json(path, COPY_AGAIN) if is_file(path) else None
    except ShardError:
        return None


def subfolder(out: Path, name: str) -> Path:
    """A folder inside of the export, made or swept; OutputError where a link leads out of it."""
    folder = out / name
    if folder.is_symlink():
        raise OutputError(f"{folder}: is a link; remove it or choose another --out")
    make_folder(folder)
    sweep(folder)
    return folder


def finish(out: Path, to: str, pairs: StoredPairs, targets: tuple[str, ...]) -> Exported:
    """Publish recipe.toml, if the data set has one, and blurgen-export.json: the export is finished."""
    if "recipe_toml_sha256" in pairs.manifest:
        publish(out / RECIPE_NAME, pairs.parent.recipe_toml())
    exported = Exported(
        out=shown(out),
        to=to,
        digest=pairs.manifest["digest"],
        pairs=len(pairs),
        targets=targets,
    )
    sync_all()
    record = {"format": FORMAT_NAME, "version": FORMAT_VERSION, "manifest": pairs.manifest, **exported.to_dict()}
    del record["out"]
    publish_json(out / RECORD_NAME, record)
    remove(out / BEGUN_NAME)
    return exported


def read_record(folder: Path, to: str) -> dict:
    """The blurgen-export.json of a finished export, checked.

    Raises ShardError for one that is missing, damaged or malformed, and ArgumentError for an export to another format.
    """
    path = folder / RECORD_NAME
    if path.is_symlink() or not is_file(path):
        raise ShardError(f"{folder}: no finished export here (no {RECORD_NAME}); run the same `blurgen export` again")
    record = read_json(path, COPY_AGAIN)
    if record.get("format") != FORMAT_NAME or not is_count(record.get("version"), FORMAT_VERSION, FORMAT_VERSION):
        raise ShardError(f"{path}: not an export that this blurgen knows; export it again, or take another blurgen")
    if record.get("to") != to:
        raise ArgumentError(f"{folder}: an export to {record.get('to')!r:.20}; only one to {to} comes back")
    manifest = record.get("manifest")
    manifest = check_manifest(manifest if isinstance(manifest, dict) else {}, path)
    same = all(record.get(key) == manifest[key] for key in ("digest", "pairs"))
    targets = [name for name in TARGETS if name in record["targets"]] if isinstance(record.get("targets"), list) else []
    if not same or not manifest["complete"] or record.get("targets") != targets:
        raise ShardError(f"{path}: contradicts the manifest in it, or itself; {COPY_AGAIN}")
    return record
