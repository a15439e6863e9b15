"""Where a run stands, in one file that is whole or not there: after kill -9 only the steps since then are lost."""

from __future__ import annotations

import io
import tomllib
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import nn

from blurgen.dataset.manifest import first_difference
from blurgen.errors import ModelError
from blurgen.files import publish

FORMAT = 1


@dataclass
class Progress:
    """Plain numbers of a run: ``step`` steps are done, ``rows`` are the lines of metrics.jsonl so far."""

    step: int = 0
    saved: int = 0
    """The step of the last checkpoint."""
    epoch: int = 0
    best_loss: float | None = None
    stagnant: int = 0
    loss_sum: float = 0.0
    loss_count: int = 0
    rows: list[dict] = field(default_factory=list)
    finished: bool = False


def save(path: Path, config: str, model: nn.Module, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
    """Publish the state of a run. Raises OutputError."""
    buffer = io.BytesIO()
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "progress": asdict(progress)}
    torch.save({"format": FORMAT, "config": config, **state}, buffer)
    publish(path, buffer.getvalue())


def restore(path: Path, config: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> Progress:
    """Put the state of a run back into ``model`` and ``optimizer``.

    Raises ModelError: damaged, or of a run with another configuration.
    """
    try:
        state = torch.load(io.BytesIO(path.read_bytes()), map_location="cpu", weights_only=True)
        if state["format"] != FORMAT:
            raise ModelError(f"{path}: of another version of blurgen; start again with another --out")
        if state["config"] != config:
            what = first_difference(tomllib.loads(state["config"]), tomllib.loads(config))
            raise ModelError(f"{path}: of a run with another {what}; give the same options, or another --out")
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        return Progress(**state["progress"])
    except ModelError:
        raise
    except Exception as error:  # whatever the file is, torch may raise anything for it
        raise ModelError(f"{path}: no checkpoint ({type(error).__name__}); start again with another --out") from None
