"""`blurgen eval` against loops over pixels and scikit-learn, on trees as CUHK and DUT have them."""

import csv
import json
import math

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from blurgen.errors import ArgumentError, PhotoError, SourceError
from blurgen.evaluation.counts import LEVELS, score_image
from blurgen.evaluation.protocol import evaluate, list_maps, list_truths, read_map
from blurgen.evaluation.scaling import enlarged, smaller
from blurgen.evaluation.summary import SCORES, Table, constant_summary, summary
from blurgen_cli.main import main

SIZE = (40, 48)
KEYS = {"n", "auc", "ap", "pooled_ap", "ods", "ois", "f_blurred", "f_focused", "f_max", "mae", "mae_binarised", "iou"}


# By loops over pixels and thresholds ---------------------------------------------------------------------------------


def by_loops(maps, masks):
    """The definitions of docs/metrics.md, pixel by pixel."""
    pixels = [
        [(int(v) / 255, m == 255) for v, m in zip(a.ravel(), b.ravel(), strict=True) if m != 128]
        for a, b in zip(maps, masks, strict=True)
    ]
    both = [image for image in pixels if len({truth for _, truth in image}) == 2]
    every = [pixel for image in pixels for pixel in image]
    cuts = [t / 255 for t in range(256)]
    own = [max(cuts, key=lambda t, image=image: f(image, t, 1)) if image in both else 0 for image in pixels]
    chosen = [(float(v >= t), truth) for image, t in zip(pixels, own, strict=True) for v, truth in image]
    return {
        "ods": max(f(every, t, 1) for t in cuts),
        "ois": f(chosen, 0.5, 1),
        "ois_mean": mean(max(f(image, t, 1) for t in cuts) for image in both),
        "f_blurred": mean(f(image, 0.5, 0.3) for image in both),
        "f_focused": mean(f(inverted(image), 0.5, 0.3) for image in both),
        "f_blurred_pooled": f(every, 0.5, 0.3),
        "f_focused_pooled": f(inverted(every), 0.5, 0.3),
        "f_max": max(mean(f(image, t, 0.3) for image in both) for t in cuts),
        "f_max_focused": max(mean(f(inverted(image), 1 - t + 1e-9, 0.3) for image in both) for t in cuts),
        "mae": mean(mean(abs(v - truth) for v, truth in image) for image in pixels),
        "mae_binarised": mean(mean((v >= 0.5) != truth for v, truth in image) for image in pixels),
        "iou": mean(iou(image) for image in both),
    }


def f(pixels, threshold, beta2):
    found = sum(v >= threshold and truth for v, truth in pixels)
    taken, positives = sum(v >= threshold for v, _ in pixels), sum(truth for _, truth in pixels)
    if not found:
        return 0.0
    precision, recall = found / taken, found / positives
    return (1 + beta2) * precision * recall / (beta2 * precision + recall)


def inverted(pixels):
    return [(1 - v, not truth) for v, truth in pixels]


def iou(pixels):
    return sum(v >= 0.5 and t for v, t in pixels) / sum(v >= 0.5 or t for v, t in pixels)


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def made(seed, count=4, one_class=True):
    rng = np.random.default_rng(seed)
    masks = rng.choice(np.uint8([0, 128, 255]), (count, 5, 7), p=(0.4, 0.1, 0.5))
    if one_class:
        masks[0] = 255
    noise = rng.integers(-200, 200, masks.shape)
    return np.clip(masks * 0.6 + 40 + noise, 0, 255).astype(np.uint8), masks


@pytest.mark.parametrize("one_class", [False, True])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_scores_are_those_of_a_loop_over_pixels(seed, one_class):
    maps, masks = made(seed, one_class=one_class)
    found = summary(Table.of(map(score_image, maps, masks)))
    expected = by_loops(maps, masks)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_rankings_are_those_of_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    maps, masks = made(7)
    found = summary(Table.of(map(score_image, maps, masks)))
    known = [(a[b != 128], b[b != 128] == 255) for a, b in zip(maps, masks, strict=True)]
    both = [(v, truth) for v, truth in known if not truth.all()]
    values, truths = (np.concatenate(parts) for parts in zip(*known, strict=True))
    assert found["auc"] == pytest.approx(mean(sklearn.roc_auc_score(t, v) for v, t in both), abs=1e-12)
    assert found["ap"] == pytest.approx(mean(sklearn.average_precision_score(t, v) for v, t in both), abs=1e-12)
    assert found["pooled_ap"] == pytest.approx(sklearn.average_precision_score(truths, values), abs=1e-12)


@pytest.mark.parametrize("value", [0, 77, 255])
def test_any_constant_map_ranks_and_segments_alike(value):
    _, masks = made(3, one_class=False)
    table = Table.of(score_image(np.full_like(mask, value), mask) for mask in masks)
    found, constant = summary(table), constant_summary(table)
    share = (masks == 255).sum() / (masks != 128).sum()
    assert found["auc"] == 0.5
    assert found["pooled_ap"] == pytest.approx(share, abs=1e-12)
    assert found["ods"] == pytest.approx(2 * share / (1 + share), abs=1e-12)
    for name in ("auc", "ap", "pooled_ap", "ods", "ois", "f_max", "f_max_focused"):
        if name != "f_max_focused" or value < 255:  # no threshold calls 255 focused
            assert found[name] == pytest.approx(constant[name], abs=1e-12), name


def test_the_constant_map_by_hand():
    mask = np.repeat(np.uint8([[255, 255, 255, 0]]), 8, axis=0)
    constant = constant_summary(Table.of([score_image(mask, mask)]))
    expected = {"auc": 0.5, "ap": 0.75, "ods": 6 / 7, "mae": 0.25, "iou": 0.75, "mae_binarised": 0.25}
    expected |= {"f_blurred": 1.3 * 0.75 / (0.3 * 0.75 + 1), "f_focused": 1.3 * 0.25 / (0.3 * 0.25 + 1)}
    assert {name: constant[name] for name in expected} == pytest.approx(expected, abs=1e-12)


def test_a_perfect_and_an_inverted_map():
    _, masks = made(5, one_class=False)
    best = summary(Table.of(map(score_image, masks, masks)))
    assert {name: best[name] for name in SCORES} == pytest.approx({n: float(not n.startswith("mae")) for n in SCORES})
    worst = summary(Table.of(map(score_image, 255 - masks, masks)))
    assert (worst["auc"], worst["iou"], worst["mae"], worst["f_blurred"]) == (0, 0, 1, 0)


def test_nothing_is_defined_where_there_is_one_class_only():
    mask = np.full(SIZE, 255, np.uint8)
    found = summary(Table.of([score_image(mask, mask)]), resamples=10)
    assert (found["n"], found["auc"], found["iou"], found["pooled_ap"]) == (1, None, None, None)
    assert found["mae"] == 0
    assert found["ci"]["auc"] is None


def test_an_image_without_known_pixels_counts_for_nothing():
    maps, masks = made(1, one_class=False)
    unknown = np.full_like(masks[0], 128)
    without = summary(Table.of(map(score_image, maps, masks)))
    found = summary(Table.of([*map(score_image, maps, masks), score_image(maps[0], unknown)]))
    assert found == without | {"n": 5}


# Floats and sizes ----------------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6))
def test_a_float_map_of_8_bit_values_scores_as_that_map(seed):
    maps, masks = made(seed)
    eight = summary(Table.of(map(score_image, maps, masks)))
    floats = summary(Table.of(score_image(a / np.float32(255), b) for a, b in zip(maps, masks, strict=True)))
    assert floats == pytest.approx(eight, abs=1e-12)


def test_floats_outside_0_to_1_are_ranked_only():
    maps, masks = made(2)
    found = Table.of(score_image(a - np.float32(300), b) for a, b in zip(maps, masks, strict=True))
    assert summary(found)["auc"] == summary(Table.of(map(score_image, maps, masks)))["auc"]
    assert [name for name in SCORES if summary(found)[name] is not None] == ["auc", "ap"]
    assert constant_summary(found)["ods"] is not None


@pytest.mark.parametrize("shape", [(1, 1), (1, 5), (3, 4), (24, 31), (60, 70)])
@pytest.mark.parametrize("size", [(40, 48), (1, 9), (24, 31)])
def test_maps_are_enlarged_with_aligned_corners(shape, size):
    values = np.random.default_rng(0).random(shape).astype(np.float32)
    found = enlarged(values, size)
    assert found.dtype == np.float32
    rows, columns = (
        np.linspace(0, old - 1, new) if new > 1 else np.zeros(1) for old, new in zip(shape, size, strict=True)
    )
    lines = np.array([np.interp(columns, np.arange(shape[1]), row) for row in values])
    expected = np.array([np.interp(rows, np.arange(shape[0]), line) for line in lines.T]).T
    assert np.abs(found - expected).max() < 1e-6


def test_torch_enlarges_alike():
    torch = pytest.importorskip("torch")
    values = np.random.default_rng(1).random((24, 31)).astype(np.float32)
    there = torch.nn.functional.interpolate(
        torch.from_numpy(values)[None, None], SIZE, mode="bilinear", align_corners=True
    )
    assert np.abs(enlarged(values, SIZE) - there[0, 0].numpy()).max() < 1e-5


def test_equal_values_stay_ties_when_enlarged():
    assert len(np.unique(enlarged(np.full((7, 11), 0.1, np.float32), (320, 481)))) == 1


def test_only_larger_photos_are_made_smaller():
    photo = np.zeros((50, 100, 3), np.uint8)
    assert smaller(photo, 25).shape == (25, 50, 3)
    assert smaller(photo, 60) is photo
    assert smaller(photo, None) is photo


@pytest.mark.parametrize("blur_map", [np.zeros(SIZE), np.zeros((*SIZE, 1), np.uint8), np.full(SIZE, np.nan, "f4")])
def test_what_is_no_map_is_refused(blur_map):
    with pytest.raises(ArgumentError):
        score_image(blur_map, np.zeros(SIZE, np.uint8))


def test_counts_hold_every_known_pixel():
    maps, masks = made(0)
    score = score_image(maps[1].astype(np.float32) / 255, masks[1])
    assert score.counts.shape == (2, LEVELS)
    assert score.counts.sum(axis=1).tolist() == score.totals.tolist() == [(masks[1] == v).sum() for v in (0, 255)]


# The bootstrap -------------------------------------------------------------------------------------------------------


def test_weights_are_images_repeated():
    maps, masks = made(4, count=3)
    weighted = Table.of(map(score_image, maps, masks)).scores(np.array([[2, 0, 1]]))
    repeated = summary(Table.of(map(score_image, maps[[0, 0, 2]], masks[[0, 0, 2]])))
    assert {name: value[0] for name, value in weighted.items()} == pytest.approx({n: repeated[n] for n in SCORES})


def test_intervals_are_seeded_and_hold_the_score():
    maps, masks = made(6, count=30, one_class=False)
    table = Table.of(map(score_image, maps, masks))
    found = summary(table, resamples=300, seed=1)
    assert found == summary(table, resamples=300, seed=1)
    assert found["ci"] != summary(table, resamples=300, seed=2)["ci"]
    for name in SCORES:
        low, high = found["ci"][name]
        assert low <= high
        assert name in ("f_max", "f_max_focused") or low < found[name] < high
    half = 1.96 * table.auc.std() / math.sqrt(30)
    assert found["ci"]["auc"] == pytest.approx([found["auc"] - half, found["auc"] + half], abs=0.25 * half)


# Folders -------------------------------------------------------------------------------------------------------------


def save(path, values, mode=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(values)
    (picture.convert(mode) if mode else picture).save(path)


def run(*arguments):
    return CliRunner().invoke(main, ["eval", *map(str, arguments)])


@pytest.fixture
def cuhk(tmp_path):
    """Six truths as CUHK has them, white = blurred, one of them RGBA; maps at full size, but one at half."""
    rng = np.random.default_rng(0)
    for kind in ("motion", "out_of_focus"):
        for number in (1, 2, 4):
            name = f"{kind}{number:04d}.png"
            mask = np.zeros(SIZE, np.uint8)
            mask[:, : 10 * number] = 255
            save(tmp_path / "gt" / name, mask, "RGBA" if number == 2 else None)
            noisy = np.clip(mask * 0.5 + rng.integers(0, 160, SIZE), 0, 255).astype(np.uint8)
            save(tmp_path / "maps" / name, noisy[::2, ::2] if number == 4 else noisy)
    return tmp_path


def test_the_table_by_type_of_blur(cuhk):
    sklearn = pytest.importorskip("sklearn.metrics")
    done = run("--maps", cuhk / "maps", "--truth", cuhk / "gt", "--json", "--bootstrap", 20)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert list(found) == ["defocus", "motion", "all", "constant", "notes"]
    assert [found[name]["n"] for name in ("defocus", "motion", "all", "constant")] == [3, 3, 6, 6]
    for name in ("defocus", "motion", "all", "constant"):
        assert set(found[name]) >= KEYS
    aucs = []
    for path in sorted((cuhk / "gt").glob("out*")):
        mask = np.array(Image.open(path).convert("L"))
        values = enlarged(np.array(Image.open(cuhk / "maps" / path.name)), SIZE)
        aucs.append(sklearn.roc_auc_score(mask.ravel() > 128, values.ravel()))
    assert found["defocus"]["auc"] == pytest.approx(np.mean(aucs), abs=1e-12)
    assert found["defocus"]["ci"]["auc"][0] <= found["defocus"]["auc"] <= found["defocus"]["ci"]["auc"][1]
    assert found["constant"]["auc"] == found["constant"]["motion"]["auc"] == 0.5
    assert found["notes"]["resized"] == ["motion0004", "out_of_focus0004"]
    assert "2 maps of another size" in done.stderr


def test_subsets_go_by_the_number_or_by_a_file(cuhk):
    names = {
        subset: [truth.name for truth in list_truths(cuhk / "gt", "cuhk", subset)[0]] for subset in ("even", "odd")
    }
    assert names["even"] == ["motion0002", "motion0004", "out_of_focus0002", "out_of_focus0004"]
    assert names["odd"] == ["motion0001", "out_of_focus0001"]
    (cuhk / "list.txt").write_text("motion0002.jpg\n\n  out_of_focus0001 \nnowhere\n")
    done = run("--maps", cuhk / "maps", "--truth", cuhk / "gt", "--subset", cuhk / "list.txt", "--json")
    found = json.loads(done.stdout)
    assert (found["motion"]["n"], found["defocus"]["n"]) == (1, 1)
    assert found["notes"]["names_without_truth"] == ["nowhere"]
    assert found["notes"]["maps_without_truth"] == []
    for wrong in ("nowhere.txt", cuhk / "gt"):
        assert run("--maps", cuhk / "maps", "--truth", cuhk / "gt", "--subset", wrong).exit_code == 4


def test_what_does_not_fit_is_told(cuhk):
    (cuhk / "maps/motion0001.png").unlink()
    save(cuhk / "maps/other.png", np.zeros(SIZE, np.uint8))
    save(cuhk / "gt/motion0002.png", np.full(SIZE, 255, np.uint8))
    grey = np.zeros(SIZE, np.uint8)
    grey[0, :4], grey[:20, 4:] = (1, 127, 128, 200), 255
    save(cuhk / "gt/motion0004.png", grey)
    (cuhk / "maps/out_of_focus0001.png").write_bytes(b"no picture")
    save(cuhk / "gt/strange.png", grey)
    save(cuhk / "maps/strange.png", grey)
    done = run("--maps", cuhk / "maps", "--truth", cuhk / "gt", "--json")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    notes = found["notes"]
    assert notes["truths_without_map"] == ["motion0001"]
    assert notes["maps_without_truth"] == ["other"]
    assert notes["one_class"] == ["motion0002"]
    assert notes["grey"] == {"motion0004": 4, "strange": 4}
    assert notes["no_type"] == ["strange"]
    assert "not a PNG, BMP or JPEG: get the map again" in notes["skipped"]["out_of_focus0001"]
    assert [found[name]["n"] for name in ("defocus", "motion", "all")] == [2, 2, 5]
    for words in (
        "without a map",
        "without a truth",
        "one class",
        "neither black nor white",
        "skipped: out_of_focus0001",
    ):
        assert words in done.stderr


def test_black_is_blurred_in_dut(cuhk):
    for path in (cuhk / "gt").iterdir():
        save(cuhk / "dut" / path.name, 255 - np.array(Image.open(path).convert("L")))
    white = json.loads(run("--maps", cuhk / "maps", "--truth", cuhk / "gt", "--json").stdout)
    black = json.loads(run("--maps", cuhk / "maps", "--truth", cuhk / "dut", "--layout", "dut", "--json").stdout)
    assert black["all"] == white["all"]
    assert black["defocus"]["n"] == 6
    assert black["motion"]["n"] == 0
    assert black["motion"]["auc"] is None
    plain = ("--maps", cuhk / "maps", "--truth", cuhk / "dut", "--layout", "plain")
    assert json.loads(run(*plain, "--polarity", "black", "--json").stdout)["all"] == white["all"]
    assert run(*plain).exit_code == 2
    assert run(*plain[:-1], "cuhk", "--polarity", "black").exit_code == 2


def test_arrays_are_maps_too(cuhk):
    for path in (cuhk / "maps").iterdir():
        (cuhk / "npy").mkdir(exist_ok=True)
        np.save(cuhk / "npy" / path.stem, np.array(Image.open(path)).astype(np.float32).repeat(2, 0).repeat(2, 1) / 255)
    assert read_map(cuhk / "npy/motion0001.npy").dtype == np.float32
    assert run("--maps", cuhk / "npy", "--truth", cuhk / "gt").exit_code == 0
    np.save(cuhk / "npy/motion0001.npy", np.zeros((40, 48, 3), np.uint8))
    with pytest.raises(PhotoError, match=r"motion0001\.npy: an array of 3 channels"):
        read_map(cuhk / "npy/motion0001.npy")


def test_names_that_never_match_are_an_error(cuhk):
    save(cuhk / "else/x.png", np.zeros(SIZE, np.uint8))
    done = run("--maps", cuhk / "else", "--truth", cuhk / "gt")
    assert done.exit_code == 4
    assert "no map has the name of a truth (maps: x; truths: motion0001" in done.stderr
    (cuhk / "empty").mkdir()
    for arguments in (
        ("--maps", cuhk / "empty", "--truth", cuhk / "gt"),
        ("--maps", cuhk / "maps", "--truth", cuhk / "empty"),
    ):
        assert run(*arguments).exit_code == 4
    (cuhk / "maps/motion0001.png").write_bytes(b"x")
    truths, _ = list_truths(cuhk / "gt", "cuhk")
    with pytest.raises(SourceError, match="none of 1 maps can be scored"):
        evaluate(truths[:1], list_maps(cuhk / "maps"), "white")


def test_numbers_are_needed_for_even_and_odd(cuhk):
    save(cuhk / "gt/name.png", np.zeros(SIZE, np.uint8))
    with pytest.raises(ArgumentError, match="names that end in a number"):
        list_truths(cuhk / "gt", "cuhk", "even")


def test_the_table_for_people_and_its_plots(cuhk):
    pytest.importorskip("matplotlib")
    done = run("--maps", cuhk / "maps", "--truth", cuhk / "gt", "--plots", cuhk / "plots", "--bootstrap", 10)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["defocus", "(3", "images)", "motion", "(3", "images)", "all", "(6", "images)"]
    assert len(lines) == 2 + len(SCORES)
    assert lines[1].startswith("AUC, mean of images")
    assert lines[1].count("(0.500)") == 3
    with Image.open(cuhk / "plots/curves.png") as picture:
        assert picture.width > 1000
    curves = list(csv.DictReader((cuhk / "plots/curves.csv").open()))
    assert len(curves) == 3 * 256
    assert {row["images"] for row in curves} == {"defocus", "motion", "all"}
    assert float(curves[0]["recall"]) == 1
    images = list(csv.DictReader((cuhk / "plots/images.csv").open()))
    assert [row["type"] for row in images] == ["motion"] * 3 + ["defocus"] * 3
    before = (cuhk / "plots/curves.png").read_bytes()
    assert run("--maps", cuhk / "maps", "--truth", cuhk / "gt", "--plots", cuhk / "plots", "--overwrite").exit_code == 0
    assert (cuhk / "plots/curves.png").read_bytes() == before


def test_maps_that_can_only_be_ranked_have_empty_plots(cuhk):
    pytest.importorskip("matplotlib")
    for path in (cuhk / "maps").iterdir():
        np.save(path.with_suffix(".npy"), np.array(Image.open(path).resize(SIZE)) - np.float32(999))
        path.unlink()
    done = run("--maps", cuhk / "maps", "--truth", cuhk / "gt", "--plots", cuhk / "plots", "--bootstrap", 0)
    assert done.exit_code == 0, done.output
    assert "6 maps with values outside 0 to 1" in done.stderr
    assert done.stdout.splitlines()[4].split("all pixels")[1].split() == ["-"] * 3
    assert len((cuhk / "plots/curves.csv").read_text().splitlines()) == 1


def test_detectors_are_scored_on_photos(cuhk):
    rng = np.random.default_rng(0)
    for path in (cuhk / "gt").iterdir():
        sharp = np.array(Image.open(path).convert("L"))[..., None] == 0
        save(cuhk / f"image/{path.stem}.jpg", (128 + sharp * rng.integers(-100, 100, (*SIZE, 3))).astype(np.uint8))
    photos = ("--images", cuhk / "image", "--truth", cuhk / "gt", "--bootstrap", 0, "--json")
    found = json.loads(run("--detector", "laplacian", *photos, "--short-side", 32).stdout)
    assert found["all"]["auc"] > 0.8
    assert "ci" not in found["all"]
    constant = json.loads(run("--detector", "constant", *photos).stdout)
    assert constant["all"]["auc"] == 0.5
    assert constant["all"]["pooled_ap"] == constant["constant"]["pooled_ap"]
    assert run("--detector", "nothing", *photos).exit_code == 2


def test_one_origin_of_maps_has_to_be_named(cuhk):
    truth = ("--truth", cuhk / "gt")
    for wrong in ((), ("--maps", "a", "--model", "b"), ("--model", "b"), ("--maps", "a", "--images", "b")):
        assert run(*wrong, *truth).exit_code == 2


def test_ois_is_no_lower_than_ods_where_a_photo_is_all_sharp():
    """In a photo without blur no threshold has an F: the one that calls the least blurred is its best."""
    truth = np.zeros((8, 8), np.uint8)
    truth[:, :4] = 255
    scored = [score_image(truth, truth), score_image(np.full((8, 8), 10, np.uint8), np.zeros((8, 8), np.uint8))]
    found = summary(Table.of(scored), 0)
    assert found["ods"] == found["ois"] == 1


def test_plots_are_not_written_over_what_is_there(cuhk, tmp_path):
    pytest.importorskip("matplotlib")
    maps, truth = cuhk / "maps", cuhk / "gt"
    for folder in (maps, truth):
        assert run("--maps", maps, "--truth", truth, "--plots", folder).exit_code == 6
    arguments = ("--maps", maps, "--truth", truth, "--bootstrap", 0, "--plots", tmp_path / "plots")
    assert run(*arguments).exit_code == 0
    assert run(*arguments).exit_code == 6
    assert run(*arguments, "--overwrite").exit_code == 0


def test_options_that_a_map_has_no_use_for_are_refused(cuhk):
    maps, truth = cuhk / "maps", cuhk / "gt"
    assert run("--maps", maps, "--truth", truth, "--tta", "4").exit_code == 2
