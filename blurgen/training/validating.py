"""How well a model does on the photos that were held out."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch.nn import functional

from blurgen.evaluation.detectors import laplacian
from blurgen.evaluation.metrics import image_scores
from blurgen.training.batches import REAL
from blurgen.training.examples import Example, Examples
from blurgen.training.inputs import to_inputs, to_targets
from blurgen.training.models import BlurModel
from blurgen.training.predict import predict
from blurgen.training.processes import Process

MAX_PIXELS = 1 << 21
"""Of images that go through the model at once."""


def validate(model: BlurModel, examples: Examples, process: Process, autocast) -> dict[str, float | int | None]:
    """Cross entropy, AUC and AP (means over images) of the held-out examples, whole and as they are stored.

    Where real photos are held out, ``val_loss``, ``auc`` and ``ap`` are theirs, and those of the synthetic pairs are
    called ``synthetic_val_loss`` and so on. A score that is undefined (all masks of one class) is None. AUC and AP are
    those of 8-bit maps, which `blurgen predict` writes.
    """
    model.eval()
    row = {}
    for prefix, kind in _held_out(examples):
        row |= {prefix + name: value for name, value in _scores(model, examples, kind, process, autocast).items()}
    model.train()
    return row


def baseline_auc(examples: Examples, process: Process) -> dict[str, float | None]:
    """AUC of the Laplacian, which learns nothing, on the examples that ``auc`` is about: what a model has to beat."""
    for _, kind in _held_out(examples)[:1]:
        aucs = [image_scores(laplacian(image), mask)[0] for image, mask in _own(examples, kind, process)]
        defined = [auc for auc in aucs if not math.isnan(auc)]
        total, count = process.sum([sum(defined), len(defined)])
        return {"laplacian_auc": total / count if count else None}
    return {}


def _held_out(examples: Examples) -> list[tuple[str, int]]:
    """What their scores' names begin with, and the kinds of examples that are held out, real photos first."""
    kinds = sorted((kind for kind in examples.held_out if len(examples.held_out[kind])), reverse=True)
    return [("synthetic_" if kind != REAL and REAL in kinds else "", kind) for kind in kinds]


def _own(examples: Examples, kind: int, process: Process) -> Iterator[Example]:
    """This process's share of the held-out examples."""
    count = len(examples.held_out[kind])
    return (examples.read_held_out(kind, index) for index in range(process.rank, count, process.world))


@torch.inference_mode()
def _scores(model: BlurModel, examples: Examples, kind: int, process: Process, autocast) -> dict:
    loss = weights = auc = ap = defined = 0.0
    for group in _groups(_own(examples, kind, process)):
        images, masks = (np.stack(parts) for parts in zip(*group, strict=True))
        logits = _logits(model, images, process, autocast)
        target, weight = to_targets(masks, process.device)
        loss += float((weight * functional.binary_cross_entropy_with_logits(logits, target, reduction="none")).sum())
        weights += float(weight.sum())
        maps = (torch.sigmoid(logits)[:, 0] * 255).round().byte().cpu().numpy()
        for one, mask in zip(maps, masks, strict=True):
            scores = image_scores(one, mask)
            if not math.isnan(scores[0]):
                auc, ap, defined = auc + scores[0], ap + scores[1], defined + 1
    loss, weights, auc, ap, defined = process.sum([loss, weights, auc, ap, defined])
    mean_of = {"val_loss": (loss, weights), "auc": (auc, defined), "ap": (ap, defined)}
    return {name: total / over if over else None for name, (total, over) in mean_of.items()}


def _logits(model: BlurModel, images: np.ndarray, process: Process, autocast) -> torch.Tensor:
    """(N, 1, H, W) float32. A photo that is too large to go through the model at once goes in tiles."""
    if images[0, :, :, 0].size > MAX_PIXELS:
        found = torch.from_numpy(predict(model, images[0])).to(process.device)
        return torch.logit(found, eps=1e-6)[None, None]
    with torch.backends.cudnn.flags(benchmark=False), autocast():  # real photos have many shapes
        return model(to_inputs(images, process.device)).float()


def _groups(examples: Iterator[Example]) -> Iterator[list[Example]]:
    """Runs of examples of one shape, as many as ``MAX_PIXELS`` allows, one at least."""
    group: list[Example] = []
    for example in examples:
        full = group and (
            example.image.shape != group[0].image.shape or (len(group) + 1) * example.mask.size > MAX_PIXELS
        )
        if full:
            yield group
            group = []
        group.append(example)
    if group:
        yield group
