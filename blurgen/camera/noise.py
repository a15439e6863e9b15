"""Sensor noise belongs after the optics: measure the photo's own, put as much back into what was blurred.

A blur averages the photo's noise away, and its lack gives the label away. The noise of a photo is measured in its
flattest blocks, as a covariance of the channels and a spectrum of one number, and a field of the same is added.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from blurgen.camera.light import white_level

BLOCK_PX = 8
_AROUND_PX = 2
_CANDIDATES = 80  # blocks that are looked at closely
_NEAR_QUIETEST = 1.7  # times the energy of the quietest twentieth: believed to hold noise only
_FIELD_SIDE = 1024
_MOST = 0.015  # of white: more is believed only where all blocks hold the same
_EVEN = (
    2.0  # times the energy of the quietest twentieth, at the median: 1.2 to 1.9 in noise, seldom below 2.3 in texture
)
_CLIPPED = 0.02  # share of white from both ends at which noise is cut off
_SMOOTHNESS = np.linspace(0, 0.25, 26)
_SECOND_DIFFERENCE = np.array([1.0, -2.0, 1.0])


@dataclass(frozen=True)
class Noise:
    """The noise of an image.

    Attributes
    ----------
    covariance : ndarray of shape (C, C), float64
        Of the channels, in squares of pixel values.
    smoothness : float, 0 to 0.25
        The noise is white noise under the filter (s, 1 - 2 s, s) along both axes: 0 is white, a resized or
        JPEG-compressed photo has more.
    """

    covariance: np.ndarray
    smoothness: float

    @property
    def sigma(self) -> float:
        """Standard deviation in pixel values, root mean square over the channels."""
        return float(np.sqrt(np.trace(self.covariance) / len(self.covariance)))

    def left_by(self, weights: np.ndarray) -> float:
        """Share of the variance that a convolution with the kernel ``weights`` (k, k) leaves, 0 to 1."""
        taps = _taps(self.smoothness).astype(np.float32)
        both = cv2.sepFilter2D(np.pad(weights, 1), -1, taps, taps, borderType=cv2.BORDER_CONSTANT)
        return min(1.0, float((both**2).sum()))


def estimate_noise(image: np.ndarray, where: np.ndarray | None = None) -> Noise:
    """Noise of an (H, W, C) uint8, uint16 or float32 image, from its flattest blocks.

    Nothing outside of ``where`` (H, W) bool is looked at; where no block fits into it, no noise is found.

    Flat by two independent measures: first the blocks whose means differ least from their neighbours', then those with
    the least fine residue (second differences along both axes; Immerkaer 1996, "Fast noise variance estimation",
    equation 1) in one half, of which the other half is measured, so that the choice doesn't bias the measure. The
    comparison with second differences two px apart gives the smoothness.
    """
    blocks = _flat_blocks(image, np.ones(image.shape[:2], bool) if where is None else where)
    channels = image.shape[2]
    if not len(blocks):
        return Noise(np.zeros((channels, channels)), 0.0)
    fine, coarse = _residue(blocks, 1), _residue(blocks, 2)
    even, quiet = _is_even(fine), _quiet_halves(fine)
    fine, coarse = (_covariance(_of_quiet(residue, quiet)) for residue in (fine, coarse))
    # Rounding to whole numbers is a noise of variance 1/12, which comes back by itself.
    rounding = 0.0 if image.dtype == np.float32 else _gain(0.0, 1) / 12
    fine_energy, coarse_energy = (np.trace(one) - channels * rounding for one in (fine, coarse))
    if fine_energy <= 0:
        return Noise(np.zeros((channels, channels)), 0.0)
    ratio = coarse_energy / fine_energy
    smoothness = float(np.interp(ratio, _ratios(), _SMOOTHNESS))
    found = Noise(_less(fine, rounding) / _gain(smoothness, 1), smoothness)
    return found if even or image.dtype == np.float32 else _at_most(found, _MOST * white_level(image.dtype))


def _at_most(noise: Noise, sigma: float) -> Noise:
    return noise if noise.sigma <= sigma else Noise(noise.covariance * (sigma / noise.sigma) ** 2, noise.smoothness)


def _is_even(residue: np.ndarray) -> bool:
    """Whether all blocks (n, side, side, C) hold about the same, as in noise and unlike in texture."""
    energy = np.einsum("nrcd,nrcd->n", residue, residue)
    return bool(np.median(energy) <= _EVEN * np.partition(energy, len(energy) // 20)[len(energy) // 20])


def _covariance(residue: np.ndarray) -> np.ndarray:
    """Of the channels of a residue (n, C) whose mean is 0."""
    return (residue.T @ residue).astype(float) / len(residue)


def _less(covariance: np.ndarray, variance: float) -> np.ndarray:
    """A covariance without an independent noise of ``variance`` in each channel; never below none."""
    values, vectors = np.linalg.eigh(covariance)
    return vectors * np.maximum(values - variance, 0) @ vectors.T


def _of_quiet(residue: np.ndarray, quiet: list[np.ndarray]) -> np.ndarray:
    """Residue of each half of the blocks whose other half is quiet: (n, C)."""
    halves = zip(_halves(residue), quiet[::-1], strict=True)
    return np.concatenate([half[chosen].reshape(-1, residue.shape[3]) for half, chosen in halves])


def _quiet_halves(residue: np.ndarray) -> list[np.ndarray]:
    """For each half, of which blocks it is quiet: (n,) bool. In pure noise nearly all are, in texture only a few."""
    energies = [np.einsum("nrcd,nrcd->n", half, half) for half in _halves(residue)]
    return [
        energy <= _NEAR_QUIETEST * np.partition(energy, len(energy) // 20)[len(energy) // 20] for energy in energies
    ]


def _halves(residue: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return residue[:, :, : BLOCK_PX // 2], residue[:, :, BLOCK_PX // 2 :]


def _flat_blocks(image: np.ndarray, where: np.ndarray) -> np.ndarray:
    """Up to ``_CANDIDATES`` blocks with ``_AROUND_PX`` around them: (n, side, side, C) float32."""
    rows, columns = (side // BLOCK_PX for side in image.shape[:2])
    if min(rows, columns) < 3:
        return np.empty((0, 0, 0, image.shape[2]), np.float32)
    slopes = _slopes(_block_means(image, rows, columns), _whole_blocks(where, rows, columns), image.dtype)
    chosen = np.argsort(slopes, axis=None, kind="stable")[:_CANDIDATES]
    chosen = chosen[np.isfinite(slopes.ravel()[chosen])]
    tops, lefts = (BLOCK_PX * place - _AROUND_PX for place in np.unravel_index(chosen, slopes.shape))
    side = BLOCK_PX + 2 * _AROUND_PX
    patches = np.lib.stride_tricks.sliding_window_view(image, (side, side), axis=(0, 1))[tops, lefts]
    return np.moveaxis(patches, 1, 3).astype(np.float32)


def _block_means(image: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Mean of the middle channel (green) over each block: (rows, columns) float32."""
    plane = cv2.extractChannel(image[: rows * BLOCK_PX, : columns * BLOCK_PX], image.shape[2] // 2)
    return cv2.resize(plane, (columns, rows), interpolation=cv2.INTER_AREA).astype(np.float32)


def _whole_blocks(where: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Blocks that lie in ``where`` with all that is looked at around them, but not at the border: (rows, columns)."""
    side = 2 * _AROUND_PX + 1
    inside = cv2.erode(where.view(np.uint8), np.ones((side, side), np.uint8), borderValue=0) * np.uint8(255)
    inside = inside[: rows * BLOCK_PX, : columns * BLOCK_PX]
    whole = cv2.resize(inside, (columns, rows), interpolation=cv2.INTER_AREA) == 255
    whole[[0, -1]] = whole[:, [0, -1]] = False
    return whole


def _slopes(means: np.ndarray, whole: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """How much the neighbours of each block differ; infinite for blocks that aren't whole, and for clipped ones."""
    across = np.where(whole[1:-1, 2:] & whole[1:-1, :-2], np.abs(means[1:-1, 2:] - means[1:-1, :-2]), 0)
    down = np.where(whole[2:, 1:-1] & whole[:-2, 1:-1], np.abs(means[2:, 1:-1] - means[:-2, 1:-1]), 0)
    slopes = np.zeros_like(means)
    slopes[1:-1, 1:-1] = np.maximum(across, down)
    if dtype != np.float32:
        white = white_level(dtype)
        whole = whole & (means >= _CLIPPED * white) & (means <= (1 - _CLIPPED) * white)
    return np.where(whole, slopes, np.inf)


def _residue(blocks: np.ndarray, step: int) -> np.ndarray:
    """Second differences, ``step`` px apart, along both axes, of each block's own px."""
    first, end = _AROUND_PX - step, _AROUND_PX - step + BLOCK_PX
    span = [slice(first + place, end + place) for place in (0, step, 2 * step)]
    blocks = blocks[:, span[0]] - 2 * blocks[:, span[1]] + blocks[:, span[2]]
    return blocks[:, :, span[0]] - 2 * blocks[:, :, span[1]] + blocks[:, :, span[2]]


def _gain(smoothness: float, step: int) -> float:
    """Variance of ``_residue`` for unit noise of a smoothness."""
    return _variance(np.convolve(_taps(smoothness), np.kron(_SECOND_DIFFERENCE, [1.0] + [0.0] * (step - 1)))) ** 2


def _variance(taps: np.ndarray) -> float:
    return float((taps**2).sum())


def _taps(smoothness: float) -> np.ndarray:
    """The filter that gives white noise a smoothness and leaves its variance: (3,) float64."""
    taps = np.array([smoothness, 1 - 2 * smoothness, smoothness])
    return taps / np.sqrt((taps**2).sum())


@lru_cache(maxsize=1)
def _ratios() -> np.ndarray:
    """Coarse over fine residue for each of ``_SMOOTHNESS``: rising from 1."""
    return np.array([_gain(one, 2) / _gain(one, 1) for one in _SMOOTHNESS])


def noise_planes(noise: Noise, shape: tuple[int, int], offsets: tuple[int, int]) -> list[np.ndarray]:
    """A field of such noise, mean 0, channel by channel: C arrays of shape (H, W), float32, in pixel values.

    Parameters
    ----------
    offsets : tuple of two ints, 0 or more
        Row and column at which the first channel begins in the fixed field of white noise; the others follow from it.
    """
    channels = len(noise.covariance)
    ridge = 1e-6 * noise.sigma**2 * np.eye(channels)  # above the round-off, whatever the scale
    mixing = np.linalg.cholesky(noise.covariance + ridge).astype(np.float32)
    white = [_white(shape, offsets, 131 * channel) for channel in range(channels)]
    if noise.smoothness:
        taps = _taps(noise.smoothness).astype(np.float32)
        white = [cv2.sepFilter2D(one, -1, taps, taps) for one in white]
    return [_weighted_sum(white, mixing[channel, : channel + 1]) for channel in range(channels)]


def _weighted_sum(planes: list[np.ndarray], weights: np.ndarray) -> np.ndarray:
    total = planes[0] * weights[0]
    for plane, weight in zip(planes[1:], weights[1:], strict=False):
        total += plane * weight
    return total


def _white(shape: tuple[int, int], offsets: tuple[int, int], more: int) -> np.ndarray:
    """A window of the fixed field, which goes on from its other side where it ends."""
    top, left = ((offset + more) % _FIELD_SIDE for offset in offsets)
    repeats = 1 + -(-max(shape) // _FIELD_SIDE)
    return _field(repeats)[top : top + shape[0], left : left + shape[1]]


@lru_cache(maxsize=2)
def _field(repeats: int) -> np.ndarray:
    """White noise of unit variance, so many times beside and below itself: float32, the same everywhere."""
    once = np.random.default_rng(2019).standard_normal((_FIELD_SIDE, _FIELD_SIDE), dtype=np.float32)
    return np.tile(once, (repeats, repeats))
