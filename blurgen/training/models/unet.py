"""A small U-Net that is told the derivatives; fast on a CPU."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blurgen.training.models.base import BlurModel, convolution, derivatives, upsampled

DERIVATIVE_SCALE = 100.0
"""asinh(100 d) is linear below about 1/100 of full scale, logarithmic above: there a ratio of gradients, which is what
blur changes, is a difference."""


class Unet(BlurModel):
    """Four scales from 1/2 to 1/16 of the resolution, ``widths`` features wide; logits at 1/2, upsampled bilinearly.

    Every 2 x 2 pixels are folded into channels, so that the first convolution sees full resolution at a quarter of the
    cost.
    """

    head = ("score.",)

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__(channels)
        self.multiple_px = 1 << len(widths)
        self.reach_px = _reach_px(len(widths))
        self.stem = nn.Sequential(nn.PixelUnshuffle(2), convolution(4 * (channels + 2), widths[0]))
        steps = list(pairwise(widths))
        self.encoder = nn.ModuleList([convolution(widths[0], widths[0])])
        self.encoder.extend(nn.Sequential(convolution(a, b, stride=2), convolution(b, b)) for a, b in steps)
        self.narrow = nn.ModuleList(convolution(b, a, size=1) for a, b in reversed(steps))
        self.decoder = nn.ModuleList(convolution(a, a) for a, _ in reversed(steps))
        self.score = nn.Conv2d(widths[0], 1, 1)

    def outputs(self, x: Tensor, every: bool) -> Tensor:
        y, shortcuts = self.stem(_with_derivatives(x)), []
        for encode in self.encoder:
            y = encode(y)
            shortcuts.append(y)
        shortcuts.pop()
        for narrow, decode in zip(self.narrow, self.decoder, strict=True):
            y = decode(F.interpolate(narrow(y), scale_factor=2, mode="nearest") + shortcuts.pop())
        return upsampled(self.score(y), 2)


def _with_derivatives(x: Tensor) -> Tensor:
    """The channels about zero, and the derivatives of their mean, compressed."""
    dx, dy = derivatives(x.mean(dim=1, keepdim=True))
    return torch.cat([4 * x - 2, torch.asinh(DERIVATIVE_SCALE * torch.cat([dx, dy], dim=1))], dim=1)


def _reach_px(scales: int) -> int:
    """Along the way through the coarsest scale: a convolution adds a cell of the grid that it reads, a change to a
    coarser grid the rest of its cell."""
    grids = [1 << scale for scale in range(1, scales + 1)]
    first = 1 + 2 * grids[0]  # derivative, two convolutions
    down = sum(fine + coarse for fine, coarse in pairwise(grids))
    up = sum(grids[:-1])
    return first + down + up + (grids[-1] - grids[0]) + 2  # and the last interpolation
