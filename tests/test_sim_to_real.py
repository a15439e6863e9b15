"""The benchmark that chooses recipes: its queue, its scores, its tables; and frames that really move."""

import shutil
import subprocess
import sys
from argparse import Namespace
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from scipy.io import savemat

from blurgen.errors import BlurgenError

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import moving_frames
import sim_to_real


def test_a_trial_changes_the_recipe_the_training_and_how_many_pairs():
    recipe, count, training = sim_to_real.parse_trial(
        "standard mask.kinds={half-plane=1,ellipse=2} geometry.size=240x240 batch.steps=7 model=unet-s pairs=30"
    )
    assert recipe.mask.kinds == {"half-plane": 1, "ellipse": 2}
    assert recipe.geometry.size == "240x240"
    assert (count, training.batch.steps, training.model) == (30, 7, "unet-s")
    assert sim_to_real.parse_trial("standard")[1] == sim_to_real.PAIRS


@pytest.mark.parametrize(
    "trial", ["standard mask.kind=1", "standrad", "standard batch.step=3", "standard camera.noise=x", "real pairs=x"]
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
    facts = {"trial": trial, "seed": seed, "identity": "", "seconds": 1} | dict.fromkeys(sim_to_real.SCORES, 0.5)
    return facts | {f"{size}/{scene}": value + offset for size in sim_to_real.SIZES for scene, offset in SCENES.items()}


SCENES = {"s1": 0.0, "s2": 0.1, "s3": -0.1}


@pytest.fixture
def results(tmp_path, monkeypatch):
    monkeypatch.setattr(sim_to_real, "RESULTS", tmp_path / "results.csv")
    return tmp_path / "results.csv"


def test_rows_are_kept_under_all_columns_that_there_ever_were(results):
    sim_to_real.append(row("standard a.b=[1,2]", 0, 0.8) | {"former": 1})
    sim_to_real.append(row("real", 1, 0.7) | {"later": 2})
    one, other = sim_to_real.read_rows()
    assert (one["trial"], one["seed"], one["former"], one["later"]) == ("standard a.b=[1,2]", "0", "1", "")
    assert (other["trial"], other["seed"], other["former"], other["later"]) == ("real", "1", "", "2")
    np.testing.assert_allclose(sim_to_real.scenes(one, "320"), [0.8, 0.9, 0.7])


def test_the_table_gives_means_over_seeds_and_paired_differences(results):
    for seed, value in ((0, 0.7), (1, 0.8)):
        sim_to_real.append(row("one", seed, value))
    sim_to_real.append(row("other", 0, 0.7))
    lines = sim_to_real.table(Namespace(trials=["one"], against="other")).splitlines()
    assert len(lines) == 3
    assert "| `one` | 2 |" in lines[2]
    assert "0.7500 ± 0.0707" in lines[2]
    assert lines[2].count("+5.00 [5.00, 5.00]") == len(sim_to_real.SIZES)  # every scene by the same


def test_rows_of_a_recipe_that_was_edited_since_are_not_in_the_table(results):
    kept = sim_to_real.identity("real")
    sim_to_real.append(row("real", 0, 0.7) | {"identity": kept})
    sim_to_real.append(row("real", 0, 0.9) | {"identity": "of another"})
    line = sim_to_real.table(Namespace(trials=[], against=None)).splitlines()[2]
    assert "| `real` | 1 |" in line
    assert "0.7000" in line


def test_what_a_change_is_worth_is_found_again(results):
    worth = {"a=1": 0.02, "b=1": -0.03, "b=2": 0.01}
    for number in range(24):
        changes = [*(["a=1"] * (number % 2)), f"b={number // 2 % 3}", "c=5"]
        sim_to_real.append(
            row(" ".join(["standard", *changes]), number, 0.6 + sum(worth.get(one, 0) for one in changes))
        )
    lines = sim_to_real.effects().splitlines()
    found = {line.split("`")[1]: float(line.split("|")[3].split("±")[0]) for line in lines if line.startswith("| `")}
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
    left = skimage.data.stereo_motorcycle()[0]
    detail = energy(left)
    for image, mask in moving_frames.stereo_pairs():
        kept = energy(image) / np.maximum(detail, 1)
        textured = detail > 500
        assert np.median(kept[(mask == 0) & textured]) > 2 * np.median(kept[(mask == 255) & textured])
        assert {0, 128, 255} == set(np.unique(mask))


def energy(image):
    squares = cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F) ** 2
    return cv2.blur(squares, (7, 7))


# The queue ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def data(tmp_path):
    """BSDS500, VOC and real photos, two or three each of 96 px."""
    root = tmp_path / "data"
    names = ("bsds500/images/train", "bsds500/images/val", "bsds500/groundTruth/val", "realblur_dev/image")
    voc = [f"VOCdevkit/VOC2007/{name}" for name in ("JPEGImages", "SegmentationObject")]
    for name in (*names, *voc, "realblur_dev/mask_dense"):
        (root / name).mkdir(parents=True)
    photo = skimage.data.astronaut()[:96, 150:246, ::-1]
    halves = np.repeat(np.uint8([[0, 255]]), 48, axis=1).repeat(96, axis=0)
    for name in ("a", "b"):
        cv2.imwrite(str(root / names[0] / f"{name}.jpg"), photo)
        cv2.imwrite(str(root / names[1] / f"{name}.jpg"), photo)
        cv2.imwrite(str(root / voc[0] / f"voc{name}.jpg"), photo)
        segments = {"Segmentation": (halves // 255 + 1).astype(np.uint16)}
        savemat(root / names[2] / f"{name}.mat", {"groundTruth": np.array([[segments]], object)})
    for name in ("s1_0", "s1_1", "s2_0"):
        cv2.imwrite(str(root / names[3] / f"{name}.png"), photo)
        cv2.imwrite(str(root / "realblur_dev/mask_dense" / f"{name}.png"), halves)
    return root


def test_what_is_done_is_not_done_again_and_a_failure_is_told(data, tmp_path):
    """In a process of its own, with a copy of the benchmark, since it writes beside itself."""
    folder = tmp_path / "benchmarks"
    folder.mkdir()
    (folder / "results").mkdir()
    for module in (sim_to_real, moving_frames):
        shutil.copy(module.__file__, folder)
    command = [sys.executable, folder / "sim_to_real.py", "--data", data, "--work", tmp_path / "work", "--jobs", "1"]
    done = subprocess.run([*command, "constant"], capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == 1
    text = (folder / "results" / "sim_to_real.csv").read_text()
    assert [line.split(",")[:2] for line in text.splitlines()[1:]] == [["constant", "0"]]
    assert ",0.5," in text  # a constant map ranks nothing
    (data / "realblur_dev/mask_dense/s1_0.png").unlink()
    again = subprocess.run([*command, "constant", "gradient"], capture_output=True, text=True)
    assert again.returncode == 1
    assert again.stdout == ""  # the constant one was there
    assert again.stderr.startswith("gradient, seed 0: SourceError")
    assert (folder / "results" / "sim_to_real.csv").read_text() == text


@pytest.mark.parametrize("arguments", [(), ("--data", "."), ("--data", ".", "--work", ".", "standrad")])
def test_slips_end_in_a_line(arguments, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["sim_to_real.py", *arguments])
    with pytest.raises(SystemExit, match="2"):
        sim_to_real.main()
    assert "Traceback" not in capsys.readouterr().err
