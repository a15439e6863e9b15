"""Peak memory of a worker, flat in n or not, and how long `blurgen --help` takes.

    python benchmarks/footprint.py [--source voc --root VOCdevkit/VOC2007]

Each size runs in a process of its own with one worker, which is that process, so its peak is a worker's peak (and a
parent's) at 1000 pairs per shard. The peer of `blurgen --help` is `python -c pass`.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RESULTS = Path(__file__).parent / "results" / "footprint.md"
SIZES = (1000, 2000, 4000, 8000)


def peak_megabytes(command: list[str], folder: str) -> float:
    """Peak resident memory of one process."""
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return usage.ru_maxrss / 1024


def seconds(command: list[str]) -> float:
    """Wall seconds, the best of seven."""
    best = float("inf")
    for _ in range(7):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - started)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", default="sample")
    parser.add_argument("--root")
    parser.add_argument("--write", action="store_true", help="keep the table in benchmarks/results/")
    options = parser.parse_args()
    blurgen = [sys.executable, "-m", "blurgen_cli"]
    root = ["--root", str(Path(options.root).resolve())] if options.root else []
    make = [*blurgen, "make", "--source", options.source, *root, "--workers", "1", "--pairs-per-shard", "1000"]
    with tempfile.TemporaryDirectory() as folder:
        peaks = [peak_megabytes([*make, "--n", str(n), "--out", f"out{n}", "--cache", "cache"], folder) for n in SIZES]
    lines = [
        "# Memory and start-up",
        "",
        f"{datetime.date.today()}, {platform.machine()}, Python {platform.python_version()}",
        f"`python {shlex.join(sys.argv)}`",
        "",
        "| pairs | peak memory of the worker |",
        "|---|---|",
        *(f"| {n} | {peak:.0f} MB |" for n, peak in zip(SIZES, peaks, strict=True)),
        "",
        "| command | seconds |",
        "|---|---|",
        f"| `blurgen --help` | {seconds([*blurgen, '--help']):.3f} |",
        f"| `python -c pass` | {seconds([sys.executable, '-c', 'pass']):.3f} |",
        "",
    ]
    print("\n".join(lines))
    if options.write:
        RESULTS.write_text("\n".join(lines))


if __name__ == "__main__":
    main()
