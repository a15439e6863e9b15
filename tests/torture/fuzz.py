"""Read mutants of shards in child processes, so that a crash, a hang or a gulp of memory ends the child and not us.

``python fuzz.py FOLDER`` is such a child: it reads "kind number" line by line, and answers each with one line.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

MOST_SECONDS = 20  # for one mutant
MOST_BYTES = 4 * 2**30  # of address space
MOST_GROWTH = 300 * 2**20  # of resident memory over one mutant
TESTS = Path(__file__).parents[1]


@dataclass
class Findings:
    """What came of the mutants, and those that did what none may do."""

    outcomes: Counter = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)


def fuzz(numbers: range, folder: Path) -> Findings:
    """Read these mutants of each kind of shard. The guilty ones are left in ``folder``, each with what it did."""
    from torture.mutants import KINDS

    findings = Findings()
    todo = [(kind, number) for number in numbers for kind in KINDS]
    while todo:
        todo = todo[_read_in_child(todo, folder, findings) :]
    return findings


def _read_in_child(todo: list[tuple[str, int]], folder: Path, findings: Findings) -> int:
    """How many of ``todo`` a child dealt with; the one at which it died is among them."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, sys.path)]),
    }
    asked = "\n".join(f"{kind} {number}" for kind, number in todo)
    command = [sys.executable, __file__, folder]
    child = subprocess.run(command, input=asked, capture_output=True, text=True, env=environment)
    lines = child.stdout.splitlines()
    for (kind, number), line in zip(todo, lines, strict=False):
        outcome, _, said = line.partition(": ")
        findings.outcomes[outcome] += 1
        if outcome == "BAD":
            _keep(kind, number, said, folder, findings)
    if child.returncode == 0 and len(lines) == len(todo):
        return len(todo)
    died = signal.Signals(-child.returncode).name if child.returncode < 0 else f"exit {child.returncode}"
    findings.outcomes["BAD"] += 1
    _keep(*todo[len(lines)], f"{died} {child.stderr[-3000:]}", folder, findings)
    return len(lines) + 1


def _keep(kind: str, number: int, said: str, folder: Path, findings: Findings) -> None:
    from torture.mutants import mutant

    path = folder / f"{kind}-{number}.h5"
    path.write_bytes(mutant(kind, number))
    path.with_suffix(".txt").write_text(f"{said}\n")
    findings.bad.append(f"{path}: {said[:300]}")


def read_everything(path: Path) -> str:
    """What came of reading a shard: "refused", "some pairs refused" or "read". Raises what no shard may raise."""
    from blurgen.shards.reader import Shard

    if _is_refused(lambda: Shard(path).close()):
        return "refused"
    with Shard(path) as shard:
        places = range(len(shard))
        refused = [_is_refused(read, place) for place in places for read in (shard.image, shard.mask, shard.row)]
        refused += [_is_refused(shard.target, name, place) for place in places for name in shard.targets]
    return "some pairs refused" if any(refused) else "read"


def _is_refused(read, *arguments) -> bool:
    from blurgen.errors import ShardError

    try:
        read(*arguments)
    except ShardError as error:
        if not str(error).isprintable():
            raise ValueError(f"not printable: {str(error)!a}") from None
        return True
    return False


def _serve(folder: Path) -> None:
    from torture.mutants import mutant

    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_BYTES, MOST_BYTES))
    path = folder / f"mutant-{os.getpid()}.h5"
    for line in sys.stdin.read().splitlines():
        kind, number = line.split()
        path.write_bytes(mutant(kind, int(number)))
        before = _most_memory()
        signal.alarm(MOST_SECONDS)  # its default is death, even inside of a library
        try:
            outcome = read_everything(path)
        except BaseException as error:
            outcome = f"BAD: {type(error).__name__} {' '.join(str(error).split())[:300]}"
        signal.alarm(0)
        if _most_memory() - before > MOST_GROWTH:
            outcome = f"BAD: took {(_most_memory() - before) >> 20} MB"
        print(outcome, flush=True)
    path.unlink(missing_ok=True)


def _most_memory() -> int:
    """Bytes, resident, so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    _serve(Path(sys.argv[1]))
