"""What every model is: pictures of any size in, one logit a pixel out."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blurgen.errors import ModelError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
"""Of red, green and blue in [0, 1]; what torchvision's weights expect to be normalised by."""


class BlurModel(nn.Module):
    """Base of all models: says how far it sees, and brings any size to the grid that it works on.

    A subclass defines ``outputs``. First weights depend on torch's seed alone.

    Attributes
    ----------
    channels : int
        Of the images.
    reach_px : int or None
        A logit depends on no pixel that is farther away than this, in rows or columns. None: it may depend on all.
    multiple_px : int
        Windows that start at multiples of it see the same grid, so the same logits, ``reach_px`` from their borders.
    head : tuple of str
        Prefixes of the keys of the last layer: other tasks have another one.
    least_batch : int
        Examples that a step must have in each process: batch norm of single numbers needs two.
    foreign : tuple of str
        Prefixes of keys that files of known weights hold and this model has no use for.
    """

    reach_px: int | None = None
    multiple_px: int = 1
    least_batch: int = 1
    head: tuple[str, ...] = ()
    foreign: tuple[str, ...] = ()

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor, every: bool = False) -> Tensor:
        """(N, C, H, W) float in [0, 1] -> logits (N, 1, H, W), positive where blurred; any H and W from 1.

        With ``every`` (N, K, H, W): all outputs that can be trained, the final one first.
        """
        height, width = x.shape[-2:]
        if self.multiple_px > 1:
            x = padded(x, self.multiple_px)
        return self.outputs(x, every)[..., :height, :width]

    def outputs(self, x: Tensor, every: bool) -> Tensor:
        """The same for sides that are multiples of ``multiple_px``."""
        raise NotImplementedError

    def adapted(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Weights of a file in the shapes of this model, where known files have others."""
        return tensors


class ImageNetInput(nn.Module):
    """Grey or colour in [0, 1] -> what networks trained on ImageNet expect; not a part of the weights."""

    def __init__(self, model: str, channels: int) -> None:
        super().__init__()
        if channels not in (1, 3):
            raise ModelError(f"{model} takes images of 1 or 3 channels, not {channels}; use unet-s")
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) / self.std  # one channel becomes three here


def padded(x: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until the sides are multiples of ``multiple``."""
    # Even if nothing is to be added: an exported model then holds for any size, not for that of the example alone.
    return F.pad(x, (0, -x.shape[-1] % multiple, 0, -x.shape[-2] % multiple), mode="replicate")


def derivatives(x: Tensor) -> tuple[Tensor, Tensor]:
    """Differences to the next column and to the next row, of the same shape as ``x``; 0 at the last ones."""
    dx = x[..., 1:] - x[..., :-1]
    dy = x[..., 1:, :] - x[..., :-1, :]
    return F.pad(dx, (0, 1, 0, 0)), F.pad(dy, (0, 0, 0, 1))


def convolution(inputs: int, outputs: int, size: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def upsampled(x: Tensor, factor: int) -> Tensor:
    """Bilinear, pixel centres kept in place."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
