"""The mean of weights over steps, against sums written out."""

import pytest
from hypothesis import given, strategies

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from blurgen.training.averaging import take_in  # noqa: E402


def mean_of(values, power):
    mean, model = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    for step, value in enumerate(values):
        nn.init.constant_(model.weight, value)
        take_in(mean, model, step, power)
    return mean.weight.item()


def test_with_power_1_the_nth_step_counts_n_times():
    assert mean_of([5.0, 2.0, 10.0], 1.0) == pytest.approx((1 * 5 + 2 * 2 + 3 * 10) / 6)


def test_with_power_2_steps_count_1_3_6_10_times():
    assert mean_of([1.0, 0.0, 0.0, 7.0], 2.0) == pytest.approx((1 + 10 * 7) / 20)


@given(strategies.lists(strategies.floats(-100, 100, width=32), min_size=1, max_size=20), strategies.floats(0.125, 64))
def test_the_mean_lies_among_the_values_and_a_constant_is_its_own(values, power):
    assert min(values) - 1e-3 <= mean_of(values, power) <= max(values) + 1e-3
    assert mean_of([values[0]] * 3, power) == values[0]


def test_running_statistics_are_averaged_and_batches_counted():
    mean, model = nn.BatchNorm2d(1), nn.BatchNorm2d(1)
    for step in (0, 1):
        model.running_mean.fill_(step + 1.0)
        model.num_batches_tracked.fill_(step + 1)
        take_in(mean, model, step, 1.0)
    assert mean.running_mean.item() == pytest.approx((1 * 1 + 2 * 2) / 3)
    assert mean.num_batches_tracked.item() == 2
