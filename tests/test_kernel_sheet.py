"""The sheet of kernels shows each kind, checked in its pixels and its numbers, and `preview --kernels` makes it."""

import json
import os

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image, ImageFont

from blurgen import errors
from blurgen.kernels import DEFOCUS, MOTION, Blur, BlurParams, make_kernel
from blurgen.recipe import load_recipe
from blurgen.report import kernel_sheet as sheets
from blurgen.report.contact_sheet import GAP_PX, INK, OUTLINE, TEXT_PX
from blurgen_cli.main import main

KINDS = [*DEFOCUS, "tilted", *MOTION]


def same(picture, colour):
    return (picture == colour).all(axis=-1)


@pytest.mark.parametrize("params", [BlurParams(), BlurParams(p_motion=1, motion_kinds={"zoom": 1}, p_tilt=1)])
def test_each_kind_is_drawn_six_times_whatever_the_recipe_mixes(params):
    draws = sheets.kernel_draws(params, 0)
    assert list(draws) == KINDS
    for row, blurs in draws.items():
        assert len(set(blurs)) == 6
        assert all(blur.kind == row for blur in blurs) or row == "tilted"
        assert all((blur.tilt > 0) == (row == "tilted") for blur in blurs)
    assert sheets.kernel_draws(params, 0) == draws
    assert sheets.kernel_draws(params, 1) != draws


def test_the_ranges_are_those_of_the_recipe():
    params = BlurParams(radius_px_range=(3.0, 3.5), zoom_range=(0.5, 0.6))
    draws = sheets.kernel_draws(params, 0)
    assert all(3 <= blur.radius_px <= 3.5 for blur in draws["disk"] + draws["polygon"])
    assert all(0.5 <= blur.zoom <= 0.6 for blur in draws["zoom"])


def test_the_rows_hold_every_number_of_every_tile():
    draws = sheets.kernel_draws(BlurParams(), 0)
    rows = sheets.kernel_rows(draws)
    assert [row["row"] for row in rows] == [kind for kind in KINDS for _ in range(6)]
    blurs = [blur for blurs in draws.values() for blur in blurs]
    for row, blur in zip(rows, blurs, strict=True):
        assert row.items() >= blur.to_dict().items()
        if blur.varies:
            assert row["least_amount_px"] < row["largest_amount_px"]
        else:
            assert row["least_amount_px"] == row["largest_amount_px"] == pytest.approx(make_kernel(blur).sigma_px)
            assert row["reach_px"] == make_kernel(blur).reach_px


@pytest.mark.parametrize("radius", [0.5, 3, 20, 128])
def test_a_kernel_fills_its_tile_whatever_its_size(radius):
    picture = sheets.blur_picture(Blur("disk", radius_px=radius), sheets.TILE_PX)
    assert picture.shape == (208, 208, 3)
    lit = np.flatnonzero(picture.max(axis=(0, 2)) > 20)
    assert np.ptp(lit) > 208 / 2
    assert abs(lit[0] - (207 - lit[-1])) <= 1
    assert picture.max() == 255


def test_the_weights_are_enlarged_without_smoothing():
    picture = sheets.blur_picture(Blur("linear-motion", length_px=3.0), sheets.TILE_PX)  # a row of 5 weights
    rows = np.flatnonzero(picture.max(axis=(1, 2)))
    assert np.ptp(rows) + 1 == 208 // 5
    assert len(np.unique(picture[rows[0]])) == 4  # 0 and three that differ, since the row is symmetric


def test_a_turn_is_shown_by_points_that_spread_more_the_farther_they_are_from_its_centre():
    picture = sheets.blur_picture(Blur("rotation", turn_deg=6.0, centre_y=0.25, centre_x=0.5), sheets.TILE_PX)
    assert same(picture, OUTLINE)[52, 104]
    bright = (picture[..., 0] > 60) & ~same(picture, OUTLINE)
    near, far = bright[40:66, 117:143], bright[182:, :26]  # one point each
    assert 0 < 2 * np.count_nonzero(near) < np.count_nonzero(far)


def test_the_captions_tell_parameters_amount_and_reach_and_fit_below_their_tiles():
    assert sheets.captions(Blur("disk", radius_px=10.0)) == ("10.0 px", "amount 5.0 px, reach 10 px")
    tilted = Blur("gaussian", sigma_px=4.0, tilt=0.5, tilt_angle_deg=30.0)
    assert sheets.captions(tilted) == ("gaussian 4.0 px, tilt 50%, 30 deg", "amount 2.0 to 5.9 px, reach 18 px")
    font = ImageFont.load_default(TEXT_PX)
    for seed in range(5):
        for blurs in sheets.kernel_draws(BlurParams(), seed).values():
            for blur in blurs:
                assert max(font.getlength(line) for line in sheets.captions(blur)) <= sheets.TILE_PX + GAP_PX - 2


def test_the_sheet_has_a_row_for_each_kind_with_the_pictures_in_their_order():
    draws = sheets.kernel_draws(BlurParams(), 3)
    sheet = np.asarray(sheets.kernel_sheet(draws, "title"))
    row_height = (sheet.shape[0] - sheets.HEAD_PX) / len(KINDS)
    assert row_height == int(row_height)
    for number, blurs in enumerate(draws.values()):
        row = sheet[sheets.HEAD_PX + number * int(row_height) :][: int(row_height)]
        for column, blur in enumerate(blurs):
            left = GAP_PX + column * (208 + GAP_PX)
            picture = sheets.blur_picture(blur, sheets.TILE_PX)
            tops = [at for at in range(60) if (row[at : at + 208, left : left + 208] == picture).all()]
            assert len(tops) == 1
            assert same(row[tops[0] + 208 :, left : left + 208], INK).any()


def run(*arguments):
    return CliRunner().invoke(main, ["preview", "--kernels", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_draws_the_sheet_and_tells_what_is_on_it(folder):
    done = run("--out", "sheet.png", "--seed", 5, "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert (told["out"], told["recipe"], told["seed"]) == ("sheet.png", "real", 5)
    assert len(told["kernels"]) == 6 * len(KINDS)
    again = run("--seed", 5)
    assert again.output == "kernels of real, seed 5: preview.png\n"
    assert (folder / "preview.png").read_bytes() == (folder / "sheet.png").read_bytes()
    expected = sheets.kernel_sheet(sheets.kernel_draws(load_recipe().blur, 5), "kernels of real, seed 5")
    np.testing.assert_array_equal(np.asarray(Image.open("preview.png")), np.asarray(expected))


def test_the_recipe_gives_the_ranges(folder):
    (folder / "mine.toml").write_text('name = "mine"\n[blur]\nsigma_px_range = [9.0, 9.5]\n')
    told = json.loads(run("--recipe", "mine.toml", "--json").stdout)
    assert told["recipe"] == "mine"
    assert all(9 <= row["sigma_px"] <= 9.5 for row in told["kernels"] if row["row"] == "gaussian")


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["shards"], errors.ArgumentError, "SHARDS does not go with --kernels"),
        (["--source", "folder"], errors.ArgumentError, "--source does not go with --kernels"),
        (["--root", "."], errors.ArgumentError, "--root does not go with --kernels"),
        (["--pairs", "24"], errors.ArgumentError, "--pairs does not go with --kernels"),
        (["--workers", "1"], errors.ArgumentError, "--workers does not go with --kernels"),
        (["--cache", "cache"], errors.ArgumentError, "--cache does not go with --kernels"),
        (["--size", "64"], errors.ArgumentError, "--size does not go with --kernels"),
        (["--proposals", "cat.png"], errors.ArgumentError, "--kernels does not go with --proposals"),
        (["--seed", "-1"], errors.ArgumentError, "seed is -1"),
        (["--recipe", "nothing"], errors.RecipeError, 'no recipe "nothing"'),
        (["--out", "sheet.jpg"], errors.ArgumentError, "ends in .png"),
        (["--out", "no/sheet.png"], errors.OutputError, "does not exist"),
    ],
)
def test_a_refusal_is_one_line_its_kind_decides_the_exit_code_and_nothing_is_written(folder, arguments, kind, said):
    done = run(*arguments)
    assert len(done.stderr.strip().splitlines()) == 1
    assert said in done.stderr
    assert done.exit_code == kind.exit_code
    assert not os.listdir()
