"""What decides how a model is trained, validated; with the data it decides the weights. Nothing here imports torch."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError, field_validator, model_validator

from blurgen.errors import ArgumentError
from blurgen.files import open_plain
from blurgen.params import Interval, Params, changed, first_fault, param, suggest, to_toml

MODEL_NAMES = (
    "unet-s",
    "unet-xs",
    "gradient-unet",
    "vgg16-fcn",
    "fcn8s",
    "fusion",
    "dsn",
    "deeplabv3-resnet101",
)


class OptimizerParams(Params):
    """How the weights follow the gradient."""

    kind: Literal["adamw", "adam", "sgd"] = param("adamw", "", "adamw, adam or sgd")
    lr: float = param(2e-3, "", "learning rate, after the warm-up", low=1e-9, high=10)
    lr_end: float = param(0.0, "", "learning rate that the schedule ends with", low=0, high=10)
    schedule: Literal["constant", "cosine", "polynomial"] = param("cosine", "", "constant, cosine or polynomial")
    power: float = param(0.9, "", "polynomial: exponent of what is left of the run", low=0.1, high=10)
    warmup_share: float = param(0.05, "of the steps", "in which the rate rises linearly from 0", low=0, high=0.9)
    weight_decay: float = param(1e-4, "", "added to the gradient; in adamw apart from it", low=0, high=1)
    momentum: float = param(0.9, "", "sgd: momentum; adam, adamw: first beta", low=0, high=0.999)
    averaging: float = param(
        0.0, "", "power by which late steps count in the mean of the weights; 0: no mean", low=0, high=64
    )
    bias_lr_factor: float = param(1.0, "", "learning rate of biases, relative to that of weights", low=0, high=100)


class BatchParams(Params):
    """Which examples make a step, and how many steps there are."""

    size: int = param(16, "examples", "of a step, over all processes", low=1, high=65536)
    steps: int = param(0, "", "length of the run; 0: by epochs", low=0, high=10**9)
    epochs: int = param(20, "", "length of the run, unless steps are given", low=1, high=10**6)
    steps_per_epoch: int = param(0, "", "0: an epoch is once through all examples", low=0, high=10**6)
    patience: int = param(0, "epochs", "stop after so many that lower no validation loss; 0: never", low=0, high=10**6)
    val_share: float = param(0.1, "of the photos", "held out for validation; 0: none", low=0, high=0.9)
    max_val: int = param(256, "examples", "most that a validation takes, of all held out", low=1, high=10**6)


class AugmentParams(Params):
    """How an example is changed each time that it is seen."""

    size: str = param("128x128", "px", "HEIGHTxWIDTH that the model is trained on")
    crop: Literal["exact", "scaled"] = param(
        "exact", "", "exact: a window of that size, pixels as they are; scaled: one of a drawn area, stretched to it"
    )
    crop_area_range: Interval = param((1.0, 1.0), "of the example", "scaled: area of the window", low=0.01, high=1)
    p_flip: float = param(0.5, "", "probability of a mirror image", low=0, high=1)
    p_turn: float = param(0.0, "", "exact: probability of a turn by 90, 180 or 270 degrees", low=0, high=1)
    rotate_deg_range: Interval = param((0.0, 0.0), "deg", "scaled: rotation", low=-180, high=180)
    shear_deg_range: Interval = param((0.0, 0.0), "deg", "scaled: horizontal shear", low=-45, high=45)
    scale_range: Interval = param((1.0, 1.0), "", "scaled: magnification", low=0.25, high=4)
    shift_range: Interval = param((0.0, 0.0), "of the side", "scaled: shift of the window", low=-0.5, high=0.5)
    brightness: float = param(0.0, "", "factor drawn from 1 - x to 1 + x", low=0, high=0.95)
    contrast: float = param(0.0, "", "factor drawn from 1 - x to 1 + x, about the mean grey", low=0, high=0.95)
    saturation: float = param(0.0, "", "factor drawn from 1 - x to 1 + x", low=0, high=1)
    hue_deg: float = param(0.0, "deg", "turn of the hues drawn from -x to x", low=0, high=180)
    p_jpeg: float = param(0.0, "", "probability of a JPEG compression, after the window is cut", low=0, high=1)
    jpeg_quality_range: Interval = param((30.0, 95.0), "", "of that compression", low=1, high=100)

    @field_validator("size")
    @classmethod
    def _is_size(cls, value: str) -> str:
        found = re.fullmatch(r"([1-9]\d{0,3})(?:x([1-9]\d{0,3}))?", value)
        if not found or not all(32 <= int(side) <= 4096 for side in found.groups(found[1])):
            raise ValueError(f"{value!r:.20} is no size: give 128 or 128x96, sides from 32 to 4096 px")
        return "x".join(str(int(side)) for side in found.groups(found[1]))

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width, px."""
        height, width = self.size.split("x")
        return int(height), int(width)


class LossParams(Params):
    """What is minimised: cross entropy of blurred against sharp, and what is added to it."""

    swap_px: int = param(0, "px", "side of patches swapped in a copy of each example; 0: none", low=0, high=512)
    consistency: float = param(0.2, "", "weight of the L1 distance of swapped predictions", low=0, high=100)
    hard_weight: float = param(1.0, "", "weight where saliency and sharpness disagree", low=1, high=100)
    deep_supervision: bool = param(True, "", "fusion, dsn: side outputs are trained too, where the model has them")


class TrainingParams(Params):
    """Everything that decides the weights, bar the data, the seed and the device."""

    name: str = param("custom", "", "what this preset is called")
    model: Literal[MODEL_NAMES] = param("unet-s", "", "which model")
    optimizer: OptimizerParams = Field(default_factory=OptimizerParams)
    batch: BatchParams = Field(default_factory=BatchParams)
    augment: AugmentParams = Field(default_factory=AugmentParams)
    loss: LossParams = Field(default_factory=LossParams)

    @field_validator("name")
    @classmethod
    def _is_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}", value):
            raise ValueError("letters, digits, dots, - and _ only, 64 at most: it names the folder of a run")
        return value

    @field_validator("model", mode="before")
    @classmethod
    def _is_model(cls, value: object) -> object:
        if value not in MODEL_NAMES:
            raise ValueError(f'no model "{value!s:.40}"; {suggest(str(value), list(MODEL_NAMES))}')
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> TrainingParams:
        if self.loss.swap_px and 2 * self.loss.swap_px > max(self.augment.shape):
            raise ValueError("loss.swap_px: two patches don't fit side by side into augment.size; lower it")
        if self.loss.swap_px > min(self.augment.shape):
            raise ValueError("loss.swap_px: a patch doesn't fit into augment.size; lower it")
        return self

    def with_values(self, changes: dict, origin: str = "options") -> TrainingParams:
        """A copy with dotted keys changed, e.g. ``{"batch.size": 8}``; validated."""
        try:
            return training_from(changed(self, changes), origin)
        except ValueError as error:
            raise ArgumentError(f"{origin}: {error}") from None

    def to_toml(self) -> str:
        """TOML that reads back as these parameters."""
        return to_toml(self)


def training_from(values: dict, origin: str) -> TrainingParams:
    """The parameters of these values, by section. Raises ArgumentError, with ``origin`` to name them."""
    try:
        return TrainingParams.model_validate(values)
    except (ValidationError, RecursionError) as error:
        fault = first_fault(TrainingParams, error, "start from a preset")
        raise ArgumentError(f"{origin}: {fault}") from None


PRESETS = {
    # Chosen by what models find in real photos: docs/recipes.md.
    "default": TrainingParams(
        name="default",
        optimizer=OptimizerParams(lr=4e-3, schedule="constant", averaging=3.0, weight_decay=0.02),
        batch=BatchParams(steps=3000),
        augment=AugmentParams(size="96x96", brightness=0.3, contrast=0.3),
    ),
    # Alvarez-Gila et al. 2019, section 3.2; numbers that the text leaves out are those of the released configuration,
    # but for the ranges of the affine maps, of colour and of JPEG, which are ours.
    "alvarez-gila-2019": TrainingParams(
        name="alvarez-gila-2019",
        model="deeplabv3-resnet101",
        optimizer=OptimizerParams(kind="adam", lr=1e-5, weight_decay=5e-4, schedule="constant", warmup_share=0.0),
        batch=BatchParams(size=18, epochs=500, steps_per_epoch=40, patience=20, val_share=0.2),
        augment=AugmentParams(
            size="224x224",
            crop="scaled",
            crop_area_range=(0.6, 1.0),
            rotate_deg_range=(-15.0, 15.0),
            shear_deg_range=(-8.0, 8.0),
            scale_range=(0.9, 1.1),
            shift_range=(-0.05, 0.05),
            brightness=0.3,
            contrast=0.3,
            saturation=0.3,
            hue_deg=18.0,
            p_jpeg=0.5,
        ),
    ),
    # Ma et al. 2016, section 4.1: no augmentation, whole images. Its eq. 1 is a sum over pixels, but a rate of 2^-10
    # makes sense for a mean only, which is taken here. It keeps the last weights, here
    # those of the lowest validation loss are kept.
    "ma-2016": TrainingParams(
        name="ma-2016",
        model="vgg16-fcn",
        optimizer=OptimizerParams(
            kind="sgd",
            lr=2.0**-10,
            schedule="polynomial",
            power=0.9,
            warmup_share=0.0,
            weight_decay=5e-4,
            bias_lr_factor=2.0,
        ),
        batch=BatchParams(size=3, steps=10_000),
        augment=AugmentParams(size="384x384", crop="scaled", p_flip=0.0),
    ),
    # Zhang & Yan 2020, section 4.1 (patches of 16 px; 64 in section 3.2). Range of rotation and decay are not printed.
    "zhang-2020": TrainingParams(
        name="zhang-2020",
        model="gradient-unet",
        optimizer=OptimizerParams(
            kind="adam",
            lr=2e-5,
            lr_end=2e-6,
            schedule="polynomial",
            power=1.0,
            warmup_share=0.0,
            weight_decay=5e-4,
        ),
        batch=BatchParams(size=64, epochs=2000),
        augment=AugmentParams(size="320x320", crop="scaled", rotate_deg_range=(-10.0, 10.0)),
        loss=LossParams(swap_px=16, consistency=0.2, hard_weight=2.0),
    ),
}
"""The published systems, and the default."""


MAX_BYTES = 20_000
"""Of a TOML file: tomllib takes seconds for deep keys, growing with the square of them."""


def load_preset(name_or_file: str) -> TrainingParams:
    """A preset by its name, or any other parameters by a TOML file, such as the config.toml of a run.

    Raises ArgumentError: no such preset, not TOML, or a key that is unknown, of the wrong type or out of range.
    """
    if name_or_file in PRESETS:
        return PRESETS[name_or_file]
    path = Path(name_or_file)
    if path.suffix != ".toml":
        raise ArgumentError(f'no preset "{name_or_file}": {suggest(name_or_file, list(PRESETS))}, or give a TOML file')
    try:
        with open_plain(path) as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ArgumentError(f"{path}: longer than {MAX_BYTES} bytes, so no preset; give the config.toml of a run")
        values = tomllib.loads(data.decode())
    except OSError as error:
        reason = error.strerror or error
        raise ArgumentError(f"{path}: can't be read ({reason}); known presets: {', '.join(PRESETS)}") from None
    except (ValueError, RecursionError) as error:
        raise ArgumentError(f"{path}: not valid TOML ({error!s:.100}); take the config.toml of a run") from None
    values.pop("data", None)  # what a run was trained on is no parameter
    return training_from(values, str(path))
