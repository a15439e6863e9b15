"""Chakrabarti et al. 2010: how likely a neighbourhood is under a blur kernel."""

from __future__ import annotations

import cv2
import numpy as np

from blurgen.evaluation.detectors.windows import box_mean, enlarged, luminance, on_grid

FILTER_PX = 15
LENGTHS_PX = (3, 5, 7, 9, 11, 13, 15)
"""Of the candidate boxes; 1 is sharp."""

NEIGHBOURHOOD_PX = 21
STRIDE_PX = 3
NOISE = 0.5
"""Standard deviation of the photo's noise, 8-bit levels: rounding and JPEG."""

SCALES = np.append(0.0, 2.0 ** np.arange(-8, 17))
"""Variances of the sharp gradient that are tried, squared 8-bit levels: 0, and 1/256 to 65,536."""


def chakrabarti(photo: np.ndarray) -> np.ndarray:
    """Log-likelihood of the best blurring box over that of no blur (Chakrabarti, Zickler, Freeman 2010).

    The gradient along a row is split into sub-bands y_i (windowed complex exponentials). Where the photo is blurred by
    a kernel k, y_i is normal with variance s sigma_ki^2 + sigma_zi^2: sigma_ki^2 is the energy of k * f_i, sigma_zi^2
    that of the noise in the band, and s the variance of the sharp gradient, equal for all bands in a neighbourhood (a
    Gaussian scale mixture, whose scale is chosen as the most likely one). The map is

        max_k max_s log p(y | k, s)  -  max_s log p(y | k = 1, s),

    a mean over the neighbourhood, with boxes of 3 to 15 px for k, the same done along columns, and both added: motion
    blurs one of them, defocus both.

    Left out: the colour model and the segmentation (a Markov random field) that the paper puts on top, and its search
    for one kernel of the whole photo. Boxes are its motion blur; that they stand for defocus too is ours, and so are
    the numbers. Every third pixel, bilinear between.

    Parameters
    ----------
    photo : ndarray of shape (H, W, C), uint8, uint16 or float32
        float32: 1 is full scale.

    Returns
    -------
    ndarray of shape (H, W), float32
        Higher is more blurred; above 0 where a box explains the photo better than none. A flat region is explained
        equally well by all: 0.
    """
    plane = luminance(photo)
    ratio = _ratio(plane) + _ratio(np.ascontiguousarray(plane.T)).T
    return enlarged(ratio, plane.shape, STRIDE_PX)


def _ratio(plane: np.ndarray) -> np.ndarray:
    """The ratio for blur along rows, on the grid of ``windows``: (h, w) float64."""
    energies = _energies(plane)
    sharp, *blurred = (_log_likelihood(energies, length) for length in (1, *LENGTHS_PX))
    return np.max(blurred, axis=0) - sharp


def _energies(plane: np.ndarray) -> np.ndarray:
    """Mean of |y_i|^2 over the neighbourhood, on the grid: (h, w, bands) float64."""
    gradient = np.diff(plane, axis=1, append=plane[:, -1:])
    found = []
    for band in _filters():
        parts = [half.astype(np.float32)[None] for half in (band.real, band.imag)]
        parts = [cv2.filter2D(gradient, cv2.CV_32F, part, borderType=cv2.BORDER_REFLECT) for part in parts]
        found.append(on_grid(box_mean(sum(part * part for part in parts), NEIGHBOURHOOD_PX), STRIDE_PX))
    return np.maximum(np.stack(found, axis=2).astype(np.float64), 0)  # a running sum may end below 0


def _log_likelihood(energies: np.ndarray, length: int) -> np.ndarray:
    """max over s of the mean log p(y | box of ``length``, s), up to a constant: (h, w)."""
    box, difference = np.full(length, 1 / length), np.array((1.0, -1.0))
    gain, noise = (np.array([_energy(np.convolve(band, k)) for band in _filters()]) for k in (box, difference))
    variances = SCALES[:, None] * gain + NOISE**2 * noise
    return np.max(-energies @ (1 / variances).T - np.log(variances).sum(axis=1), axis=2)


def _energy(values: np.ndarray) -> float:
    return float((np.abs(values) ** 2).sum())


def _filters() -> np.ndarray:
    """Complex exponentials of 1, 2, .. periods in a Hann window: (bands, FILTER_PX)."""
    where = np.arange(FILTER_PX) - FILTER_PX // 2
    bands = np.arange(1, FILTER_PX // 2 + 1)[:, None]
    return np.hanning(FILTER_PX + 2)[1:-1] * np.exp(2j * np.pi * bands * where / FILTER_PX)
