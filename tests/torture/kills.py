"""Runs of ``blurgen make`` that are killed, all processes at once, at moments that a seed decides."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
from helpers_shards import file_bytes

from blurgen.dataset.receipts import read_receipt
from blurgen.files import LOCK_NAME, TEMPORARY_PREFIX, sha256
from blurgen.shards.reader import Shard

PAIRS, PER_SHARD = 60, 2
DEADLINE = 300  # s; a run takes some five


def begin(photos: Path, cache: Path, out: Path, *, pairs=PAIRS, per_shard=PER_SHARD, **options) -> subprocess.Popen:
    """Start ``blurgen make`` in a process group of its own."""
    command = [sys.executable, "-m", "blurgen_cli", "make", "--source", "folder", "--root", photos]
    command += ["--cache", cache, "--out", out, "--n", pairs, "--pairs-per-shard", per_shard, "--seed", 5]
    options = {"size": "48x48", "workers": 2} | options
    command += [part for name, value in options.items() for part in (f"--{name}", value)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([str(part) for part in command], start_new_session=True, **pipes)


def result(run: subprocess.Popen) -> tuple[int, str]:
    """The exit status of a run, once it has ended, and what it wrote to stderr."""
    try:
        errors = run.communicate(timeout=DEADLINE)[1]
    finally:
        end(run)
    return run.returncode, errors


def end(run: subprocess.Popen) -> str:
    """Kill whatever is left of a run; what it wrote to stderr."""
    with suppress(ProcessLookupError):
        os.killpg(run.pid, signal.SIGKILL)
    return run.communicate()[1]


class Killings:
    """Kill run after run into one folder, each of which goes on with what the one before left; check what that is.

    ``counts`` says how often; ``bad`` holds what should not be.
    """

    def __init__(self, photos: Path, folder: Path, seed: int) -> None:
        self.photos, self.out, self.cache = photos, folder / "set", folder / "cache"
        self.rng = np.random.default_rng(seed)
        self.counts, self.bad = Counter(), []
        started = time.monotonic()
        self._whole_run()
        self.seconds = time.monotonic() - started
        self.expected = file_bytes(self.out)
        shutil.rmtree(self.out)

    def kill(self, times: int) -> None:
        """Kill so many runs; one that was quicker is counted as finished, and a new data set is begun."""
        while self.counts["kills"] < times:
            run = begin(self.photos, self.cache, self.out)
            self._wait(run)
            alive = run.poll() is None
            errors = end(run)
            assert alive or run.returncode == 0, errors  # held up by what the one before left, a lock say?
            self.counts["kills"] += alive
            if self.out.exists():
                self._check_what_is_there()
            if not alive:
                self._check_finished()

    def finish(self) -> None:
        """Let the last data set be finished in peace."""
        self._whole_run()
        self._check_finished()

    def _whole_run(self) -> None:
        status, errors = result(begin(self.photos, self.cache, self.out))
        assert status == 0, errors

    def _wait(self, run: subprocess.Popen) -> None:
        """Until a moment of the run: one in four anywhere, the others after another file has appeared."""
        if self.rng.random() > 0.25:
            files, limit = len(_names(self.out)), time.monotonic() + self.seconds
            while len(_names(self.out)) <= files + 1 and run.poll() is None and time.monotonic() < limit:
                time.sleep(0.001)
            time.sleep(self.rng.uniform(0, self.seconds / 6))
        else:
            time.sleep(self.rng.uniform(0, self.seconds))

    def _check_what_is_there(self) -> None:
        """Every receipt is that of a whole shard, and nothing else is there than what may be."""
        for name in _names(self.out) - self.expected.keys():
            if name == LOCK_NAME:
                self.counts["locks left"] += 1
            elif name.startswith(TEMPORARY_PREFIX):
                self.counts["temporaries left"] += 1
            else:
                self.bad.append(f"{name} was left behind")
        for path in sorted(self.out.glob("shard-*.json")):
            self._check_shard(int(path.stem[-5:]))

    def _check_shard(self, index: int) -> None:
        receipt = read_receipt(self.out, index)
        path = self.out / f"shard-{index:05d}.h5"
        data = path.read_bytes()
        if sha256(data) != receipt["sha256"] or data != self.expected[path.name]:
            self.bad.append(f"{path.name} has a receipt and is not what it should be")
        with Shard(path) as shard:
            for place in range(len(shard)):
                shard.image(place)
                shard.mask(place)
        self.counts["receipted shards checked"] += 1

    def _check_finished(self) -> None:
        self.counts["runs finished"] += 1
        if file_bytes(self.out) != self.expected:
            self.bad.append("a finished data set differs from the uninterrupted one")
        shutil.rmtree(self.out)
        shutil.rmtree(self.cache)  # so that some runs are killed while proposals are found


def _names(folder: Path) -> set[str]:
    return set(os.listdir(folder)) if folder.exists() else set()
