"""Data sets of every kind: shared masks, regions of other photos, the camera, targets, any depth and channels."""

import json
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
import tifffile
from helpers_shards import RECIPE, faults_of, file_bytes, make, photo_crop, write_photos
from PIL import Image
from test_generate import OneSquare

from blurgen import open_dataset
from blurgen.dataset import info, read_manifest
from blurgen.errors import RecipeError, SourceError
from blurgen.generate import preview_pairs
from blurgen.plan import plan
from blurgen.proposals import object_proposals
from blurgen.recipe import load_recipe
from blurgen.shards.reader import Shard
from blurgen.sources import Photo, Source, decode, open_source
from blurgen.survey import survey
from blurgen.synthesis import synthesize

SCENE = ("photo", "top", "left", "crop_height", "crop_width", "mask_kind", "region", "inverted", "attempt")
PNG = RECIPE.with_values({"storage.codec": "png"})


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three photos of 64 x 64 px."""
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


def pairs_of(folder):
    with open_dataset(folder) as data:
        return list(data)


def assert_same(pair, other):
    """The same pair, but for what only a data set knows of it: the photo's identity and how the image is stored."""
    np.testing.assert_array_equal(pair.image, other.image)
    np.testing.assert_array_equal(pair.mask, other.mask)
    assert set(pair.targets) == set(other.targets)
    for name, target in pair.targets.items():
        assert target.dtype == other.targets[name].dtype
        np.testing.assert_array_equal(target, other.targets[name])
    both = pair.provenance.keys() & other.provenance.keys() - {"mask_photo", "score", "second_score"}
    assert {name: pair.provenance[name] for name in both} == {name: other.provenance[name] for name in both}
    for name in ("score", "second_score"):
        assert pair.provenance[name] == pytest.approx(other.provenance[name], rel=1e-6)  # stored as float32


def assert_made_alone(pairs, recipe, source, cache, seed=5):
    """Each pair is what ``synthesize`` makes of its photo and its donor, with proposals computed anew."""
    pixels = {photo.id: decode(photo.read(), recipe.photo.pixels) for photo in source.photos}
    found = {name: object_proposals(photo, recipe.proposals) for name, photo in pixels.items()}
    surveyed, _ = survey(source, recipe, cache, 1, False)
    [task] = plan(surveyed, len(pairs), len(pairs), recipe, seed, cache, cache)
    for pair, photo, donor in zip(pairs, task.photos, task.donors, strict=True):
        row, name = pair.provenance, photo.photo.id
        lent = found[donor.photo.id] if donor else None
        assert row["photo"] == name
        assert row["mask_photo"] in ("", donor and donor.photo.id)
        assert bool(row["mask_photo"]) == ("other-photo" in (row["mask_kind"], row["second_mask_kind"]))
        assert_same(pair, synthesize(pixels[name], recipe, found[name], donor=lent, seed=seed, pair=row["pair"]))


# Pairs that share a mask ----------------------------------------------------------------------------------------------

FOUR = PNG.with_values({"mask.pairs_per_mask": 4})


@pytest.fixture(scope="module")
def fours(photos, cache, tmp_path_factory):
    """10 pairs, of which the first four, the next four and the last two share a mask; 4 in a shard."""
    folder = tmp_path_factory.mktemp("fours") / "set"
    make(photos, folder, cache, n=10, pairs_per_shard=4, recipe=FOUR)
    return folder


def test_consecutive_pairs_share_photo_crop_region_and_mask_but_not_the_blur(fours):
    pairs = pairs_of(fours)
    scenes = [pairs[0:4], pairs[4:8], pairs[8:10]]
    for scene in scenes:
        assert len({tuple(pair.provenance[name] for name in SCENE) for pair in scene}) == 1
        assert len({pair.mask.tobytes() for pair in scene}) == 1
        blurs = {tuple(pair.provenance[name] for name in ("blur_kind", "sigma_px", "length_px")) for pair in scene}
        assert len(blurs) == len({pair.image.tobytes() for pair in scene}) == len(scene)
        sharp = ~scene[0].mask
        assert len({pair.image[sharp].tobytes() for pair in scene}) == 1
    assert len({scene[0].provenance["photo"] for scene in scenes}) == 3
    assert len({scene[0].mask.tobytes() for scene in scenes}) == 3
    assert not faults_of(fours)


def test_the_masks_of_a_scene_are_the_same_bytes_in_the_shard(fours):
    with Shard(fours / "shard-00000.h5") as shard:
        blobs = [shard.stored("mask", index) for index in range(4)]
    assert len(set(blobs)) == 1


def test_pairs_that_share_a_mask_are_the_same_bytes_for_two_workers(photos, cache, fours, tmp_path):
    make(photos, tmp_path / "set", cache, n=10, pairs_per_shard=4, recipe=FOUR, workers=2)
    assert file_bytes(tmp_path / "set") == file_bytes(fours)


@pytest.mark.parametrize("per_shard", [1, 3, 10])
def test_pairs_are_the_same_where_shards_cut_scenes_in_two(photos, cache, fours, tmp_path, per_shard):
    sets = tmp_path / "one", tmp_path / "two"
    for workers, folder in enumerate(sets, start=1):
        make(photos, folder, cache, n=10, pairs_per_shard=per_shard, recipe=FOUR, workers=workers)
    assert file_bytes(sets[0]) == file_bytes(sets[1])
    for pair, other in zip(pairs_of(sets[0]), pairs_of(fours), strict=True):
        assert pair.provenance == other.provenance
        assert_same(pair, other)


def test_each_pair_of_a_scene_is_what_it_is_when_made_alone(photos, cache, fours):
    assert_made_alone(pairs_of(fours), FOUR, open_source("folder", photos), cache)


def test_a_preview_shows_the_pairs_of_a_scene(photos, cache):
    pairs = preview_pairs(open_source("folder", photos), 3, FOUR, cache=cache, workers=1)
    assert len({pair.mask.tobytes() for pair in pairs}) == 1
    assert len({pair.image.tobytes() for pair in pairs}) == 3


@pytest.mark.parametrize("per_shard", [3, 4, 8])
def test_a_scene_that_its_photo_can_not_give_moves_to_one_other_photo(photos, tmp_path, per_shard):
    sides = {"a": 3, "b": 40, "c": 30, "d": 3, "e": 36}  # a and d are too small to be drawn
    some = tuple(
        Photo(name, photos / f"{i % 3}.png", objects=OneSquare(side)) for i, (name, side) in enumerate(sides.items())
    )
    recipe = FOUR.with_values({"mask.kinds": {"largest-object": 1.0}})
    summary = make(
        Source("coco", "here", some),
        tmp_path / "set",
        tmp_path / "cache",
        n=20,
        pairs_per_shard=per_shard,
        recipe=recipe,
    )
    assert summary.replaced == 8
    pairs = pairs_of(tmp_path / "set")
    assert not {pair.provenance["photo"] for pair in pairs} & {"a", "d"}
    for first in range(0, 20, 4):
        assert len({pair.provenance["photo"] for pair in pairs[first : first + 4]}) == 1
        assert len({pair.mask.tobytes() for pair in pairs[first : first + 4]}) == 1
    assert not faults_of(tmp_path / "set")


# Regions of other photos, shapes, two regions, one class --------------------------------------------------------------


def test_regions_of_other_photos_are_drawn_and_their_photo_is_named(photos, cache, tmp_path):
    recipe = PNG.with_values({"mask.kinds": {"other-photo": 1.0}})
    for workers in (1, 2):
        make(photos, tmp_path / str(workers), cache, recipe=recipe, workers=workers)
    assert file_bytes(tmp_path / "1") == file_bytes(tmp_path / "2")
    pairs = pairs_of(tmp_path / "1")
    for pair in pairs:
        assert pair.provenance["mask_kind"] == "other-photo"
        assert pair.provenance["mask_photo"] in {"0.png", "1.png", "2.png"} - {pair.provenance["photo"]}
    assert not faults_of(tmp_path / "1")
    assert_made_alone(pairs, recipe, open_source("folder", photos), cache)


def test_photos_without_regions_lend_none_but_take_those_of_others(photos, cache, tmp_path):
    folder = write_photos(tmp_path / "photos", 2)
    for name in ("flat.png", "grey.png"):
        Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(folder / name)
    recipe = PNG.with_values({"mask.kinds": {"other-photo": 1.0, "ellipse": 0.2}})
    summary = make(folder, tmp_path / "set", cache, n=24, recipe=recipe)
    assert summary.quarantined == []
    rows = [pair.provenance for pair in pairs_of(tmp_path / "set")]
    assert {row["mask_photo"] for row in rows if row["mask_kind"] == "other-photo"} == {"0.png", "1.png"}
    assert {row["photo"] for row in rows if row["mask_photo"]} == {"0.png", "1.png", "flat.png", "grey.png"}
    assert not faults_of(tmp_path / "set")


def test_one_photo_has_no_other_to_take_regions_from(tmp_path, cache):
    recipe = PNG.with_values({"mask.kinds": {"other-photo": 1.0}})
    with pytest.raises(SourceError, match="needs two photos with regions or more"):
        make(write_photos(tmp_path / "photos", 1), tmp_path / "set", cache, recipe=recipe)


def test_shapes_need_no_regions_and_constant_photos_will_do(photos, tmp_path):
    Image.fromarray(np.full((64, 64, 3), 128, np.uint8)).save(tmp_path / "constant.png")
    recipe = PNG.with_values({"mask.kinds": {"half-plane": 1.0, "ellipse": 1.0}})
    sets = tmp_path / "one", tmp_path / "two"
    for workers, folder in enumerate(sets, start=1):
        summary = make(tmp_path, folder, tmp_path / "cache", n=12, recipe=recipe, workers=workers)
        assert summary.quarantined == []
        assert not list((tmp_path / "cache").rglob("*.regions"))
    assert file_bytes(sets[0]) == file_bytes(sets[1])
    assert {pair.provenance["mask_kind"] for pair in pairs_of(sets[0])} == {"half-plane", "ellipse"}
    assert not faults_of(sets[0])
    assert read_manifest(sets[0])["photos"][0]["region_keys"] == {}


def test_photos_without_an_annotated_object_take_part_where_there_are_other_kinds(photos, tmp_path):
    some = (Photo("bare.png", photos / "0.png"), Photo("square.png", photos / "1.png", objects=OneSquare(30)))
    recipe = PNG.with_values({"mask.kinds": {"object": 1.0, "largest-object": 1.0, "ellipse": 1.0}})
    summary = make(Source("voc", "here", some), tmp_path / "set", tmp_path / "cache", n=24, recipe=recipe)
    assert summary.quarantined == []
    kinds = {"bare.png": set(), "square.png": set()}
    for pair in pairs_of(tmp_path / "set"):
        kinds[pair.provenance["photo"]].add(pair.provenance["mask_kind"])
    assert kinds == {"bare.png": {"ellipse"}, "square.png": {"object", "largest-object", "ellipse"}}


def test_two_regions_are_blurred_in_two_ways(photos, cache, tmp_path):
    shapes = {"half-plane": 1.0, "ellipse": 1.0}
    recipe = PNG.with_values({"mask.kinds": shapes, "mask.p_second": 1.0, "targets.type": True})
    make(photos, tmp_path / "set", cache, n=12, recipe=recipe)
    pairs = pairs_of(tmp_path / "set")
    two = [pair for pair in pairs if pair.provenance["second_share"]]
    assert len(two) > 6
    for pair in two:
        assert {pair.provenance["blur_kind"], pair.provenance["second_blur_kind"]} == {"gaussian", "nonlinear-motion"}
        second = 1 if pair.provenance["second_blur_kind"] == "gaussian" else 2
        assert (pair.targets["type"] == second).mean() == pair.provenance["second_share"]
        np.testing.assert_array_equal(pair.targets["type"] > 0, pair.mask)
    assert not faults_of(tmp_path / "set")


def test_pairs_of_one_class_are_made_on_purpose(photos, cache, tmp_path):
    recipe = PNG.with_values({"mask.p_all_sharp": 0.4, "mask.p_all_blurred": 0.4})
    sets = tmp_path / "one", tmp_path / "two"
    for workers, folder in enumerate(sets, start=1):
        make(photos, folder, cache, n=30, pairs_per_shard=8, recipe=recipe, workers=workers)
    assert file_bytes(sets[0]) == file_bytes(sets[1])
    assert not faults_of(sets[0])
    pairs = pairs_of(sets[0])
    shares = {"all-sharp": [], "all-blurred": [], "proposal": []}
    for pair in pairs:
        shares[pair.provenance["mask_kind"]].append(pair.mask.mean())
        assert (pair.provenance["blur_kind"] == "none") == (pair.provenance["mask_kind"] == "all-sharp")
    assert set(shares["all-sharp"]) == {0}
    assert set(shares["all-blurred"]) == {1}
    assert all(0 < share < 1 for share in shares["proposal"])
    assert min(map(len, shares.values())) >= 3
    assert_made_alone(pairs, recipe, open_source("folder", photos), cache)
    assert info(sets[0])["blur_kinds"]["none"] == len(shares["all-sharp"])
    assert json.loads(json.dumps(info(sets[0])))["blurred_share"]["max"] == 1


def test_the_image_of_an_all_sharp_pair_is_not_the_callers_photo():
    photo = photo_crop(0).copy()
    changes = {"geometry.size": "native", "geometry.crop_scale_range": [1.0, 1.0], "mask.kinds": {"ellipse": 1.0}}
    pair = synthesize(photo, RECIPE.with_values(changes | {"mask.p_all_sharp": 1.0}))
    np.testing.assert_array_equal(pair.image, photo)
    assert not np.shares_memory(pair.image, photo)


def test_info_lists_the_amounts_that_occur(photos, cache, tmp_path):
    recipe = PNG.with_values({"blur.defocus_kinds": {"disk": 1.0}, "blur.p_motion": 0.0})
    make(photos, tmp_path / "set", cache, n=3, recipe=recipe)
    found = info(tmp_path / "set")
    radii = [pair.provenance["radius_px"] for pair in pairs_of(tmp_path / "set")]
    assert (found["radius_px"]["min"], found["radius_px"]["max"]) == (min(radii), max(radii))
    assert not {"sigma_px", "length_px"} & set(found)


# The camera -----------------------------------------------------------------------------------------------------------


def test_the_camera_recipe_is_the_same_bytes_for_two_workers_and_its_pairs_can_be_made_alone(tmp_path):
    source = open_source("sample")
    source = replace(source, photos=source.photos[:6])
    recipe = load_recipe("camera").with_values(
        {"geometry.size": "64", "storage.codec": "png", "proposals.working_side_px": 128}
    )
    for workers in (1, 2):
        out = tmp_path / str(workers)
        make(source, out, tmp_path / "cache", n=40, pairs_per_shard=9, recipe=recipe, workers=workers)
    assert file_bytes(tmp_path / "1") == file_bytes(tmp_path / "2")
    assert not faults_of(tmp_path / "1")
    pairs = pairs_of(tmp_path / "1")
    rows = [pair.provenance for pair in pairs]
    assert len({row["mask_kind"] for row in rows}) >= 3
    assert len({row["blur_kind"] for row in rows}) >= 5
    assert {row["linear_light"] for row in rows} == {True}
    assert {row["near"] for row in rows} == {True, False}
    assert any(row["jpeg_quality"] for row in rows)
    assert_made_alone(pairs, recipe, source, tmp_path / "cache")


# Targets --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["png", "raw"])
@pytest.mark.parametrize("asked", [("amount",), ("type", "unknown"), ("unknown", "amount", "type")])
def test_the_targets_asked_for_are_stored(photos, cache, tmp_path, codec, asked):
    recipe = PNG.with_values({"storage.codec": codec, **{f"targets.{name}": True for name in asked}})
    sets = tmp_path / "one", tmp_path / "two"
    for workers, folder in enumerate(sets, start=1):
        make(photos, folder, cache, recipe=recipe, workers=workers)
    assert file_bytes(sets[0]) == file_bytes(sets[1])
    assert not faults_of(sets[0])
    pairs = pairs_of(sets[0])
    assert {frozenset(pair.targets) for pair in pairs} == {frozenset(asked)}
    assert_made_alone(pairs, recipe, open_source("folder", photos), cache)


def test_no_targets_are_stored_unasked(fours):
    assert {len(pair.targets) for pair in pairs_of(fours)} == {0}


# Sharpness ------------------------------------------------------------------------------------------------------------


def test_a_photo_that_is_blurred_already_is_quarantined(photos, cache, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    sharp = photo_crop(0)
    Image.fromarray(sharp).save(folder / "sharp.png")
    Image.fromarray(cv2.GaussianBlur(sharp, (0, 0), 3)).save(folder / "soft.png")
    recipe = PNG.with_values({"mask.least_sharpness": 0.2})
    summary = make(folder, tmp_path / "set", cache, recipe=recipe)
    [soft] = summary.quarantined
    assert soft["id"] == "soft.png"
    assert re.fullmatch(r"not sharp enough: 0\.[01]\d, below mask\.least_sharpness 0\.2", soft["reason"])
    pairs = pairs_of(tmp_path / "set")
    assert {pair.provenance["photo"] for pair in pairs} == {"sharp.png"}
    assert min(pair.provenance["sharpness"] for pair in pairs) >= 0.2
    assert not faults_of(tmp_path / "set")
    assert make(folder, tmp_path / "all", cache, recipe=PNG).quarantined == []
    (folder / "sharp.png").unlink()
    with pytest.raises(SourceError, match=r"or a recipe with a lower mask\.least_sharpness$"):
        make(folder, tmp_path / "none", cache, recipe=recipe)


def test_draws_whose_sharp_side_is_soft_are_counted(cache, tmp_path):
    (tmp_path / "photos").mkdir()
    half = photo_crop(0)
    half[:, 32:] = cv2.GaussianBlur(half, (0, 0), 4)[:, 32:]
    Image.fromarray(half).save(tmp_path / "photos" / "half.png")
    recipe = PNG.with_values({"mask.least_sharpness": 0.3, "mask.kinds": {"half-plane": 1.0}, "mask.p_invert": 0.5})
    summary = make(tmp_path / "photos", tmp_path / "set", cache, n=20, recipe=recipe)
    assert summary.rejected["soft"] > 0
    pairs = pairs_of(tmp_path / "set")
    assert min(pair.provenance["sharpness"] for pair in pairs) >= 0.3
    assert sum(summary.rejected.values()) == sum(pair.provenance["attempt"] for pair in pairs)


# Photos of any depth and channels -------------------------------------------------------------------------------------

NATIVE = PNG.with_values({"photo.pixels": "native"})
KINDS = {
    "colour.png": ("uint8", 3),
    "five.npy": ("float32", 5),
    "grey16.png": ("uint16", 1),
    "grey16.tif": ("uint16", 1),
    "rgb16.tif": ("uint16", 3),
}


@pytest.fixture(scope="module")
def native_photos(tmp_path_factory):
    """A photo of each of ``KINDS``."""
    folder = tmp_path_factory.mktemp("native")
    Image.fromarray(photo_crop(0)).save(folder / "colour.png")
    deep = photo_crop(1).astype(np.uint16) * 257 - 77
    cv2.imwrite(str(folder / "grey16.png"), deep[..., 1])
    tifffile.imwrite(folder / "grey16.tif", deep[..., 0])
    tifffile.imwrite(folder / "rgb16.tif", deep)
    np.save(folder / "five.npy", np.dstack([photo_crop(2), photo_crop(3)])[..., :5].astype(np.float32) / 200)
    return folder


@pytest.mark.parametrize("codec", ["jpeg", "png"])
def test_native_photos_keep_their_depth_and_channels(native_photos, cache, tmp_path, codec):
    recipe = NATIVE.with_values({"storage.codec": codec})
    source = open_source("folder", native_photos, arrays=True)
    sets = tmp_path / "one", tmp_path / "two"
    for workers, folder in enumerate(sets, start=1):
        summary = make(source, folder, cache, n=15, pairs_per_shard=4, recipe=recipe, workers=workers)
        assert summary.quarantined == []
    assert file_bytes(sets[0]) == file_bytes(sets[1])
    assert not faults_of(sets[0])
    pairs = pairs_of(sets[0])
    assert {pair.provenance["photo"] for pair in pairs} == set(KINDS)
    for pair in pairs:
        dtype, channels = KINDS[pair.provenance["photo"]]
        assert pair.image.dtype == dtype
        assert pair.image.shape == (48, 48, channels)
        assert (pair.provenance["dtype"], pair.provenance["channels"]) == (dtype, channels)
    inventory = {photo["id"]: (photo["dtype"], photo["channels"]) for photo in read_manifest(sets[0])["photos"]}
    assert inventory == KINDS
    if codec == "png":  # a JPEG is not the image that was made
        assert_made_alone(pairs, recipe, source, cache)


def test_the_camera_takes_native_photos(native_photos, tmp_path):
    source = open_source("folder", native_photos, arrays=True)
    changes = {"geometry.size": "48", "storage.codec": "png", "photo.pixels": "native", "mask.least_sharpness": 0.0}
    recipe = load_recipe("camera").with_values(changes | {"targets.amount": True, "targets.unknown": True})
    for workers in (1, 2):
        make(source, tmp_path / str(workers), tmp_path / "cache", n=25, recipe=recipe, workers=workers)
    assert file_bytes(tmp_path / "1") == file_bytes(tmp_path / "2")
    assert not faults_of(tmp_path / "1")
    pairs = pairs_of(tmp_path / "1")
    for pair in pairs:
        assert (pair.image.dtype, pair.image.shape[2]) == KINDS[pair.provenance["photo"]]
        assert not pair.provenance["jpeg_quality"] or pair.provenance["photo"] == "colour.png"
    assert_made_alone(pairs, recipe, source, tmp_path / "cache")


def test_arrays_are_found_by_make_dataset_when_the_recipe_is_native(native_photos, cache, tmp_path):
    from blurgen import make_dataset

    options = {"workers": 1, "progress": False, "cache": cache, "root": native_photos}
    assert make_dataset("folder", 2, tmp_path / "a", recipe=NATIVE, **options).photos == 5
    assert make_dataset("folder", 2, tmp_path / "b", recipe=PNG, **options).photos == 4


def test_rgb8_and_native_regions_of_a_photo_are_kept_apart(native_photos, cache, tmp_path):
    keys = []
    for recipe in (NATIVE, PNG):
        make(native_photos, tmp_path / recipe.photo.pixels, cache, n=1, recipe=recipe)
        keys.append(
            {photo["region_keys"]["proposal"] for photo in read_manifest(tmp_path / recipe.photo.pixels)["photos"]}
        )
    assert not keys[0] & keys[1]


@pytest.mark.parametrize("workers", [1, 2])
def test_raw_shards_of_several_kinds_of_photos_are_refused_in_one_line(native_photos, cache, tmp_path, workers):
    recipe = NATIVE.with_values({"storage.codec": "raw"})
    with pytest.raises(RecipeError, match=r'"raw" holds images of one kind, .* have .*; use "png"') as caught:
        make(native_photos, tmp_path / "set", cache, n=15, recipe=recipe, workers=workers)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "set").glob("shard-*"))  # told before any work


def test_raw_shards_hold_native_photos_of_one_kind(native_photos, cache, tmp_path):
    recipe = NATIVE.with_values({"storage.codec": "raw"})
    source = Source("folder", "here", (Photo("grey16.tif", native_photos / "grey16.tif"),))
    make(source, tmp_path / "set", cache, recipe=recipe)
    assert not faults_of(tmp_path / "set")
    assert_made_alone(pairs_of(tmp_path / "set"), recipe, source, cache)
