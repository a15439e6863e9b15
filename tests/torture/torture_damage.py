"""500 flipped bits and 100 cuts in shards, receipts, manifest, recipe and proposal cache: ``verify`` finds each."""

import os

from torture.damage import Damage, data_set
from torture.tables import report


def test_every_flipped_bit_and_every_cut_is_found(tmp_path):
    damage = Damage(data_set(tmp_path))
    damage.do(flips=500, cuts=100, seed=int(os.environ.get("BLURGEN_SEED") or 0))
    for kind, count in damage.counts.items():
        report(f"damage to {kind}", {"done": count, "found": damage.found[kind]})
    assert damage.missed == []
