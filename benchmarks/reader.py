"""How fast a data set is verified, opened and read, beside sha256 alone and webdataset on the same pairs.

    python benchmarks/reader.py --root bsds500/images/val [--n 4000] [--runs 5] [--write]

All on one thread, from files that the system holds in memory, in CPU time; what is compared is measured in turns. The
best run of each counts. webdataset (if it is installed) reads its tar files one pair after the other, since it has no
random access.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import random
import shlex
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from blurgen import load_recipe, make_dataset, open_dataset, open_source
from blurgen.dataset import Dataset, verify
from blurgen.exports import export
from blurgen.files import sha256_file

RESULTS = Path(__file__).parent / "results" / "reader.md"
GOALS = {"jpeg": "2000", "raw": "15000"}


def best_seconds(jobs: dict[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """CPU seconds of each job, the least of ``runs``, in turns."""
    best = dict.fromkeys(jobs, float("inf"))
    for _ in range(runs):
        for name, job in jobs.items():
            begun = time.process_time()
            job()
            best[name] = min(best[name], time.process_time() - begun)
    return best


def reading(folder: Path, tars: Path | None, runs: int) -> Iterator[tuple[str, float]]:
    """What reads the pairs, and pairs per CPU second."""
    data = open_dataset(folder)
    order = random.Random(0).sample(range(len(data)), len(data))
    jobs = {"blurgen, random order": lambda: read(data, order)}
    jobs["blurgen, in order"] = lambda: read(data, range(len(data)))
    if tars:
        jobs["webdataset, in order"] = lambda: sum(1 for _ in webdataset_pairs(tars))
    if data.recipe.storage.codec == "jpeg":
        files = [np.frombuffer(stored(data, index), np.uint8) for index in order]
        jobs["OpenCV, the JPEG alone"] = lambda: [cv2.imdecode(file, cv2.IMREAD_COLOR_RGB) is None for file in files]
    for name, seconds in best_seconds(jobs, runs).items():
        yield name, len(data) / seconds


def stored(data: Dataset, index: int) -> bytes:
    """The image of a pair as it lies in its shard."""
    shard, place = data.locate(index)
    return shard.stored("image", place)


def read(data: Dataset, order: Iterable[int]) -> None:
    for index in order:
        data[index]


def webdataset_pairs(tars: Path) -> Iterator[dict]:
    """Image, mask and provenance of each pair, decoded."""
    import webdataset

    files = sorted(str(path) for path in tars.glob("*.tar"))
    return iter(webdataset.WebDataset(files, shardshuffle=False).decode("rgb8"))


def verifying(folder: Path, runs: int) -> tuple[float, float]:
    """MB per CPU second of sha256 alone and of verify."""
    shards = sorted(folder.glob("shard-*.h5"))
    jobs = {
        "sha256": lambda: [sha256_file(path) for path in shards],
        "verify": lambda: [faults for _, faults in verify(folder, workers=1)],
    }
    seconds = best_seconds(jobs, runs)
    total = sum(path.stat().st_size for path in shards) / 1e6
    return total / seconds["sha256"], total / seconds["verify"]


def opening(folder: Path, runs: int) -> float:
    """Wall milliseconds until a data set is open and its first pair is read."""
    best = float("inf")
    for _ in range(runs):
        begun = time.perf_counter()
        with open_dataset(folder) as data:
            data[len(data) // 2]
        best = min(best, time.perf_counter() - begun)
    return best * 1e3


def report(options: argparse.Namespace) -> str:
    words = ["python", "benchmarks/reader.py", "--root", str(options.root), "--n", str(options.n)]
    words += ["--runs", str(options.runs), *(["--write"] if options.write else [])]
    lines = ["# Verifying, opening and reading a data set\n"]
    lines += [f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}"]
    lines += [f"`{shlex.join(words)}`\n", f"{options.n} pairs of 320x320 px, 1000 in a shard.\n"]
    lines += ["| codec | what reads | pairs per CPU second | goal |", "|---|---|---|---|"]
    checks = []
    with tempfile.TemporaryDirectory() as temporary:
        for codec, goal in GOALS.items():
            folder = Path(temporary) / codec
            make(options, codec, folder, options.n, 1000)
            tars = with_webdataset(folder, Path(temporary) / f"{codec}-tars")
            for name, rate in reading(folder, tars, options.runs):
                lines += [f"| {codec} | {name} | {rate:.0f} | {goal if 'random' in name else ''} |"]
            alone, checked = verifying(folder, options.runs)
            checks += [f"| {codec} | {alone:.0f} | {checked:.0f} | {checked / alone:.0%} | 80% |"]
        many = Path(temporary) / "many"
        make(options, "jpeg", many, 200 * 5, 5)
        opened = opening(many, options.runs)
    lines += ["", "| codec | sha256 alone, MB/s | verify, MB/s | share | goal |", "|---|---|---|---|---|", *checks]
    lines += ["", "| | ms | goal |", "|---|---|---|", f"| open 200 shards, read a pair | {opened:.0f} | 50 |", ""]
    return "\n".join(lines)


def make(options: argparse.Namespace, codec: str, out: Path, n: int, per_shard: int) -> None:
    """A data set of 320x320 px pairs."""
    recipe = load_recipe().with_values({"storage.codec": codec, "geometry.size": "320x320"})
    make_dataset(open_source("folder", options.root), n, out, recipe=recipe, pairs_per_shard=per_shard)


def with_webdataset(folder: Path, out: Path) -> Path | None:
    """The same pairs as tar files, where webdataset is there to read them."""
    try:
        import webdataset  # noqa: F401
    except ImportError:
        return None
    export(folder, "webdataset", out)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="a folder of photos")
    parser.add_argument("--n", type=int, default=4000, help="pairs (default: 4000)")
    parser.add_argument("--runs", type=int, default=5, help="the best of so many (default: 5)")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    table = report(options)
    print(table)
    if options.write:
        RESULTS.write_text(table)


if __name__ == "__main__":
    main()
