"""Which examples make which step: a pure function of seed and step, whatever reads them, and after any resume.

A pass shows every synthetic pair once, in an order of its own. Its batches differ by one example at most, so none is
tiny. Where there are real photos too, a batch holds as many of them, which come round in an order of their own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256

import numpy as np

from blurgen.training.augment import DRAWS

SYNTHETIC, REAL = 0, 1
_ORDER, _AUGMENT, _NOISE = 0, 1, 2  # what a generator is for: each has its own stream of numbers


@dataclass(frozen=True)
class Pick:
    """One example of a batch: which, and the how-manieth time that it is shown."""

    kind: int
    index: int
    round: int


@dataclass(frozen=True)
class Schedule:
    """``synthetic`` pairs and ``real`` photos (numbers of either; 0: none of them), ``size`` examples a step."""

    synthetic: int
    real: int
    size: int
    seed: int

    @property
    def steps_per_pass(self) -> int:
        """Steps in which every synthetic pair (every real photo, where there are no others) is shown once."""
        return -(-self._leading // self._share)

    @property
    def examples_per_pass(self) -> int:
        """Examples that a pass shows, real ones counted too."""
        return self._leading * (2 if self.synthetic and self.real else 1)

    @property
    def smallest_batch(self) -> int:
        """Examples of the smallest step."""
        return self._leading // self.steps_per_pass * (2 if self.synthetic and self.real else 1)

    def picks(self, step: int) -> list[Pick]:
        """The examples of a step, in their order."""
        kinds = [(SYNTHETIC, self.synthetic), (REAL, self.real)]
        return [pick for kind, count in kinds if count for pick in self._stretch(kind, count, *self._bounds(step))]

    def size_of(self, step: int) -> int:
        """Examples of a step."""
        bounds = self._bounds(step)
        return (bounds[1] - bounds[0]) * (2 if self.synthetic and self.real else 1)

    def uniforms(self, pick: Pick) -> np.ndarray:
        """What the augmentation of an example is drawn from: (DRAWS,) float64 in [0, 1)."""
        count = self.real if pick.kind == REAL else self.synthetic
        return _uniforms(self.seed, pick.kind, pick.round, count)[pick.index]

    def noise_seed(self, step: int, rank: int) -> int:
        """Seed of what the model itself draws in a step (dropout), and of the patches that are swapped."""
        return int(_generator(self.seed, _NOISE, step, rank).integers(2**63))

    def _bounds(self, step: int) -> tuple[int, int]:
        """Where a step begins and ends in the endless row of examples."""
        number, place = divmod(step, self.steps_per_pass)
        first, end = (at * self._leading // self.steps_per_pass for at in (place, place + 1))
        return number * self._leading + first, number * self._leading + end

    @property
    def _leading(self) -> int:
        return self.synthetic or self.real

    @property
    def _share(self) -> int:
        return self.size // 2 if self.synthetic and self.real else self.size

    def _stretch(self, kind: int, count: int, first: int, end: int) -> list[Pick]:
        """Examples ``first`` to ``end`` of an endless row of shuffled rounds."""
        places = (divmod(position, count) for position in range(first, end))
        return [Pick(kind, int(_order(self.seed, kind, number, count)[place]), number) for number, place in places]


@lru_cache(maxsize=8)
def _order(seed: int, kind: int, number: int, count: int) -> np.ndarray:
    return _generator(seed, _ORDER, kind, number).permutation(count)


@lru_cache(maxsize=4)
def _uniforms(seed: int, kind: int, number: int, count: int) -> np.ndarray:
    """Those of all examples of a round: a generator for each example would cost as much as drawing and cutting."""
    return _generator(seed, _AUGMENT, kind, number).random((count, DRAWS))


def _generator(seed: int, *key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))


def in_hash_order(names: list[bytes], seed: int) -> list[int]:
    """Indices of ``names`` in an order that hangs on the names and the seed alone, not on what else there is."""
    return sorted(range(len(names)), key=lambda index: sha256(f"{seed}:".encode() + names[index]).digest())


def hold_out(names: list[bytes], share: float, seed: int) -> np.ndarray:
    """(N,) bool: which examples are for validation: all those of ``share`` of the distinct names.

    At least one name is held out, and one is not; of a single name nothing is.
    """
    distinct = sorted(set(names))
    taken = min(max(1, math.ceil(share * len(distinct) - 1e-9)), len(distinct) - 1) if share else 0
    chosen = {distinct[index] for index in in_hash_order(distinct, seed)[:taken]}
    return np.array([name in chosen for name in names], bool)
