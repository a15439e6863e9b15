"""The model card, README.md of a run: what a stranger has to know of a model before using its maps.

It says what the model was trained on and how, and what it scores: on the synthetic pairs held out of the training, from
metrics.jsonl, and on real photos with human masks, made smaller, as they are, and at several scales.
"""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from blurgen.dataset.manifest import count_photos, origins_of, read_manifest
from blurgen.engines import is_quiet
from blurgen.errors import ModelError
from blurgen.evaluation.counts import score_image
from blurgen.evaluation.summary import Table, summary
from blurgen.files import publish, read_plain
from blurgen.maps import detector_finder
from blurgen.sources.labelled import Labelled
from blurgen.sources.photo import printable
from blurgen.training.models import BlurModel
from blurgen.training.predict import BEST, predict
from blurgen.training.run import METRICS_NAME, RunConfig, load_model

CARD_NAME = "README.md"
SHORT_SIDE = 320
SETTINGS = {
    "as `blurgen predict` makes them": BEST,
    f"--short-side {SHORT_SIDE}": BEST | {"short_side": SHORT_SIDE},
    "--tta none --no-spread": {},
    f"--tta none --no-spread --short-side {SHORT_SIDE}": {"short_side": SHORT_SIDE},
}
"""Options of `blurgen predict` -> the same of ``predict``."""
DETECTORS = ("laplacian", "lbp")
RESAMPLES = 2000
LIMITS = (
    "It has never seen a blurred photo, only photos that blurgen blurred: whatever of real blur the recipe lacks, it "
    "does not know. Look at maps of your own photos first (`blurgen predict --overlay`).",
    "Where there is no texture, blur leaves no trace: sky, walls, smooth skin and petals are guessed from what is "
    "around them, and sharp smooth things are called blurred.",
    "A photo that is a little soft all over is called blurred all over; what is less blurred still ranks lower.",
    "Something sharp and fine in front of a blurred background (a net, a window screen) hides the blur behind it.",
    "It says where a photo is blurred, not how much nor by what, and not whether that was meant.",
)


def write_card(run: Path, shards: Sequence[Path], real: Labelled | None = None) -> Path:
    """Write README.md into the folder of a run.

    Parameters
    ----------
    run : path
        The folder of a run of `blurgen train`, at its end.
    shards : sequence of paths
        The data sets that it was trained on: told from others by their digests.
    real : Labelled, optional
        Real photos with human masks to score it on.

    Raises
    ------
    BlurgenError
        ModelError: no run, one of other data sets, or one that saw real photos; else what reading them raises.
    """
    if not run.is_dir():
        raise ModelError(f"{run}: no folder; give that of a run of `blurgen train`")
    model, config = load_model(run)
    manifests = [read_manifest(Path(folder)) for folder in shards]
    if sorted(one["digest"] for one in manifests) != sorted(config.data.shards):
        raise ModelError(f"{run}: was trained on other data sets; give those that its config.toml names")
    if config.data.real:
        raise ModelError(f"{run}: was trained on real photos, too; such models have no card yet")
    lines = [
        f"# A model that finds blur: {config.model}, preset {config.name}",
        "",
        "Trained by `blurgen train` on photos that nobody has annotated, blurred by blurgen. Maps of your photos:",
        "",
        f"    blurgen predict PHOTOS --model {shlex.quote(printable(str(run)))} --out maps",
        "",
        *_training(model, config, manifests),
        *_scores(run, model, config, real),
        "",
        "## What it can't do",
        "",
        *(f"- {limit}" for limit in LIMITS),
    ]
    publish(run / CARD_NAME, ("\n".join(lines) + "\n").encode())
    return run / CARD_NAME


def _training(model: BlurModel, config: RunConfig, manifests: list[dict]) -> list[str]:
    weights = sum(one.numel() for one in model.parameters())
    lines = ["## What it was trained on", ""]
    lines.append(f"- {weights:,} weights, seed {config.data.seed}; config.toml says the rest")
    for manifest in manifests:
        recipes = ", ".join(dict.fromkeys(printable(str(one["recipe"].get("name"))) for one in origins_of(manifest)))
        lines.append(
            f"- data set `{manifest['digest']}`: {manifest['pairs']} pairs of {count_photos(manifest)} photos, "
            f"recipe {recipes}"
        )
    held_out = f"; validated on {config.data.held_out} pairs of other photos" if config.data.held_out else ""
    return [*lines, f"- {config.data.pairs} pairs seen in training{held_out}", ""]


def _scores(run: Path, model: BlurModel, config: RunConfig, real: Labelled | None) -> list[str]:
    lines = ["## What it scores", ""]
    if best := _best_epoch(run / METRICS_NAME):
        lines.append(f"Held-out pairs, synthetic: AUC {best['auc']:.3f}, AP {best['ap']:.3f}.")
        if baseline := best.get("laplacian_auc"):
            beaten = "" if best["auc"] > baseline else ": this model has learned nothing that is worth using"
            lines.append(f"The Laplacian, which learns nothing: AUC {baseline:.3f}{beaten}.")
        lines.append("")
    if real is None:
        return [*lines, "It was not tried on real photos."]
    found = [_row(f"this model, {name}", _table(_model_maps(model, real, how))) for name, how in SETTINGS.items()]
    for name in DETECTORS:
        finder = detector_finder(name, SHORT_SIDE)
        maps = ((finder.probability(photo), mask) for photo, mask in _read(real, name))
        found.append(_row(f"{name}, which learns nothing, --short-side {SHORT_SIDE}", _table(maps)))
    return [
        *lines,
        f"{len(real)} real photos with masks, none of them seen in training (digest `{real.digest()[:16]}`); means "
        "over photos, and 95 % intervals of a bootstrap over photos:",
        "",
        "| maps | AUC | AP | F of the blurred pixels (beta² .3), best threshold |",
        "|---|---|---|---|",
        *found,
    ]


def _best_epoch(path: Path) -> dict[str, float]:
    """Of the epoch with the lowest validation loss; empty without validation. ModelError if it can't be read."""
    try:
        rows = [json.loads(line) for line in read_plain(path).splitlines()]
        scored = [row for row in rows if None not in [row.get(name) for name in ("val_loss", "auc", "ap")]]
        best = min(scored, key=lambda row: float(row["val_loss"]), default=None)
        known = best or {}
        scores = {name: float(known[name]) for name in ("auc", "ap", "laplacian_auc") if known.get(name) is not None}
        if not all(map(math.isfinite, scores.values())):
            raise ValueError(scores)
        return scores
    except OSError as error:
        raise ModelError(f"{path}: can't be read ({error.strerror}); let the run end first") from None
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ModelError(f"{path}: damaged; let `blurgen train --resume` write it again") from None


def _model_maps(model: BlurModel, real: Labelled, how: dict):
    return ((predict(model, photo, **how), mask) for photo, mask in _read(real, "model"))


def _read(real: Labelled, name: str):
    bar = tqdm(range(len(real)), desc=name, unit="photo", disable=is_quiet(True))
    return (real.read(number) for number in bar)


def _table(maps) -> Table:
    return Table.of(score_image(np.ascontiguousarray(found), mask) for found, mask in maps)


def _row(name: str, table: Table) -> str:
    scores = summary(table, RESAMPLES)

    def cell(key: str) -> str:
        if scores[key] is None or scores["ci"][key] is None:
            return "-"
        low, high = scores["ci"][key]
        return f"{scores[key]:.3f} [{low:.3f}, {high:.3f}]"

    return f"| {name} | " + " | ".join(cell(key) for key in ("auc", "ap", "f_max")) + " |"
