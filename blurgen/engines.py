"""Where work runs. This is the only module that starts processes.

Each worker is a process with a pipe of its own, so when one is killed (as the system does when memory runs out) it is
known which task it had, and no other task is touched.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import pickle
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing import current_process
from multiprocessing.connection import Connection, Pipe, wait

import cv2
from joblib.externals.loky.backend import get_context
from joblib.externals.loky.backend.reduction import dumps
from threadpoolctl import threadpool_limits

from blurgen.errors import WorkerError

_IDLE_S = 60  # a worker that nobody has asked for so long leaves
_MOST_DEATHS = 5  # of one task alone, each time at something else
_MOST_STILLBORN = 3  # for each worker wanted, in a row

_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}  # for what is loaded later on

KILLED = (
    "worker processes were killed, most likely for want of memory; run the same command again with fewer --workers, "
    "what is finished is kept"
)


@dataclass(frozen=True)
class Died:
    """What ``in_parallel`` yields in place of the result of a task that ends its process each time.

    ``working_on`` is what the task said last with ``working_on``, "" if nothing.
    """

    arguments: tuple
    working_on: str


def in_parallel(function: Callable, arguments: Iterable[tuple], workers: int, count: int) -> Iterator:
    """Results as they come, from ``workers`` processes for ``count`` tasks; from this process for one worker.

    A task whose worker dies is run again, alone, when all others are done; if it dies twice at the same thing, a
    ``Died`` is yielded in its place. A task that raises an error ends it all.

    Raises
    ------
    WorkerError
        Processes can't be started, or die and nothing can be blamed for it.
    """
    if current_process().daemon or workers == 1:
        yield from (function(*values) for values in arguments)
        return
    company = _Company(function, arguments, min(workers, count))
    yield from company.results()
    if company.dead:
        _end_idle()  # their memory may be what is wanting
    for values in company.dead:
        yield _alone(function, values)


class _Company:
    """Workers side by side. ``dead`` holds the arguments of the tasks whose workers died, for another try."""

    def __init__(self, function: Callable, arguments: Iterable[tuple], workers: int) -> None:
        self.function, self.tasks, self.workers = function, iter(arguments), workers
        self.busy: dict[Connection, tuple[_Worker, tuple]] = {}
        self.dead: list[tuple] = []
        self.stillborn = 0

    def results(self) -> Iterator:
        """Results as they come; every worker that hasn't finished is ended when they are no longer wanted."""
        try:
            # All are started before the first is asked: a long task is taken in only when its worker is awake.
            for worker in [_take() for _ in range(self.workers)]:
                self._ask(worker)
            while self.busy:
                for pipe in wait(list(self.busy)):
                    yield from self._listen(pipe)
        finally:
            for worker, _ in self.busy.values():
                worker.end()

    def _ask(self, worker: _Worker) -> None:
        values = next(self.tasks, None)
        if values is None:
            _idle.append(worker)
            return
        self.busy[worker.pipe] = worker, values
        worker.ask(self.function, values)

    def _listen(self, pipe: Connection) -> Iterator:
        """Take in what a worker says, and give the next task out before the result is used."""
        worker, values = self.busy[pipe]
        kind, value = worker.hear()
        if kind == "awake":
            self.stillborn = 0
            return
        del self.busy[pipe]
        if kind == "died":
            self._bury(worker, values)
            worker = _take()
        self._ask(worker)
        if kind == "failed":
            raise value
        if kind == "done":
            yield value

    def _bury(self, worker: _Worker, values: tuple) -> None:
        worker.end()
        self.dead.append(values)
        self.stillborn += not worker.awake
        if self.stillborn >= _MOST_STILLBORN * self.workers:
            raise WorkerError(KILLED)


def _alone(function: Callable, values: tuple):
    """The result of a task that runs while nothing else does, or ``Died`` if it dies twice at the same thing."""
    deaths = Counter()
    while deaths.total() < _MOST_DEATHS:
        worker, place = _take(), None
        try:
            worker.ask(function, values, alone=True)
            kind, value = worker.hear()
            while kind in ("awake", "on"):
                place = value if kind == "on" else place
                kind, value = worker.hear()
        except BaseException:
            worker.end()
            raise
        if kind != "died":
            _idle.append(worker)
            if kind == "failed":
                raise value
            return value
        worker.end()
        deaths[place] += 1
        if place is not None and deaths[place] == 2:
            return Died(values, place)
    raise WorkerError(KILLED)


# Workers --------------------------------------------------------------------------------------------------------------


class _Worker:
    """A process that does one task after the other."""

    def __init__(self) -> None:
        self.awake = False
        self.pipe, theirs = Pipe()
        arguments = {"target": _serve, "args": (theirs,), "daemon": True, "env": _ONE_THREAD}
        self.process = get_context("loky").Process(**arguments)
        try:
            with _interrupts_ignored():  # workers inherit this: Ctrl-C is the parent's to handle
                self.process.start()
        except OSError as error:
            raise WorkerError(f"can't start a worker process ({error.strerror}); use fewer --workers") from None
        finally:
            theirs.close()

    def ask(self, function: Callable, values: tuple, alone: bool = False) -> None:
        """Give it a task. One that is dead already is found so when it is listened to."""
        task = bytes(dumps((function, values)))
        with suppress(OSError):
            self.pipe.send((task, alone))

    def hear(self) -> tuple[str, object]:
        """Wait for what it says: ("awake" | "on" | "done" | "failed" | "died", value)."""
        try:
            said = self.pipe.recv_bytes()
        except (EOFError, OSError):
            return "died", None
        self.awake = True
        return pickle.loads(said)

    def end(self) -> None:
        """End it at once, and wait until it is gone."""
        self.pipe.close()
        if self.process.is_alive():
            os.kill(self.process.pid, signal.SIGKILL)
        self.process.join()


_idle: list[_Worker] = []
os.register_at_fork(after_in_child=_idle.clear)  # they answer to the parent


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().end()


def _take() -> _Worker:
    """A worker that has nothing to do, or a new one."""
    while _idle:
        worker = _idle.pop()
        if worker.process.is_alive():
            return worker
    return _Worker()


def _serve(pipe: Connection) -> None:
    """The life of a worker: tasks in, answers out, until nobody asks any more."""
    _end_with_parent()
    with suppress(EOFError, OSError), single_threaded():
        pipe.send(("awake", None))
        while pipe.poll(_IDLE_S):
            task, alone = pipe.recv()
            _place.pipe = pipe if alone else None
            _place.tell("")
            pipe.send_bytes(_answer(task))


def _answer(task: bytes) -> bytes:
    try:
        function, values = pickle.loads(task)
        return dumps(("done", function(*values)))
    except Exception as error:
        error.add_note(traceback.format_exc())  # the traceback itself can't travel
        return _sent(error)


def _sent(error: Exception) -> bytes:
    """An error as it travels to the parent; what would not arrive there goes as its text."""
    try:
        said = dumps(("failed", error))
        pickle.loads(said)
    except Exception:
        said = dumps(("failed", RuntimeError(f"{type(error).__name__}: {error}")))
    return bytes(said)


class _Place:
    """What the task of this process is busy with, and the pipe to the parent if that wants to know."""

    what = ""
    pipe: Connection | None = None

    def tell(self, what: str) -> None:
        self.what = what
        if self.pipe is not None:
            with suppress(OSError):
                self.pipe.send(("on", what))


_place = _Place()


@contextmanager
def working_on(what: str) -> Iterator[None]:
    """Say what a task is busy with, to be blamed if the process dies. Nearly free where nobody listens."""
    former = _place.what
    _place.tell(what)
    try:
        yield
    finally:
        _place.tell(former)


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
