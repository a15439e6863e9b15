"""Small photos, pairs, shards and data sets for the tests of shards, dataset and generate."""

from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from blurgen.dataset import verify
from blurgen.generate import Summary, make_dataset
from blurgen.recipe import Recipe
from blurgen.shards.codecs import StorageParams
from blurgen.shards.format import PROVENANCE_FIELDS
from blurgen.shards.writer import ShardBuilder
from blurgen.sources import Photo, Source, open_source
from blurgen.survey import SurveyedPhoto

RECIPE = Recipe().with_values({"geometry.size": "48x48"})
PLACES = ((0, 170), (110, 60), (300, 250), (40, 330))  # top, left in the astronaut


def photo_crop(index: int, height: int = 64, width: int = 64) -> np.ndarray:
    """A crop of a real photo: (height, width, 3) uint8 RGB."""
    top, left = PLACES[index % len(PLACES)]
    return data.astronaut()[top : top + height, left : left + width]


def write_photos(folder: Path, count: int = 3) -> Path:
    """``count`` photos of 64 x 64 px: 0.png, 1.png, ..."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        Image.fromarray(photo_crop(index)).save(folder / f"{index}.png")
    return folder


def make(photos: Path | Source, out: Path, cache: Path, **changes) -> Summary:
    """A data set of 8 pairs of 48 x 48 px in 3 shards, unless ``changes`` say otherwise."""
    source = photos if isinstance(photos, Source) else open_source("folder", photos)
    options = {"n": 8, "pairs_per_shard": 3, "recipe": RECIPE, "seed": 5, "workers": 1, "progress": False}
    return make_dataset(source, out=out, cache=cache, **(options | changes))


def source_of(folder: Path, names: list[str]) -> Source:
    """The named photos of a folder, in the order of the names."""
    return Source("folder", str(folder), tuple(Photo(name, folder / name) for name in names))


def surveyed(
    name: str,
    height: int = 64,
    width: int = 64,
    *,
    channels: int = 3,
    dtype: str = "uint8",
    lends: bool = True,
) -> SurveyedPhoto:
    """A photo that is only planned with: there is no file."""
    return SurveyedPhoto(Photo(name, Path(name)), "", 0, height, width, channels, dtype, {}, lends)


def file_bytes(folder: Path) -> dict[str, bytes]:
    """Everything in a data set's folder, by name."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_times(folder: Path) -> dict[str, int]:
    """When each file of a folder was last written, in ns."""
    return {path.name: path.stat().st_mtime_ns for path in sorted(folder.iterdir())}


def faults_of(folder: Path, *, deep: bool = True, **options) -> list[str]:
    """All that ``verify`` finds."""
    return [fault for _, faults in verify(folder, deep=deep, **options) for fault in faults]


def example_pair(pair: int, height: int = 32, width: int = 40) -> tuple[np.ndarray, np.ndarray, dict]:
    """Image, mask and provenance as a shard stores them."""
    radius = (8 + pair) * min(height, width) / 32
    mask = np.hypot(*np.ogrid[-height / 2 : height / 2, -width / 2 : width / 2]) < radius
    provenance = {name: f"{name} {pair}"[:24] if "S" in kind else 0 for name, kind in PROVENANCE_FIELDS.items()}
    provenance = {name: value for name, value in provenance.items() if name not in ("codec", "dtype", "channels")}
    numbers = {"pair": pair, "origin_pair": pair, "seed": 2**63 - 1, "height": height, "width": width}
    numbers |= {"score": 0.5, "sigma_px": 1 / 3}
    possible = {"crop_height": 32, "crop_width": 40, "blurred_share": mask.mean(), "highlight_gain": 1.0}
    possible |= {"blur_kind": "gaussian", "second_blur_kind": "none", "mask_kind": "proposal"}
    possible |= {"second_mask_kind": "none", "fill": "telea"}
    return photo_crop(pair, height, width), mask, provenance | numbers | possible | {"photo": f"Füße/{pair}.jpg"}


def build_shard(codec: str = "jpeg", order=(0, 1, 2), **size) -> ShardBuilder:
    """A shard with the example pairs, added in the given order."""
    builder = ShardBuilder(StorageParams(codec=codec), photo_id_bytes=20)
    for pair in order:
        builder.add(*example_pair(pair, **size))
    return builder
