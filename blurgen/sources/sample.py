"""The real photos inside scikit-image's wheel: a source that works on every machine, with no download."""

from __future__ import annotations

import stat
from importlib.util import find_spec
from pathlib import Path

from blurgen.errors import SourceError
from blurgen.sources.folder import mode_of
from blurgen.sources.photo import Photo, Source

# Sharp photographs with something object-like in them, and the licence that scikit-image's documentation states. Not
# here: drawings, binary images and textures, what is blurred (clock_motion, text, page, moon) and motorcycle_right,
# which shows the same as motorcycle_left.
SAMPLES = {
    "astronaut.png": "public domain (NASA)",
    "camera.png": "CC0 (Lav Varshney)",
    "chelsea.png": "CC0 (Stefan van der Walt)",
    "coffee.png": "CC0 (Rachel Michetti)",
    "coins.png": "no known copyright restrictions (Brooklyn Museum)",
    "hubble_deep_field.jpg": "public domain (NASA)",
    "ihc.png": "no known copyright restrictions (Center for Microscopy and Molecular Imaging)",
    "motorcycle_left.png": "not stated (Middlebury 2014 stereo benchmark, Scharstein et al.)",
    "retina.jpg": "CC0 (Mikael Haggstrom)",
    "rocket.jpg": "public domain (SpaceX)",
}


def open_sample() -> Source:
    """The sample photos that this installation of scikit-image carries. SourceError if it carries none."""
    spec = find_spec("skimage")  # finds the folder without importing the package
    folders = [Path(place, "data").absolute() for place in (spec.submodule_search_locations or ())] if spec else []
    for folder in folders:
        found = tuple(
            Photo(name, folder / name, licence)
            for name, licence in sorted(SAMPLES.items())
            if stat.S_ISREG(mode_of(folder / name))
        )
        if found:
            return Source("sample", str(folder), found)
    raise SourceError("no sample photos: install scikit-image (pip install scikit-image), or name photos by --root")
