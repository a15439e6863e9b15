"""Work in processes: every result comes, whoever dies; what kills its process each time is named, and nothing hangs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers_deadly import die_elsewhere_each_time, die_in_silence, fail_untravelled, process_id, square_unless

from blurgen import engines
from blurgen.engines import Died, in_parallel, working_on
from blurgen.errors import WorkerError


@pytest.fixture(autouse=True)
def _no_hang():
    """A test that takes two minutes has failed."""

    def give_up(*_):
        raise AssertionError("it hangs")

    former = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, former)


def squares(numbers, deadly=(), marker=None, workers=2):
    """(results, sorted; the Died)."""
    tasks = [(number, deadly, marker) for number in numbers]
    found = list(in_parallel(square_unless, iter(tasks), workers, len(tasks)))
    died = [one for one in found if isinstance(one, Died)]
    return sorted(one for one in found if not isinstance(one, Died)), died


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_every_task_gives_its_result_once(workers):
    assert squares(range(20), workers=workers) == ([number**2 for number in range(20)], [])
    assert squares([], workers=workers) == ([], [])
    assert squares([3], workers=workers) == ([9], [])


def test_one_worker_is_this_process_and_two_are_others():
    assert list(in_parallel(process_id, [()] * 3, 1, 3)) == [os.getpid()] * 3
    assert os.getpid() not in set(in_parallel(process_id, [()], 2, 1))


def test_a_worker_killed_once_costs_no_result(tmp_path):
    assert squares(range(12), (5,), tmp_path / "marker") == ([number**2 for number in range(12)], [])
    assert (tmp_path / "marker").exists()


def test_tasks_that_kill_each_time_are_named_and_all_others_have_their_result():
    results, died = squares(range(12), (0, 7))
    assert results == [number**2 for number in range(12) if number not in (0, 7)]
    assert [(one.arguments[0], one.working_on) for one in died] == [(0, "number 0"), (7, "number 7")]


def test_it_ends_even_if_every_task_kills():
    results, died = squares(range(4), range(4))
    assert results == []
    assert sorted(one.arguments[0] for one in died) == [0, 1, 2, 3]
    assert squares(range(4))[0] == [0, 1, 4, 9]


def test_a_death_in_silence_blames_nothing():
    assert list(in_parallel(die_in_silence, [()], 2, 1)) == [Died((), "")]


def test_a_task_that_dies_elsewhere_each_time_is_an_error(tmp_path):
    with pytest.raises(WorkerError, match="most likely for want of memory; run the same command again with fewer"):
        list(in_parallel(die_elsewhere_each_time, [(tmp_path,)], 2, 1))
    assert 3 <= len(list(tmp_path.iterdir())) <= 7


def test_workers_that_never_come_to_life_are_an_error(monkeypatch):
    engines._end_idle()
    monkeypatch.setitem(engines._ONE_THREAD, "PYTHONHOME", "/nowhere")
    with pytest.raises(WorkerError, match="processes were killed"):
        list(in_parallel(process_id, [()] * 50, 2, 50))


def test_an_error_of_a_task_is_raised_here_and_the_others_end(tmp_path):
    def fail(number):
        if number == 3:
            raise WorkerError("three")
        return number

    with pytest.raises(WorkerError, match="three") as caught:
        list(in_parallel(fail, [(number,) for number in range(9)], 2, 9))
    assert "in fail" in caught.value.__notes__[0]
    assert squares(range(5)) == ([0, 1, 4, 9, 16], [])


def test_results_that_nobody_takes_leave_no_work_behind():
    results = in_parallel(square_unless, [(number, ()) for number in range(9)], 2, 9)
    next(results)
    results.close()
    assert squares(range(5)) == ([0, 1, 4, 9, 16], [])


def test_what_is_worked_on_is_what_was_said_last_and_has_not_ended():
    with working_on("a"):
        with working_on("b"):
            assert engines._place.what == "b"
        assert engines._place.what == "a"
    assert engines._place.what == ""


ENDLESS = """
import os, sys, time
from blurgen.engines import in_parallel
def wait(folder):
    open(os.path.join(folder, str(os.getpid())), "w").close()
    time.sleep(1000)
list(in_parallel(wait, [(sys.argv[1],)] * 2, 2, 2))
"""


def alive(process_id):
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_workers_end_with_their_parent(tmp_path, how):
    paths = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    parent = subprocess.Popen([sys.executable, "-c", ENDLESS, tmp_path], env=paths, stderr=subprocess.DEVNULL)
    while len(list(tmp_path.iterdir())) < 2:
        assert parent.poll() is None
        time.sleep(0.01)
    parent.send_signal(how)
    parent.wait()
    workers = [int(path.name) for path in tmp_path.iterdir()]
    while any(map(alive, workers)):
        time.sleep(0.01)


def test_an_error_that_can_not_travel_arrives_as_its_text():
    with pytest.raises(RuntimeError, match="Untravelled: 1 and 2"):
        list(in_parallel(fail_untravelled, [()], 2, 1))
