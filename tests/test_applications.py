"""What maps are good for, with detectors, so without torch: segments, degrees, magnified defocus; scores as numbers."""

import csv
import io
import json
import subprocess
import sys

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image
from skimage import data

from blurgen.applications import cutout, magnify, ranked, segment, segment_file, snapped
from blurgen.applications.degrees import SHEET_PHOTOS, Degree, degree_csv, degree_files
from blurgen.applications.magnifying import magnify_file
from blurgen.errors import ArgumentError, OutputError, PhotoError, SourceError
from blurgen.evaluation.calibration import CALIBRATION, as_probability, fit
from blurgen.evaluation.detectors import DETECTORS, laplacian
from blurgen.maps import Finder, detector_finder
from blurgen.sources import Photo, decode
from blurgen_cli.main import main


def texture(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def ramp_map(height=60, width=80):
    """Sharp on the left (0), blurred on the right (1), a ramp of 20 px between."""
    columns = np.clip((np.arange(width) - width / 2 + 10) / 20, 0, 1)
    return np.tile(columns.astype(np.float32), (height, 1))


def disk(side=96, radius=24):
    rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
    return np.hypot(rows, columns) < radius


@pytest.fixture
def photo(tmp_path):
    """A sharp square on its own blurred surroundings."""
    sharp = data.astronaut()[:160, 100:300]
    image = cv2.GaussianBlur(sharp, (0, 0), 5)
    image[40:120, 60:140] = sharp[40:120, 60:140]
    path = tmp_path / "photos/one.png"
    path.parent.mkdir()
    Image.fromarray(image).save(path)
    return path


def invoke(*arguments):
    return CliRunner().invoke(main, list(map(str, arguments)))


# Scores as numbers from 0 to 1 ----------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    hnp.arrays(np.float32, (5, 7), elements=st.floats(-100, 100, width=32)),
    st.sampled_from([*CALIBRATION, "some other"]),
)
def test_scores_become_numbers_from_0_to_1_in_the_same_order(scores, name):
    found = as_probability(scores, name)
    assert found.dtype == np.float32
    assert ((found >= 0) & (found <= 1)).all()
    order = np.argsort(scores, axis=None)
    assert (np.diff(found.ravel()[order]) >= 0).all()


def test_the_curve_of_a_known_detector_is_the_same_for_all_photos():
    centre, width = CALIBRATION["laplacian"]
    scores = np.array([[centre - width, centre, centre + width]], np.float32)
    np.testing.assert_allclose(
        as_probability(scores, "laplacian"), [[1 / (1 + np.e), 0.5, np.e / (1 + np.e)]], atol=1e-6
    )


def test_any_other_detector_is_measured_by_the_photo_itself():
    scores = np.array([[-1, 0, 1, 2, 30]], np.float32)  # median 1, median distance from it 1
    expected = 1 / (1 + np.exp(-(scores - 1) / 1.4826))
    np.testing.assert_allclose(as_probability(scores, "other"), expected, atol=1e-6)
    np.testing.assert_array_equal(as_probability(np.full((2, 3), 7, np.float32), "other"), np.full((2, 3), 0.5))


def test_the_fit_is_a_logistic_regression():
    linear_model = pytest.importorskip("sklearn.linear_model")
    rng = np.random.default_rng(0)
    mask = rng.random((40, 50)) < 0.3
    scores = (rng.normal(size=mask.shape) * 2 + 3 * mask - 5).astype(np.float32)
    centre, width = fit([(scores, mask)], every=1)
    model = linear_model.LogisticRegression(C=1e9, class_weight="balanced", tol=1e-9)
    model.fit(scores.reshape(-1, 1), mask.ravel())
    slope, offset = model.coef_[0, 0], model.intercept_[0]
    assert (centre, width) == pytest.approx((-offset / slope, 1 / slope), rel=1e-3)


# Segments -------------------------------------------------------------------------------------------------------------


def test_grabcut_mends_a_map_that_is_off():
    """A red disk on green, seen by a map that is shifted and soft."""
    truth = ~disk()
    image = np.where(truth[..., None], (30, 160, 60), (200, 40, 40)) + texture(96, 96, 3) % 30
    seen = np.roll(cv2.GaussianBlur(truth.astype(np.float32), (0, 0), 3), 4, axis=1)
    found = segment(image.astype(np.uint8), seen)
    assert found.dtype == bool
    assert (found != truth).mean() < 0.01 < ((seen >= 0.5) != truth).mean()
    np.testing.assert_array_equal(segment(image.astype(np.uint8), seen), found)


def test_sure_pixels_stay_what_they_are():
    rng = np.random.default_rng(1)
    blur_map = rng.choice(np.array([0, 0.3, 0.7, 1], np.float32), (40, 50))
    found = segment(texture(40, 50, 3), blur_map)
    assert not found[blur_map == 0].any()
    assert found[blur_map == 1].all()


@pytest.mark.parametrize("value", [0.0, 0.49, 0.5, 1.0])
def test_one_that_is_all_of_a_kind_is_left_whole(value):
    found = segment(texture(20, 30, 3), np.full((20, 30), value, np.float32))
    assert (found == (value >= 0.5)).all()


@settings(max_examples=15, deadline=None)
@given(
    hnp.arrays(np.float32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.floats(0, 1, width=32)),
    st.sampled_from([np.uint8, np.uint16, np.float32]),
    st.sampled_from([1, 3, 5]),
)
def test_any_photo_and_any_map_is_cut(blur_map, dtype, channels):
    photo = texture(*blur_map.shape, channels).astype(dtype)
    assert segment(photo, blur_map).shape == blur_map.shape


def test_a_large_photo_is_cut_at_a_smaller_size():
    truth = ~disk(1700, 500)
    image = np.where(truth[..., None], np.uint8(40), np.uint8(200)).repeat(3, axis=2)
    assert (segment(image, np.where(truth, np.float32(0.8), np.float32(0.2))) != truth).mean() < 0.005


def test_the_cutout_is_transparent_where_it_is_blurred():
    image, blurred = texture(8, 9, 3), disk(9, 3)[:8]
    found = np.asarray(Image.open(io.BytesIO(cutout(image, blurred))))
    np.testing.assert_array_equal(found[..., :3], image)
    np.testing.assert_array_equal(found[..., 3], np.where(blurred, 0, 255))


# Magnification --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_what_is_sharp_is_kept_to_the_bit(dtype, channels):
    photo, blur_map = texture(60, 80, channels).astype(dtype), ramp_map()
    before = photo.copy()
    found = magnify(photo, blur_map, 4.0)
    assert (found.dtype, found.shape) == (photo.dtype, photo.shape)
    np.testing.assert_array_equal(found[blur_map <= 0.5], photo[blur_map <= 0.5])
    assert (found != photo)[blur_map == 1].mean() > 0.9
    np.testing.assert_array_equal(photo, before)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.5, 9), st.integers(0, 1000), st.booleans())
def test_no_colour_of_the_sharp_object_runs_into_its_surroundings(amount, seed, soft):
    sharp = disk()
    blur_map = (~sharp).astype(np.float32)
    if soft:
        blur_map = cv2.GaussianBlur(blur_map, (0, 0), 3)
    background = blur_map >= 0.5
    photo = texture(96, 96, 3)
    other = np.where(background[..., None], photo, texture(96, 96, 3, seed=seed + 1))
    ours, theirs = magnify(photo, blur_map, amount), magnify(other, blur_map, amount)
    np.testing.assert_array_equal(ours[background], theirs[background])


def test_there_is_no_halo():
    """Around a white object the grey surroundings stay grey; a plain blur makes them bright there."""
    photo = np.where(disk()[..., None], np.uint8(255), np.uint8(100)).repeat(3, axis=2)
    blur_map = (~disk()).astype(np.float32)
    np.testing.assert_array_equal(magnify(photo, blur_map, 6.0), photo)
    assert cv2.GaussianBlur(photo, (0, 0), 6)[~disk()].max() > 150


def test_the_blur_grows_with_the_amount_and_with_the_map():
    photo, everywhere = texture(80, 80, 3), np.ones((80, 80), np.float32)
    found = [magnify(photo, everywhere, amount).std() for amount in (0.3, 0.6, 1, 2, 4, 8, 16)]
    assert (np.diff([photo.std(), *found]) < 0).all()
    found = [magnify(photo, everywhere * value, 8.0).std() for value in (0.5, 0.52, 0.55, 0.6, 0.7, 0.8, 0.9, 1)]
    assert found[0] == photo.std()
    assert (np.diff(found) < 0).all()


def test_the_full_amount_is_that_gaussian():
    """A bright point in the dark, as light (float): its spread is the amount."""
    photo = np.zeros((61, 61, 1), np.float32)
    photo[30, 30] = 1
    found = magnify(photo, np.ones((61, 61), np.float32), 4.0)[..., 0]
    spread = np.sqrt((found.sum(axis=0) * (np.arange(61) - 30) ** 2).sum())
    assert found.sum() == pytest.approx(1, abs=1e-4)
    assert spread == pytest.approx(4, rel=0.02)


def test_amounts_between_the_levels_have_their_variance():
    photo = np.zeros((61, 61, 1), np.float32)
    photo[30, 30] = 1
    found = magnify(photo, np.full((61, 61), 0.77, np.float32), 5.0)[..., 0]  # 2 * .77 - 1 = .54 of the amount
    spread = np.sqrt((found.sum(axis=0) * (np.arange(61) - 30) ** 2).sum())
    assert spread == pytest.approx(0.54 * 5, rel=0.02)


def test_a_map_is_snapped_to_edges():
    truth = ~disk(240, 60)
    image = np.where(truth[..., None], np.uint8(60), np.uint8(200)).repeat(3, axis=2)
    blur_map = cv2.GaussianBlur(np.roll(truth, 3, axis=1).astype(np.float32), (0, 0), 3)
    found = snapped(image, blur_map)
    assert ((found >= 0) & (found <= 1)).all()
    assert ((found >= 0.5) != truth).sum() < 0.2 * ((blur_map >= 0.5) != truth).sum()


@pytest.mark.parametrize("amount", [0, -1, 65, float("nan")])
def test_amounts_out_of_range(amount):
    with pytest.raises(ArgumentError, match="amount"):
        magnify(texture(20, 20, 3), np.ones((20, 20), np.float32), amount)


@pytest.mark.parametrize("use", [segment, snapped, lambda photo, blur_map: magnify(photo, blur_map, 2.0)])
def test_a_map_of_another_shape(use):
    with pytest.raises(ArgumentError, match=r"\(20, 20, 3\).*\(20, 21\)"):
        use(texture(20, 20, 3), np.ones((20, 21), np.float32))


# Degrees --------------------------------------------------------------------------------------------------------------


def test_a_sheet_of_many_photos_shows_some_of_all(tmp_path):
    Image.fromarray(texture(40, 60, 3)).save(tmp_path / "one.png")
    found = [Degree(Photo(f"{n:04}.png", tmp_path / "one.png"), n / 1000) for n in range(SHEET_PHOTOS + 50)]
    order = ranked(found)
    assert [one.degree for one in order] == sorted((one.degree for one in found), reverse=True)
    degree_files(Finder(laplacian), order, tmp_path / "out/d.csv", tmp_path / "out/d.png")
    assert len((tmp_path / "out/d.csv").read_text().splitlines()) == SHEET_PHOTOS + 51
    assert Image.open(tmp_path / "out/d.png").height < 26 * 200
    with pytest.raises(PhotoError, match="contact sheet"):
        decode((tmp_path / "out/d.png").read_bytes())


def test_names_with_commas_come_back(tmp_path):
    names = ["a,b.png", 'say "x".png', "=1+1.png"]
    table = degree_csv([Degree(Photo(name, tmp_path), 0.5) for name in names]).decode()
    assert list(csv.reader(io.StringIO(table))) == [["name", "degree"], *([name, "0.500000"] for name in names)]


# The commands ---------------------------------------------------------------------------------------------------------


def test_segment(photo, tmp_path):
    done = invoke("apply", "segment", photo, "--out", tmp_path / "out", "--json")
    assert done.exit_code == 0, done.output
    row = json.loads(done.stdout)
    mask, cut = (np.asarray(Image.open(row[name])) for name in ("mask", "cutout"))
    assert set(np.unique(mask)) == {0, 255}
    assert row["blurred_share"] == pytest.approx((mask > 0).mean(), abs=1e-6)
    np.testing.assert_array_equal(cut[..., 3], 255 - mask)
    again = invoke("apply", "segment", photo, "--out", tmp_path / "again", "--detector", "laplacian")
    assert again.exit_code == 0
    assert (tmp_path / "again/one.mask.png").read_bytes() == (tmp_path / "out/one.mask.png").read_bytes()
    assert sorted(path.name for path in photo.parent.iterdir()) == ["one.png"]


def test_magnify(photo, tmp_path):
    done = invoke("apply", "magnify", photo, "--out", tmp_path / "out", "--json")
    row = json.loads(done.stdout)
    assert row["amount_px"] == 2.0
    image, found = (np.asarray(Image.open(path)) for path in (photo, row["image"]))
    kept = snapped(image, detector_finder("laplacian", 320).probability(image)) <= 0.5
    assert 0.1 < kept.mean() < 0.9
    np.testing.assert_array_equal(found[kept], image[kept])
    assert (found != image)[~kept].any()
    assert invoke("apply", "magnify", photo, "--out", tmp_path / "out", "--amount", 9).exit_code == 6
    assert invoke("apply", "magnify", photo, "--out", tmp_path / "out", "--amount", 9, "--overwrite").exit_code == 0


def test_degree(photo, tmp_path):
    folder = photo.parent
    image = np.asarray(Image.open(photo))
    Image.fromarray(cv2.GaussianBlur(image, (0, 0), 6)).save(folder / "blurred.png")
    Image.fromarray(data.astronaut()[:160, 100:300]).save(folder / "sharp.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    done = invoke("apply", "degree", folder, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "skipped: broken.jpg" in done.stderr
    rows = list(csv.DictReader((tmp_path / "out/degrees.csv").read_text().splitlines()))
    assert [row["name"] for row in rows] == ["blurred.png", "one.png", "sharp.png"]
    expected = detector_finder("laplacian", 320).probability(image).mean()
    assert float(rows[1]["degree"]) == pytest.approx(expected, abs=1e-5)
    assert Image.open(tmp_path / "out/degrees.png").width > 400
    done = invoke("apply", "degree", folder, "--out", tmp_path / "json", "--json")
    listed = json.loads(done.stdout)
    assert [row["photo"] for row in listed] == ["blurred.png", "one.png", "sharp.png", "broken.jpg"]
    assert listed[3]["degree"] is None


def test_predict_with_a_detector(photo, tmp_path):
    done = invoke("predict", photo, "--detector", "laplacian", "--out", tmp_path / "png", "--overlay")
    assert done.exit_code == 0, done.output
    done = invoke("predict", photo, "--detector", "laplacian", "--out", tmp_path / "npy", "--format", "npy")
    assert done.exit_code == 0, done.output
    scores = DETECTORS["laplacian"](np.asarray(Image.open(photo)))
    np.testing.assert_array_equal(np.load(tmp_path / "npy/one.npy"), scores)
    expected = np.rint(255 * as_probability(scores, "laplacian"))
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "png/one.png")), expected)


@pytest.mark.parametrize("name", list(DETECTORS))
@pytest.mark.parametrize("shape", [(40, 50), (400, 333)])
def test_every_detector_finds_at_a_smaller_scale(name, shape):
    found = detector_finder(name, 64).find(texture(*shape, 5))
    assert (found.shape, found.dtype) == (shape, np.float32)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["apply", "segment", "{photo}", "--out", "{out}", "--detector", "laplacean"], 2, 'did you mean "laplacian"'),
        (["apply", "segment", "{folder}", "--out", "{out}"], 4, "is a folder"),
        (["apply", "magnify", "{folder}/none.png", "--out", "{out}"], 4, "no such photo"),
        (["apply", "magnify", "{photo}", "--out", "{folder}"], 6, "among the photos"),
        (["apply", "degree", "{folder}", "--out", "{folder}/out"], 6, "among the photos"),
        (["apply", "degree", "{photo}", "--out", "{out}", "--detector", "laplacian", "--model", "x"], 2, "either"),
        (["apply", "degree", "", "--out", "{out}"], 2, "empty"),
        (["predict", "{photo}", "--out", "{out}"], 2, "--model or --detector"),
        (["predict", "{photo}", "--out", "{out}", "--detector", "constant", "--tta", "flip"], 2, "for models"),
    ],
)
def test_errors_are_one_line(photo, tmp_path, arguments, code, said):
    names = {"photo": photo, "folder": photo.parent, "out": tmp_path / "out"}
    done = invoke(*(argument.format(**names) for argument in arguments))
    assert done.exit_code == code, done.output
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_photo_that_is_none(photo, tmp_path):
    (photo.parent / "broken.jpg").write_bytes(b"\xff\xd8\xff no photo")
    with pytest.raises(PhotoError, match=r"broken\.jpg"):
        segment_file(detector_finder("laplacian"), photo.parent / "broken.jpg", tmp_path / "out")
    (photo.parent / "one.png").unlink()
    done = invoke("apply", "degree", photo.parent, "--out", tmp_path / "out")
    assert done.exit_code == 4
    assert "none of the photos can be used" in done.stderr


def test_a_photo_is_not_overwritten_through_a_link(photo, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "one.mask.png").symlink_to(photo)
    with pytest.raises(OutputError, match="one of the photos"):
        segment_file(detector_finder("laplacian"), photo, out, overwrite=True)
    with pytest.raises(SourceError, match="is a folder"):
        segment_file(detector_finder("laplacian"), photo.parent, out)


def test_detectors_need_no_torch(photo, tmp_path):
    code = "import sys; sys.modules['torch'] = None; from blurgen_cli.main import main; main()"
    commands = (["apply", "segment", photo], ["apply", "degree", photo], ["predict", photo, "--detector", "laplacian"])
    for number, command in enumerate(commands):
        arguments = [*map(str, command), "--out", str(tmp_path / f"out{number}")]
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["segment", "degree", "magnify"])
def test_every_option_has_help(name):
    command = main.commands["apply"].commands[name]
    assert command.help
    assert all(param.help for param in command.params if param.param_type_name == "option")
    assert invoke("apply", name, "--help").exit_code == 0


def test_magnify_keeps_the_depth_of_a_photo(tmp_path):
    deep = (data.camera()[:96, :120].astype(np.uint16) << 8) + 7
    Image.fromarray(deep).save(tmp_path / "deep.png")
    done = magnify_file(detector_finder("laplacian"), tmp_path / "deep.png", tmp_path / "out")
    with Image.open(done["image"]) as found:
        values = np.asarray(found)
    assert values.max() > 255
    assert (values == deep).any()  # what is sharp, to the bit
