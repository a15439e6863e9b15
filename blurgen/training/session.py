"""`blurgen train`: from folders of shards to a model that finds blur."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import torch

from blurgen.errors import ArgumentError, DependencyError, OutputError
from blurgen.files import locked, make_folder, publish, sweep
from blurgen.regions import default_cache
from blurgen.sources.labelled import open_labelled
from blurgen.training import checkpoint
from blurgen.training.batches import REAL, SYNTHETIC, Schedule
from blurgen.training.checkpoint import Progress
from blurgen.training.examples import Examples, Pairs, gather
from blurgen.training.loader import Maker, RamCache, batches, default_workers
from blurgen.training.loop import Fit, fit, train_step
from blurgen.training.memory import memory_advice
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

    def to_dict(self) -> dict:
        """As plain values."""
        return asdict(self)


def train_model(
    shards: Sequence[str | Path],
    out: str | Path,
    params: TrainingParams = PRESETS["default"],
    *,
    real: str | Path | None = None,
    real_polarity: str | None = None,
    real_masks: str | None = None,
    real_fraction: float = 1.0,
    weights: str | Path | None = None,
    seed: int = 0,
    device: str = "auto",
    amp: str = "auto",
    compile_model: bool = False,
    cache: str = "none",
    workers: int | None = None,
    resume: bool = False,
    checkpoint_every: int = 500,
    notes: str | Path | None = None,
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
    real, real_polarity, real_masks : path, "white" or "black", name of a folder
        Photos and human masks (``blurgen.sources.labelled``) and what means blurred in these. With ``shards``, every
        batch is half synthetic and half real (Alvarez-Gila et al. 2019, section 4.3).
    real_fraction : float
        Share of the real photos that is used.
    weights : path, optional
        Weights to begin with; see ``weights.load_pretrained``.
    device, amp : "auto", "cpu" or "cuda"; "auto", "bf16" or "off"
        Where, and whether products are rounded to bfloat16 (auto: on a GPU).
    cache : "none", "ram" or "gpu"
        Keep decoded pairs.
    workers : int, optional
        Threads that make batches; they change nothing in them.
    resume : bool
        Go on from the last checkpoint of ``out``, if there is one. On a CPU with one thread the weights end up the
        same to the bit.
    notes : path, optional
        Where it is noted which data sets were verified; the cache of blurgen if not given.
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
        process = stack.enter_context(joined(device))
        if process.leads and not dry_run:
            stack.enter_context(_held(out, resume))
        if process.leads:
            for folder in shards:
                require_verified(folder, Path(notes or default_cache()))
        process.wait()
        examples = gather(
            Pairs(shards) if shards else None,
            open_labelled(real, real_polarity, masks=real_masks) if real else None,
            real_fraction=real_fraction,
            val_share=params.batch.val_share,
            max_val=params.batch.max_val,
            seed=seed,
            shuffle_masks=shuffle_masks,
        )
        config = RunConfig(**params.model_dump(), data=_facts(examples, seed, shuffle_masks))
        stack.enter_context(memory_advice(config))
        run = _put_together(out, config, examples, process, amp, weights, checkpoint_every)
        make = _maker(run, cache)
        if not dry_run:
            _begin_or_resume(run, resume)
        begun = run.progress.step
        forward = process.spread(_compiled(run.model) if compile_model else run.model)
        end = min(begun + TRIAL_STEPS, run.total) if dry_run else run.total
        loader = batches(make, begun, end, default_workers() if workers is None else workers, _pins(process, cache))
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
        if not process.leads:
            return None
        return _summary(run, end - begun if dry_run else run.progress.step - begun, time.perf_counter() - started)


def _put_together(
    out: Path,
    config: RunConfig,
    examples: Examples,
    process: Process,
    amp: str,
    weights: str | Path | None,
    checkpoint_every: int,
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
    if weights:
        load_pretrained(model, weights)
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
        autocast=_autocast(process.device, amp),
        total=total,
        checkpoint_every=checkpoint_every,
        watch=Watching(out),
    )


def _check_batches(model: BlurModel, schedule: Schedule, process: Process) -> None:
    """Refuse batches that a model can't be trained on."""
    smallest = schedule.smallest_batch // process.world
    if smallest < model.least_batch:
        raise ArgumentError(
            f"batches come down to {smallest} examples in a process, this model needs {model.least_batch}; "
            "give more pairs, a larger --batch, or fewer processes"
        )


def _facts(examples: Examples, seed: int, shuffled: bool) -> DataFacts:
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
        from blurgen.training.device_cache import DeviceMaker

        return DeviceMaker(make, run.examples, run.process.device)
    return make


def _pins(process: Process, cache: str) -> bool:
    return process.device.type == "cuda" and cache != "gpu"


def _autocast(device: torch.device, amp: str) -> Callable:
    on = amp == "bf16" or (amp == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported())
    return partial(torch.autocast, device.type, torch.bfloat16) if on else nullcontext


def _compiled(model: torch.nn.Module) -> torch.nn.Module:
    try:
        return torch.compile(model)
    except Exception as error:
        raise DependencyError(f"--compile does not work here ({type(error).__name__}); leave it out") from None


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
    )
