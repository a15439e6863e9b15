"""What batches hold: split by photo, half real, the same from every cache and for every process. Needs torch."""

import shutil

import numpy as np
import pytest
from helpers_shards import RECIPE, make, photo_crop, write_photos
from PIL import Image

torch = pytest.importorskip("torch")

from blurgen.errors import ArgumentError, PhotoError, SourceError, TrainingError  # noqa: E402
from blurgen.sources.labelled import open_labelled  # noqa: E402
from blurgen.training.augment import Numbers, apply, light_table  # noqa: E402
from blurgen.training.batches import REAL, SYNTHETIC, Schedule  # noqa: E402
from blurgen.training.device_cache import DeviceMaker  # noqa: E402
from blurgen.training.examples import Pairs, check_real, gather  # noqa: E402
from blurgen.training.loader import Maker, RamCache, batches, bytes_of  # noqa: E402
from blurgen.training.params import PRESETS  # noqa: E402

PARAMS = PRESETS["default"].with_values({"augment.size": "32x40", "augment.p_turn": 0.7, "batch.size": 4})
SPLIT = {"real_fraction": 1.0, "val_share": 0.25, "max_val": 100, "seed": 0}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    root = tmp_path_factory.mktemp("loader")
    recipe = RECIPE.with_values({"targets.unknown": True})
    make(write_photos(root / "photos", 4), root / "shards", root / "cache", n=24, recipe=recipe)
    return root / "shards"


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """Eight photos in CUHK's layout, each with its left half blurred."""
    root = tmp_path_factory.mktemp("real")
    for name in ("image", "gt"):
        (root / name).mkdir()
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = 255
    for index in range(8):
        Image.fromarray(photo_crop(index)).save(root / f"image/{index}.jpg")
        Image.fromarray(mask).save(root / f"gt/{index}.png")
    return root


def test_a_pair_is_its_image_and_its_mask_picture(shards):
    pairs = Pairs([shards, shards])
    for place, pair in enumerate(pairs.sets[0]):
        for index in (place, place + 24):
            example = pairs[index]
            assert np.array_equal(example.image, pair.image)
            assert np.array_equal(example.mask, pair.mask_picture)
    assert len(pairs) == 48
    assert (pairs.channels, pairs.dtype) == (3, "uint8")


def test_no_photo_is_on_both_sides(shards):
    pairs = Pairs([shards])
    examples = gather(pairs, None, **SPLIT)
    sides = [{pairs.photos[index] for index in side[SYNTHETIC]} for side in (examples.train, examples.held_out)]
    assert [len(side) for side in sides] == [3, 1]
    assert sides[0].isdisjoint(sides[1])
    assert len(examples.train[SYNTHETIC]) + len(examples.held_out[SYNTHETIC]) == 24
    few = gather(pairs, None, **(SPLIT | {"max_val": 2}))
    assert len(few.held_out[SYNTHETIC]) == 2
    assert np.array_equal(few.train[SYNTHETIC], examples.train[SYNTHETIC])


def test_half_real_batches(shards, real):
    examples = gather(Pairs([shards]), open_labelled(real, "white"), **SPLIT)
    schedule = Schedule(len(examples.train[SYNTHETIC]), len(examples.train[REAL]), 4, 0)
    batch = Maker(examples, schedule, PARAMS, 0, 1)(0)
    assert batch.images.shape == (4, 32, 40, 3)
    assert [pick.kind for pick in schedule.picks(0)] == [SYNTHETIC, SYNTHETIC, REAL, REAL]
    image, mask = examples.read(REAL, 0)
    assert image.shape == (64, 64, 3)
    assert (mask[:, :32] == 255).all()
    assert (mask[:, 32:] == 0).all()


def test_a_fraction_of_the_real_photos_is_part_of_a_larger_one(real):
    train, held_out = [], []
    for fraction in (0.05, 0.5, 1.0):
        examples = gather(None, open_labelled(real, "white"), **(SPLIT | {"real_fraction": fraction}))
        train.append({*examples.train[REAL].tolist()})
        held_out.append({*examples.held_out[REAL].tolist()})
    assert [len(side) for side in train] == [1, 3, 6]
    assert train[0] < train[1] < train[2]
    assert held_out[0] == held_out[1] == held_out[2]  # so that runs can be compared
    assert train[2].isdisjoint(held_out[0])


def test_a_photo_that_is_held_out_is_on_no_other_side(shards, tmp_path):
    """Photos of the pairs that have human masks, too, one of them under two names."""
    for name in ("image", "gt"):
        (tmp_path / "real" / name).mkdir(parents=True)
    mask = np.zeros((64, 64), np.uint8)
    mask[:, :32] = 255
    for index, place in enumerate((0, 1, 2, 3, 0)):
        shutil.copy(shards.parent / f"photos/{place}.png", tmp_path / f"real/image/{index}.png")
        Image.fromarray(mask).save(tmp_path / f"real/gt/{index}.png")
    pairs, real = Pairs([shards]), open_labelled(tmp_path / "real", "white")
    examples = gather(pairs, real, **SPLIT)
    photos = {SYNTHETIC: pairs.photos, REAL: [photo.encode() for photo, _ in real.sha256s]}
    used = {photos[kind][number] for kind in photos for number in examples.train[kind]}
    judged = {photos[kind][number] for kind in photos for number in examples.held_out[kind]}
    assert used.isdisjoint(judged)
    assert judged


def test_real_masks_of_one_class_and_damaged_photos_are_found_at_once(real, tmp_path):
    shutil.copytree(real, tmp_path / "real")
    for path in (tmp_path / "real/gt").iterdir():
        Image.new("L", (64, 64), 0).save(path)
    with pytest.raises(TrainingError, match="every mask is all sharp"):
        check_real(gather(None, open_labelled(tmp_path / "real", "white"), **SPLIT))
    (tmp_path / "real/image/3.jpg").write_bytes((real / "image/3.jpg").read_bytes()[:300])
    with pytest.raises(PhotoError, match=r"3\.jpg"):
        check_real(gather(None, open_labelled(tmp_path / "real", "white"), **SPLIT))
    check_real(gather(None, open_labelled(real, "white"), **SPLIT))


def test_nothing_and_photos_of_another_kind_are_refused(shards, real, tmp_path):
    with pytest.raises(ArgumentError, match="nothing to train on"):
        gather(None, None, **SPLIT)
    (tmp_path / "image").mkdir()
    (tmp_path / "gt").mkdir()
    Image.fromarray(photo_crop(0)).save(tmp_path / "image/a.png")
    with pytest.raises(SourceError):
        open_labelled(tmp_path, "white")


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_batches_come_in_order(shards, workers):
    examples = gather(Pairs([shards]), None, **SPLIT)
    make = Maker(examples, Schedule(len(examples.train[SYNTHETIC]), 0, 4, 0), PARAMS, 0, 1)
    expected = [make(step) for step in range(12)]
    for one, two in zip(expected, batches(make, 0, 12, workers), strict=True):
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.masks, two.masks)


def test_an_error_of_a_thread_reaches_the_caller(shards):
    def fail(step):
        raise TrainingError(f"step {step}")

    with pytest.raises(TrainingError, match="step 0"):
        next(batches(fail, 0, 5, 2))


def test_processes_share_a_batch(shards):
    examples = gather(Pairs([shards]), None, **SPLIT)
    schedule = Schedule(len(examples.train[SYNTHETIC]), 0, 5, 0)
    whole = Maker(examples, schedule, PARAMS, 0, 1)(0)
    parts = [Maker(examples, schedule, PARAMS, rank, 2)(0) for rank in range(2)]
    assert torch.equal(whole.images[0::2], parts[0].images)
    assert torch.equal(whole.images[1::2], parts[1].images)


@pytest.mark.parametrize("size", ["32x40", "40x40", "48x48"])
def test_windows_cut_on_the_device_are_the_same_to_the_bit(shards, size):
    examples = gather(Pairs([shards]), None, **SPLIT)
    params = PARAMS.with_values({"augment.size": size})
    make = Maker(examples, Schedule(len(examples.train[SYNTHETIC]), 0, 5, 3), params, 0, 1)
    on_device = DeviceMaker(make, examples, torch.device("cpu"))
    for step in range(8):
        one, two = make(step), on_device(step)
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.masks, two.masks)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"augment.size": "64x64"}, "larger than the pairs"), ({"augment.p_jpeg": 0.5}, "--cache ram")],
)
def test_what_the_device_can_not_do_is_said(shards, changes, message):
    examples = gather(Pairs([shards]), None, **SPLIT)
    make = Maker(examples, Schedule(10, 0, 4, 0), PARAMS.with_values(changes), 0, 1)
    with pytest.raises(ArgumentError, match=message):
        DeviceMaker(make, examples, torch.device("cpu"))


def test_the_memory_of_a_cache_is_known_before(shards, monkeypatch):
    examples = gather(Pairs([shards]), None, **SPLIT)
    assert bytes_of(examples) == len(examples.train[SYNTHETIC]) * 48 * 48 * 4
    monkeypatch.setattr("blurgen.training.loader._free_memory", lambda: 1000)
    with pytest.raises(TrainingError, match="--cache none"):
        RamCache(examples)


def test_pixels_that_nobody_can_tell_stay_unknown(shards):
    examples = gather(Pairs([shards]), None, **SPLIT)
    stored = [examples.pairs.sets[0][int(index)].targets["unknown"].any() for index in examples.train[SYNTHETIC]]
    seen = [(examples.read(SYNTHETIC, index).mask == 128).any() for index in range(len(stored))]
    assert seen == stored


def test_shuffled_masks_are_those_of_others(shards):
    examples = gather(Pairs([shards]), None, shuffle_masks=True, **SPLIT)
    plain = gather(Pairs([shards]), None, **SPLIT)
    count = len(plain.train[SYNTHETIC])
    masks = [plain.read(SYNTHETIC, index).mask.tobytes() for index in range(count)]
    shuffled = [examples.read(SYNTHETIC, index).mask.tobytes() for index in range(count)]
    assert sorted(masks) == sorted(shuffled)
    assert sum(one == two for one, two in zip(masks, shuffled, strict=True)) == 0
    assert all(
        np.array_equal(plain.read(SYNTHETIC, index).image, examples.read(SYNTHETIC, index).image)
        for index in range(count)
    )


@pytest.mark.parametrize(("dtype", "channels"), [(np.uint8, 1), (np.uint8, 3), (np.uint16, 2), (np.uint16, 3)])
def test_a_table_of_values_does_what_brightness_and_contrast_do(dtype, channels):
    rng = np.random.default_rng(0)
    image = rng.integers(0, np.iinfo(dtype).max + 1, (40, 36, channels), dtype)
    for brightness, contrast in rng.uniform(0.4, 1.6, (20, 2)):
        numbers = Numbers((40, 36), (0, 0, 40, 36), brightness=brightness, contrast=contrast)
        table = light_table(numbers, image.sum((0, 1), dtype=np.int64).tolist(), 40 * 36, image.dtype)
        wanted, _ = apply(numbers, image, np.zeros((40, 36), np.uint8))
        np.testing.assert_array_equal(table[image], wanted)
