"""`blurgen train`: from folders of shards to a model that finds blur."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

from blurgen.errors import ArgumentError, OutputError
from blurgen.files import locked, make_folder, publish, sha256_file, sweep
from blurgen.regions import default_cache
from blurgen.sources.labelled import open_labelled
from blurgen.training import checkpoint
from blurgen.training.batches import REAL, SYNTHETIC, Schedule
from blurgen.training.checkpoint import Progress
from blurgen.training.device_cache import DeviceMaker
from blurgen.training.examples import Examples, Pairs, gather
from blurgen.training.explaining import explained
from blurgen.training.loader import Maker, RamCache, batches, default_workers
from blurgen.training.loop import Fit, fit, train_step
from blurgen.training.models import BlurModel, build_model
from blurgen.training.optimizing import build_optimizer
from blurgen.training.params import PRESETS, TrainingParams
from blurgen.training.processes import Process, joined
from blurgen.training.run import (
    CHECKPOINT_NAME,
    CONFIG_NAME,
    DataFacts,
    RunConfig,
    config_text,
)
from blurgen.training.verified import require_verified
from blurgen.training.watching import Watching
from blurgen.training.weights import load_pretrained

TRIAL_STEPS = 3
"""Steps that a dry run takes, to tell how long the rest would."""


@dataclass(frozen=True)
class Real:
    """Photos with human masks to train on; see ``open_labelled`` for the first three."""

    root: str | Path
    polarity: str
    masks: str | None = None
    fraction: float = 1.0
    """Share of them that is used."""


@dataclass(frozen=True)
class Execution:
    """Where a model is trained, and how fast; nothing that decides what it learns."""

    device: str = "auto"
    """auto (a GPU if there is one), cpu or cuda."""
    amp: str = "auto"
    """Products rounded to bfloat16: auto (on a GPU), bf16 or off."""
    compile: bool = False
    cache: str = "none"
    """Decoded pairs are kept: none, ram or gpu."""
    workers: int | None = None
    """Threads that make batches."""
    checkpoint_every: int = 500
    """Steps."""
    notes: str | Path | None = None
    """Folder where it is noted which data sets were verified; the cache of blurgen if not given."""


@dataclass(frozen=True)
class Summary:
    """What a run came to. Scores are those of the epoch with the lowest validation loss."""

    out: str
    model: str
    parameters: int
    device: str
    pairs: int
    held_out: int
    real_photos: int
    steps: int
    steps_done_now: int
    seconds: float
    pairs_per_second: float
    waiting_share: float
    best: dict | None
    fresh: list[str]
    """Tensors that the file of weights to begin with had nothing for."""

    def to_dict(self) -> dict:
        """As plain values."""
        return asdict(self)


def train_model(
    shards: Sequence[str | Path],
    out: str | Path,
    params: TrainingParams = PRESETS["default"],
    *,
    real: Real | None = None,
    weights: str | Path | None = None,
    seed: int = 0,
    how: Execution = Execution(),
    resume: bool = False,
    shuffle_masks: bool = False,
    dry_run: bool = False,
) -> Summary | None:
    """Train a model on the pairs of ``shards``, on real photos with human masks, or on both.

    Parameters
    ----------
    shards : sequence of paths
        Folders of data sets; none for real photos alone.
    out : path
        Folder of the run: best.safetensors, config.toml, metrics.jsonl, curves.png, and last.pt to go on from.
    params : TrainingParams
        Model, optimizer, batches, augmentation, loss: a preset, or one changed by ``with_values``.
    real : Real, optional
        With ``shards``, every batch is half synthetic and half real (Alvarez-Gila et al. 2019, section 4.3).
    weights : path, optional
        Weights to begin with; see ``weights.load_pretrained``.
    seed : int
        Of order, augmentation and first weights.
    how : Execution
        Device, precision, caches, threads.
    resume : bool
        Go on from the last checkpoint of ``out``, if there is one. On a CPU with one thread the weights end up the
        same to the bit.
    shuffle_masks : bool
        A control: each pair gets the mask of another one, so nothing can be learned.
    dry_run : bool
        Write nothing; take a few steps and say how long the run would take.

    Returns
    -------
    Summary
        None in the processes of a run that do not lead it.

    Raises
    ------
    BlurgenError
        ArgumentError, SourceError, ShardError, ModelError for what was given; OutputError for ``out``; TrainingError
        when the loss is no number or memory runs out.
    """
    out = Path(out)
    with ExitStack() as stack:
        process = stack.enter_context(joined(how.device))
        if process.leads and not dry_run:
            stack.enter_context(_held(out, resume))
        if process.leads:
            for folder in shards:
                require_verified(folder, Path(how.notes or default_cache()))
        process.wait()
        examples = _gather(shards, real, params, seed, shuffle_masks)
        facts = _facts(examples, seed, shuffle_masks, weights)
        config = RunConfig(**params.model_dump(), data=facts)
        stack.enter_context(explained(config))
        run = _put_together(out, config, examples, process, how, weights)
        make = _maker(run, how.cache)
        if not dry_run:
            _begin_or_resume(run, resume)
        begun = run.progress.step
        forward = process.spread(torch.compile(run.model) if how.compile else run.model)
        end = min(begun + TRIAL_STEPS, run.total) if dry_run else run.total
        workers = default_workers() if how.workers is None else how.workers
        loader = batches(make, begun, end, workers, pin=process.device.type == "cuda" and how.cache != "gpu")
        started = time.perf_counter()
        try:
            if dry_run:
                for batch in loader:
                    train_step(run, forward, batch)
            else:
                fit(run, forward, loader)
        finally:
            loader.close()
            run.watch.close()
        done = end - begun if dry_run else run.progress.step - begun
        return _summary(run, done, time.perf_counter() - started) if process.leads else None


def _gather(shards: Sequence, real: Real | None, params: TrainingParams, seed: int, shuffle_masks: bool) -> Examples:
    return gather(
        Pairs(shards) if shards else None,
        open_labelled(real.root, real.polarity, masks=real.masks) if real else None,
        real_fraction=real.fraction if real else 1.0,
        val_share=params.batch.val_share,
        max_val=params.batch.max_val,
        seed=seed,
        shuffle_masks=shuffle_masks,
    )


def _put_together(
    out: Path,
    config: RunConfig,
    examples: Examples,
    process: Process,
    how: Execution,
    weights: str | Path | None,
) -> Fit:
    schedule = Schedule(
        *(len(examples.train.get(kind, ())) for kind in (SYNTHETIC, REAL)), config.batch.size, config.data.seed
    )
    if schedule.synthetic and schedule.real and config.batch.size % 2:
        raise ArgumentError(f"--batch {config.batch.size}: half synthetic and half real needs an even number")
    torch.manual_seed(config.data.seed)
    if process.device.type == "cuda":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.benchmark = True
    model = build_model(config.model, config.data.channels)
    fresh = load_pretrained(model, weights).fresh if weights else ()
    model = model.to(process.device, memory_format=torch.channels_last).train()
    _check_batches(model, schedule, process)
    optimizer = build_optimizer(model, config.optimizer)
    epoch = config.batch.steps_per_epoch or schedule.steps_per_pass
    total = config.batch.steps or config.batch.epochs * epoch
    return Fit(
        out=out,
        config=config,
        model=model,
        optimizer=optimizer,
        progress=Progress(),
        examples=examples,
        schedule=schedule,
        process=process,
        autocast=_autocast(process.device, how.amp),
        total=total,
        checkpoint_every=how.checkpoint_every,
        watch=Watching(out),
        fresh=fresh,
    )


def _check_batches(model: BlurModel, schedule: Schedule, process: Process) -> None:
    """Refuse batches that a model can't be trained on."""
    smallest = schedule.smallest_batch // process.world
    if smallest < model.least_batch:
        raise ArgumentError(
            f"batches come down to {smallest} examples in a process, this model needs {model.least_batch}; "
            "give more pairs, a larger --batch, or fewer processes"
        )


def _facts(examples: Examples, seed: int, shuffled: bool, weights: str | Path | None) -> DataFacts:
    return DataFacts(
        shards=examples.pairs.digests if examples.pairs else [],
        pairs=len(examples.train.get(SYNTHETIC, ())),
        held_out=sum(map(len, examples.held_out.values())),
        real=examples.real.digest() if examples.real else "",
        real_photos=len(examples.train.get(REAL, ())),
        channels=examples.channels,
        dtype=examples.dtype,
        seed=seed,
        shuffled_masks=shuffled,
        weights=sha256_file(Path(weights)) if weights and Path(weights).is_file() else "",
    )


def _held(out: Path, resume: bool):
    """The folder of the run, made and held. Raises OutputError where there is a run already, unless it goes on."""
    make_folder(out)
    if not resume and any((out / name).exists() for name in (CONFIG_NAME, CHECKPOINT_NAME)):
        raise OutputError(f"{out}: holds a run; go on with it by --resume, or choose another --out")
    return locked(out)


def _begin_or_resume(run: Fit, resume: bool) -> None:
    """Take up the last checkpoint, or write config.toml of a new run."""
    path = run.out / CHECKPOINT_NAME
    if resume and path.exists():
        run.progress = checkpoint.restore(path, config_text(run.config), run.model, run.optimizer)
    elif run.process.leads:
        publish(run.out / CONFIG_NAME, config_text(run.config).encode())
    if run.process.leads:
        sweep(run.out)
    run.process.wait()


def _maker(run: Fit, cache: str) -> Callable:
    make = Maker(run.examples, run.schedule, run.config, run.process.rank, run.process.world)
    if cache == "ram":
        make.read = RamCache(run.examples)
    elif cache == "gpu":
        if run.process.device.type != "cuda":
            raise ArgumentError("--cache gpu needs a GPU to train on; use --cache ram")
        return DeviceMaker(make, run.examples, run.process.device)
    return make


def _autocast(device: torch.device, amp: str) -> Callable:
    on = amp == "bf16" or (amp == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported())
    return partial(torch.autocast, device.type, torch.bfloat16) if on else nullcontext


def _summary(run: Fit, done: int, seconds: float) -> Summary:
    losses = [row for row in run.progress.rows if row.get("val_loss") is not None]
    return Summary(
        out=str(run.out),
        model=run.config.model,
        parameters=sum(one.numel() for one in run.model.parameters()),
        device=str(run.process.device),
        pairs=run.config.data.pairs,
        held_out=run.config.data.held_out,
        real_photos=run.config.data.real_photos,
        steps=run.total,
        steps_done_now=done,
        seconds=seconds,
        pairs_per_second=done * run.config.batch.size / seconds if done else 0.0,
        waiting_share=run.waited / seconds if done else 0.0,
        best=min(losses, key=lambda row: row["val_loss"]) if losses else None,
        fresh=list(run.fresh),
    )
