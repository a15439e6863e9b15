"""Kernels: sum 1, centroid at the origin, known shapes, amounts and draws."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from blurgen.kernels import (
    DEFOCUS,
    KERNELS,
    MOTION,
    NO_BLUR,
    SAMPLERS,
    Blur,
    BlurParams,
    blur_from,
    make_kernel,
    sample_blur,
)

ALL = BlurParams(defocus_kinds=dict.fromkeys(DEFOCUS, 1), motion_kinds=dict.fromkeys(MOTION, 1))


def within(name):
    """Any value that the parameter may have."""
    extra = BlurParams.model_fields[name].json_schema_extra
    return st.floats(extra["low"], extra["high"])


SEEDS = st.integers(0, 2**32 - 1)
LENGTH, ANGLE, RADIUS = within("length_px_range"), within("angle_deg_range"), within("radius_px_range")
BLURS = st.one_of(
    st.builds(Blur, st.just("gaussian"), sigma_px=within("sigma_px_range")),
    st.builds(Blur, st.just("disk"), radius_px=RADIUS),
    st.builds(
        Blur,
        st.just("polygon"),
        radius_px=RADIUS,
        blades=st.integers(3, 16),
        angle_deg=within("aperture_angle_deg_range"),
    ),
    st.builds(Blur, st.just("linear-motion"), length_px=LENGTH, angle_deg=ANGLE),
    st.builds(
        Blur,
        st.just("nonlinear-motion"),
        length_px=LENGTH,
        angle_deg=ANGLE,
        elastic_px=within("elastic_px_range"),
        elastic_smoothness_px=within("elastic_smoothness_px"),
        seed=SEEDS,
    ),
    st.builds(Blur, st.just("camera-shake"), length_px=within("shake_px_range"), seed=SEEDS),
)


def centroid(weights):
    reach = len(weights) // 2
    return (np.mgrid[-reach : reach + 1, -reach : reach + 1] * weights.astype(float)).sum(axis=(1, 2))


@given(BLURS)
@settings(max_examples=300, deadline=None)
def test_over_the_whole_range_a_kernel_sums_to_one_is_centred_at_the_origin_and_is_not_negative(blur):
    weights = make_kernel(blur).weights
    assert weights.dtype == np.float32
    assert weights.shape[0] == weights.shape[1]
    assert len(weights) % 2 == 1
    assert weights.min() >= 0
    assert weights.sum(dtype=float) == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(centroid(weights), 0, atol=1e-3)


@given(BLURS)
@settings(max_examples=60, deadline=None)
def test_a_kernel_is_a_pure_function_of_its_numbers_and_survives_a_row_of_provenance(blur):
    tilted = dataclasses.replace(blur, tilt=0.5, tilt_angle_deg=20.0)
    row = {"seed": 7, "kind": "x", **tilted.to_row(), **NO_BLUR.to_row("second_")}
    assert blur_from(row) == tilted
    assert blur_from(row, "second_") == NO_BLUR
    numpy_row = {name: np.array(value)[()] for name, value in row.items()}
    assert blur_from(numpy_row) == tilted
    assert {type(value) for value in blur_from(numpy_row).to_dict().values()} == {str, int, float}
    np.testing.assert_array_equal(make_kernel(tilted).weights, make_kernel(blur).weights)


def test_the_seed_of_a_row_is_not_the_seed_of_its_blur():
    row = {**Blur("camera-shake", length_px=9.0, seed=3).to_row(), "seed": 5}
    assert blur_from(row).seed == 3
    with pytest.raises(KeyError):
        blur_from({"seed": 5})


def test_the_gaussian_is_the_outer_product_of_its_taps_and_has_the_variance_it_states():
    kernel = make_kernel(Blur("gaussian", sigma_px=2.5))
    np.testing.assert_allclose(kernel.weights, np.outer(kernel.taps, kernel.taps), atol=1e-7)
    offsets = np.arange(-kernel.reach_px, kernel.reach_px + 1)
    assert np.sqrt((offsets**2 * kernel.taps).sum()) == pytest.approx(2.5, rel=0.02)  # cut at three sigma


def brute_force_aperture(inside, radius):
    """Points 1/50 px apart inside the aperture, each drawn on its four neighbours one by one."""
    grid = np.arange(-radius, radius, 0.02) + 0.01
    reach = int(radius) + 1
    weights = np.zeros((2 * reach + 1, 2 * reach + 1))
    for row in grid:
        for column in grid:
            if inside(row, column):
                top, left = int(np.floor(row)), int(np.floor(column))
                for y in (top, top + 1):
                    for x in (left, left + 1):
                        weights[y + reach, x + reach] += (1 - abs(row - y)) * (1 - abs(column - x))
    return weights / weights.sum()


@pytest.mark.parametrize("radius", [0.5, 1.3, 2.75])
def test_the_disk_is_uniform(radius):
    expected = brute_force_aperture(lambda row, column: row**2 + column**2 <= radius**2, radius)
    np.testing.assert_allclose(make_kernel(Blur("disk", radius_px=radius)).weights, expected, atol=2e-3)


@pytest.mark.parametrize(("blades", "angle"), [(3, 0), (3, 40), (4, 0), (4, 45), (5, -100), (6, 17), (16, 5)])
def test_the_polygon_is_uniform_with_a_corner_at_its_angle(blades, angle):
    radius = 2.75
    corners = radius * np.exp(1j * (np.deg2rad(angle) + 2 * np.pi * np.arange(blades) / blades))

    def inside(row, column):  # left of every edge, counterclockwise; a height is minus a row
        point = column - 1j * row
        return all(
            ((after - corner).conjugate() * (point - corner)).imag >= 0
            for corner, after in zip(corners, np.roll(corners, -1), strict=True)
        )

    weights = make_kernel(Blur("polygon", radius_px=radius, blades=blades, angle_deg=angle)).weights
    expected = brute_force_aperture(inside, radius)
    reach, far = len(weights) // 2, len(expected) // 2
    np.testing.assert_allclose(np.pad(weights, far - reach), expected, atol=2e-3)


def test_a_polygon_of_many_blades_is_nearly_a_disk_of_its_area():
    blades = 16
    equal_area = np.sqrt(blades / 2 * np.sin(2 * np.pi / blades) / np.pi)
    polygon = make_kernel(Blur("polygon", radius_px=10, blades=blades)).weights
    disk = make_kernel(Blur("disk", radius_px=10 * equal_area)).weights
    assert np.abs(polygon - disk).sum() < 0.02


def test_a_horizontal_line_of_three_px_is_a_row_of_known_weights():
    weights = make_kernel(Blur("linear-motion", length_px=3, angle_deg=0)).weights
    row = weights[len(weights) // 2]
    assert weights.sum() == pytest.approx(row.sum())  # nothing above or below
    # 25 points from -1.5 to 1.5 px, each shared by its two neighbours.
    points = np.linspace(-1.5, 1.5, 25)
    expected = [np.maximum(0, 1 - np.abs(points - place)).mean() for place in (-2, -1, 0, 1, 2)]
    np.testing.assert_allclose(row, expected, atol=1e-6)


def test_without_an_elastic_field_non_linear_motion_is_linear():
    numbers = {"length_px": 13.3, "angle_deg": 33.0}
    bent = Blur("nonlinear-motion", **numbers, elastic_smoothness_px=5)
    np.testing.assert_array_equal(make_kernel(bent).weights, make_kernel(Blur("linear-motion", **numbers)).weights)


def test_an_angle_turns_the_line_counterclockwise_as_seen():
    weights = make_kernel(Blur("linear-motion", length_px=15, angle_deg=45)).weights
    rows, columns = np.nonzero(weights > 0.02)
    # Up to the right: the row falls as the column rises.
    assert np.corrcoef(rows, columns)[0, 1] < -0.95


@pytest.mark.parametrize(
    "blur",
    [Blur("linear-motion", length_px=11), Blur("polygon", radius_px=4, blades=5)],
    ids=lambda blur: blur.kind,
)
def test_quarter_turns_agree_with_rotating_the_picture(blur):
    upright = make_kernel(dataclasses.replace(blur, angle_deg=90)).weights
    # Chords are 1/8 px apart along rows, and exact along columns.
    np.testing.assert_allclose(upright, np.rot90(make_kernel(blur).weights), atol=1e-3)


def test_the_elastic_field_bends_the_line_and_its_seed_decides_how():
    straight = make_kernel(Blur("linear-motion", length_px=25))
    bent = [
        make_kernel(Blur("nonlinear-motion", length_px=25, elastic_px=3, elastic_smoothness_px=5, seed=seed))
        for seed in (0, 0, 1)
    ]
    rows = np.arange(-bent[0].reach_px, bent[0].reach_px + 1)
    assert (rows**2 * bent[0].weights.sum(axis=1)).sum() > 0.5
    assert np.count_nonzero(straight.weights.sum(axis=1)) == 1
    np.testing.assert_array_equal(bent[0].weights, bent[1].weights)
    assert bent[0].weights.shape != bent[2].weights.shape or (bent[0].weights != bent[2].weights).any()


def test_the_elastic_field_has_the_deviation_and_the_smoothness_it_states():
    from blurgen.kernels import _elastic_field

    smoothness = 3
    places = np.linspace(0, 12, 49)
    fields = np.array(
        [
            _elastic_field(places, Blur("nonlinear-motion", elastic_smoothness_px=smoothness, seed=seed))
            for seed in range(4000)
        ]
    )
    assert fields.real.std(axis=0) == pytest.approx(1, rel=0.06)
    assert fields.imag.std(axis=0) == pytest.approx(1, rel=0.06)
    correlation = (fields.real[:, :1] * fields.real).mean(axis=0)
    # White noise under a Gaussian of standard deviation s has the autocorrelation exp(-d^2 / (4 s^2)).
    np.testing.assert_allclose(correlation, np.exp(-(places**2) / (4 * smoothness**2)), atol=0.08)
    assert abs((fields.real * fields.imag).mean()) < 0.05


def test_the_trajectory_of_a_shake_has_its_length_and_constant_speed():
    from blurgen.kernels import SHAKE_STEPS, _shake_path

    paths = np.array([_shake_path(seed) for seed in range(300)])
    np.testing.assert_allclose(np.abs(np.diff(paths)), 1 / SHAKE_STEPS, rtol=1e-9)
    extents = np.abs(paths[:, :, None] - paths[:, None]).max(axis=(1, 2))
    assert extents.max() > 0.9  # some hands are calm
    assert np.quantile(extents, 0.1) < 0.4  # others are not
    ways = np.angle(paths[:, 1])
    assert abs(np.exp(1j * ways).mean()) < 0.15  # every direction alike
    kernel = make_kernel(Blur("camera-shake", length_px=40, seed=1))
    assert kernel.reach_px <= 41


@pytest.mark.parametrize(
    ("blur", "amount"),
    [
        (NO_BLUR, 0),
        (Blur("gaussian", sigma_px=4), 4),
        (Blur("disk", radius_px=10), 5),
        (Blur("polygon", radius_px=10, blades=4), 10 / np.sqrt(6)),  # a square of side a has variance a^2 / 12
        (Blur("linear-motion", length_px=20, angle_deg=30), 20 / np.sqrt(24)),
    ],
    ids=lambda value: getattr(value, "kind", ""),
)
def test_the_amount_of_blur_is_the_standard_deviation_along_an_axis(blur, amount):
    assert make_kernel(blur).sigma_px == pytest.approx(amount, rel=0.02)


@pytest.mark.parametrize(
    ("blur", "caption"),
    [
        (NO_BLUR, "sharp"),
        (Blur("disk", radius_px=6.21), "disk 6.2 px"),
        (Blur("disk", radius_px=6.21, tilt=0.5, tilt_angle_deg=12), "disk 6.2 px, tilt 50%"),
        (Blur("polygon", radius_px=8, blades=6, angle_deg=12), "polygon 6 blades 8.0 px 12 deg"),
        (Blur("zoom", zoom=0.07, centre_y=0.5, centre_x=0.5), "zoom 7.0%"),
    ],
)
def test_a_blur_says_what_it_is_in_a_few_words(blur, caption):
    assert str(blur) == caption


def test_each_kind_has_a_type_and_only_what_has_one_kernel_has_one():
    assert NO_BLUR.type == 0
    assert {Blur(kind).type for kind in DEFOCUS} == {1}
    assert {Blur(kind).type for kind in MOTION} == {2}
    assert set(SAMPLERS) == {*DEFOCUS, *MOTION}
    assert {kind for kind in SAMPLERS if Blur(kind).varies} == {"rotation", "zoom"} == set(SAMPLERS) - set(KERNELS)
    assert Blur("disk", radius_px=3, tilt=0.1).varies
    with pytest.raises(KeyError):
        make_kernel(Blur("zoom", zoom=0.1))


def test_draws_are_reproducible_and_stay_in_their_ranges():
    blurs = [sample_blur(ALL, rng) for rng in [np.random.default_rng(0)] for _ in range(3000)]
    assert blurs[:9] == [sample_blur(ALL, rng) for rng in [np.random.default_rng(0)] for _ in range(9)]
    ranges = {
        "sigma_px": ALL.sigma_px_range,
        "radius_px": ALL.radius_px_range,
        "blades": ALL.blades_range,
        "elastic_px": ALL.elastic_px_range,
        "turn_deg": ALL.turn_deg_range,
        "zoom": ALL.zoom_range,
        "centre_y": ALL.centre_range,
        "centre_x": ALL.centre_range,
    }
    for name, (low, high) in ranges.items():
        drawn = np.array([value for blur in blurs if (value := getattr(blur, name))])
        assert low <= drawn.min() < low + 0.1 * (high - low) + (name == "blades")
        assert high - 0.1 * (high - low) - (name == "blades") < drawn.max() <= high
    assert {blur.blades for blur in blurs if blur.kind == "polygon"} == {5, 6, 7, 8, 9}
    lengths = {kind: [blur.length_px for blur in blurs if blur.kind == kind] for kind in MOTION}
    assert 7 <= min(lengths["linear-motion"] + lengths["nonlinear-motion"]) < max(lengths["nonlinear-motion"]) <= 25
    assert 10 <= min(lengths["camera-shake"]) < 25 < max(lengths["camera-shake"]) <= 60
    assert not any(blur.tilt for blur in blurs)


def test_the_mixes_and_p_motion_decide_the_kind():
    params = BlurParams(p_motion=0.25, defocus_kinds={"disk": 3, "gaussian": 1}, motion_kinds={"zoom": 2})
    rng = np.random.default_rng(0)
    kinds = [sample_blur(params, rng).kind for _ in range(4000)]
    shares = {kind: kinds.count(kind) / len(kinds) for kind in set(kinds)}
    assert shares == pytest.approx({"zoom": 0.25, "disk": 0.5625, "gaussian": 0.1875}, abs=0.03)
    assert {sample_blur(BlurParams(), rng).kind for _ in range(100)} == {"gaussian", "nonlinear-motion"}


@pytest.mark.parametrize("p_motion", [0, 0.5, 1])
def test_a_second_blur_is_of_the_other_type(p_motion):
    params = ALL.model_copy(update={"p_motion": p_motion})
    rng = np.random.default_rng(0)
    assert {sample_blur(params, rng, other_than=1).type for _ in range(50)} == {2}
    assert {sample_blur(params, rng, other_than=2).type for _ in range(50)} == {1}


def test_only_a_defocus_is_tilted_as_often_and_as_much_as_asked():
    params = ALL.model_copy(update={"p_tilt": 0.4, "tilt_range": (0.3, 0.6)})
    rng = np.random.default_rng(0)
    blurs = [sample_blur(params, rng) for _ in range(3000)]
    tilts = np.array([blur.tilt for blur in blurs if blur.type == 1])
    assert not any(blur.tilt for blur in blurs if blur.type == 2)
    assert (tilts > 0).mean() == pytest.approx(0.4, abs=0.05)
    assert 0.3 <= tilts[tilts > 0].min() < tilts.max() <= 0.6
    assert np.ptp([blur.tilt_angle_deg for blur in blurs]) > 350


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"blades_range": (5.5, 7)}, "whole numbers"),
        ({"blades_range": (2, 7)}, "out of range"),
        ({"motion_kinds": {"gaussian": 1}}, 'unknown kind "gaussian"'),
        ({"defocus_kinds": {"disc": 1}}, 'did you mean "disk"'),
        ({"tilt_range": (0, 1)}, "out of range"),
    ],
)
def test_what_makes_no_blur_is_refused(values, said):
    with pytest.raises(ValidationError, match=said):
        BlurParams(**values)
