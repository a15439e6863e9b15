"""The benchmark that chooses recipes: its queue, its scores, its tables; and frames that really move."""

import sys
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest

from blurgen.errors import BlurgenError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import moving_frames
import sim_to_real


def test_a_trial_changes_the_recipe_and_the_training():
    recipe, training = sim_to_real.parse_trial(
        "standard mask.kinds={half-plane=1,ellipse=2} geometry.size=240x240 batch.steps=7 model=unet-s"
    )
    assert recipe.mask.kinds == {"half-plane": 1, "ellipse": 2}
    assert recipe.geometry.size == "240x240"
    assert (training.batch.steps, training.model) == (7, "unet-s")


@pytest.mark.parametrize(
    "trial", ["standard mask.kind=1", "standrad", "standard batch.step=3", "standard camera.noise=x"]
)
def test_a_slip_of_the_pen_is_refused(trial):
    with pytest.raises(BlurgenError):
        sim_to_real.parse_trial(trial)


@pytest.mark.parametrize(("shift", "wanted"), [(0, 1.0), (3, 1.0), (4, 0.0)])
def test_a_border_counts_within_three_pixels(shift, wanted):
    mask = np.zeros((60, 80), bool)
    mask[:, 40:] = True
    found = np.roll(mask, shift, axis=1).astype(np.float32)
    found[:, :20] = 0  # what was rolled in at the other side
    assert sim_to_real.border_f([found], [mask]) == pytest.approx(wanted, abs=1e-6)


def row(trial, seed, value):
    facts = dict.fromkeys(sim_to_real.FACTS, 0) | {"trial": trial, "seed": seed}
    return facts | {f"{size}/{scene}": value + offset for size in sim_to_real.SIZES for scene, offset in SCENES.items()}


SCENES = {"s1": 0.0, "s2": 0.1, "s3": -0.1}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(sim_to_real, "RESULTS", tmp_path / "results.csv")
    return tmp_path / "results.csv"


def test_rows_are_kept_and_one_that_was_cut_short_is_not(results):
    for seed in (0, 1):
        sim_to_real.append(row("standard a.b=[1,2]", seed, 0.8))
    text = results.read_text()
    results.write_text(text[: len(text) - 30])
    [kept] = sim_to_real.read_rows()
    assert (kept["trial"], kept["seed"]) == ("standard a.b=[1,2]", "0")
    np.testing.assert_allclose(sim_to_real.scenes(kept, "320"), [0.8, 0.9, 0.7])


def test_the_table_gives_means_over_seeds_and_paired_differences(results):
    for seed, value in ((0, 0.7), (1, 0.8)):
        sim_to_real.append(row("one", seed, value))
    sim_to_real.append(row("other", 0, 0.7))
    lines = sim_to_real.table(Namespace(trials=["one"], against="other")).splitlines()
    assert len(lines) == 3
    assert "| `one` | 2 |" in lines[2]
    assert "0.7500" in lines[2]
    assert lines[2].count("+5.00 [5.00, 5.00]") == len(sim_to_real.SIZES)  # every scene by the same


def test_what_a_change_is_worth_is_found_again(results):
    worth = {"a=1": 0.02, "b=1": -0.03, "b=2": 0.01}
    for number in range(24):
        changes = [*(["a=1"] * (number % 2)), f"b={number // 2 % 3}", "c=5"]
        sim_to_real.append(
            row(" ".join(["standard", *changes]), number, 0.6 + sum(worth.get(one, 0) for one in changes))
        )
    lines = sim_to_real.effects().splitlines()
    found = {line.split("`")[1]: float(line.split("|")[3].split("+-")[0]) for line in lines if line.startswith("| `")}
    # b=0, b=1 and b=2 come equally often: the last is what others are measured against
    assert found == pytest.approx({"a=1": 2.0, "b=0": -1.0, "b=1": -4.0}, abs=0.011)


def test_every_code_of_srgb_survives_light():
    codes = np.arange(256, dtype=np.uint8).reshape(1, 256, 1).repeat(3, axis=2)
    np.testing.assert_array_equal(moving_frames.to_photo(moving_frames.to_light(codes)), codes)


def test_what_does_not_move_stays_as_it_is():
    photo = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    thing = np.zeros((40, 50), bool)
    thing[10:30, 15:40] = True
    still = np.zeros((moving_frames.FRAMES, 2))
    image, mask = moving_frames.moved(photo, thing, still, follows=False)
    np.testing.assert_array_equal(image[mask == 0], photo[mask == 0])
    np.testing.assert_allclose(image[14:26, 19:36], photo[14:26, 19:36], atol=1)
    assert (mask[14:26, 19:36] == 255).all()
    assert (mask[:6] == 0).all()


def test_a_moving_edge_becomes_a_ramp_of_light_as_long_as_its_way():
    photo = np.zeros((40, 120, 3), np.uint8)
    photo[:, 60:] = 255
    path = np.stack([np.linspace(-8, 8, moving_frames.FRAMES), np.zeros(moving_frames.FRAMES)], axis=1)
    thing = np.ones((40, 120), bool)
    image, mask = moving_frames.moved(photo, thing, path, follows=False)
    light = moving_frames.to_light(image)[20, :, 0]
    np.testing.assert_allclose(light[[40, 56, 59, 63, 80]], [0, 0.25, 0.47, 0.72, 1], atol=0.04)
    assert (mask[:, 20:100] == 255).all()


def test_a_path_is_as_long_as_drawn_and_about_its_middle():
    for seed in range(20):
        path = moving_frames.draw_path(np.random.default_rng(seed))
        length = np.hypot(*np.diff(path, axis=0).T).sum()
        low, high = moving_frames.LENGTH_PX
        assert low * 0.97 <= length <= high
        np.testing.assert_allclose(path.mean(axis=0), 0, atol=1e-9)


def test_a_stereo_pair_is_sharp_at_the_distance_that_is_followed():
    for image, mask in moving_frames.stereo_pairs():
        assert image.shape[:2] == mask.shape
        energy = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F) ** 2
        assert {0, 128, 255} == set(np.unique(mask))
        assert energy[mask == 0].mean() > 0
