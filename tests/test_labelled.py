"""Photos with human masks: which folders are found, what the masks mean, what is refused, and with which words."""

import hashlib
import os
import pickle

import numpy as np
import pytest
from PIL import Image

from blurgen.errors import ArgumentError, PhotoError, SourceError
from blurgen.sources.labelled import open_labelled

SIZE = (40, 48)  # height, width in px


@pytest.fixture
def write(tmp_path):
    """``write("image", "gt")`` makes two folders with three photos and masks: the left half of each mask is white."""

    def make(photos, masks, names=("a", "b", "c"), values=None, **saved):
        for folder in (photos, masks):
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(0)
        if values is None:
            values = np.zeros(SIZE, np.uint8)
            values[:, : SIZE[1] // 2] = 255
        for name in names:
            photo = Image.fromarray(rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
            photo.save(tmp_path / photos / f"{name}.jpg", **saved)
            Image.fromarray(values).save(tmp_path / masks / f"{name}.png")
        return tmp_path

    return make


def refused(*args, error=SourceError, **options):
    with pytest.raises(error) as caught:
        open_labelled(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def unreadable(labelled, index=0):
    with pytest.raises(PhotoError) as caught:
        labelled.read(index)
    assert "\n" not in str(caught.value)
    assert str(labelled.root) in str(caught.value)
    return str(caught.value)


# Layouts


@pytest.mark.parametrize(
    ("photos", "masks"),
    [
        ("image", "gt"),
        ("images", "gt"),
        ("image", "mask"),
        ("images", "masks"),
        ("dut500-source", "dut500-gt"),
        ("DUT600S_Training", "DUT600GT_Training"),
        ("BlurDetectionDataset/image", "BlurDetectionDataset/gt"),
    ],
)
def test_the_known_layouts_are_found(write, photos, masks):
    root = write(photos, masks)
    labelled = open_labelled(root, "white")
    assert len(labelled) == 3
    assert labelled.names == ("a", "b", "c")
    assert labelled.photos[1] == root / photos / "b.jpg"
    assert labelled.masks[1] == root / masks / "b.png"
    assert pickle.loads(pickle.dumps(labelled)) == labelled


def test_another_folder_of_masks_can_be_named(write):
    root = write("image", "mask")
    write("image", "mask_dense", values=np.full(SIZE, 128, np.uint8))
    assert open_labelled(root, "white").masks[0].parent.name == "mask"
    dense = open_labelled(root, "white", masks="mask_dense")
    assert (dense.read(0)[1] == 128).all()
    for unknown in ("nowhere", "..", "../mask", "/etc", ""):
        assert f"holds no folder {unknown!r} beside one of photos" in refused(root, "white", masks=unknown)


def test_several_layouts_are_named_and_one_must_be_chosen(write):
    root = write("train/image", "train/gt")
    write("test/image", "test/gt")
    said = refused(root, "white")
    assert "test/image + test/gt, train/image + train/gt" in said
    assert len(open_labelled(root / "train", "white")) == 3
    write("dut500-source", "dut500-gt")
    assert open_labelled(root, "black").photos[0].parent.name == "dut500-source"
    write("DUT600S_Training", "DUT600GT_Training")
    assert "several" in refused(root, "black")
    assert open_labelled(root, "black", masks="dut500-gt").photos[0].parent.name == "dut500-source"


def test_a_folder_without_a_layout_is_answered_with_the_layouts(tmp_path):
    assert "CUHK (image, gt), DUT (dut500-source, dut500-gt)" in refused(tmp_path, "white")
    assert "no such folder" in refused(tmp_path / "nowhere", "white")
    (tmp_path / "image").mkdir()
    (tmp_path / "gt").mkdir()
    assert "holds no photo" in refused(tmp_path, "white")


def test_names_that_do_not_match_are_counted_and_named(write):
    root = write("image", "gt", names="abcdefg")
    for name in "bcde":
        (root / "gt" / f"{name}.png").unlink()
    (root / "image" / "g.jpg").unlink()
    said = refused(root, "white")
    assert "4 of 6 photos match nothing in gt (b, c, d, ...); 1 of 3 masks match nothing in image (g)" in said
    assert "give equal names, or move these away" in said


def test_a_name_that_is_there_twice_is_refused(write):
    root = write("image", "gt")
    (root / "image" / "a.png").write_bytes(b"")
    assert "a.jpg has the same name: remove one of them" in refused(root, "white")


def test_what_is_no_picture_is_passed_over(write):
    root = write("image", "gt")
    for name in ("readme.txt", ".hidden.png", "Thumbs.db"):
        (root / "gt" / name).write_bytes(b"x")
    assert len(open_labelled(root, "white")) == 3


@pytest.mark.parametrize("polarity", [None, "", "White", 255])
def test_the_polarity_has_to_be_stated(write, polarity):
    root = write("image", "gt")
    assert "white (CUHK) or black (DUT)" in refused(root, polarity, error=ArgumentError)


# Masks


def test_white_or_black_is_blurred_and_the_middle_is_unknown(write):
    values = np.zeros(SIZE, np.uint8)
    values[0, :6] = (0, 127, 128, 129, 254, 255)
    root = write("image", "gt", values=values)
    white, black = (open_labelled(root, polarity).read(0)[1] for polarity in ("white", "black"))
    assert white[0, :6].tolist() == [0, 0, 128, 255, 255, 255]
    assert black[0, :6].tolist() == [255, 255, 128, 0, 0, 0]
    assert white.dtype == np.uint8
    assert white.shape == SIZE


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_the_first_channel_counts_in_every_colour_mode(write, mode):
    root = write("image", "gt")
    for path in (root / "gt").iterdir():
        mask = Image.open(path).convert(mode)
        if mode in ("LA", "RGBA"):
            mask.putalpha(7)  # alpha hides nothing
        mask.save(path)
    mask = open_labelled(root, "white").read(0)[1]
    assert (mask[:, : SIZE[1] // 2] == 255).all()
    assert (mask[:, SIZE[1] // 2 :] == 0).all()


@pytest.mark.parametrize("value", [0, 255])
def test_a_mask_may_be_of_one_class(write, value):
    root = write("image", "gt", values=np.full(SIZE, value, np.uint8))
    assert (open_labelled(root, "white").read(0)[1] == value).all()


def test_a_mask_of_zeros_and_ones_is_refused(write):
    root = write("image", "gt", values=np.eye(*SIZE, dtype=np.uint8))
    assert "a.png: a mask of 0 and 1: save white as 255" in unreadable(open_labelled(root, "white"))


def test_sixteen_bits_are_refused(write):
    root = write("image", "gt", values=np.full(SIZE, 65535, np.uint16))
    assert "colour mode I;16: save the mask with 8 bits" in unreadable(open_labelled(root, "white"))


def test_sizes_must_be_equal(write):
    root = write("image", "gt", values=np.zeros((40, 50), np.uint8))
    said = unreadable(open_labelled(root, "white"))
    assert said.endswith("gt/a.png: a mask of 50 x 40 px, its photo 48 x 40 px: they must be equal")


def test_a_turned_photo_needs_a_turned_mask(write):
    exif = Image.Exif()
    exif[0x0112] = 6
    root = write("image", "gt", exif=exif)
    said = unreadable(open_labelled(root, "white"))
    assert "a mask of 48 x 40 px, its photo 40 x 48 px (a photo is turned upright by its EXIF orientation" in said
    write("image", "gt", values=np.full(SIZE[::-1], 255, np.uint8), exif=exif)
    image, mask = open_labelled(root, "white").read(0)
    assert image.shape[:2] == mask.shape == SIZE[::-1]


# Files from outside


def test_damaged_files_are_named(write):
    root = write("image", "gt")
    labelled = open_labelled(root, "white")
    mask, photo = labelled.masks[0], labelled.photos[1]
    whole = mask.read_bytes()
    for data, said in ((whole[:60], "damaged mask"), (b"", "empty file"), (b"junk", "not a PNG, BMP or JPEG")):
        mask.write_bytes(data)
        assert f"gt/a.png: {said}" in unreadable(labelled)
    mask.unlink()
    assert "can't be read" in unreadable(labelled)
    photo.write_bytes(photo.read_bytes()[:300])
    assert "image/b.jpg: " in unreadable(labelled, 1)
    with pytest.raises(PhotoError, match=r"gt/a\.png"):
        labelled.digest()


def test_a_mask_that_claims_to_be_huge_is_not_unpacked(write):
    root = write("image", "gt")
    Image.new("1", (16000, 16000)).save(root / "gt" / "a.png")
    Image.new("1", (12000, 12000)).save(root / "gt" / "b.png")
    labelled = open_labelled(root, "white")
    assert "a mask far larger than its photo" in unreadable(labelled)
    assert "a mask of 12000 x 12000 px, its photo 48 x 40 px" in unreadable(labelled, 1)


def test_pipes_are_not_waited_for(write):
    root = write("image", "gt")
    (root / "gt" / "a.png").unlink()
    os.mkfifo(root / "gt" / "a.png")
    assert "not a plain file" in unreadable(open_labelled(root, "white"))


def test_names_that_can_not_be_printed_are_escaped(write):
    root = write("image", "gt", names=["a\nb"])
    labelled = open_labelled(root, "white")
    assert labelled.names == ("a\\u000ab",)
    assert labelled.read(0)[0].shape == (*SIZE, 3)
    labelled.masks[0].write_bytes(b"")
    assert "a\\u000ab.png" in unreadable(labelled)


def test_native_keeps_grey_photos_grey(write):
    root = write("image", "gt")
    for path in (root / "image").iterdir():
        Image.open(path).convert("L").save(path)
    assert open_labelled(root, "white").read(0)[0].shape == (*SIZE, 3)
    assert open_labelled(root, "white", pixels="native").read(0)[0].shape == (*SIZE, 1)


def test_the_digest_is_over_names_photos_masks_and_polarity(write):
    root = write("image", "gt")
    lines = ["white"]
    for name in "abc":
        files = (root / "image" / f"{name}.jpg", root / "gt" / f"{name}.png")
        lines.append(" ".join([name, *(hashlib.sha256(path.read_bytes()).hexdigest() for path in files)]))
    assert open_labelled(root, "white").digest() == hashlib.sha256("\n".join(lines).encode()).hexdigest()
    assert open_labelled(root, "black").digest() != open_labelled(root, "white").digest()
