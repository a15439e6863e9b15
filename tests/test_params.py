"""Parameters that mix kinds: what they hold, and how one is drawn."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from blurgen.params import Params, draw_from, mix_of, param, suggest

NEARLY_1 = float(np.nextafter(1, 0))


class Fruit(Params):
    """A mix of three."""

    kinds: mix_of("apple", "pear", "quince") = param({"apple": 1.0}, "", "what is eaten")


def test_a_mix_is_kept_without_zeros_as_floats_in_the_order_of_its_kinds():
    mix = Fruit(kinds={"quince": 2, "pear": 0, "apple": 0.5}).kinds
    assert list(mix.items()) == [("apple", 0.5), ("quince", 2.0)]
    assert all(type(weight) is float for weight in mix.values())


def test_the_callers_mix_is_left_as_it_was():
    mix = {"quince": 2, "pear": 0}
    Fruit(kinds=mix)
    assert mix == {"quince": 2, "pear": 0}


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"peer": 1}, 'unknown kind "peer"; did you mean "pear"?'),
        ({"xyz": 1}, 'unknown kind "xyz"; known are apple, pear, quince'),
        ({5: 1}, 'unknown kind "5"'),
        ({"a" * 1000: 1}, 'unknown kind "' + "a" * 40 + '"'),
        ({}, "no kind is left"),
        ({"apple": 0, "pear": 0.0, "quince": -0.0}, "no kind is left"),
        *(({"apple": bad}, "apple is .*: give a number, 0 or more") for bad in (-1, -1e-9, float("nan"), float("inf"))),
        *(({"apple": bad}, "apple is .*: give a number, 0 or more") for bad in (True, "1", None, [1], 10**400)),
        *((bad, "as { apple = 1.0 }") for bad in ("apple", ["apple"], 1, None, ("apple", 1.0))),
    ],
)
def test_what_is_no_mix_is_refused_with_what_to_give(value, said):
    with pytest.raises(ValidationError, match=said):
        Fruit(kinds=value)


MIX = {"apple": 1.0, "pear": 2.0, "quince": 1.0}


def test_each_kind_has_its_share_of_the_numbers_from_0_to_1():
    numbers = [0, 0.2499, 0.25, 0.5, 0.7499, 0.75, NEARLY_1]
    assert [draw_from(MIX, number) for number in numbers] == ["apple"] * 2 + ["pear"] * 3 + ["quince"] * 2


def test_kinds_are_drawn_in_proportion():
    numbers = (np.arange(4000) + 0.5) / 4000
    drawn = [draw_from(MIX, number) for number in numbers.tolist()]
    assert [drawn.count(kind) for kind in MIX] == [1000, 2000, 1000]


WEIGHTS = st.floats(0, 1e300, exclude_min=True)


@given(st.lists(WEIGHTS, min_size=1, max_size=5), st.floats(0, 1, exclude_max=True))
def test_any_number_falls_on_a_kind_and_the_ends_on_the_first_and_the_last(weights, number):
    mix = dict(zip("abcde", weights, strict=False))
    assert draw_from(mix, number) in mix
    assert draw_from(mix, 0.0) == "a"
    if weights[-1] > 1e-9 * sum(weights):
        assert draw_from(mix, NEARLY_1) == list(mix)[-1]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=5), st.floats(0.01, 100))
def test_only_the_proportions_count(weights, factor):
    kinds = "abcde"[: len(weights)]
    for number in (0.01, 0.3303, 0.61803, 0.97):
        # A number that lies on a border to within round-off may fall on either side.
        if min(abs(number - border) for border in np.cumsum(weights) / sum(weights)) > 1e-9:
            mixes = (dict(zip(kinds, [weight * by for weight in weights], strict=True)) for by in (1, factor))
            assert len({draw_from(mix, number) for mix in mixes}) == 1


def test_a_suggestion_is_the_closest_or_all():
    assert suggest("peer", ["apple", "pear"]) == 'did you mean "pear"?'
    assert suggest("", ["apple", "pear"]) == "known are apple, pear"
