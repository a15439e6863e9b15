"""All pairs in the memory of the GPU: windows are cut there, and no core has anything to do meanwhile."""

from __future__ import annotations

import numpy as np
import torch
from tqdm import tqdm

from blurgen.engines import is_quiet
from blurgen.errors import ArgumentError, TrainingError
from blurgen.targets import UNKNOWN
from blurgen.training.augment import Numbers, draw
from blurgen.training.batches import REAL, SYNTHETIC
from blurgen.training.examples import Examples
from blurgen.training.loader import Batch, Maker, bytes_of
from blurgen.training.params import TrainingParams


class DeviceMaker:
    """Makes the same batches as ``Maker``, to the bit, from pairs that are kept on ``device``."""

    def __init__(self, maker: Maker, examples: Examples, device: torch.device) -> None:
        _check(maker.params, examples, device)
        self._maker = maker
        count = len(examples.train[SYNTHETIC])
        first = examples.read(SYNTHETIC, 0)
        self._images = torch.empty(
            (count, *first.image.shape), dtype=torch.from_numpy(first.image).dtype, device=device
        )
        self._masks = torch.empty((count, *first.mask.shape), dtype=torch.uint8, device=device)
        for index in tqdm(range(count), desc="to the GPU", unit="pair", disable=is_quiet(True)):
            example = examples.read(SYNTHETIC, index)
            self._images[index] = torch.from_numpy(example.image)
            self._masks[index] = torch.from_numpy(example.mask)

    def __call__(self, step: int) -> Batch:
        maker, schedule = self._maker, self._maker.schedule
        picks = schedule.picks(step)
        own = picks[maker.rank :: maker.world]
        shape = tuple(self._masks.shape[1:])
        drawn = [draw(maker.params.augment, shape, schedule.uniforms(pick)) for pick in own or picks[:1]]
        places = [pick.index for pick in own or picks[:1]]
        flat = np.stack([pixel_places(numbers, shape, place) for numbers, place in zip(drawn, places, strict=True)])
        index = torch.from_numpy(flat).to(self._masks.device, non_blocking=True)
        masks = self._masks.reshape(-1)[index]
        if not own:
            masks.fill_(UNKNOWN)
        return Batch(self._images.reshape(-1, self._images.shape[-1])[index], masks, None)


def pixel_places(numbers: Numbers, shape: tuple[int, int], place: int) -> np.ndarray:
    """(h, w) int64: where the pixels of a window lie in a row of all pixels of all examples, this being the one at
    ``place``. ``shape`` is that of an example."""
    top, left, height, width = numbers.window
    rows, columns = np.arange(top, top + height), np.arange(left, left + width)
    found = (place * shape[0] + rows[:, None]) * shape[1] + (columns[::-1] if numbers.flip else columns)
    return np.ascontiguousarray(np.rot90(found, numbers.turns))


def _check(params: TrainingParams, examples: Examples, device: torch.device) -> None:
    augment, shapes = params.augment, examples.pairs.shapes[examples.train[SYNTHETIC]] if examples.pairs else ()
    recoloured = any((augment.brightness, augment.contrast, augment.saturation, augment.hue_deg, augment.p_jpeg))
    reasons = {
        "needs shards alone": REAL in examples.train or examples.shuffled is not None,
        f"can't do what {params.name} does to examples (resize, recolour, compress, saliency)": (
            augment.crop != "exact" or recoloured or params.loss.hard_weight != 1
        ),
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
