"""The mean of a model's weights over the steps of a run."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def take_in(mean: nn.Module, model: nn.Module, step: int, power: float) -> None:
    """Make ``mean`` the mean of the weights, and of the running statistics, of ``model`` after steps 0 to ``step``.

    Polynomial-decay averaging (Shamir and Zhang 2013, "Stochastic gradient descent for non-smooth optimization",
    section 4): late steps count more, roughly as the ``power`` of their number, so the first ones are forgotten however
    long the run is. With 1 the n-th counts n times. ``mean`` may be anything before step 0.
    """
    share = (power + 1) / (step + power + 1)
    for one, other in zip(mean.state_dict().values(), model.state_dict().values(), strict=True):
        if one.is_floating_point():
            one.lerp_(other, share)
        else:  # batches counted
            one.copy_(other)
