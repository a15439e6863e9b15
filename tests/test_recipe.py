"""Recipes: one definition per parameter, refusals that say what to do."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from blurgen.errors import RecipeError
from blurgen.kernels import DEFOCUS, MOTION
from blurgen.masks import KINDS
from blurgen.params import Params
from blurgen.recipe import MAX_RECIPE_BYTES, Recipe, load_recipe, parse_recipe, recipe_names


def all_params():
    return [(name, params) for name, params in load_recipe() if isinstance(params, Params)]


def test_the_papers_recipes_come_with_the_package():
    assert {"alvarez-gila-2019", "weak-2019", "standard", "camera"} <= set(recipe_names())
    paper = load_recipe("alvarez-gila-2019")
    assert paper.mask.p_invert == 0.75
    assert paper.geometry.crop_scale_range == (0.6, 1.0)
    assert paper.fill.method == "telea"
    assert paper.mask.kinds == {"proposal": 1.0}
    assert load_recipe("weak-2019").mask.kinds == {"largest-object": 1.0}


@pytest.mark.parametrize("name", recipe_names())
def test_a_shipped_recipe_states_every_parameter_and_its_own_name(name):
    recipe = load_recipe(name)
    written = tomllib.loads(recipe.to_toml())
    assert written["name"] == name
    assert written == recipe.model_dump(mode="json")
    assert parse_recipe(recipe.to_toml().encode(), name) == recipe


@pytest.mark.parametrize("section", [name for name, _ in all_params()])
def test_every_parameter_has_a_meaning_and_numbers_have_a_range(section):
    params = dict(all_params())[section]
    for name, definition in type(params).model_fields.items():
        assert definition.description, f"{section}.{name}"
        value = getattr(params, name)
        if not isinstance(value, (str, bool, dict)):
            assert definition.json_schema_extra["low"] is not None, f"{section}.{name}"
            assert definition.json_schema_extra["high"] is not None, f"{section}.{name}"


def test_a_recipe_is_frozen():
    with pytest.raises(ValidationError):
        load_recipe().seed = 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[blur]\nsigma_px_rnage = [1, 2]", 'unknown key "blur.sigma_px_rnage"; did you mean "sigma_px_range"'),
        ("[blurr]\np_motion = 1", 'unknown key "blurr"; did you mean "blur"'),
        ("[blur]\nsigma_px_range = [3.0, 2.0]", "blur.sigma_px_range: the range is reversed"),
        ("[blur]\nsigma_px_range = [0.0, 2.0]", "blur.sigma_px_range: 0 is out of range"),
        ("[blur]\np_motion = 1.5", "blur.p_motion: 1.5 is out of range, allowed is 0 to 1"),
        ('[blur]\np_motion = "0.5"', "blur.p_motion: Input should be a valid number"),
        ("[blur]\np_motion = true", "blur.p_motion: Input should be a valid number"),
        ("[blur]\np_motion = nan", "blur.p_motion: Input should be a finite number"),
        ("[blur]\nsigma_px_range = [1.0, inf]", "blur.sigma_px_range"),
        ("[blur]\nsigma_px_range = [1, 2, 3]", "blur.sigma_px_range"),
        ("[blur]\nsigma_px_range = 3", "blur.sigma_px_range"),
        ('[geometry]\nsize = "3"', 'geometry.size: "3" is no size'),
        ("[geometry]\nsize = 320", "geometry.size"),
        ('[fill]\nmethod = "telia"', "fill.method: Input should be"),
        ("[fill]\nradius_px = 3.5", "fill.radius_px"),
        ("fill = 3", "fill"),
        ("[blur", "not valid TOML"),
        ("[mask]\nkinds = { propsal = 1.0 }", 'mask.kinds: unknown kind "propsal"; did you mean "proposal"?'),
        ("[mask]\nkinds = { elipse = 0 }", 'mask.kinds: unknown kind "elipse"; did you mean "ellipse"?'),
        ("[mask]\nkinds = { xyz = 1 }", "known are proposal, object, largest-object, other-photo, half-plane, ellipse"),
        ("[mask]\nkinds = {}", "mask.kinds: no kind is left: give at least one of them a number above 0"),
        ("[mask]\nkinds = { proposal = 0, ellipse = 0.0 }", "mask.kinds: no kind is left"),
        ("[mask]\nkinds = { proposal = -1 }", "mask.kinds: proposal is -1: give a number, 0 or more"),
        ("[mask]\nkinds = { proposal = nan }", "mask.kinds: proposal is nan: give a number, 0 or more"),
        ("[mask]\nkinds = { proposal = inf }", "mask.kinds: proposal is inf: give a number"),
        ("[mask]\nkinds = { proposal = true }", "mask.kinds: proposal is True: give a number"),
        ('[mask]\nkinds = { proposal = "1" }', "mask.kinds: proposal is '1': give a number"),
        ("[mask]\nkinds = { proposal = " + "9" * 400 + " }", "mask.kinds: proposal is 999"),
        ('[mask]\nkinds = "proposal"', "mask.kinds: give the kinds and how often each is drawn, as { proposal = 1.0 }"),
        ('[mask]\nkinds = ["proposal"]', "mask.kinds: give the kinds"),
        ('[mask]\nkind = "proposal"', 'unknown key "mask.kind"; did you mean "kinds"?'),
        ("[mask]\np_all_sharp = 0.6\np_all_blurred = 0.6", "mask.p_all_sharp and mask.p_all_blurred add up to more"),
        ("[mask]\npairs_per_mask = 0", "mask.pairs_per_mask: 0 is out of range, allowed is 1 to 32"),
        ("[mask]\npairs_per_mask = 2.0", "mask.pairs_per_mask"),
        ("[blur]\nmotion_kinds = { gaussian = 1 }", 'blur.motion_kinds: unknown kind "gaussian"'),
        ('[photo]\npixels = "rgb16"', "photo.pixels: Input should be 'rgb8' or 'native'"),
        ("[targets]\namount = 1", "targets.amount: Input should be a valid boolean"),
        ("[camera]\nlinear_lihgt = true", 'unknown key "camera.linear_lihgt"; did you mean "linear_light"?'),
        ("[storage]\njpeg_quality = " + "9" * 5000, "not valid TOML"),
        ("[storage]\njpeg_quality = " + "9" * 400, "storage.jpeg_quality: this number is out of range"),
        ("[blur]\nsigma_px_range = [1, " + "9" * 400 + "]", "blur.sigma_px_range"),
        ("a = " + "[" * 5000, "not valid TOML"),
        ("name = 3", "name: Input should be a valid string, not 3"),
        ('[geometry]\nsize = "native"\n[storage]\ncodec = "raw"', 'storage.codec "raw" needs pairs of one size'),
    ],
)
def test_a_bad_recipe_is_refused_in_one_line_that_names_the_key(text, said):
    with pytest.raises(RecipeError) as caught:
        parse_recipe(text.encode(), "mine.toml")
    message = str(caught.value)
    assert message.startswith("mine.toml: ")
    assert said in message
    assert "\n" not in message


def test_a_missing_recipe_is_refused_with_a_suggestion(tmp_path):
    with pytest.raises(RecipeError, match='did you mean "alvarez-gila-2019"'):
        load_recipe("alvarez-gilla-2019")
    with pytest.raises(RecipeError, match="no recipe"):
        load_recipe(tmp_path)
    with pytest.raises(RecipeError, match="so not a recipe"):
        parse_recipe(b"#" * (MAX_RECIPE_BYTES + 1), "huge.toml")
    with pytest.raises(RecipeError, match="not valid TOML"):
        parse_recipe(b"\xff\xfe\x00", "binary.toml")


def test_what_a_file_leaves_out_takes_its_default(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("[blur]\np_motion = 0.0\n")
    recipe = load_recipe(path)
    assert recipe.blur.p_motion == 0
    assert recipe.geometry == Recipe().geometry


def test_the_digest_is_of_the_content_not_of_the_spelling():
    first = parse_recipe(b"[blur]\np_motion = 0.5\nsigma_px_range = [1, 6]", "a")
    second = parse_recipe(b"[blur]\n# a comment\nsigma_px_range = [1.0, 6.0]\np_motion = 0.5", "b")
    assert first.digest == second.digest
    assert first.digest != first.with_values({"blur.p_motion": 0.6}).digest


def test_equal_mixes_are_equal_recipes_whatever_their_order_and_zeros():
    first = parse_recipe(b"[mask]\nkinds = { ellipse = 1, proposal = 2, object = 0 }", "a")
    second = parse_recipe(b"[mask.kinds]\nproposal = 2.0\nhalf-plane = 0.0\nellipse = 1.0", "b")
    assert first == second
    assert first.digest == second.digest
    assert first.to_toml() == second.to_toml()
    assert list(first.mask.kinds.items()) == [("proposal", 2.0), ("ellipse", 1.0)]
    assert first.digest != parse_recipe(b"[mask]\nkinds = { ellipse = 2, proposal = 4 }", "c").digest


NAMES = {"mask.kinds": KINDS, "blur.defocus_kinds": DEFOCUS, "blur.motion_kinds": MOTION}


@given(st.data(), st.sampled_from(sorted(NAMES)))
def test_a_recipe_with_a_mix_reads_back(data, key):
    numbers = st.floats(0, 1e299) | st.integers(0, 10**20)
    mix = data.draw(
        st.dictionaries(st.sampled_from(NAMES[key]), numbers, min_size=1).filter(lambda mix: any(mix.values()))
    )
    recipe = Recipe().with_values({key: mix})
    back = parse_recipe(recipe.to_toml().encode(), "x")
    assert back == recipe
    assert back.digest == recipe.digest
    assert tomllib.loads(recipe.to_toml()) == recipe.model_dump(mode="json")


def test_any_name_and_description_survives_toml():
    for text in ("\U0001f600 wow", "\x7f", 'a "quoted" \\ one', "tab\tnew\nline", "é"):
        recipe = Recipe(name=text, description=text)
        assert parse_recipe(recipe.to_toml().encode(), "x") == recipe


def test_changes_of_unknown_keys_are_refused():
    for key in ("nope", "nope.x", "name.x", "blur.nope"):
        with pytest.raises(RecipeError, match="unknown key"):
            load_recipe().with_values({key: 1})
