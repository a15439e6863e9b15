"""The optimizer, and the learning rate of each step."""

from __future__ import annotations

import math

import torch
from torch import nn

from blurgen.training.params import OptimizerParams


def build_optimizer(model: nn.Module, params: OptimizerParams) -> torch.optim.Optimizer:
    """AdamW, Adam or SGD. Biases are a group of their own (their rate may be another one)."""
    named = [(name, one) for name, one in model.named_parameters() if one.requires_grad]
    groups = [
        {"params": [one for name, one in named if name.endswith("bias") == biases], "factor": factor}
        for biases, factor in ((False, 1.0), (True, params.bias_lr_factor))
    ]
    common = {"lr": params.lr, "weight_decay": params.weight_decay}
    if params.kind == "sgd":
        return torch.optim.SGD(groups, momentum=params.momentum, **common)
    kind = torch.optim.AdamW if params.kind == "adamw" else torch.optim.Adam
    return kind(groups, betas=(params.momentum, 0.999), **common)


def lr_at(step: int, total: int, params: OptimizerParams) -> float:
    """Learning rate of step 0 to ``total`` - 1: linear warm-up, then the schedule, down to ``lr_end``.

    Polynomial decay as in Ma et al. 2016, section 4.1: (1 - step / total) ** power.
    """
    warm = round(params.warmup_share * total)
    if step < warm:
        return params.lr * (step + 1) / (warm + 1)
    left = 1 - (step - warm) / max(1, total - warm)
    shape = {"constant": 1.0, "cosine": (1 - math.cos(math.pi * left)) / 2, "polynomial": left**params.power}
    return params.lr_end + (params.lr - params.lr_end) * shape[params.schedule]


def set_lr(optimizer: torch.optim.Optimizer, lr: float) -> None:
    """Set the rate of every group, times its own factor."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["factor"]
