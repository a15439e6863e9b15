"""Recipe files made to harm: whatever TOML, or what is none, can hold ends in RecipeError, in one short line."""

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blurgen.errors import RecipeError
from blurgen.recipe import MAX_RECIPE_BYTES, Recipe, load_recipe, parse_recipe

GOOD = Recipe().to_toml().encode()

BAD = {
    "arrays, deep": b"x = " + b"[" * 50_000 + b"]" * 50_000,
    "inline tables, deep": b"x = " + b"{a = " * 5_000 + b"1" + b"}" * 5_000,
    "tables, deep": b"[" + b".".join([b"a"] * 4_000) + b"]",
    "keys, deep": b".".join([b"a"] * 4_000) + b" = 1",
    "known key, deep": b"[blur]\nsigma_px_range = " + b"[" * 200 + b"1" + b"]" * 200,
    "many keys": b"\n".join(b"key%d = 1" % number for number in range(20_000)),
    "many arrays of tables": b"[[blur]]\n" * 10_000,
    "text of 10 MB": b'name = "' + b"x" * 10_000_000 + b'"',
    "text of 10 MB over lines": b'description = """' + b"x\n" * 5_000_000 + b'"""',
    "comment of 10 MB": b"#" * 10_000_000,
    "key of 100 kB": b"k" * 100_000 + b" = 1",
    "known key with a text of 100 kB": b'[geometry]\nsize = "' + b"9" * 100_000 + b'"',
    "size of many digits": b'[geometry]\nsize = "' + b"9" * 4_000 + b"x" + b"9" * 4_000 + b'"',
    "whole number of 5000 digits": b"[storage]\njpeg_quality = " + b"9" * 5_000,
    "hexadecimal number of 100,000 digits": b"[storage]\njpeg_quality = 0x" + b"f" * 100_000,
    "fraction beyond all": b"[blur]\np_motion = 1e999",
    "fraction of 100,000 digits": b"[blur]\np_motion = 0." + b"1" * 100_000 + b"e400",
    "NaN in a range": b"[blur]\nsigma_px_range = [nan, 2.0]",
    "less than nothing": b"[blur]\np_motion = -inf",
    "date": b"name = 2026-01-01",
    "date in a number's place": b"[blur]\np_motion = 2026-01-01T00:00:00Z",
    "time in a range": b"[blur]\nsigma_px_range = [07:32:00, 08:00:00]",
    "impossible date": b"name = 2026-02-31",
    "key twice": b"[blur]\np_motion = 0.1\np_motion = 0.2",
    "table twice": b"[blur]\np_motion = 0.1\n[blur]\np_defocus = 0.2",
    "table over a value": b"blur = 1\n[blur]\np_motion = 0.1",
    "value over a table": b"[blur.p_motion]\nx = 1",
    "mix under a dotted key twice": b"[mask]\nkinds.proposal = 1\nkinds.proposal = 2",
    "bytes that are not UTF-8": b'name = "\xff\xfe"',
    "half a surrogate pair": b'name = "\xed\xa0\x80"',
    "half a surrogate pair, escaped": b'name = "\\ud800"',
    "character beyond Unicode": b'name = "\\U00110000"',
    "longer than needed": b'name = "\xc0\x80"',
    "byte order mark": b"\xef\xbb\xbf" + GOOD,
    "UTF-16": GOOD.decode().encode("utf-16"),
    "NUL": GOOD + b"\0",
    "NUL in a text": b'name = "a\0b"',
    "control characters": b'name = "a\x1b[2Jb"',
    "carriage return alone": b"name = 'a'\rseed = 1",
    "nothing but an end": b"]",
    "JSON": b'{"name": "mine"}',
    "YAML": b"blur:\n  p_motion: 0.5\n",
    "HDF5": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "unknown key with control characters": b'"\\u001b[2J\\n" = 1',
    "unknown kind with line breaks": b'[mask]\nkinds = { "\\n\\n" = 1.0 }',
    "key of the language": b"__class__ = 1",
    "key of the library": b"model_config = {}",
}


@pytest.mark.parametrize("case", BAD)
def test_a_hostile_recipe_is_refused_in_one_short_line(case):
    with pytest.raises(RecipeError) as caught:
        parse_recipe(BAD[case], "mine.toml")
    message = str(caught.value)
    assert message.startswith("mine.toml: ")
    assert len(message) < 1000
    assert "\n" not in message


@pytest.mark.parametrize(
    "said",
    [b"", b"\n\n", b"# nothing\n", b"\r\n", GOOD.replace(b"\n", b"\r\n"), b"name = '\\U0001F600'"],
)
def test_what_is_odd_and_allowed_is_read(said):
    assert isinstance(parse_recipe(said, "mine.toml"), Recipe)


def is_read_or_refused(data: bytes) -> bool:
    """Whether the bytes are a recipe, or are refused in one line."""
    try:
        parse_recipe(data, "mine.toml")
    except RecipeError as error:
        return "\n" not in str(error)
    return True


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=200))
def test_bytes_are_a_recipe_or_refused(data):
    assert is_read_or_refused(data)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 8 * len(GOOD) - 1), st.integers(0, len(GOOD)))
def test_a_damaged_recipe_is_a_recipe_or_refused(bit, length):
    flipped = bytearray(GOOD)
    flipped[bit // 8] ^= 1 << bit % 8
    assert is_read_or_refused(bytes(flipped))
    assert is_read_or_refused(GOOD[:length])


VALUES = st.recursive(
    st.sampled_from(
        ["nan", "-inf", "1e308", "-0.0", "0", "true", '""', "2026-01-01", "9" * 30, '"\\u0000"', "[]", "{}"]
    ),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
    max_leaves=5,
)
KEYS = [
    f"{section}.{key}"
    for section, values in Recipe().model_dump().items()
    if isinstance(values, dict)
    for key in values
]


@settings(max_examples=300, deadline=None)
@given(st.sampled_from([*KEYS, "name", "description", "mask.kinds.proposal", "blur.motion_kinds.zoom"]), VALUES)
def test_any_value_under_any_key_is_a_recipe_or_refused(key, value):
    assert is_read_or_refused(f"{key} = {value}".encode())


# Files ----------------------------------------------------------------------------------------------------------------


def test_a_recipe_file_that_never_ends_is_not_read_to_its_end(tmp_path):
    path = tmp_path / "huge.toml"
    with open(path, "wb") as file:
        file.truncate(10**12)  # a hole
    with pytest.raises(RecipeError, match=f"longer than {MAX_RECIPE_BYTES} bytes"):
        load_recipe(path)


def test_a_recipe_that_is_no_plain_file_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    paths = [tmp_path / "pipe.toml", tmp_path / "loop.toml", tmp_path, Path("/dev/zero"), Path("a\0b"), Path("x" * 300)]
    outcomes = []

    def load_all():
        for path in paths:
            with pytest.raises(RecipeError):
                load_recipe(path)
            outcomes.append(path)

    reader = threading.Thread(target=load_all, daemon=True)
    reader.start()
    reader.join(timeout=60)
    assert outcomes == paths
