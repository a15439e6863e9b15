"""Maps where there is no texture: what is found around counts, as far as the next edge."""

from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.linalg import solveh_banded

from blurgen.errors import DependencyError
from blurgen.evaluation.scaling import enlarged, smaller
from blurgen.texture import luminance
from blurgen.training.spreading import EDGE, LEAST_GRADIENT, STIFFNESS, spread


def noise(*shape, seed=3):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def outlined(*shape):
    """A flat photo with a bright square in its middle, and a map that knows only the outline."""
    photo = np.full((*shape, 3), 60, np.uint8)
    photo[30:90, 40:120] = 200
    found = np.full(shape, 0.5, np.float32)
    return photo, found


def test_what_an_outline_tells_fills_the_object_and_stays_inside():
    photo, found = outlined(120, 160)
    found[27:30, 37:123] = found[90:93, 37:123] = 0.05  # outside of the outline: sharp
    found[30:90, 40:43] = found[30:90, 117:120] = found[30:33, 40:120] = found[87:90, 40:120] = 0.95
    filled = spread([found], [photo])
    assert filled[60, 80] > 0.85  # 30 px from any finding
    assert filled[60, 44] > 0.85
    assert filled[25, 80] < 0.2
    assert (filled[40:80, 41] > 0.5).all()
    assert (filled[28, 50:110] < 0.5).all()


def test_pixels_between_edges_keep_what_was_found():
    photo = np.repeat(255 * (np.indices((90, 100)).sum(axis=0) % 2), 3).reshape(90, 100, 3).astype(np.uint8)
    found = np.random.default_rng(0).random((90, 100), np.float32)
    np.testing.assert_allclose(spread([found], [photo]), found, atol=1e-5)


def test_a_small_view_tells_what_the_large_one_does_not_show():
    large = cv2.GaussianBlur(noise(160, 200, 3), (0, 0), 6)
    small = smaller(large, 40)
    nothing, blurred = np.full((160, 200), 0.5, np.float32), np.full(small.shape[:2], 0.9, np.float32)
    both = spread([nothing, blurred], [large, small])
    assert both.min() > 0.75  # its gradients are four times as steep, so it counts four times


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_depth_and_number_of_channels_of_a_grey_photo_do_not_matter(channels):
    photo, found = cv2.GaussianBlur(noise(60, 70, 1), (0, 0), 3)[..., None], np.random.default_rng(2).random((60, 70))
    found = found.astype(np.float32)
    wanted = spread([found], [photo])
    many = photo.repeat(channels, axis=2)
    for one in (many, many.astype(np.uint16) * 257):
        np.testing.assert_allclose(spread([found], [one]), wanted, atol=1e-4)


def test_one_scale_for_all_sizes_of_light_of_any_range():
    """A highlight that is gone in the small view does not make its gradients steeper than those of the large one."""
    photo = cv2.GaussianBlur(noise(64, 64, 1), (0, 0), 2)[..., None].astype(np.float32)
    photo[5, 5] = 20 * photo.max()
    views = [photo, smaller(photo, 16)]
    levels = np.clip(np.rint((views[1] - photo.min()) * 255 / (photo.max() - photo.min())), 0, 255).astype(np.uint8)
    first = np.clip(np.rint((photo - photo.min()) * 255 / (photo.max() - photo.min())), 0, 255).astype(np.uint8)
    found = [np.random.default_rng(3).random(view.shape[:2], np.float32) for view in views]
    np.testing.assert_allclose(spread(found, views), spread(found, [first, levels]), atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 60), st.integers(1, 60), st.sampled_from([1, 3, 5]))),
    st.floats(0, 1, width=32),
)
def test_what_is_the_same_everywhere_stays_so(photo, value):
    found = np.full(photo.shape[:2], value, np.float32)
    filled = spread([found], [photo])
    assert filled.dtype == np.float32
    assert filled.shape == found.shape
    np.testing.assert_allclose(filled, value, atol=2e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_against_systems_of_equations_solved_row_by_row(dtype):
    photo = cv2.GaussianBlur(noise(40, 50, 3), (0, 0), 2.0).astype(dtype)
    photo[0, :2] = [[0], [255]]  # so that the scale of floats is that of the others
    photo = photo * dtype(257) if dtype == np.uint16 else photo
    views = [photo, smaller(photo, 20)]
    found = [np.random.default_rng(1).random(view.shape[:2], np.float32) for view in views]
    guide = levels(photo, photo)
    logits = [np.log(one / (1 - one)) for one in found]
    weights = [np.hypot(*slopes(luminance(levels(view, photo)))) + LEAST_GRADIENT for view in views]
    weighted = [one * weight for one, weight in zip(logits, weights, strict=True)]
    both, alone = (sum(enlarged(np.float32(one), (40, 50)) for one in some) for some in (weighted, weights))
    wanted = smoothed(both, guide) / smoothed(alone, guide)
    np.testing.assert_allclose(spread(found, views), 1 / (1 + np.exp(-wanted)), atol=2e-4)


def levels(view, photo):
    """As uint8, by the scale of the photo."""
    if photo.dtype == np.float32:
        view = (view.astype(np.float64) - photo.min()) * 255 / (photo.max() - photo.min())
    return np.rint(view / (257 if photo.dtype == np.uint16 else 1)).astype(np.uint8)


def slopes(grey):
    return (cv2.Sobel(grey.astype(np.float64), -1, *order) / 8 for order in ((0, 1), (1, 0)))


def smoothed(values, guide):
    """Three rounds of rows, then columns, each with a quarter of the stiffness of the one before."""
    values, guide = values.astype(np.float64), guide.astype(np.float64)
    for turn in range(3):
        stiffness = STIFFNESS / 4**turn
        values = along_rows(values, guide, stiffness)
        values = along_rows(values.T, guide.transpose(1, 0, 2), stiffness).T
    return values


def along_rows(values, guide, stiffness):
    """(1 + stiffness * Laplacian weighted by likeness) u = value, for each row."""
    links = -stiffness * np.exp(-np.sqrt(((guide[:, 1:] - guide[:, :-1]) ** 2).sum(axis=2)) / EDGE)
    found = np.empty_like(values)
    for row, (link, value) in enumerate(zip(links, values, strict=True)):
        bands = np.zeros((2, len(value)))
        bands[0, 1:] = link
        bands[1] = 1 - np.append(link, 0) - np.append(0, link)
        found[row] = solveh_banded(bands, value)
    return found


def test_an_opencv_without_the_contributed_modules_is_named(monkeypatch):
    monkeypatch.setattr("blurgen.contributed.cv2", SimpleNamespace())
    with pytest.raises(DependencyError, match=r"--spread.*opencv-contrib-python"):
        spread([np.zeros((5, 5), np.float32)], [noise(5, 5, 3)])
