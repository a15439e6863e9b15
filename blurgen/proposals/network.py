"""A small convolutional network in whole numbers, run with numpy.

Weights are -127..127, activations 0..255 (-128..127 at the input), and every sum stays below 2^24, up to where float32
holds each whole number. So it does not matter in which order a BLAS adds: the result is the same to the bit on every
machine and for any number of threads.

Source: architecture: Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation",
MICCAI 2015. Whole numbers: Jacob et al., "Quantization and training of neural networks for efficient
integer-arithmetic-only inference", CVPR 2018.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

EXACT = 2**24
"""Whole numbers up to this are exact in float32."""
MULTIPLE_PX = 16
"""Sides are padded to a multiple of this."""
_TOP = 255


class Layer(NamedTuple):
    """A 3x3 convolution: the layers it reads (and how each comes to its resolution), channels in and out."""

    sources: tuple[tuple[str, Literal["same", "down", "up"]], ...]
    inputs: int
    outputs: int


# The input is the photo with each 2 x 2 px as one px of 12 channels; the output is unfolded in the same way.
LAYERS = {
    "half_1": Layer((("input", "same"),), 12, 16),
    "half_2": Layer((("half_1", "same"),), 16, 16),
    "quarter_1": Layer((("half_2", "down"),), 16, 24),
    "quarter_2": Layer((("quarter_1", "same"),), 24, 24),
    "eighth_1": Layer((("quarter_2", "down"),), 24, 32),
    "eighth_2": Layer((("eighth_1", "same"),), 32, 32),
    "sixteenth_1": Layer((("eighth_2", "down"),), 32, 32),
    "sixteenth_2": Layer((("sixteenth_1", "same"),), 32, 32),
    "eighth_3": Layer((("eighth_2", "same"), ("sixteenth_2", "up")), 64, 24),
    "quarter_3": Layer((("quarter_2", "same"), ("eighth_3", "up")), 48, 16),
    "half_3": Layer((("half_2", "same"), ("quarter_3", "up")), 32, 16),
    "out": Layer((("half_3", "same"),), 16, 4),
}


@dataclass(frozen=True)
class Convolution:
    """The whole numbers of one layer.

    Attributes
    ----------
    weights : ndarray of shape (3, outputs, 3 * inputs), float32
        Whole numbers: of each row of the window, its columns, each with all channels.
    gain, offset : ndarray of shape (outputs,), float32
        A sum s becomes the activation rint(s * gain + offset), clipped to 0..255.
    """

    weights: np.ndarray
    gain: np.ndarray
    offset: np.ndarray


def pack(weights: dict[str, tuple[np.ndarray, np.ndarray, float]]) -> bytes:
    """Round a trained network to whole numbers: the bytes of an npz.

    Parameters
    ----------
    weights : dict
        Of each layer: weights (outputs, inputs, 3, 3) float, biases (outputs,) float, and the activation that 255 will
        stand for. Of "out" these are logits, of which 0..255 stand for -top..top. The input is in [-1, 1].
    """
    tops = {"input": _TOP / 128} | {name: top for name, (_, _, top) in weights.items()}
    arrays = {}
    for name, (weight, bias, top) in weights.items():
        # A channel's activation is (its whole number) * (top of the layer it comes from) / 255.
        units = np.concatenate([np.full(_channels(source), tops[source] / _TOP) for source, _ in LAYERS[name].sources])
        scaled = weight * units[:, None, None]
        step = np.maximum(np.abs(scaled).max(axis=(1, 2, 3)), 1e-12) / 127
        span = 2 * top if name == "out" else top
        middle = top if name == "out" else 0
        arrays[f"{name}.weights"] = np.rint(scaled / step[:, None, None, None]).astype(np.int8)
        arrays[f"{name}.gain"] = (step * _TOP / span).astype(np.float32)
        arrays[f"{name}.offset"] = ((bias + middle) * _TOP / span).astype(np.float32)
    arrays["out.top"] = np.float32(tops["out"])
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    return data.getvalue()


def _channels(source: str) -> int:
    return LAYERS[source].outputs if source in LAYERS else 12


class Network:
    """A network read from the bytes of ``pack``. Raises ValueError if they are of another form."""

    def __init__(self, data: bytes) -> None:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            self.layers = {name: _read_layer(name, arrays) for name in LAYERS}
            top = float(arrays["out.top"])
        logits = np.linspace(-top, top, _TOP + 1)
        self._strengths = np.rint(255 / (1 + np.exp(-logits))).astype(np.uint8)

    def run(self, photo: np.ndarray) -> np.ndarray:
        """Probability of a contour at each pixel.

        Parameters
        ----------
        photo : ndarray of shape (H, W, 3), uint8
            CIE Lab as OpenCV scales it to 8 bits.

        Returns
        -------
        ndarray of shape (H, W), uint8
            255 = certain.
        """
        height, width = photo.shape[:2]
        values = {"input": _fold(photo)}
        for name, layer in LAYERS.items():
            parts = [_resample(values[source], how) for source, how in layer.sources]
            values[name] = _convolve(np.concatenate(parts) if len(parts) > 1 else parts[0], self.layers[name])
        unfolded = values["out"].reshape(2, 2, *values["out"].shape[1:]).transpose(2, 0, 3, 1)
        index = unfolded.reshape(unfolded.shape[0] * 2, -1)[:height, :width].astype(np.uint8)
        return self._strengths[index]


def _read_layer(name: str, arrays: Mapping[str, np.ndarray]) -> Convolution:
    """One layer of a packed network, once its shapes and the largest possible sum are checked."""
    weights, gain, offset = (arrays[f"{name}.{part}"] for part in ("weights", "gain", "offset"))
    inputs, outputs = LAYERS[name].inputs, LAYERS[name].outputs
    if (weights.shape, gain.shape, offset.shape) != ((outputs, inputs, 3, 3), (outputs,), (outputs,)):
        raise ValueError(f"layer {name} has another shape")
    if weights.dtype != np.int8 or np.abs(weights.astype(np.int64)).sum(axis=(1, 2, 3)).max() * _TOP >= EXACT:
        raise ValueError(f"layer {name} is not made of whole numbers that float32 can add up exactly")
    rows = weights.transpose(2, 0, 3, 1).astype(np.float32)
    return Convolution(rows.reshape(3, outputs, -1), gain, offset)


def _fold(photo: np.ndarray) -> np.ndarray:
    """Pad to a multiple of 16 px by repeating the edge; 2 x 2 px become 12 channels: (12, h, w) float32, -128..127."""
    bottom, right = (-side % MULTIPLE_PX for side in photo.shape[:2])
    padded = np.pad(photo, ((0, bottom), (0, right), (0, 0)), mode="edge").astype(np.float32) - 128
    height, width = (side // 2 for side in padded.shape[:2])
    blocks = padded.reshape(height, 2, width, 2, 3)
    return np.ascontiguousarray(blocks.transpose(4, 1, 3, 0, 2)).reshape(12, height, width)


def _resample(value: np.ndarray, how: str) -> np.ndarray:
    """Halve by the maximum of 2 x 2, or double by repetition."""
    if how == "down":
        rows = np.maximum(value[:, ::2], value[:, 1::2])
        return np.maximum(rows[:, :, ::2], rows[:, :, 1::2])
    return value.repeat(2, axis=1).repeat(2, axis=2) if how == "up" else value


def _convolve(value: np.ndarray, layer: Convolution) -> np.ndarray:
    """3x3 convolution with zeros around, then rounding to 0..255: (C, h, w) -> (outputs, h, w) float32."""
    channels, height, width = value.shape
    # Three shifted copies side by side; the three rows of a window are then slices of the same memory.
    columns = np.zeros((3, channels, height + 2, width), np.float32)
    columns[0, :, 1:-1, 1:] = value[:, :, :-1]
    columns[1, :, 1:-1] = value
    columns[2, :, 1:-1, :-1] = value[:, :, 1:]
    columns = columns.reshape(3 * channels, -1)
    sums = sum(weights @ columns[:, row * width : (row + height) * width] for row, weights in enumerate(layer.weights))
    sums *= layer.gain[:, None]
    sums += layer.offset[:, None]
    np.clip(np.rint(sums, out=sums), 0, _TOP, out=sums)
    return sums.reshape(-1, height, width)
