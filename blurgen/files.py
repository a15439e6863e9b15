"""Files that appear whole or not at all, and content that is what it was when it was hashed."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import platform
import re
import signal
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from blurgen.errors import OutputError

TEMPORARY_PREFIX = ".blurgen-tmp-"
LOCK_NAME = ".blurgen-lock"


PUBLISH_STEPS = ("begun", "written", "synced", "renamed", "published")
"""Between any two of them a process may die: see ``_passed``."""


def publish(path: Path, data: bytes | Iterable[bytes], *, sync: bool = True) -> None:
    """Write ``path`` whole or not at all: temporary file in the same folder, fsync, rename, fsync of the folder.

    ``data`` may come in pieces. Raises OutputError (disk full, no permission, ...); nothing is left behind then, nor
    after an error of the pieces. Of many small files, which count for nothing before a last one names them, ``sync``
    may be left to ``sync_all``.
    """
    pieces = [data] if isinstance(data, bytes) else data
    name = (
        path.name if len(os.fsencode(path.name)) < 200 else sha256(os.fsencode(path.name))
    )  # one that is not too long
    temporary = path.parent / f"{TEMPORARY_PREFIX}{os.getpid()}-{name}"
    try:
        if path.exists() and not path.is_file():
            raise OutputError(f"{path}: is there and not a plain file; choose another name")
        with open(temporary, "wb") as file:
            _passed("begun", path)
            for piece in pieces:
                file.write(piece)
            file.flush()
            _passed("written", path)
            if sync:
                os.fsync(file.fileno())
        _passed("synced", path)
        os.replace(temporary, path)
        _passed("renamed", path)
        if sync:
            _sync_folder(path.parent)
        _passed("published", path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise OutputError(f"{path}: can't be written ({_advice(error)})") from None
        raise


def _passed(step: str, path: Path) -> None:
    """Die here, as by SIGKILL, if $BLURGEN_DIE_AT says so ("step:file name"): the tests of crashes set it."""
    if os.environ.get("BLURGEN_DIE_AT") == f"{step}:{path.name}":
        os.kill(os.getpid(), signal.SIGKILL)


def sync_all() -> None:
    """Bring everything that was written without ``sync`` to the disk."""
    os.sync()


def publish_json(path: Path, value: object) -> None:
    """``publish`` a JSON document."""
    publish(path, json_bytes(value))


def json_bytes(value: object) -> bytes:
    """A JSON document as it is published: sorted keys, indented, so that equal values are equal bytes."""
    return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()


def document_digest(document: dict) -> str:
    """sha256 hex of the canonical form of a JSON document, all of it but its own "digest"."""
    content = {key: value for key, value in document.items() if key != "digest"}
    return sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode())


def sha256(data: bytes) -> str:
    """Hex digest of ``data``."""
    return hashlib.sha256(data).hexdigest()


def sha256_file(path: Path) -> str:
    """Hex digest of a plain file, streamed; OSError for anything else, which could be a pipe that never ends."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def open_plain(path: Path) -> IO[bytes]:
    """A plain file, for reading; OSError for anything else."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return os.fdopen(handle, "rb")


def read_plain(path: Path) -> bytes:
    """The bytes of a plain file; OSError for anything else."""
    with open_plain(path) as file:
        return file.read()


def shown(path: Path) -> str:
    """An absolute path for people: as seen from the current folder, if it lies in it."""
    return os.path.relpath(path) if path.is_relative_to(Path.cwd()) else str(path)


def make_folder(path: Path) -> None:
    """Create ``path`` and its parents, or raise OutputError."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: can't be made a folder ({_advice(error)})") from None


def sweep(folder: Path) -> None:
    """Remove the temporary files that a killed run left behind, or raise OutputError."""
    for leftover in folder.glob(f"{TEMPORARY_PREFIX}*"):
        remove(leftover)


def remove(path: Path) -> None:
    """Remove a file that may be gone already, or raise OutputError."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: can't be removed ({_advice(error)})") from None


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` for one process; the system lets go of it when the process ends, however it ends."""
    path = folder / LOCK_NAME
    try:
        # Neither a link nor a pipe that someone put there may be followed or waited for.
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666), "w")
    except OSError as error:
        raise OutputError(f"{folder}: can't be written ({_advice(error)})") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            ours = path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat())
        except BlockingIOError:
            ours = False
        except OSError as error:
            raise OutputError(f"{folder}: can't be locked ({_advice(error)})") from None
        if not ours:  # held by another process, or removed by one that has just ended
            raise OutputError(f"{folder}: {_holder(path)} is writing here; wait for it, or choose another folder")
        _say_who_holds(file)
        try:
            yield
        finally:
            path.unlink(missing_ok=True)


def _say_who_holds(file: IO[str]) -> None:
    with suppress(OSError):  # on a full disk the lock holds as well
        file.truncate(0)
        os.write(file.fileno(), f"process {os.getpid()} on {platform.node()}\n".encode())


def _holder(path: Path) -> str:
    """Who holds a lock, for people."""
    with suppress(OSError, ValueError), open(path, encoding="utf-8") as file:
        words = file.read(300).strip()
        if re.fullmatch(r"process \d+ on \S+", words):
            return f"another blurgen ({words})"
    return "another blurgen"


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _advice(error: OSError) -> str:
    """What went wrong and what to do about it."""
    advice = {
        errno.ENOSPC: "the disk is full: make room and run the same command again, what is finished is kept",
        errno.EFBIG: "a file may not become so large here: raise the limit (ulimit -f) or make smaller shards",
        errno.EDQUOT: "your quota is used up: make room and run the same command again, what is finished is kept",
        errno.EACCES: "no permission: choose another folder or change its permissions",
        errno.EPERM: "no permission: choose another folder or change its permissions",
        errno.EROFS: "the file system is read-only: choose another folder",
        errno.ENOENT: "a folder of this path does not exist: make it first",
        errno.ELOOP: "a link is in the way: remove it or choose another folder",
        errno.ENOTDIR: "a part of the path is a file: choose another folder",
        errno.EEXIST: "a file of this name is in the way: choose another folder",
        errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
    }
    return advice.get(error.errno, str(error.strerror or error))
