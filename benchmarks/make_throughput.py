"""Pairs per second per core of the generation stage, against the paper's way, in one run on the same photos.

    python benchmarks/make_throughput.py [--source voc --root VOCdevkit/VOC2007] [--pairs 1000]

The paper's way: the whole sharp region inpainted by cv2 (Telea, radius 3), convolved by cv2.filter2D, composited;
same draws, same codec, same shard. It is given once as a loop that decodes the photo for every pair, and once with the
photo decoded once for all of its pairs, as blurgen does. CPU time of one thread; proposals are computed beforehand.
"""

from __future__ import annotations

import argparse
import datetime
import platform
import resource
import shlex
import sys
import tempfile
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from blurgen import generate, load_recipe, open_source, synthesis
from blurgen.engines import single_threaded
from blurgen.kernels import make_kernel
from blurgen.plan import plan
from blurgen.report.contact_sheet import blur_of
from blurgen.shards.writer import ShardBuilder
from blurgen.survey import survey

RESULTS = Path(__file__).parent / "results" / "make_throughput.md"


def blur_by_opencv(image, filled, mask, kernel):
    """The paper's composite: the whole image through filter2D."""
    return np.where(mask[..., None], cv2.filter2D(filled, -1, kernel.weights[::-1, ::-1]), image)


def fill_by_opencv(image, mask, reach_px, params):
    """The paper's fill: the whole sharp region at once."""
    return cv2.inpaint(image, (~mask).astype(np.uint8), params.radius_px, cv2.INPAINT_TELEA)


def cpu_seconds(task, split: bool, fill, blur) -> float:
    """CPU seconds of making one shard with the given fill and blur, once warmed up."""
    ours = synthesis.fill_sharp_region, synthesis.blur_and_composite
    synthesis.fill_sharp_region, synthesis.blur_and_composite = fill or ours[0], blur or ours[1]
    try:
        started = time.process_time()
        if split:  # one pair at a time, so that each decodes its photo
            builder = ShardBuilder(task.recipe.storage, task.photo_id_bytes)
            for pair, photo in zip(task.pairs, task.photos, strict=True):
                for made, _ in generate.shard_pairs(replace(task, pairs=(pair,), photos=(photo,))):
                    builder.add(made.image, made.mask, made.provenance)
            builder.publish(task.out, task.index, {})
        else:
            generate.make_shard(task)
        return time.process_time() - started
    finally:
        synthesis.fill_sharp_region, synthesis.blur_and_composite = ours


def rows(task) -> list[tuple[str, float]]:
    """(name, pairs per CPU second), the paper's way first; the best of three runs each, taken in turn."""
    nearest, telea = (
        replace(task, recipe=task.recipe.with_values({"fill.method": fill})) for fill in ("nearest", "telea")
    )
    contenders = [
        ("the paper's way, photo decoded for every pair", telea, True, fill_by_opencv, blur_by_opencv),
        ("the paper's way, photo decoded once", telea, False, fill_by_opencv, blur_by_opencv),
        ("blurgen, fill telea (recipe alvarez-gila-2019)", telea, False, None, None),
        ("blurgen, fill nearest (recipe standard, the default)", nearest, False, None, None),
    ]
    seconds = Counter({name: np.inf for name, *_ in contenders})
    for _ in range(3):
        for name, *how in contenders:
            seconds[name] = min(seconds[name], cpu_seconds(*how))
    return [(name, len(task.pairs) / seconds[name]) for name, *_ in contenders]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="sample")
    parser.add_argument("--root")
    parser.add_argument("--split", default="all")
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--recipe", default="standard")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    recipe = load_recipe(options.recipe)
    source = open_source(options.source, options.root, split=options.split)
    with tempfile.TemporaryDirectory() as folder, single_threaded():
        cache = Path(folder) / "cache"
        photos, _ = survey(source, recipe, cache, 1, progress=True)
        [task] = plan(photos, options.pairs, options.pairs, recipe, 0, cache, Path(folder))
        measured = rows(task)
        kernels = [make_kernel(blur_of(made.provenance)) for made, _ in generate.shard_pairs(task)]
    table = _table(options, task, measured, kernels)
    print(table)
    if options.write:
        RESULTS.write_text(table)


def _table(options, task, measured, kernels) -> str:
    slow = measured[0][1]
    reach = np.mean([kernel.reach_px for kernel in kernels])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    photos = len({photo.photo.id for photo in task.photos})
    lines = [
        "# Throughput of the generation stage",
        "",
        f"{datetime.date.today()}, {platform.machine()}, one thread, Python {platform.python_version()}, "
        f"OpenCV {cv2.__version__}",
        f"`python {shlex.join(sys.argv)}`",
        "",
        f"{len(task.pairs)} pairs of {task.recipe.geometry.size} px from {photos} photos, "
        f"recipe {task.recipe.name}, codec {task.recipe.storage.codec}, mean reach of the kernels {reach:.1f} px; "
        f"peak memory of the process {peak:.0f} MB.",
        "",
        "| | pairs per second per core | ratio |",
        "|---|---|---|",
        *(f"| {name} | {rate:.1f} | {rate / slow:.1f} |" for name, rate in measured),
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
