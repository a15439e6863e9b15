"""Kernels: sum 1, centroid at the origin, known shapes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from blurgen.kernels import KERNELS, Blur, BlurParams, make_kernel, sample_blur

BLURS = st.one_of(
    st.builds(Blur, st.just("gaussian"), sigma_px=st.floats(0.3, 20)),
    st.builds(
        Blur,
        st.just("motion"),
        length_px=st.floats(1, 60),
        angle_deg=st.floats(-360, 360),
        elastic_px=st.floats(0, 8),
        elastic_smoothness_px=st.floats(0.5, 20),
        elastic_seed=st.integers(0, 2**32 - 1),
    ),
)


def centroid(weights):
    reach = len(weights) // 2
    return (np.mgrid[-reach : reach + 1, -reach : reach + 1] * weights).sum(axis=(1, 2))


@given(BLURS)
@settings(max_examples=80, deadline=None)
def test_every_kernel_sums_to_one_has_its_centroid_at_the_origin_and_is_not_negative(blur):
    weights = make_kernel(blur).weights
    assert weights.ndim == 2
    assert weights.shape[0] == weights.shape[1]
    assert len(weights) % 2 == 1
    assert weights.min() >= 0
    assert weights.sum() == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(centroid(weights), 0, atol=1e-4)


def test_the_gaussian_is_the_outer_product_of_its_taps_and_has_the_variance_it_states():
    kernel = make_kernel(Blur("gaussian", sigma_px=2.5))
    np.testing.assert_allclose(kernel.weights, np.outer(kernel.taps, kernel.taps), atol=1e-7)
    offsets = np.arange(-kernel.reach_px, kernel.reach_px + 1)
    assert np.sqrt((offsets**2 * kernel.taps).sum()) == pytest.approx(2.5, rel=0.02)  # cut at three sigma


def test_a_horizontal_line_of_three_px_is_a_row_of_known_weights():
    weights = make_kernel(Blur("motion", length_px=3, angle_deg=0)).weights
    row = weights[len(weights) // 2]
    assert weights.sum() == pytest.approx(row.sum())  # nothing above or below
    # 25 points from -1.5 to 1.5 px, each shared by its two neighbours.
    points = np.linspace(-1.5, 1.5, 25)
    expected = [np.maximum(0, 1 - np.abs(points - place)).mean() for place in (-2, -1, 0, 1, 2)]
    np.testing.assert_allclose(row, expected, atol=1e-6)


def test_an_angle_turns_the_line_counterclockwise_as_seen():
    weights = make_kernel(Blur("motion", length_px=15, angle_deg=45)).weights
    rows, columns = np.nonzero(weights > 0.02)
    centre = len(weights) // 2
    assert (
        np.corrcoef(rows - centre, columns - centre)[0, 1] < -0.95
    )  # up to the right: the row falls as the column rises


def test_quarter_turns_agree_with_rotating_the_picture():
    flat = make_kernel(Blur("motion", length_px=11, angle_deg=0)).weights
    upright = make_kernel(Blur("motion", length_px=11, angle_deg=90)).weights
    np.testing.assert_allclose(upright, np.rot90(flat), atol=1e-6)


def test_the_elastic_field_bends_the_line_and_its_seed_decides_how():
    straight = make_kernel(Blur("motion", length_px=25, angle_deg=0))
    bent = [
        make_kernel(Blur("motion", length_px=25, elastic_px=3, elastic_smoothness_px=5, elastic_seed=seed))
        for seed in (0, 0, 1)
    ]
    rows = np.arange(-bent[0].reach_px, bent[0].reach_px + 1)
    assert (rows**2 * bent[0].weights.sum(axis=1)).sum() > 0.5
    assert np.count_nonzero(straight.weights.sum(axis=1)) == 1
    np.testing.assert_array_equal(bent[0].weights, bent[1].weights)
    assert bent[0].weights.shape != bent[2].weights.shape or (bent[0].weights != bent[2].weights).any()


def test_the_elastic_field_has_the_standard_deviation_it_states():
    from blurgen.kernels import _elastic_field

    fields = [_elastic_field(1, Blur("motion", elastic_smoothness_px=2, elastic_seed=seed)) for seed in range(2000)]
    assert np.std(fields) == pytest.approx(1, rel=0.05)


def test_draws_stay_in_their_ranges_and_p_motion_decides_the_kind():
    params = BlurParams(p_motion=0.25)
    rng = np.random.default_rng(0)
    blurs = [sample_blur(params, rng) for _ in range(2000)]
    assert np.mean([blur.kind == "motion" for blur in blurs]) == pytest.approx(0.25, abs=0.03)
    assert all(1 <= blur.sigma_px <= 6 for blur in blurs if blur.kind == "gaussian")
    assert all(7 <= blur.length_px <= 25 for blur in blurs if blur.kind == "motion")
    assert {blur.kind for blur in blurs} == set(KERNELS)
