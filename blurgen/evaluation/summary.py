"""The scores of many maps from counts of their pixels: docs/metrics.md defines each of them.

Of each image are kept its AUC and AP, which are exact, and how many of its sharp and of its blurred pixels have each
level. So the scores of any resampling of the images can be had at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np

from blurgen.evaluation.counts import CUTS, HALF, LEVELS, ImageScore

BETA2 = 0.3

SCORES = {
    "auc": "AUC, mean of images",
    "ap": "AP, mean of images",
    "pooled_ap": "AP, all pixels",
    "ods": "ODS F1, all pixels",
    "ois": "OIS F1, all pixels",
    "ois_mean": "OIS F1, mean of images",
    "f_blurred": "F.3 blurred at .5, mean",
    "f_focused": "F.3 focused at .5, mean",
    "f_blurred_pooled": "F.3 blurred at .5, all pixels",
    "f_focused_pooled": "F.3 focused at .5, all pixels",
    "f_max": "F.3 blurred, best threshold, mean",
    "f_max_focused": "F.3 focused, best threshold, mean",
    "mae": "MAE, soft, mean",
    "mae_binarised": "MAE, binarised at .5, mean",
    "iou": "IoU blurred at .5, mean",
}
"""Every score and how it is named for people."""
_OF_FOCUSED = ("f_focused", "f_focused_pooled", "f_max_focused")
_CHUNK = 64  # resamplings at once


@dataclass(frozen=True)
class Table:
    """The columns of n ``ImageScore``: ``counts`` is (n, 2, LEVELS) int32."""

    auc: np.ndarray
    ap: np.ndarray
    totals: np.ndarray
    counts: np.ndarray
    scaled: np.ndarray

    @classmethod
    def of(cls, scores: Iterable[ImageScore]) -> Table:
        scores = list(scores)
        return cls(*(np.array([getattr(one, field.name) for one in scores]) for field in fields(cls)))

    def __len__(self) -> int:
        return len(self.auc)

    def rows(self, chosen: np.ndarray) -> Table:
        """Some of the images: an index or a bool for each."""
        return Table(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def constant(self, level: int) -> Table:
        """The same images with maps that have one level everywhere."""
        counts = np.zeros_like(self.counts)
        counts[..., level] = self.totals
        share = self.totals[:, 1] / np.maximum(self.totals.sum(axis=1), 1)
        one_class = (self.totals == 0).any(axis=1)
        auc, ap = (np.where(one_class, np.nan, value) for value in (0.5, share))
        return Table(auc, ap, self.totals, counts, np.ones(len(self), bool))

    @cached_property
    def curves(self) -> Curves:
        return Curves.of(self.counts)

    def scores(self, weights: np.ndarray | None = None) -> dict[str, np.ndarray]:
        """Every score of ``SCORES``, (k,) float64, for k weightings of the images: how often each is there, (k, n).

        One weighting, each image once, where none is given. NaN where a score is not defined.
        """
        weights = np.ones((1, len(self))) if weights is None else np.asarray(weights, np.float64)
        found = {"auc": _mean(weights, self.auc), "ap": _mean(weights, self.ap)}
        if self.scaled.all() and len(self):
            found |= self.curves.scores(weights)
        return {name: found.get(name, np.full(len(weights), np.nan)) for name in SCORES}

    def intervals(self, resamples: int, seed: int) -> dict[str, tuple[float, float]]:
        """95 % intervals: percentiles of the scores of ``resamples`` draws of n of the n images, with replacement."""
        rng, n, parts = np.random.default_rng(seed), len(self), []
        for start in range(0, resamples, _CHUNK):
            drawn = rng.integers(n, size=(min(_CHUNK, resamples - start), n))
            parts.append(self.scores(np.array([np.bincount(row, minlength=n) for row in drawn])))
        every = {name: np.concatenate([part[name] for part in parts]) for name in SCORES}
        return {name: _percentiles(values) for name, values in every.items()}


@dataclass(frozen=True)
class Curves:
    """What the scores of n images are made of. Counts are float64, which is exact far beyond any number of pixels.

    Row 0 counts sharp pixels, row 1 blurred ones.
    """

    flat: np.ndarray
    """(n, 2 * LEVELS): pixels at each level."""
    totals: np.ndarray
    """(n, 2): all pixels."""
    above: np.ndarray
    """(n, 2, 256): pixels at or above each threshold, which are called blurred; the others are called focused."""
    half: np.ndarray
    """(n, 2): the same at .5."""
    soft: np.ndarray
    """(n,): MAE of the map as it is; NaN for an image without known pixels."""

    @classmethod
    def of(cls, counts: np.ndarray) -> Curves:
        """``counts``: (n, 2, LEVELS)."""
        above = np.cumsum(counts[..., ::-1], axis=-1, dtype=np.int64)[..., ::-1]
        values = np.arange(LEVELS) / (LEVELS - 1)
        totals = above[..., 0].astype(np.float64)
        with np.errstate(invalid="ignore"):
            soft = (counts[:, 0] @ values + counts[:, 1] @ (1 - values)) / totals.sum(axis=1)
        flat = counts.reshape(len(counts), -1).astype(np.float64)
        return cls(flat, totals, above[..., CUTS].astype(np.float64), above[..., HALF].astype(np.float64), soft)

    @cached_property
    def one_class(self) -> np.ndarray:
        """(n,) bool: images without sharp or without blurred pixels."""
        return (self.totals == 0).any(axis=1)

    @cached_property
    def f1(self) -> np.ndarray:
        """(n, 256): F1 of the blurred pixels of each image by threshold; NaN for images of one class."""
        return self._of_images(self._blurred(1.0))

    @cached_property
    def f_blurred(self) -> np.ndarray:
        """(n, 256): the same with beta^2 = .3."""
        return self._of_images(self._blurred(BETA2))

    @cached_property
    def f_focused(self) -> np.ndarray:
        """(n, 256): the same of the focused pixels."""
        return self._of_images(self._focused(BETA2))

    def scores(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """All scores that follow from the counts; see ``Table.scores``."""
        return self._pooled(weights) | self._means(weights)

    def by_threshold(self) -> dict[str, np.ndarray]:
        """(256,) each, for plots: threshold, pooled precision, recall and F1, mean F of both classes."""
        (sharp, blurred), positives = self.above.sum(axis=0), self.totals[:, 1].sum()
        once = np.ones((1, len(self.totals)))
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                "threshold": CUTS / (LEVELS - 1),
                "precision": blurred / (blurred + sharp),
                "recall": blurred / positives,
                "f1": f_measure(blurred, sharp, positives, 1.0),
                "f_blurred": _mean(once, self.f_blurred)[0],
                "f_focused": _mean(once, self.f_focused)[0],
            }

    def _blurred(self, beta2: float) -> np.ndarray:
        return f_measure(self.above[:, 1], self.above[:, 0], self.totals[:, 1:], beta2)

    def _focused(self, beta2: float) -> np.ndarray:
        below = self.totals[..., None] - self.above
        return f_measure(below[:, 0], below[:, 1], self.totals[:, :1], beta2)

    def _of_images(self, values: np.ndarray) -> np.ndarray:
        """(n, ...) with NaN for images of one class."""
        return np.where(self.one_class.reshape(-1, *[1] * (values.ndim - 1)), np.nan, values)

    def _pooled(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The scores over the pixels of all images."""
        totals, half, above = weights @ self.totals, weights @ self.half, np.tensordot(weights, self.above, 1)
        best = np.argmax(np.nan_to_num(self.f1), axis=1)
        best[self.totals[:, 1] == 0] = self.f1.shape[1] - 1  # nothing is blurred, so as little as possible is called so
        own = weights @ np.take_along_axis(self.above, best[:, None, None], 2)[..., 0]
        below = totals - half
        return {
            "pooled_ap": _pooled_ap((weights @ self.flat).reshape(-1, 2, LEVELS)),
            "ods": f_measure(above[:, 1], above[:, 0], totals[:, 1:], 1.0).max(axis=1),
            "ois": f_measure(own[:, 1], own[:, 0], totals[:, 1], 1.0),
            "f_blurred_pooled": f_measure(half[:, 1], half[:, 0], totals[:, 1], BETA2),
            "f_focused_pooled": f_measure(below[:, 0], below[:, 1], totals[:, 0], BETA2),
        }

    def _means(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """The means of the scores of the images."""
        values = {"ois_mean": self.f1.max(axis=1), "mae": self.soft} | self._halved
        curves = {"f_max": self.f_blurred, "f_max_focused": self.f_focused}
        best = {name: _mean(weights, curve).max(axis=1) for name, curve in curves.items()}
        return {name: _mean(weights, value) for name, value in values.items()} | best

    @cached_property
    def _halved(self) -> dict[str, np.ndarray]:
        """(n,) each: the scores of the images at .5."""
        (sharp, blurred), (negatives, positives) = self.half.T, self.totals.T
        with np.errstate(invalid="ignore", divide="ignore"):
            wrong_share = (sharp + positives - blurred) / (negatives + positives)
            iou = blurred / (positives + sharp)
        return {
            "mae_binarised": wrong_share,
            "iou": self._of_images(iou),
            "f_blurred": self._of_images(f_measure(blurred, sharp, positives, BETA2)),
            "f_focused": self._of_images(f_measure(negatives - sharp, positives - blurred, negatives, BETA2)),
        }


def f_measure(found: np.ndarray, wrong: np.ndarray, positives: np.ndarray, beta2: float) -> np.ndarray:
    """(1 + b) P R / (b P + R) of counts: true positives, false positives, all positives; NaN without positives."""
    with np.errstate(invalid="ignore", divide="ignore"):
        value = (1 + beta2) * found / (found + wrong + beta2 * positives)
    return np.where(np.asarray(positives) > 0, value, np.nan)


def summary(table: Table, resamples: int = 0, seed: int = 0) -> dict:
    """The scores of a table: name -> value, None where it is not defined, "n", and "ci" if ``resamples`` is not 0."""
    found = {"n": len(table)} | {name: _plain(values[0]) for name, values in table.scores().items()}
    if resamples and len(table):
        intervals = table.intervals(resamples, seed)
        found["ci"] = {name: None if math.isnan(low) else [low, high] for name, (low, high) in intervals.items()}
    return found


def constant_summary(table: Table) -> dict:
    """What a map that says the same everywhere scores: blurred, or focused where that is the positive class."""
    blurred, focused = summary(table.constant(LEVELS - 1)), summary(table.constant(0))
    return blurred | {name: focused[name] for name in _OF_FOCUSED}


def _pooled_ap(counts: np.ndarray) -> np.ndarray:
    """(k,) step-wise AP of (k, 2, LEVELS)."""
    sharp, blurred = np.moveaxis(np.cumsum(counts[..., ::-1], axis=-1), 1, 0)
    precision = blurred / np.maximum(sharp + blurred, 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (precision * counts[:, 1, ::-1]).sum(axis=-1) / blurred[:, -1]
    return np.where((sharp[:, -1] > 0) & (blurred[:, -1] > 0), found, np.nan)


def _mean(weights: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Weighted means of (n,) or (n, m) where they are defined: (k,) or (k, m)."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return (weights @ np.where(known, values, 0)) / (weights @ known.astype(np.float64))


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    known = values[~np.isnan(values)]
    return tuple(map(float, np.percentile(known, (2.5, 97.5)))) if known.size else (math.nan, math.nan)


def _plain(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
