"""frozen.json, the seal of a frozen data set: the digest it goes by, and the sha256 of every file beside it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from blurgen.dataset.documents import COPY_AGAIN, REPLACE, is_digest, read_json
from blurgen.errors import OutputError, ShardError
from blurgen.files import LOCK_NAME, TEMPORARY_PREFIX, document_digest, locked, publish_json, sha256_file
from blurgen.shards.format import MANIFEST_NAME, RECEIPT_NAME, RECIPE_NAME
from blurgen.shards.reader import is_file

SEAL_NAME = "frozen.json"
CARD_NAME = "README.md"
CROISSANT_NAME = "croissant.json"

FORMAT_NAME = "blurgen-seal"
SEAL_VERSION = 1

_NAME = re.compile(r"manifest\.json|recipe\.toml|README\.md|croissant\.json|shard-[0-9]{5}\.(h5|json)")
_WRITE_BITS = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def read_seal(folder: str | Path) -> dict | None:
    """Read and check the seal; None where there is none. Raises ShardError for one that is damaged.

    Whether it holds is another question: see ``seal_faults``.
    """
    path = Path(folder) / SEAL_NAME
    if not os.path.lexists(path):
        return None
    if not is_file(path):
        raise ShardError(f"{path}: not a plain file; {COPY_AGAIN}")
    seal = read_json(path, COPY_AGAIN)
    if not _well_formed(seal):
        raise ShardError(f"{path}: not a seal that this blurgen knows; {COPY_AGAIN}, or take another blurgen")
    if seal["digest"] != document_digest(seal):
        raise ShardError(f"{path}: changed or damaged since it was written (its digest differs); {COPY_AGAIN}")
    return seal


def _well_formed(seal: dict) -> bool:
    """Whether every key is there and of its type, and names no file outside of the folder."""
    if set(seal) != {"format", "version", "dataset_digest", "about", "files", "digest"}:
        return False
    good = seal["format"] == FORMAT_NAME and type(seal["version"]) is int and seal["version"] == SEAL_VERSION
    good = good and is_digest(seal["dataset_digest"]) and is_digest(seal["digest"])
    good = good and isinstance(seal["about"], dict) and all(isinstance(one, str) for one in seal["about"].values())
    files = seal["files"]
    good = good and isinstance(files, dict) and all(_NAME.fullmatch(name) for name in files)
    return good and all(is_digest(digest) for digest in files.values())


def write_seal(folder: Path, manifest: dict, about: dict[str, str]) -> dict:
    """Publish the seal of a folder whose shards have just been checked: theirs is the sha256 of the manifest."""
    shards = {shard["name"]: shard["sha256"] for shard in manifest["shards"]}
    others = sorted(set(part_names(manifest)) - set(shards))
    seal = {
        "format": FORMAT_NAME,
        "version": SEAL_VERSION,
        "dataset_digest": manifest["digest"],
        "about": about,
        "files": shards | {name: sha256_file(folder / name) for name in others},
    }
    seal["digest"] = document_digest(seal)
    publish_json(folder / SEAL_NAME, seal)
    return seal


def part_names(manifest: dict) -> list[str]:
    """The files of a frozen data set, all but the seal."""
    shards = [shard["name"] for shard in manifest["shards"]]
    receipts = [RECEIPT_NAME.format(index) for index in range(len(shards))]
    recipe = [RECIPE_NAME] if "recipe_toml_sha256" in manifest else []
    return [MANIFEST_NAME, *recipe, CARD_NAME, CROISSANT_NAME, *receipts, *shards]


def refuse_frozen(folder: str | Path) -> None:
    """Raise OutputError if ``folder`` is a frozen data set or lies in one.

    Whoever writes asks here: permissions don't stop root.
    """
    path = Path(os.path.realpath(folder))
    for place in (path, *path.parents):
        seal = read_seal(place)
        if seal:
            what = "is frozen" if place == path else f"lies in {place}, which is frozen"
            raise OutputError(
                f"{folder}: {what} under digest {seal['dataset_digest'][:12]}...; choose another --out, "
                f"or work on a copy without its {SEAL_NAME}"
            )


def refuse_broken_seal(folder: Path, manifest: dict) -> None:
    """Raise ShardError where a data set is frozen under another digest than its manifest's."""
    seal = read_seal(folder)
    if seal and seal["dataset_digest"] != manifest["digest"]:
        raise ShardError(f"{folder / SEAL_NAME}: is the seal of another data set than this manifest's; {COPY_AGAIN}")


def seal_faults(folder: str | Path, manifest: dict) -> list[str]:
    """What the seal does not vouch for; nothing for a data set that is not frozen.

    Hashes every file but the shards: of those it compares the sha256 in the seal with the one in the manifest, against
    which ``verify`` hashes them.
    """
    folder = Path(folder)
    try:
        seal = read_seal(folder)
    except (ShardError, OSError) as error:
        return [str(error)]
    if seal is None:
        return []
    faults = []
    if seal["dataset_digest"] != manifest["digest"]:
        faults.append(f"{folder / SEAL_NAME}: seals digest {seal['dataset_digest'][:12]}, the manifest has another")
    names, shards = part_names(manifest), {shard["name"]: shard["sha256"] for shard in manifest["shards"]}
    for name in sorted({*names, *seal["files"]}):
        fault = _part_fault(folder / name, seal["files"].get(name), shards.get(name))
        faults += [f"{folder / name}: {fault}"] if fault else []
    return faults + [f"{folder / name}: not in the seal; move it away" for name in strangers(folder, seal["files"])]


def _part_fault(path: Path, sealed: str | None, shard: str | None) -> str | None:
    if sealed is None:
        return f"not in the seal; {COPY_AGAIN}"
    if path.is_symlink():
        return f"is a link, which no seal vouches for; {COPY_AGAIN}"
    try:
        if shard is None and not is_file(path):  # a shard that is missing is found where shards are hashed
            return f"missing, though the seal lists it; {REPLACE}"
        found = shard or sha256_file(path)
    except (ShardError, OSError) as error:
        return f"can't be read ({getattr(error, 'strerror', error)})"
    return f"has sha256 {found[:12]}, the seal says {sealed[:12]}; {REPLACE}" if found != sealed else None


def strangers(folder: Path, known: Iterable[str]) -> list[str]:
    """What lies in the folder of a data set beside its ``known`` files and the seal."""
    known = {*known, SEAL_NAME, LOCK_NAME}
    inside = sorted(entry.name for entry in os.scandir(folder))
    return [name for name in inside if name not in known and not name.startswith(TEMPORARY_PREFIX)]


# Permissions ----------------------------------------------------------------------------------------------------------


def is_read_only(folder: Path) -> bool:
    """Whether nobody has the right to write to a folder (which does not stop root)."""
    return not folder.stat().st_mode & _WRITE_BITS


def make_read_only(folder: Path) -> None:
    """Take the right to write from every file and, last, from the folder."""
    for path in [*sorted(folder.iterdir()), folder]:
        if path == folder or not path.is_symlink():  # a link may lead to any file
            _change_mode(path, remove=_WRITE_BITS)


@contextmanager
def unsealed(folder: str | Path) -> Iterator[None]:
    """Hold a folder for a repair. A frozen one is writable meanwhile, and read-only again afterwards.

    Whatever is done meanwhile has to restore the sealed bytes. Raises OutputError if another process holds it.
    """
    folder, held = Path(folder), False
    frozen = os.path.lexists(folder / SEAL_NAME)
    if frozen:
        _change_mode(folder, add=stat.S_IWUSR)  # files are replaced, so their own permissions don't matter
    try:
        with locked(folder):
            held = True
            yield
    finally:
        if frozen and held:  # else another repair is at work, and makes it read-only when it is done
            make_read_only(folder)


def _change_mode(path: Path, *, add: int = 0, remove: int = 0) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode != (mode | add) & ~remove:
            path.chmod((mode | add) & ~remove)
    except OSError as error:
        raise OutputError(f"{path}: its permissions can't be changed ({error.strerror}); ask its owner") from None
