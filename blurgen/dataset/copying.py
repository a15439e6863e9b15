"""A new data set of chosen pairs of others. What is stored of a pair is copied as it is; only its number changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from tqdm import tqdm

from blurgen.dataset.claiming import claim, read_former, refuse_inside
from blurgen.dataset.manifest import (
    again,
    count_photos,
    listed_photos,
    one_recipe,
    origins_of,
    publish_manifest,
    recipe_holds,
)
from blurgen.dataset.reading import Dataset
from blurgen.dataset.receipts import finished_receipt
from blurgen.dataset.verifying import TableCheck
from blurgen.errors import ArgumentError, ShardError
from blurgen.files import document_digest, locked, read_plain, sha256, sha256_file, shown, sweep
from blurgen.shards.codecs import StorageParams
from blurgen.shards.format import MAX_SHARDS, RECIPE_NAME, SCHEMA_VERSION, SHARD_BYTES
from blurgen.shards.reader import Shard, is_file
from blurgen.shards.writer import ShardBuilder

Choice = Callable[[np.ndarray], np.ndarray]
"""Which pairs of a shard are taken, by its provenance table: (n,) bool. Asked more than once, it says the same."""


@dataclass(frozen=True)
class Derived:
    """What a run did: ``pairs_copied`` is of this run alone, 0 where it was all there."""

    out: str
    digest: str
    pairs: int
    pairs_copied: int
    shards: int
    photos: int
    origins: int
    bytes: int

    @classmethod
    def of(cls, out: Path, manifest: dict, receipts: list[dict], pairs_copied: int) -> Derived:
        """What is in the data set ``out`` now, and how many of its pairs were copied just now."""
        return cls(
            out=shown(out),
            digest=manifest["digest"],
            pairs=manifest["pairs"],
            pairs_copied=pairs_copied,
            shards=len(receipts),
            photos=count_photos(manifest),
            origins=len(manifest["origins"]),
            bytes=sum(receipt["bytes"] for receipt in receipts),
        )

    to_dict = asdict


class Parent:
    """A finished data set that pairs are taken from."""

    def __init__(self, folder: str | Path) -> None:
        self.data = Dataset(folder)
        self.folder, self.manifest = self.data.folder, self.data.manifest
        self.origins = origins_of(self.manifest)
        self._table = TableCheck(self.manifest)
        self._checked: dict[int, tuple] = {}

    def check(self, number: int) -> None:
        """Raise ShardError unless a shard has the sha256 of the manifest. It is read once for as long as it stays."""
        listed = self.manifest["shards"][number]
        path = self.folder / listed["name"]
        if not is_file(path):
            raise ShardError(f"{path}: this shard is missing; {again(self.manifest)}")
        status = path.stat()
        stamp = (status.st_ino, status.st_size, status.st_mtime_ns)
        if self._checked.get(number) == stamp:
            return
        if status.st_size != listed["bytes"] or sha256_file(path) != listed["sha256"]:
            raise ShardError(f"{path}: not what the manifest says (its sha256 differs); `blurgen verify` says more")
        self._checked[number] = stamp

    def shards(self) -> Iterator[Shard]:
        """Its shards, one open at a time, each with the sha256 of the manifest."""
        due = 0
        for number in range(len(self.manifest["shards"])):
            self.check(number)
            with self.data.open_shard(number) as shard:
                fault = self._table.fault(shard.provenance, due)
                if fault:
                    raise ShardError(f"{shard.path}: {fault}; `blurgen verify` says more")
                yield shard
                due += len(shard)

    def recipe_toml(self) -> bytes:
        """Its recipe.toml, checked against the manifest."""
        path = self.folder / RECIPE_NAME
        try:
            data = read_plain(path)
        except OSError as error:
            raise ShardError(f"{path}: can't be read ({error.strerror}); `blurgen verify` says more") from None
        if sha256(data) != self.manifest.get("recipe_toml_sha256"):
            raise ShardError(f"{path}: changed or damaged (its sha256 differs); `blurgen verify` says more")
        return data


def open_parents(folders: Sequence[str | Path], outs: list[Path], progress: bool) -> list[Parent]:
    """Open data sets that are only read from, and check the sha256 of all their shards.

    Raises ShardError for one that is damaged or not finished, ArgumentError where one of ``outs`` lies in it.
    """
    parents = [Parent(folder) for folder in folders]
    for out in outs:
        refuse_inside(out, [parent.folder for parent in parents])
    steps = [(parent, number) for parent in parents for number in range(len(parent.manifest["shards"]))]
    for parent, number in tqdm(steps, desc="check", unit="shard", disable=not progress):
        parent.check(number)
    return parents


# Plan -----------------------------------------------------------------------------------------------------------------


@dataclass
class _Chosen:
    """What is taken from one parent."""

    pairs: int = 0
    photos: set[tuple[str, str]] = field(default_factory=set)
    lenders: set[str] = field(default_factory=set)
    origins: set[int] = field(default_factory=set)
    targets: set[tuple[str, ...]] = field(default_factory=set)
    photo_id_bytes: int = 1


@dataclass(frozen=True)
class Plan:
    """A data set that is to be: what its manifest will say, and how its pairs are found and stored."""

    parents: list[Parent]
    choose: Choice
    identity: dict
    recipe_toml: bytes | None
    numbers: list[dict[int, int]]
    """For each parent, number of an origin there -> its number here."""

    photo_id_bytes: int
    pairs_per_shard: int


def plan_copy(parents: list[Parent], choose: Choice, by: str, **arguments: object) -> Plan:
    """Look at all pairs that are ``choose``-n, without reading what is stored of them.

    Raises
    ------
    ArgumentError
        The parents hold other targets than each other.
    ShardError
        A parent contradicts itself, or another parent about a common origin.
    """
    chosen = [_look(parent, choose) for parent in parents]
    _refuse_other_targets(parents, chosen)
    origins, numbers = _common_origins(parents, chosen)
    photos, lenders = _common_photos(parents, chosen)
    derived = {"by": by, "arguments": arguments, "parents": [parent.manifest["digest"] for parent in parents]}
    identity = {
        "schema_version": SCHEMA_VERSION,
        "pairs": sum(one.pairs for one in chosen),
        "derived": derived,
        "origins": origins,
        "photos": photos,
        "lenders": lenders,
        "quarantined": [],
    }
    return Plan(
        parents=parents,
        choose=choose,
        identity=identity,
        recipe_toml=_recipe_toml(parents, origins),
        numbers=numbers,
        photo_id_bytes=max(one.photo_id_bytes for one in chosen),
        pairs_per_shard=max(shard["pairs"] for parent in parents for shard in parent.manifest["shards"]),
    )


def _look(parent: Parent, choose: Choice) -> _Chosen:
    chosen = _Chosen()
    for shard in parent.shards():
        table = shard.provenance[choose(shard.provenance)]
        if not len(table):
            continue
        chosen.pairs += len(table)
        names = np.unique(table[["photo", "photo_sha256"]]).tolist()
        chosen.photos.update((photo.decode(), digest.decode()) for photo, digest in names)
        chosen.lenders.update(photo.decode() for photo in np.unique(table["mask_photo"]).tolist() if photo)
        chosen.origins.update(np.unique(table["origin"]).tolist())
        chosen.targets.add(shard.targets)
        chosen.photo_id_bytes = max(chosen.photo_id_bytes, table.dtype["photo"].itemsize)
    return chosen


def _refuse_other_targets(parents: list[Parent], chosen: list[_Chosen]) -> None:
    found = [
        (parent.folder, targets) for parent, one in zip(parents, chosen, strict=True) for targets in sorted(one.targets)
    ]
    for folder, targets in found[1:]:
        if targets != found[0][1]:
            here, there = (", ".join(names) or "none" for names in (found[0][1], targets))
            raise ArgumentError(
                f"{found[0][0]} and {folder} hold other targets ({here}; {there}); merge sets that hold the same"
            )


def _common_origins(parents: list[Parent], chosen: list[_Chosen]) -> tuple[list[dict], list[dict[int, int]]]:
    """The origins of all that is taken, each once, and for each parent where they are found there."""
    origins: dict[str, dict] = {}
    for parent, one in zip(parents, chosen, strict=True):
        for number in sorted(one.origins):
            origin = parent.origins[number]
            if origins.setdefault(origin["digest"], origin) != origin:
                raise ShardError(
                    f"{parent.folder}: says something else about the data set {origin['digest'][:12]} than the others; "
                    "not made by blurgen"
                )
    places = {digest: place for place, digest in enumerate(origins)}
    numbers = [
        {number: places[parent.origins[number]["digest"]] for number in one.origins}
        for parent, one in zip(parents, chosen, strict=True)
    ]
    return list(origins.values()), numbers


def _common_photos(parents: list[Parent], chosen: list[_Chosen]) -> tuple[list[dict], list[dict]]:
    """What the manifests say of the photos that pairs show, and of others that lend an outline; equal entries once."""
    shown, lent = {}, {}
    for parent, one in zip(parents, chosen, strict=True):
        listed = [(photo["id"], photo.get("sha256"), photo) for photo in listed_photos(parent.manifest)]
        missing = one.photos - {(name, digest) for name, digest, _ in listed}
        if missing:
            raise ShardError(f"{parent.folder}: its manifest does not list the photo {min(missing)[0]}; verify it")
        for name, digest, photo in listed:
            if (name, digest) in one.photos:
                shown[name, document_digest(photo)] = photo
            elif name in one.lenders:
                lent[name, document_digest(photo)] = photo
    return [shown[key] for key in sorted(shown)], [lent[key] for key in sorted(lent.keys() - shown.keys())]


def _recipe_toml(parents: list[Parent], origins: list[dict]) -> bytes | None:
    """recipe.toml of the first parent that has one, if one recipe made all pairs."""
    if not origins or not one_recipe(origins):
        return None
    having = [parent for parent in parents if "recipe_toml_sha256" in parent.manifest]
    return having[0].recipe_toml() if having else None


# Copy -----------------------------------------------------------------------------------------------------------------


def carry_out(plan: Plan, out: Path, progress: bool) -> Derived:
    """Write what was planned; where it is all there, only see that it is whole. Begun work is done again.

    Raises
    ------
    OutputError
        ``out`` holds something else, is in use, frozen, not writable or full.
    """
    claim(out)
    with locked(out):
        sweep(out)
        former = read_former(out, plan.identity)
        receipts, copied = _finished(out, former), 0
        manifest = former
        if receipts is None:
            publish_manifest(out, plan.identity, [], plan.recipe_toml)
            receipts = list(_copy(plan, out, progress))
            manifest = publish_manifest(out, plan.identity, receipts, plan.recipe_toml)
            copied = manifest["pairs"]
    return Derived.of(out, manifest, receipts, copied)


def _finished(out: Path, former: dict | None) -> list[dict] | None:
    """The receipts of a data set that is there and whole, else None."""
    if not former or not former["complete"]:
        return None
    expected = [{key: shard[key] for key in ("sha256", "pairs", "bytes")} for shard in former["shards"]]
    receipts = [finished_receipt(out, index, one) for index, one in enumerate(expected)]
    return receipts if recipe_holds(out, former) and None not in receipts else None


def _copy(plan: Plan, out: Path, progress: bool) -> Iterator[dict]:
    """Publish shard after shard: their receipts. One ends where it is full, or where pairs are stored otherwise."""
    index, held, builder, kind = 0, 0, None, None
    for pair in tqdm(_pairs(plan), total=plan.identity["pairs"], desc="pairs", unit="pair", disable=not progress):
        full = builder and (len(builder.rows) >= plan.pairs_per_shard or held + pair.bytes > SHARD_BYTES)
        if builder and (full or pair.kind != kind):
            yield publish_copies(builder, out, index)
            index, held, builder = index + 1, 0, None
        if builder is None:
            builder, kind = ShardBuilder(StorageParams(codec=pair.codec), plan.photo_id_bytes), pair.kind
        builder.add_stored(pair.blobs, pair.row)
        held += pair.bytes
    yield publish_copies(builder, out, index)


def publish_copies(builder: ShardBuilder, out: Path, index: int) -> dict:
    """Publish a shard of pairs that were made elsewhere: its receipt."""
    if index >= MAX_SHARDS:
        raise ArgumentError(
            f"{out}: would have over {MAX_SHARDS} shards; take fewer pairs, or sets that are stored alike"
        )
    upscaled = sum(row["height"] > row["crop_height"] for _, row in builder.rows.values())
    return builder.publish(out, index, {"rejected": {}, "replaced": 0, "upscaled": upscaled})


@dataclass(frozen=True)
class _Stored:
    """A pair as it lies in a shard, with the row that it gets."""

    codec: str
    kind: tuple
    """Only pairs of one kind can share a shard."""

    blobs: dict[str, bytes]
    row: dict

    @property
    def bytes(self) -> int:
        return sum(map(len, self.blobs.values()))


def _pairs(plan: Plan) -> Iterator[_Stored]:
    count = 0
    for parent, numbers in zip(plan.parents, plan.numbers, strict=True):
        for shard in parent.shards():
            for place in np.flatnonzero(plan.choose(shard.provenance)).tolist():
                row = shard.row(place)
                row |= {"pair": count, "origin": numbers[row["origin"]]}
                blobs = {name: shard.stored(name, place) for name in ("image", "mask", *shard.targets)}
                shape = (row["height"], row["width"], row["channels"], row["dtype"])
                yield _Stored(shard.codec, (shard.codec, shape if shard.codec == "raw" else ()), blobs, row)
                count += 1
