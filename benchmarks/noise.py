"""Noise of flat areas after the blur, relative to before, without and with the noise put back.

    python benchmarks/noise.py --root bsds500/images/train [--photos 100] [--write]

Each photo's flattest 8x8 blocks (by the means around them) are looked at before and after one half of the photo is
blurred. Noise is measured otherwise than blurgen does: as what a plane fitted to a block leaves, in all channels. The
quietest quarter of the blocks is taken, chosen in the photo before the blur, since in the others it is texture.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from blurgen import load_recipe, open_source, synthesize
from blurgen.engines import single_threaded
from blurgen.masks import largest_object
from blurgen.sources import decode

RESULTS = Path(__file__).parent / "results" / "noise.md"
BLOCK = 8
LEAST_SIGMA = 0.5
"""Photos with less noise, in levels, are left out: rounding is all that they have."""
BLURS = {
    "gaussian 1 to 6 px": {"blur.p_motion": 0.0},
    "disk 2 to 12 px": {"blur.p_motion": 0.0, "blur.defocus_kinds": {"disk": 1.0}},
    "non-linear motion 7 to 25 px": {"blur.p_motion": 1.0},
}


def residues(image: np.ndarray) -> np.ndarray:
    """Standard deviation about a plane in each block, root mean square over channels: (rows, columns)."""
    rows, columns = (side // BLOCK for side in image.shape[:2])
    blocks = image[: rows * BLOCK, : columns * BLOCK].astype(float).reshape(rows, BLOCK, columns, BLOCK, -1)
    blocks = blocks.transpose(0, 2, 1, 3, 4).reshape(rows, columns, BLOCK * BLOCK, -1)
    y, x = np.divmod(np.arange(BLOCK * BLOCK), BLOCK)
    plane, _ = np.linalg.qr(np.stack([np.ones(BLOCK * BLOCK), y, x], axis=1))
    left = blocks - plane @ (plane.T @ blocks)
    return np.sqrt((left**2).sum(axis=(2, 3)) / (BLOCK * BLOCK - 3) / image.shape[2])


def flat_blocks(image: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The quietest quarter of the flattest fifth of the blocks that lie in ``where``: (rows, columns) bool."""
    rows, columns = (side // BLOCK for side in image.shape[:2])
    crop = np.s_[: rows * BLOCK, : columns * BLOCK]
    means = cv2.resize(image[crop], (columns, rows), interpolation=cv2.INTER_AREA).astype(float).mean(axis=2)
    slope = np.hypot(*np.gradient(means))
    inside = cv2.erode(where.astype(np.uint8), np.ones((9, 9), np.uint8))[crop]
    inside = (
        (cv2.resize(inside * 255, (columns, rows), interpolation=cv2.INTER_AREA) == 255) & (means > 8) & (means < 247)
    )
    if inside.sum() < 40:
        return np.zeros_like(inside)
    flat = inside & (slope <= np.quantile(slope[inside], 0.2))
    return flat & (residues(image) <= np.quantile(residues(image)[flat], 0.25))


def ratios(photo: np.ndarray, changes: dict, number: int) -> tuple[float, float] | None:
    """Noise of the flat blurred blocks relative to before the blur: (without, with noise put back)."""
    labels = np.zeros(photo.shape[:2], np.int32)
    labels[:, : photo.shape[1] // 2] = 1
    chosen = flat_blocks(photo, labels == 1)
    before = residues(photo)[chosen]
    if not len(before) or np.sqrt((before**2).mean()) < LEAST_SIGMA:
        return None
    found = []
    for strength in (0.0, 1.0):
        options = {"geometry.size": "native", "geometry.crop_scale_range": [1.0, 1.0], "mask.p_invert": 0.0}
        recipe = load_recipe("standard").with_values({**options, **changes, "camera.noise": strength})
        made = synthesize(photo, recipe, largest_object(labels), pair=number)
        found.append(np.sqrt((residues(made.image)[chosen] ** 2).mean() / (before**2).mean()))
    return tuple(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="a folder of photos; scikit-image's if not given")
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    source = open_source("folder", options.root) if options.root else open_source("sample")
    photos = [decode(photo.read()) for photo in replace(source, photos=source.photos[: options.photos]).photos]
    lines = [
        "# Noise of flat areas after the blur, relative to before",
        "",
        f"{datetime.date.today()}, {platform.machine()}, OpenCV {cv2.__version__}",
        f"`python {shlex.join(sys.argv)}`",
        "",
        f"Ratio of standard deviations, median over photos (quartiles); {len(photos)} photos, those with less noise "
        f"than {LEAST_SIGMA} levels left out.",
        "",
        "| | photos | blurred as it is | noise put back |",
        "|---|---|---|---|",
    ]
    with single_threaded():
        for name, changes in BLURS.items():
            found = [ratios(photo, changes, number) for number, photo in enumerate(photos)]
            table = np.array([one for one in found if one])
            cells = [_spread(column) for column in table.T]
            lines.append(f"| {name} | {len(table)} | {' | '.join(cells)} |")
    print("\n".join(lines))
    if options.write:
        RESULTS.write_text("\n".join(lines) + "\n")


def _spread(values: np.ndarray) -> str:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


if __name__ == "__main__":
    main()
