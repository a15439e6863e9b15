"""Proposals: facts small enough to check by eye, and the fast forms against plain loops."""

import dataclasses
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import skimage.data
from threadpoolctl import threadpool_info

from blurgen.errors import ArgumentError, PhotoError
from blurgen.proposals import (
    ProposalParams,
    Proposals,
    contours,
    features,
    gradient,
    grouping,
    hierarchy,
    object_proposals,
    ranking,
    ultrametric_contours,
)
from blurgen.proposals.working import working_photo

COLOURS = np.array([[200, 40, 40], [40, 160, 60], [50, 60, 200], [230, 220, 90]], np.uint8)


def quarters(height=120, width=160):
    """Four flat rectangles of different size that meet in one point."""
    labels = np.zeros((height, width), int)
    labels[height // 3 :] += 1
    labels[:, width // 2 :] += 2
    return labels


def jaccard(one, two):
    return (one & two).sum() / (one | two).sum()


def best_jaccard(proposals, region):
    return max(jaccard(proposals.mask(index), region) for index in range(len(proposals)))


def graph_of(labels, contour=None):
    return hierarchy.region_graph(labels, np.zeros((1, *labels.shape), np.float32) if contour is None else contour)


def chain(strengths):
    """Four superpixels in a row, 2 px high and 3 px wide, with these strengths of their three borders."""
    labels = np.repeat(np.arange(4), 3)[None].repeat(2, axis=0)
    contour = np.zeros((1, 2, 12), np.float32)
    for place, strength in zip((2, 5, 8), strengths, strict=True):
        contour[0, :, place : place + 2] = strength
    return graph_of(labels, contour)


@pytest.fixture(scope="module")
def photo():
    return skimage.data.chelsea()


@pytest.fixture(scope="module")
def found(photo):
    return object_proposals(photo)


def test_flat_regions_are_found():
    labels = quarters()
    proposals = object_proposals(COLOURS[labels])
    for region in range(4):
        assert best_jaccard(proposals, labels == region) > 0.9
    assert best_jaccard(proposals, labels >= 2) > 0.9  # a pair


def test_disk_on_noise_is_found():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:150, :200]
    disk = (rows - 70) ** 2 + (columns - 110) ** 2 < 40**2
    image = np.where(disk[..., None], [190, 90, 60], [90, 120, 130]) + rng.normal(0, 15, (150, 200, 3))
    proposals = object_proposals(np.clip(image, 0, 255).astype(np.uint8))
    assert best_jaccard(proposals, disk) > 0.9


def test_shapes_types_and_rank_order(photo, found):
    count, leaves = found.membership.shape
    assert found.superpixels.shape == photo.shape[:2]
    assert found.superpixels.dtype == np.int32
    assert found.membership.dtype == bool
    assert found.scores.dtype == np.float32
    assert 500 < len(found) == count <= 1000
    assert np.array_equal(np.unique(found.superpixels), np.arange(leaves))
    assert np.isfinite(found.scores).all()
    assert (np.diff(found.scores) <= 0).all()
    assert 0 <= found.scores[-1] < found.scores[0] <= 1


def test_limits_hold(photo):
    params = ProposalParams(max_proposals=40, area_range=(0.02, 0.3), least_superpixel=0.01)
    proposals = object_proposals(photo, params)
    areas = np.bincount(proposals.superpixels.ravel()) / proposals.superpixels.size
    shares = proposals.membership @ areas
    assert len(proposals) == 40
    assert areas.min() >= 0.01
    assert shares.min() >= 0.02
    assert shares.max() <= 0.3 + 1e-9


def test_same_bytes_twice_and_photo_unchanged(photo, found):
    before = photo.copy()
    assert object_proposals(photo).to_bytes() == found.to_bytes()
    assert np.array_equal(before, photo)


def test_order_of_memory_does_not_matter(photo, found):
    flipped = np.ascontiguousarray(photo[:, ::-1])[:, ::-1]
    assert object_proposals(flipped).to_bytes() == found.to_bytes()


def test_bytes_round_trip_and_bit_flip(found):
    data = found.to_bytes()
    back = Proposals.from_bytes(data)
    assert np.array_equal(back.superpixels, found.superpixels)
    assert np.array_equal(back.membership, found.membership)
    assert np.array_equal(back.scores, found.scores)
    for place in (0, 40, len(data) // 2, len(data) - 1):
        damaged = bytearray(data)
        damaged[place] ^= 1
        with pytest.raises(PhotoError, match="damaged"):
            Proposals.from_bytes(bytes(damaged))


def test_large_photo_is_downscaled_and_small_one_is_not(photo):
    params = ProposalParams(working_side_px=128)
    proposals = object_proposals(photo, params)
    assert proposals.working_superpixels.shape == (85, 128)
    assert proposals.superpixels.shape == proposals.mask(0).shape == photo.shape[:2]
    assert object_proposals(photo[:100, :90], params).working_superpixels.shape == (100, 90)


def test_grey_equals_grey_in_colour(photo):
    grey = photo[..., 1]
    assert object_proposals(grey).to_bytes() == object_proposals(np.dstack([grey] * 3)).to_bytes()


@pytest.mark.parametrize("shape", [(32, 32), (32, 200), (33, 57)])
def test_small_photos_work(photo, shape):
    proposals = object_proposals(photo[: shape[0], : shape[1]])
    assert proposals.superpixels.shape == shape
    assert np.isfinite(proposals.scores).all()


@pytest.mark.parametrize("image", [np.full((80, 90, 3), 77, np.uint8), np.zeros((1, 1), np.uint8)])
def test_nothing_to_find_is_said_so(image):
    proposals = object_proposals(image)
    assert len(proposals) == 0
    assert proposals.superpixels.shape == image.shape[:2]
    assert not proposals.superpixels.any()
    assert proposals.membership.shape == (0, 1)
    assert len(Proposals.from_bytes(proposals.to_bytes())) == 0


@pytest.mark.parametrize("image", [np.zeros((31, 400, 3), np.uint8), np.ones((40, 40), np.uint8) * 255])
def test_too_small_or_white_is_empty(image):
    assert len(object_proposals(image)) == 0


@pytest.mark.parametrize("function", [object_proposals, ultrametric_contours])
@pytest.mark.parametrize("params", [None, {"pairs": 3}, ProposalParams])
def test_wrong_params_are_named(function, params, photo):
    with pytest.raises(ArgumentError, match="ProposalParams"):
        function(photo, params)


@pytest.mark.parametrize("contour_kind", ["gradient", "learned"])
@pytest.mark.parametrize("period", [(1, 1), (0, 1), (1, 0)])
@pytest.mark.parametrize("shape", [(64, 64), (33, 52), (100, 101)])
def test_fine_textures_end_without_a_fault(contour_kind, period, shape):
    rows, columns = np.indices(shape)
    image = ((period[0] * rows + period[1] * columns) % 2 * 255).astype(np.uint8)
    params = ProposalParams(contours=contour_kind)
    assert len(object_proposals(image, params)) >= 0
    assert np.isfinite(ultrametric_contours(image, params)).all()


def test_threads_find_the_same_and_leave_the_thread_count(photo, found):
    photos = [photo, photo[:, ::-1].copy(), photo[:200], photo]
    before = [pool["num_threads"] for pool in threadpool_info()]
    with ThreadPoolExecutor(4) as pool:
        in_threads = list(pool.map(object_proposals, photos))
    assert [pool["num_threads"] for pool in threadpool_info()] == before
    assert in_threads[0].to_bytes() == in_threads[3].to_bytes() == found.to_bytes()
    assert in_threads[1].to_bytes() == object_proposals(photos[1]).to_bytes()


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((50, 50, 3), np.nan), "all of the 7500 values"),
        (np.zeros((50, 50), np.int32), "int32"),
        (np.zeros((50,), np.uint8), "(50,)"),
        (np.zeros((2, 50, 50, 3), np.uint8), "(2, 50, 50, 3)"),
        (np.zeros((0, 50, 3), np.uint8), "(0, 50, 3)"),
        ([[1, 2]], "list"),
    ],
)
@pytest.mark.parametrize("function", [object_proposals, ultrametric_contours])
def test_wrong_input_is_named(function, image, message):
    with pytest.raises(PhotoError) as raised:
        function(image)
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)


def test_other_depths_and_channels_find_the_same_regions():
    labels = quarters()
    colour = COLOURS[labels]
    many = np.stack([colour[..., 0], colour[..., 1], colour[..., 2], colour[..., 0], colour[..., 2]], axis=2)
    for image in (colour.astype(np.uint16) * 257, colour / 255, many, many.astype(np.float32) - 300, colour[..., 1]):
        proposals = object_proposals(image)
        for region in range(4):
            assert best_jaccard(proposals, labels == region) > 0.9


def test_importing_the_parameters_imports_nothing_heavy():
    code = "import sys, blurgen.proposals; print({'cv2', 'higra', 'scipy', 'skimage'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "set()"


def lab(photo):
    return working_photo(photo, 512)


def gradient_maps(photo):
    return contours.contour_maps(lab(photo), "gradient")


@pytest.mark.parametrize(("kind", "scales"), [("gradient", 3), ("learned", 2)])
def test_contours_stand_where_the_colour_changes(kind, scales):
    image = np.full((64, 192, 3), 60, np.uint8)
    image[:, 96:] = (180, 90, 60)
    maps = contours.contour_maps(lab(image), kind)
    assert maps.shape == (scales, 64, 192)
    assert maps.dtype == np.float32
    assert maps.min() >= 0
    assert maps.max() <= 1
    for strength in maps:
        assert (abs(strength[32].argmax() - 95.5) <= 2.5).all()
        assert strength[:, :40].max() < 0.1 * strength.max()  # the network is not blind to the frame


def test_soft_bins_sum_to_one():
    bins = gradient._soft_bins(np.linspace(-60, 60, 50, dtype=np.float32).reshape(5, 10), (-40, 40, 7))
    assert np.allclose(bins.sum(axis=0), 1, atol=1e-5)
    assert (bins > 0).sum(axis=0).max() == 2


def test_region_graph_by_hand():
    labels = np.array([[0, 0, 1], [0, 2, 1], [2, 2, 1]])
    contour = np.array([[[0, 0.2, 0.4], [0, 0.6, 0.8], [0, 0, 1]]], np.float32)
    graph = graph_of(labels, contour)
    assert graph.areas.tolist() == [3, 3, 3]
    assert graph.edges.tolist() == [[0, 1], [0, 2], [1, 2]]
    assert graph.lengths.tolist() == [1, 3, 2]
    # 0|1: (.2 + .4)/2. 0|2: (.2 + .6)/2, (0 + .6)/2, (0 + 0)/2. 1|2: (.6 + .8)/2, (0 + 1)/2.
    assert np.allclose(graph.strengths, [[0.3, 0.7 / 3, 0.6]])


def test_merge_tree_by_hand():
    graph = chain([0.5, 0.1, 0.9])
    tree = hierarchy.merge_tree(graph, graph.strengths[0])
    # 1 and 2 become 4 at .1, 0 joins at .5 to become 5, 3 joins at .9 to become the root, 6.
    assert tree.parents.tolist() == [5, 4, 4, 6, 5, 6, 6]
    assert np.allclose(tree.altitudes, [0, 0, 0, 0, 0.1, 0.5, 0.9])
    members = grouping.node_members(tree.parents)
    assert members[4:].astype(int).tolist() == [[0, 1, 1, 0], [1, 1, 1, 0], [1, 1, 1, 1]]


def test_mean_border_is_weighted_by_length():
    # 0 and 1 merge first; their common border with 2 is 4 px of strength .6 and 1 px of 1: mean .68.
    labels = np.array([[0, 2], [0, 2], [0, 2], [0, 2], [1, 2]])
    graph = graph_of(labels)
    tree = hierarchy.merge_tree(graph, np.array([0.1, 0.6, 1.0]))
    assert np.allclose(tree.altitudes[3:], [0.1, 0.68])


def test_altitudes_never_fall_towards_the_root():
    raised = hierarchy._monotone(np.array([3, 3, 4, 4, 4]), np.array([0, 0, 0, 0.5, 0.2]))
    assert raised.tolist() == [0, 0, 0, 0.5, 0.5]


def test_small_basin_goes_through_its_weakest_border_only():
    labels = np.array([[0] * 6 + [1] + [2] * 6] * 4)
    contour = np.zeros((1, 4, 13), np.float32)
    contour[0, :, 5:7] += 0.2
    contour[0, :, 6:8] += 0.6
    absorbed = hierarchy._absorb(graph_of(labels, contour), np.array([1]))
    assert absorbed[0] == absorbed[1] != absorbed[2]


def test_merging_the_graph_is_measuring_the_merged_labels(photo):
    maps = gradient_maps(photo)
    graph = hierarchy.superpixels(maps, 0.002)
    measured = hierarchy.region_graph(graph.labels, maps)
    for field in dataclasses.fields(graph):
        assert np.allclose(getattr(graph, field.name), getattr(measured, field.name)), field.name


def test_superpixels_are_connected_and_large_enough(photo):
    from skimage.measure import label

    labels = hierarchy.superpixels(gradient_maps(photo), 0.004).labels
    assert np.bincount(labels.ravel()).min() >= 0.004 * labels.size
    assert label(labels, background=-1, connectivity=2).max() == labels.max() + 1


def groups_of(graph, *quotas):
    tree = hierarchy.merge_tree(graph, graph.strengths[0])
    return grouping.tree_groups(tree, grouping.adjacency_matrix(graph), quotas)


def test_tuples_of_a_chain():
    # The seven nodes, and as pairs {0,1}, {2,3}, {3} + {1,2}: all ten runs of neighbours.
    groups = {tuple(np.flatnonzero(row)) for row in groups_of(chain([0.5, 0.1, 0.9]), 100, 100, 100)}
    assert groups == {(0,), (1,), (2,), (3,), (1, 2), (0, 1, 2), (0, 1, 2, 3), (0, 1), (2, 3), (1, 2, 3)}


def test_quota_takes_the_coarsest_pairs():
    # The pairs that live longest: {0,1,2} + {3} until .9, then one that ends at .5: {0} + {1,2}, or {1,2} + {3}.
    groups = groups_of(chain([0.5, 0.1, 0.9]), 2, 0)
    assert groups[7].tolist() == [True] * 4
    assert len(groups) == 9


def star(strengths):
    """A middle superpixel, 0, with a neighbour on each side, which touch the middle only."""
    labels = np.full((15, 15), 5)
    labels[5:10, 5:10] = 0
    labels[5:10, :5], labels[5:10, 10:], labels[:5, 5:10], labels[10:, 5:10] = 1, 2, 3, 4
    full = graph_of(labels)
    kept = (full.edges != 5).all(axis=1)
    values = np.array(strengths, float)[None]
    return dataclasses.replace(
        full, areas=full.areas[:5], edges=full.edges[kept], lengths=full.lengths[kept], strengths=values
    )


def test_four_tuples_are_the_connected_sets_of_four():
    # All five superpixels live until the first merge at .3: every set that holds the middle is a tuple of its own.
    graph = star([0.3, 0.4, 0.5, 0.6])
    found = {tuple(np.flatnonzero(row)) for row in groups_of(graph, 100, 100, 100)}
    assert {group for group in found if len(group) == 4} == {(0, 1, 2, 3), (0, 1, 2, 4), (0, 1, 3, 4), (0, 2, 3, 4)}
    fewer = {tuple(np.flatnonzero(row)) for row in groups_of(graph, 100, 100, 0)}
    assert fewer <= found


def test_groups_are_unions_of_disjoint_nodes(photo):
    graph = hierarchy.superpixels(gradient_maps(photo), 0.01)
    adjacency = grouping.adjacency_matrix(graph)
    for tree in hierarchy.merge_trees(graph, hierarchy.mean_colours(graph.labels, lab(photo))):
        starts, ends = tree.altitudes, tree.altitudes[tree.parents]
        members = grouping.node_members(tree.parents)
        together = grouping._neighbours(tree.parents, adjacency) & grouping._live_together(starts, ends)
        tuples = np.arange(len(members))[:, None]
        for size in (2, 3, 4):
            tuples = grouping._extend(tuples, together, starts, ends, 3000)
            assert len(tuples) > 100
            assert tuples.shape[1] == size
            assert members[tuples].sum(axis=1).max() == 1


def test_hole_of_a_ring_is_filled():
    labels = np.zeros((5, 5), int)
    labels[1:4, 1:4] = 1
    labels[2, 2] = 2
    graph = graph_of(labels)
    ring = np.array([[False, True, False], [True, False, False]])
    filled = grouping.fill_holes(ring, grouping.adjacency_matrix(graph), grouping.touches_frame(labels))
    assert filled.tolist() == [[False, True, True], [True, True, True]]


def test_holes_match_flood_filling(found):
    from scipy.ndimage import binary_fill_holes

    graph = graph_of(found.superpixels)
    rng = np.random.default_rng(1)
    masks = rng.random((20, len(graph.areas))) < 0.6
    frame = grouping.touches_frame(graph.labels)
    filled = grouping.fill_holes(masks, grouping.adjacency_matrix(graph), frame)
    for before, after in zip(masks, filled, strict=True):
        assert np.array_equal(binary_fill_holes(before[graph.labels]), after[graph.labels])


def test_unique_rows_match_numpy():
    masks = np.random.default_rng(2).random((300, 70)) < 0.03
    masks = np.concatenate([masks, masks[::3]])
    assert np.array_equal(np.unique(grouping.unique_rows(masks), axis=0), np.unique(masks, axis=0))
    assert len(grouping.unique_rows(masks)) == len(np.unique(masks, axis=0))
    assert grouping.unique_rows(masks[:0]).shape == (0, 70)


def test_overlaps_match_a_loop_over_pixels(found):
    one, two = found.membership[:7], found.membership[3:12]
    areas = np.bincount(found.superpixels.ravel())
    fast = grouping.overlaps(one, two, areas)
    slow = [[jaccard(a[found.superpixels], b[found.superpixels]) for b in two] for a in one]
    assert np.allclose(fast, slow, atol=1e-6)


def test_near_duplicates_go():
    rng = np.random.default_rng(3)
    areas = rng.integers(1, 30, 80)
    base = rng.random((30, 80)) < 0.5
    near = base.copy()
    near[np.arange(30), rng.integers(0, 80, 30)] ^= True
    masks = np.concatenate([base, near])
    kept = grouping.distinct(masks, areas)
    table = grouping.overlaps(masks, masks, areas)
    assert np.triu(table[np.ix_(kept, kept)], 1).max() < 0.95
    assert (table[:, kept].max(axis=1) >= 0.95).all()
    assert len(kept) < 60


def test_no_two_proposals_are_near_duplicates(found):
    table = grouping.overlaps(found.membership, found.membership, np.bincount(found.superpixels.ravel()))
    assert np.triu(table, 1).max() < 0.95


def naive_order(table, scores, diversity, count):
    taken, values = [], []
    for _ in range(count):
        rest = [index for index in range(len(scores)) if index not in taken]
        value = {
            index: (1 - diversity) * scores[index] + diversity * (1 - max((table[index, t] for t in taken), default=0))
            for index in rest
        }
        best = max(rest, key=lambda index: value[index])
        taken.append(best)
        values.append(value[best])
    return taken, values


@pytest.mark.parametrize("diversity", [0.0, 0.4, 1.0])
def test_diverse_order_matches_the_plain_loop(diversity):
    rng = np.random.default_rng(4)
    masks, areas, scores = rng.random((60, 25)) < 0.3, rng.integers(1, 50, 25), rng.random(60)
    masks[:, 0] = True
    order, relevance = ranking.diverse_order(masks, areas, scores, diversity, 30)
    taken, values = naive_order(grouping.overlaps(masks, masks, areas), scores, diversity, 30)
    assert np.allclose(relevance, values, atol=1e-6)
    assert order.tolist() == taken
    assert len(set(order.tolist())) == 30


def by_name(table):
    return dict(zip(features.FEATURES, table.T, strict=True))


def test_features_by_hand():
    photo = np.full((2, 12, 3), 128, np.uint8)
    photo[:, :6, 0] = 0
    photo[:, 6:, 0] = 255
    graph = chain([0.5, 0.25, 1.0])
    tree = hierarchy.merge_tree(graph, graph.strengths[0])
    masks = np.array([[True, True, False, False], [False, True, True, False]])
    found = by_name(features.mask_features(graph, tree, masks, photo))
    facts = {
        "area": [0.5, 0.5],
        "root_area": [0.5**0.5] * 2,
        "log_area": [np.log(0.5)] * 2,
        "perimeter": [2 / 12**0.5, 4 / 12**0.5],
        # Sides on the frame: 6 above, 6 below, 2 at the left; 6 above and 6 below.
        "frame": [14 / 16, 12 / 16],
        "top": [0, 0],
        "left": [0, 3 / 12],
        "height": [1, 1],
        "width": [0.5, 0.5],
        "extent": [1, 1],
        "aspect": [np.log(3), np.log(3)],
        # A pixel side between two marked pixels has their strength; the other borders are not next to it.
        "border": [0.25, 0.75],
        "border_fine": [0.25, 0.75],
        "border_coarse": [0.25, 0.75],
        "border_rank": [1 / 6, (0.5 + 5 / 6) / 2],
        "border_weak": [1, 0],
        "contour": [2 * 0.25 / 12**0.5, 4 * 0.75 / 12**0.5],
        "inner": [0.5, 0.25],
        "inner_rank": [0.5, 1 / 6],
        # 1 and 2 merge at .25, 0 joins at .5, 3 at 1: so altitudes are those of the borders.
        "vanishes": [0.25, 0.5],
        "vanishes_mean": [0.25, 0.75],
        "appears": [0.5, 0.25],
        "appears_mean": [0.5, 0.25],
        # Black and white: the first mask is black and its neighbour white, the second is half of each, as around it.
        "contrast_l": [1, 0],
        "contrast_ab": [0, 0],
        "spread_l": [0, 0.5],
        "spread_ab": [0, 0],
        "outlook": [1, 0],
        "busy": [(0.5 * 2 + 0.25) / 6, (0.5 + 0.25 * 2 + 1) / 6],
        "busy_contrast": [(0.5 * 2 + 0.25) / 6 - (0.25 + 1) / 3, 2 / 6 - 1.5 / 6],
    }
    assert set(facts) == set(features.FEATURES)
    for name, values in facts.items():
        assert np.allclose(found[name], values, atol=1e-3), name  # sums are rounded to 1/256 px


@pytest.mark.parametrize("shape", [(1, 9), (40, 30)])
def test_boxes_match_a_loop(shape):
    labels = np.random.default_rng(5).integers(0, 6, shape)
    labels.ravel()[:6] = range(6)
    found = np.stack(features._boxes(labels), axis=1)
    for label, box in enumerate(found):
        rows, columns = np.nonzero(labels == label)
        assert box.tolist() == [rows.min(), rows.max() + 1, columns.min(), columns.max() + 1]


@pytest.mark.parametrize("kind", ["hand-made", "learned"])
@pytest.mark.parametrize("detector", ["gradient", "learned"])
def test_scores_stay_between_zero_and_one(kind, detector):
    extreme = np.repeat([[-1e3], [0], [1e3]], len(features.FEATURES), axis=1)
    scores = ranking.score(extreme, kind, detector)
    assert scores.shape == (3,)
    assert scores.min() >= 0
    assert scores.max() <= 1


def test_hand_made_score_by_hand():
    row = np.zeros((2, len(features.FEATURES)))
    row[:, features.FEATURES.index("border_rank")] = 0.8
    row[:, features.FEATURES.index("root_area")] = [0.5, 0.1]
    assert np.allclose(ranking.score(row, "hand-made", "gradient"), [0.8, 0.8 * 0.75], atol=1e-4)


def test_ultrametric_contours_by_hand():
    graph = chain([0.5, 0.25, 1.0])
    tree = hierarchy.merge_tree(graph, graph.strengths[0])
    assert np.allclose(hierarchy.border_altitudes(graph, tree), [0.5, 0.25, 1.0])
    picture = hierarchy.ultrametric_contours(graph, tree)
    assert np.allclose(picture, [[0, 0, 0.5, 0.5, 0, 0.25, 0.25, 0, 1, 1, 0, 0]] * 2)


def test_regions_of_an_ultrametric_map_are_those_of_the_hierarchy(photo):
    from skimage.measure import label

    contour = ultrametric_contours(photo)
    assert contour.shape == photo.shape[:2]
    counts = [
        label(contour <= level, connectivity=1).max() for level in (0, *np.quantile(contour[contour > 0], [0.3, 0.6]))
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 50


def test_ultrametric_contours_of_nothing_are_nothing():
    assert not ultrametric_contours(np.full((50, 60), 9, np.uint8)).any()
