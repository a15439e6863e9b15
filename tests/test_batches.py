"""Which examples make which step."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from blurgen.training.batches import REAL, SYNTHETIC, Schedule, hold_out, in_hash_order


@given(st.integers(1, 40), st.integers(1, 20), st.integers(0, 2**63 - 1))
def test_a_pass_shows_each_pair_once(count, size, seed):
    schedule = Schedule(count, 0, size, seed)
    for number in range(2):
        steps = range(number * schedule.steps_per_pass, (number + 1) * schedule.steps_per_pass)
        shown = [pick for step in steps for pick in schedule.picks(step)]
        assert sorted(pick.index for pick in shown) == list(range(count))
        assert {(pick.kind, pick.round) for pick in shown} == {(SYNTHETIC, number)}


@given(st.integers(1, 40), st.integers(1, 20))
def test_batches_differ_by_one_at_most_and_are_no_larger_than_asked(count, size):
    schedule = Schedule(count, 0, size, 0)
    sizes = {len(schedule.picks(step)) for step in range(schedule.steps_per_pass)}
    assert max(sizes) <= size
    assert max(sizes) - min(sizes) <= 1


@given(st.integers(2, 40), st.integers(1, 9), st.integers(1, 10))
def test_half_synthetic_half_real(synthetic, real, half):
    schedule = Schedule(synthetic, real, 2 * half, 3)
    shown = []
    for step in range(3 * schedule.steps_per_pass):
        picks = schedule.picks(step)
        assert [pick.kind for pick in picks].count(REAL) * 2 == len(picks)
        shown += [pick.index for pick in picks if pick.kind == REAL]
    counts = np.bincount(shown, minlength=real)
    assert counts.max() - counts.min() <= 1  # real photos come round evenly
    assert len(shown) == 3 * synthetic


def test_real_alone():
    schedule = Schedule(0, 5, 2, 0)
    assert schedule.steps_per_pass == 3
    assert sorted(pick.index for step in range(3) for pick in schedule.picks(step)) == [0, 1, 2, 3, 4]


def test_another_seed_another_order_and_seed_0_is_one():
    orders = {tuple(p.index for p in Schedule(30, 0, 30, seed).picks(0)) for seed in (0, 1, 2)}
    assert len(orders) == 3


def test_an_example_is_changed_in_another_way_each_time():
    schedule = Schedule(4, 0, 4, 0)
    first, second = ({p.index: schedule.uniforms(p)[0] for p in schedule.picks(step)} for step in (0, 1))
    assert len({*first.values(), *second.values()}) == 8


def test_noise_differs_by_step_and_process():
    schedule = Schedule(4, 0, 4, 0)
    assert len({schedule.noise_seed(step, rank) for step in range(3) for rank in range(2)}) == 6


@given(st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), min_size=1, max_size=30), st.floats(0.01, 0.9))
def test_photos_are_held_out_whole(names, share):
    chosen = hold_out(names, share, 0)
    assert {name for name, one in zip(names, chosen, strict=True) if one}.isdisjoint(
        name for name, one in zip(names, chosen, strict=True) if not one
    )
    distinct = len(set(names))
    held_out = {name for name, one in zip(names, chosen, strict=True) if one}
    assert len(held_out) == min(np.ceil(share * distinct - 1e-4), distinct - 1)  # one is left to train on


def test_what_is_held_out_hangs_on_names_and_seed_alone():
    names = [bytes([65 + number]) for number in range(20)]
    kept = {name for name, one in zip(names, hold_out(names, 0.25, 7), strict=True) if one}
    again = names[::-1] * 2
    assert kept == {name for name, one in zip(again, hold_out(again, 0.25, 7), strict=True) if one}
    assert not hold_out(names, 0.0, 7).any()
    assert [names[place] for place in in_hash_order(names, 7)][:5] != names[:5]
