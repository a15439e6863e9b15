"""What pairs teach about real photos: one model for each recipe, judged on really defocused photos.

    python benchmarks/sim_to_real.py --data DIR --work DIR [--seeds 0 1 2] TRIAL ...
    python benchmarks/sim_to_real.py --table [--against TRIAL] [TRIAL ...]
    python benchmarks/sim_to_real.py --effects

A trial is a recipe and what is changed of it or of the training, as one argument:

    "real"   "standard mask.kinds={half-plane=1} targets.unknown=true"   "real model=unet-s batch.steps=3000 pairs=9000"

For each trial and seed: PAIRS pairs of the photos of BSDS500 (train) and VOC (those without instance masks), a model
trained on them (TRAINING; one thread), and its AUC on DIR/realblur_dev, ``mask_dense``, unknown pixels left out: mean
over the photos of a scene, then over scenes, at a short side of 320 px, at native size, and with --tta scales and
--spread (SIZES). Beside it, on pairs of photos that no model has seen (BSDS500 val) with human segments as masks: AUC,
and how well the borders are met within 3 px; and AUC on photos blurred by moving frames (moving_frames.py).
The training-free detectors are trials too, by their names.

Done trials are rows of benchmarks/results/sim_to_real.csv, one for each trial and seed, appended when it ends: run the
same command again after an interruption, and what is missing is done. --table gives means over seeds, and differences
to one trial with 95 % intervals (bootstrap over scenes); --effects what each change alone is worth, by least squares
over all trials that began as ``standard``, many changes being tried at once. DIR holds bsds500, VOCdevkit/VOC2007 and
realblur_dev.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import io
import json
import os
import sys
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from hashlib import sha256
from multiprocessing import get_context
from pathlib import Path

os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1", MKL_NUM_THREADS="1")

import cv2
import moving_frames
import numpy as np

from blurgen import load_recipe, make_dataset, open_source
from blurgen.dataset.manifest import read_manifest
from blurgen.errors import ArgumentError, BlurgenError
from blurgen.evaluation.detectors import DETECTORS
from blurgen.evaluation.metrics import image_scores, paired_bootstrap
from blurgen.evaluation.scaling import enlarged, smaller
from blurgen.files import publish
from blurgen.masks import annotated_objects
from blurgen.recipe import Recipe
from blurgen.sources.labelled import open_labelled
from blurgen.synthesis import Studio
from blurgen.training.params import PRESETS, TrainingParams
from blurgen.training.proposals.bsds import read_examples

PAIRS = 1600
TRAINING = {
    "model": "unet-xs",
    "optimizer.lr": 0.004,
    "optimizer.schedule": "constant",
    "optimizer.averaging": 3.0,
    "optimizer.weight_decay": 0.02,
    "batch.steps": 500,
    "batch.size": 16,
    "batch.val_share": 0.0,
    "augment.size": "96x96",
    "augment.brightness": 0.3,
    "augment.contrast": 0.3,
}
SIZES = {
    "320": {"short_side": 320},
    "320 spread": {"short_side": 320, "spread": True},
    "native": {},
    "native spread": {"spread": True},
    "scales": {"tta": "scales"},
    "scales spread": {"tta": "scales", "spread": True},
}
"""Name -> how the maps of real photos are made, as ``predict`` takes it; detectors know the short side alone. Where
``predict`` changes what these mean, rows have to be made again by hand: no identity tells."""
HELD_OUT = "alvarez-gila-2019"
"""Recipe of the pairs with human segments; those whose masks are cruder could not tell where a border is."""
TOLERANCE_PX = 3
SCORES = ("held_out_auc", "border_f", "border_f_spread", "motion_auc")
RESULTS = Path(__file__).parent / "results" / "sim_to_real.csv"
TRAINING_SECTIONS = {"model", "optimizer", "batch", "augment", "loss"}


def parse_trial(text: str) -> tuple[Recipe, int, TrainingParams]:
    """The recipe of a trial, the number of its pairs, and the training."""
    name, *changes = text.split()
    recipe, count, training = {}, {"pairs": PAIRS}, dict(TRAINING)
    for change in changes:
        key, _, value = change.partition("=")
        with suppress(tomllib.TOMLDecodeError):  # a word without quotes
            value = tomllib.loads(f"value = {value}")["value"]
        (count if key in count else training if key.split(".")[0] in TRAINING_SECTIONS else recipe)[key] = value
    if type(count["pairs"]) is not int or count["pairs"] < 1:
        raise ArgumentError(f"{text}: pairs={count['pairs']} is no number of pairs; give a whole one, from 1 on")
    return load_recipe(name).with_values(recipe, text), count["pairs"], PRESETS["default"].with_values(training, text)


def identity(text: str) -> str:
    """What a trial comes to: rows of an edited recipe or another training are others, whatever they are called.

    Parameters of training that are as they are by default don't count, so that new ones make no trial another; so a
    default of ``TrainingParams`` that is changed has to be pinned in ``TRAINING``.
    """
    if text in DETECTORS:
        return ""
    recipe, count, training = parse_trial(text)
    values = training.model_dump(mode="json", exclude={"name"}, exclude_defaults=True)
    return sha256(json.dumps([recipe.digest, count, values], sort_keys=True).encode()).hexdigest()[:16]


def photos_to_train_on(data: Path, work: Path) -> Path:
    """A folder of links: BSDS500's train photos and those of VOC that have no instance masks."""
    voc = data / "VOCdevkit" / "VOC2007"
    annotated = {path.stem for path in (voc / "SegmentationObject").iterdir()}
    chosen = [path for path in (voc / "JPEGImages").iterdir() if path.stem not in annotated]
    folder = work / "photos"
    folder.mkdir(parents=True, exist_ok=True)
    for path in [*(data / "bsds500" / "images" / "train").glob("*.jpg"), *chosen]:
        link = folder / path.name
        if not link.is_symlink():
            link.symlink_to(path.resolve())
    return folder


def pairs_of(recipe: Recipe, count: int, seed: int, work: Path) -> Path:
    """The data set of a recipe, made once; a second job that wants it waits."""
    out = work / "pairs" / sha256(f"{recipe.digest}-{count}-{seed}".encode()).hexdigest()[:16]
    out.parent.mkdir(parents=True, exist_ok=True)
    source = open_source("folder", work / "photos")
    with alone(out):
        make_dataset(source, count, out, recipe=recipe, seed=seed, workers=1, progress=False)
    return out


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """One process at a time, by a lock beside the path."""
    with open(f"{path}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def held_out_pairs(data: Path) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Images (H, W, 3) and masks (H, W) bool: one pair of each of BSDS500's val photos, human segments as regions."""
    recipe = load_recipe(HELD_OUT).with_values(
        {"mask.kinds": {"object": 1.0}, "mask.area_range": [0.05, 0.6], "geometry.crop_scale_range": [1.0, 1.0]}
    )
    for number, example in enumerate(read_examples(data / "bsds500", "val")):
        objects = annotated_objects(example.segments[0].astype(np.int32))
        pair = Studio(example.photo, recipe, {"object": objects}).make(0, number)
        yield pair.image, pair.mask


def kept(name: str, make: Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]], work: Path) -> list[tuple]:
    """Images and masks, made once for all jobs, and again when the code that makes them is another."""
    code = b"".join(Path(file).read_bytes() for file in (__file__, moving_frames.__file__))
    path = work / f"{name}-{sha256(code).hexdigest()[:12]}.npz"
    with alone(path):
        if not path.exists():
            found = list(make())
            with io.BytesIO() as file:
                np.savez(file, *(array for pair in found for array in pair))
                publish(path, file.getvalue())
    with np.load(path) as arrays:
        return [(arrays[f"arr_{at}"], arrays[f"arr_{at + 1}"]) for at in range(0, len(arrays.files), 2)]


def border_f(found: list[np.ndarray], masks: list[np.ndarray]) -> float:
    """The best mean F, over thresholds, of the borders of maps against those of masks, within TOLERANCE_PX."""
    levels = np.unique(np.quantile(np.stack(found)[:, ::4, ::4], np.linspace(0.1, 0.9, 17)))
    return max(
        float(np.mean([_border_f(one > level, mask) for one, mask in zip(found, masks, strict=True)]))
        for level in levels
    )


def _border_f(found: np.ndarray, mask: np.ndarray) -> float:
    edges = [_border(one) for one in (found, mask)]
    if not edges[0].any():
        return 0.0
    near = [cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for edge in edges]
    precision = (near[1][edges[0]] <= TOLERANCE_PX).mean()
    recall = (near[0][edges[1]] <= TOLERANCE_PX).mean()
    return 2 * precision * recall / max(precision + recall, 1e-9)


def _border(mask: np.ndarray) -> np.ndarray:
    border = np.zeros(mask.shape, bool)
    border[:, 1:] |= mask[:, 1:] != mask[:, :-1]
    border[1:] |= mask[1:] != mask[:-1]
    return border


def judge(find, options: argparse.Namespace) -> dict[str, float]:
    """The scores of what finds blur, a function of a photo (H, W, 3) and of the short side to work at."""
    real = open_labelled(options.data / "realblur_dev", "white", masks="mask_dense")
    scores: dict[str, list[float]] = {}
    for number, name in enumerate(real.names):
        photo, mask = real.read(number)
        for size, how in SIZES.items():
            scene = f"{size}/{name.partition('_')[0]}"
            scores.setdefault(scene, []).append(image_scores(find(photo, **how), mask)[0])
    pairs = kept("held_out", lambda: held_out_pairs(options.data), options.work)
    masks = [mask for _, mask in pairs]
    found, filled = ([find(image, **how) for image, _ in pairs] for how in ({}, {"spread": True}))
    auc = np.mean([image_scores(one, mask)[0] for one, mask in zip(found, masks, strict=True)])
    moving = kept("moving", lambda: moving_frames.moving_pairs(options.data / "bsds500"), options.work)
    motion = np.nanmean([image_scores(find(image), mask)[0] for image, mask in moving])
    means = {scene: round(float(np.mean(some)), 5) for scene, some in sorted(scores.items())}
    borders = {"border_f": border_f(found, masks), "border_f_spread": border_f(filled, masks)}
    facts = {"held_out_auc": auc, **borders, "motion_auc": motion}
    return {name: round(float(value), 5) for name, value in facts.items()} | means


def do_trial(text: str, seed: int, options: argparse.Namespace) -> dict:
    """One row of the results."""
    begun = time.perf_counter()
    cv2.setNumThreads(1)
    if text in DETECTORS:
        facts = {"data": "", "seconds": 0}
        find = partial(detected, text)
    else:
        find, facts = learned(text, seed, options)
        facts["seconds"] = round(time.perf_counter() - begun)
    known = {"trial": text, "seed": seed, "identity": identity(text), "date": time.strftime("%Y-%m-%d")}
    return known | facts | judge(find, options)


def detected(name: str, photo: np.ndarray, short_side: int | None = None, **_) -> np.ndarray:
    """The map of a detector, which can't do what models can."""
    return enlarged(_detected(name, photo.tobytes(), photo.shape, short_side), photo.shape[:2])


@lru_cache(maxsize=4)
def _detected(name: str, pixels: bytes, shape: tuple, short_side: int | None) -> np.ndarray:
    """Once for what ``SIZES`` tell apart and detectors do not."""
    return DETECTORS[name](smaller(np.frombuffer(pixels, np.uint8).reshape(shape), short_side))


def learned(text: str, seed: int, options: argparse.Namespace):
    """The model of a trial as a function of a photo and a short side, and what is known of its data."""
    from blurgen.training.options import Execution
    from blurgen.training.predict import predict
    from blurgen.training.run import CHECKPOINT_NAME, load_model
    from blurgen.training.session import train_model

    recipe, count, training = parse_trial(text)
    pairs = pairs_of(recipe, count, seed, options.work)
    out = options.work / "runs" / f"{identity(text)}-{seed}"
    how = Execution(device="cpu", threads=1, workers=0, cache="ram", notes=options.work)
    if not (out / "trial.txt").exists():  # it was trained, and perhaps not yet judged
        train_model([pairs], out, training, seed=seed, how=how, resume=(out / "config.toml").exists())
        publish(out / "trial.txt", f"{text}\n".encode())
        (out / CHECKPOINT_NAME).unlink()
    model, _ = load_model(out)
    return partial(predict, model), {"data": read_manifest(pairs)["digest"][:12]}


def read_rows() -> list[dict[str, str]]:
    if not RESULTS.exists():
        return []
    with RESULTS.open(newline="") as file:
        return list(csv.DictReader(file))


def append(row: dict) -> None:
    """Add a row; the file as a whole is there at any moment."""
    with alone(RESULTS), io.StringIO(newline="") as file:
        rows = [*read_rows(), row]
        columns = dict.fromkeys(name for one in reversed(rows) for name in one)
        writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        publish(RESULTS, file.getvalue().encode())


def run(options: argparse.Namespace) -> int:
    """Do what is missing; how many trials failed."""
    known = {text: identity(text) for text in options.trials}  # a slip of the pen is known at once
    photos_to_train_on(options.data, options.work)
    done = {(row["trial"], int(row["seed"]), row["identity"]) for row in read_rows()}
    jobs = [(text, 0 if text in DETECTORS else seed) for seed in options.seeds for text in options.trials]
    jobs = [job for job in dict.fromkeys(jobs) if (*job, known[job[0]]) not in done]
    failed = 0
    with ProcessPoolExecutor(options.jobs, get_context("spawn"), max_tasks_per_child=1) as pool:
        try:
            waiting = {pool.submit(do_trial, text, seed, options): (text, seed) for text, seed in jobs}
            for future in as_completed(waiting):
                failed += not _record(future, *waiting[future])
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return failed


def _record(future: Future, text: str, seed: int) -> bool:
    """Keep the row of a trial and tell of it; False if it failed."""
    if error := future.exception():
        print(f"{text}, seed {seed}: {error!r}", file=sys.stderr, flush=True)
        return False
    append(row := future.result())
    means = " ".join(f"{np.mean(scenes(row, size)):.4f}" for size in SIZES)
    others = " ".join(f"{name} {row[name]:.3f}" for name in SCORES)
    print(f"{means} {others} {row['seconds']:4} s  seed {seed}  {text}", flush=True)
    return True


def scenes(row: dict, size: str) -> np.ndarray:
    """AUC of each scene, in the order of their names."""
    return np.array([float(row[name] or "nan") for name in sorted(row) if name.startswith(f"{size}/")])


def _mean_scene(row: dict, size: str) -> float:
    """Mean over scenes; not a number where that size was not tried yet."""
    found = scenes(row, size)
    return float(found.mean()) if found.size else float("nan")


def table(options: argparse.Namespace) -> str:
    """Means over seeds (and their standard deviation), and differences to one trial with their intervals, in points."""
    found: dict[str, list[dict]] = {}
    every = read_rows()
    for row in every:
        if row["identity"] in ("", _identity_now(row["trial"])):
            found.setdefault(row["trial"], []).append(row)
    if options.against and options.against not in found:
        raise SystemExit(f"--against {options.against}: there is no row of it as it is now")
    reference = _scene_means(found.get(options.against, []))
    titles = ["trial", "seeds", *SCORES, *SIZES, *(f"{size}, against it" for size in SIZES if reference)]
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    for text in options.trials or found:
        rows = found.get(text, [])
        if not rows:
            continue
        cells = [_mean_and_sd([float(row.get(name) or "nan") for row in rows], 3) for name in SCORES]
        cells += [_mean_and_sd([_mean_scene(row, size) for row in rows], 4) for size in SIZES]
        own = _scene_means(rows)
        cells += [_difference(own[size] - reference[size]) for size in SIZES if reference]
        lines.append(f"| `{text}` | {len(rows)} | " + " | ".join(cells) + " |")
    if left_out := len(every) - sum(map(len, found.values())):
        lines.append(f"\nLeft out: {left_out} rows of trials that are others by now.")
    return "\n".join(lines)


def _identity_now(text: str) -> str | None:
    """None of a trial that can't be made any more."""
    with suppress(BlurgenError):
        return identity(text)
    return None


def _scene_means(rows: list[dict]) -> dict[str, np.ndarray]:
    """By size, the AUC of each scene, mean over rows; nothing of none."""
    return {size: np.mean([scenes(row, size) for row in rows], axis=0) for size in SIZES} if rows else {}


def _mean_and_sd(values: list[float], digits: int) -> str:
    if np.isnan(values).any():
        return ""
    spread = f" ± {np.std(values, ddof=1):.{digits}f}" if len(values) > 1 else ""
    return f"{np.mean(values):.{digits}f}{spread}"


def _difference(scene_differences: np.ndarray) -> str:
    if not (scene_differences.size and np.isfinite(scene_differences).all()):
        return ""
    return "{:+.2f} [{:.2f}, {:.2f}]".format(*paired_bootstrap(100 * scene_differences, 0))


def effects() -> str:
    """What each change is worth in points, and its standard error: least squares over the designs' trials of
    ``standard``, which all change the same keys. Changes that always came together are one.
    """
    rows = [row for row in read_rows() if row["trial"].startswith("standard ") and "model=" not in row["trial"]]
    keys = [{change.partition("=")[0] for change in row["trial"].split()[1:]} for row in rows]
    counts = Counter(key for one in keys for key in one)
    always = {key for key, count in counts.items() if count >= 0.9 * len(rows)}
    rows = [row for row, own in zip(rows, keys, strict=True) if own >= always]
    sizes = [size for size in SIZES if all(np.isfinite(scenes(row, size)).any() for row in rows)]  # some came later
    scores = [[scenes(row, size).mean() for size in sizes] + [float(row["border_f"])] for row in rows]
    together = changes_of([row["trial"] for row in rows])
    found, errors = _least_squares(np.array(list(together), float).T, 100 * np.array(scores))
    lines = [f"{len(rows)} trials.", "", "| change | with it | " + " | ".join([*sizes, "border F"]) + " |"]
    lines.append("|" + "---|" * (len(sizes) + 3))
    for (where, names), values, error in zip(together.items(), found, errors, strict=True):
        cells = " | ".join(f"{value:+.2f} ± {one:.2f}" for value, one in zip(values, error, strict=True))
        lines.append(f"| `{' '.join(names)}` | {sum(where)} | {cells} |")
    return "\n".join(lines)


def changes_of(trials: list[str]) -> dict[tuple[bool, ...], list[str]]:
    """Where a change was made, trial by trial, and its name. Of keys that every trial changes, the change made most
    often is what the others are measured against."""
    made = [dict(change.split("=", 1) for change in text.split()[1:]) for text in trials]
    made = [{key: value.removesuffix(".0") for key, value in one.items()} for one in made]
    together: dict[tuple[bool, ...], list[str]] = {}
    for key in dict.fromkeys(key for one in made for key in one):
        counts = Counter(one.get(key) for one in made)
        usual = None if None in counts else max(counts, key=lambda value: (counts[value], value))
        for value in sorted(set(counts) - {usual, None}):
            where = tuple(one.get(key) == value for one in made)
            together.setdefault(where, []).append(f"{key}={value}")
    return together


def _least_squares(changes: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What each column of ``changes`` (trials, changes) adds to each of the scores (trials, K), and standard errors."""
    design = np.column_stack([np.ones(len(changes)), changes])
    found, _, rank, _ = np.linalg.lstsq(design, scores, rcond=None)
    if rank < design.shape[1]:
        raise SystemExit("the trials can't tell all changes apart: do more of them")
    noise = ((scores - design @ found) ** 2).sum(axis=0) / max(1, len(scores) - rank)
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design))[:, None] * noise)
    return found[1:], errors[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trials", nargs="*", help="see above")
    parser.add_argument("--data", type=Path, help="bsds500, VOCdevkit and realblur_dev lie here")
    parser.add_argument("--work", type=Path, help="pairs and weights are kept here")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0], help="of pairs and training (default: 0)")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)), help="at once (default: the cores)")
    parser.add_argument("--table", action="store_true", help="print what was found, run nothing")
    parser.add_argument("--effects", action="store_true", help="print what each change is worth, run nothing")
    parser.add_argument("--against", help="the table gives the differences to this trial")
    options = parser.parse_args()
    if options.table or options.effects:
        print(table(options) if options.table else effects())
        return
    if not (options.data and options.work and options.trials):
        parser.error("give --data, --work and a trial, or --table, or --effects")
    try:
        sys.exit(bool(run(options)))
    except (BlurgenError, OSError) as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
