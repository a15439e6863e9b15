"""From stored pixels to what models see, and from masks to what they are to say."""

from __future__ import annotations

import numpy as np
import torch

from blurgen.channels import FULL_SCALE
from blurgen.targets import UNKNOWN


def to_inputs(images: np.ndarray | torch.Tensor, device: torch.device | str = "cpu") -> torch.Tensor:
    """(N, H, W, C) uint8, uint16 or float32 -> (N, C, H, W) float32 on ``device``; 0 is black, 1 full scale."""
    values = torch.as_tensor(images)
    scale = FULL_SCALE[str(values.dtype).removeprefix("torch.")]
    return values.to(device, non_blocking=True).permute(0, 3, 1, 2).float() / scale


def to_targets(
    masks: np.ndarray | torch.Tensor, device: torch.device | str = "cpu"
) -> tuple[torch.Tensor, torch.Tensor]:
    """(N, H, W) uint8 mask pictures -> target (1 blurred) and weight (0 unknown), each (N, 1, H, W) float32."""
    values = torch.as_tensor(masks).to(device, non_blocking=True)[:, None]
    return (values > UNKNOWN).float(), (values != UNKNOWN).float()
