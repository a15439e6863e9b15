"""What is minimised. Sums and counts are given apart, so that a mean can be taken over all processes of a run."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from blurgen.training.params import LossParams


class Pieces(NamedTuple):
    """What one batch adds to the loss; scalar tensors, float32."""

    entropy: torch.Tensor
    """Sum of the weighted cross entropies of all pixels: of the originals, of their swapped copies, of side outputs."""
    known: torch.Tensor
    """Pixels of the originals that have a target."""
    distance: torch.Tensor
    """Sum of the L1 distances of the predictions for swapped images to the swapped predictions; 0 without swaps."""
    pixels: torch.Tensor
    """Pixels of the originals."""

    def loss(self, consistency: float) -> torch.Tensor:
        """L_ori + L_aug + lambda L_self (Zhang & Yan 2020, eq. 5), each a mean over pixels.

        In several processes: first put the mean of ``known`` and of ``pixels`` over the processes in their place
        (``_replace``). The mean gradient of DistributedDataParallel is then that of one process with the whole batch.
        """
        return self.entropy / self.known.clamp_min(1) + consistency * self.distance / self.pixels.clamp_min(1)


def blur_loss(
    logits: torch.Tensor, target: torch.Tensor, weight: torch.Tensor, hardness: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cross entropy of blurred against sharp (Ma et al. 2016, eq. 1), its sum and the number to divide it by.

    It equals the negative log-likelihood over two classes whose logits differ by ``logits``.

    Parameters
    ----------
    logits : tensor of shape (N, K, H, W)
        Positive: blurred. The cross entropies of all K outputs are added.
    target : tensor of shape (N, 1, H, W)
        1 blurred, 0 sharp.
    weight : tensor of shape (N, 1, H, W)
        1 known, 0 unknown.
    hardness : tensor of shape (N, 1, H, W), optional
        W of Zhang & Yan 2020, eq. 6. It multiplies, and does not count: weights of 2 everywhere double the mean.

    Returns
    -------
    tuple of tensor
        Sum over examples, outputs and pixels; sum of ``weight``. Float32, whatever the logits are.
    """
    scale = weight if hardness is None else weight * hardness
    target = target.expand(logits.shape)
    return binary_cross_entropy_with_logits(logits.float(), target, scale, reduction="sum"), weight.sum()


def draw_swaps(rng: np.random.Generator, n: int, shape: tuple[int, int], swap_px: int) -> np.ndarray:
    """Two squares of ``swap_px`` px in each of ``n`` examples of a shape (H, W), that do not overlap.

    They are drawn apart along one axis, so at least one side must hold two of them.

    Returns
    -------
    ndarray of shape (n, 4), int64
        Top and left of the one, top and left of the other.
    """
    apart = [axis for axis in (0, 1) if shape[axis] >= 2 * swap_px]
    places = rng.integers(0, np.tile(np.subtract(shape, swap_px), 2) + 1, (n, 4))
    axes = rng.choice(apart, n)
    first, last = np.sort(rng.integers(0, np.take(shape, axes) - 2 * swap_px + 1, (2, n)), axis=0)
    places[np.arange(n), axes], places[np.arange(n), axes + 2] = first, last + swap_px
    return places


def swap(batch: torch.Tensor, places: np.ndarray | torch.Tensor, swap_px: int) -> torch.Tensor:
    """A copy of a batch (N, C, H, W) in which the two squares of each example have changed places. Twice: as before."""
    places = torch.as_tensor(places, device=batch.device)
    steps = torch.arange(swap_px, device=batch.device)
    example = torch.arange(len(batch), device=batch.device)[:, None, None]
    one, other = (
        (example, slice(None), places[:, at, None, None] + steps[:, None], places[:, at + 1, None, None] + steps)
        for at in (0, 2)
    )
    swapped = batch.clone()
    swapped[one], swapped[other] = batch[other], batch[one]
    return swapped


def training_loss(
    model: torch.nn.Module,
    images: torch.Tensor,
    target: torch.Tensor,
    weight: torch.Tensor,
    params: LossParams,
    swaps: np.ndarray | torch.Tensor | None = None,
    hardness: torch.Tensor | None = None,
) -> Pieces:
    """The pieces of the loss of one batch.

    Parameters
    ----------
    model : Module
        Called once, ``model(x, every=...)``, for the images and their swapped copies together: DistributedDataParallel
        needs one call, and batch norm sees both.
    images : tensor of shape (N, C, H, W)
    target, weight, hardness : tensor of shape (N, 1, H, W)
        As in ``blur_loss``.
    params : LossParams
    swaps : ndarray or tensor of shape (N, 4), optional
        From ``draw_swaps``. None: nothing is swapped.
    """
    known, pixels = weight.sum(), torch.tensor(float(target.numel()), device=target.device)
    if swaps is None:
        entropy, _ = blur_loss(model(images, every=params.deep_supervision), target, weight, hardness)
        return Pieces(entropy, known, torch.zeros_like(entropy), pixels)

    def both(batch: torch.Tensor) -> torch.Tensor:
        return torch.cat([batch, swap(batch, swaps, params.swap_px)])

    logits = model(both(images), every=params.deep_supervision)
    hardness = None if hardness is None else both(hardness)
    entropy, _ = blur_loss(logits, both(target), both(weight), hardness)
    before, after = logits[:, :1].float().sigmoid().chunk(2)
    distance = (after - swap(before, swaps, params.swap_px)).abs().sum()
    return Pieces(entropy, known, distance, pixels)
