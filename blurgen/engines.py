"""Where work runs. This is the only module that starts processes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache

import cv2
import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits

from blurgen.errors import WorkerError


def in_parallel(function: Callable, arguments: Iterable[tuple], workers: int, count: int) -> Iterator:
    """Results as they come, from ``workers`` processes (in this one if there is only one or one task)."""
    if workers == 1 or count <= 1:
        yield from (function(*values) for values in arguments)
        return
    pool = joblib.Parallel(n_jobs=min(workers, count), return_as="generator_unordered", pre_dispatch="2*n_jobs")
    try:
        with _interrupts_ignored():  # workers inherit this: Ctrl-C is the parent's to handle
            results = pool(joblib.delayed(_on_one_thread)(function, values) for values in arguments)
        yield from results
    except TerminatedWorkerError:
        raise WorkerError(
            "a worker process was killed, most likely for want of memory; run the same command again with fewer "
            "--workers, what is finished is kept"
        ) from None


@contextmanager
def _interrupts_ignored() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set handlers
        yield
        return
    former = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, former)


def is_quiet(progress: bool) -> bool:
    """Whether progress bars stay away: not wanted, or nobody watches."""
    return not progress or sys.stderr is None or not sys.stderr.isatty()


def _on_one_thread(function: Callable, values: tuple):
    _end_with_parent()
    with single_threaded():
        return function(*values)


@cache
def _end_with_parent() -> None:
    """Once in each worker: end when the parent is gone, however it ended, instead of waiting for work for minutes."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@cache
def _keep_freed_memory() -> None:
    """Once in each process: let images be made where others were, instead of giving each back to the system.

    A page that is given back and asked for again costs a page fault; for the many images of a megabyte that a pair
    takes that was a fifth of the time. Does nothing where the C library isn't glibc.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)


_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h


@contextmanager
def single_threaded() -> Iterator[None]:
    """One thread for cv2 and BLAS: more only add CPU time, and BLAS may sum in another order. Put back afterwards."""
    _keep_freed_memory()
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(threads)
