"""How well proposals cover what a person sees: hand-drawn segments of scikit-image's photos, and recorded numbers."""

import cv2
import numpy as np
import pytest
from annotated_photos import OUTLINES, photo, segments
from skimage.segmentation import felzenszwalb

from blurgen.engines import single_threaded
from blurgen.proposals import ProposalParams, object_proposals

COUNTS = (10, 100, 1000)

# (contours, score) -> number of proposals -> mean best Jaccard index: over the segments of a photo, then over photos.
RECORDED = {
    ("learned", "learned"): {10: 0.517, 100: 0.782, 1000: 0.835},
    ("gradient", "learned"): {10: 0.491, 100: 0.762, 1000: 0.833},
    ("gradient", "hand-made"): {10: 0.577, 100: 0.729, 1000: 0.833},
}


def best_jaccard(labels, membership, segment):
    """The largest Jaccard index of a segment with one of the first k regions, for each k of ``COUNTS``."""
    areas = np.bincount(labels.ravel())
    common = membership @ np.bincount(labels[segment], minlength=len(areas))
    jaccard = common / (membership @ areas + segment.sum() - common)
    return [jaccard[:count].max() for count in COUNTS]


def quality(regions_of):
    """Mean best Jaccard index by count; ``regions_of(image)`` gives (H, W) labels and (P, L) membership, best first."""
    by_photo = []
    for name in OUTLINES:
        regions = regions_of(photo(name))
        by_photo.append(np.mean([best_jaccard(*regions, segment) for segment in segments(name)], axis=0))
    return dict(zip(COUNTS, np.mean(by_photo, axis=0).round(3).tolist(), strict=True))


def proposals_of(image, contours, score):
    found = object_proposals(image, ProposalParams(contours=contours, score=score))
    return found.superpixels, found.membership


def felzenszwalb_of(image, side_px=384, scales=(100, 300, 1000), least=0.003):
    """The regions of a common segmentation at three scales, largest first. 512 px finds no more and takes longer."""
    height, width = image.shape[:2]
    zoom = min(1, side_px / max(height, width))
    small = cv2.resize(image, (round(width * zoom), round(height * zoom)), interpolation=cv2.INTER_AREA)
    levels = np.stack([felzenszwalb(small, scale, min_size=int(least * small[..., 0].size)) for scale in scales])
    columns, pieces = np.unique(levels.reshape(len(scales), -1), axis=1, return_inverse=True)
    membership = np.concatenate([column == np.arange(column.max() + 1)[:, None] for column in columns])
    order = np.argsort(-(membership @ np.bincount(pieces.ravel())), kind="stable")
    labels = pieces.reshape(small.shape[:2]).astype(np.uint16)
    return cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST), membership[order]


def as_literal(measured):
    lines = [f"    ({contours!r}, {score!r}): {numbers},\n" for (contours, score), numbers in measured.items()]
    return "RECORDED = {\n" + "".join(lines).replace("'", '"') + "}"


@pytest.fixture(scope="module")
def measured():
    with single_threaded():  # beside a busy process, two threads of BLAS take four times as long as one
        return {kinds: quality(lambda image, kinds=kinds: proposals_of(image, *kinds)) for kinds in RECORDED}


@pytest.mark.parametrize("kinds", RECORDED, ids="-".join)
def test_quality_is_as_recorded(measured, kinds):
    # Both ways: a change for the better is recorded too, so that the next one for the worse is seen.
    found, recorded = measured[kinds], RECORDED[kinds]
    differing = [count for count in COUNTS if abs(found[count] - recorded[count]) > 0.01]
    assert not differing, f"{kinds}: {found}, recorded {recorded}; if that is meant, paste\n{as_literal(measured)}"


def test_proposals_beat_a_common_segmentation(measured):
    assert measured["learned", "learned"][100] > quality(felzenszwalb_of)[100] + 0.05


@pytest.mark.parametrize("name", OUTLINES)
def test_outlines_lie_in_the_photo_and_enclose_enough(name):
    height, width = photo(name).shape[:2]
    for (what, outline), segment in zip(OUTLINES[name].items(), segments(name), strict=True):
        corners = np.array(outline)
        assert corners.min() >= 0, what
        assert (corners < [width, height]).all(), what
        assert 0.01 <= segment.mean() <= 0.6, what


def test_best_jaccard_by_hand():
    # Superpixels of 2, 1 and 1 px; the segment is the first and the second. The regions: third, first, first and third.
    labels = np.array([[0, 0, 1, 2]])
    membership = np.array([[0, 0, 1], [1, 0, 0], [1, 0, 1]], bool)
    assert np.allclose(best_jaccard(labels, membership, labels < 2), 2 / 3)
    assert np.allclose(best_jaccard(labels, membership[::2], labels < 2), 2 / 4)
