"""The training loop, whole: what is done in a step, and what is written when."""

from __future__ import annotations

import json
import math
import signal
import threading
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
from blurgen.training.averaging import take_in
from blurgen.training.batches import Schedule
from blurgen.training.checkpoint import Progress
from blurgen.training.examples import Examples
from blurgen.training.inputs import to_inputs, to_targets
from blurgen.training.loader import Batch
from blurgen.training.losses import draw_swaps, training_loss
from blurgen.training.optimizing import lr_at, set_lr
from blurgen.training.processes import Process
from blurgen.training.run import BEST_NAME, CHECKPOINT_NAME, CONFIG_KEY, METRICS_NAME, RunConfig
from blurgen.training.validating import baseline_auc, validate
from blurgen.training.watching import Watching
from blurgen.training.weights import write_safetensors

GO_ON = "the same command with --resume goes on from there"

LEAST_BETWEEN_CHECKPOINTS = 50
"""Steps: where epochs are shorter, not each of them ends with a checkpoint."""

CHECK_EVERY = 10
"""Steps after which the loss is looked at. A GPU must finish its work for it, so not after each."""


@dataclass
class Fit:
    """Everything that a run needs, put together by ``train_model``."""

    out: Path
    config: RunConfig
    model: nn.Module
    average: nn.Module | None
    """The mean of the weights so far, if that is what is wanted."""
    optimizer: torch.optim.Optimizer
    progress: Progress
    examples: Examples
    schedule: Schedule
    process: Process
    autocast: Callable
    checkpoint_every: int
    watch: Watching
    fresh: tuple[str, ...] = ()
    waited: float = 0.0
    """Seconds without a batch."""
    trained: float = 0.0
    """Seconds in which steps were made, those without a batch too."""
    validated: float = 0.0
    """Seconds that it takes to validate an example, as a dry run finds."""
    shown: int = 0
    """Examples of all processes in these."""

    @property
    def result(self) -> nn.Module:
        """The model that is validated and kept."""
        return self.average or self.model

    @property
    def steps_per_epoch(self) -> int:
        """Steps between validations."""
        return self.config.batch.steps_per_epoch or self.schedule.steps_per_pass

    @property
    def total(self) -> int:
        """Steps of the whole run."""
        return self.config.batch.steps or self.config.batch.epochs * self.steps_per_epoch


def fit(run: Fit, forward: nn.Module, loader: Iterator[Batch]) -> None:
    """Train until the last step, or until the validation loss stagnates. ``forward`` is the model as it is called:
    compiled, or spread over processes. Raises TrainingError when the loss is no number."""
    progress, params = run.progress, run.config
    recent = torch.zeros(2, dtype=torch.float64, device=run.process.device)  # sum and count of losses not yet looked at
    with _bar(run) as bar, _asked_to_stop(run) as asked:
        while progress.step < run.total and not progress.finished:
            begun = time.perf_counter()
            batch = next(loader)
            run.waited += time.perf_counter() - begun
            set_lr(run.optimizer, lr_at(progress.step, run.total, params.optimizer))
            loss = train_step(run, forward, batch)
            if run.average:
                take_in(run.average, run.model, progress.step, params.optimizer.averaging)
            recent += torch.stack([loss.detach().double(), torch.ones_like(loss, dtype=torch.float64)])
            bar.update(run.schedule.size_of(progress.step))
            run.shown += run.schedule.size_of(progress.step)
            progress.step += 1
            ends = progress.step % run.steps_per_epoch == 0 or progress.step == run.total
            since = progress.step - progress.saved
            saves = since >= run.checkpoint_every or (ends and since >= LEAST_BETWEEN_CHECKPOINTS)
            if ends or saves or asked or progress.step % CHECK_EVERY == 0:
                _look(run, recent, bar)
            run.trained += time.perf_counter() - begun
            if ends:
                bar.set_description("validate")
                end_epoch(run)
                bar.set_description("train")
            if saves or asked:
                save(run)
            if asked:
                raise KeyboardInterrupt(f"interrupted after step {progress.step}; {GO_ON}")
    progress.finished = True
    save(run)
    if run.process.leads and progress.rows:
        run.watch(progress.rows, last=True)


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
    for one in filter(None, (run.model, run.average)):
        run.process.share_buffers(one)
    scores = validate(run.result, run.examples, run.process, run.autocast)
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
            write_safetensors(run.out / BEST_NAME, run.result.state_dict(), {CONFIG_KEY: run.config.to_toml()})
    progress.finished = bool(run.config.batch.patience) and progress.stagnant >= run.config.batch.patience
    if run.process.leads:
        lines = "".join(json.dumps(row) + "\n" for row in progress.rows)
        publish(run.out / METRICS_NAME, lines.encode())
        run.watch(progress.rows)


def save(run: Fit) -> None:
    """The checkpoint, by the leading process."""
    run.progress.saved = run.progress.step
    if run.process.leads:
        config, average = run.config.to_toml(), run.average
        checkpoint.save(run.out / CHECKPOINT_NAME, config, run.model, run.optimizer, run.progress, average)


@contextmanager
def _asked_to_stop(run: Fit) -> Iterator[list[int]]:
    """A list that is filled when this process is interrupted or told to end, so that the step can be finished first.

    The second time it is interrupted at once. Of several processes none may stop alone, so there it always is.
    """
    asked: list[int] = []
    if run.process.world > 1 or threading.current_thread() is not threading.main_thread():
        yield asked
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, *_: object) -> None:
        asked.append(number)
        for other, handler in before.items():
            signal.signal(other, handler)

    for number in before:
        signal.signal(number, ask)
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _bar(run: Fit) -> Iterator[tqdm]:
    """Examples done, their rate, the loss, and how long it will take."""
    quiet = is_quiet(True) or not run.process.leads
    each = run.schedule.examples_per_pass / run.schedule.steps_per_pass
    total, done = (round(steps * each) for steps in (run.total, run.progress.step))
    with tqdm(total=total, initial=done, desc="train", unit="pair", disable=quiet) as bar:
        yield bar
