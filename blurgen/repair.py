"""Make the shards of a data set again that are missing or damaged: to the byte, or not at all."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import joblib

from blurgen.dataset.documents import COPY_AGAIN, is_digest
from blurgen.dataset.freezing import documents
from blurgen.dataset.manifest import again, other_build, read_manifest
from blurgen.dataset.receipts import read_receipt
from blurgen.dataset.seal import CARD_NAME, CROISSANT_NAME, read_seal, refuse_broken_seal, seal_faults, unsealed
from blurgen.dataset.verifying import manifest_faults, verify
from blurgen.engines import single_threaded
from blurgen.errors import ShardError, SourceError
from blurgen.files import publish, remove, sha256, sha256_file, sweep
from blurgen.generate import make_shards
from blurgen.masks import FOUND
from blurgen.originals import Origin, read_origins
from blurgen.plan import ShardTask, plan
from blurgen.regions import damaged_regions, default_cache
from blurgen.shards.format import RECIPE_NAME, SCHEMA_VERSION
from blurgen.shards.reader import is_file
from blurgen.sources import Photo, Source
from blurgen.survey import INVENTORY, SurveyedPhoto


@dataclass(frozen=True)
class Repaired:
    """What was made again, by name, which damaged entries of the cache were thrown away, and what is still wrong."""

    files: list[str]
    cache: list[str]
    faults: list[str]

    to_dict = asdict


def repair(
    folder: str | Path,
    source: Callable[[Origin], Source],
    *,
    workers: int | None = None,
    cache: str | Path | None = None,
    progress: bool = True,
) -> Repaired:
    """Make missing and damaged shards, receipts and recipe.toml again, byte-identical; a frozen set stays frozen.

    Parameters
    ----------
    source : function
        Opens the photos that the data set was made from, if any shard is bad. Only those that the bad shards show need
        be there.
    workers : int, optional
        Processes; the number of cores if not given.

    Raises
    ------
    ShardError
        The manifest is damaged, the data set was derived from others, or what is made now is not what was lost.
    SourceError
        A photo that is needed is missing or has changed.
    """
    folder, cache = Path(folder).absolute(), Path(cache or default_cache()).absolute()
    manifest = read_manifest(folder)
    refuse_broken_seal(folder, manifest)
    if not manifest["complete"]:
        raise ShardError(f"{folder}: is not finished; {again(manifest)}")
    with unsealed(folder), single_threaded():
        sweep(folder)
        thrown = damaged_regions(cache, manifest["photos"])
        for path in thrown:
            remove(path)
        bad = {name for name, faults in verify(folder) if faults} | _with_other_receipts(folder)
        shards = [shard["name"] for shard in manifest["shards"] if shard["name"] in bad]
        if shards:
            _make_again(folder, manifest, shards, source, cache, workers or joblib.cpu_count(), progress)
        files = [*_repair_documents(folder, manifest), *shards]
        faults = [*manifest_faults(folder, manifest), *seal_faults(folder, manifest)]
        return Repaired(files, [str(path) for path in thrown], faults)


def _with_other_receipts(folder: Path) -> set[str]:
    """Of a frozen set, the shards whose receipts are not the sealed ones."""
    sealed = (read_seal(folder) or {"files": {}})["files"]
    receipts = [name for name in sealed if name.startswith("shard-") and name.endswith(".json")]
    return {
        name.replace(".json", ".h5")
        for name in receipts
        if not is_file(folder / name) or sha256_file(folder / name) != sealed[name]
    }


def _make_again(
    folder: Path,
    manifest: dict,
    shards: list[str],
    source: Callable[[Origin], Source],
    cache: Path,
    workers: int,
    progress: bool,
) -> None:
    if "derived" in manifest:
        by = manifest["derived"]["by"]
        raise ShardError(f"{folder}: {shards[0]} is bad; run the same `blurgen {by}` again into another folder")
    if manifest["schema_version"] != SCHEMA_VERSION:
        raise ShardError(f"{folder}: {shards[0]} has a former schema, which this blurgen can't write; {COPY_AGAIN}")
    [origin] = read_origins(manifest)
    photos = source(origin)
    tasks = [task for task in _tasks(folder, manifest, origin, photos, cache) if task.shard_name in shards]
    _refuse_missing_photos(tasks, photos)
    try:
        for _ in make_shards(tasks, sum(len(task.pairs) for task in tasks), workers, progress):
            pass
    except ShardError as error:
        why = other_build(manifest["build"]) or "a photo's annotation may have changed"
        raise ShardError(f"{error} ({why})") from None


def _tasks(folder: Path, manifest: dict, origin: Origin, source: Source, cache: Path) -> Iterator[ShardTask]:
    """The tasks that made the shards, from the manifest alone: nothing is surveyed again."""
    if not manifest["photos"] or not all(map(_is_told, manifest["photos"])) or "pairs_per_shard" not in manifest:
        raise ShardError(f"{folder}: its manifest does not tell what its shards were made of; not made by blurgen")
    here = _found(source, manifest["photos"])
    photos = [
        SurveyedPhoto(
            here.get(one["id"], Photo(one["id"], Path(source.root, one["id"]))),
            **{name: one[name] for name in INVENTORY},
        )
        for one in manifest["photos"]
    ]
    tasks = plan(photos, manifest["pairs"], manifest["pairs_per_shard"], origin.recipe, origin.seed, cache, folder)
    for task, listed in zip(tasks, manifest["shards"], strict=True):
        for photo_id in _avoided(folder, task.index):
            task = task.without(photo_id)
        yield replace(task, sha256=listed["sha256"])


def _found(source: Source, told: list[dict]) -> dict[str, Photo]:
    """The photos of the manifest by id: those of that name, else of the same bytes, since they may have been moved."""
    here = {photo.id: photo for photo in source.photos}
    missing = defaultdict(list)
    for one in told:
        if one["id"] not in here:
            missing[one["sha256"]].append(one["id"])
    sizes = {one["bytes"] for one in told if one["sha256"] in missing}
    for photo in source.photos if missing else ():
        with suppress(OSError):
            digest = sha256_file(photo.path) if photo.path.stat().st_size in sizes else ""
            here |= {name: replace(photo, id=name) for name in missing.get(digest, ())}
    return here


def _is_told(photo: dict) -> bool:
    """Whether all is there that the survey found of a photo, each of its type."""
    kinds = {"region_keys": dict, "lends": bool, "sha256": str, "dtype": str}
    good = all(type(photo.get(name)) is kinds.get(name, int) for name in INVENTORY)
    return good and photo["region_keys"].keys() <= set(FOUND) and all(map(is_digest, photo["region_keys"].values()))


def _avoided(folder: Path, index: int) -> list[str]:
    """Photos that the shard was made without since they killed their process, if its receipt can still be read."""
    try:
        return [one["id"] for one in read_receipt(folder, index).get("quarantined", [])]
    except ShardError:
        return []


def _refuse_missing_photos(tasks: list[ShardTask], source: Source) -> None:
    needed = {one.photo.id: one.photo for task in tasks for one in (*task.photos, *task.donors) if one}
    missing = sorted(name for name, photo in needed.items() if not photo.path.exists())
    if missing:
        raise SourceError(
            f"{source.root}: {len(missing)} of the {len(needed)} photos that the bad shards show are not there "
            f"({missing[0]}); name the photos by --source and --root"
        )


def _repair_documents(folder: Path, manifest: dict) -> list[str]:
    """Write recipe.toml and, of a frozen set, card and metadata again where they are not what they were."""
    due = {}
    if "recipe_toml_sha256" in manifest:
        due[RECIPE_NAME] = manifest["recipe_toml_sha256"], lambda: _recipe_toml(manifest)
    seal = read_seal(folder)
    for name in (CARD_NAME, CROISSANT_NAME) if seal else ():
        due[name] = seal["files"].get(name), lambda name=name: documents(folder, seal["about"])[name]
    return [name for name, (digest, made) in due.items() if _repair_document(folder / name, digest, made)]


def _recipe_toml(manifest: dict) -> bytes:
    return read_origins(manifest)[0].recipe.to_toml().encode()


def _repair_document(path: Path, digest: str, made: Callable[[], bytes]) -> bool:
    if is_file(path) and sha256_file(path) == digest:
        return False
    data = made()
    if sha256(data) != digest:
        raise ShardError(f"{path}: can't be made again as it was by this blurgen; {COPY_AGAIN}")
    publish(path, data)
    return True
