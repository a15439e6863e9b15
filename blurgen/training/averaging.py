"""The mean of a model's weights over the steps of a run."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def averaged(model: nn.Module, power: float) -> AveragedModel:
    """A copy of ``model`` that becomes the mean of its weights, and of its running statistics, over all steps.

    Polynomial-decay averaging (Shamir and Zhang 2013, "Stochastic gradient descent for non-smooth optimization",
    section 4): late steps count more, roughly as the ``power`` of their number, so the first ones are forgotten however
    long the run is. With 1 the n-th counts n times. After each step: ``update_parameters(model)``; the mean is
    ``module``.
    """

    def approach(means: list[Tensor], values: list[Tensor], steps: Tensor) -> None:
        share = (power + 1) / (float(steps) + power + 1)
        for mean, value in zip(means, values, strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, share)
            else:  # batches counted
                mean.copy_(value)

    return AveragedModel(model, multi_avg_fn=torch.no_grad()(approach), use_buffers=True)
