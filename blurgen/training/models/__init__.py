"""The models by name, all in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from blurgen.errors import ArgumentError
from blurgen.training.models.base import BlurModel
from blurgen.training.models.deeplab import Deeplab
from blurgen.training.models.gradient_unet import GradientUnet
from blurgen.training.models.unet import Unet
from blurgen.training.models.vgg import Dsn, Fcn8s, Fusion, VggFcn

__all__ = ["MODELS", "BlurModel", "build_model"]

MODELS: dict[str, Callable[[int], BlurModel]] = {
    "unet-s": partial(Unet, widths=(32, 64, 128, 224)),
    "unet-xs": partial(Unet, widths=(16, 32, 64, 112)),
    "gradient-unet": GradientUnet,
    "vgg16-fcn": VggFcn,
    "fcn8s": Fcn8s,
    "fusion": Fusion,
    "dsn": Dsn,
    "deeplabv3-resnet101": Deeplab,
}
"""Name -> what builds it for so many channels."""


def build_model(name: str, channels: int) -> BlurModel:
    """A new model, its first weights drawn from torch's global generator.

    Raises
    ------
    ArgumentError
        No such model.
    ModelError
        It takes images of other channels only.
    """
    if name not in MODELS:
        raise ArgumentError(f"{name!r:.40} is no model; choose from {', '.join(MODELS)}")
    return MODELS[name](channels)
