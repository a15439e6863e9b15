"""Tasks and photos that kill their process as the system does when memory runs out. Importable by workers."""

import os
import signal
from dataclasses import dataclass
from multiprocessing import current_process
from pathlib import Path

from blurgen.engines import working_on
from blurgen.sources import Photo


def die():
    """SIGKILL, but never to pytest."""
    assert current_process().name != "MainProcess"
    os.kill(os.getpid(), signal.SIGKILL)


def square_unless(number: int, deadly: tuple[int, ...], marker: Path | None = None) -> int:
    """The square; the ``deadly`` numbers kill, each time or, with a ``marker`` (a file to be made), only once."""
    with working_on(f"number {number}"):
        if number in deadly and not (marker and marker.exists()):
            if marker:
                marker.touch()
            die()
    return number * number


def die_elsewhere_each_time(folder: Path):
    """Die at another thing each time."""
    count = len(list(folder.iterdir()))
    (folder / str(count)).touch()
    with working_on(f"thing {count}"):
        die()


def die_in_silence():
    die()


def process_id() -> int:
    return os.getpid()


@dataclass(frozen=True)
class DeadlyPhoto(Photo):
    """A photo that kills who reads it in a worker: always, or with a ``marker`` from the second time on.

    The first to read a photo is the survey, so with a marker it dies where pairs are made.
    """

    marker: Path | None = None

    def read(self) -> bytes:
        if current_process().name != "MainProcess":
            if self.marker is None or self.marker.exists():
                die()
            self.marker.touch()
        return super().read()


class Untravelled(Exception):
    """An error that can't be made again from its arguments, as pickling tries."""

    def __init__(self, one, two):
        super().__init__(f"{one} and {two}")


def fail_untravelled():
    """Raise it."""
    raise Untravelled(1, 2)
