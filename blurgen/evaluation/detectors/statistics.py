"""Statistics of patches that Liu et al. 2008 and Shi et al. 2014 share: power spectrum and spread of gradients."""

from __future__ import annotations

import numpy as np
from scipy.fft import rfft2

from blurgen.evaluation.detectors.windows import LEVEL, box_mean, on_grid, windows

STRIDE_PX = 3
BIN_EDGES = np.float32(2.0) ** np.arange(-1, 8.5, 0.5, dtype=np.float32)
"""Of gradient magnitudes, 8-bit levels: half an octave each."""

TURNS = 10
"""Of expectation and maximisation; the sums have settled to a percent by then."""


def log_spectrum(plane: np.ndarray, side: int) -> np.ndarray:
    """Log of the power spectrum of patches, averaged over directions.

    Returns
    -------
    ndarray of shape (h, w, side // 2), float32
        For 1, 2, .. periods in ``side`` px. ``LEVEL`` is added to the power of a pixel, so that flat patches give 0.
    """
    weights = _rings(side)
    hann = np.hanning(side + 2)[1:-1].astype(np.float32)
    window = np.outer(hann, hann)
    window /= np.sqrt((window**2).sum())  # white noise keeps its variance
    found = []
    for row in windows(plane, side, STRIDE_PX):
        spectrum = rfft2((row - row.mean(axis=(1, 2), keepdims=True)) * window)
        power = spectrum.real**2 + spectrum.imag**2
        found.append(np.log1p(power.reshape(len(power), -1) @ weights / LEVEL))
    return np.stack(found)


def _rings(side: int) -> np.ndarray:
    """Weights that average the half spectrum of ``rfft2`` over rings: (side * (side // 2 + 1), side // 2) float32."""
    down, right = np.fft.fftfreq(side, 1 / side)[:, None], np.arange(side // 2 + 1)[None]
    radius = np.round(np.hypot(down, right)).astype(int).ravel()
    times = np.broadcast_to(np.where(right > 0, 2.0, 1.0), (side, side // 2 + 1)).ravel()  # the other half
    weights = (radius[:, None] == np.arange(1, side // 2 + 1)) * times[:, None]
    return (weights / weights.sum(axis=0)).astype(np.float32)


def magnitude(plane: np.ndarray) -> np.ndarray:
    """Length of the gradient (differences to the next pixel, 0 at the last one). (H, W) float32."""
    along, across = differences(plane)
    return np.sqrt(along * along + across * across)


def differences(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """To the next pixel of the row and of the column; 0 at the last one. Both (H, W) float32."""
    return np.diff(plane, axis=1, append=plane[:, -1:]), np.diff(plane, axis=0, append=plane[-1:])


def spread(lengths: np.ndarray, side: int) -> np.ndarray:
    """Standard deviation of the wider of two normal distributions of mean 0 that make up the gradients of a patch.

    Liu et al. 2008 and Shi et al. 2014 fit the mixture by expectation and maximisation; here on histograms of
    half-octave bins, ``TURNS`` turns for all patches at once.

    Returns
    -------
    ndarray of shape (h, w), float32
        8-bit levels; a quarter of a level for a flat patch.
    """
    shares = _histograms(lengths, side)
    squares = np.concatenate(([BIN_EDGES[0] ** 2 / 4], BIN_EDGES**2 * np.float32(2**0.5)))  # of the middles of the bins
    mean = shares @ squares
    wide, narrow, part = 2 * mean, mean / 8, np.full(mean.shape, np.float32(0.5))
    for _ in range(TURNS):
        odds = part[..., None] * _density(squares, wide)
        belongs = shares * odds / (odds + (1 - part[..., None]) * _density(squares, narrow))
        mass = belongs.sum(axis=2)
        wide = (belongs @ squares) / np.maximum(mass, 1e-6)
        narrow = np.maximum(mean - belongs @ squares, 0) / np.maximum(1 - mass, 1e-6)
        wide, narrow = np.maximum(wide, squares[0]), np.maximum(narrow, squares[0])
        part = np.clip(mass, 1e-3, 1 - 1e-3)
    return np.sqrt(np.maximum(wide, narrow))


def _histograms(lengths: np.ndarray, side: int) -> np.ndarray:
    """Share of each bin of gradient lengths in boxes, on the grid: (h, w, bins) float32."""
    bins = np.searchsorted(BIN_EDGES, lengths)
    masks = ((bins == index).astype(np.float32) for index in range(len(BIN_EDGES) + 1))
    shares = np.maximum(np.stack([on_grid(box_mean(mask, side), STRIDE_PX) for mask in masks], axis=2), 0)
    return shares / shares.sum(axis=2, keepdims=True)


def _density(squares: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """Normal density, up to a factor that both parts share: (h, w, bins)."""
    return np.exp(-squares / (2 * variance[..., None])) / np.sqrt(variance)[..., None] + np.float32(1e-30)
