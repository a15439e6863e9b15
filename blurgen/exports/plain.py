"""Files of a folder that someone else may have made: no link is followed, nothing is read that is not a plain file."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from blurgen.errors import ShardError

_REFUSED = {errno.ELOOP: "a link; refused", errno.ENOTDIR: "a link, or no folder; refused"}


class PlainFolder:
    """One folder, held open. Raises ShardError for anything that is not a plain file in it."""

    def __init__(self, path: Path, *, follow: bool = False) -> None:
        self.path = path
        try:
            self._handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | (0 if follow else os.O_NOFOLLOW))
        except (OSError, ValueError) as error:
            raise ShardError(f"{path}: {_reason(error)}") from None

    def close(self) -> None:
        """Let go of the folder."""
        os.close(self._handle)

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """The plain file ``name`` for reading; errors of the block that are about reading name it too."""
        path = self.path / name
        try:
            handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=self._handle)
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise ShardError(f"{path}: not a plain file; refused")
                yield file
        except OSError as error:
            raise ShardError(f"{path}: {_reason(error)}") from None

    def read(self, name: str, limit: int) -> bytes:
        """The whole of a file of at most ``limit`` bytes."""
        with self.open(name) as file:
            data = file.read(limit + 1)
        if len(data) > limit:
            raise ShardError(f"{self.path / name}: longer than the {limit} bytes that it can need; refused")
        return data


def _reason(error: OSError | ValueError) -> str:
    number = getattr(error, "errno", None)
    return _REFUSED.get(number, f"can't be read ({getattr(error, 'strerror', error)}); export it again")
