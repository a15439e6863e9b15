"""Lists of photos: what is found, what is refused, and with which words."""

import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blurgen.errors import PhotoError, SourceError
from blurgen.sources import SOURCES, CocoObjects, Photo, Source, VocObjects, decode, open_source
from blurgen.sources.coco import _unpack
from blurgen.sources.folder import mode_of, names_in


def ids(source):
    return [photo.id for photo in source.photos]


def refused(*args, **options):
    with pytest.raises(SourceError) as caught:
        open_source(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Any source


def test_unknown_names_are_answered_with_a_suggestion(tmp_path):
    assert refused("vok") == "unknown source 'vok': did you mean 'voc'?"
    assert refused("imagenet") == "unknown source 'imagenet': choose one of sample, folder, voc, coco"
    assert refused("voc", tmp_path, split="trainvl") == "unknown split 'trainvl': did you mean 'trainval'?"


def test_options_that_a_source_has_no_use_for_are_refused(tmp_path):
    assert "'sample' takes no root" in refused("sample", tmp_path)
    assert "'sample' has no annotated objects, which the recipe needs: use voc or coco, or another recipe" in refused(
        "sample", with_objects=True
    )
    assert "'sample' states its own licences" in refused("sample", licence="CC0")
    assert "'folder' has no annotated objects" in refused("folder", tmp_path, with_objects=True)
    assert "'voc' takes no annotations: use coco" in refused("voc", tmp_path, annotations="a.json")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"name": 3}, "name is int: give a str"),
        ({"name": []}, "name is list: give a str"),
        ({"split": None}, "split is NoneType: give a str"),
        ({"licence": 5}, "licence is int: give a str or None"),
        ({"with_objects": "no"}, "with_objects is str: give True or False"),
        ({"root": 3.5}, "root is float, not a path: name a folder"),
        ({"root": b"photos"}, "root is bytes, not a path: name a folder"),
        ({"root": ""}, "root is empty: name a folder"),
        ({"annotations": ""}, "annotations is empty: name a file"),
    ],
)
def test_options_of_a_wrong_type_are_refused(options, said):
    assert refused(**{"name": "coco", **options}) == said


def test_a_source_holds_no_id_twice():
    with pytest.raises(SourceError, match="here: two photos have the id 'a': rename one of them"):
        Source("folder", "here", (Photo("a", Path("a")), Photo("b", Path("b")), Photo("a", Path("c"))))


@pytest.mark.parametrize("look", [mode_of, names_in])
def test_what_can_not_be_looked_at_is_named(look, tmp_path):
    assert not look(tmp_path / "nowhere")
    (tmp_path / "file").touch()
    assert not look(tmp_path / "file" / "below")
    # Python words the second reason in its own way from version to version.
    for path, said in ((tmp_path / ("x" * 256), "File name too long"), ("a\0b\nc", ".*embedded null .*")):
        with pytest.raises(SourceError, match=rf"can't be looked at \({said}\)") as caught:
            look(path)
        assert not set(str(caught.value)) & set("\0\n")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_folders_without_permission_are_named(voc_root, coco_root):
    sources = ("voc", voc_root, "ImageSets/Main"), ("coco", coco_root, "val2017"), ("coco", coco_root, "annotations")
    for name, root, folder in sources:
        (root / folder).chmod(0)
        message = refused(name, root)
        (root / folder).chmod(0o755)
        assert f"{folder}" in message
        assert "Permission denied" in message


def test_a_licence_that_can_not_be_printed_is_escaped(voc_root):
    assert open_source("voc", voc_root, licence="CC\x1b\udcff0").photos[0].licence == "CC\\u001b\\udcff0"


def test_listing_photos_imports_nothing_heavy():
    code = "import sys, blurgen.sources as s; s.open_source('sample')\n"
    code += "print([m for m in ('cv2', 'skimage', 'scipy', 'pycocotools', 'tifffile', 'pydantic') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


@pytest.mark.parametrize("name", SOURCES)
def test_a_source_is_plain_sorted_and_picklable(name, tmp_path, voc_root, coco_root):
    root = {"sample": None, "folder": voc_root / "JPEGImages", "voc": voc_root, "coco": coco_root}[name]
    source = open_source(name, root)
    assert source.name == name
    assert ids(source) == sorted(set(ids(source)))
    assert pickle.loads(pickle.dumps(source)) == source
    assert all(photo.path.is_absolute() and photo.licence for photo in source.photos)
    assert decode(source.photos[0].read()).shape[2] == 3


# Photo.read


def test_read_says_why_it_can_not(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    with open(tmp_path / "huge.jpg", "wb") as file:
        file.truncate(1_200_000_000)
    reasons = {}
    for name in ("empty", "folder", "pipe", "huge", "missing"):
        with pytest.raises(PhotoError) as caught:
            Photo(name, tmp_path / f"{name}.jpg").read()
        reasons[name] = str(caught.value)
    assert reasons == {
        "empty": "empty file",
        "folder": "the file is not a plain file",
        "pipe": "the file is not a plain file",
        "huge": "the file is 1.2 GB, above the limit of 1 GB: resize it first",
        "missing": "the file can't be read: No such file or directory",
    }


# sample


def test_the_sample_photos_all_decode():
    source = open_source("sample")
    assert len(source.photos) >= 10
    assert {"astronaut.png", "chelsea.png", "coffee.png", "retina.jpg", "rocket.jpg"} <= set(ids(source))
    for photo in source.photos:
        assert min(decode(photo.read()).shape[:2]) >= 300


# folder


def test_a_folder_is_searched_in_all_subfolders_and_sorted(tmp_path):
    names = [
        "b.JPG",
        "a/z.png",
        "a/b/c.webp",
        "raw.NEF",
        "phone.heic",
        "._b.JPG",
        ".hidden/x.jpg",
        ".x.jpg",
        "notes.txt",
    ]
    for name in [*names, "jpg", "a/Thumbs.db"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    source = open_source("folder", tmp_path, licence="CC-BY-4.0")
    assert ids(source) == ["a/b/c.webp", "a/z.png", "b.JPG", "phone.heic", "raw.NEF"]
    assert {photo.licence for photo in source.photos} == {"CC-BY-4.0"}
    assert open_source("folder", tmp_path).photos[0].licence == "unknown"


def test_links_are_followed_and_loops_end(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a.jpg").touch()
    (tmp_path / "top").mkdir()
    (tmp_path / "top/linked").symlink_to(tmp_path / "photos")
    (tmp_path / "top/again").symlink_to(tmp_path / "photos")
    (tmp_path / "photos/loop").symlink_to(tmp_path / "top")
    (tmp_path / "top/broken.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert ids(open_source("folder", tmp_path / "top")) == ["again/a.jpg", "broken.jpg"]


def test_a_name_that_is_not_utf_8_gets_an_id_that_can_be_stored(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.jpg")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert ids(open_source("folder", tmp_path)) == ["caf\\xe9.jpg"]


def test_names_that_differ_get_ids_that_differ(tmp_path):
    try:
        (tmp_path / os.fsdecode(b"a\xff.jpg")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    for name in ("a\\xff.jpg", "a\\\\xff.jpg", "a\x1b.jpg", "a\\u001b.jpg", "\u00ff.jpg"):
        (tmp_path / name).touch()
    found = ids(open_source("folder", tmp_path))
    assert found == sorted(
        ["a\\xff.jpg", "a\\\\xff.jpg", "a\\\\\\\\xff.jpg", "a\\u001b.jpg", "a\\\\u001b.jpg", "\u00ff.jpg"]
    )


def test_folders_that_can_not_serve(tmp_path):
    (tmp_path / "file.jpg").touch()
    (tmp_path / "empty").mkdir()
    assert "give it by --root" in refused("folder")
    assert "no such folder" in refused("folder", tmp_path / "nowhere")
    assert "is a file, not a folder" in refused("folder", tmp_path / "file.jpg")
    assert "holds no photo" in refused("folder", tmp_path / "empty")
    assert "can't be looked at" in refused("folder", "a\0b") or "no such folder" in refused("folder", "a\0b")


# voc


def test_voc_lists(voc_root):
    assert len(ids(open_source("voc", voc_root))) == 6
    assert ids(open_source("voc", voc_root, split="train")) == ["000001", "000002", "000003", "000005"]
    assert ids(open_source("voc", voc_root, split="val")) == ["000003", "000004", "000006"]
    assert len(ids(open_source("voc", voc_root, split="all"))) == 6
    with_objects = open_source("voc", voc_root, split="train", with_objects=True)
    assert ids(with_objects) == ["000001", "000002"]
    assert all(isinstance(photo.objects, VocObjects) for photo in with_objects.photos)
    assert len(ids(open_source("voc", voc_root, split="all", with_objects=True))) == 4
    assert {photo.objects for photo in open_source("voc", voc_root).photos} == {None}


def test_voc_is_found_where_it_usually_is(voc_root, tmp_path, monkeypatch):
    for root in (voc_root, tmp_path, tmp_path / "VOCdevkit"):
        assert open_source("voc", root).root == str(voc_root)
    monkeypatch.delenv("BLURGEN_VOC", raising=False)
    monkeypatch.chdir(tmp_path)
    assert Path(open_source("voc").root).samefile(voc_root)
    monkeypatch.chdir("/")
    message = refused("voc")
    for place in (
        "VOCdevkit/VOC2012",
        "VOC2012",
        "VOC2007",
        "BLURGEN_VOC is not set",
        "host.robots.ox.ac.uk",
        "--root",
    ):
        assert place in message
    monkeypatch.setenv("BLURGEN_VOC", str(tmp_path))
    assert open_source("voc").root == str(voc_root)
    monkeypatch.setenv("BLURGEN_VOC", str(tmp_path / "moved"))
    assert "moved/VOCdevkit/VOC2007 (BLURGEN_VOC says so)" in refused("voc")
    assert str(tmp_path / "nowhere") in refused("voc", tmp_path / "nowhere")


def test_voc_lists_that_are_missing_or_hostile(voc_root):
    (voc_root / "ImageSets/Segmentation/train.txt").unlink()
    assert "ImageSets/Segmentation/train.txt" in refused("voc", voc_root, split="train", with_objects=True)
    for line in ("../../etc/passwd", "a/b", "..", "/etc/passwd", "a\\b", ".hidden", "x" * 300, "a\0b"):
        (voc_root / "ImageSets/Main/val.txt").write_text(f"000003\n\n{line}\n")
        message = refused("voc", voc_root, split="val")
        assert "val.txt: line 3" in message
        assert "is not a photo id" in message
    (voc_root / "ImageSets/Main/val.txt").write_bytes(b"\xff\xfe\x00")
    assert "val.txt: can't be read" in refused("voc", voc_root, split="val")
    (voc_root / "ImageSets/Main/train.txt").write_text("\n")
    assert "name no photo" in refused("voc", voc_root, split="train")
    shutil.rmtree(voc_root / "ImageSets")
    assert len(ids(open_source("voc", voc_root, split="all"))) == 6
    assert "no list of photos for split 'train'" in refused("voc", voc_root, split="train")


def test_voc_objects(voc_root):
    objects = open_source("voc", voc_root, split="train", with_objects=True).photos[0].objects
    labels = objects.label_map(90, 120)
    assert labels.dtype == np.int32
    assert labels.shape == (90, 120)
    assert np.unique(labels).tolist() == [0, 1, 2]  # and void (255) has become 0
    assert (labels == 2).sum() == 21 * 21
    assert labels[45, 45] == 1
    digest = objects.digest()
    assert len(digest) == 64
    with open(objects.path, "ab") as file:
        file.write(b"x")
    assert objects.digest() != digest


def test_voc_objects_that_can_not_serve(voc_root, tmp_path):
    objects = open_source("voc", voc_root, split="train", with_objects=True).photos[0].objects
    mask = objects.path

    def reason(height=90, width=120):
        with pytest.raises(PhotoError, match=mask.name) as caught:
            objects.label_map(height, width)
        return str(caught.value)

    assert "is 120 x 90 px, the photo 121 x 90 px" in reason(90, 121)
    Image.new("RGB", (120, 90)).save(mask)
    assert "colour mode RGB: it must be indexed" in reason()
    mask.write_bytes(mask.read_bytes()[:60])
    assert reason()
    mask.write_bytes(b"no png")
    assert reason() == f"damaged mask {mask.name}: not a PNG that Pillow can read"
    mask.unlink()
    assert "can't be read: No such file" in reason()
    with pytest.raises(PhotoError, match="can't be read"):
        objects.digest()


# coco

SQUARE = [[10, 10, 30, 10, 30, 30, 10, 30]]
RUNS = {"size": [40, 60], "counts": [0, 40 * 5, 40 * 55]}  # the five columns on the left


def instances():
    """Three images: one with a polygon, run lengths and a crowd; one with a crowd only; one with nothing."""
    size = {"height": 40, "width": 60}
    return {
        "licenses": [{"id": 4, "name": "CC BY 2.0", "url": "http://example.org/by"}],
        "images": [
            {"id": 7, "file_name": "b.png", "license": 4, **size},
            {"id": 8, "file_name": "a.png", "license": 99, **size},
            {"id": 9, "file_name": "c.png", **size},
        ],
        "annotations": [
            {"id": 2, "image_id": 7, "iscrowd": 0, "segmentation": RUNS, "category_id": 1},
            {"id": 1, "image_id": 7, "iscrowd": 0, "segmentation": SQUARE, "category_id": 1},
            {"id": 3, "image_id": 7, "iscrowd": 1, "segmentation": {"size": [40, 60], "counts": [0, 2400]}},
            {"id": 4, "image_id": 8, "iscrowd": 1, "segmentation": {"size": [40, 60], "counts": [0, 2400]}},
        ],
    }


@pytest.fixture
def coco_root(tmp_path):
    root = tmp_path / "coco"
    (root / "annotations").mkdir(parents=True)
    (root / "val2017").mkdir()
    for name in "abc":
        Image.new("RGB", (60, 40), "red").save(root / "val2017" / f"{name}.png")
    write_instances(root, instances())
    return root


def write_instances(root, content):
    (root / "annotations/instances_val2017.json").write_text(json.dumps(content))


def test_coco_lists(coco_root):
    source = open_source("coco", coco_root)
    assert ids(source) == ["a.png", "b.png", "c.png"]
    licences = [photo.licence for photo in source.photos]
    assert licences == ["unknown", "CC BY 2.0 (http://example.org/by)", "unknown"]
    assert open_source("coco", coco_root, licence="mine").photos[0].licence == "mine"
    with_objects = open_source("coco", coco_root, with_objects=True)
    assert ids(with_objects) == ["a.png", "b.png", "c.png"]
    assert not with_objects.photos[0].objects.label_map(40, 60).any()  # a crowd is no object
    assert all(photo.path.is_file() for photo in source.photos)


def test_coco_files_are_found(coco_root, tmp_path):
    file = coco_root / "annotations/instances_val2017.json"
    assert open_source("coco", annotations=file).photos == open_source("coco", coco_root).photos
    assert "of split 'train'; there is instances_val2017.json" in refused("coco", coco_root, split="train")
    shutil.copy(file, coco_root / "annotations/instances_train2017.json")
    shutil.copytree(coco_root / "val2017", coco_root / "train2017")
    for split in ("trainval", "all"):
        both = open_source("coco", coco_root, split=split)
        assert ids(both) == [f"{name}2017/{letter}.png" for name in ("train", "val") for letter in "abc"]
        assert all(photo.path == coco_root / photo.id for photo in both.photos)
    assert open_source("coco", coco_root, split="val").photos[0].path == coco_root / "val2017" / "a.png"
    moved = tmp_path / "elsewhere.json"
    file.rename(moved)
    assert len(open_source("coco", coco_root / "val2017", annotations=moved).photos) == 3
    (coco_root / "val2017").rename(coco_root / "images")
    assert open_source("coco", coco_root, annotations=moved).photos[0].path == coco_root / "images" / "a.png"
    shutil.rmtree(coco_root / "images")
    assert "image 'b.png' is in none of" in refused("coco", coco_root, annotations=moved)
    shutil.rmtree(coco_root / "annotations")
    assert "name the file by --annotations" in refused("coco", coco_root)
    assert "needs --root" in refused("coco")
    assert "can't be read" in refused("coco", annotations=tmp_path / "missing.json")


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("images",), None, "key 'images' is missing"),
        (("images",), {}, "key 'images' is dict, not list"),
        (("images", 0), 5, "images[0]: is no object"),
        (("images", 1, "file_name"), None, "images[1]: key 'file_name' is missing"),
        (("images", 1, "file_name"), 5, "images[1]: key 'file_name' is int, not str"),
        (("images", 1, "file_name"), "../x.png", "'../x.png' does not stay inside"),
        (("images", 1, "file_name"), "/etc/passwd", "does not stay inside"),
        (("images", 1, "file_name"), "a/../../x.png", "does not stay inside"),
        (("images", 1, "file_name"), "C:\\x.png", "does not stay inside"),
        (("images", 1, "file_name"), "", "does not stay inside"),
        (("images", 1, "file_name"), "a\x1b[2J.png", "images[1]: file_name 'a\\x1b[2J.png' holds control characters"),
        (("images", 1, "file_name"), "a\r\n.png", "images[1]: file_name 'a\\r\\n.png' holds control characters"),
        (("images", 1, "file_name"), "\ud800.png", "images[1]: file_name '\\ud800.png' holds control characters"),
        (("images", 1, "file_name"), "b.png", "is there twice"),
        (("images", 1, "id"), True, "key 'id' is bool, not int"),
        (("images", 1, "height"), "40", "key 'height' is str, not int"),
        (("licenses",), "CC", "key 'licenses' is str, not list"),
        (("licenses", 0, "name"), None, "licenses[0]: key 'name' is missing"),
        (("annotations",), None, "key 'annotations' is missing"),
        (("annotations", 2, "image_id"), 1234, "annotations[2]: key 'image_id' is 1234"),
        (("annotations", 2, "segmentation"), None, "annotations[2]: key 'segmentation' is missing"),
    ],
)
def test_malformed_instances_name_the_file_and_the_key(coco_root, path, value, said):
    content = instances()
    holder = content
    for step in path[:-1]:
        holder = holder[step]
    if value is None:
        del holder[path[-1]]
    else:
        holder[path[-1]] = value
    write_instances(coco_root, content)
    message = refused("coco", coco_root, with_objects=True)
    assert said in message
    assert "instances_val2017.json" in message


@pytest.mark.parametrize("number", [[1], {}, "4", 4.0, True, None])
def test_a_licence_number_that_is_no_int_is_an_unknown_licence(coco_root, number):
    content = instances()
    content["images"][0]["license"] = number
    content["licenses"].append({"id": 1, "name": "first"})
    write_instances(coco_root, content)
    assert open_source("coco", coco_root).photos[1].licence == "unknown"


def test_coco_licences_are_printable(coco_root):
    content = instances()
    content["licenses"][0].update(name="CC\x1b \ud800", url="a\nb")
    write_instances(coco_root, content)
    assert open_source("coco", coco_root).photos[1].licence == "CC\\u001b \\ud800 (a\\u000ab)"


def test_a_file_name_that_is_too_long_costs_one_photo_only(coco_root):
    content = instances()
    content["images"][0]["file_name"] = "x" * 300
    write_instances(coco_root, content)
    *good, bad = open_source("coco", coco_root).photos
    assert all(photo.read() for photo in good)
    with pytest.raises(PhotoError, match="File name too long"):
        bad.read()
    content["images"] = content["images"][:1]
    write_instances(coco_root, content)
    assert "File name too long" in refused("coco", coco_root)


def test_a_pipe_is_no_instances_file(coco_root, tmp_path):
    os.mkfifo(tmp_path / "pipe.json")
    message = refused("coco", coco_root, annotations=tmp_path / "pipe.json")
    assert message.endswith("pipe.json: is not a plain file: check --annotations")


@pytest.mark.parametrize("text", ["", "{", "[]", "5", "[" * 100_000, '{"images": []}', "\xff"])
def test_what_is_no_instances_file(coco_root, text):
    (coco_root / "annotations/instances_val2017.json").write_text(text, "latin-1")
    assert "instances_val2017.json" in refused("coco", coco_root)


def test_annotations_are_not_looked_at_unless_asked_for(coco_root):
    write_instances(coco_root, {**instances(), "annotations": "damaged"})
    assert len(open_source("coco", coco_root).photos) == 3


def coco_objects(*segmentations, height=40, width=60):
    return CocoObjects(height, width, json.dumps(segmentations).encode())


def test_coco_objects(coco_root):
    pytest.importorskip("pycocotools")
    objects = open_source("coco", coco_root, with_objects=True).photos[1].objects
    labels = objects.label_map(40, 60)
    assert labels.dtype == np.int32
    expected = np.zeros((40, 60), int)
    expected[10:30, 10:30] = 1
    expected[:, :5] = 2
    assert np.array_equal(labels, expected)
    assert len(objects.digest()) == 64
    assert objects.digest() != coco_objects(SQUARE).digest()


def test_compressed_run_lengths_agree_with_pycocotools():
    coco_mask = pytest.importorskip("pycocotools.mask")
    rng = np.random.default_rng(0)
    for shape in ((40, 60), (300, 200)):
        for share in (0, 0.01, 0.5, 1):
            mask = np.asfortranarray(rng.random(shape) < share, np.uint8)
            text = coco_mask.encode(mask)["counts"].decode()
            labels = coco_objects({"size": list(shape), "counts": text}, height=shape[0], width=shape[1])
            assert np.array_equal(labels.label_map(*shape), mask)
            assert sum(_unpack(text)) == mask.size


def test_where_objects_overlap_the_smaller_is_on_top():
    pytest.importorskip("pycocotools")
    everything = {"size": [40, 60], "counts": [0, 2400]}
    for order, small in (((SQUARE, everything), 1), ((everything, SQUARE), 2)):
        labels = coco_objects(*order).label_map(40, 60)
        assert labels[20, 20] == small
        assert labels[0, 0] == 3 - small


@pytest.mark.parametrize(
    "segmentation",
    [
        5,
        [],
        [[]],
        [[1, 2, 3, 4]],
        [[1, 2, 3, 4, 5]],
        [["a"] * 6],
        [[0, 0, 1e9, 0, 1e9, 1e9]],
        [[0, 0, float("nan"), 0, 9, 9]],
        [[True] * 6],
        [5, 6],
        {},
        {"size": [40, 60]},
        {"size": [60, 40], "counts": [0, 2400]},
        {"size": [40, 60], "counts": [0, 2399]},
        {"size": [40, 60], "counts": [0, 10**12]},
        {"size": [40, 60], "counts": [-5, 2405]},
        {"size": [40, 60], "counts": [0.0, 2400.0]},
        {"size": [40, 60], "counts": "zzzzzzzzzzzzzzzz"},
        {"size": [40, 60], "counts": "0" * 2000},
        {"size": [40, 60], "counts": "\u20ac"},
        {"size": [40, 60], "counts": ""},
        {"size": [40, 60], "counts": 7},
    ],
)
def test_malformed_segmentations_cost_one_photo_only(segmentation):
    pytest.importorskip("pycocotools")
    with pytest.raises(PhotoError, match="object 2: "):
        coco_objects(SQUARE, segmentation).label_map(40, 60)


def test_annotations_of_another_size_name_both():
    with pytest.raises(PhotoError, match="for 60 x 40 px, the photo 50 x 40 px"):
        coco_objects(SQUARE).label_map(40, 50)
