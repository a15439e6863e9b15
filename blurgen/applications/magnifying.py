"""Blur more what is blurred already, without a halo around what is sharp (Bae & Durand 2007)."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from blurgen.applications.photos import check_shapes, look, one_photo, refuse_files
from blurgen.camera.light import Light, rounded
from blurgen.contributed import extended_image_processing
from blurgen.convolution import Lens, Surround
from blurgen.errors import ArgumentError
from blurgen.exports.pairs import to_npy, to_png
from blurgen.files import make_folder, publish
from blurgen.fill import FillParams, fill_sharp_region
from blurgen.geometry import bounds
from blurgen.kernels import Blur
from blurgen.maps import Finder
from blurgen.report.contact_sheet import shown
from blurgen.shards.codecs import can_hold
from blurgen.sources import decode

START = 0.5
"""Of the map: pixels below are kept, and lend no light."""

MAX_AMOUNT_PX = 64.0
DEFAULT_AMOUNT = 0.01
"""Of the longer side."""

LEVELS = 6
"""Gaussians up to the full amount, in equal steps."""

SNAP_RADIUS, SNAP_EPS, SNAP_PX = 0.02, 25.0, 800
"""Of the guided filter: half the window as a share of the longer side, the variance (of 8-bit levels) that is no edge,
and the longer side at which it is worked out."""


def magnify_file(
    finder: Finder, path: str | Path, out: str | Path, amount_px: float | None = None, overwrite: bool = False
) -> dict:
    """Write NAME.magnified.png (.npy for what no PNG holds) of one photo into ``out``; the map is ``snapped``.

    Grey and 16-bit photos stay so; transparent ones are laid on white. ``amount_px``: 1 % of the longer side if not
    given. Returns the path and the amount. Raises like ``segment_file``.
    """
    photo, out = one_photo(path), Path(out)
    targets = [out / f"{photo.path.stem}.magnified.{suffix}" for suffix in ("png", "npy")]
    refuse_files(targets, path, out, [photo], overwrite)
    image, blur_map = look(finder, photo)
    amount = amount_px or min(MAX_AMOUNT_PX, round(DEFAULT_AMOUNT * max(blur_map.shape), 1))
    native = decode(photo.read(), "native")
    kept = native if native.shape[2] in (1, 3) else image  # with transparency: laid on white, as everywhere
    magnified = magnify(kept, snapped(image, blur_map), amount)
    is_png = can_hold("png", magnified.shape, magnified.dtype.name)
    make_folder(out)
    publish(targets[not is_png], to_png(magnified) if is_png else to_npy(magnified))
    return {"photo": photo.id, "image": str(targets[not is_png]), "amount_px": amount}


def magnify(photo: np.ndarray, blur_map: np.ndarray, amount_px: float) -> np.ndarray:
    """Blur more what is blurred already (after Bae & Durand 2007), and leave what is sharp as it is.

    Pixels below .5 are kept to the bit. From there on the blur grows with the map, from none to a Gaussian of standard
    deviation ``amount_px`` at 1. It takes up light of blurred pixels only: what is sharp is filled from the blurred
    side first (``fill_sharp_region``), so nothing of the sharp object runs into what is around it.

    Parameters
    ----------
    photo : ndarray of shape (H, W, C), uint8, uint16 or float32
    blur_map : ndarray of shape (H, W), float32
        0 sharp to 1 blurred.
    amount_px : float
        Above 0, ``MAX_AMOUNT_PX`` at most.

    Returns
    -------
    ndarray of shape (H, W, C), dtype of ``photo``
        A new image. ArgumentError if the shapes differ or the amount is out of range.
    """
    check_shapes(photo, blur_map)
    if not 0 < amount_px <= MAX_AMOUNT_PX:
        raise ArgumentError(f"amount is {amount_px:g} px: give a number above 0, {MAX_AMOUNT_PX:g} at most")
    source = blur_map >= START
    growth = np.clip((blur_map - START) / (1 - START), 0, 1)
    result = photo.copy()
    if not growth.any():
        return result
    window = bounds(source)
    part = _blurred_by(photo, source, growth[window] * np.float32(amount_px), amount_px)
    cv2.copyTo(part, (growth[window] > 0).view(np.uint8), result[window])
    return result


def _blurred_by(photo: np.ndarray, source: np.ndarray, amount: np.ndarray, most: float) -> np.ndarray:
    """The bounding box of ``source`` with the ``amount`` (h, w) of blur, px: between levels, variances are mixed."""
    window, light = bounds(source), Light(photo.dtype, linear=True)
    lenses = [Lens.of(Blur("gaussian", sigma_px=most * step / LEVELS), source.shape) for step in range(1, LEVELS + 1)]
    reach = lenses[-1].reach_px
    filled = photo if source.all() else fill_sharp_region(photo, source, reach, FillParams())
    surround = Surround(light.of(filled), window, reach)
    mixed, variance, below = light.of(np.ascontiguousarray(photo[window])), amount**2, 0.0
    for lens in lenses:
        above = lens.blur.sigma_px**2
        share = np.clip((variance - below) / (above - below), 0, 1)[..., None]
        mixed += share * (np.stack(surround.planes(lens), axis=2) - mixed)
        below = above
    return rounded(light.code(mixed), photo.dtype)


def snapped(photo: np.ndarray, blur_map: np.ndarray) -> np.ndarray:
    """A map with its borders moved to the photo's edges close by, and its speckles smoothed: a guided filter.

    He et al. 2010, with a window of 2 % of the longer side, worked out at ``SNAP_PX``. Models and detectors are some px
    off at a border; where only one side of it is blurred more, that shows.

    Returns
    -------
    ndarray of shape (H, W), float32
        0 to 1. DependencyError for an OpenCV without the contributed modules.
    """
    check_shapes(photo, blur_map)
    longer = max(blur_map.shape)
    radius, scale = max(2, round(SNAP_RADIUS * longer)), min(1.0, SNAP_PX / longer)
    guided = extended_image_processing("magnify").guidedFilter(shown(photo), blur_map, radius, SNAP_EPS, scale=scale)
    return np.clip(guided, 0, 1)
