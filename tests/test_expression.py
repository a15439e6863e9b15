"""Conditions on provenance: they mean what Python means, and nothing but conditions is read."""

from contextlib import suppress

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from blurgen.dataset.expression import MAX_LENGTH, parse_condition
from blurgen.errors import ArgumentError
from blurgen.kernels import Blur
from blurgen.shards.format import BLUR_LIMITS, FLAGS, provenance_dtype

KINDS = [kind.decode() for kind in BLUR_LIMITS]
PHOTOS = ["a.png", "Füße/b.jpg", ""]


def table_of(count, seed=0):
    """A provenance table whose columns hold a few different values each."""
    rng = np.random.default_rng(seed)
    table = np.zeros(count, provenance_dtype(20))
    table["pair"] = np.arange(count)
    table["seed"] = rng.choice([0, 7, 2**53, 2**53 + 1, 2**63 - 1], count)
    table["blur_kind"] = rng.choice([kind.encode() for kind in KINDS], count)
    table["second_blur_kind"] = rng.choice([b"none", b"disk", b"zoom"], count)
    table["photo"] = rng.choice([photo.encode() for photo in PHOTOS], count)
    table["blurred_share"] = rng.choice([0, 0.25, 1 / 3, 0.5, 1], count)
    table["score"] = rng.choice([-1, 0.1, 0.5], count)
    table["zoom"] = rng.choice([0, 0.02, 0.1], count)
    table["inverted"] = rng.choice([0, 1], count)
    return table


TABLE = table_of(60)


def rows_of(table):
    """Each row as plain Python values, with what else has a name."""
    for row in table:
        values = {name: row[name].item() for name in table.dtype.names}
        values = {name: value.decode() if isinstance(value, bytes) else value for name, value in values.items()}
        values |= {name: bool(values[name]) for name in FLAGS}
        kinds = {"blur_type": values["blur_kind"], "second_blur_type": values["second_blur_kind"]}
        types = {name: ("sharp", "defocus", "motion")[Blur(kind).type] for name, kind in kinds.items()}
        yield values | types | {"area": values["blurred_share"]}


ROWS = list(rows_of(TABLE))

numbers = st.recursive(
    st.sampled_from(["area", "score", "zoom", "seed", "pair", "inverted", "True", "0", "1", "0.5", "9007199254740993"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda one: f"(-{one})"),
    ),
    max_leaves=4,
)
orders = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])
equalities = st.sampled_from(["==", "!="])
lists = st.lists(numbers, min_size=1, max_size=3).map(lambda items: f"[{', '.join(items)}]")
photos = st.sampled_from([*PHOTOS, "other", "a.png\0", "\ud800", "it's"]).map(repr)
types = st.sampled_from(["sharp", "defocus", "motion"]).map(repr)
kinds = st.sampled_from(KINDS).map(repr)
simple = st.one_of(
    st.tuples(numbers, orders, numbers).map(" ".join),
    st.tuples(numbers, orders, numbers, orders, numbers).map(" ".join),
    st.tuples(numbers, st.sampled_from(["in", "not in"]), lists).map(" ".join),
    st.tuples(st.just("photo"), equalities, st.one_of(photos, st.just("mask_photo"))).map(" ".join),
    st.tuples(photos, equalities, st.just("photo")).map(" ".join),
    st.tuples(st.sampled_from(["blur_type", "second_blur_type"]), equalities, types).map(" ".join),
    st.tuples(st.sampled_from(["blur_kind", "second_blur_kind"]), equalities, kinds).map(" ".join),
    st.lists(kinds, min_size=1, max_size=3).map(lambda some: f"blur_kind in [{', '.join(some)}]"),
    st.just("blur_kind == second_blur_kind"),
    st.just("inverted"),
)
conditions = st.recursive(
    simple,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda parts: f"({' '.join(parts)})"),
        inner.map(lambda one: f"(not {one})"),
    ),
    max_leaves=4,
)


@settings(max_examples=300, deadline=None)
@given(conditions)
@example("1 in [1, 1 / 0]")
@example("0 < 1 < 0 < 1 / 0")
def test_a_condition_means_what_python_means_by_it_in_each_row(text):
    try:
        expected = [bool(eval(text, {"__builtins__": {}}, row)) for row in ROWS]
    except ZeroDivisionError:
        with pytest.raises(ArgumentError, match="divides by 0"):
            parse_condition(text)(TABLE)
        return
    found = parse_condition(text)(TABLE)
    assert found.dtype == bool
    assert found.tolist() == expected
    assert parse_condition(text)(TABLE[:0]).shape == (0,)


def test_the_example_selects_all_kinds_of_motion():
    found = parse_condition("blur_kind == 'motion' and area < 0.5")(TABLE)
    expected = [Blur(row["blur_kind"]).type == 2 and row["area"] < 0.5 for row in ROWS]
    assert found.tolist() == expected
    assert 0 < sum(expected) < len(expected)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("blur_kind == 'motion'", "blur_type == 'motion'"),
        ("blur_kind != 'defocus'", "blur_type != 'defocus'"),
        ("blur_kind in ('motion', 'disk')", "blur_type == 'motion' or blur_kind == 'disk'"),
        ("blur_kind not in ('motion', 'defocus')", "blur_kind == 'none'"),
        ("'motion' == second_blur_kind", "second_blur_kind == 'zoom'"),
    ],
)
def test_a_word_for_a_group_stands_for_its_kinds(text, same):
    found = parse_condition(text)(TABLE)
    assert found.tolist() == parse_condition(same)(TABLE).tolist()
    assert 0 < found.sum() < len(found)


def test_a_guard_keeps_rows_from_being_divided_by_0():
    assert parse_condition("zoom > 0 and area / zoom > 9")(TABLE).any()
    assert parse_condition("zoom == 0 or area / zoom > 9")(TABLE).any()
    with pytest.raises(ArgumentError, match=r"divides by 0 in some pair; ask first"):
        parse_condition("area / zoom > 9")(TABLE)


def test_what_is_not_a_number_is_no_number_of_any_size():
    nan = "(1e999 - 1e999)"
    for text in (f"area < {nan}", f"area >= {nan}", f"{nan} == {nan}", f"{nan} in (1, area)"):
        assert not parse_condition(text)(TABLE).any()
    table = TABLE.copy()
    table["zoom"] = np.nan
    assert not parse_condition("zoom < 1 or zoom >= 1")(table).any()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("aera < 0.5", 'unknown name "aera"; did you mean "area"?'),
        ("blur_kid == 'disk'", 'did you mean "blur_kind"?'),
        ("blur_kind == 'moton'", 'blur_kind is never "moton"; did you mean "motion"?'),
        ("blur_kind in ('disk', 'gausian')", 'did you mean "gaussian"?'),
        ("second_mask_kind != 'elipse'", 'did you mean "ellipse"?'),
        ("blur_type == 'camera-shake'", 'blur_type is never "camera-shake"; known are sharp, defocus, motion'),
        ("fill == 'nearst'", 'did you mean "nearest"?'),
        ("area == 'large'", "area is a number and 'large' a text; they can't be compared"),
        ("photo == 1", "1 is a number and photo a text"),
        ("photo < 'b'", "are texts: compare them by ==, != or in"),
        ("'a' == 'a'", "both texts in quotes"),
        ("area", 'area is a number and no condition; compare it, as in "area < 0.5"'),
        ("photo", "photo is a text and no condition"),
        ("1 + 1", "1 + 1 is a number and no condition"),
        ("not photo", "photo is a text and no condition"),
        ("area < 0.5 and 1", "1 is a number and no condition"),
        ("(area < 0.5) + 1 > 0", "area < 0.5 is a condition, and a number is needed there"),
        ("-photo < 1", "photo is a text, and a number is needed there"),
        ("photo in 'abc'", "give several values"),
        ("photo in ()", "after in, () can't stand; give several values"),
        ("area in (1, 'a')", "can't be compared"),
        ("", "not a condition"),
        ("area <", "not a condition (invalid syntax"),
        ("area = 1", "not a condition"),
        ("seed / 1e-320 * " + "9" * 400 + " > 1", "too large"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_with_what_to_do(text, message):
    with pytest.raises(ArgumentError) as error:
        parse_condition(text)(TABLE)
    assert message in str(error.value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1500


HOSTILE = [
    "__import__('os').system('true')",
    "().__class__",
    "photo.decode",
    "lambda: True",
    "[x for x in (1,)] == 1",
    "area if area else 1",
    "(x := 1) > 0",
    "f'{area}' == photo",
    "area[0] < 1",
    "{1: 2} == {}",
    "9 ** 9 ** 9 > 1",
    "1 << 999999 > 1",
    "area % 2 < 1",
    "area // 2 < 1",
    "area @ area < 1",
    "~area < 1",
    "area is 1",
    "None == area",
    "1j < area",
    "b'a' == photo",
    "... == area",
    "*area < 1",
    "await area",
    "yield",
    "area < 0.5; import os",
    "area < 0.5\nimport os",
    "import os",
    "(" * 10_000 + "area < 1" + ")" * 10_000,
    "(" * 900 + "area < 1" + ")" * 900,
    "-" * 1900 + "area < 1",
    "not " * 450 + "inverted",
    "1" + "+1" * 900 + " < 2",
    "f(" * 190 + ")" * 190,
    "f(" + "-" * 1900 + "1)",
    "9" * 1_000_000,
    "photo == '" + "x" * 10_000_000 + "'",
    "area < 1\0",
    "\ud800 < 1",
    "area < 1 # \ud800",
    " \t\n",
]


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_nothing_but_a_condition_is_read(text):
    with pytest.raises(ArgumentError) as error:
        parse_condition(text)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 1500


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_a_condition_or_refused(text):
    with suppress(ArgumentError):
        assert parse_condition(text)(TABLE[:3]).shape == (3,)


def test_a_long_flat_condition_is_read():
    text = " or ".join(f"pair == {number}" for number in range(100))
    assert len(text) <= MAX_LENGTH
    assert parse_condition(text)(TABLE).all()
