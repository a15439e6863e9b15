"""Truths and maps of a folder, matched by name and scored one after the other: what `blurgen eval` does."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from blurgen.errors import ArgumentError, ModelError, PhotoError, SourceError
from blurgen.evaluation.counts import ImageScore, score_image
from blurgen.evaluation.summary import Table, constant_summary, summary
from blurgen.sources.folder import SUFFIXES, escaped
from blurgen.sources.labelled import Polarity, by_stem, first_channel, naming, read_mask
from blurgen.sources.photo import decode, printable, read_file

POLARITIES: dict[str, Polarity | None] = {"cuhk": "white", "dut": "black", "plain": None}
"""Layout -> what blurred is in its truths; None: has to be said."""
TYPES = ("defocus", "motion")
_CUHK_TYPES = {"motion": "motion", "out_of_focus": "defocus"}  # how names begin -> type
_DUT_TYPES = {"": "defocus"}


@dataclass(frozen=True)
class Truth:
    """A mask file. ``stem`` is its name without suffix, ``type`` the type of its blur, "" where that is not known."""

    stem: str
    path: Path
    type: str

    @property
    def name(self) -> str:
        """The stem for people."""
        return escaped(self.stem)


@dataclass
class Notes:
    """What deserves a look before the scores are believed: names of images, in the order of the truths."""

    truths_without_map: list[str] = field(default_factory=list)
    maps_without_truth: list[str] = field(default_factory=list)
    names_without_truth: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    one_class: list[str] = field(default_factory=list)
    grey: dict[str, int] = field(default_factory=dict)
    resized: list[str] = field(default_factory=list)
    only_ranked: list[str] = field(default_factory=list)
    no_type: list[str] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """What there is to say, a line each."""
        for key, words in _WORDS.items():
            names = list(getattr(self, key))
            if names:
                some = ", ".join(f"{name:.80}" for name in names[:3])
                yield f"{len(names)} {words}: {some}{', ...' * (len(names) > 3)}"
        yield from (f"skipped: {name}: {reason}" for name, reason in self.skipped.items())


_WORDS = {
    "truths_without_map": "truths without a map, not scored",
    "maps_without_truth": "maps without a truth, not scored",
    "names_without_truth": "names of the subset without a truth",
    "one_class": "truths of one class, left out where both are needed (docs/metrics.md)",
    "grey": "truths with pixels neither black nor white (128: left out, others: the nearer one)",
    "resized": "maps of another size than their truth, resized",
    "only_ranked": "maps with values outside 0 to 1: only AUC and AP of their group can be given",
    "no_type": "names without a type of blur, counted in all",
}


@dataclass(frozen=True)
class Evaluation:
    """The scored images, in the order of ``table``, and what was noticed on the way."""

    names: tuple[str, ...]
    types: tuple[str, ...]
    table: Table
    notes: Notes

    def groups(self) -> dict[str, Table]:
        """By type of blur, and all."""
        types = np.array(self.types)
        return {one: self.table.rows(types == one) for one in TYPES} | {"all": self.table}

    def scores(self, resamples: int = 0, seed: int = 0) -> dict[str, dict]:
        """What --json prints but the notes; "constant" holds the scores for all images and, by type, of the others."""
        groups = self.groups()
        constant = {name: constant_summary(table) for name, table in groups.items()}
        found = {name: summary(table, resamples, seed) for name, table in groups.items()}
        return found | {"constant": constant.pop("all") | constant}


def list_truths(folder: str | Path, layout: str, subset: str = "all") -> tuple[list[Truth], list[str]]:
    """The truths of a subset, sorted by name, and the names that it asks for in vain.

    Parameters
    ----------
    folder : path
        Holds the masks.
    layout : str
        "cuhk": names that begin with motion or out_of_focus tell the type; "dut": all are defocus; "plain": no types.
    subset : str
        "all"; "even" or "odd", by the number that the name ends in; or a file with a name on each line.

    Raises
    ------
    SourceError
        No masks, none in the subset, or no such file.
    ArgumentError
        A name without a number where numbers matter.
    """
    found = by_stem(_folder(folder))
    if not found:
        raise SourceError(f"{printable(str(folder))}: holds no masks; name the folder of the truths (CUHK: gt)")
    stems, missing = _subset(found, subset)
    if not stems:
        raise SourceError(f"{printable(str(folder))}: none of its {len(found)} truths is in the subset {subset!r:.60}")
    return [Truth(stem, found[stem], _type(stem, layout)) for stem in stems], missing


def list_maps(folder: str | Path) -> dict[str, Path]:
    """The maps (or photos) in a folder, by name without suffix; arrays (.npy) too. SourceError if there is none."""
    found = by_stem(_folder(folder), (*SUFFIXES, ".npy"))
    if not found:
        raise SourceError(f"{printable(str(folder))}: holds no pictures or arrays; name another folder")
    return found


def read_map(path: Path) -> np.ndarray:
    """(H, W) uint8, or uint16 or float32 of an array: the first channel of a picture. PhotoError."""
    with naming(path):
        data = read_file(path)
        if path.suffix.lower() != ".npy":
            return first_channel(data, what="map")
        values = decode(data, "native")
        if values.shape[2] != 1:
            raise PhotoError(f"an array of {values.shape[2]} channels: a map has one")
        return values[..., 0]


def read_photo(path: Path, pixels: str = "rgb8") -> np.ndarray:
    """(H, W, C), as ``decode`` gives it. PhotoError, which names the file."""
    with naming(path):
        return decode(read_file(path), "native" if path.suffix.lower() == ".npy" else pixels)


def evaluate(
    truths: Iterable[Truth],
    maps: dict[str, Path],
    polarity: Polarity,
    make_map: Callable[[Path], np.ndarray] = read_map,
    *,
    all_stems: Iterable[str] = (),
) -> Evaluation:
    """Score the map of each truth, one image in memory at a time.

    Parameters
    ----------
    truths : iterable of Truth
        From ``list_truths``; a progress bar may be around it.
    maps : dict
        Name without suffix -> the file from which ``make_map`` makes a map: the map itself, or a photo.
    polarity : str
        What blurred is in the truths, "white" or "black".
    all_stems : iterable of str
        Names that have a truth although it is not in the subset: not worth a note.

    Raises
    ------
    SourceError
        Nothing could be scored.
    """
    notes, scored, tried, stems = Notes(), [], [], set(all_stems)
    for truth in truths:
        stems.add(truth.stem)
        tried.append(truth.name)
        if truth.stem not in maps:
            notes.truths_without_map.append(truth.name)
            continue
        try:
            scored.append((truth, _score(truth, make_map(maps[truth.stem]), polarity, notes)))
        except (PhotoError, ModelError) as error:
            notes.skipped[truth.name] = str(error)
    notes.maps_without_truth += map(escaped, sorted(maps.keys() - stems))
    if not scored:
        raise SourceError(_nothing(tried, sorted(map(escaped, maps)), notes))
    names, types = zip(*((truth.name, truth.type) for truth, _ in scored), strict=True)
    if any(types):
        notes.no_type += [name for name, one in zip(names, types, strict=True) if not one]
    return Evaluation(names, types, Table.of(score for _, score in scored), notes)


def _score(truth: Truth, blur_map: np.ndarray, polarity: Polarity, notes: Notes) -> ImageScore:
    mask, grey = read_mask(truth.path, polarity)
    score = score_image(blur_map, mask)
    for noted, names in (
        (np.isnan(score.auc), notes.one_class),
        (blur_map.shape != mask.shape, notes.resized),
        (not score.scaled, notes.only_ranked),
    ):
        if noted:
            names.append(truth.name)
    if grey:
        notes.grey[truth.name] = grey
    return score


def _folder(path: str | Path) -> Path:
    if not Path(path).is_dir():
        raise SourceError(f"{printable(str(path))}: no such folder; check the path")
    return Path(path)


def _nothing(truths: list[str], maps: list[str], notes: Notes) -> str:
    if notes.skipped:
        name, reason = next(iter(notes.skipped.items()))
        return f"none of {len(notes.skipped)} maps can be scored ({name}: {reason}); give others"
    return (
        f"no map has the name of a truth (maps: {', '.join(maps[:3])}; truths: {', '.join(truths[:3])}): "
        "give equal names, or another --subset"
    )


def _subset(found: dict[str, Path], subset: str) -> tuple[list[str], list[str]]:
    stems = sorted(found)
    if subset == "all":
        return stems, []
    if subset in ("even", "odd"):
        return [stem for stem in stems if _number(stem) % 2 == (subset == "odd")], []
    wanted = _names_in_file(Path(subset))
    names = {name if name in found else Path(name).stem for name in wanted}
    return [stem for stem in stems if stem in names], [escaped(name) for name in sorted(names - found.keys())]


def _number(stem: str) -> int:
    digits = re.search(r"[0-9]{1,18}$", stem)
    if digits is None:
        raise ArgumentError(f"{escaped(stem)}: --subset even or odd needs names that end in a number; give a FILE")
    return int(digits[0])


def _names_in_file(path: Path) -> list[str]:
    try:
        lines = read_file(path).decode("utf-8-sig").splitlines()
    except (PhotoError, UnicodeError) as error:
        named, reason = printable(str(path)), printable(str(error))
        raise SourceError(f"{named}: {reason}; --subset takes even, odd, all or a file of names") from None
    return [line.strip() for line in lines if line.strip()]


def _type(stem: str, layout: str) -> str:
    types = {"cuhk": _CUHK_TYPES, "dut": _DUT_TYPES}.get(layout, {})
    return next((one for start, one in types.items() if stem.startswith(start)), "")
