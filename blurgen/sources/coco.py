"""COCO: a folder of images and an instances JSON, with polygons and run-length masks of the objects."""

from __future__ import annotations

import hashlib
import json
import re
import stat
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from blurgen.errors import DependencyError, PhotoError, SourceError
from blurgen.sources.folder import check_root, escaped, mode_of, names_in
from blurgen.sources.limits import MAX_PIXELS
from blurgen.sources.photo import Photo, Source, printable

_LONGEST_NAME = 255  # bytes; the limit of most file systems


@dataclass(frozen=True)
class CocoObjects:
    """The objects of one image.

    Attributes
    ----------
    height, width : int
        The image's size in px, as the JSON states it.
    segmentations : bytes
        A JSON list, one entry an object: a list of polygons [[x, y, x, y, ...], ...] in px, or {"size", "counts"}.
    """

    height: int
    width: int
    segmentations: bytes

    def label_map(self, height: int, width: int) -> np.ndarray:
        """The objects as labels; where they overlap, the smaller one is on top.

        Parameters
        ----------
        height, width : int
            The photo's size in px.

        Returns
        -------
        ndarray of shape (H, W), int32
            0 background, 1..K the objects in the order of their annotation ids.

        Raises
        ------
        PhotoError
            A segmentation is malformed, or the photo has another size than the JSON says.
        DependencyError
            pycocotools is not installed.
        """
        if (height, width) != (self.height, self.width):
            sizes = f"{self.width} x {self.height} px, the photo {width} x {height} px"
            raise PhotoError(f"the annotations are for {sizes}: they must be equal")
        if height * width > MAX_PIXELS:
            raise PhotoError(f"the annotations are for more than {MAX_PIXELS / 1e6:.0f} Mpx")
        found = json.loads(self.segmentations)
        objects = [(k, _compress(one, height, width, f"object {k}")) for k, one in enumerate(found, 1)]
        labels = np.zeros((height, width), np.int32)
        for k, runs in sorted(objects, key=lambda item: (-int(_coco_mask().area(item[1])), item[0])):
            labels[_coco_mask().decode(runs).astype(bool)] = k
        return labels

    def digest(self) -> str:
        """sha256 (hex) of the size and the segmentations."""
        return hashlib.sha256(b"%d %d " % (self.height, self.width) + self.segmentations).hexdigest()


def open_coco(
    root: str | Path | None,
    *,
    split: str = "trainval",
    annotations: str | Path | None = None,
    with_objects: bool = False,
    licence: str | None = None,
) -> Source:
    """The images that an instances JSON lists.

    Parameters
    ----------
    root : path or None
        The folder with the images, or with folders such as val2017 and annotations. None: what lies around the JSON.
    split : str
        train or val: annotations/instances_<split>*.json. trainval: both, or instances_trainval*.json. all: every
        instances_*.json. The ids of several files begin with the file's name, as in val2017/000000000139.jpg.
    annotations : path, optional
        The JSON, where it is not in root/annotations.
    with_objects : bool
        With the objects of each image; an image may have none. Crowds are left out.
    licence : str, optional
        For the images whose licence the JSON does not state.

    Raises
    ------
    SourceError
        No JSON that fits, no images, or a JSON with a missing key, a wrong type or a path that leaves
        the folder.
    """
    if root is None and annotations is None:
        raise SourceError("the source 'coco' needs --root (with images and annotations), or --annotations JSON")
    files = [Path(annotations).absolute()] if annotations is not None else _find_files(check_root(root), split)
    folder = files[0].parent
    top = check_root(root) if root is not None else folder.parent if folder.name == "annotations" else folder
    photos = []
    for file in files:
        prefix = f"{escaped(_set_name(file))}/" if len(files) > 1 else ""
        photos += _photos(top, file, prefix, with_objects, licence)
    return Source("coco", str(top), tuple(sorted(photos, key=lambda photo: photo.id)), "" if annotations else split)


def _photos(top: Path, file: Path, prefix: str, with_objects: bool, licence: str | None) -> list[Photo]:
    """The photos of one instances JSON."""
    content = _load(file)
    images = _images(content, file)
    if not images:
        raise SourceError(f"{file}: lists no image: take another file")
    folder = _image_folder(top, file, images)
    licences = _licences(content, file)
    objects = _objects(content, file, images) if with_objects else {}
    return [
        Photo(
            prefix + image["file_name"],
            folder / image["file_name"],
            _licence(image, licences) or licence or "unknown",
            objects.get(number),
        )
        for number, image in images.items()
    ]


def _set_name(file: Path) -> str:
    """val2017 of instances_val2017.json."""
    return file.stem.removeprefix("instances_")


def _find_files(top: Path, split: str) -> list[Path]:
    """The annotations/instances_*.json of a split; one that is alone and named after no split is of every split."""
    folder = top / "annotations"
    found = [folder / name for name in names_in(folder) if re.fullmatch(r"instances_.*\.json", name, re.DOTALL)]
    splits = {path: re.match(r"(trainval|train|val|test|)", _set_name(path))[1] for path in found}
    wanted = {"all": set(splits.values()), "trainval": {"train", "val", "trainval"}}.get(split, {split})
    fitting = [path for path in found if splits[path] in wanted]
    if not fitting and list(splits.values()) == [""]:
        fitting = found
    if not fitting:
        there = f"; there is {', '.join(path.name for path in found)}" if found else ""
        wanted = f"no annotations/instances_*.json of split {split!r}"
        raise SourceError(f"{top}: {wanted}{there}: choose another --split or name the file by --annotations")
    return fitting


def _image_folder(top: Path, file: Path, images: dict[int, dict]) -> Path:
    """The folder named like the JSON (val2017), else images, else the root: the first that has the first image.

    A name that no file system takes is passed over: it costs that photo only, when it is read.
    """
    name = _set_name(file)
    places = [top / name, top / "images" / name, top / "images", top]
    names = [image["file_name"] for image in images.values()]
    first = next((name for name in names if len(name.encode()) <= _LONGEST_NAME), names[0])
    for place in places:
        if mode_of(place / first):
            return place
    raise SourceError(f"{file}: image {first[:80]!r} is in none of {', '.join(map(str, places))}: check --root")


def _load(file: Path) -> dict:
    mode = mode_of(file)
    if mode and not stat.S_ISREG(mode):
        raise SourceError(f"{file}: is not a plain file: check --annotations")
    try:
        content = json.loads(file.read_bytes())
    except OSError as error:
        raise SourceError(f"{file}: can't be read ({error.strerror}): check --annotations") from None
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{file}: is not JSON ({error}): get it again") from None
    if not isinstance(content, dict):
        raise SourceError(f"{file}: is not an instances file (its top level is no object): check --annotations")
    return content


def _get(record: Any, key: str, kind: type, where: str) -> Any:
    """``record[key]`` of the type ``kind`` (True and False are no numbers here), or a SourceError that names both."""
    if not isinstance(record, dict):
        raise SourceError(f"{where}: is no object: not an instances file, or damaged")
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, kind):
        found = "is missing" if key not in record else f"is {type(value).__name__}, not {kind.__name__}"
        raise SourceError(f"{where}: key {key!r} {found}: not an instances file, or damaged")
    return value


def _images(content: dict, file: Path) -> dict[int, dict]:
    """Image id -> its record, checked: unique, and with a file name that stays inside the folder."""
    images, names = {}, set()
    for index, image in enumerate(_get(content, "images", list, str(file))):
        where = f"{file}: images[{index}]"
        number, name = _get(image, "id", int, where), _get(image, "file_name", str, where)
        for key in ("height", "width"):
            _get(image, key, int, where)
        if printable(name) != name:
            raise SourceError(
                f"{where}: file_name {name[:80]!r} holds control characters or half a character: rename it"
            )
        path = PurePosixPath(name)
        if not name or path.is_absolute() or ".." in path.parts or set(name) & set("\\:") or str(path) != name:
            raise SourceError(f"{where}: file_name {name[:80]!r} does not stay inside the folder of images")
        if number in images or name in names:
            raise SourceError(f"{where}: id {number} or file_name {name!r} is there twice: each must be unique")
        images[number] = image
        names.add(name)
    return images


def _licences(content: dict, file: Path) -> dict[int, str]:
    """Licence id -> "name (url)"."""
    if "licenses" not in content:
        return {}
    found = {}
    for index, one in enumerate(_get(content, "licenses", list, str(file))):
        where = f"{file}: licenses[{index}]"
        name, url = _get(one, "name", str, where), one.get("url")
        text = f"{name} ({url})" if isinstance(url, str) and url else name
        found[_get(one, "id", int, where)] = printable(text)
    return found


def _licence(image: dict, licences: dict[int, str]) -> str | None:
    number = image.get("license")
    return licences.get(number) if type(number) is int else None


def _objects(content: dict, file: Path, images: dict[int, dict]) -> dict[int, CocoObjects]:
    """Image id -> its objects in the order of the annotation ids. Crowds are left out, masks not looked at yet."""
    segmentations = {number: [] for number in images}
    for index, one in enumerate(_get(content, "annotations", list, str(file))):
        where = f"{file}: annotations[{index}]"
        number, order = _get(one, "image_id", int, where), _get(one, "id", int, where)
        if number not in images:
            raise SourceError(f"{where}: key 'image_id' is {number}, which is no image of this file")
        if "segmentation" not in one:
            raise SourceError(f"{where}: key 'segmentation' is missing: not an instances file")
        if not one.get("iscrowd"):
            segmentations[number].append((order, one["segmentation"]))
    objects = {}
    for number, found in segmentations.items():
        ordered = [segmentation for _, segmentation in sorted(found, key=lambda pair: pair[0])]
        compact = json.dumps(ordered, separators=(",", ":")).encode()
        objects[number] = CocoObjects(images[number]["height"], images[number]["width"], compact)
    return objects


def _coco_mask() -> Any:
    """pycocotools.mask, imported when the first mask is rendered."""
    try:
        from pycocotools import mask
    except ImportError:
        raise DependencyError("COCO masks need pycocotools: pip install 'blurgen[coco]'") from None
    return mask


def _compress(segmentation: Any, height: int, width: int, where: str) -> dict:
    """One object as the run-length code of pycocotools, whose C code trusts its input: everything is checked here."""
    if isinstance(segmentation, dict):
        runs = _runs(segmentation, height, width, where)
        return _coco_mask().frPyObjects({"size": [height, width], "counts": runs}, height, width)
    polygons = _polygons(segmentation, max(height, width), where)
    return _coco_mask().merge(_coco_mask().frPyObjects(polygons, height, width))


def _polygons(segmentation: Any, side: int, where: str) -> list[list[float]]:
    """The polygons as floats: at least three corners each, none farther than ``side`` px outside the photo."""
    if not isinstance(segmentation, list) or not segmentation:
        raise PhotoError(f"{where}: segmentation is neither polygons nor run lengths")
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise PhotoError(f"{where}: a polygon is no list of x, y pairs of at least three corners")
        if not all(type(number) in (int, float) and -side <= number <= 2 * side for number in polygon):
            raise PhotoError(f"{where}: a polygon has a corner that is no number or far outside the photo")
    return [[float(number) for number in polygon] for polygon in segmentation]


def _runs(segmentation: dict, height: int, width: int, where: str) -> list[int]:
    """The run lengths, of 0 and 1 in turn, down the columns. They cover the photo exactly."""
    size, counts = segmentation.get("size"), segmentation.get("counts")
    if size != [height, width]:
        raise PhotoError(f"{where}: run lengths are for size {size!s:.40}, the photo is [{height}, {width}]")
    runs = _unpack(counts) if isinstance(counts, str) else counts
    if not isinstance(runs, list) or not all(type(run) is int and run >= 0 for run in runs):
        raise PhotoError(f"{where}: counts are no run lengths")
    if sum(runs) != height * width:
        raise PhotoError(f"{where}: run lengths cover {sum(runs)} px, the photo has {height * width}")
    return runs


def _unpack(text: str) -> list[int] | None:
    """Run lengths from COCO's text: five bits a character, low first, signed, from the third on as differences.

    Returns None for anything else.
    """
    runs, value, shift = [], 0, 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 40:
            return None
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    return runs if shift == 0 else None
