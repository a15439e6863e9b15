"""When memory runs out: which flag to lower."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from blurgen.errors import TrainingError
from blurgen.training.params import TrainingParams


@contextmanager
def memory_advice(params: TrainingParams) -> Iterator[None]:
    """Turns what torch and Python raise when memory runs out into a TrainingError."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and not _is_memory(error):
            raise
        batch, size = params.batch.size, params.augment.size
        raise TrainingError(
            f"out of memory with {params.model} at --batch {batch} and --crop {size}; lower one of them, "
            "use a smaller --model, or less --cache"
        ) from None


def _is_memory(error: RuntimeError) -> bool:
    text = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in text or "can't allocate memory" in text
