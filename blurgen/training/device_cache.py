"""All pairs in the memory of the GPU: windows are cut there, and no core has anything to do meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import torch
from tqdm import tqdm

from blurgen.engines import is_quiet
from blurgen.errors import ArgumentError, TrainingError
from blurgen.training.augment import Numbers, draw, light_table
from blurgen.training.batches import REAL, SYNTHETIC
from blurgen.training.examples import Examples
from blurgen.training.loader import Batch, Maker, bytes_of, default_workers
from blurgen.training.params import TrainingParams


class DeviceMaker:
    """Makes the same batches as ``Maker``, to the bit, from pairs that are kept on ``device``."""

    def __init__(self, maker: Maker, examples: Examples, device: torch.device) -> None:
        _check(maker.params, examples, device)
        self._maker = maker
        count = len(examples.train[SYNTHETIC])
        first = examples.read(SYNTHETIC, 0)
        self._dtype = torch.from_numpy(first.image).dtype
        stored = torch.int16 if self._dtype == torch.uint16 else self._dtype  # torch indexes less than it can hold
        self._images = torch.empty((count, *first.image.shape), dtype=stored, device=device)
        self._masks = torch.empty((count, *first.mask.shape), dtype=torch.uint8, device=device)
        with ThreadPoolExecutor(default_workers()) as pool:
            found = pool.map(partial(examples.read, SYNTHETIC), range(count))
            bar = tqdm(found, total=count, desc="to the GPU", unit="pair", disable=is_quiet(True))
            for index, example in enumerate(bar):
                self._images[index] = torch.from_numpy(example.image).view(stored)
                self._masks[index] = torch.from_numpy(example.mask)

    def __call__(self, step: int) -> Batch:
        params, schedule, shape = self._maker.params.augment, self._maker.schedule, tuple(self._masks.shape[1:])
        picks = self._maker.own_picks(step)
        drawn = [draw(params, shape, schedule.uniforms(pick)) for pick in picks]
        walks = [walk(numbers, shape, pick.index) for numbers, pick in zip(drawn, picks, strict=True)]
        device = self._masks.device
        first, down, right = torch.tensor(walks, device=device).T[:, :, None, None]
        rows, columns = (torch.arange(side, device=device) for side in params.shape)
        index = first + down * rows[:, None] + right * columns
        images = self._images.reshape(-1, self._images.shape[-1])[index]
        if params.brightness or params.contrast:
            images = self._relit(images, drawn)
        return Batch(images.view(self._dtype), self._masks.reshape(-1)[index], None)

    def _relit(self, images: torch.Tensor, drawn: list[Numbers]) -> torch.Tensor:
        """Windows (N, H, W, C), each through a table of what becomes of its values."""
        levels = images.long() & 0xFFFF if images.dtype == torch.int16 else images.long()
        sums, dtype = levels.sum((1, 2)).tolist(), np.dtype(str(self._dtype).removeprefix("torch."))
        count = levels.shape[1] * levels.shape[2]
        tables = [light_table(numbers, one, count, dtype) for numbers, one in zip(drawn, sums, strict=True)]
        stored = torch.from_numpy(np.stack(tables)).view(images.dtype).to(images.device)
        first = torch.arange(len(tables), device=images.device)[:, None, None, None] * stored.shape[1]
        return stored.reshape(-1)[first + levels]


def walk(numbers: Numbers, shape: tuple[int, int], place: int) -> tuple[int, int, int]:
    """How a window goes through a row of all pixels of all examples of a ``shape``, this one being at ``place``:
    where its first pixel lies, and how far it is from there to the one below and to the one on the right."""
    top, left, height, width = numbers.window
    first, down, right = (place * shape[0] + top) * shape[1] + left, shape[1], 1
    if numbers.flip:
        first, right = first + width - 1, -1
    for _ in range(numbers.turns):  # counter-clockwise: what was the last column becomes the first row
        first, down, right = first + right * (width - 1), -right, down
        height, width = width, height
    return first, down, right


def _check(params: TrainingParams, examples: Examples, device: torch.device) -> None:
    augment, shapes = params.augment, examples.pairs.shapes[examples.train[SYNTHETIC]] if examples.pairs else ()
    recoloured = any((augment.saturation, augment.hue_deg, augment.p_jpeg))
    relit = augment.brightness or augment.contrast
    reasons = {
        "needs shards alone": REAL in examples.train or examples.shuffled is not None,
        f"can't do what {params.name} does to examples (resize, recolour, compress, saliency)": (
            augment.crop != "exact" or recoloured or params.loss.hard_weight != 1
        ),
        "can't make float32 images brighter or darker": relit and examples.dtype == "float32",
        "needs pairs of one size": len(np.unique(shapes, axis=0)) > 1,
    }
    for reason, holds in reasons.items():
        if holds:
            raise ArgumentError(f"--cache gpu {reason}; use --cache ram")
    if any(side < window for side, window in zip(shapes[0], augment.shape, strict=True)):
        raise ArgumentError(
            f"--cache gpu: --crop {augment.size} is larger than the pairs; lower it, or use --cache ram"
        )
    if device.type == "cuda" and bytes_of(examples) > 0.9 * torch.cuda.mem_get_info(device)[0]:
        free = torch.cuda.mem_get_info(device)[0]
        raise TrainingError(
            f"--cache gpu would take {bytes_of(examples) / 1e9:.1f} GB, the GPU has {free / 1e9:.1f} free; use ram"
        )
