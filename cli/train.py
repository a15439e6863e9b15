"""`blurgen train`: shards in, a model out."""

from __future__ import annotations

from pathlib import Path

import click

from blurgen_cli.options import (
    DEVICE_OPTION,
    add_options,
    count_of,
    duration,
    json_option,
    print_json,
    printable,
    require_packages,
    require_training,
    text_option,
)

WHAT_OPTIONS = (
    text_option("--preset", default="default", show_default=True, metavar="NAME|FILE", help="Or a config.toml."),
    text_option(
        "--model", metavar="NAME", help="unet-s, unet-xs, gradient-unet, vgg16-fcn, ... [default: the preset's]"
    ),
    click.option("--epochs", type=int, help="Times that all pairs are shown. [default: the preset's]"),
    click.option("--steps", type=int, help="Length of the run in batches, instead of epochs."),
    click.option("--batch", type=int, help="Pairs of a step. [default: the preset's]"),
    text_option("--crop", metavar="SIZE", help="What the model is trained on: 128 or HEIGHTxWIDTH px."),
    click.option("--lr", type=float, help="Learning rate. [default: the preset's]"),
    click.option("--val", type=float, help="Share of the photos held out for validation; 0: none."),
    text_option(
        "--weights", type=click.Path(), help="Begin with these: .safetensors, or .pth of torchvision's models."
    ),
    click.option("--seed", type=int, default=0, show_default=True, help="Of order, augmentation and first weights."),
)
REAL_OPTIONS = (
    text_option(
        "--real", type=click.Path(), metavar="DIR", help="Photos with human blur masks (CUHK's, DUT's layout)."
    ),
    click.option(
        "--real-blurred", type=click.Choice(["white", "black"]), help="What means blurred there: CUHK white, DUT black."
    ),
    text_option("--real-masks", metavar="NAME", help="The folder of the masks, if there are several."),
    click.option("--real-fraction", type=float, help="Share of those not held out that is trained on. [default: 1]"),
    click.option("--no-synthetic", is_flag=True, help="No shards: real photos alone, for comparison."),
)
REAL_NAMES = ("real", "real_blurred", "real_masks", "real_fraction")
WHERE_OPTIONS = (
    DEVICE_OPTION,
    click.option(
        "--amp", type=click.Choice(["auto", "bf16", "off"]), default="auto", show_default=True, help="bf16 rounding."
    ),
    click.option("--compile", is_flag=True, help="Compile the model: a slow start, then faster steps."),
    click.option(
        "--cache",
        type=click.Choice(["none", "ram", "gpu"]),
        default="none",
        show_default=True,
        help="Keep decoded pairs.",
    ),
    click.option(
        "--workers", type=click.IntRange(0, 256), help="Threads that make batches. [default: cores - 1, at most 8]"
    ),
    click.option(
        "--threads", type=click.IntRange(1, 1024), help="Of the CPU; with 1, equal runs are equal to the bit."
    ),
    click.option(
        "--checkpoint-every",
        type=click.IntRange(1),
        default=500,
        show_default=True,
        help="Steps that a crash may lose; epochs of 50 steps or more end with one, too.",
    ),
)


@click.command()
@click.argument("shards", type=click.Path(), nargs=-1)
@text_option("--out", metavar="DIR", help="Folder of the run. [default: runs/PRESET]")
@add_options(WHAT_OPTIONS)
@add_options(REAL_OPTIONS)
@add_options(WHERE_OPTIONS)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint of --out, with its configuration.")
@click.option("--export-onnx", is_flag=True, help="Write model.onnx as well; without SHARDS, that of the run in --out.")
@click.option("--dry-run", is_flag=True, help="Train a few steps, write nothing, say what it would come to.")
@json_option
@click.pass_context
def train(ctx, shards, out, preset, resume, export_onnx, dry_run, as_json, **options) -> None:
    """Train a model that finds blur on the pairs of SHARDS, one or more data sets [default: shards].

    Photos are held out for validation; the weights of the epoch with the lowest validation loss are kept.

    \b
    blurgen train shards/                                  a small U-Net, on this machine
    blurgen train shards/ --preset zhang-2020              a published system
    blurgen train shards/ --real CUHK --real-blurred white half synthetic, half real batches
    torchrun --nproc-per-node 4 -m blurgen.training shards/
    """
    require_training()
    from blurgen.training.params import load_preset

    params = load_preset(preset)
    out = Path(out or f"runs/{params.name}")
    if resume and (out / "config.toml").exists():
        params = _of_run(ctx, out, params, options)
    params = _changed(params, options)
    synthetic = not options.pop("no_synthetic")
    if export_onnx:
        require_packages("onnx", "onnx", "onnxscript")
        if not shards and synthetic and not options["real"] and not dry_run:
            return _export(out, as_json)
    _check(shards, synthetic, options)
    from blurgen.training.options import Execution, Real
    from blurgen.training.session import train_model

    root, polarity, masks, fraction = (options.pop(name) for name in REAL_NAMES)
    real = Real(root, polarity, masks, 1.0 if fraction is None else fraction) if root else None
    weights, seed = options.pop("weights"), options.pop("seed")
    found = train_model(
        shards or (("shards",) if synthetic else ()),
        out,
        params,
        real=real,
        weights=weights,
        seed=seed,
        how=Execution(**options),
        resume=resume,
        dry_run=dry_run,
    )
    if found is None:  # another process says it
        return
    if export_onnx and not dry_run:
        _write_onnx(out)
    print_json(found.to_dict()) if as_json else _print(found, dry_run)


def _of_run(ctx, out: Path, params, options):
    """The parameters and the seed of the run that goes on, unless the command line says others."""
    from blurgen.training.params import load_preset
    from blurgen.training.run import read_config

    said = {name for name in ("preset", "seed") if ctx.get_parameter_source(name).name == "COMMANDLINE"}
    if "seed" not in said:
        options["seed"] = read_config(out).data.seed
    return params if "preset" in said else load_preset(str(out / "config.toml"))


def _changed(params, options):
    """The preset with what the options change; they leave ``options``."""
    from blurgen.errors import ArgumentError

    if options["epochs"] is not None and options["steps"] is not None:
        raise ArgumentError("--epochs and --steps both say how long to train; leave one of them out")
    names = {
        "model": "model",
        "epochs": "batch.epochs",
        "steps": "batch.steps",
        "batch": "batch.size",
        "crop": "augment.size",
        "lr": "optimizer.lr",
        "val": "batch.val_share",
    }
    given = {key: options.pop(name) for name, key in names.items()}
    changes = {key: value for key, value in given.items() if value is not None}
    if "batch.epochs" in changes:
        changes["batch.steps"] = 0
    return params.with_values(changes) if changes else params


def _check(shards, synthetic: bool, options) -> None:
    from blurgen.errors import ArgumentError

    if options["real"] and not options["real_blurred"]:
        raise ArgumentError("--real needs --real-blurred white (as in CUHK) or black (as in DUT): what means blurred")
    if not synthetic and shards:
        raise ArgumentError("--no-synthetic goes without SHARDS; leave one of the two out")
    if not synthetic and not options["real"]:
        raise ArgumentError("--no-synthetic leaves nothing to train on; give --real DIR")
    for name in REAL_NAMES[1:]:
        if options[name] is not None and not options["real"]:
            raise ArgumentError(f"--{name.replace('_', '-')} goes with --real DIR")


def _export(out: Path, as_json: bool) -> None:
    path = _write_onnx(out)
    print_json({"onnx": str(path)}) if as_json else click.echo(printable(f"written: {path}"))


def _write_onnx(out: Path) -> Path:
    from blurgen.training.onnx import export_onnx
    from blurgen.training.run import load_model

    model, _ = load_model(out)
    export_onnx(model, out / "model.onnx")
    return out / "model.onnx"


def _print(found, dry_run: bool) -> None:
    kept = f"; begun from other weights, but for {', '.join(found.fresh)}" if found.fresh else ""
    counts = [(found.pairs, "pair"), (found.real_photos, "real photo")]
    seen = " and ".join(count_of(count, noun) for count, noun in counts if count)
    others = f"{found.held_out} of other photos held out" if found.held_out else "none held out"
    lines = [
        ("model", f"{found.model}, {found.parameters:,} weights, on {found.device}{kept}"),
        ("data", f"{seen} to train on, {others}"),
    ]
    if dry_run:
        lines += [("would train", f"{found.steps} steps, about {duration(found.expected_seconds)}")]
    else:
        rate = f"{found.pairs_per_second:.3g} pairs/s, {found.waiting_share:.0%} of the time waiting for pairs"
        lines += [("steps", f"{found.steps_done_now} of {found.steps} now, {duration(found.seconds)}, {rate}")]
        lines += _scores(found.best) if found.best else []
        lines += [("written", f"{found.out}: best.safetensors, config.toml, metrics.jsonl, curves.png, last.pt")]
    for name, text in lines:
        click.echo(printable(f"{name:<13}{text}"))


def _scores(best: dict) -> list[tuple[str, str]]:
    """The best epoch, of real photos and of synthetic pairs apart where both are held out."""
    both = "synthetic_val_loss" in best
    lines = []
    for prefix, name in (("", "best, real" if both else "best"), ("synthetic_", "  synthetic"))[: 1 + both]:
        scores = [f"{score} {best[prefix + score]:.3f}" for score in ("auc", "ap") if best[prefix + score] is not None]
        floor = best.get("laplacian_auc") if not prefix else None
        compared = f" (auc of the Laplacian, which learns nothing: {floor:.3f})" if floor is not None else ""
        told = ", ".join(scores) + compared if scores else "masks of one class, so no auc"
        lines.append((name, f"epoch {best['epoch']}: loss {best[prefix + 'val_loss']:.4f}, {told}"))
    return lines
