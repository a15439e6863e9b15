"""Data sets are verified before a model learns from them: once, and again only when a file has changed."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from tqdm import tqdm

from blurgen.dataset import read_manifest, verify
from blurgen.dataset.seal import SEAL_NAME
from blurgen.engines import is_quiet
from blurgen.errors import BlurgenError, ShardError
from blurgen.files import document_digest, make_folder, publish_json
from blurgen.shards.format import MANIFEST_NAME, RECIPE_NAME


def require_verified(folder: str | Path, cache: Path) -> str:
    """The digest of the data set in ``folder``; ShardError unless it is whole.

    A note in ``cache`` saves the next run the hashing. It holds as long as names, sizes and times of
    all its files do.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    note = cache / "verified" / f"{_state(folder, manifest)}.json"
    if note.exists():
        return manifest["digest"]
    steps = tqdm(
        verify(folder),
        total=2 + len(manifest["shards"]),
        desc="verify",
        unit="shard",
        disable=is_quiet(True),
    )
    faults = [fault for _, found in steps for fault in found]
    if faults:
        more = f" (and {len(faults) - 1} more faults; `blurgen verify` lists them)" if len(faults) > 1 else ""
        raise ShardError(f"{faults[0]}{more}")
    with suppress(BlurgenError):  # no cache: verified again next time
        make_folder(note.parent)
        publish_json(note, {"digest": manifest["digest"], "folder": str(folder.absolute())})
    return manifest["digest"]


def _state(folder: Path, manifest: dict) -> str:
    """A digest of which files there are, how large, and when they were last changed."""
    names = [MANIFEST_NAME, RECIPE_NAME, SEAL_NAME, *(shard["name"] for shard in manifest["shards"])]
    names += [name.replace(".h5", ".json") for name in names if name.endswith(".h5")]
    return document_digest({"folder": str(folder.absolute()), "files": [_stamp(folder / name) for name in names]})


def _stamp(path: Path) -> list:
    try:
        found = os.stat(path)
    except OSError:
        return [path.name]
    return [path.name, found.st_size, found.st_mtime_ns, found.st_ino]
