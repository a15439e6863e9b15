"""A pair is what its provenance says: rendered again from that alone it is the same, to the bit, or it is told."""

import json
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner
from helpers_shards import RECIPE, make, photo_crop, write_photos
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from test_generate import OneSquare

from blurgen import open_dataset
from blurgen.dataset.manifest import build_versions, read_manifest
from blurgen.errors import ArgumentError, BlurgenError, ShardError, SourceError
from blurgen.files import document_digest, publish_json
from blurgen.originals import read_origins
from blurgen.plan import evenly_spread
from blurgen.replay import replay
from blurgen.shards.format import MANIFEST_NAME, PROVENANCE_FIELDS
from blurgen.shards.reader import Shard
from blurgen.sources import Photo, Source, open_source
from blurgen_cli.main import main

FORMER = Path(__file__).parent / "data" / "schema-2"
FORMER_PHOTOS = FORMER.parent / "schema-2-photos"

PNG = {"storage.codec": "png"}
EVERY_KIND = {
    "mask.kinds": {"proposal": 1.0, "other-photo": 1.0, "half-plane": 1.0, "ellipse": 1.0},
    "mask.p_second": 0.5,
}
EVERY_BLUR = {
    "blur.defocus_kinds": {"gaussian": 1.0, "disk": 1.0, "polygon": 1.0},
    "blur.motion_kinds": dict.fromkeys(("linear-motion", "nonlinear-motion", "camera-shake", "rotation", "zoom"), 1.0),
    "blur.p_tilt": 0.5,
}
ONE_CLASS = {"mask.p_all_sharp": 0.3, "mask.p_all_blurred": 0.3}
CAMERA = {
    "camera.linear_light": True,
    "camera.highlight_gain_range": [2.0, 8.0],
    "camera.highlight_start": 0.6,
    "camera.noise": 1.0,
    "camera.soft_border": True,
    "camera.p_jpeg": 0.5,
}
TARGETS = {"targets.amount": True, "targets.type": True, "targets.unknown": True}
NATIVE = {"photo.pixels": "native", "geometry.size": "native"}
CASES = {
    "standard": {},
    "every kind": EVERY_KIND | PNG,
    "every blur": EVERY_BLUR | TARGETS,
    "one class": ONE_CLASS | EVERY_BLUR | {"storage.codec": "raw"},
    "camera": CAMERA | EVERY_BLUR | EVERY_KIND | PNG,
    "scenes": {"mask.pairs_per_mask": 4} | EVERY_BLUR | EVERY_KIND | ONE_CLASS | PNG,
    "scenes of a camera": {"mask.pairs_per_mask": 3} | CAMERA | EVERY_BLUR | TARGETS,
    "telea": {"fill.method": "telea"} | EVERY_KIND,
    "no fill": {"fill.method": "none"} | EVERY_BLUR,
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def made(photos, cache, tmp_path_factory):
    """8 pairs in 3 shards, losslessly, not to be changed."""
    folder = tmp_path_factory.mktemp("made") / "set"
    make(photos, folder, cache, recipe=RECIPE.with_values(PNG))
    return folder


@pytest.fixture
def copy(made, tmp_path):
    return shutil.copytree(made, tmp_path / "copy")


def replayed(folder, photos, cache, pairs=None):
    """Faults by pair."""
    source = photos if isinstance(photos, Source) else open_source("folder", photos)
    count = read_manifest(folder)["pairs"]
    return {one.pair: one.faults for one in replay(folder, source, pairs or range(count), cache=cache)}


def all_agree(count):
    return {pair: [] for pair in range(count)}


def alter(folder, pair, columns):
    """Write other values into the row of a pair, which is in the shard of its three."""
    with h5py.File(folder / f"shard-{pair // 3:05d}.h5", "r+") as file:
        table = file["provenance"][:]
        for name, value in columns.items():
            table[name][pair % 3] = value
        file["provenance"][:] = table


def change_manifest(folder, **changes):
    manifest = read_manifest(folder) | changes
    publish_json(folder / MANIFEST_NAME, manifest | {"digest": document_digest(manifest)})


# What agrees ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_every_pair_is_the_same_again(photos, cache, tmp_path, case):
    make(photos, tmp_path / "set", cache, n=14, recipe=RECIPE.with_values(CASES[case]))
    assert replayed(tmp_path / "set", photos, cache) == all_agree(14)


def test_photos_of_any_depth_and_channels(cache, tmp_path):
    planes = np.dstack([photo_crop(0), photo_crop(1)])
    for name, array in {
        "deep": photo_crop(0).astype(np.uint16) * 257,
        "light": photo_crop(1) / np.float32(200),
        "many": planes,
        "grey": planes[..., 0],
    }.items():
        np.save(tmp_path / f"{name}.npy", array)
    source = open_source("folder", tmp_path, arrays=True)
    recipe = RECIPE.with_values(CAMERA | EVERY_KIND | NATIVE | {"mask.pairs_per_mask": 2})
    make(source, tmp_path / "set", cache, n=16, recipe=recipe)
    with open_dataset(tmp_path / "set") as data:
        assert {pair.image.dtype.name for pair in data} == {"uint8", "uint16", "float32"}
    assert replayed(tmp_path / "set", source, cache) == all_agree(16)


def test_annotated_objects_and_pairs_made_from_a_spare_photo(photos, cache, tmp_path):
    good, speck = (Photo(f"{side}.png", photos / "0.png", objects=OneSquare(side)) for side in (40, 3))
    source = Source("coco", "here", (good, speck))
    recipe = RECIPE.with_values({"mask.kinds": {"largest-object": 1.0}})
    assert make(source, tmp_path / "set", cache, recipe=recipe).replaced == 4
    assert not any(replayed(tmp_path / "set", source, cache).values())
    bare = Source("coco", "here", (replace(good, objects=None),))
    assert "no annotated object" in replayed(tmp_path / "set", bare, cache)[0][0]
    grown = Source("coco", "here", (replace(good, objects=OneSquare(30)),))
    assert "the regions of photo 40.png are others now" in replayed(tmp_path / "set", grown, cache)[0][0]


def test_regions_are_found_again_where_there_is_no_cache(made, photos, tmp_path):
    assert not any(replayed(made, photos, tmp_path).values())
    assert len(list(tmp_path.rglob("*.regions"))) == 3


def test_a_photo_that_was_moved_is_found_by_its_bytes(photos, cache, tmp_path):
    recipe = RECIPE.with_values({"mask.kinds": {"other-photo": 1.0}})
    make(photos, tmp_path / "set", cache, recipe=recipe)
    elsewhere = tmp_path / "elsewhere" / "deep"
    shutil.copytree(photos, elsewhere)
    names = ("0.png", "1.png", "2.png")
    for name in names:
        (elsewhere / name).rename(elsewhere / f"tmp-{name}")
    for name, other in zip(names, (*names[1:], names[0]), strict=True):  # each under the name of another
        (elsewhere / f"tmp-{name}").rename(elsewhere.parent / other)
    assert not any(replayed(tmp_path / "set", elsewhere.parent, cache).values())


def test_a_data_set_of_the_former_schema(cache):
    source = open_source("folder", FORMER_PHOTOS)
    same_build = read_manifest(FORMER)["build"] == build_versions()
    with open_dataset(FORMER) as data:
        for one, former in zip(replay(FORMER, source, range(5), cache=cache), data, strict=True):
            assert not same_build or one.faults == []
            np.testing.assert_array_equal(one.made.mask, former.mask)
            assert np.abs(one.made.image.astype(int) - former.image).mean() < 2  # stored as JPEG
            known = former.provenance.keys() & one.made.provenance.keys() - {"reach_px"}
            numbers = {name for name in known if not PROVENANCE_FIELDS[name].startswith("S")}
            assert numbers_of(one.made, numbers) == pytest.approx(numbers_of(former, numbers), rel=1e-6)
            assert {one.made.provenance[name] == former.provenance[name] for name in known - numbers} == {True}


def numbers_of(pair, names):
    return {name: pair.provenance[name] for name in names}


def test_pairs_are_chosen_evenly():
    assert evenly_spread(3, 9) == [0, 3, 6]
    assert evenly_spread(10, 4) == [0, 1, 2, 3]


# What differs ---------------------------------------------------------------------------------------------------------


def test_a_changed_pixel_in_a_photo_is_refused(made, photos, cache, tmp_path):
    changed = shutil.copytree(photos, tmp_path / "changed")
    with Image.open(changed / "1.png") as image:
        pixels = np.array(image)
    pixels[5, 7, 1] ^= 1
    Image.fromarray(pixels).save(changed / "1.png")
    with open_dataset(made) as data:
        expected = {pair.provenance["pair"] for pair in data if pair.provenance["photo"] == "1.png"}
    found = replayed(made, changed, cache)
    assert {pair for pair, faults in found.items() if faults} == expected
    assert all("1.png has other bytes" in found[pair][0] for pair in expected)


def test_a_photo_that_is_gone_is_named(made, photos, cache, tmp_path):
    shutil.copy(photos / "0.png", tmp_path / "0.png")
    found = replayed(made, tmp_path, cache)
    assert any("2.png is not there" in " ".join(faults) for faults in found.values())
    assert not all(found.values())


def test_a_changed_amount_of_blur_is_told(photos, cache, tmp_path):
    recipe = RECIPE.with_values({"blur.p_motion": 0.0, "targets.amount": True})
    make(photos, tmp_path / "set", cache, recipe=recipe)
    with open_dataset(tmp_path / "set") as data:
        sigma = data[4].provenance["sigma_px"]
    alter(tmp_path / "set", 4, {"sigma_px": sigma + 0.5})
    found = replayed(tmp_path / "set", photos, cache)
    assert [pair for pair in found if found[pair]] == [4]
    parts = {fault.split(":")[0] for fault in found[4]}
    assert {"image", "target amount", "column reach_px"} <= parts
    assert not {"mask", "column sigma_px"} & parts


def test_a_pair_of_another_pixel_is_told(copy, photos, cache):
    with h5py.File(copy / "shard-00001.h5", "r+") as file:
        table = file["provenance"][:]
        table["blurred_share"][0] += 1e-6
        table["noise_sigma"][1] = 3
        file["provenance"][:] = table
    found = replayed(copy, photos, cache)
    assert [pair for pair in found if found[pair]] == [3, 4]
    assert found[3][0].startswith("column blurred_share: ")
    assert found[4] == ["column noise_sigma: 3.0 there, 0.0 now"]


def test_stored_bytes_of_other_pixels_are_told(copy, photos, cache):
    with Shard(copy / "shard-00000.h5") as shard:
        masks = [shard.stored("mask", place) for place in range(3)]
    with h5py.File(copy / "shard-00000.h5", "r+") as file:
        first, end = file["mask_offsets"][1:3].tolist()
        blob = bytearray(masks[1])
        blob[2] ^= 0xFF  # in the middle of the deflated bits
        file["mask_bytes"][first:end] = np.frombuffer(bytes(blob), np.uint8)
    found = replayed(copy, photos, cache)
    assert [pair for pair in found if found[pair]] == [1]
    assert "mask" in found[1][0]


HOSTILE = {
    "a region beyond": ({"region": 2**31 - 1}, "regions of photo"),
    "another region": ({"region": 0, "score": 0.123}, "regions of photo"),
    "another score": ({"score": 0.987}, "regions of photo"),
    "a crop outside": ({"crop_height": 10**6}, "crop lies outside"),
    "a crop beside": ({"left": 63}, "crop lies outside"),
    "another size": ({"height": 40}, "px, its recipe says 48 x 48"),
    "a fill of no kind": ({"fill": b"lava"}, "column fill of the provenance table holds an unknown word"),
    "a mask of no kind": ({"mask_kind": b"cloud"}, "holds an unknown word"),
    "no mask": ({"mask_kind": b"none"}, "holds an unknown word"),
    "an annotated object": ({"mask_kind": b"object"}, "no annotated objects"),
    "a shape of nothing": ({"mask_kind": b"half-plane"}, "empty one"),
    "an ellipse of nothing": ({"mask_kind": b"ellipse", "mask_aspect": 0.5}, "empty one"),
    "an ellipse that is none": ({"mask_kind": b"ellipse", "mask_share": 0.5}, "in the ratio 0; impossible"),
    "a lender of no name": ({"mask_kind": b"other-photo"}, "the manifest does not list"),
    "a second region of one class": ({"second_mask_kind": b"all-sharp"}, "holds an unknown word"),
    "a second region without blur": ({"second_mask_kind": b"half-plane", "second_mask_share": 0.5}, "1 blurs for 2"),
    "no region but blur": ({"mask_kind": b"all-sharp", "blurred_share": 0}, "1 blurs for 0"),
    "another photo's bytes": ({"photo_sha256": b"0" * 64}, "has other bytes"),
    "a photo of no name": ({"photo": b"x", "photo_sha256": b"0" * 64}, "photo x is not there"),
    "another seed": ({"seed": 6}, "column seed: 6 there, the manifest says 5"),
    "another origin": ({"origin": 1}, "column origin"),
    "another number there": ({"origin_pair": 7}, "column origin_pair: 7, "),
    "another reach": ({"reach_px": 2**31 - 1}, "column reach_px: 2147483647 there"),
    "a JPEG before": ({"jpeg_quality": 50}, "image: "),
    "the other side": ({"inverted": 1}, "mask: "),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_rows_that_were_altered_or_are_hostile(copy, photos, cache, name):
    columns, expected = HOSTILE[name]
    with open_dataset(copy) as data:
        pair = next(one for one in data if not one.provenance["inverted"] and one.provenance["pair"] < 6)
    alter(copy, pair.provenance["pair"], columns)
    found = replayed(copy, photos, cache, [pair.provenance["pair"]])
    assert expected in " ".join(found[pair.provenance["pair"]])


KINDS = st.sampled_from([b"proposal", b"half-plane", b"ellipse", b"other-photo", b"all-blurred", b"all-sharp"])
NUMBERS = st.integers(0, 3) | st.sampled_from([47, 48, 200, 1000, 2**31 - 1]) | st.floats(0, 2)
COLUMNS = sorted(name for name, kind in PROVENANCE_FIELDS.items() if "S" not in kind)


@pytest.fixture(scope="module")
def rich(photos, cache, tmp_path_factory):
    """6 pairs with all that there is, two of a mask."""
    folder = tmp_path_factory.mktemp("rich") / "set"
    recipe = RECIPE.with_values(CASES["camera"] | TARGETS | {"mask.pairs_per_mask": 2})
    make(photos, folder, cache, n=6, recipe=recipe)
    return folder


@settings(max_examples=60, deadline=None)
@given(
    pair=st.integers(0, 5),
    columns=st.dictionaries(st.sampled_from(COLUMNS), NUMBERS, min_size=1, max_size=3),
    kinds=st.fixed_dictionaries({}, optional={"mask_kind": KINDS, "second_mask_kind": KINDS | st.just(b"none")}),
)
def test_whatever_the_numbers_of_a_row_there_is_no_traceback(rich, photos, cache, pair, columns, kinds):
    for name, value in columns.items():
        most = {"<u1": 1, "<u4": 2**32 - 1}.get(PROVENANCE_FIELDS[name], 2**31 - 1)
        columns[name] = value if PROVENANCE_FIELDS[name] in ("<f8", "<f4") else min(int(value), most)
    with tempfile.TemporaryDirectory() as folder:
        altered = shutil.copytree(rich, Path(folder, "set"))
        alter(altered, pair, columns | kinds)
        found = replayed(altered, photos, cache, [pair])
    assert all("\n" not in fault for fault in found[pair])


def test_a_scene_whose_reach_was_not_recorded_or_can_not_be(photos, cache, tmp_path):
    make(photos, tmp_path / "set", cache, n=4, recipe=RECIPE.with_values({"mask.pairs_per_mask": 2}))
    alter(tmp_path / "set", 0, {"reach_px": -1})
    alter(tmp_path / "set", 1, {"reach_px": 1})
    alter(tmp_path / "set", 2, {"reach_px": 2**31 - 1})
    found = replayed(tmp_path / "set", photos, cache)
    assert "did not record how far" in found[0][0]
    assert "impossible" in found[1][0]
    assert "impossible" in found[2][0]
    assert found[3] == []


def test_another_build_is_named_where_something_differs(copy, photos, cache):
    change_manifest(copy, build=build_versions() | {"opencv-contrib-python": "4.14.0"})
    alter(copy, 3, {"noise_sigma": 1.0})
    source = open_source("folder", photos)
    agrees, differs = replay(copy, source, (0, 3), cache=cache)
    assert agrees.other_build == ""
    assert differs.other_build.startswith("made with opencv-contrib-python 4.14.0, here ")
    assert differs.other_build.endswith("byte identity is promised for one build only")


def test_what_stops_a_replay(copy, photos, cache):
    source = open_source("folder", photos)
    with pytest.raises(ArgumentError, match="the pairs 0 to 7"):
        list(replay(copy, source, [8], cache=cache))
    with pytest.raises(SourceError, match="nothing"):
        list(replay(copy, lambda origin: open_source("nothing"), [0], cache=cache))
    (copy / "shard-00001.h5").unlink()
    found = replayed(copy, photos, cache)
    assert [pair for pair in found if found[pair]] == [3, 4, 5]
    shutil.rmtree(copy)
    with pytest.raises(ShardError, match="no blurgen data set"):
        list(replay(copy, source, [0], cache=cache))


# Where pairs come from ------------------------------------------------------------------------------------------------


def test_the_origins_of_a_data_set(made):
    manifest = read_manifest(made)
    [origin] = read_origins(manifest)
    assert (origin.seed, origin.source, origin.split, origin.pairs) == (5, "folder", "", 8)
    assert origin.recipe == RECIPE.with_values(PNG)
    told = {name: manifest[name] for name in ("recipe", "seed", "source", "split", "build", "pairs")}
    other = told | {"seed": 6}
    derived = {"derived": {}, "origins": [told, other], "pairs": 3}
    assert [one.seed for one in read_origins(derived)] == [5, 6]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": "5"}, "does not tell"),
        ({"recipe": [1]}, "does not tell"),
        ({"recipe": {"name": "x", "blur": {"wobble": 1}}}, "blur.wobble"),
        ({"recipe": {"mask": {"temperature": 0}}}, "mask.temperature"),
        ({"recipe": {"blur": []}}, "blur"),
    ],
)
def test_origins_are_checked(made, changes, message):
    told = read_manifest(made) | changes
    for manifest in (told, {"origins": [told]}):
        with pytest.raises(ShardError, match=message):
            read_origins(manifest)
    with pytest.raises(ShardError, match="does not tell"):
        read_origins({"origins": ["x"]})


# The command ----------------------------------------------------------------------------------------------------------


def blurgen(*arguments):
    return CliRunner().invoke(main, ["replay", *map(str, arguments)])


def test_the_command_says_that_all_agree(made, photos, cache):
    done = blurgen(made, "--root", photos, "--cache", cache)
    assert (done.exit_code, done.stdout) == (0, "ok: 8 of 8 pairs agree to the bit\n")
    done = blurgen(made, "--root", photos, "--cache", cache, "--pair", 7, "--pair", 1, "--json")
    assert json.loads(done.stdout) == {
        "ok": True,
        "pairs": [7, 1],
        "digest": read_manifest(made)["digest"],
        "faults": [],
    }


def test_the_command_says_what_differs(copy, photos, cache):
    alter(copy, 4, {"noise_sigma": 3.0})
    options = ("--root", photos, "--cache", cache)
    done = blurgen(copy, "--sample", 2, *options)
    assert done.exit_code == 1
    assert done.stderr == "bad: pair 4: column noise_sigma: 3.0 there, 0.0 now\n"
    assert done.stdout == "FAILED: 1 of 2 pairs agree to the bit\n"
    faults = json.loads(blurgen(copy, "--pair", 4, "--json", *options).stdout)["faults"]
    assert faults == [{"pair": 4, "faults": ["column noise_sigma: 3.0 there, 0.0 now"], "other_build": ""}]


def test_the_command_refuses_what_makes_no_sense(made, photos, cache):
    assert blurgen(made, "--pair", 1, "--sample", 2).exit_code == ArgumentError.exit_code
    assert blurgen(made, "--pair", 8, "--root", photos, "--cache", cache).exit_code == ArgumentError.exit_code
    assert blurgen(made, "--cache", cache).exit_code == SourceError.exit_code  # a folder, but which?
    assert blurgen(made / "nothing").exit_code == ShardError.exit_code
    assert issubclass(ShardError, BlurgenError)
