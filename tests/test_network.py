"""The contour network: whole numbers, exact, and the weights that ship with the package."""

import io
from importlib.resources import files

import numpy as np
import pytest
import skimage.data
from scipy.signal import correlate

from blurgen.proposals import network
from blurgen.proposals.contours import learned_contours
from blurgen.proposals.working import working_photo

WEIGHTS = files("blurgen.proposals").joinpath("weights")


@pytest.fixture(scope="module")
def packaged():
    return network.Network(WEIGHTS.joinpath("contours.npz").read_bytes())


def packed_arrays():
    with np.load(io.BytesIO(WEIGHTS.joinpath("contours.npz").read_bytes()), allow_pickle=False) as arrays:
        return dict(arrays)


def whole_number_run(photo):
    """The same network in int64, by scipy's correlation, without any trick."""
    arrays = packed_arrays()
    padded = np.pad(photo, [(0, -side % 16) for side in photo.shape[:2]] + [(0, 0)], mode="edge").astype(np.int64)
    blocks = [padded[row::2, column::2, channel] - 128 for channel in range(3) for row in (0, 1) for column in (0, 1)]
    values = {"input": np.stack(blocks)}
    for name, layer in network.LAYERS.items():
        parts = []
        for source, how in layer.sources:
            value = values[source]
            if how == "down":
                value = np.max([value[:, r::2, c::2] for r in (0, 1) for c in (0, 1)], axis=0)
            if how == "up":
                value = np.kron(value, np.ones((1, 2, 2), np.int64))
            parts.append(value)
        stacked = np.pad(np.concatenate(parts), ((0, 0), (1, 1), (1, 1)))
        weights = arrays[f"{name}.weights"].astype(np.int64)
        sums = np.stack([correlate(stacked, kernel, mode="valid", method="direct")[0] for kernel in weights])
        gain, offset = (arrays[f"{name}.{part}"][:, None, None] for part in ("gain", "offset"))
        values[name] = np.clip(np.rint(sums.astype(np.float32) * gain + offset), 0, 255).astype(np.int64)
    return values["out"]


@pytest.mark.parametrize("shape", [(16, 16), (37, 50), (64, 33)])
def test_run_is_exact(packaged, shape):
    photo = working_photo(skimage.data.astronaut()[100 : 100 + shape[0], 180 : 180 + shape[1]], 512)
    out = whole_number_run(photo)
    expected = np.zeros((out.shape[1] * 2, out.shape[2] * 2), np.int64)
    for place, plane in enumerate(out):
        expected[place // 2 :: 2, place % 2 :: 2] = plane
    top = float(packed_arrays()["out.top"])
    strengths = np.rint(255 / (1 + np.exp(-np.linspace(-top, top, 256)))).astype(np.uint8)
    assert np.array_equal(packaged.run(photo), strengths[expected[: shape[0], : shape[1]]])


def test_no_sum_can_leave_the_exact_whole_numbers():
    arrays = packed_arrays()
    for name in network.LAYERS:
        weights = arrays[f"{name}.weights"]
        assert weights.dtype == np.int8
        assert np.abs(weights.astype(np.int64)).sum(axis=(1, 2, 3)).max() * 255 < network.EXACT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"half_1.weights": np.zeros((16, 12, 3, 5), np.int8)}, "half_1 has another shape"),
        ({"out.gain": np.ones(3, np.float32)}, "out has another shape"),
        ({"eighth_3.weights": np.ones((24, 64, 3, 3))}, "whole numbers"),
    ],
)
def test_a_network_of_another_form_is_refused(change, message):
    data = io.BytesIO()
    np.savez_compressed(data, **{**packed_arrays(), **change})
    with pytest.raises(ValueError, match=message):
        network.Network(data.getvalue())


def test_weights_are_some_tens_of_kilobytes():
    assert sum(len(WEIGHTS.joinpath(name).read_bytes()) for name in ("contours.npz", "scores.npz")) < 100_000


def test_package_says_where_the_weights_come_from():
    assert "BSDS500" in WEIGHTS.joinpath("README.md").read_text()


def test_strength_is_where_the_objects_end(packaged):
    """A disk on a ramp: the contour is on the circle, and the ramp, which changes as much, has none."""
    rows, columns = np.mgrid[:160, :200]
    distance = np.hypot(rows - 80, columns - 100) - 45
    photo = np.where(distance < 0, 200, columns * 0.6)[..., None].repeat(3, axis=2).astype(np.uint8)
    fine, coarse = learned_contours(working_photo(photo, 512), packaged)
    for strength in (fine, coarse):
        assert strength[abs(distance) < 1].mean() > 0.4
        assert strength[abs(distance) > 12].mean() < 0.05
    assert fine.shape == (160, 200)


def test_pack_rounds_and_keeps_the_value():
    """Every layer sums to a known number: weights of one half in the middle, one channel in, the same out."""
    rng = np.random.default_rng(0)
    weights = {
        name: (rng.normal(0, 0.1, (layer.outputs, layer.inputs, 3, 3)), rng.normal(0, 0.1, layer.outputs), 2.0)
        for name, layer in network.LAYERS.items()
    }
    data = network.pack(weights)
    assert data == network.pack(weights)
    restored = network.Network(data).layers["half_1"]
    # Input units are 1/128, activation units 2/255: a sum times the gain is the activation in its units.
    real = weights["half_1"][0].transpose(2, 0, 3, 1).reshape(3, 16, 36) / 128
    assert np.abs(restored.weights * restored.gain[:, None] * (2 / 255) - real).max() < np.abs(real).max() / 200
    assert np.allclose(restored.offset * 2 / 255, weights["half_1"][1])
