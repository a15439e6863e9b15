"""Train the contour detector that ships with the package (``python -m blurgen.training.proposals contours``).

The target of a pixel is the share of annotators with a border near it. The trained network is turned into whole numbers
(8 bits a weight, 8 bits an activation) that ``blurgen.proposals.network`` runs exactly. Same photos, arguments and
build of torch: the same file.

Source: architecture: Ronneberger, Fischer, Brox, "U-Net: convolutional networks for biomedical image segmentation",
MICCAI 2015. Photos: Arbelaez, Maire, Fowlkes, Malik, "Contour detection and hierarchical image segmentation",
TPAMI 2011 (BSDS500).
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from blurgen.proposals.network import LAYERS, MULTIPLE_PX, pack
from blurgen.training.proposals.bsds import Example

_CROP_PX = 240
_BATCH = 8
_LEARNING_RATE = 3e-3
_SCALE_RANGE = (0.4, 1.25)
_BORDER_SIGMA_PX = 1.0
_P_GREY = 0.15
_CALIBRATION_SHARE = 0.9999  # of the activations of a layer that its 8 bits hold; what is above is cut off


class ContourNet(nn.Module):
    """The network of ``LAYERS`` in floating point, with batch normalisation, for training."""

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.ModuleDict(
            {
                name: nn.Conv2d(layer.inputs, layer.outputs, 3, padding=1, bias=name == "out")
                for name, layer in LAYERS.items()
            }
        )
        self.norms = nn.ModuleDict(
            {name: nn.BatchNorm2d(layer.outputs) for name, layer in LAYERS.items() if name != "out"}
        )

    def forward(self, lab: torch.Tensor) -> torch.Tensor:
        """(N, 3, H, W) in [-1, 1], sides multiples of 16 -> logits (N, H, W)."""
        return self.activations(lab)["out"]

    def activations(self, lab: torch.Tensor) -> dict[str, torch.Tensor]:
        """The output of every layer."""
        found = {"input": functional.pixel_unshuffle(lab, 2)}
        for name, layer in LAYERS.items():
            parts = [_resample(found[source], how) for source, how in layer.sources]
            value = self.convolutions[name](torch.cat(parts, dim=1))
            found[name] = value if name == "out" else functional.relu(self.norms[name](value))
        found["out"] = functional.pixel_shuffle(found["out"], 2)[:, 0]
        return found


def _resample(value: torch.Tensor, how: str) -> torch.Tensor:
    if how == "down":
        return functional.max_pool2d(value, 2)
    return functional.interpolate(value, scale_factor=2) if how == "up" else value


def draw_crop(example: Example, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A random window, scaled, turned and recoloured: Lab (3, S, S) float32 in [-1, 1] and target (S, S) float32."""
    height, width = example.photo.shape[:2]
    scale = np.exp(rng.uniform(*np.log(_SCALE_RANGE)))
    side = min(int(np.ceil(_CROP_PX / scale)), height, width)
    top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    window = (slice(top, top + side), slice(left, left + side))
    turns, mirrored = int(rng.integers(4)), bool(rng.integers(2))
    photo = cv2.resize(example.photo[window], (_CROP_PX, _CROP_PX), interpolation=cv2.INTER_AREA)
    chosen = [
        cv2.resize(one[window], (_CROP_PX, _CROP_PX), interpolation=cv2.INTER_NEAREST) for one in example.segments
    ]
    target = np.mean([_nearness(segments) for segments in chosen], axis=0)
    lab = _recolour(photo, rng)
    if mirrored:
        lab, target = lab[:, ::-1], target[:, ::-1]
    return np.rot90(lab, turns).transpose(2, 0, 1).copy(), np.rot90(target, turns).copy()


def _nearness(segments: np.ndarray) -> np.ndarray:
    """1 on both sides of a border, falling off as a Gaussian: (H, W) float32."""
    far = np.ones(segments.shape, np.uint8)
    down, right = segments[:-1] != segments[1:], segments[:, :-1] != segments[:, 1:]
    far[:-1][down] = far[1:][down] = far[:, :-1][right] = far[:, 1:][right] = 0
    if far.all():
        return np.zeros(segments.shape, np.float32)
    distance = cv2.distanceTransform(far, cv2.DIST_L2, 3)
    return np.exp(distance**2 / np.float32(-2 * _BORDER_SIGMA_PX**2))


def _recolour(photo: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Change brightness, contrast and colour a little: Lab (H, W, 3) float32 in [-1, 1]."""
    lab = to_lab(photo)
    gain, offset, chroma = rng.uniform(0.7, 1.3), rng.uniform(-0.15, 0.15), rng.uniform(0.6, 1.4)
    grey = rng.random() < _P_GREY
    lab = lab * np.float32([gain, *[0 if grey else chroma] * 2]) + np.float32([offset, 0, 0])
    return np.clip(lab, -1, 1).astype(np.float32)


def to_lab(photo: np.ndarray) -> np.ndarray:
    """RGB uint8 -> 8-bit CIE Lab of OpenCV, moved to [-1, 1]: (H, W, 3) float32."""
    return (cv2.cvtColor(photo, cv2.COLOR_RGB2LAB).astype(np.float32) - 128) / 128


def train(examples: list[Example], steps: int, seed: int) -> ContourNet:
    """Fit the network: Adam, one cycle of the learning rate, cross entropy with the share of annotators."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = ContourNet().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), lr=_LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, steps, pct_start=0.1)
    bar = tqdm(range(steps), desc="contours", unit="step")
    recent = 0.0
    for _ in bar:
        batch = [draw_crop(examples[int(rng.integers(len(examples)))], rng) for _ in range(_BATCH)]
        lab, target = (torch.from_numpy(np.stack(parts)) for parts in zip(*batch, strict=True))
        lab = lab.contiguous(memory_format=torch.channels_last)
        loss = functional.binary_cross_entropy_with_logits(network(lab), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        recent = 0.99 * recent + 0.01 * loss.item() if recent else loss.item()
        bar.set_postfix(loss=f"{recent:.4f}", refresh=False)
    return network.eval()


@torch.no_grad()
def quantize(network: ContourNet, examples: list[Example]) -> bytes:
    """Whole-number weights of the trained network; the range of each layer is read off the training photos."""
    tops = dict.fromkeys(LAYERS, 0.0)
    for example in examples:
        height, width = (side // MULTIPLE_PX * MULTIPLE_PX for side in example.photo.shape[:2])
        lab = torch.from_numpy(to_lab(example.photo[:height, :width]).transpose(2, 0, 1).copy())[None]
        for name, values in network.activations(lab).items():
            if name in tops:
                tops[name] = max(tops[name], float(np.quantile(np.abs(values.numpy()), _CALIBRATION_SHARE)))
    weights = {}
    for name in LAYERS:
        weight = network.convolutions[name].weight.double().numpy()
        if name == "out":
            bias = network.convolutions[name].bias.double().numpy()
        else:
            norm = network.norms[name]
            gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).double().numpy()
            bias = (norm.bias - norm.running_mean * torch.from_numpy(gain)).double().numpy()
            weight = weight * gain[:, None, None, None]
        weights[name] = (weight, bias, np.ceil(tops[name] * 16) / 16)  # coarse, since its last bits depend on the build
    return pack(weights)


def train_contours(examples: list[Example], steps: int, seed: int) -> bytes:
    """The bytes of a trained and rounded network. On one thread: another number may add in another order."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    cv2.setNumThreads(1)
    return quantize(train(examples, steps, seed), examples)
