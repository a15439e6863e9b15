"""U-Net whose derivatives have encoders of their own (Zhang and Yan 2020, section 3.4 and figure 4)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blurgen.training.models.base import BlurModel, convolution, derivatives

WIDTHS = (32, 64, 128, 256)
"""Filters of the blocks of an encoder. The paper's text gives only the 256 of the block that fuses; these come to 23 MB
of weights, its table 1 says 26.73M."""

DROPOUT = 0.2


class GradientUnet(BlurModel):
    """Image, x and y derivative are encoded apart and concatenated; shortcuts lead from the image's encoder."""

    multiple_px = 1 << len(WIDTHS) - 1
    head = ("score.",)
    # The derivative, two convolutions on each grid, one that fuses, and a deconvolution on each but the finest.
    reach_px = 1 + sum(2 << level for level in range(len(WIDTHS))) + multiple_px + (2 * multiple_px - 2)

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.image, self.dx, self.dy = (_Encoder(channels) for _ in range(3))
        self.fuse = nn.Sequential(convolution(3 * WIDTHS[-1], WIDTHS[-1]), nn.Dropout(DROPOUT))
        # The deepest features meet no shortcut, all others come doubled.
        inputs = (WIDTHS[-1], *(2 * width for width in WIDTHS[-2:0:-1]))
        self.decoder = nn.ModuleList(map(_deconvolution, inputs, WIDTHS[-2::-1]))
        self.score = nn.Conv2d(2 * WIDTHS[0], 1, 1)

    def outputs(self, x: Tensor, every: bool) -> Tensor:
        x = 2 * x - 1
        *shortcuts, deepest = self.image(x)
        dx, dy = derivatives(x)
        y = self.fuse(torch.cat([deepest, self.dx(dx)[-1], self.dy(dy)[-1]], dim=1))
        for deconvolve, shortcut in zip(self.decoder, reversed(shortcuts), strict=True):
            y = torch.cat([deconvolve(y), shortcut], dim=1)
        return self.score(y)


class _Encoder(nn.Module):
    """Blocks of two convolutions; between blocks a pooling by two."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        pairs = zip((channels, *WIDTHS), WIDTHS, strict=False)
        self.blocks = nn.ModuleList(nn.Sequential(convolution(a, b), convolution(b, b)) for a, b in pairs)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> list[Tensor]:
        found = []
        for block in self.blocks:
            x = block(self.pool(x) if found else x)
            found.append(x)
        return found


def _deconvolution(inputs: int, outputs: int) -> nn.Sequential:
    """Twice the resolution."""
    return nn.Sequential(
        nn.ConvTranspose2d(inputs, outputs, 3, stride=2, padding=1, output_padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )
