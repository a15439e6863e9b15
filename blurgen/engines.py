"""Where work runs. This is the only module that starts processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import cv2
import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from blurgen.errors import WorkerError


def in_parallel(function: Callable, arguments: Iterable[tuple], workers: int, count: int) -> Iterator:
    """Results as they come, from ``workers`` processes (in this one if there is only one or one task)."""
    if workers == 1 or count <= 1:
        yield from (function(*values) for values in arguments)
        return
    pool = joblib.Parallel(n_jobs=min(workers, count), return_as="generator_unordered", pre_dispatch="2*n_jobs")
    try:
        yield from pool(joblib.delayed(_quiet_worker)(function, values) for values in arguments)
    except TerminatedWorkerError:
        raise WorkerError(
            "a worker process was killed, most likely for want of memory; run the same command again with fewer "
            "--workers, what is finished is kept"
        ) from None


def _quiet_worker(function: Callable, values: tuple):
    cv2.setNumThreads(1)
    return function(*values)


@contextmanager
def single_threaded_cv2() -> Iterator[None]:
    """cv2's own threads only add CPU time; the caller's setting is put back."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(threads)
