"""kill -9 of all processes of a run at $BLURGEN_KILLS (100) random moments: what has a receipt is whole."""

import os

from helpers_shards import write_photos
from torture.kills import Killings
from torture.tables import report


def test_a_run_killed_at_any_moment_loses_nothing_that_is_finished(tmp_path):
    killings = Killings(write_photos(tmp_path / "photos"), tmp_path, seed=int(os.environ.get("BLURGEN_SEED") or 0))
    killings.kill(int(os.environ.get("BLURGEN_KILLS") or 100))
    killings.finish()
    report("kills", {**killings.counts, "bad": len(killings.bad)})
    assert killings.bad == []
