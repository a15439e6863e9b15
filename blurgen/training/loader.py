"""Batches, made ahead by threads; what a batch holds hangs on seed and step alone."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from blurgen.errors import TrainingError
from blurgen.training.augment import apply, draw
from blurgen.training.batches import SYNTHETIC, Pick, Schedule
from blurgen.training.examples import Example, Examples
from blurgen.training.params import TrainingParams
from blurgen.training.saliency import hard_weight, saliency_map


@dataclass(frozen=True)
class Batch:
    """Images (N, H, W, C) as stored, masks (N, H, W) uint8, weights (N, H, W) float32 of pixels that are hard."""

    images: torch.Tensor
    masks: torch.Tensor
    hardness: torch.Tensor | None

    def __len__(self) -> int:
        return len(self.images)


class Maker:
    """Makes the batch of a step, or this process's share of it: every ``world``-th example from ``rank`` on."""

    def __init__(self, examples: Examples, schedule: Schedule, params: TrainingParams, rank: int, world: int) -> None:
        self.schedule, self.params, self.rank, self.world = schedule, params, rank, world
        self.read: Callable[[int, int], Example] = examples.read

    def __call__(self, step: int) -> Batch:
        found = [self._augmented(pick) for pick in self.own_picks(step)]
        images, masks = (np.stack(parts) for parts in zip(*found, strict=True))
        return Batch(torch.from_numpy(images), torch.from_numpy(masks), self._hardness(images, masks))

    def own_picks(self, step: int) -> list[Pick]:
        """This process's share of the examples of a step."""
        return self.schedule.picks(step)[self.rank :: self.world]

    def _augmented(self, pick: Pick) -> Example:
        example = self.read(pick.kind, pick.index)
        numbers = draw(self.params.augment, example.mask.shape, self.schedule.uniforms(pick))
        return Example(*apply(numbers, example.image, example.mask))

    def _hardness(self, images: np.ndarray, masks: np.ndarray) -> torch.Tensor | None:
        factor = self.params.loss.hard_weight
        if factor == 1:
            return None
        pairs = zip(images, masks, strict=True)
        return torch.from_numpy(np.stack([hard_weight(saliency_map(image), mask, factor) for image, mask in pairs]))


def batches(make: Callable[[int], Batch], first: int, end: int, workers: int, pin: bool = False) -> Iterator[Batch]:
    """The batches of steps ``first`` to ``end``, in order, made ahead by ``workers`` threads (0: made when asked for).

    ``pin`` puts them into memory from where a GPU fetches them faster. Raises what making a batch raises.
    """
    if workers == 0:
        yield from (_pinned(make(step)) if pin else make(step) for step in range(first, end))
        return
    pool, ahead, steps = ThreadPoolExecutor(workers, "blurgen-loader"), deque(), iter(range(first, end))
    try:
        for step in steps:
            ahead.append(pool.submit(lambda step: _pinned(make(step)) if pin else make(step), step))
            if len(ahead) > workers + 1:
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _pinned(batch: Batch) -> Batch:
    hardness = None if batch.hardness is None else batch.hardness.pin_memory()
    return Batch(batch.images.pin_memory(), batch.masks.pin_memory(), hardness)


def default_workers() -> int:
    """Threads that keep a model fed: this process's share of the cores but one, eight at most."""
    cores = len(os.sched_getaffinity(0)) // int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return max(1, min(8, cores - 1))


class RamCache:
    """Keeps every pair, decoded, once it was read. Real photos, whose sizes nobody knows beforehand, are read again."""

    def __init__(self, examples: Examples) -> None:
        needed, free = bytes_of(examples), _free_memory()
        if needed > 0.9 * free:
            raise TrainingError(
                f"--cache ram would take {needed / 1e9:.1f} GB of memory, {free / 1e9:.1f} are free; use --cache none"
            )
        self._read, self._kept = examples.read, {}

    def __call__(self, kind: int, index: int) -> Example:
        kept = self._kept.get((kind, index))
        if kept is None:
            kept = self._read(kind, index)
            if kind == SYNTHETIC:
                self._kept[kind, index] = kept
        return kept


def bytes_of(examples: Examples) -> int:
    """Bytes of all pairs to train on, decoded; photos with human masks not counted."""
    if SYNTHETIC not in examples.train:
        return 0
    pixels = examples.pairs.shapes[examples.train[SYNTHETIC]].astype(np.int64).prod(axis=1).sum()
    return int(pixels) * (examples.channels * np.dtype(examples.dtype).itemsize + 1)


def _free_memory() -> int:
    """Bytes that can be had, those that only hold copies of files counted too."""
    try:
        found = re.search(rb"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_bytes())
    except OSError:
        found = None
    return int(found[1]) * 1024 if found else os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
