"""Which region is drawn, by hand-computed numbers, and what it looks like, against plain loops."""

import math
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blurgen.errors import PhotoError
from blurgen.geometry import Crop
from blurgen.masks import (
    KINDS,
    SHAPES,
    MaskParams,
    Region,
    annotated_objects,
    effective_number,
    ellipse,
    half_plane,
    largest_object,
    refusal,
    region_mask,
    sample_region,
)
from blurgen.proposals import Proposals


def scored(scores):
    """One region of one pixel for each score."""
    labels = np.arange(len(scores), dtype=np.int32).reshape(1, -1)
    return Proposals(labels, np.eye(len(scores), dtype=bool), np.array(scores, np.float32))


def drawn(params, found, donor=None, count=20000, seed=0):
    """``count`` regions."""
    rng = np.random.default_rng(seed)
    return [sample_region(found, donor, params, rng) for _ in range(count)]


def test_the_largest_component_of_the_largest_object_is_taken():
    labels = np.zeros((8, 10), np.int32)
    labels[0:3, 0:3] = 1  # object 1: two parts, 9 + 4 = 13 px, the largest object
    labels[6:8, 0:2] = 1
    labels[0:3, 6:10] = 2  # object 2: one part of 12 px, larger than any part of object 1
    regions = largest_object(labels)
    assert len(regions) == 1
    expected = np.zeros((8, 10), bool)
    expected[0:3, 0:3] = True
    np.testing.assert_array_equal(regions.mask(0), expected)
    assert regions.scores[0] == pytest.approx(9 / 80)


def test_diagonal_neighbours_are_connected():
    labels = np.eye(5, dtype=np.int32)
    assert largest_object(labels).mask(0).sum() == 5


@pytest.mark.parametrize("find", [largest_object, annotated_objects])
def test_a_photo_without_objects_is_refused(find):
    with pytest.raises(PhotoError, match="no annotated object"):
        find(np.zeros((5, 5), np.int32))


def test_every_annotated_object_is_a_region_and_the_background_is_none():
    labels = np.array([[0, 7, 7, 0], [3, 3, 0, 7], [0, 0, 0, 2**31 - 1]], np.int32)
    regions = annotated_objects(labels)
    assert len(regions) == 3
    assert regions.scores.tolist() == [1, 1, 1]
    for index, number in enumerate((3, 7, 2**31 - 1)):
        np.testing.assert_array_equal(regions.mask(index), labels == number)


@given(arrays(np.int32, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 5)))
def test_annotated_objects_are_the_pixels_of_each_number(labels):
    numbers = sorted(set(labels.ravel().tolist()) - {0})
    if not numbers:
        return
    former = labels.copy()
    regions = annotated_objects(labels)
    np.testing.assert_array_equal(
        [regions.mask(index) for index in range(len(regions))], [labels == n for n in numbers]
    )
    np.testing.assert_array_equal(labels, former)
    np.testing.assert_array_equal(Proposals.from_bytes(regions.to_bytes()).superpixels > 0, labels > 0)


def test_regions_are_drawn_in_proportion_to_the_softmax():
    found = {"proposal": scored(np.log([4, 3, 2, 1]))}
    for temperature, weights in ((1.0, [4, 3, 2, 1]), (0.5, [16, 9, 4, 1])):
        regions = drawn(MaskParams(temperature=temperature), found)
        counts = np.bincount([one.region for one in regions], minlength=4)
        np.testing.assert_allclose(counts / 20000, np.array(weights) / sum(weights), atol=0.01)
        assert {one.mask_kind for one in regions} == {"proposal"}
        assert all(one.score == found["proposal"].scores[one.region] for one in regions)


def test_a_single_region_is_always_drawn():
    [one] = drawn(MaskParams(temperature=1e-3), {"proposal": scored([-3.0])}, count=1)
    assert one == Region("proposal", region=0, score=-3.0)


MIX = {"proposal": 1, "object": 2, "other-photo": 3, "half-plane": 1, "ellipse": 3}
FOUND = {"proposal": scored([0.5, 0.25]), "object": scored([1.0])}
LENT = scored([0.75, 0.5, 0.25])


def lend():
    return LENT


def kinds_of(regions):
    return {kind: count / len(regions) for kind, count in Counter(one.mask_kind for one in regions).items()}


def test_kinds_are_drawn_in_proportion():
    regions = drawn(MaskParams(kinds=MIX), FOUND, lend)
    assert kinds_of(regions) == pytest.approx({kind: weight / 10 for kind, weight in MIX.items()}, abs=0.01)
    for one in regions:
        found = {"other-photo": LENT, **FOUND}.get(one.mask_kind)
        assert one.score == (found.scores[one.region] if found else 0)


@pytest.mark.parametrize("missing", [("object",), ("proposal", "object"), ("other-photo",), ("object", "other-photo")])
def test_kinds_that_a_photo_does_not_offer_are_left_out_of_the_draw(missing):
    found = {kind: regions for kind, regions in FOUND.items() if kind not in missing}
    kept = {kind: weight for kind, weight in MIX.items() if kind not in missing}
    shares = kinds_of(drawn(MaskParams(kinds=MIX), found, None if "other-photo" in missing else lend))
    assert shares == pytest.approx({kind: weight / sum(kept.values()) for kind, weight in kept.items()}, abs=0.012)


@pytest.mark.parametrize("kinds", [{"proposal": 1}, {"object": 1, "largest-object": 2}, {"other-photo": 1}])
def test_a_photo_that_offers_none_of_the_kinds_is_refused_by_their_names(kinds):
    with pytest.raises(PhotoError, match=f"offers no region of the kinds {', '.join(kinds)}"):
        drawn(MaskParams(kinds=kinds), {}, count=1)


def test_what_a_photo_offers_changes_no_later_draw():
    params = MaskParams(kinds=MIX)
    rngs = [np.random.default_rng(0) for _ in range(3)]
    sample_region(FOUND, lend, params, rngs[0])
    sample_region({}, None, params, rngs[1])
    sample_region(FOUND, None, MaskParams(kinds={"half-plane": 1}), rngs[2])
    assert len({rng.random() for rng in rngs}) == 1


def test_regions_of_another_photo_are_not_fetched_unless_they_are_drawn():
    def fetch():
        raise AssertionError

    regions = drawn(MaskParams(kinds={"ellipse": 1, "other-photo": 1e-9}), {}, fetch, count=100)
    assert kinds_of(regions) == {"ellipse": 1}


def test_the_numbers_of_a_kind_are_those_that_it_uses():
    uses = {
        "half-plane": {"mask_angle_deg", "mask_share"},
        "ellipse": {"mask_angle_deg", "mask_share", "mask_aspect", "mask_y", "mask_x"},
    }
    for one in drawn(MaskParams(kinds=MIX, area_range=(0.2, 0.6)), FOUND, lend, count=2000):
        row = one.to_row()
        used = uses.get(row.pop("mask_kind"), {"region", "score"})
        assert {name for name, value in row.items() if value} - {"region"} == used - {"region"}
        assert all(0 <= row[name] <= 1 for name in ("mask_share", "mask_aspect", "mask_y", "mask_x"))
        assert 0 <= row["mask_angle_deg"] <= 360
        assert not row["mask_share"] or 0.2 <= row["mask_share"] <= 0.6


def test_numbers_of_a_second_region_have_a_prefix():
    assert set(Region("ellipse").to_row("second_")) == {f"second_{name}" for name in Region("ellipse").to_row()}


@pytest.mark.parametrize(
    ("kinds", "found", "objects", "donor"),
    [
        ({"proposal": 1}, ("proposal",), False, False),
        ({"ellipse": 1, "half-plane": 1}, (), False, False),
        ({"other-photo": 1}, ("proposal",), False, True),
        ({"other-photo": 1, "ellipse": 1}, ("proposal",), False, True),
        ({"other-photo": 1, "object": 1}, ("object",), True, True),
        ({"largest-object": 1, "proposal": 1}, ("proposal", "largest-object"), True, False),
    ],
)
def test_the_mix_decides_what_is_looked_for(kinds, found, objects, donor):
    params = MaskParams(kinds=kinds)
    assert (params.found_kinds, params.needs_objects, params.needs_donor) == (found, objects, donor)


def test_the_effective_number_runs_from_one_to_all():
    scores = np.linspace(0, 1, 50, dtype=np.float32)
    assert effective_number(scores, 1e-3) == pytest.approx(1, abs=1e-6)
    assert effective_number(scores, 1e3) == pytest.approx(50, rel=1e-3)
    assert effective_number(np.zeros(7), 1) == pytest.approx(7)


def test_masks_of_one_class_and_of_extreme_area_are_redrawn():
    params = MaskParams(area_range=(0.1, 0.5))
    mask = np.zeros((10, 10), bool)
    assert refusal(mask, params) == "single-class"
    assert refusal(~mask, params) == "single-class"
    mask[0, :5] = True
    assert refusal(mask, params) == "area"
    mask[:2] = True
    assert refusal(mask, params) is None
    assert refusal(~mask, params) == "area"


# What a region looks like ---------------------------------------------------------------------------------------------

ANGLES = [*range(0, 360, 15), 0.001, 44.9, 89.999, 123.4, 359.99]


@pytest.mark.parametrize("share", [0.01, 0.07, 0.3, 0.5, 0.77, 0.95])
@pytest.mark.parametrize(("height", "width"), [(320, 320), (120, 640), (640, 120), (201, 333)])
def test_a_half_plane_covers_its_share_at_any_angle(height, width, share):
    for angle in ANGLES:
        mask = half_plane(Region("half-plane", mask_angle_deg=angle, mask_share=share), height, width)
        assert mask.mean() == pytest.approx(share, abs=0.005)


@given(st.floats(0, 360), st.floats(0.001, 0.999), st.integers(16, 90), st.integers(16, 90))
@settings(max_examples=150, deadline=None)
def test_a_half_plane_is_the_pixels_that_come_first_along_its_angle(angle, share, height, width):
    mask = half_plane(Region("half-plane", mask_angle_deg=angle, mask_share=share), height, width)
    assert mask.shape == (height, width)
    assert mask.dtype == bool
    y, x = np.mgrid[:height, :width] + 0.5
    along = y * math.sin(math.radians(angle)) + x * math.cos(math.radians(angle))
    if 0 < mask.mean() < 1:
        assert along[mask].max() < along[~mask].min() + 1e-3
    # The line moves by at most the spacing of pixels along its normal.
    assert mask.mean() == pytest.approx(share, abs=1 / min(height, width))


@pytest.mark.parametrize("aspect", [0.4, 0.55, 0.7, 0.85, 1.0])
@pytest.mark.parametrize(("height", "width"), [(320, 320), (240, 420), (420, 240)])
def test_an_ellipse_that_lies_inside_covers_its_share_at_any_angle(height, width, aspect):
    for angle in ANGLES:
        for share in (0.02, 0.1, 0.15):
            region = Region("ellipse", 0, 0, angle, share, aspect, 0.5, 0.5)
            assert ellipse(region, height, width).mean() == pytest.approx(share, abs=0.005)


NUMBERS = st.floats(0, 1)


@given(st.floats(0, 180), st.floats(0.001, 0.999), st.floats(0.4, 1), NUMBERS, NUMBERS)
@settings(max_examples=100, deadline=None)
def test_an_ellipse_matches_a_loop_over_pixels(angle, share, aspect, y, x):
    height, width = 23, 31
    mask = ellipse(Region("ellipse", 0, 0, angle, share, aspect, y, x), height, width)
    long = math.sqrt(share * height * width / math.pi / aspect)
    for row in range(height):
        for column in range(width):
            # Turned back by the angle, the long axis lies along the real one.
            offset = complex(column + 0.5 - x * width, row + 0.5 - y * height)
            turned = offset * complex(math.cos(math.radians(angle)), -math.sin(math.radians(angle)))
            distance = math.hypot(turned.real / long, turned.imag / (long * aspect))
            assert mask[row, column] == (distance < 1) or abs(distance - 1) < 1e-4


def test_shapes_are_drawn_in_the_frame_of_the_stored_image():
    region = Region("half-plane", mask_angle_deg=0, mask_share=0.25)
    expected = np.zeros((40, 60), bool)
    expected[:, :15] = True
    np.testing.assert_array_equal(region_mask(region, {}, None, (500, 700), Crop(9, 9, 400, 600, 40, 60)), expected)
    assert set(SHAPES) < set(KINDS)


def test_the_region_of_another_photo_is_stretched_to_this_ones_frame():
    tall = np.zeros((60, 20), np.int32)
    tall[30:, :10] = 1
    donor = Proposals(tall, np.array([[False, True]]), np.ones(1, np.float32))
    expected = np.zeros((40, 80), bool)
    expected[20:, :40] = True
    found = {"proposal": Proposals(1 - tall, np.array([[False, True]]), np.ones(1, np.float32))}
    mask = region_mask(Region("other-photo"), found, lambda: donor, (40, 80), Crop(0, 0, 40, 80, 40, 80))
    np.testing.assert_array_equal(mask, expected)
    part = region_mask(Region("other-photo"), found, lambda: donor, (40, 80), Crop(10, 20, 20, 40, 20, 40))
    np.testing.assert_array_equal(part, expected[10:30, 20:60])
