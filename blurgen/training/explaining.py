"""What torch raises, told in a line: which flag to lower when memory runs out, and what to leave out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2
import torch

from blurgen.errors import BlurgenError, DependencyError, TrainingError
from blurgen.training.params import TrainingParams

_COMPILER = ("torch._inductor", "torch._dynamo")


@contextmanager
def explained(params: TrainingParams) -> Iterator[None]:
    """Turns memory that runs out into a TrainingError, and a compiler that fails into a DependencyError."""
    try:
        yield
    except BlurgenError:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise TrainingError(
                f"out of memory with {params.model} at --batch {params.batch.size} and --crop {params.augment.size}; "
                "lower one of them, use a smaller --model, or less --cache"
            ) from None
        if type(error).__module__.startswith(_COMPILER):
            raise DependencyError(f"--compile does not work here ({type(error).__name__}); leave it out") from None
        raise


def is_out_of_memory(error: Exception) -> bool:
    """Of the accelerator or of the machine: torch says the latter by a plain RuntimeError, OpenCV by a code."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    if isinstance(error, cv2.error):
        return error.code == cv2.Error.StsNoMem
    text = str(error).lower()
    return isinstance(error, RuntimeError) and ("out of memory" in text or "can't allocate memory" in text)
