"""The sheet of one photo's proposals shows what it says, checked in its pixels, and `preview --proposals` makes it."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from skimage import data

from blurgen import errors
from blurgen.proposals import ProposalParams, Proposals
from blurgen.report import proposal_sheet as sheets
from blurgen.report.contact_sheet import GAP_PX, INK, LINE_PX, OUTLINE
from blurgen_cli.main import main

RED, DARK_GREY = (200, 40, 40), (74, 74, 74)  # the grey of that red is 88, and 88 // 2 + 30 is 74


def quarters(height, width, count):
    """A red photo in four superpixels; proposals 0, 2, ... are its upper left, 1, 3, ... its lower half."""
    labels = np.zeros((height, width), np.int32)
    labels[:, width // 2 :] += 1
    labels[height // 2 :] += 2
    membership = np.array([[1, 0, 0, 0], [0, 0, 1, 1]] * 20, bool)[:count]
    scores = np.linspace(0.9, 0.1, count, dtype=np.float32)
    return np.full((height, width, 3), RED, np.uint8), Proposals(labels, membership, scores)


def draw(height, width, count):
    photo, proposals = quarters(height, width, count)
    contours = np.zeros((height, width), np.float32)
    return np.asarray(sheets.proposal_sheet(photo, proposals, proposals.superpixels, contours, "title"))


def same(picture, colour):
    return (picture == colour).all(axis=-1)


def test_a_tile_is_in_colour_in_its_mask_and_grey_outside():
    photo, proposals = quarters(150, 200, 2)  # 30000 px: the size of a tile
    tiles = sheets.proposal_tiles(photo, proposals.superpixels, proposals.membership)
    assert tiles.shape == (2, 150, 200, 3)
    for index, (rows, columns) in enumerate(((75, 100), (75, 200))):
        mask, rim = proposals.mask(index), same(tiles[index], OUTLINE)
        assert (same(tiles[index], DARK_GREY) == ~mask).all()
        assert (same(tiles[index], RED) == mask & ~rim).all()
        assert np.count_nonzero(rim) == 2 * (rows + columns) - 4
    assert (photo == RED).all()


@pytest.mark.parametrize("shape", [(300, 400), (1500, 2000), (32, 32), (200, 2000), (2000, 200)])
def test_a_tile_of_any_photo_shows_the_mask_at_its_place_and_with_its_area(shape):
    photo, proposals = quarters(*shape, 2)
    tiles = sheets.proposal_tiles(photo, proposals.superpixels, proposals.membership)
    height, width = tiles.shape[1:3]
    assert max(height, width) <= sheets.TILE_SIDE_PX
    assert abs(width / height / (shape[1] / shape[0]) - 1) < 0.1
    inside = ~same(tiles[0], DARK_GREY)
    assert abs(np.count_nonzero(inside.any(axis=1)) - height / 2) <= 1
    assert abs(np.count_nonzero(inside.any(axis=0)) - width / 2) <= 1


@pytest.mark.parametrize(("count", "rows"), [(1, 1), (6, 1), (7, 2), (24, 4), (30, 4)])
def test_the_sheet_has_the_tiles_in_their_order_in_six_columns(count, rows):
    sheet = draw(150, 200, count)
    cell_height, cell_width = 150 + LINE_PX + GAP_PX, 200 + GAP_PX
    large = 462  # of 200 px width, enlarged to 616: half of the sheet but for the gaps
    assert sheet.shape == (2 * LINE_PX + large + rows * cell_height + 4 * GAP_PX, 6 * cell_width + GAP_PX, 3)
    photo, proposals = quarters(150, 200, count)
    tiles = sheets.proposal_tiles(photo, proposals.superpixels, proposals.membership)
    for place, tile in enumerate(tiles[:24]):
        top = sheet.shape[0] - GAP_PX - (rows - place // 6) * cell_height
        left = GAP_PX + place % 6 * cell_width
        assert (sheet[top : top + 150, left : left + 200] == tile).all()
        assert same(sheet[top + 150 : top + 150 + LINE_PX, left : left + 200], INK).any()


def test_without_proposals_the_sheet_says_so():
    sheet = draw(150, 200, 0)
    assert not same(sheet, OUTLINE).any()
    assert same(sheet[-LINE_PX - GAP_PX :], INK).any()
    assert sheets.NOTHING == "no proposal was found"


def test_no_caption_leaves_its_cell():
    for shape in ((1000, 100), (100, 1000)):
        sheet = draw(*shape, 24)
        cell_width = (sheet.shape[1] - GAP_PX) // 6
        between = [sheet[:, GAP_PX + column * cell_width - 3] for column in range(1, 7)]
        assert not same(np.array(between)[:, -100:], INK).any()


@pytest.mark.parametrize("shape", [(32, 100_000), (100_000, 32)])
def test_a_photo_of_any_shape_is_drawn(shape):
    sheet = draw(*shape, 2)
    assert same(sheet, OUTLINE).any()
    assert max(sheet.shape) < 2000


def test_rank_score_and_area_are_those_of_the_proposals():
    _, proposals = quarters(40, 60, 30)
    rows = sheets.proposal_rows(proposals, proposals.superpixels)
    assert [row["rank"] for row in rows] == list(range(24))
    assert [row["score"] for row in rows] == proposals.scores[:24].tolist()
    assert [row["area"] for row in rows] == [0.25, 0.5] * 12


def test_the_higher_a_contour_the_darker_its_line():
    contours = np.zeros((60, 80), np.float32)
    contours[:, 20:22], contours[:, 40:42], contours[:, 60:62] = 0.2, 0.3, 0.4
    shown = sheets.contour_picture(contours, (60, 80))
    assert (shown[:, 0] == 255).all()
    assert (shown[:, 20] == sheets.PALEST).all()
    assert (abs(shown[:, 40] - sheets.PALEST / 2) <= 1).all()
    assert (shown[:, 60] == 0).all()
    assert (sheets.contour_picture(contours * 0, (60, 80)) == 255).all()
    assert (sheets.contour_picture(np.ceil(contours), (60, 80))[:, 20:22] == 0).all()


@pytest.mark.parametrize("place", [0, 1, 499, 500, 998, 999])
def test_a_line_of_1_px_survives_any_downscaling(place):
    contours = np.zeros((1000, 1000), np.float32)
    contours[place] = 1
    for side in (999, 700, 300, 7):
        dark = np.flatnonzero((sheets.contour_picture(contours, (side, side)) == 0).all(axis=(1, 2)))
        assert 1 <= len(dark) <= 2
        assert abs((dark + 0.5) / side - place / 1000).max() <= 2 / side


def test_the_title_is_one_line_that_says_what_is_shown():
    _, proposals = quarters(40, 60, 2)
    title = sheets.sheet_title("deep/" * 20 + "new\nline.jpg", (40, 60), proposals, ProposalParams(contours="gradient"))
    assert title.endswith(
        "new\\u000aline.jpg  -  60 x 40 px, superpixels: 4, first 2 of 2 proposals, contours: gradient, score: learned"
    )
    assert len(title) < 160


def run(*arguments):
    return CliRunner().invoke(main, ["preview", *map(str, arguments)])


@pytest.fixture
def photo(tmp_path, monkeypatch):
    """A photo of 200 x 240 px in the working folder, by its name."""
    monkeypatch.chdir(tmp_path)
    Image.fromarray(data.chelsea()[:200, 60:300]).save("cat.png")
    return "cat.png"


def test_the_command_draws_the_sheet_and_tells_what_is_on_it(photo):
    done = run("--proposals", photo, "--out", "sheet.png", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert list(told) == ["out", "photo", "shape", "contours", "score", "superpixels", "proposals", "count"]
    assert (told["out"], told["photo"], told["shape"]) == ("sheet.png", "cat.png", [200, 240])
    assert [row["rank"] for row in told["proposals"]] == list(range(24))
    assert told["count"] >= 24
    assert told["superpixels"] > 1
    sheet = np.asarray(Image.open("sheet.png"))
    assert same(sheet, OUTLINE).any()
    again = run("--proposals", photo)
    assert again.output.strip().endswith(": preview.png")
    assert f"first 24 of {told['count']} proposals, contours: " in again.output
    assert (np.asarray(Image.open("preview.png")) == sheet).all()


def test_the_recipe_chooses_how_proposals_are_found(photo, tmp_path):
    (tmp_path / "mine.toml").write_text("[proposals]\nmax_proposals = 3\nworking_side_px = 64\n")
    told = json.loads(run("--proposals", photo, "--recipe", "mine.toml", "--json").stdout)
    assert told["count"] == len(told["proposals"]) == 3


def test_a_photo_without_objects_gives_an_honest_sheet(photo):
    Image.new("L", (300, 200), 128).save("flat.png")
    told = json.loads(run("--proposals", "flat.png", "--json").stdout)
    assert (told["count"], told["superpixels"], told["proposals"]) == (0, 1, [])
    assert not same(np.asarray(Image.open("preview.png")), OUTLINE).any()


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        (["shards"], errors.ArgumentError, "SHARDS does not go with --proposals"),
        (["--source", "folder"], errors.ArgumentError, "--source does not go with --proposals"),
        (["--root", "."], errors.ArgumentError, "--root does not go with --proposals"),
        (["--split", "val"], errors.ArgumentError, "--split does not go with --proposals"),
        (["--annotations", "a.json"], errors.ArgumentError, "--annotations does not go with --proposals"),
        (["--licence", "CC0"], errors.ArgumentError, "--licence does not go with --proposals"),
        (["--pairs", "24"], errors.ArgumentError, "--pairs does not go with --proposals"),
        (["--seed", "0"], errors.ArgumentError, "--seed does not go with --proposals"),
        (["--workers", "1"], errors.ArgumentError, "--workers does not go with --proposals"),
        (["--cache", "cache"], errors.ArgumentError, "--cache does not go with --proposals"),
        (["--size", "64"], errors.ArgumentError, "--size does not go with --proposals"),
        (["--recipe", "nothing"], errors.RecipeError, 'no recipe "nothing"'),
        (["--out", "sheet.jpg"], errors.ArgumentError, "ends in .png"),
        (["--out", "cat.png"], errors.ArgumentError, "that is the photo itself"),
        (["--out", "./link.png"], errors.ArgumentError, "that is the photo itself"),
        (["--out", "no/sheet.png"], errors.OutputError, "does not exist"),
        (["--out", "folder.png"], errors.OutputError, "not a plain file"),
        (["--proposals", "nowhere.jpg"], errors.PhotoError, "nowhere.jpg: the photo can't be read: No such file"),
        (["--proposals", "."], errors.PhotoError, ".: the photo is not a plain file"),
        (["--proposals", "/dev/zero"], errors.PhotoError, "/dev/zero: the photo is not a plain file"),
        (["--proposals", "pipe"], errors.PhotoError, "pipe: the photo is not a plain file"),
        (["--proposals", "empty.jpg"], errors.PhotoError, "empty.jpg: empty photo"),
        (["--proposals", "notes.txt"], errors.PhotoError, "notes.txt: not a photo that Pillow can read"),
        (["--proposals", "cat.png/x"], errors.PhotoError, "cat.png/x: the photo can't be read"),
        (["--proposals", "x" * 300], errors.PhotoError, "x: the photo can't be read: File name too long"),
    ],
)
def test_a_refusal_is_one_line_its_kind_decides_the_exit_code_and_nothing_is_written(
    photo, tmp_path, arguments, kind, said
):
    (tmp_path / "link.png").symlink_to(photo)
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "notes.txt").write_text("not a photo at all")
    os.mkfifo("pipe")
    before, content = sorted(os.listdir()), (tmp_path / photo).read_bytes()
    done = run("--proposals", photo, *arguments)
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("blurgen: error: ")
    assert said in done.stderr
    assert done.exit_code == kind.exit_code
    assert sorted(os.listdir()) == before
    assert (tmp_path / photo).read_bytes() == content


def test_a_sheet_is_no_photo_and_an_empty_path_is_a_slip(photo):
    assert run("--proposals", photo, "--out", "sheet.png").exit_code == 0
    assert "a contact sheet of blurgen, not a photo" in run("--proposals", "sheet.png").stderr
    empty = run("--proposals", "")
    assert empty.exit_code == 2
    assert "is empty" in empty.stderr


def test_help_imports_nothing_heavy():
    code = "import sys; from blurgen_cli.main import main; main(['preview', '--help'], standalone_mode=False)"
    code += "; print('loaded:', *{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "--proposals PHOTO" in done.stdout
    loaded = done.stdout.rpartition("loaded:")[2].split()
    assert not {"numpy", "cv2", "torch", "scipy", "skimage", "pydantic", "PIL", "higra"} & set(loaded)
