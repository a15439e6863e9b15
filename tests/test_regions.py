"""Proposals at the photo's resolution and as bytes: the upsampling against a plain loop, and what is refused."""

import hashlib
import io
import os
import re
import zipfile

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from blurgen.errors import PhotoError
from blurgen.geometry import Crop
from blurgen.masks import Region, largest_object, region_mask
from blurgen.proposals.regions import Proposals
from blurgen.regions import RegionCache

SIDES = st.integers(1, 9)
LABELS = st.tuples(SIDES, SIDES).flatmap(lambda shape: arrays(np.int32, shape, elements=st.integers(0, 4)))
FULL = st.tuples(st.integers(1, 30), st.integers(1, 30))


def of(labels, shape=None, count=5, masks=3):
    """Proposals with this label map and random masks."""
    rng = np.random.default_rng(0)
    scores = -np.sort(-rng.random(masks)).astype(np.float32)
    return Proposals(labels, rng.random((masks, count)) < 0.5, scores, shape)


def naive_superpixels(labels, shape):
    """Each pixel by itself, in whole numbers: weights of labels around its centre, the largest, the lowest of those."""
    (height, width), (full_height, full_width) = labels.shape, shape
    full = np.empty(shape, int)
    for y in range(full_height):
        for x in range(full_width):
            top, down = divmod((2 * y + 1) * height - full_height, 2 * full_height)
            left, right = divmod((2 * x + 1) * width - full_width, 2 * full_width)
            weights = {}
            for row, weight_y in ((top, 2 * full_height - down), (top + 1, down)):
                for column, weight_x in ((left, 2 * full_width - right), (left + 1, right)):
                    label = int(labels[min(max(row, 0), height - 1), min(max(column, 0), width - 1)])
                    weights[label] = weights.get(label, 0) + weight_y * weight_x
            full[y, x] = min(weights, key=lambda label: (-weights[label], label))
    return full


@given(LABELS, FULL)
def test_superpixels_match_a_loop_over_pixels(labels, shape):
    full = of(labels, shape).superpixels
    assert full.dtype == np.int32
    assert np.array_equal(full, labels if labels.shape == shape else naive_superpixels(labels, shape))


@given(LABELS, FULL)
def test_masks_are_membership_of_superpixels(labels, shape):
    proposals = of(labels, shape)
    for index in range(len(proposals)):
        assert proposals.mask(index).dtype == bool
        assert np.array_equal(proposals.mask(index), proposals.membership[index][proposals.superpixels])


@given(arrays(bool, (6, 7)), FULL)
def test_two_labels_are_bilinear_interpolation_cut_at_one_half(region, shape):
    full = of(region.astype(np.int32), shape, count=2).superpixels
    smooth = cv2.resize(region.astype(np.float64), shape[::-1], interpolation=cv2.INTER_LINEAR)
    clear = abs(smooth - 0.5) > 1e-6
    assert np.array_equal(full[clear], smooth[clear] > 0.5)


def test_upsampling_by_hand():
    # Centres at 1/4, 3/4 and so on of a working pixel: the borders fall between full pixels 1 and 2.
    assert of(np.array([[0, 1]], np.int32), (1, 4)).superpixels.tolist() == [[0, 0, 1, 1]]
    # The middle one of three is half of each: the lower label.
    assert of(np.array([[3, 1]], np.int32), (1, 3)).superpixels.tolist() == [[3, 1, 1]]
    # In the inner pixel next to the corner the 1 still has 3/4 * 3/4 = 9/16 of the weight.
    assert of(np.array([[1, 0], [0, 0]], np.int32), (4, 4)).superpixels.tolist() == [
        [1, 1, 0, 0],
        [1, 1, 0, 0],
        [0, 0, 0, 0],
        [0, 0, 0, 0],
    ]


def disk(side):
    """A disk of 4/5 of the width of a square."""
    y, x = (np.mgrid[:side, :side] + 0.5) / side - 0.5
    return (y**2 + x**2 < 0.16).astype(np.int32)


def test_a_disk_has_no_staircase():
    full = of(disk(40), (400, 400), count=2).superpixels
    nearest = disk(40).repeat(10, axis=0).repeat(10, axis=1)
    assert (full != disk(400)).sum() < 0.75 * (nearest != disk(400)).sum()
    top = full[:, 100:300].argmax(axis=0)  # the row of the border, where the slope is below 1
    assert abs(np.diff(top)).max() <= 2  # a nearest neighbour jumps by 10


def test_shape_is_that_of_the_map_unless_given():
    labels = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert of(labels, count=6).shape == (2, 3)
    assert np.array_equal(of(labels, count=6).superpixels, labels)
    assert of(labels, np.array([4, 5]), count=6).shape == (4, 5)


@pytest.mark.parametrize("shape", [(1, 100_000), (100_000, 1)])
def test_elongated_photos_work(shape):
    labels = np.repeat([0, 1, 2, 3], 128).astype(np.int32).reshape(-1, 1)
    full = of(labels if shape[0] > 1 else labels.T, shape).superpixels.ravel()
    assert full.tolist() == np.repeat([0, 1, 2, 3], 25_000).tolist()


def test_tall_strips_match_a_nearest_neighbour_away_from_borders():
    full = of(np.array([[0, 1], [2, 3]], np.int32), (1400, 900)).superpixels
    nearest = (np.arange(1400) >= 700)[:, None] * 2 + (np.arange(900) >= 450)
    assert (full != nearest).mean() < 1e-3


def test_largest_object_is_at_the_photos_resolution():
    annotated = np.zeros((30, 40), np.int32)
    annotated[5:20, 10:30] = 4
    regions = largest_object(annotated)
    assert regions.shape == (30, 40)
    assert np.array_equal(regions.mask(0), annotated > 0)


def test_a_full_crop_shows_the_mask():
    inside = np.pad(disk(60), ((0, 0), (0, 30)))
    regions = Proposals(inside, np.array([[False, True]]), np.ones(1, np.float32), (240, 360))
    drawn = Region("proposal", region=0)
    seen = region_mask(drawn, {"proposal": regions}, None, (240, 360), Crop(0, 0, 240, 360, 240, 360))
    assert (seen != regions.mask(0)).mean() < 2e-3


@given(LABELS, FULL, st.integers(0, 20), st.integers(5, 40))
def test_bytes_round_trip(labels, shape, masks, count):
    proposals = of(labels, shape, count, masks)
    proposals.membership[:, 0] = True  # no mask is empty
    back = Proposals.from_bytes(proposals.to_bytes())
    assert back.shape == shape
    for name in ("working_superpixels", "membership", "scores"):
        before, after = getattr(proposals, name), getattr(back, name)
        assert before.dtype == after.dtype
        assert np.array_equal(before, after)


def test_wide_labels_and_long_runs_round_trip():
    labels = np.concatenate([np.zeros(300_000, np.int32), np.arange(70_000, dtype=np.int32)]).reshape(100, 3700)
    proposals = of(labels, count=70_000, masks=1)
    assert proposals.membership.any()
    assert np.array_equal(Proposals.from_bytes(proposals.to_bytes()).working_superpixels, labels)


def good_arrays():
    """What is stored of a map of 2 x 3 px with 3 superpixels, and of two masks of them."""
    proposals = Proposals(
        np.array([[0, 0, 1], [2, 2, 1]], np.int32),
        np.array([[True, False, False], [False, True, True]]),
        np.array([0.5, 0.25], np.float32),
        (4, 6),
    )
    with np.load(io.BytesIO(proposals.to_bytes()[32:])) as stored:
        return dict(stored)


def signed(payload):
    return hashlib.sha256(payload).digest() + payload


def packed(**stored):
    payload = io.BytesIO()
    np.savez_compressed(payload, **stored)
    return signed(payload.getvalue())


def bits(*scores):
    """Scores as they are stored: differences of their bits, in planes of bytes."""
    return np.diff(np.array(scores, "<f4").view("<u4"), prepend=np.uint32(0)).view(np.uint8).reshape(-1, 4).T


def test_stored_arrays_by_hand():
    stored = good_arrays()
    assert stored["sizes"].tolist() == [2, 3, 4, 6, 3]
    assert stored["run_lengths"].tolist() == [2, 1, 2, 1]
    assert stored["run_labels"].tolist() == [0, 1, 2, 1]
    assert stored["membership"].tolist() == [[0b10000000], [0b01100000]]
    assert np.array_equal(stored["score_steps"], bits(0.5, 0.25))
    assert len(Proposals.from_bytes(packed(**stored))) == 2


def test_a_missing_or_unknown_array_is_refused():
    stored = good_arrays()
    for name in stored:
        with pytest.raises(PhotoError):
            Proposals.from_bytes(packed(**{key: value for key, value in stored.items() if key != name}))
    with pytest.raises(PhotoError):
        Proposals.from_bytes(packed(**stored, superpixels=np.zeros((2, 3))))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("run_labels", np.array([0, 1, 3, 1], np.uint8)),  # label 3 of 3
        ("run_labels", np.array([0, 1, -1, 1], np.int8)),
        ("run_labels", np.array([0, 1, 2, 1], np.float32)),
        ("run_lengths", np.array([2, 1, 2, 2], np.uint8)),  # 7 px of 6
        ("run_lengths", np.array([3, 0, 2, 1], np.uint8)),
        ("run_lengths", np.array([3, 1, 2], np.uint8)),
        ("run_lengths", np.array([2, 2**64 - 2, 3, 3], np.uint64)),  # 6 px modulo 2^64
        ("run_lengths", np.array([[2, 1, 2, 1]], np.uint8)),
        ("score_steps", bits(0.5, np.nan)),
        ("score_steps", bits(np.inf, 0.25)),
        ("score_steps", bits(0.5)),
        ("score_steps", bits(0.25, 0.5)),  # not in rank order
        ("score_steps", bits(3e38, 0.25)),
        ("score_steps", bits(0.5, -0.25)),
        ("score_steps", bits(0.5, 0.25).astype(np.int16)),
        ("score_steps", np.array([0.5, 0.25], np.float32)),
        ("membership", np.array([[0b10000000], [0]], np.uint8)),  # an empty mask
        ("membership", np.zeros((2, 2), np.uint8)),
        ("membership", np.zeros((3, 1), np.uint8)),
        ("membership", np.zeros((2, 1), bool)),
        ("membership", np.array([[None], [None]])),
        ("sizes", np.array([2, 3, 0, 6, 3])),
        ("sizes", np.array([2, 3, 4, -6, 3])),
        ("sizes", np.array([2, 3, 10_001, 10_000, 3])),
        ("sizes", np.array([2, 3, 1, 10_000_000, 3])),
        ("sizes", np.array([2, 3, 2**62, 4, 3])),
        ("sizes", np.array([1, 2, 4, 6, 3])),
        ("sizes", np.array([2, 3, 4, 6, 2**40])),
        ("sizes", np.array([2.0, 3, 4, 6, 3])),
        ("sizes", np.array([2, 3, 4, 6])),
    ],
)
def test_what_does_not_fit_together_is_refused(name, value):
    with pytest.raises(PhotoError) as raised:
        Proposals.from_bytes(packed(**{**good_arrays(), name: value}))
    assert "\n" not in str(raised.value)
    assert raised.value.__cause__ is None


def zipped(header, body):
    """An archive whose run labels are this header and body, the rest as it should be."""
    payload = io.BytesIO()
    np.savez_compressed(payload, **{name: value for name, value in good_arrays().items() if name != "run_labels"})
    with zipfile.ZipFile(payload, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("run_labels.npy", header + body)
    return signed(payload.getvalue())


def npy_header(shape):
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return stream.getvalue()


@pytest.mark.parametrize("shape", [(4,), (10**18,), (2**62, 2**62), (10**11,), (5,)])
def test_sizes_that_the_bytes_do_not_have_are_refused(shape):
    data = zipped(npy_header(shape), bytes([0, 1, 2, 1]))
    if shape == (4,):
        assert len(Proposals.from_bytes(data)) == 2
    else:
        with pytest.raises(PhotoError):
            Proposals.from_bytes(data)


def test_a_zip_bomb_is_refused_before_it_is_read():
    data = zipped(npy_header((300_000_000,)), bytes(300_000_000))
    assert len(data) < 500_000
    with pytest.raises(PhotoError, match="ValueError"):
        Proposals.from_bytes(data)


@pytest.mark.parametrize("payload", [b"", b"PK", b"\x93NUMPY", bytes(100), b"not a zip at all" * 9])
def test_other_bytes_are_refused(payload):
    for data in (payload, signed(payload)):
        with pytest.raises(PhotoError, match=re.escape("compute them again")):
            Proposals.from_bytes(data)


@given(st.data())
def test_truncated_or_changed_archives_are_refused_or_whole(data):
    whole = packed(**good_arrays())[32:]
    place = data.draw(st.integers(0, len(whole) - 1))
    changed = bytearray(whole)
    changed[place] ^= data.draw(st.integers(1, 255))
    for payload in (whole[:place], bytes(changed)):
        try:
            back = Proposals.from_bytes(signed(payload))
        except PhotoError:
            continue
        assert back.superpixels.shape == (4, 6)
        assert back.superpixels.max() < back.membership.shape[1]


def test_cache_takes_nothing_but_its_own_plain_files(tmp_path):
    store, kept = RegionCache(tmp_path), of(np.zeros((4, 5), np.int32), count=1, masks=0)
    key = 32 * "ab"
    store.put(key, kept)
    path = tmp_path / "ab" / f"{key}.regions"
    assert len(store.get(key)) == 0
    path.unlink()
    os.mkfifo(path)
    assert store.get(key) is None  # and nothing waits
    path.unlink()
    with path.open("wb") as file:
        file.truncate(2**30)
    assert store.get(key) is None
    store.put(key, kept)
    assert store.get(key) is not None
    assert store.get("../" + key) is None
