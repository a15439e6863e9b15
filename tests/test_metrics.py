"""AUC, average precision and the bootstrap, against scikit-learn and by hand."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blurgen.errors import ArgumentError
from blurgen.evaluation.metrics import byte_counts, class_counts, image_scores, mean_scores, paired_bootstrap


@st.composite
def maps_and_masks(draw):
    """A map with many ties or none, 8-bit or float, and a mask with unknown pixels."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    shape = draw(st.tuples(st.integers(1, 20), st.integers(2, 20)))
    levels = rng.integers(draw(st.sampled_from([1, 2, 3, 20, 256])), size=shape)
    values = draw(
        st.sampled_from([levels.astype(np.uint8), levels / np.float32(7), levels / 7 - 9, rng.normal(size=shape)])
    )
    return values, rng.choice([0, 128, 255], size=shape).astype(np.uint8)


@settings(max_examples=150, deadline=None)
@given(maps_and_masks())
def test_scores_are_those_of_scikit_learn(drawn):
    sklearn = pytest.importorskip("sklearn.metrics")
    values, mask = drawn
    known = mask != 128
    if len(np.unique(mask[known])) < 2:
        assert all(math.isnan(score) for score in image_scores(values, mask))
        return
    truth, told = mask[known] == 255, values[known]
    expected = sklearn.roc_auc_score(truth, told), sklearn.average_precision_score(truth, told)
    assert image_scores(values, mask) == pytest.approx(expected, abs=1e-12)


def test_scores_by_hand():
    # Blurred 9 and 5, sharp 5 and 1: of four pairs three are ranked rightly and one is a tie.
    mask = np.array([[255, 255, 0, 0, 128]], np.uint8)
    values = np.array([[9, 5, 5, 1, 200]], np.uint8)
    auc, ap = image_scores(values, mask)
    assert auc == 3.5 / 4
    assert ap == pytest.approx(0.5 * 1 + 0.5 * 2 / 3, abs=1e-15)


def test_a_constant_map_scores_one_half_and_the_share_that_is_blurred():
    mask = np.zeros((10, 10), np.uint8)
    mask[:3] = 255
    assert image_scores(np.full((10, 10), 77, np.uint8), mask) == (0.5, 0.3)


@given(maps_and_masks())
@settings(max_examples=50, deadline=None)
def test_only_the_order_of_the_values_counts(drawn):
    values, mask = drawn
    same = image_scores(np.exp(values.astype(np.float64) / 50), mask)
    turned = image_scores(-values.astype(np.float64), mask)
    assert same == pytest.approx(image_scores(values, mask), abs=1e-12, nan_ok=True)
    assert turned[0] == pytest.approx(1 - same[0], abs=1e-12, nan_ok=True)


def test_counts_of_large_images_do_not_overflow():
    mask = np.zeros((8000, 8000), np.uint8)
    mask[:4000] = 255
    assert image_scores(mask, mask) == (1.0, 1.0)


def test_a_mask_of_bools():
    mask = np.array([[True, False]])
    assert image_scores(np.array([[0.2, 0.1]]), mask) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "mask"),
    [
        (np.zeros((2, 3)), np.zeros((3, 2), np.uint8)),
        (np.zeros((2, 3, 1)), np.zeros((2, 3, 1), np.uint8)),
        (np.zeros((2, 3)), np.zeros((2, 3))),
        (np.full((1, 2), np.nan), np.array([[0, 255]], np.uint8)),
    ],
)
def test_what_can_not_be_scored_is_refused(values, mask):
    with pytest.raises(ArgumentError):
        image_scores(values, mask)


def test_means_leave_out_images_of_one_class():
    undefined = (math.nan, math.nan)
    assert mean_scores([(0.5, 0.25), undefined, (1.0, 0.75)]) == (0.75, 0.5, 2)
    auc, ap, count = mean_scores([undefined])
    assert (math.isnan(auc), math.isnan(ap), count) == (True, True, 0)


def test_the_interval_is_that_of_the_mean():
    values = np.random.default_rng(1).normal(0.3, 2.0, 400)
    mean, low, high = paired_bootstrap(values, seed=0)
    half = 1.96 * values.std() / math.sqrt(400)  # the normal theory
    assert mean == pytest.approx(values.mean())
    assert (low, high) == pytest.approx((mean - half, mean + half), abs=0.1 * half)
    assert paired_bootstrap(values, seed=0) == (mean, low, high)
    assert paired_bootstrap(values, seed=1)[1:] != (low, high)


def test_the_interval_of_equal_differences_is_a_point():
    assert paired_bootstrap([0.25] * 5, seed=3, resamples=50) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize("values", [[], [0.1, math.nan], [[0.1]]])
def test_nothing_to_resample_is_refused(values):
    with pytest.raises(ArgumentError):
        paired_bootstrap(values, seed=0)


@settings(max_examples=60, deadline=None)
@given(maps_and_masks())
def test_float32_is_sorted_as_other_floats_are_indexed(drawn):
    values, mask = drawn
    single = values.astype(np.float32) - np.float32(3)
    assert image_scores(single, mask) == pytest.approx(
        image_scores(single.astype(np.float64), mask), abs=1e-12, nan_ok=True
    )


def test_a_negative_zero_is_a_zero():
    mask = np.array([[255, 0]], np.uint8)
    assert image_scores(np.array([[-0.0, 0.0]], np.float32), mask) == (0.5, 0.5)


def test_levels_are_counted_by_class():
    levels = np.array([[0, 3, 3, 1]], np.uint16)
    mask = np.array([[255, 0, 255, 128]], np.uint8)
    assert class_counts(levels, mask, 4).tolist() == [[0, 0, 0, 1], [1, 0, 0, 1]]
    assert class_counts(levels, mask > 0, 4).tolist() == [[0, 0, 0, 1], [1, 1, 0, 1]]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32))
def test_bytes_are_counted_alike_by_both_ways(seed):
    rng = np.random.default_rng(seed)
    values, mask = rng.integers(0, 256, (2, 30, 41), np.uint8)
    for truth in (mask, mask > 90):
        assert (byte_counts(values[:, ::2], truth[:, ::2]) == class_counts(values[:, ::2], truth[:, ::2], 256)).all()
