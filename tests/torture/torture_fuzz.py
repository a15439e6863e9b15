"""Mutants of shards for $BLURGEN_FUZZ_SECONDS (600): the reader answers each with pairs or with ShardError.

$BLURGEN_FUZZ_FIRST is the number of the first mutant (0): other numbers, other mutants.
"""

import os
import tempfile
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

from torture.fuzz import fuzz
from torture.tables import report

BATCH = 100
"""So many mutants of each kind a child reads before the next one starts."""


def test_the_reader_raises_nothing_but_shard_error():
    end = time.monotonic() + float(os.environ.get("BLURGEN_FUZZ_SECONDS") or 600)
    first = int(os.environ.get("BLURGEN_FUZZ_FIRST") or 0)
    folder = Path(tempfile.mkdtemp(prefix="blurgen-fuzz-"))
    batches = (range(number, number + BATCH) for number in count(first, BATCH))
    outcomes, bad = Counter(), []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        while time.monotonic() < end:
            some = [next(batches) for _ in range(os.cpu_count() or 1)]
            for findings in pool.map(fuzz, some, [folder] * len(some)):
                outcomes.update(findings.outcomes)
                bad += findings.bad
    report("mutants", {"mutants": outcomes.total(), **dict(sorted(outcomes.items())), "bad": len(bad)})
    assert not bad, f"kept in {folder}:\n" + "\n".join(bad[:20])
    folder.rmdir()
