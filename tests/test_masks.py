"""Which region is drawn, by hand-computed numbers."""

import numpy as np
import pytest

from blurgen.errors import PhotoError
from blurgen.masks import MaskParams, effective_number, largest_object, refusal, sample_region


def test_the_largest_component_of_the_largest_object_is_taken():
    labels = np.zeros((8, 10), np.int32)
    labels[0:3, 0:3] = 1  # object 1: two parts, 9 + 4 = 13 px, the largest object
    labels[6:8, 0:2] = 1
    labels[0:3, 6:10] = 2  # object 2: one part of 12 px, larger than any part of object 1
    regions = largest_object(labels)
    assert len(regions) == 1
    expected = np.zeros((8, 10), bool)
    expected[0:3, 0:3] = True
    np.testing.assert_array_equal(regions.mask(0), expected)
    assert regions.scores[0] == pytest.approx(9 / 80)


def test_diagonal_neighbours_are_connected():
    labels = np.eye(5, dtype=np.int32)
    assert largest_object(labels).mask(0).sum() == 5


def test_a_photo_without_objects_is_refused():
    with pytest.raises(PhotoError, match="no annotated object"):
        largest_object(np.zeros((5, 5), np.int32))


def test_regions_are_drawn_in_proportion_to_the_softmax():
    scores = np.log(np.array([4, 3, 2, 1], np.float32))
    rng = np.random.default_rng(0)
    counts = np.bincount([sample_region(scores, 1.0, rng) for _ in range(20000)], minlength=4)
    np.testing.assert_allclose(counts / 20000, [0.4, 0.3, 0.2, 0.1], atol=0.01)
    halved = np.bincount([sample_region(scores, 0.5, rng) for _ in range(20000)], minlength=4)
    np.testing.assert_allclose(halved / 20000, np.array([16, 9, 4, 1]) / 30, atol=0.01)


def test_a_single_region_is_always_drawn():
    assert sample_region(np.array([-3.0], np.float32), 1e-3, np.random.default_rng(0)) == 0


def test_the_effective_number_runs_from_one_to_all():
    scores = np.linspace(0, 1, 50, dtype=np.float32)
    assert effective_number(scores, 1e-3) == pytest.approx(1, abs=1e-6)
    assert effective_number(scores, 1e3) == pytest.approx(50, rel=1e-3)
    assert effective_number(np.zeros(7), 1) == pytest.approx(7)


def test_masks_of_one_class_and_of_extreme_area_are_redrawn():
    params = MaskParams(area_range=(0.1, 0.5))
    mask = np.zeros((10, 10), bool)
    assert refusal(mask, params) == "single-class"
    assert refusal(~mask, params) == "single-class"
    mask[0, :5] = True
    assert refusal(mask, params) == "area"
    mask[:2] = True
    assert refusal(mask, params) is None
    assert refusal(~mask, params) == "area"
