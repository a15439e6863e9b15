"""Data sets of former schema versions stay readable: tests/data holds one that was written by the code of that time."""

from pathlib import Path

import numpy as np
import pytest
from helpers_shards import faults_of, make
from PIL import Image

from blurgen import open_dataset
from blurgen.errors import OutputError

FORMER = Path(__file__).parent / "data" / "schema-2"
PHOTOS = FORMER.parent / "schema-2-photos"


def test_a_data_set_of_schema_2_is_read():
    with open_dataset(FORMER) as data:
        pairs = list(data)
    assert len(pairs) == 5
    assert [pair.provenance["origin_pair"] for pair in pairs] == list(range(5))
    assert {pair.provenance["origin"] for pair in pairs} == {0}
    assert {pair.provenance["reach_px"] for pair in pairs} == {-1}


def test_its_pairs_are_what_was_made_then():
    with open_dataset(FORMER) as data:
        pair = data[3]
    photo = np.asarray(Image.open(PHOTOS / pair.provenance["photo"]))
    assert pair.image.shape == (32, 32, 3)
    assert pair.targets["amount"].shape == (32, 32)
    assert photo.shape == (64, 64, 3)
    assert pair.mask.mean() == pair.provenance["blurred_share"]


def test_a_data_set_of_schema_2_verifies():
    assert faults_of(FORMER) == []


def test_a_data_set_of_a_former_schema_is_not_gone_on_with(tmp_path):
    with open_dataset(FORMER) as data, pytest.raises(OutputError, match="schema_version"):
        make(PHOTOS, FORMER, tmp_path, n=5, recipe=data.recipe)
