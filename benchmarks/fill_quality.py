"""How near to the truth each fill brings the blurred pixels along the border of the sharp region.

    python benchmarks/fill_quality.py [--source voc --root VOCdevkit/VOC2007]

The truth is the photo blurred as a whole, as if the sharp object were not there: inside an object-shaped region the
photo is hidden, filled from outside and blurred; the error is taken over the blurred pixels that the kernel can reach
from the region. The naive way fills with another photo's pixels, since a real object hides its background. Object
shapes are proposals of other photos, so that borders do not follow the photo's own edges.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np

from blurgen import load_recipe, object_proposals, open_source
from blurgen.compositing import blur_and_composite
from blurgen.engines import single_threaded
from blurgen.fill import FILLS, FillParams, fill_sharp_region
from blurgen.kernels import Blur, make_kernel
from blurgen.sources import decode

SIDE = 320
BLURS = {"gaussian 2 px": Blur("gaussian", sigma_px=2), "gaussian 4 px": Blur("gaussian", sigma_px=4)} | {
    "motion 15 px": Blur("motion", length_px=15, angle_deg=30, elastic_px=1, elastic_smoothness_px=5)
}
RESULTS = Path(__file__).parent / "results" / "fill_quality.md"


def fills(image, mask, reach):
    """The filled photo by the name of the fill."""
    hidden = (~mask).astype(np.uint8)
    return {
        "naive (none)": image,
        "cv2 telea, radius 3": cv2.inpaint(image, hidden, 3, cv2.INPAINT_TELEA),
        "cv2 navier-stokes, radius 3": cv2.inpaint(image, hidden, 3, cv2.INPAINT_NS),
    } | {
        method: fill_sharp_region(image, mask, reach, FillParams(method=method)) for method in FILLS if method != "none"
    }


def errors(photo, object_photo, region, blur) -> dict[str, float]:
    """Root mean square error in 8-bit levels by the name of the fill."""
    kernel, mask = make_kernel(blur), ~region
    truth = blur_and_composite(photo, photo, np.ones_like(mask), kernel).astype(float)
    reached = cv2.dilate(region.astype(np.uint8), np.ones((2 * kernel.reach_px + 1,) * 2, np.uint8)).astype(bool) & mask
    scene = np.where(region[..., None], object_photo, photo)
    return {
        name: np.sqrt(((blur_and_composite(scene, filled, mask, kernel) - truth)[reached] ** 2).mean())
        for name, filled in fills(scene, mask, kernel.reach_px).items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="sample")
    parser.add_argument("--root")
    parser.add_argument("--photos", type=int, default=40)
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    listed = open_source(options.source, options.root).photos[: options.photos]
    photos = [cv2.resize(decode(photo.read()), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for photo in listed]
    found = {name: [] for name in BLURS}
    with single_threaded():
        regions = [object_proposals(photo, load_recipe().proposals) for photo in photos]
        for place, photo in enumerate(photos):
            other = (place + 1) % len(photos)
            for index in range(0, min(50, len(regions[other])), 10):
                for name, blur in BLURS.items():
                    found[name].append(errors(photo, photos[other], regions[other].mask(index), blur))
    names = list(found["gaussian 2 px"][0])
    lines = [
        "# Error of the blurred pixels along the border, by fill",
        "",
        f"{datetime.date.today()}, {platform.machine()}, OpenCV {cv2.__version__}, {len(photos)} photos",
        f"`python {shlex.join(sys.argv)}`",
        "",
        "Root mean square error in 8-bit levels, mean over photos and regions.",
        "",
        f"| | {' | '.join(BLURS)} |",
        "|---" * (1 + len(BLURS)) + "|",
        *(f"| {name} | {' | '.join(f'{np.mean([e[name] for e in found[b]]):.2f}' for b in BLURS)} |" for name in names),
        "",
    ]
    print("\n".join(lines))
    if options.write:
        RESULTS.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
