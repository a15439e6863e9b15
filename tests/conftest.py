"""Fixtures that several test modules share."""

import os
import shutil
import subprocess
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before numpy and torch are here: sums in one order, in processes too

import numpy as np
import pytest
from PIL import Image, ImageDraw

from blurgen.sources import decode, open_source

VOC_CROPS = {  # id -> (sample photo, left, top); the first four get object masks
    "000001": ("astronaut.png", 160, 20),
    "000002": ("coffee.png", 220, 60),
    "000003": ("chelsea.png", 120, 60),
    "000004": ("motorcycle_left.png", 300, 180),
    "000005": ("rocket.jpg", 260, 150),
    "000006": ("coins.png", 60, 80),
}
VOC_SIZE = (120, 90)  # width, height in px


@pytest.fixture
def disk_of(tmp_path):
    """``disk_of("5m")`` is a folder with a file system of 5 MB; the test is skipped where none can be mounted."""
    disk = tmp_path / "disk"

    def mount(size: str) -> Path:
        disk.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "none", disk]
        if os.getuid() != 0 or not shutil.which("mount") or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("can't mount a small file system here")
        return disk

    yield mount
    if os.path.ismount(disk):
        subprocess.run(["umount", disk], check=True)


@pytest.fixture
def voc_root(tmp_path):
    """A tiny VOC2007 year folder: six photos of 120 x 90 px, four of them with masks of two objects in void borders."""
    return voc_tree(tmp_path / "VOCdevkit" / "VOC2007")


def voc_tree(year: Path) -> Path:
    """Write the year folder: JPEGImages, SegmentationObject, SegmentationClass, ImageSets/Main and Segmentation."""
    for name in ("JPEGImages", "SegmentationObject", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation"):
        (year / name).mkdir(parents=True)
    samples = {photo.id: photo for photo in open_source("sample").photos}
    width, height = VOC_SIZE
    for name, (sample, left, top) in VOC_CROPS.items():
        crop = decode(samples[sample].read())[top : top + height, left : left + width]
        Image.fromarray(crop).save(year / "JPEGImages" / f"{name}.jpg", quality=95, subsampling=0)
    ids = list(VOC_CROPS)
    for name in ids[:4]:
        write_voc_mask(year / "SegmentationObject" / f"{name}.png", (1, 2))
        write_voc_mask(year / "SegmentationClass" / f"{name}.png", (15, 9))
    write_list(year / "ImageSets/Main", ids[:3] + ids[4:5], ids[3:4] + ids[5:])
    write_list(year / "ImageSets/Segmentation", ids[:2], ids[2:4])
    (year / "ImageSets/Main/cat_trainval.txt").write_text("".join(f"{name} -1\n" for name in ids))
    return year


def write_list(folder: Path, train: list[str], val: list[str]) -> None:
    """train.txt, val.txt and trainval.txt, one id a line."""
    for split, ids in {"train": train, "val": val, "trainval": sorted(train + val)}.items():
        (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in ids))


def write_voc_mask(path: Path, indices: tuple[int, int]) -> None:
    """A palette PNG with a large ellipse (``indices[0]``) and a small rectangle, 2 px of void (255) around each."""
    mask = Image.new("P", VOC_SIZE)
    mask.putpalette(np.random.default_rng(0).integers(0, 256, 768, dtype=np.uint8).tobytes())
    draw = ImageDraw.Draw(mask)
    draw.ellipse((18, 18, 72, 72), fill=255)
    draw.ellipse((20, 20, 70, 70), fill=indices[0])
    draw.rectangle((83, 38, 107, 62), fill=255)
    draw.rectangle((85, 40, 105, 60), fill=indices[1])
    mask.save(path)
