"""Files appear whole or not at all, and a folder has one writer."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest

from blurgen.errors import OutputError
from blurgen.files import LOCK_NAME, PUBLISH_STEPS, TEMPORARY_PREFIX, locked, publish, sweep

PUBLISH = "import sys; from pathlib import Path; from blurgen.files import publish; publish(Path(sys.argv[1]), b'new')"
HOLD = (
    "import sys; from pathlib import Path; from blurgen.files import locked\n"
    "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
)


@pytest.mark.parametrize("step", PUBLISH_STEPS)
@pytest.mark.parametrize("former", [None, b"old"])
def test_a_crash_at_any_step_leaves_the_former_file_or_the_new_one(tmp_path, step, former):
    path = tmp_path / "file"
    if former:
        path.write_bytes(former)
    environment = {**os.environ, "BLURGEN_DIE_AT": f"{step}:file"}
    done = subprocess.run([sys.executable, "-c", PUBLISH, path], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    renamed = PUBLISH_STEPS.index(step) >= PUBLISH_STEPS.index("renamed")
    assert (path.read_bytes() if path.exists() else None) == (b"new" if renamed else former)
    sweep(tmp_path)
    assert not list(tmp_path.glob(f"{TEMPORARY_PREFIX}*"))
    publish(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_file_may_come_in_pieces(tmp_path):
    publish(tmp_path / "file", (bytes([number]) for number in range(5)))
    assert (tmp_path / "file").read_bytes() == bytes(range(5))


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_of_the_pieces_leaves_nothing(tmp_path, error):
    def pieces():
        yield b"some"
        raise error

    with pytest.raises(error):
        publish(tmp_path / "file", pieces())
    assert list(tmp_path.iterdir()) == []


@contextmanager
def held(folder):
    """Another process, which holds the folder."""
    command = [sys.executable, "-c", HOLD, folder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        yield holder
        holder.stdin.close()


def test_who_comes_second_is_told_who_holds_the_folder(tmp_path):
    with (
        held(tmp_path) as holder,
        pytest.raises(OutputError, match=rf"\(process {holder.pid} on .+\) is writing here"),
        locked(tmp_path),
    ):
        pass


def test_a_killed_holder_leaves_no_stale_lock(tmp_path):
    with held(tmp_path) as holder:
        holder.kill()
    assert (tmp_path / LOCK_NAME).exists()
    with locked(tmp_path):
        pass
    assert not (tmp_path / LOCK_NAME).exists()


@pytest.mark.parametrize("words", ["", "\x1b[2J", "process x on y", "process 1 on \x1b[2J evil"])
def test_a_lock_with_other_words_in_it_is_not_quoted(tmp_path, words):
    with held(tmp_path):
        (tmp_path / LOCK_NAME).write_text(words)
        with pytest.raises(OutputError, match=": another blurgen is writing here"), locked(tmp_path):
            pass
