"""Which photo makes which pair and lends which regions, where several pairs share a mask."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers_shards import RECIPE, surveyed
from hypothesis import given
from hypothesis import strategies as st

from blurgen.errors import SourceError
from blurgen.plan import SPARE_PHOTOS, donor_order, photo_order, plan

LENDING = RECIPE.with_values({"mask.kinds": {"other-photo": 1.0}})


def tasks_of(photos, n, per_shard, recipe, seed=0):
    some = [surveyed(f"{i:02d}.png") for i in range(photos)]
    return plan(some, n, per_shard, recipe, seed, Path("cache"), Path("out"))


def ids_of(tasks):
    """The photo of each pair."""
    return [photo.photo.id for task in tasks for photo in task.photos]


@given(st.integers(1, 9), st.integers(1, 60), st.integers(1, 25), st.integers(1, 7))
def test_pairs_that_share_a_mask_share_their_photo_and_scenes_are_shared_out_evenly(photos, n, per_shard, each):
    recipe = RECIPE.with_values({"mask.pairs_per_mask": each})
    tasks = tasks_of(photos, n, per_shard, recipe)
    assert [pair for task in tasks for pair in task.pairs] == list(range(n))
    scenes = [ids_of(tasks)[first : first + each] for first in range(0, n, each)]
    assert all(len(set(scene)) == 1 for scene in scenes)
    uses = Counter({f"{i:02d}.png": 0 for i in range(photos)} | Counter(scene[0] for scene in scenes))
    assert max(uses.values()) - min(uses.values()) <= 1
    assert all(len(task.spares_of(pair)) == SPARE_PHOTOS for task in tasks for pair in task.pairs)


@given(st.integers(1, 25), st.integers(1, 25), st.integers(1, 7), st.integers(0, 99))
def test_neither_the_size_of_shards_nor_the_number_of_pairs_changes_a_pairs_photo_or_donor(one, other, each, seed):
    recipe = LENDING.with_values({"mask.pairs_per_mask": each})
    first, second = (tasks_of(5, n, per_shard, recipe, seed) for n, per_shard in ((40, one), (23, other)))
    assert ids_of(first)[:23] == ids_of(second)
    lenders = [[donor.photo.id for task in tasks for donor in task.donors] for tasks in (first, second)]
    assert lenders[0][:23] == lenders[1]


@given(st.data(), st.integers(2, 20), st.integers(1, 200), st.integers(0, 99))
def test_no_photo_is_its_own_donor_and_only_those_with_regions_lend(data, photos, count, seed):
    lenders = np.array(sorted(data.draw(st.sets(st.integers(0, photos - 1), min_size=2))))
    order = photo_order(photos, count, seed)
    donors = donor_order(order, lenders, seed)
    assert len(donors) == count
    assert (donors != order).all()
    assert set(donors.tolist()) <= set(lenders.tolist())


@pytest.mark.parametrize("own", [0, 5])
def test_all_other_lenders_lend_alike(own):
    lenders = np.array([0, 2, 3, 4])
    counts = np.bincount(donor_order(np.full(30_000, own), lenders, 0), minlength=6)
    expected = [(lender in lenders and lender != own) for lender in range(6)]
    np.testing.assert_allclose(counts / 30_000, np.array(expected) / sum(expected), atol=0.01)


def test_donors_depend_on_the_seed_and_seed_0_is_one():
    order, lenders = photo_order(9, 30, 0), np.arange(9)
    assert donor_order(order, lenders, 0).tolist() == donor_order(order, lenders, 0).tolist()
    assert len({tuple(donor_order(order, lenders, seed).tolist()) for seed in (0, 1, 2)}) == 3


def test_fewer_than_two_photos_with_regions_are_refused():
    said = r'"other-photo" needs two photos with regions or more; give more, or change mask\.kinds'
    with pytest.raises(SourceError, match=said):
        tasks_of(1, 3, 3, LENDING)
    some = [surveyed(f"{i}.png", lends=i == 1) for i in range(4)]
    with pytest.raises(SourceError, match=said):
        plan(some, 3, 3, LENDING, 0, Path("cache"), Path("out"))
    assert ids_of(tasks_of(1, 3, 3, RECIPE)) == ["00.png"] * 3


def test_only_a_recipe_that_draws_regions_of_other_photos_has_donors():
    assert {donor for task in tasks_of(3, 8, 3, RECIPE) for donor in task.donors} == {None}
    for task in tasks_of(3, 8, 3, LENDING):
        assert len(task.donors) == len(task.pairs)
        assert all(donor.photo.id != photo.photo.id for donor, photo in zip(task.donors, task.photos, strict=True))


@given(st.permutations(["00.png", "01.png", "02.png"]), st.integers(0, 99))
def test_photos_that_are_avoided_lend_nothing_and_their_order_does_not_matter(order, seed):
    [task] = tasks_of(6, 20, 20, LENDING, seed)
    left = task
    for name in order:
        left = left.without(name)
    other = task.without("00.png").without("01.png").without("02.png")
    assert left == other
    assert left.photos == task.photos
    assert left.avoided == {"00.png", "01.png", "02.png"}
    for before, donor, photo in zip(task.donors, left.donors, left.photos, strict=True):
        assert donor.photo.id not in left.avoided | {photo.photo.id}
        assert donor == before or before.photo.id in left.avoided


def test_a_pair_for_which_no_donor_is_left_is_an_error():
    [task] = tasks_of(2, 3, 3, LENDING)
    with pytest.raises(SourceError, match="no photo is left that could lend it a mask"):
        task.without("00.png")
