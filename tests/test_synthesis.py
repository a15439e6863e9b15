"""A pair is a pure function of recipe, photo, seed and number."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage import data

from blurgen.errors import ArgumentError, PhotoError
from blurgen.geometry import Crop, crop_photo
from blurgen.kernels import blur_from
from blurgen.masks import largest_object
from blurgen.proposals import Proposals, object_proposals
from blurgen.recipe import load_recipe
from blurgen.scene import STAGES, Offer, View, draw_numbers, make_scene, stage_rng
from blurgen.shards.format import PROVENANCE_FIELDS
from blurgen.synthesis import Studio, render, synthesize
from blurgen.takes import Numbers
from blurgen.texture import sharpness

RECIPE = load_recipe("alvarez-gila-2019").with_values({"geometry.size": "96"})
CAMERA = load_recipe("camera").with_values({"geometry.size": "96"})


@pytest.fixture(scope="module")
def photo():
    return data.astronaut()[:240, 100:380]


@pytest.fixture(scope="module")
def regions(photo):
    return object_proposals(photo, RECIPE.proposals)


def crop_of(photo, provenance):
    names = ("top", "left", "crop_height", "crop_width", "height", "width")
    return crop_photo(photo, Crop(**{name: provenance[name] for name in names}))


@pytest.mark.parametrize("recipe", [RECIPE, CAMERA], ids=lambda recipe: recipe.name)
def test_the_same_numbers_give_the_same_bytes_and_others_do_not(photo, regions, recipe):
    one, same, other_pair, other_seed = (
        synthesize(photo, recipe, regions, donor=regions, seed=seed, pair=pair)
        for seed, pair in ((0, 5), (0, 5), (0, 6), (1, 5))
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
    recipe = load_recipe(name).with_values({"geometry.size": "80x112"})
    for number in range(12):
        pair = synthesize(photo, recipe, regions, pair=number)
        assert pair.image.shape == (80, 112, 3)
        assert pair.image.dtype == np.uint8
        assert pair.mask.shape == (80, 112)
        assert 0 < pair.mask.mean() < 1
        assert pair.provenance["blurred_share"] == pair.mask.mean()
        assert pair.targets == {}
        cut = crop_of(photo, pair.provenance)
        np.testing.assert_array_equal(pair.image[~pair.mask], cut[~pair.mask])
        assert np.abs(np.diff(pair.image.astype(int), axis=1))[pair.mask[:, 1:]].mean() < (
            np.abs(np.diff(cut.astype(int), axis=1))[pair.mask[:, 1:]].mean()
        )


@pytest.mark.parametrize("recipe", [RECIPE, CAMERA], ids=lambda recipe: recipe.name)
def test_provenance_fills_every_column_but_the_photos_identity(photo, regions, recipe):
    pair = synthesize(photo, recipe, regions, donor=regions)
    known_later = {"photo", "photo_sha256", "codec", "dtype", "channels"}
    assert set(PROVENANCE_FIELDS) - set(pair.provenance) == known_later
    assert set(pair.provenance) <= set(PROVENANCE_FIELDS)


def test_effects_are_off_in_the_recipes_of_2019(photo, regions):
    for name in ("alvarez-gila-2019", "weak-2019", "standard"):
        recipe = load_recipe(name)
        assert recipe.camera == type(recipe.camera)()
        assert recipe.targets == type(recipe.targets)()
        mask = recipe.mask
        assert mask.p_second == mask.p_all_sharp == mask.p_all_blurred == mask.least_sharpness == 0
        assert mask.pairs_per_mask == 1
        assert not recipe.blur.p_tilt


def test_p_invert_decides_which_side_is_blurred(photo, regions):
    for p_invert, inverted in ((0.0, False), (1.0, True)):
        pair = synthesize(photo, RECIPE.with_values({"mask.p_invert": p_invert}), regions)
        assert pair.provenance["inverted"] is inverted


def test_stages_draw_independently_of_each_other(photo, regions):
    changes = {"geometry.crop_scale_range": [0.3, 0.9], "blur.p_motion": 0.9, "camera.p_jpeg": 1.0}
    draws = [
        draw_numbers(Offer({"proposal": regions}), (240, 280), RECIPE.with_values(one), 0, 3, 0)
        for one in ({}, {key: changes[key] for key in ("geometry.crop_scale_range",)}, changes)
    ]
    (first, _), (recropped, _), (otherwise_blurred, _) = draws
    assert first.crop != recropped.crop
    assert recropped == otherwise_blurred
    assert (first.region, first.inverted) == (recropped.region, recropped.inverted)


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
    with pytest.raises(PhotoError, match="no region of the kinds proposal"):
        synthesize(photo, RECIPE, nothing)


@pytest.mark.parametrize(
    "wrong",
    [
        np.zeros((50, 60), bool),
        np.zeros((50, 60, 3, 1), np.uint8),
        np.zeros((0, 60, 3), np.uint8),
        np.zeros((50, 60, 0), np.uint8),
        np.zeros((50, 60, 3), np.float64),
        np.full((50, 60, 3), np.nan, np.float32),
        [[1, 2, 3]],
    ],
)
def test_what_is_no_photo_is_refused(regions, wrong):
    for offered in (regions, None):
        with pytest.raises(PhotoError, match="a photo must"):
            synthesize(wrong, RECIPE, offered)


@pytest.mark.parametrize("channels", [None, 1, 2, 3, 5])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("recipe", [RECIPE, CAMERA], ids=lambda recipe: recipe.name)
def test_photos_of_any_depth_and_channels(photo, regions, recipe, dtype, channels):
    scale = {np.uint8: 1, np.uint16: 257, np.float32: 1 / 255}[dtype]
    planes = np.dstack([photo, photo[..., ::-1]])[..., : channels or 1]
    given = (planes.astype(float) * scale).astype(dtype)
    for number in range(4):
        pair = synthesize(given[..., 0] if channels is None else given, recipe, regions, donor=regions, pair=number)
        assert pair.image.shape == (96, 96, channels or 1)
        assert pair.image.dtype == dtype
        assert np.abs(pair.image[~pair.mask] / scale).max() < 300


def test_16_bits_give_what_8_bits_give_only_finer(photo, regions):
    for name in ("standard", "alvarez-gila-2019"):
        recipe = load_recipe(name).with_values({"geometry.size": "native"})
        eight, deep = (synthesize(one, recipe, regions, pair=2) for one in (photo, photo.astype(np.uint16) * 257))
        np.testing.assert_array_equal(eight.mask, deep.mask)
        assert np.abs(eight.image - deep.image / 257).max() < 1.1  # two roundings, of the fill and of the blur


def test_a_recipe_for_annotated_objects_does_not_fall_back_to_proposals(photo):
    with pytest.raises(ArgumentError, match="needs annotated objects"):
        synthesize(photo, load_recipe("weak-2019"))


def test_without_a_donor_regions_of_other_photos_are_left_out(photo, regions):
    kinds = {synthesize(photo, CAMERA, regions, pair=number).provenance["mask_kind"] for number in range(30)}
    assert "other-photo" not in kinds
    with pytest.raises(ArgumentError, match="give donor="):
        synthesize(photo, CAMERA.with_values({"mask.kinds": {"other-photo": 1.0}}), regions)


def test_resized_light_stays_within_its_range(photo, regions):
    light = (photo / 255).astype(np.float32)
    made = [synthesize(light, RECIPE, regions, pair=number).image for number in range(6)]
    assert min(image.min() for image in made) >= light.min() - 1e-6
    assert max(image.max() for image in made) <= light.max() + 1e-6


# Pairs that share a mask ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("recipe", [RECIPE, CAMERA], ids=lambda recipe: recipe.name)
def test_pairs_that_share_a_mask_differ_in_their_blur_alone_and_come_out_alike_alone(photo, regions, recipe):
    recipe = recipe.with_values({"mask.pairs_per_mask": 4, "camera.soft_border": False, "camera.p_jpeg": 0.0})
    studio = Studio(photo, recipe, regions)
    made = [studio.make(3, pair, lambda: regions) for pair in range(8)]
    for group in (made[:4], made[4:]):
        blurs = {str(blur_from(pair.provenance)) for pair in group}
        assert len(blurs) == 4 or group[0].provenance["mask_kind"] == "all-sharp"
        shared = [
            name for name in group[0].provenance if name.startswith(("crop", "mask", "region", "inverted", "top"))
        ]
        assert len({tuple(pair.provenance[name] for name in shared) for pair in group}) == 1
    assert made[0].provenance["top"] != made[4].provenance["top"]
    for number in (7, 2, 5, 0):  # any order, each alone
        alone = synthesize(photo, recipe, regions, donor=regions, seed=3, pair=number)
        np.testing.assert_array_equal(alone.image, made[number].image)
        assert alone.provenance == made[number].provenance


MIXES = {
    "mask.kinds": st.sampled_from(["proposal", "other-photo", "half-plane", "ellipse"]),
    "blur.defocus_kinds": st.sampled_from(["gaussian", "disk", "polygon"]),
    "blur.motion_kinds": st.sampled_from(["linear-motion", "nonlinear-motion", "camera-shake", "rotation", "zoom"]),
}
SHARES = {name: st.sampled_from([0.0, 0.5, 1.0]) for name in ("mask.p_second", "mask.p_invert", "blur.p_tilt")}
OTHERS = {
    "mask.p_all_sharp": st.sampled_from([0.0, 0.3]),
    "mask.pairs_per_mask": st.sampled_from([1, 3]),
    "blur.p_motion": st.sampled_from([0.0, 1.0]),
    "fill.method": st.sampled_from(["nearest", "telea", "navier-stokes", "none"]),
    "camera.linear_light": st.booleans(),
    "camera.highlight_gain_range": st.sampled_from([[1.0, 1.0], [2.0, 9.0]]),
    "camera.noise": st.sampled_from([0.0, 1.0]),
    "camera.soft_border": st.booleans(),
    "camera.p_jpeg": st.sampled_from([0.0, 0.5]),
    "targets.amount": st.booleans(),
}


@settings(max_examples=40, deadline=None)
@given(
    mixes=st.fixed_dictionaries(MIXES),
    values=st.fixed_dictionaries(SHARES | OTHERS),
    dtype=st.sampled_from([np.uint8, np.uint16, np.float32]),
    number=st.integers(0, 50),
)
def test_a_pair_is_what_its_row_of_provenance_says(photo, regions, mixes, values, dtype, number):
    shown = photo.astype(dtype) if dtype != np.float32 else (photo / 255).astype(np.float32)
    changes = {"geometry.size": "64", **{name: {kind: 1.0} for name, kind in mixes.items()}, **values}
    recipe = load_recipe("standard").with_values(changes)
    offer = Offer({"proposal": regions}, lambda: regions)
    pair = Studio(shown, recipe, regions).make(1, number, offer.donor)
    numbers = Numbers.from_row(pair.provenance)
    view = View(offer, shown.shape[:2], numbers.layout.crop)
    again = render(make_scene(shown, view, numbers.layout), numbers, recipe)
    np.testing.assert_array_equal(again.image, pair.image)
    np.testing.assert_array_equal(again.mask, pair.mask)
    assert again.provenance == pair.provenance
    assert again.targets.keys() == pair.targets.keys()
    for name, target in pair.targets.items():
        np.testing.assert_array_equal(again.targets[name], target)


# Effects, one by one --------------------------------------------------------------------------------------------------


def pairs_with(photo, regions, changes, count=20):
    recipe = load_recipe("standard").with_values({"geometry.size": "160", **changes})
    studio = Studio(photo, recipe, regions)
    return [studio.make(1, number, lambda: regions) for number in range(count)]


def test_all_sharp_and_all_blurred_come_in_their_shares(photo, regions):
    made = pairs_with(photo, regions, {"mask.p_all_sharp": 0.3, "mask.p_all_blurred": 0.3}, 60)
    kinds = [pair.provenance["mask_kind"] for pair in made]
    assert 8 <= kinds.count("all-sharp") <= 28
    assert 8 <= kinds.count("all-blurred") <= 28
    for pair, kind in zip(made, kinds, strict=True):
        share = {"all-sharp": 0, "all-blurred": 1}.get(kind)
        assert share is None or (pair.mask == share).all()
        if kind == "all-sharp":
            np.testing.assert_array_equal(pair.image, crop_of(photo, pair.provenance))
            assert pair.provenance["blur_kind"] == "none"


def test_a_second_region_is_blurred_the_other_way_and_some_stays_sharp(photo, regions):
    made = pairs_with(photo, regions, {"mask.p_second": 1.0, "mask.p_invert": 0.0, "targets.type": True})
    seconds = [pair for pair in made if pair.provenance["second_mask_kind"] != "none"]
    assert len(seconds) > 10
    for pair in seconds:
        types = {blur_from(pair.provenance).type, blur_from(pair.provenance, "second_").type}
        assert types == {1, 2}
        assert set(np.unique(pair.targets["type"])) == {0, 1, 2}
        np.testing.assert_array_equal(pair.targets["type"] > 0, pair.mask)
        np.testing.assert_array_equal(pair.image[~pair.mask], crop_of(photo, pair.provenance)[~pair.mask])
        assert pair.provenance["second_share"] == pytest.approx(
            (pair.targets["type"] == blur_from(pair.provenance, "second_").type).mean()
        )


def test_near_is_what_lies_in_front_and_is_blurred(photo, regions):
    made = pairs_with(photo, regions, {"camera.soft_border": True, "mask.p_invert": 0.5})
    assert {pair.provenance["near"] for pair in made} == {True, False}
    for pair in made:
        assert pair.provenance["near"] is not pair.provenance["inverted"]
        changed = (pair.image != crop_of(photo, pair.provenance)).any(axis=2) & ~pair.mask
        assert changed.any() == pair.provenance["near"]  # only what is near spreads over its outline


def test_the_noise_of_flat_areas_is_put_back():
    rng = np.random.default_rng(0)
    card = np.full((300, 300, 3), 120.0) + rng.normal(0, 4, (300, 300, 3))
    labels = np.zeros((300, 300), np.int32)
    labels[:, 120:] = 1
    changes = {"geometry.size": "native", "geometry.crop_scale_range": [1.0, 1.0], "mask.p_invert": 0.0}
    for strength, low, high in ((0.0, 0.0, 0.3), (1.0, 0.93, 1.07)):
        recipe = load_recipe("standard").with_values({**changes, "camera.noise": strength})
        pair = synthesize(np.rint(card).astype(np.uint8), recipe, largest_object(labels))
        ratio = pair.image[20:-20, 160:-20].std() / pair.image[20:-20, :100].std()
        assert low <= ratio <= high
    assert pair.provenance["noise_sigma"] == pytest.approx(4, rel=0.1)
    assert pair.provenance["noise_added"] == pair.provenance["noise_sigma"]


def test_jpeg_history_is_recorded_and_touches_the_sharp_side_too(photo, regions):
    made = pairs_with(photo, regions, {"camera.p_jpeg": 0.5, "camera.jpeg_quality_range": [30.0, 40.0]}, 40)
    qualities = [pair.provenance["jpeg_quality"] for pair in made]
    assert 8 <= qualities.count(0) <= 32
    assert all(quality == 0 or 30 <= quality <= 40 for quality in qualities)
    assert {pair.provenance["jpeg_420"] for pair in made if pair.provenance["jpeg_quality"]} == {True, False}
    for pair, quality in zip(made, qualities, strict=True):
        same = (pair.image[~pair.mask] == crop_of(photo, pair.provenance)[~pair.mask]).all()
        assert same == (quality == 0)


def test_soft_scenes_are_redrawn_and_sharpness_is_recorded(photo, regions):
    made = pairs_with(photo, regions, {"mask.least_sharpness": 0.35})
    assert sum(pair.rejected["soft"] for pair in made) > 0
    for pair in made:
        assert pair.provenance["sharpness"] >= 0.35
        assert pair.provenance["sharpness"] == sharpness(crop_of(photo, pair.provenance), ~pair.mask)
    with pytest.raises(PhotoError, match="soft"):
        pairs_with(photo, regions, {"mask.least_sharpness": 0.99}, 1)


def test_where_a_turn_or_zoom_stands_still_the_mask_says_sharp(photo, regions):
    changes = {
        "blur.p_motion": 1.0,
        "blur.motion_kinds": {"zoom": 1.0},
        "mask.p_all_blurred": 1.0,
        "targets.amount": True,
    }
    for pair in pairs_with(photo, regions, changes, 5):
        assert 0.5 < pair.mask.mean() < 1
        assert pair.mask[0].all()
        assert pair.targets["amount"][pair.mask].min() >= 0.299
        assert not pair.targets["amount"][~pair.mask].any()


def test_the_mask_as_a_picture_has_three_values(photo, regions):
    pair = pairs_with(photo, regions, {"targets.unknown": True, "targets.least_texture": 300.0}, 1)[0]
    assert set(np.unique(pair.mask_picture)) == {0, 128, 255}
    np.testing.assert_array_equal(pair.mask_picture == 128, pair.targets["unknown"])


# What went wrong once -------------------------------------------------------------------------------------------------

HALVES = load_recipe("standard").with_values(
    {
        "geometry.size": "native",
        "geometry.crop_scale_range": [1.0, 1.0],
        "mask.kinds": {"half-plane": 1.0},
        "blur.defocus_kinds": {"disk": 1.0},
    }
)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("soft", [False, True])
def test_black_beside_raised_highlights_stays_black(dtype, linear, soft):
    photo = np.zeros((200, 240, 3), dtype)
    photo[:, :120] = np.iinfo(dtype).max
    changes = {"camera.linear_light": linear, "camera.soft_border": soft, "camera.highlight_gain_range": [100.0, 100.0]}
    for number in range(4):
        pair = synthesize(photo, HALVES.with_values(changes), pair=number)
        assert pair.image[:, 190:].max() <= np.iinfo(dtype).max * 0.002


def test_noise_of_channels_that_are_all_alike():
    grey = np.random.default_rng(0).normal(32768, 8000, (200, 200, 1)).clip(2000, 60000).astype(np.uint16)
    recipe = HALVES.with_values({"camera.noise": 1.0})
    for number in range(4):
        assert synthesize(grey.repeat(3, axis=2), recipe, pair=number).image.dtype == np.uint16


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e5])
def test_float_photos_come_out_alike_at_any_scale(photo, scale):
    light = (photo / 255).astype(np.float32)
    recipe = HALVES.with_values({"camera.noise": 1.0})
    one, other = (synthesize(light * np.float32(factor), recipe, pair=2).image for factor in (1, scale))
    assert np.abs(other / scale - one).max() < 1e-4


@pytest.mark.parametrize(
    ("value", "dtype"), [(65535, np.uint16), (30001, np.uint16), (1.0, np.float32), (77, np.uint8)]
)
def test_a_constant_stays_constant_under_a_near_layer(value, dtype):
    photo = np.full((120, 150, 3), value, dtype)
    for number in range(8):
        pair = synthesize(photo, HALVES.with_values({"camera.soft_border": True}), pair=number)
        assert np.abs(pair.image.astype(float) - value).max() <= (1e-5 if dtype == np.float32 else 0)


def test_provenance_tells_what_was_done_to_light_and_not_what_was_asked(photo):
    recipe = HALVES.with_values({"camera.linear_light": True, "camera.highlight_gain_range": [4.0, 8.0]})
    for shown, done in ((photo, True), ((photo / 255).astype(np.float32), False)):
        row = synthesize(shown, recipe).provenance
        assert row["linear_light"] is done
        assert (row["highlight_gain"] > 1) is done


def test_light_beyond_all_bounds_is_refused():
    with pytest.raises(PhotoError, match="values beyond 1e\\+09"):
        synthesize(np.full((40, 40), 1e10, np.float32), HALVES)
