"""DeepLabv3 on ResNet-101 (Chen et al. 2017), its parts named as in torchvision so that torchvision's weights fit."""

from __future__ import annotations

from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from blurgen.training.models.base import BlurModel, ImageNetInput

BLOCKS = (3, 4, 23, 3)
RATES = (12, 24, 36)
"""Of the atrous convolutions of the pyramid, at 1/8 of the resolution."""
CLASSES = 2  # sharp, blurred


class Deeplab(BlurModel):
    """Two classes; the logit is their difference, for which sigmoid cross entropy is the NLL over the two.

    It sees the mean over the whole image, so it knows no reach.
    """

    head = ("classifier.4.",)
    foreign = ("aux_classifier.",)
    least_batch = 2

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.normalise = ImageNetInput("deeplabv3-resnet101", channels)
        self.backbone = _resnet101()
        self.classifier = nn.Sequential(
            _Pyramid(2048, 256),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            nn.BatchNorm2d(256),
            nn.ReLU(),
            nn.Conv2d(256, CLASSES, 1),
        )

    def scores(self, x: Tensor) -> Tensor:
        """(N, 3, H, W), normalised -> (N, classes, H, W)."""
        return F.interpolate(self.classifier(self.backbone(x)), size=x.shape[-2:], mode="bilinear", align_corners=False)

    def outputs(self, x: Tensor, every: bool) -> Tensor:
        sharp, blurred = self.scores(self.normalise(x)).split(1, dim=1)
        return blurred - sharp


def _resnet101() -> nn.Sequential:
    """Up to its last stage; the last two are dilated instead of strided, so 1/8 of the resolution is left."""
    stages = OrderedDict(
        conv1=nn.Conv2d(3, 64, 7, 2, 3, bias=False),
        bn1=nn.BatchNorm2d(64),
        relu=nn.ReLU(inplace=True),
        maxpool=nn.MaxPool2d(3, 2, 1),
        layer1=_stage(64, 64, BLOCKS[0]),
        layer2=_stage(256, 128, BLOCKS[1], stride=2),
        layer3=_stage(512, 256, BLOCKS[2], dilation=2),
        layer4=_stage(1024, 512, BLOCKS[3], dilation=4),
    )
    backbone = nn.Sequential(stages)
    for part in backbone.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.kaiming_normal_(part.weight, mode="fan_out", nonlinearity="relu")
    return backbone


def _stage(inputs: int, width: int, blocks: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Blocks of equal resolution. The first one still has the dilation of the stage before."""
    first = _Bottleneck(inputs, width, stride, max(1, dilation // 2))
    return nn.Sequential(first, *(_Bottleneck(4 * width, width, 1, dilation) for _ in range(blocks - 1)))


class _Bottleneck(nn.Module):
    """1x1, 3x3, 1x1, added to what came in (He et al. 2016; the stride is on the 3x3)."""

    def __init__(self, inputs: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        outputs = 4 * width
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outputs, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        else:
            self.downsample = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        y = self.relu(self.bn1(self.conv1(x)))
        y = self.relu(self.bn2(self.conv2(y)))
        return self.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class _Pyramid(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, three dilated 3x3 and the mean over the image, side by side."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(
            [
                _unit(inputs, width),
                *(_unit(inputs, width, rate) for rate in RATES),
                nn.Sequential(nn.AdaptiveAvgPool2d(1), *_unit(inputs, width)),
            ]
        )
        self.project = nn.Sequential(*_unit(width * len(self.convs), width), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        *local, mean = (branch(x) for branch in self.convs)
        # Interpolated from one cell: constant, but for rounding, by which torchvision's differs from an expansion.
        mean = F.interpolate(mean, size=x.shape[-2:], mode="bilinear", align_corners=False)
        return self.project(torch.cat([*local, mean], dim=1))


def _unit(inputs: int, outputs: int, rate: int = 0) -> nn.Sequential:
    """1x1, or 3x3 at a rate; batch norm, ReLU."""
    size = 3 if rate else 1
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, size, padding=rate, dilation=rate or 1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
