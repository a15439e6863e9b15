"""What a run leaves behind: config.toml, best.safetensors (the same text and the weights), metrics.jsonl."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, ValidationError

from blurgen.errors import ModelError
from blurgen.files import read_plain
from blurgen.params import Params, first_fault, param
from blurgen.training.models import BlurModel, build_model
from blurgen.training.params import MAX_BYTES, TrainingParams
from blurgen.training.weights import load_strictly, read_safetensors

CONFIG_NAME = "config.toml"
BEST_NAME = "best.safetensors"
METRICS_NAME = "metrics.jsonl"
CHECKPOINT_NAME = "last.pt"
CURVES_NAME = "curves.png"
CONFIG_KEY = "blurgen_config"
"""In the metadata of best.safetensors: the text of config.toml."""


class DataFacts(Params):
    """What a run was trained on."""

    shards: list[str] = param([], "", "digest of each data set")
    pairs: int = param(0, "", "pairs trained on", low=0, high=10**12)
    held_out: int = param(0, "", "pairs of other photos, for validation", low=0, high=10**12)
    real: str = param("", "", "sha256 over all photos and human masks of the folder, and what means blurred there")
    real_fraction: float = param(1.0, "", "share of these that was used, but for those held out", low=0, high=1)
    real_photos: int = param(0, "", "photos with human masks trained on", low=0, high=10**12)
    channels: int = param(3, "", "of the images", low=1, high=4096)
    dtype: Literal["uint8", "uint16", "float32"] = param("uint8", "", "of the images")
    processes: int = param(1, "", "that share each batch", low=1, high=10**6)
    products: Literal["float32", "bfloat16"] = param("float32", "", "what products were rounded to")
    seed: int = param(0, "", "of order, augmentation and first weights", low=0, high=2**63 - 1)
    weights: str = param("", "", "sha256 of the file of weights that it began with")
    shuffled_masks: bool = param(False, "", "a control: each image has the mask of another")


class RunConfig(TrainingParams):
    """All that decides the weights."""

    data: DataFacts = Field(default_factory=DataFacts)


def parse_config(text: str, origin: str) -> RunConfig:
    """Raises ModelError, with ``origin`` to name the file."""
    if len(text) > MAX_BYTES:
        raise ModelError(f"{origin}: its configuration is longer than {MAX_BYTES} bytes; refused")
    try:
        return RunConfig.model_validate(tomllib.loads(text))
    except (ValidationError, RecursionError) as error:
        raise ModelError(f"{origin}: {first_fault(RunConfig, error, 'train again')}") from None
    except ValueError as error:
        raise ModelError(f"{origin}: not valid TOML ({error!s:.100}); train again, or get the run again") from None


def read_config(folder: Path) -> RunConfig:
    """config.toml of a run. Raises ModelError."""
    path = folder / CONFIG_NAME
    try:
        return parse_config(read_plain(path).decode(), str(path))
    except (OSError, UnicodeError) as error:
        raise ModelError(f"{path}: can't be read ({getattr(error, 'strerror', error)}); choose another --out") from None


def load_model(path: str | Path, device: torch.device | str = "cpu") -> tuple[BlurModel, RunConfig]:
    """The best model of a run, ready to predict: ``path`` is the folder of the run or its best.safetensors.

    Raises
    ------
    ModelError
        No such file, damaged, of a model that is not known here, or with other weights than that model has.
    """
    path = Path(path)
    file = path / BEST_NAME if path.is_dir() else path
    if not file.exists():
        what = "no such run or file"
        if path.is_dir():
            begun = (path / CONFIG_NAME).exists()
            what = "no model yet: its run ended before the first validation" if begun else f"holds no {BEST_NAME}"
        raise ModelError(f"{path}: {what}; give the folder of a run of `blurgen train`, or its {BEST_NAME}")
    tensors, metadata = read_safetensors(file)
    if CONFIG_KEY not in metadata:
        raise ModelError(f"{file}: says nothing of its model; give the {BEST_NAME} of a run of `blurgen train`")
    config = parse_config(metadata[CONFIG_KEY], str(file))
    model = build_model(config.model, config.data.channels)
    load_strictly(model, tensors, str(file))
    return model.to(device).eval(), config
