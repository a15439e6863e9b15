"""The training loop, whole: what is done in a step, and what is written when."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from blurgen.engines import is_quiet
from blurgen.errors import TrainingError
from blurgen.files import publish
from blurgen.training import checkpoint
from blurgen.training.batches import Schedule
from blurgen.training.checkpoint import Progress
from blurgen.training.examples import Examples
from blurgen.training.inputs import to_inputs, to_targets
from blurgen.training.loader import Batch
from blurgen.training.losses import draw_swaps, training_loss
from blurgen.training.optimizing import lr_at, set_lr
from blurgen.training.processes import Process
from blurgen.training.run import BEST_NAME, CHECKPOINT_NAME, CONFIG_KEY, METRICS_NAME, RunConfig, config_text
from blurgen.training.validating import baseline_auc, validate
from blurgen.training.watching import Watching
from blurgen.training.weights import write_safetensors

CHECK_EVERY = 10
"""Steps after which the loss is looked at. A GPU must finish its work for it, so not after each."""


@dataclass
class Fit:
    """Everything that a run needs, put together by ``train_model``."""

    out: Path
    config: RunConfig
    model: nn.Module
    optimizer: torch.optim.Optimizer
    progress: Progress
    examples: Examples
    schedule: Schedule
    process: Process
    autocast: Callable
    total: int
    checkpoint_every: int
    watch: Watching
    fresh: tuple[str, ...] = ()
    waited: float = 0.0

    @property
    def steps_per_epoch(self) -> int:
        return self.config.batch.steps_per_epoch or self.schedule.steps_per_pass


def fit(run: Fit, forward: nn.Module, loader: Iterator[Batch]) -> None:
    """Train until the last step, or until the validation loss stagnates. ``forward`` is the model as it is called:
    compiled, or spread over processes. Raises TrainingError when the loss is no number."""
    progress, params = run.progress, run.config
    recent = torch.zeros(2, dtype=torch.float64, device=run.process.device)  # sum and count of losses not yet looked at
    with _bar(run) as bar:
        while progress.step < run.total and not progress.finished:
            before = time.perf_counter()
            batch = next(loader)
            run.waited += time.perf_counter() - before
            set_lr(run.optimizer, lr_at(progress.step, run.total, params.optimizer))
            loss = train_step(run, forward, batch)
            recent += torch.stack([loss.detach().double(), torch.ones_like(loss, dtype=torch.float64)])
            progress.step += 1
            bar.update(params.batch.size)
            ends = progress.step % run.steps_per_epoch == 0 or progress.step == run.total
            saves = ends or progress.step % run.checkpoint_every == 0
            if saves or progress.step % CHECK_EVERY == 0:
                _look(run, recent, bar)
            if ends:
                end_epoch(run)
            if saves and run.process.leads:
                save(run)
    progress.finished = True
    if run.process.leads:
        save(run)


def train_step(run: Fit, forward: nn.Module, batch: Batch) -> torch.Tensor:
    """One step on this process's share of the batch. Returns the loss of the whole batch."""
    process, params = run.process, run.config.loss
    torch.manual_seed(run.schedule.noise_seed(run.progress.step, process.rank))
    images = to_inputs(batch.images, process.device)
    target, weight = to_targets(batch.masks, process.device)
    hardness = None if batch.hardness is None else batch.hardness.to(process.device, non_blocking=True)[:, None]
    rng = np.random.default_rng(run.schedule.noise_seed(run.progress.step, process.rank))
    swaps = draw_swaps(rng, len(batch), images.shape[2:], params.swap_px) if params.swap_px else None
    with run.autocast():
        pieces = training_loss(forward, images, target, weight, params, swaps, hardness)
    known, pixels = process.mean(torch.stack([pieces.known, pieces.pixels]))
    loss = pieces._replace(known=known, pixels=pixels).loss(params.consistency)
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    run.optimizer.step()
    return process.mean(loss.detach().clone())


def _look(run: Fit, recent: torch.Tensor, bar: tqdm) -> None:
    """Take the losses of the last steps to the progress. Raises TrainingError if one is no number."""
    total, count = recent.tolist()
    recent.zero_()
    if not math.isfinite(total):
        raise TrainingError(
            f"{run.out}: the loss is no number any more, at step {run.progress.step} or just before; "
            "use a lower --lr, or --amp off"
        )
    run.progress.loss_sum += total
    run.progress.loss_count += int(count)
    if count:
        bar.set_postfix(loss=f"{total / count:.4f}", refresh=False)


def end_epoch(run: Fit) -> None:
    """Validate, keep the best weights, and see whether to stop."""
    progress = run.progress
    scores = validate(run.model, run.examples, run.process, run.autocast)
    progress.epoch += 1
    row = {"step": progress.step, "epoch": progress.epoch, "loss": progress.loss_sum / max(1, progress.loss_count)}
    row |= {"lr": lr_at(progress.step - 1, run.total, run.config.optimizer)} | scores
    if progress.rows:
        row |= {name: value for name, value in progress.rows[0].items() if name == "laplacian_auc"}
    else:
        row |= baseline_auc(run.examples, run.process)
    progress.rows.append(row)
    progress.loss_sum, progress.loss_count = 0.0, 0
    loss = scores.get("val_loss")
    better = loss is None or progress.best_loss is None or loss < progress.best_loss
    progress.stagnant = 0 if better else progress.stagnant + 1
    if loss is not None and not math.isfinite(loss):
        raise TrainingError(f"{run.out}: the validation loss is no number, at step {progress.step}; use a lower --lr")
    if better:
        progress.best_loss = loss
        if run.process.leads:
            tensors = {name: value.cpu().contiguous() for name, value in run.model.state_dict().items()}
            write_safetensors(run.out / BEST_NAME, tensors, {CONFIG_KEY: config_text(run.config)})
    progress.finished = bool(run.config.batch.patience) and progress.stagnant >= run.config.batch.patience
    if run.process.leads:
        write_metrics(run)


def write_metrics(run: Fit) -> None:
    """metrics.jsonl and what is drawn from it."""
    lines = "".join(json.dumps(row) + "\n" for row in run.progress.rows)
    publish(run.out / METRICS_NAME, lines.encode())
    run.watch(run.progress.rows)


def save(run: Fit) -> None:
    """The checkpoint."""
    checkpoint.save(run.out / CHECKPOINT_NAME, config_text(run.config), run.model, run.optimizer, run.progress)


@contextmanager
def _bar(run: Fit) -> Iterator[tqdm]:
    """Examples done, their rate, the loss, and how long it will take."""
    size = run.config.batch.size
    quiet = is_quiet(True) or not run.process.leads
    with tqdm(
        total=run.total * size, initial=run.progress.step * size, desc="train", unit="pair", disable=quiet
    ) as bar:
        yield bar
