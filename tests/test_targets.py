"""The targets beside the mask: amount, type, can't tell."""

import numpy as np

from blurgen.kernels import Blur
from blurgen.targets import TargetParams, make_targets, mask_picture
from blurgen.texture import without_texture

LEFT, RIGHT = np.zeros((20, 30), bool), np.zeros((20, 30), bool)
LEFT[:, :8], RIGHT[:, 20:] = True, True
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def test_nothing_is_made_unasked():
    assert make_targets(TargetParams(), IMAGE, [(LEFT, Blur("gaussian", sigma_px=2))]) == {}


def test_amount_and_type_are_those_of_each_layer_and_zero_where_sharp():
    layers = [(LEFT, Blur("gaussian", sigma_px=2.5)), (RIGHT, Blur("linear-motion", length_px=12, angle_deg=30))]
    targets = make_targets(TargetParams(amount=True, type=True), IMAGE, layers)
    assert targets["amount"].dtype == np.float16
    assert targets["type"].dtype == np.uint8
    np.testing.assert_allclose(targets["amount"][LEFT], 2.5, rtol=0.02)
    np.testing.assert_allclose(targets["amount"][RIGHT], 12 / np.sqrt(24), rtol=0.05)
    assert set(targets["type"][LEFT]) == {1}
    assert set(targets["type"][RIGHT]) == {2}
    sharp = ~(LEFT | RIGHT)
    assert not targets["amount"][sharp].any()
    assert not targets["type"][sharp].any()


def test_all_sharp_has_targets_too():
    targets = make_targets(TargetParams(amount=True, type=True, unknown=True), IMAGE, [])
    assert {name: target.any() for name, target in targets.items()} == {
        "amount": False,
        "type": False,
        "unknown": False,
    }


def test_unknown_is_where_the_sharp_photo_has_no_texture():
    flat = np.where(LEFT[..., None], np.uint8(90), IMAGE)
    targets = make_targets(TargetParams(unknown=True, least_texture=50.0), flat, [])
    np.testing.assert_array_equal(targets["unknown"], without_texture(flat, 50))


def test_the_mask_as_a_picture():
    unknown = np.zeros_like(LEFT)
    unknown[0] = True
    picture = mask_picture(LEFT, unknown)
    assert picture.dtype == np.uint8
    assert set(picture[0]) == {128}
    assert (picture[1:, :8] == 255).all()
    assert not picture[1:, 8:].any()
    assert set(np.unique(mask_picture(LEFT))) == {0, 255}
