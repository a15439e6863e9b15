"""Cut out what is sharp: GrabCut started from a map (Ma et al. 2016, section 4.3)."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from blurgen.applications.photos import check_shapes, look, one_photo, refuse_files
from blurgen.exports.pairs import to_png
from blurgen.files import make_folder, publish
from blurgen.maps import Finder
from blurgen.report.contact_sheet import shown

SURELY_SHARP, SHARP, SURELY_BLURRED = 0.1, 0.5, 0.9
"""Ma et al. 2016: foreground below .1, probably so below .5, probably background below .9, else background."""

GRABCUT_ROUNDS = 5
GRABCUT_PX = 800
"""Longer side of what GrabCut sees; it takes minutes for the photos of a camera."""


def segment_file(finder: Finder, path: str | Path, out: str | Path, overwrite: bool = False) -> dict:
    """Write NAME.mask.png (255 = blurred) and NAME.cutout.png (RGBA, what is sharp) of one photo into ``out``.

    Returns their paths and the share that is blurred. SourceError, PhotoError, ModelError; OutputError if ``out`` is
    the photo's folder or holds such files.
    """
    photo, out = one_photo(path), Path(out)
    mask, cut = (out / f"{photo.path.stem}.{what}.png" for what in ("mask", "cutout"))
    refuse_files((mask, cut), path, out, [photo], overwrite)
    image, blur_map = look(finder, photo)
    blurred = segment(image, blur_map)
    make_folder(out)
    publish(mask, to_png(blurred * np.uint8(255)))
    publish(cut, cutout(image, blurred))
    return {"photo": photo.id, "mask": str(mask), "cutout": str(cut), "blurred_share": round(float(blurred.mean()), 6)}


def segment(photo: np.ndarray, blur_map: np.ndarray) -> np.ndarray:
    """Cut a photo into a sharp and a blurred part: GrabCut (Rother et al. 2004), started from a map.

    Larger photos than ``GRABCUT_PX`` are cut at that size. Equal photos and maps give equal cuts. A map all on one side
    of .5 leaves GrabCut nothing to tell apart: everything is of that side then.

    Parameters
    ----------
    photo : ndarray of shape (H, W, C), uint8, uint16 or float32
        GrabCut sees it in 8-bit RGB.
    blur_map : ndarray of shape (H, W), float32
        0 sharp to 1 blurred.

    Returns
    -------
    ndarray of shape (H, W), bool
        True = blurred. ArgumentError if the shapes differ.
    """
    check_shapes(photo, blur_map)
    blurred = blur_map >= SHARP
    if blurred.all() or not blurred.any():
        return blurred
    ratio = min(1, GRABCUT_PX / max(blur_map.shape))
    size = tuple(max(1, round(side * ratio)) for side in blur_map.shape[::-1])
    picture, share = (cv2.resize(one, size, interpolation=cv2.INTER_AREA) for one in (shown(photo), blur_map))
    cut = cv2.resize(_grabcut(picture, share) * np.uint8(255), blur_map.shape[::-1])
    return cut > 127


def _grabcut(picture: np.ndarray, share: np.ndarray) -> np.ndarray:
    """(h, w) bool, True = blurred."""
    marks = np.full(share.shape, cv2.GC_BGD, np.uint8)
    marks[share < SURELY_BLURRED] = cv2.GC_PR_BGD
    marks[share < SHARP] = cv2.GC_PR_FGD
    marks[share < SURELY_SHARP] = cv2.GC_FGD
    if len(np.unique(share < SHARP)) == 1:  # what there was of the other side got lost in making it smaller
        return share >= SHARP
    cv2.setRNGSeed(0)  # its clusters begin at random
    models = np.zeros((2, 1, 65))  # of either side: no start from former ones
    cv2.grabCut(np.ascontiguousarray(picture), marks, None, *models, GRABCUT_ROUNDS, cv2.GC_INIT_WITH_MASK)
    return (marks == cv2.GC_BGD) | (marks == cv2.GC_PR_BGD)


def cutout(photo: np.ndarray, blurred: np.ndarray) -> bytes:
    """What is sharp in a photo (H, W, C), as a PNG, RGBA, transparent where ``blurred`` (H, W) bool."""
    alpha = np.where(blurred, np.uint8(0), np.uint8(255))
    file = io.BytesIO()
    Image.fromarray(np.dstack([shown(photo), alpha])).save(file, "PNG")
    return file.getvalue()
