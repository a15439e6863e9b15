"""`blurgen train`: from folders of shards to a model that finds blur."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from copy import deepcopy
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import torch

from blurgen.dataset.manifest import first_difference
from blurgen.errors import ArgumentError, ModelError, OutputError
from blurgen.files import locked, make_folder, publish, sha256_file, sweep
from blurgen.regions import default_cache
from blurgen.shards.format import MANIFEST_NAME
from blurgen.sources.labelled import open_labelled
from blurgen.training import checkpoint
from blurgen.training.batches import REAL, SYNTHETIC, Schedule
from blurgen.training.checkpoint import Progress
from blurgen.training.device_cache import DeviceMaker
from blurgen.training.examples import Examples, Pairs, check_real, gather
from blurgen.training.explaining import explained
from blurgen.training.loader import Batch, Maker, RamCache, batches, default_workers
from blurgen.training.loop import Fit, fit, train_step
from blurgen.training.models import BlurModel, build_model
from blurgen.training.optimizing import build_optimizer
from blurgen.training.options import Execution, Real, Summary
from blurgen.training.params import PRESETS, TrainingParams
from blurgen.training.processes import Process, joined
from blurgen.training.run import (
    BEST_NAME,
    CHECKPOINT_NAME,
    CONFIG_NAME,
    DataFacts,
    RunConfig,
    read_config,
)
from blurgen.training.validating import validate
from blurgen.training.verified import require_verified
from blurgen.training.watching import Watching
from blurgen.training.weights import load_pretrained

TRIAL_STEPS = 4
"""Steps that a dry run takes, all but the first of them timed, to tell how long the rest would take."""


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
    if not 0 <= seed < 2**63:
        raise ArgumentError(f"seed is {seed}: give a number from 0 to 2**63 - 1")
    with ExitStack() as stack:
        process = stack.enter_context(joined(how.device))
        stack.enter_context(_threads(how.threads))
        process.led(lambda: _verify(shards, how))
        examples = _gather(shards, real, params, seed, shuffle_masks)
        if real:
            process.led(lambda: check_real(examples))
        _check_crop(examples, params)
        facts = _facts(examples, real, seed, shuffle_masks, weights).model_copy(
            update={"processes": process.world, "products": _products(process.device, how.amp)}
        )
        config = RunConfig(**params.model_dump(), data=facts)
        stack.enter_context(explained(config))
        run = _put_together(out, config, examples, process, how, weights)
        make = _maker(run, how.cache)
        if not dry_run:
            process.led(lambda: stack.enter_context(_held(out, resume)))
            _begin_or_resume(run, resume)
        begun = run.progress.step
        forward = process.spread(torch.compile(run.model) if how.compile else run.model)
        end = min(begun + TRIAL_STEPS, run.total) if dry_run else run.total
        workers = default_workers() if how.workers is None else how.workers
        loader = batches(make, begun, end, workers, pin=process.device.type == "cuda" and how.cache != "gpu")
        try:
            (_try if dry_run else fit)(run, forward, loader)
        finally:
            loader.close()
            run.watch.close()
        done = run.progress.step - begun
        return _summary(run, done, _expected_seconds(run, done) if dry_run else None) if process.leads else None


def _expected_seconds(run: Fit, done: int) -> float:
    """How long the whole run would take, by the steps of a dry run."""
    validations = -(-run.total // run.steps_per_epoch) * sum(map(len, run.examples.held_out.values()))
    return run.trained / max(1, done - 1) * run.total + run.validated * validations


def _try(run: Fit, forward: torch.nn.Module, loader: Iterator[Batch]) -> None:
    """Take the steps of a dry run. The first one, which prepares much, is not timed."""
    for number, batch in enumerate(loader):
        begun = time.perf_counter()
        train_step(run, forward, batch).item()  # on a GPU the step is over only now
        if number:
            run.trained += time.perf_counter() - begun
            run.shown += run.schedule.size_of(run.progress.step)
        run.progress.step += 1
    some = replace(run.examples, held_out={kind: held[:TRIAL_STEPS] for kind, held in run.examples.held_out.items()})
    begun = time.perf_counter()
    validate(run.model, some, run.process, run.autocast)
    run.validated = (time.perf_counter() - begun) / max(1, sum(map(len, some.held_out.values())))


def _verify(shards: Sequence[str | Path], how: Execution) -> None:
    seen: dict[str, str | Path] = {}
    for folder in shards:
        digest = require_verified(folder, Path(how.notes or default_cache()))
        if digest in seen:
            raise ArgumentError(f"{folder} and {seen[digest]} are the same data set; give it once")
        seen[digest] = folder


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    """So many threads for torch, and one for OpenCV, whose own would be in the way of the loader's. Put back after."""
    before = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    torch.set_num_threads(count or before[1])
    try:
        yield
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


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
    return Fit(
        out=out,
        config=config,
        model=model,
        average=deepcopy(model) if config.optimizer.averaging else None,
        optimizer=optimizer,
        progress=Progress(),
        examples=examples,
        schedule=schedule,
        process=process,
        autocast=_autocast(process.device, config.data.products),
        checkpoint_every=how.checkpoint_every,
        watch=Watching(out),
        fresh=fresh,
    )


def _check_crop(examples: Examples, params: TrainingParams) -> None:
    """Refuse windows that no pair holds: what lies beyond its border teaches nothing."""
    if params.augment.crop == "exact" and examples.pairs:
        largest = examples.pairs.shapes.max(axis=0)
        if (largest < params.augment.shape).any():
            fits = "x".join(str(min(sides)) for sides in zip(largest.tolist(), params.augment.shape, strict=True))
            raise ArgumentError(f"--crop {params.augment.size} is larger than the pairs; give --crop {fits}")


def _check_batches(model: BlurModel, schedule: Schedule, process: Process) -> None:
    """Refuse batches that a model can't be trained on."""
    smallest = schedule.smallest_batch // process.world
    if smallest < model.least_batch:
        raise ArgumentError(
            f"batches come down to {smallest} examples in a process, this model needs {model.least_batch}; "
            "give more pairs, a larger --batch, or fewer processes"
        )


def _facts(examples: Examples, real: Real | None, seed: int, shuffled: bool, weights: str | Path | None) -> DataFacts:
    return DataFacts(
        shards=examples.pairs.digests if examples.pairs else [],
        pairs=len(examples.train.get(SYNTHETIC, ())),
        held_out=sum(map(len, examples.held_out.values())),
        real=examples.real.digest() if examples.real else "",
        real_fraction=real.fraction if real else 1.0,
        real_photos=len(examples.train.get(REAL, ())),
        channels=examples.channels,
        dtype=examples.dtype,
        seed=seed,
        shuffled_masks=shuffled,
        weights=sha256_file(Path(weights)) if weights and Path(weights).is_file() else "",
    )


def _held(out: Path, resume: bool):
    """The folder of the run, made and held. Raises OutputError where there is a run already, unless it goes on."""
    there = any((out / name).exists() for name in (CONFIG_NAME, CHECKPOINT_NAME, BEST_NAME))
    if there and not resume:
        raise OutputError(f"{out}: holds a run; go on with it by --resume, or choose another --out")
    if resume and not (out / CONFIG_NAME).exists():
        raise OutputError(f"{out}: holds no run to go on with; leave --resume out, or name the right --out")
    for folder in (out.absolute(), *out.absolute().parents):
        if (folder / MANIFEST_NAME).exists():
            raise OutputError(f"{out}: lies in the data set {folder}; choose another --out")
    make_folder(out)
    return locked(out)


def _begin_or_resume(run: Fit, resume: bool) -> None:
    """Take up the last checkpoint, or write config.toml of a new run."""
    path = run.out / CHECKPOINT_NAME
    if resume and path.exists():
        run.progress = checkpoint.restore(path, run.config.to_toml(), run.model, run.optimizer, run.average)
        if run.progress.step > run.total:
            raise ModelError(f"{path}: at step {run.progress.step} of {run.total}; start again with another --out")
    elif resume and (what := first_difference(read_config(run.out).model_dump(), run.config.model_dump())):
        raise ModelError(f"{run.out}: begun with another {what}; give the same options, or another --out")
    elif run.process.leads:
        publish(run.out / CONFIG_NAME, run.config.to_toml().encode())
    if run.process.leads:
        sweep(run.out)


def _maker(run: Fit, cache: str) -> Callable:
    make = Maker(run.examples, run.schedule, run.config, run.process.rank, run.process.world)
    if cache == "ram":
        make.read = RamCache(run.examples)
    elif cache == "gpu":
        if run.process.device.type != "cuda":
            raise ArgumentError("--cache gpu needs a GPU to train on; use --cache ram")
        return DeviceMaker(make, run.examples, run.process.device)
    return make


def _products(device: torch.device, amp: str) -> str:
    on = amp == "bf16" or (amp == "auto" and device.type == "cuda" and torch.cuda.is_bf16_supported())
    return "bfloat16" if on else "float32"


def _autocast(device: torch.device, products: str) -> Callable:
    return partial(torch.autocast, device.type, torch.bfloat16) if products == "bfloat16" else nullcontext


def _summary(run: Fit, done: int, expected: float | None) -> Summary:
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
        seconds=run.trained,
        expected_seconds=expected,
        pairs_per_second=run.shown / run.trained if run.trained else 0.0,
        waiting_share=run.waited / run.trained if run.trained else 0.0,
        best=min(losses, key=lambda row: row["val_loss"]) if losses else None,
        fresh=list(run.fresh),
    )
