"""Maps of photos: tiles without seams, mirror images, files."""

import json
import math

import click
import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

torch = pytest.importorskip("torch")

from blurgen.errors import ArgumentError, ModelError, OutputError, SourceError, TrainingError  # noqa: E402
from blurgen.evaluation.scaling import enlarged, smaller  # noqa: E402
from blurgen.maps import MapOptions, map_names, predict_files  # noqa: E402
from blurgen.training.models import BlurModel, build_model  # noqa: E402
from blurgen.training.predict import VIEWS, model_finder, predict, tiles  # noqa: E402
from blurgen.training.run import BEST_NAME, CONFIG_KEY, DataFacts, RunConfig, load_model  # noqa: E402
from blurgen.training.spreading import spread  # noqa: E402
from blurgen.training.weights import write_safetensors  # noqa: E402


class Box(BlurModel):
    """The logit is the sum of what lies within ``reach`` px, weighted unevenly; every second row and column counts."""

    def __init__(self, reach=3, multiple=2, channels=3, bounded=True):
        super().__init__(channels)
        self.reach, self.multiple_px = reach, multiple
        self.reach_px = reach if bounded else None
        side = 2 * reach + 1
        weight = np.random.default_rng(0).normal(size=(1, channels, side, side)) / side
        self.weight = torch.nn.Parameter(torch.tensor(weight, dtype=torch.float32))

    def forward(self, x, every=False):
        grid = torch.zeros_like(x)
        grid[..., :: self.multiple_px, :: self.multiple_px] = 1
        return torch.nn.functional.conv2d(x * grid, self.weight, padding=self.reach)


class Mean(BlurModel):
    """One logit for all pixels: the mean of what it is shown."""

    def __init__(self, factor=1.0):
        super().__init__(1)
        self.factor = torch.nn.Parameter(torch.tensor(factor))

    def forward(self, x, every=False):
        return (x.mean((1, 2, 3), keepdim=True) * self.factor).expand(-1, -1, *x.shape[-2:])


class Value(BlurModel):
    """The probability is the value of the first channel."""

    reach_px = 0

    def __init__(self, channels=3):
        super().__init__(channels)
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x, every=False):
        return torch.logit(x[:, :1])


def noise(*shape):
    return np.random.default_rng(7).integers(0, 256, shape, np.uint8)


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 90), st.integers(1, 90)),
    st.integers(0, 5),
    st.sampled_from([1, 2, 3, 8]),
    st.integers(0, 20),
    st.sampled_from(["none", "flip", "4", "scales"]),
)
def test_tiles_change_nothing_where_the_reach_is_bounded(shape, reach, multiple, more, tta):
    model, photo = Box(reach, multiple), noise(*shape, 3)
    least = -(-2 * reach // multiple) * multiple + 2 * multiple
    whole = predict(model, photo, tta=tta, tile_px=256)
    np.testing.assert_allclose(predict(model, photo, tta=tta, tile_px=least + more), whole, atol=1e-5)


@settings(max_examples=200, deadline=None)
@given(st.integers(1, 500), st.integers(1, 9), st.integers(2, 40), st.one_of(st.none(), st.integers(0, 20)))
def test_weights_of_tiles(length, multiple, count, reach):
    side = multiple * count
    if side < 2 * (reach or 0) + 2 * multiple:
        side += -(-2 * (reach or 0) // multiple) * multiple
    total = np.zeros(length)
    for window, weight in tiles(length, side, multiple, reach):
        assert window.start % multiple == 0
        assert window.stop - window.start <= side
        assert (window.stop % multiple == 0) or window.stop == length
        total[window] += weight
        kept = window.start + np.flatnonzero(weight)
        if reach is not None and len(kept):
            assert window.start == 0 or kept.min() - window.start >= reach
            assert window.stop == length or window.stop - 1 - kept.max() >= reach
    np.testing.assert_allclose(total, 1, atol=1e-6)


def test_a_real_model_in_tiles():
    torch.manual_seed(0)
    model = build_model("unet-xs", 3).eval()
    photo = noise(150, 4 * model.reach_px + 111, 3)
    whole = predict(model, photo, tile_px=4096)
    tiled = predict(model, photo, tile_px=2 * model.reach_px + 4 * model.multiple_px)
    assert whole.std() > 0
    np.testing.assert_allclose(tiled, whole, atol=1e-5)


def test_tiles_fade_linearly_where_the_reach_has_no_bound():
    photo = np.zeros((20, 100, 1), np.uint8)
    photo[:, 50:] = 255
    found = predict(Mean(), photo, tile_px=64)  # windows 0 to 64 and 36 to 100
    ends = [1 / (1 + math.exp(-share)) for share in (14 / 64, 50 / 64)]
    np.testing.assert_allclose(found[:, [0, 35]], ends[0], atol=1e-6)
    np.testing.assert_allclose(found[:, [64, 99]], ends[1], atol=1e-6)
    np.testing.assert_allclose(np.diff(found[0, 36:64]), (ends[1] - ends[0]) / 28, atol=1e-6)


def test_maps_are_probabilities_and_never_stretched():
    photo = np.full((40, 50, 3), 102, np.uint8)
    photo[5, 5] = 153
    found = predict(Value(), photo)
    assert found.dtype == np.float32
    assert found.shape == (40, 50)
    assert (found.min(), found.max()) == pytest.approx((0.4, 0.6), abs=1e-6)


def test_a_photo_and_its_halves_are_averaged_while_they_are_large_enough():
    photo = noise(1100, 1030, 3)
    sizes = [photo, half := smaller(photo, 515), smaller(half, 257)]
    wanted = np.mean([enlarged(predict(Box(), one), photo.shape[:2]) for one in sizes], axis=0)
    np.testing.assert_allclose(predict(Box(), photo, tta="scales"), wanted, atol=1e-6)


def test_maps_are_spread_at_the_size_at_which_they_are_found():
    photo = noise(200, 300, 3)
    np.testing.assert_array_equal(predict(Box(), photo, spread=True), spread([predict(Box(), photo)], [photo]))
    small = smaller(photo, 64)
    wanted = enlarged(spread([predict(Box(), small)], [small]), photo.shape[:2])
    np.testing.assert_allclose(predict(Box(), photo, spread=True, short_side=64), wanted, atol=1e-6)


def striped(height, width):
    """Stripes of 255 and 140: blurred, as ``Value`` has it."""
    photo = np.full((height, width, 3), 255, np.uint8)
    photo[:, ::2] = 140
    return photo


def at_half(photo, **how):
    half = smaller(photo, min(photo.shape[:2]) // 2)
    return enlarged(predict(Value(), half, tta="scales", **how), photo.shape[:2])


@pytest.mark.parametrize("spread_out", [False, True])
def test_a_large_size_at_which_hardly_anything_is_sharp_is_left_out(spread_out):
    photo, how = striped(1040, 1030), {"spread": spread_out}
    np.testing.assert_allclose(predict(Value(), photo, tta="scales", **how), at_half(photo, **how), atol=1e-6)
    photo[:300] //= 3
    assert np.abs(predict(Value(), photo, tta="scales", **how) - at_half(photo, **how)).max() > 0.02


def test_how_much_is_sharp_is_counted_by_gradients():
    """In 30 of 1040 rows half of the pixels are sharp: a seventieth of the pixels, a fifteenth of the gradients."""
    columns = np.arange(1030) % 4 < 2
    photo = np.where(columns, 150, 200).astype(np.uint8)[None, :, None].repeat(1040, axis=0).repeat(3, axis=2)
    photo[:30] = np.where(columns, 0, 250)[None, :, None]
    assert np.abs(predict(Value(), photo, tta="scales") - at_half(photo)).max() > 0.02
    photo[:30] = 100  # flat
    np.testing.assert_allclose(predict(Value(), photo, tta="scales"), at_half(photo), atol=1e-6)


def test_sizes_up_to_1024_px_count_though_nothing_is_sharp():
    photo = striped(1024, 1030)
    assert np.abs(predict(Value(), photo, tta="scales") - at_half(photo)).max() > 0.02


def test_from_the_first_size_on_at_which_nothing_is_sharp():
    """Sharp at full size, but not at half: what a photo shows only when it is larger still is noise."""
    photo = np.zeros((2080, 2060, 3), np.uint8)
    photo[::2, ::2] = photo[1::2, 1::2] = 255
    photo[:, :1500] = 200
    photo[:, 1500:] = np.maximum(photo[:, 1500:], 100)  # a mean of 177 at half size
    np.testing.assert_allclose(predict(Value(), photo, tta="scales"), at_half(photo), atol=0.01)


def test_a_photo_asked_about_at_one_size_is_answered_at_that():
    photo = striped(1040, 1030)
    np.testing.assert_allclose(predict(Value(), photo), photo[..., 0] / np.float32(255), atol=1e-5)


def test_a_small_photo_has_one_scale():
    photo = noise(300, 511, 3)
    np.testing.assert_array_equal(predict(Box(), photo, tta="scales"), predict(Box(), photo))


def test_the_command_line_knows_every_tta():
    from blurgen_cli.finding import TTA_OPTION

    command = TTA_OPTION(click.command()(lambda tta: None))
    assert list(command.params[0].type.choices) == list(VIEWS)


@pytest.mark.parametrize(("tta", "flips"), [("none", [()]), ("flip", [(), 1]), ("4", [(), 0, 1, (0, 1)])])
def test_mirror_images_are_averaged(tta, flips):
    model, photo = Box(), noise(31, 40, 3)
    views = [np.flip(predict(model, np.flip(photo, axes)), axes) for axes in flips]
    np.testing.assert_allclose(predict(model, photo, tta=tta), np.mean(views, axis=0), atol=1e-6)


def test_grey_and_colour_fit_each_other():
    grey = noise(33, 34, 1)
    three, one = Box(channels=3), Box(channels=1)
    np.testing.assert_array_equal(predict(three, grey), predict(three, grey.repeat(3, axis=2)))
    np.testing.assert_allclose(predict(one, grey.repeat(3, axis=2)), predict(one, grey), atol=1e-5)
    red = np.zeros((32, 32, 3), np.uint8)
    red[..., 0] = 255
    np.testing.assert_allclose(predict(Value(1), red), 0.299, atol=1e-6)
    with pytest.raises(ModelError, match=r"4 channels.*trained on 3"):
        predict(three, noise(33, 34, 4))


def test_depth_is_a_share_of_full_scale():
    photo = noise(32, 32, 3)
    expected = predict(Value(), photo)
    np.testing.assert_allclose(predict(Value(), photo.astype(np.uint16) * 257), expected, atol=1e-6)
    np.testing.assert_allclose(predict(Value(), photo.astype(np.float32) / 255), expected, atol=1e-6)


def test_a_smaller_scale_averages_and_comes_back_with_corners_aligned():
    photo = np.zeros((64, 128, 3), np.uint8)
    photo[:, 64:] = 200
    found = predict(Value(), photo, short_side=2)  # the model sees 2 x 4 px
    row = np.interp(np.linspace(0, 3, 128), [0, 1, 2, 3], np.array([0, 0, 200, 200]) / 255)
    np.testing.assert_allclose(found, np.tile(row, (64, 1)), atol=1e-5)
    np.testing.assert_array_equal(predict(Value(), photo, short_side=64), predict(Value(), photo))
    np.testing.assert_array_equal(predict(Value(), photo, short_side=999), predict(Value(), photo))


def test_no_memory_names_what_to_lower():
    class Greedy(Value):
        def forward(self, x, every=False):
            return torch.empty(2**56)

    with pytest.raises(TrainingError, match="--tile"):
        predict(Greedy(), noise(32, 32, 3))


def test_no_memory_for_spreading_names_what_to_lower(monkeypatch):
    def hungry(*_):
        cv2.copyMakeBorder(noise(9, 9, 3), 0, 2**30, 0, 2**30, cv2.BORDER_CONSTANT)

    monkeypatch.setattr("blurgen.training.predict.spread_out", hungry)
    with pytest.raises(TrainingError, match="--short-side"):
        predict(Value(), noise(32, 32, 3), spread=True)


def test_bad_arguments():
    with pytest.raises(ArgumentError, match="flip"):
        predict(Box(), noise(32, 32, 3), tta="eight")
    with pytest.raises(ArgumentError, match="10 px at least"):
        predict(Box(reach=3, multiple=2), noise(32, 32, 3), tile_px=9)
    with pytest.raises(ArgumentError):
        predict(Box(), noise(32, 32, 3), short_side=0)
    with pytest.raises(ArgumentError):
        predict(Box(), noise(32, 32))
    with pytest.raises(ModelError, match="no numbers"):
        predict(Mean(math.nan), noise(32, 32, 1))


# Files ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def photos(tmp_path):
    """Three good photos, two of one stem, one turned by EXIF; and two bad ones."""
    root = tmp_path / "photos"
    (root / "a").mkdir(parents=True)
    Image.fromarray(noise(40, 50, 3)).save(root / "a/b.jpg")
    Image.fromarray(noise(40, 50, 3)).save(root / "a/b.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.fromarray(noise(40, 60, 3)).save(root / "turned.jpg", exif=turned)
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 no photo")
    (root / "small.png").write_bytes(cv2.imencode(".png", noise(8, 8, 3))[1].tobytes())
    return root


def test_maps_of_a_folder(photos, tmp_path, capfd):
    out = tmp_path / "maps"
    found = list(predict_files(model_finder(Value()), photos, out, MapOptions(overlay=True)))
    assert {one.photo: one.map and one.map.relative_to(out).as_posix() for one in found} == {
        "a/b.jpg": "a/b.jpg.png",
        "a/b.png": "a/b.png.png",
        "broken.jpg": None,
        "small.png": None,
        "turned.jpg": "turned.png",
    }
    assert all(one.reason for one in found if not one.map)
    red = np.asarray(Image.open(photos / "a/b.png"))[..., 0]
    np.testing.assert_array_equal(np.asarray(Image.open(out / "a/b.png.png")), red)
    assert Image.open(out / "turned.png").size == (40, 60)
    assert Image.open(out / "turned.overlay.jpg").size == (40, 60)
    assert next(one.mean for one in found if one.photo == "a/b.png") == pytest.approx((red / 255).mean(), abs=1e-6)
    assert sorted(path.name for path in out.iterdir()) == ["a", "turned.overlay.jpg", "turned.png"]
    assert capfd.readouterr() == ("", "")


def test_maps_as_floats_are_the_same_each_time(photos, tmp_path):
    for name in ("one", "two"):
        list(predict_files(model_finder(Box()), photos, tmp_path / name, MapOptions(format="npy")))
    first = np.load(tmp_path / "one/a/b.png.npy")
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, predict(Box(), np.asarray(Image.open(photos / "a/b.png"))))
    for path in (tmp_path / "one").rglob("*.npy"):
        assert path.read_bytes() == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()


def test_arrays_of_many_channels(tmp_path):
    np.save(tmp_path / "cube.npy", noise(40, 41, 5))
    (found,) = predict_files(model_finder(Value(5)), tmp_path / "cube.npy", tmp_path / "maps", MapOptions())
    assert np.asarray(Image.open(found.map)).shape == (40, 41)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["a/b.jpg", "c.d.png"], ["a/b.png", "c.d.png"]),
        (["b.jpg", "b.png", "b.jpg.tif"], ["b.jpg.png", "b.png.png", "b.jpg.tif.png"]),
        (["x/b.jpg", "y/b.jpg"], ["x/b.png", "y/b.png"]),
    ],
)
def test_every_photo_has_a_map_of_its_own(names, expected):
    assert map_names(names, "png") == expected


@given(st.lists(st.sampled_from([f"b{a}{b}{c}" for a in ("", ".png") for b in ("", ".jpg") for c in (".png", ".jpg")])))
def test_names_are_unique(names):
    names = sorted(set(names))
    assert len(set(map_names(names, "png"))) == len(names)


def test_nothing_that_is_there_is_overwritten(photos, tmp_path):
    for out in (photos, photos / "maps", tmp_path):
        with pytest.raises(OutputError, match="among the photos"):
            list(predict_files(model_finder(Value()), photos, out, MapOptions()))
    with pytest.raises(OutputError, match="among the photos"):
        list(predict_files(model_finder(Value()), photos / "a/b.jpg", photos / "a", MapOptions()))
    out = tmp_path / "maps"
    out.mkdir()
    (out / "turned.png").write_bytes(b"a human mask")
    with pytest.raises(OutputError, match=r"turned\.png.*--overwrite"):
        list(predict_files(model_finder(Value()), photos, out, MapOptions()))
    assert (out / "turned.png").read_bytes() == b"a human mask"
    list(predict_files(model_finder(Value()), photos, out, MapOptions(overwrite=True)))
    assert Image.open(out / "turned.png").size == (40, 60)


def test_a_photo_that_is_reached_by_a_link_is_not_overwritten_either(photos, tmp_path):
    out = tmp_path / "maps"
    (out / "a").mkdir(parents=True)
    Image.fromarray(noise(40, 50, 3)).save(out / "a/c.png")
    (photos / "a").rename(tmp_path / "aside")
    (photos / "a").symlink_to(out / "a")
    before = (out / "a/c.png").read_bytes()
    with pytest.raises(OutputError, match="one of the photos"):
        list(predict_files(model_finder(Value()), photos, out, MapOptions(overwrite=True)))
    assert (out / "a/c.png").read_bytes() == before


def test_no_photo_that_can_be_used(photos, tmp_path):
    with pytest.raises(SourceError, match="broken"):
        list(predict_files(model_finder(Value()), photos / "broken.jpg", tmp_path / "maps", MapOptions()))
    with pytest.raises(SourceError, match="no such photo"):
        list(predict_files(model_finder(Value()), photos / "none.jpg", tmp_path / "maps", MapOptions()))
    with pytest.raises(SourceError, match="trained on 7"):
        list(predict_files(model_finder(Value(7)), photos, tmp_path / "maps", MapOptions()))


# The command ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    """A run of an untrained unet-xs."""
    torch.manual_seed(0)
    config = RunConfig(model="unet-xs", data=DataFacts())
    folder = tmp_path / "run"
    folder.mkdir()
    tensors = build_model("unet-xs", 3).state_dict()
    write_safetensors(folder / BEST_NAME, tensors, {CONFIG_KEY: config.to_toml()})
    return folder


def invoke(*arguments):
    from blurgen_cli.main import main

    return CliRunner().invoke(main, ["predict", *map(str, arguments)])


def test_the_command(run, photos, tmp_path):
    done = invoke(photos, "--model", run, "--out", tmp_path / "maps", "--tta", "flip", "--overlay", "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.stdout)
    assert len(rows) == 5
    assert sum(row["map"] is None for row in rows) == 2
    assert all(0 < row["mean"] < 1 for row in rows if row["map"])
    done = invoke(photos / "turned.jpg", "--model", run / BEST_NAME, "--out", tmp_path / "one", "--short-side", 32)
    assert done.exit_code == 0, done.output
    assert "  turned.jpg: " in done.stdout
    assert "1 map in" in done.stdout


@pytest.mark.parametrize(
    ("options", "how"),
    [
        ([], {"tta": "scales", "spread": True}),
        (["--no-spread"], {"tta": "scales"}),
        (["--tta", "flip"], {"tta": "flip", "spread": True}),
        (["--tta", "none", "--no-spread"], {}),
    ],
)
def test_what_the_command_does_unless_told_otherwise(options, how, run, tmp_path):
    photo = noise(520, 530, 3)
    Image.fromarray(photo).save(tmp_path / "photo.png")
    done = invoke(tmp_path / "photo.png", "--model", run, "--out", tmp_path / "maps", "--format", "npy", *options)
    assert done.exit_code == 0, done.output
    wanted = predict(load_model(run)[0], photo, **how)
    np.testing.assert_allclose(np.load(tmp_path / "maps/photo.npy"), wanted, atol=1e-6)


@pytest.mark.parametrize("option", [["--tta", "none"], ["--spread"], ["--no-spread"]])
def test_a_detector_has_no_such_options(option, photos, tmp_path):
    done = invoke(photos, "--detector", "laplacian", "--out", tmp_path / "maps", *option)
    assert done.exit_code == 2
    assert "are for models" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["{photos}", "--model", "{run}", "--out", "{photos}"], 6, "among the photos"),
        (["{photos}/none", "--model", "{run}", "--out", "{out}"], 4, "no such photo"),
        (["{photos}", "--model", "{photos}", "--out", "{out}"], 10, "best.safetensors"),
        (["{photos}", "--model", "{run}", "--out", "{out}", "--tile", "32"], 2, "at least"),
        (["{photos}", "--model", "{run}", "--out", "{out}", "--tta", "8"], 2, "tta"),
    ],
)
def test_errors_of_the_command(arguments, code, words, run, photos, tmp_path):
    places = {"photos": photos, "run": run, "out": tmp_path / "maps"}
    done = invoke(*(argument.format(**places) for argument in arguments))
    assert done.exit_code == code, done.output
    assert words in done.stderr
    assert not (tmp_path / "maps").exists()
