"""A pair is a pure function of recipe, photo, seed and number."""

import numpy as np
import pytest
from skimage import data

from blurgen.errors import ArgumentError, PhotoError
from blurgen.masks import largest_object
from blurgen.proposals import Proposals, object_proposals
from blurgen.recipe import load_recipe
from blurgen.shards.format import PROVENANCE_FIELDS
from blurgen.synthesis import STAGES, draw_numbers, stage_rng, synthesize

RECIPE = load_recipe("alvarez-gila-2019").with_values({"geometry.size": "96"})


@pytest.fixture(scope="module")
def photo():
    return data.astronaut()[:240, 100:380]


@pytest.fixture(scope="module")
def regions(photo):
    return object_proposals(photo, RECIPE.proposals)


def test_the_same_numbers_give_the_same_bytes_and_others_do_not(photo, regions):
    one, same, other_pair, other_seed = (
        synthesize(photo, RECIPE, regions, seed=seed, pair=pair) for seed, pair in ((0, 5), (0, 5), (0, 6), (1, 5))
    )
    np.testing.assert_array_equal(one.image, same.image)
    np.testing.assert_array_equal(one.mask, same.mask)
    assert one.provenance == same.provenance
    assert (one.image != other_pair.image).any()
    assert (one.image != other_seed.image).any()


def test_regions_are_computed_when_none_are_given(photo, regions):
    np.testing.assert_array_equal(synthesize(photo, RECIPE).image, synthesize(photo, RECIPE, regions).image)


@pytest.mark.parametrize("name", ["alvarez-gila-2019", "standard"])
def test_pairs_have_both_classes_the_asked_size_and_the_kept_side_unchanged(photo, regions, name):
    from blurgen.geometry import Crop, crop_photo

    recipe = load_recipe(name).with_values({"geometry.size": "80x112"})
    for number in range(12):
        pair = synthesize(photo, recipe, regions, pair=number)
        assert pair.image.shape == (80, 112, 3)
        assert pair.image.dtype == np.uint8
        assert pair.mask.shape == (80, 112)
        assert 0 < pair.mask.mean() < 1
        assert pair.provenance["blurred_share"] == pair.mask.mean()
        numbers = {key: pair.provenance[key] for key in ("top", "left", "crop_height", "crop_width", "height", "width")}
        cut = crop_photo(photo, Crop(**numbers))
        np.testing.assert_array_equal(pair.image[~pair.mask], cut[~pair.mask])
        assert np.abs(np.diff(pair.image.astype(int), axis=1))[pair.mask[:, 1:]].mean() < (
            np.abs(np.diff(cut.astype(int), axis=1))[pair.mask[:, 1:]].mean()
        )


def test_provenance_fills_every_column_but_the_photos_identity(photo, regions):
    pair = synthesize(photo, RECIPE, regions)
    assert set(PROVENANCE_FIELDS) - set(pair.provenance) == {"photo", "photo_sha256"}
    assert set(pair.provenance) <= set(PROVENANCE_FIELDS)


def test_p_invert_decides_which_side_is_blurred(photo, regions):
    for p_invert, inverted in ((0.0, False), (1.0, True)):
        pair = synthesize(photo, RECIPE.with_values({"mask.p_invert": p_invert}), regions)
        assert pair.provenance["inverted"] is inverted


def test_stages_draw_independently_of_each_other(regions):
    wide = RECIPE.with_values({"geometry.crop_scale_range": [0.3, 0.9]})
    first, second = (draw_numbers(regions.scores, (240, 280), recipe, 0, 3, 0) for recipe in (RECIPE, wide))
    assert first.crop != second.crop
    assert (first.region, first.inverted, first.blur) == (second.region, second.inverted, second.blur)


def test_generators_differ_between_seeds_pairs_stages_and_attempts():
    numbers = {
        stage_rng(seed, pair, stage, attempt).random()
        for seed in (0, 1)
        for pair in (0, 1, 2)
        for stage in STAGES
        for attempt in (0, 1)
    }
    assert len(numbers) == 2 * 3 * len(STAGES) * 2
    with pytest.raises(ArgumentError, match="0 or more"):
        stage_rng(-1, 0, "crop")


def test_redrawn_masks_are_counted(photo):
    labels = np.zeros(photo.shape[:2], np.int32)
    labels[:12, :12] = 1  # in a corner that most crops leave out
    recipe = RECIPE.with_values({"geometry.crop_scale_range": [0.5, 1.0], "mask.area_range": [0.0, 1.0]})
    made = [synthesize(photo, recipe, largest_object(labels), pair=number) for number in range(3)]
    assert sum(pair.rejected["single-class"] for pair in made) > 0
    assert all(pair.rejected.total() == pair.provenance["attempt"] for pair in made)


def test_a_photo_that_gives_no_mask_is_given_up(photo):
    everything = Proposals(np.zeros(photo.shape[:2], np.int32), np.ones((1, 1), bool), np.ones(1, np.float32))
    with pytest.raises(PhotoError, match="single-class"):
        synthesize(photo, RECIPE, everything)
    nothing = Proposals(np.zeros(photo.shape[:2], np.int32), np.zeros((0, 1), bool), np.zeros(0, np.float32))
    with pytest.raises(PhotoError, match="no object proposal"):
        synthesize(photo, RECIPE, nothing)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((50, 60), np.uint8),
        np.zeros((50, 60, 4), np.uint8),
        np.zeros((3, 50, 60), np.uint8),
        np.zeros((0, 60, 3), np.uint8),
        np.zeros((50, 60, 3), np.float32),
        [[1, 2, 3]],
    ],
)
def test_what_is_no_rgb_photo_is_refused(regions, wrong):
    for given in (regions, None):
        with pytest.raises(PhotoError, match="uint8 array of shape"):
            synthesize(wrong, RECIPE, given)


def test_a_recipe_for_annotated_objects_does_not_fall_back_to_proposals(photo):
    with pytest.raises(ArgumentError, match="needs annotated objects"):
        synthesize(photo, load_recipe("weak-2019"))
