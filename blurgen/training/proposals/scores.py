"""Fit the learned score of proposals that ships with the package (``python -m blurgen.training.proposals scores``).

Each photo gets its contours from a network that has not seen it, which was trained on every other photo: on photos that
it knows the contours are better than they will ever be. Same photos, networks and builds: the same file.

Source: regression of overlaps from features of masks: Carreira, Sminchisescu, "CPMC: automatic object segmentation
using constrained parametric min-cuts", TPAMI 2012.
"""

from __future__ import annotations

import io
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from blurgen.proposals import ProposalParams, search
from blurgen.proposals.contours import contour_maps, learned_contours
from blurgen.proposals.features import FEATURES
from blurgen.proposals.network import Network
from blurgen.proposals.ranking import FAR
from blurgen.proposals.working import working_photo
from blurgen.training.proposals.bsds import Example, jaccard_indices

_HIDDEN = (32, 16)
_EPOCHS = 15
_BATCH = 4096
_LEARNING_RATE = 3e-3
_WEIGHT_DECAY = 1e-3
_LEAST_BEST = 0.3  # an object that no candidate overlaps by more doesn't make its best one a good one
_SHARPNESS = 2


class Pool(NamedTuple):
    """Features (P, F) of the candidates of one photo and the score (P,) that they should get."""

    features: np.ndarray
    targets: np.ndarray


def gather(examples: list[Example], networks: tuple[Network, Network] | None) -> list[Pool]:
    """The candidates of every photo; learned contours come from the two networks in turn."""
    pools = []
    for number, example in enumerate(tqdm(examples, desc="photos", unit="photo")):
        params = ProposalParams(contours="learned" if networks else "gradient")
        photo = working_photo(example.photo, params.working_side_px)
        maps = learned_contours(photo, networks[number % 2]) if networks else contour_maps(photo, "gradient")
        found = search.segment(maps, photo, params.least_superpixel)
        masks, features = search.pool(found, photo, params)
        pools.append(Pool(features, target_scores(jaccard_indices(example.segments, found.graph.labels, masks))))
    return pools


def target_scores(overlaps: np.ndarray) -> np.ndarray:
    """1 for the best candidate of any object, falling with the square of how far others are behind: (P,) float64.

    ``overlaps``, (G, P), are the Jaccard indices of G objects with P candidates. Not the index itself, since the best
    candidate of an object that is hard to find is what a list of proposals needs, too.
    """
    best = np.maximum(overlaps.max(axis=1, keepdims=True), _LEAST_BEST)
    return (overlaps / best).max(axis=0) ** _SHARPNESS


def fit(pools: list[Pool], seed: int) -> list[np.ndarray]:
    """Mean and deviation of the features (2, F), then weights and biases of each layer. Each photo counts the same."""
    torch.manual_seed(seed)
    features = np.concatenate([pool.features for pool in pools])
    scale = np.stack([features.mean(axis=0), features.std(axis=0) + 1e-6])
    inputs = torch.from_numpy(np.clip((features - scale[0]) / scale[1], -FAR, FAR).astype(np.float32))
    targets = torch.from_numpy(np.concatenate([pool.targets for pool in pools]).astype(np.float32))
    shares = np.concatenate([np.full(len(pool.targets), 1 / len(pool.targets)) for pool in pools])
    shares = torch.from_numpy((shares / shares.mean()).astype(np.float32))
    widths = (len(FEATURES), *_HIDDEN, 1)
    layers = [nn.Linear(*pair) for pair in pairwise(widths)]
    _descend(layers, inputs, targets, shares)
    return [scale, *(value.detach().numpy() for layer in layers for value in (layer.weight, layer.bias))]


def _descend(layers: list[nn.Linear], inputs: torch.Tensor, targets: torch.Tensor, shares: torch.Tensor) -> None:
    network = nn.Sequential(*(part for layer in layers for part in (layer, nn.ReLU())))[:-1]
    size = min(_BATCH, len(inputs))
    batches = len(inputs) // size
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, _EPOCHS * batches, pct_start=0.1)
    for _ in tqdm(range(_EPOCHS), desc="score", unit="epoch"):
        for rows in torch.randperm(len(inputs))[: batches * size].view(batches, size):
            loss = (shares[rows] * (network(inputs[rows])[:, 0] - targets[rows]) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()


def train_scores(examples: list[Example], even: Network, odd: Network, seed: int) -> bytes:
    """The bytes of the learned scores of both kinds of contours. ``even`` and ``odd`` were trained on those halves."""
    torch.set_num_threads(1)
    arrays = {}
    for kind, networks in (("learned", (odd, even)), ("gradient", None)):
        values = fit(gather(examples, networks), seed)
        arrays |= {f"{kind}.{place}": value.astype(np.float32) for place, value in enumerate(values)}
    data = io.BytesIO()
    np.savez_compressed(data, **arrays)
    return data.getvalue()
