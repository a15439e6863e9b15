"""VGG16 made fully convolutional (Ma et al. 2016, section 3.2) and its relatives with finer side outputs.

The keys of the backbone are those of torchvision's vgg16, so its weights fit.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from blurgen.training.models.base import BlurModel, ImageNetInput, upsampled

WIDTHS = (64, 128, 256, 512, 512)
CONVOLUTIONS = (2, 2, 3, 3, 3)
"""Of each stage; a pooling by two lies between stages."""

_STAGES_REACH_PX = sum(count << stage for stage, count in enumerate(CONVOLUTIONS))  # all 3x3, on grids of 2**stage px


def _bilinear_reach_px(factor: int) -> int:
    """From a pixel to the far end of the cells that it is interpolated from."""
    return factor + factor // 2 - 1


class _Vgg(BlurModel):
    """The backbone; ``stages`` gives the features right before each pooling."""

    foreign = ("classifier.",)

    def __init__(self, name: str, channels: int) -> None:
        super().__init__(channels)
        self.normalise = ImageNetInput(name, channels)
        self.features = nn.Sequential(*_layers())

    def stages(self, x: Tensor) -> list[Tensor]:
        """conv1_2 to conv5_3, each after its ReLU, at 1/1 to 1/16 of the resolution."""
        x, found = self.normalise(x), []
        for layer in self.features:
            if isinstance(layer, nn.MaxPool2d):
                found.append(x)
            x = layer(x)
        return [*found, x]


def _layers() -> list[nn.Module]:
    """Numbered as in torchvision, up to conv5_3: pool5 and what follows are left out."""
    layers, inputs = [], 3
    for width, count in zip(WIDTHS, CONVOLUTIONS, strict=True):
        for _ in range(count):
            convolution = nn.Conv2d(inputs, width, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
            nn.init.zeros_(convolution.bias)
            layers += [convolution, nn.ReLU(inplace=True)]
            inputs = width
        layers.append(nn.MaxPool2d(2))
    return layers[:-1]


class VggFcn(_Vgg):
    """One score of conv5_3, upsampled 16 times by fixed bilinear interpolation: the model of the paper."""

    reach_px = _STAGES_REACH_PX + _bilinear_reach_px(16)
    multiple_px = 16
    head = ("score.",)

    def __init__(self, channels: int) -> None:
        super().__init__("vgg16-fcn", channels)
        self.score = nn.Conv2d(WIDTHS[-1], 1, 1)

    def outputs(self, x: Tensor, every: bool) -> Tensor:
        return upsampled(self.score(self.stages(x)[-1]), 16)


class Fcn8s(_Vgg):
    """FCN-8s (Long et al. 2015): the whole VGG16, its fully connected layers as convolutions, and skip layers.

    134 million parameters, most of them in the first of those layers. It is padded by 3 cells instead of the image by
    100 px; pool3 and pool4 are not rescaled.
    """

    reach_px = _STAGES_REACH_PX + 3 * 32 + 32 + 16 + _bilinear_reach_px(8)
    multiple_px = 32
    head = ("score.", "score_pool4.", "score_pool3.")
    foreign = ("classifier.6.",)

    def __init__(self, channels: int) -> None:
        super().__init__("fcn8s", channels)
        self.pool = nn.MaxPool2d(2)
        self.classifier = nn.Sequential(  # numbered as in torchvision
            nn.Conv2d(WIDTHS[-1], 4096, 7, padding=3),
            nn.ReLU(inplace=True),
            nn.Dropout2d(0.5),
            nn.Conv2d(4096, 4096, 1),
            nn.ReLU(inplace=True),
            nn.Dropout2d(0.5),
        )
        self.score = nn.Conv2d(4096, 1, 1)
        self.score_pool4 = nn.Conv2d(WIDTHS[3], 1, 1)
        self.score_pool3 = nn.Conv2d(WIDTHS[2], 1, 1)

    def adapted(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Fully connected layers see 7 x 7 cells, so they are convolutions of that size."""
        shapes = {"classifier.0.weight": (4096, 512, 7, 7), "classifier.3.weight": (4096, 4096, 1, 1)}
        flat = {"classifier.0.weight": (4096, 512 * 7 * 7), "classifier.3.weight": (4096, 4096)}
        return {
            key: value.reshape(shapes[key]) if tuple(value.shape) == flat.get(key) else value
            for key, value in tensors.items()
        }

    def outputs(self, x: Tensor, every: bool) -> Tensor:
        *_, third, fourth, fifth = self.stages(x)
        scores = upsampled(self.score(self.classifier(self.pool(fifth))), 2)
        scores = upsampled(scores + self.score_pool4(self.pool(fourth)), 2)
        return upsampled(scores + self.score_pool3(self.pool(third)), 8)


class Fusion(_Vgg):
    """Weighted fusion of five side outputs, conv1_2 to conv5_3 (Xie and Tu 2015)."""

    name = "fusion"
    reach_px = VggFcn.reach_px
    multiple_px = 16
    head = ("sides.", "fuse.")

    def __init__(self, channels: int) -> None:
        super().__init__(self.name, channels)
        self.sides = nn.ModuleList(nn.Conv2d(width, 1, 1) for width in WIDTHS)
        self.fuse = nn.Conv2d(len(WIDTHS), 1, 1, bias=False)
        nn.init.constant_(self.fuse.weight, 1 / len(WIDTHS))

    def side_outputs(self, x: Tensor) -> Tensor:
        """(N, 5, H, W), from the shallowest to the deepest."""
        scores = (side(stage) for side, stage in zip(self.sides, self.stages(x), strict=True))
        return torch.cat([upsampled(score, 1 << stage) for stage, score in enumerate(scores)], dim=1)

    def outputs(self, x: Tensor, every: bool) -> Tensor:
        return self.fuse(self.side_outputs(x))


class Dsn(Fusion):
    """The same, deeply supervised: each side output is trained as well."""

    name = "dsn"

    def outputs(self, x: Tensor, every: bool) -> Tensor:
        sides = self.side_outputs(x)
        fused = self.fuse(sides)
        return torch.cat([fused, sides], dim=1) if every else fused
