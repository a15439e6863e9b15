"""Where a run stands, in one file that is whole or not there: after kill -9 only the steps since then are lost."""

from __future__ import annotations

import io
import tomllib
from pathlib import Path

import torch
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat
from torch import nn

from blurgen.dataset.manifest import first_difference
from blurgen.errors import ModelError, TrainingError
from blurgen.files import publish
from blurgen.training.weights import load_strictly, read_pickled

FORMAT = 1


class Progress(BaseModel):
    """Plain numbers of a run: ``step`` steps are done, ``rows`` are the lines of metrics.jsonl so far."""

    model_config = ConfigDict(strict=True, extra="forbid")

    step: int = Field(0, ge=0)
    saved: int = Field(0, ge=0)
    """The step of the last checkpoint."""
    epoch: int = Field(0, ge=0)
    best_loss: float | None = None
    stagnant: int = Field(0, ge=0)
    loss_sum: FiniteFloat = 0.0
    loss_count: int = Field(0, ge=0)
    rows: list[dict[str, int | FiniteFloat | None]] = []
    finished: bool = False


def save(
    path: Path,
    config: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: Progress,
    average: nn.Module | None = None,
) -> None:
    """Publish the state of a run. Raises OutputError, and TrainingError for weights that are no numbers any more."""
    for name, value in model.state_dict().items():
        if not torch.isfinite(value).all():
            raise TrainingError(f"{path.parent}: {name} is no number any more; use a lower --lr, or --amp off")
    buffer = io.BytesIO()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": progress.model_dump()}
    if average:
        state["average"] = average.state_dict()
    torch.save({"format": FORMAT, "config": config, **state}, buffer)
    publish(path, buffer.getvalue())


def restore(
    path: Path,
    config: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: nn.Module | None = None,
) -> Progress:
    """Put the state of a run back into ``model``, ``optimizer`` and ``average``.

    Raises ModelError: damaged, or of a run with another configuration.
    """
    try:
        state = read_pickled(path)
        if state["format"] != FORMAT:
            raise ModelError(f"{path}: of another version of blurgen; start again with another --out")
        what = first_difference(tomllib.loads(state["config"]), tomllib.loads(config))
        if what:
            raise ModelError(f"{path}: of a run with another {what}; give the same options, or another --out")
        load_strictly(model, state["model"], str(path))
        _restore_optimizer(optimizer, state["optimizer"]["state"])
        if average:
            load_strictly(average, state["average"], str(path))
        return Progress(**state["progress"])
    except ModelError:
        raise
    except Exception as error:  # whatever the file is, torch may raise anything for it
        raise ModelError(f"{path}: no checkpoint ({type(error).__name__}); start again with another --out") from None


def _restore_optimizer(optimizer: torch.optim.Optimizer, state: dict[int, dict]) -> None:
    """What the optimizer remembers of each weight; its rates and the like are those of the configuration."""
    weights = [one for group in optimizer.param_groups for one in group["params"]]
    for number, remembered in state.items():
        for name, value in remembered.items():
            if value is not None and (value.shape not in ((), weights[number].shape) or not value.isfinite().all()):
                raise ValueError(name)
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
