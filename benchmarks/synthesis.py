"""CPU time of making pairs, against the paper's way, albumentations and the floor, in one run on the same photos.

    python benchmarks/synthesis.py --root bsds500/images/train [--photos 100] [--peer-python PYTHON] [--write]

blurgen makes one shard, 20 pairs from each photo, proposals found beforehand. The others make the same pairs again from
their crops, masks and kernels, without having to draw anything:

- The paper's way, pair by pair: decode the photo, crop, fill the whole sharp region by cv2.inpaint (Telea, radius 3),
  convolve the whole image by cv2.filter2D, composite, encode. "Decoded once" decodes a photo for all of its pairs.
- albumentations, in an environment of its own (``--peer-python``), since it brings another OpenCV: blurs the crop by
  GaussianBlur or MotionBlur and composites it, without any fill, so with halos; writes no shard.
- The floor is what can't be left out: decode each photo once, crop, convolve what the mask spans, encode, write.

CPU seconds of one thread, the best of ``--runs`` in turn.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from blurgen import generate, load_recipe, make_dataset, open_source
from blurgen.convolution import Lens, Surround
from blurgen.engines import single_threaded
from blurgen.geometry import Crop, bounds, crop_photo
from blurgen.kernels import blur_from
from blurgen.plan import ShardTask, plan
from blurgen.shards.writer import ShardBuilder
from blurgen.sources import decode
from blurgen.survey import survey

RESULTS = Path(__file__).parent / "results" / "synthesis.md"
PEER = Path(__file__).parent / "synthesis_peer.py"
PAIRS_PER_PHOTO = 20

FULL = {"geometry.size": "native", "geometry.crop_scale_range": [1.0, 1.0]}
SMALL = {"geometry.size": "320x320"}
SETTINGS = {  # name -> (recipe, changes)
    "full resolution": {
        "blurgen, nearest": ("standard", FULL),
        "blurgen, telea": ("standard", FULL | {"fill.method": "telea"}),
    },
    "320x320": {
        "blurgen, nearest (recipe standard)": ("standard", SMALL),
        "blurgen, nearest, 4 kernels a mask": ("standard", SMALL | {"mask.pairs_per_mask": 4}),
        "blurgen, telea (recipe alvarez-gila-2019)": ("alvarez-gila-2019", SMALL),
        "blurgen, recipe camera": ("camera", SMALL),
    },
}
PAPER, FLOOR = "the paper's way", "floor: decode, crop, blur, encode, write"


@dataclass(frozen=True)
class Known:
    """A pair as blurgen made it, for others to make again."""

    path: Path
    row: dict
    mask: np.ndarray

    @property
    def crop(self) -> Crop:
        return Crop(*(self.row[name] for name in ("top", "left", "crop_height", "crop_width", "height", "width")))


def ours(task: ShardTask) -> None:
    """One shard as ``blurgen make`` makes it."""
    generate.make_shard(task)


def known_pairs(task: ShardTask) -> list[Known]:
    """What is in the shard, photo by photo."""
    paths = {surveyed.photo.id: surveyed.photo.path for surveyed in task.photos}
    made = (pair for pair, _ in generate.shard_pairs(task))
    return [Known(paths[pair.provenance["photo"]], pair.provenance, pair.mask) for pair in made]


def with_photos(known: list[Known], once: bool) -> Iterator[tuple[Known, np.ndarray]]:
    """Each pair with its decoded photo."""
    path = None
    for one in known:
        if one.path != path or not once:
            path, photo = one.path, decode(one.path.read_bytes())
        yield one, photo


def paper(task: ShardTask, known: list[Known], once: bool) -> None:
    """The paper's way."""
    builder = ShardBuilder(task.recipe.storage, task.photo_id_bytes)
    for one, photo in with_photos(known, once):
        sharp = crop_photo(photo, one.crop)
        kernel = Lens.of(blur_from(one.row), one.mask.shape).kernel
        filled = cv2.inpaint(sharp, (~one.mask).astype(np.uint8), 3, cv2.INPAINT_TELEA)
        image = sharp.copy()
        cv2.copyTo(cv2.filter2D(filled, -1, kernel.weights[::-1, ::-1]), one.mask.view(np.uint8), image)
        builder.add(image, one.mask, one.row)
    builder.publish(task.out, task.index, {})


def floor(task: ShardTask, known: list[Known], ready: list) -> None:
    """Decode, crop, blur, encode, write; kernels and windows are ``ready``."""
    builder = ShardBuilder(task.recipe.storage, task.photo_id_bytes)
    for (one, photo), (lens, window) in zip(with_photos(known, once=True), ready, strict=True):
        image = crop_photo(photo, one.crop)
        blurred = Surround(image, window, lens.reach_px).blurred(lens)
        builder.add(image if blurred.shape != image.shape else blurred, one.mask, one.row)
    builder.publish(task.out, task.index, {})


def albumentations_seconds(python: str, known: list[Known], folder: Path, quality: int) -> float:
    """CPU seconds that the peer's own process measures."""
    rows = [
        {"path": str(one.path), "crop": list(one.crop.to_dict().values()), "kind": one.row["blur_kind"]}
        for one in known
    ]
    (folder / "rows.json").write_text(json.dumps({"quality": quality, "rows": rows}))
    np.savez(folder / "masks.npz", *(one.mask for one in known))
    done = subprocess.run([python, PEER, folder], check=True, capture_output=True, text=True)
    return float(done.stdout)


def cpu_seconds(make: Callable[[], None]) -> float:
    """CPU seconds of a call."""
    started = time.process_time()
    make()
    return time.process_time() - started


def measured(name: str, tasks: dict[str, ShardTask], options, folder: Path) -> dict[str, float]:
    """Contender -> pairs per CPU second, in one setting."""
    first = next(iter(tasks.values()))
    known = known_pairs(first)
    few = known[:: options.every]
    lenses = [Lens.of(blur_from(one.row), one.mask.shape) for one in known]
    ready = [(lens, bounds(one.mask)) for lens, one in zip(lenses, known, strict=True)]
    contenders = {
        PAPER: (len(few), lambda: paper(first, few, once=False)),
        f"{PAPER}, photo decoded once": (len(few), lambda: paper(first, known[: len(few)], once=True)),
        **{title: (len(known), lambda task=task: ours(task)) for title, task in tasks.items()},
        FLOOR: (len(known), lambda: floor(first, known, ready)),
    }
    rates = dict.fromkeys(contenders, 0.0)
    for run in range(options.runs):
        for title, (count, make) in contenders.items():
            rates[title] = max(rates[title], count / cpu_seconds(make))
            print(f"{name}: {title}: run {run + 1}, {rates[title]:.1f} pairs/s", file=sys.stderr)
    if options.peer_python and name == "320x320":
        seconds = min(
            albumentations_seconds(options.peer_python, known, folder, first.recipe.storage.jpeg_quality)
            for _ in range(options.runs)
        )
        rates["albumentations 2.0.8, no fill (halos)"] = len(known) / seconds
    return rates


def make_tasks(settings: dict, source, pairs: int, cache: Path, out: Path) -> dict[str, ShardTask]:
    """One task for each of blurgen's contenders of a setting."""
    tasks = {}
    for title, (recipe_name, changes) in settings.items():
        recipe = load_recipe(recipe_name).with_values(changes)
        photos, _ = survey(source, recipe, cache, 1, progress=True)
        [tasks[title]] = plan(photos, pairs, pairs, recipe, 0, cache, out)
    return tasks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", help="a folder of photos; scikit-image's if not given")
    parser.add_argument("--photos", type=int, default=100)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--every", type=int, default=4, help="the paper's way makes one in so many pairs")
    parser.add_argument("--workers-n", type=int, default=8000, help="pairs that one and two workers make")
    parser.add_argument("--peer-python", help="Python of an environment with albumentations")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    source = open_source("folder", options.root) if options.root else open_source("sample")
    source = replace(source, photos=source.photos[: options.photos])
    pairs = PAIRS_PER_PHOTO * len(source.photos)
    rates = {}
    with tempfile.TemporaryDirectory() as name, single_threaded():
        folder = Path(name)
        for setting, contenders in SETTINGS.items():
            tasks = make_tasks(contenders, source, pairs, folder / "cache", folder)
            rates[setting] = measured(setting, tasks, options, folder)
        scaling = [worker_row(source, name, options.workers_n, folder) for name in ("standard", "camera")]
    tables = [line for setting, found in rates.items() for line in _table(setting, found, rates)]
    text = "\n".join([*_head(options, pairs, len(source.photos)), *tables, *_workers_table(options, scaling)])
    print(text)
    if options.write:
        RESULTS.write_text(text + "\n")


def _head(options, pairs: int, photos: int) -> list[str]:
    python = "PYTHON" if options.peer_python else None
    command = [PYTHON if one == options.peer_python else one for one in sys.argv for PYTHON in [python]]
    return [
        "# CPU time of making pairs",
        "",
        f"{datetime.date.today()}, {platform.machine()}, one thread, Python {platform.python_version()}, "
        f"OpenCV {cv2.__version__}",
        f"`python {shlex.join(command)}`",
        "",
        f"{pairs} pairs from {photos} photos, {PAIRS_PER_PHOTO} from each; best of {options.runs} runs. The paper's "
        f"way made {-(-pairs // options.every)} of them.",
        "",
    ]


def _table(setting: str, found: dict[str, float], rates: dict[str, dict[str, float]]) -> list[str]:
    paper_here, paper_full, least = found[PAPER], rates["full resolution"][PAPER], found[FLOOR]
    lines = [
        f"## {setting}",
        "",
        "| | pairs per CPU second | ratio to the paper's way at this size | at full resolution | share of the floor |",
        "|---|---|---|---|---|",
    ]
    for title, rate in found.items():
        cells = (f"{rate:.1f}", f"{rate / paper_here:.1f}", f"{rate / paper_full:.1f}", f"{rate / least:.0%}")
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return [*lines, ""]


def worker_row(source, name: str, n: int, folder: Path) -> str:
    """Wall-clock rates with one and with two workers, and whether the bytes are the same."""
    made = {}
    for workers in (1, 2):
        out = folder / f"{name}-{workers}"
        options = {"recipe": name, "workers": workers, "cache": folder / "cache", "progress": False}
        summary = make_dataset(source, n, out, **options)
        made[workers] = summary.seconds, [path.read_bytes() for path in sorted(out.glob("shard-*.h5"))]
    (one, first), (two, second) = made[1], made[2]
    same = "the same" if first == second else "DIFFERENT"
    return f"| {name} | {n / one:.0f} | {n / two:.0f} | {one / two:.2f} | {same} |"


def _workers_table(options, rows: list[str]) -> list[str]:
    return [
        "## Workers",
        "",
        f"Wall clock of `make_dataset`, {options.workers_n} pairs, with the start of the workers.",
        "",
        "| recipe | pairs per second, 1 worker | 2 workers | ratio | bytes |",
        "|---|---|---|---|---|",
        *rows,
    ]


if __name__ == "__main__":
    main()
