"""One process or several: where this one computes, and what they tell each other (``torchrun`` starts several)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import distributed, nn

from blurgen.errors import ArgumentError, BlurgenError, TrainingError
from blurgen.params import one_line

TIMEOUT = timedelta(minutes=10)
"""The longest that a process waits for another one in the middle of a step."""

PATIENCE = timedelta(hours=12)
"""The longest that it waits while the one that leads looks at the data."""


@dataclass(frozen=True)
class Process:
    """Process ``rank`` of ``world``, which computes on ``device``."""

    rank: int
    world: int
    device: torch.device
    patient: distributed.ProcessGroup | None = None

    @property
    def leads(self) -> bool:
        """Whether this one writes the files."""
        return self.rank == 0

    def sum(self, values: list[float]) -> list[float]:
        """The sums of ``values`` over all processes, in float64."""
        if self.world == 1:
            return values
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return total.tolist()

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean of a tensor over all processes; it stays on its device and may be changed."""
        if self.world > 1:
            distributed.all_reduce(value)
            value /= self.world
        return value

    def led(self, work: Callable[[], None]) -> None:
        """Let the leading process do ``work`` while the others wait; a BlurgenError of it is raised in all of them."""
        error = None
        if self.leads:
            try:
                work()
            except BlurgenError as raised:
                error = raised
        if self.world > 1:
            told = [error and (type(error), str(error))]
            distributed.broadcast_object_list(told, group=self.patient)
            if told[0] and not self.leads:
                error = told[0][0](told[0][1])
        if error:
            raise error

    def share_buffers(self, model: nn.Module) -> None:
        """Give all processes the running statistics of the leading one, which are those that are stored."""
        if self.world > 1:
            for buffer in model.buffers():
                distributed.broadcast(buffer, 0)

    def spread(self, model: nn.Module) -> nn.Module:
        """The model, with gradients averaged over all processes."""
        if self.world == 1:
            return model
        return nn.parallel.DistributedDataParallel(
            model, device_ids=None if self.device.type == "cpu" else [self.device]
        )


@contextmanager
def joined(device: str) -> Iterator[Process]:
    """This process among those that ``torchrun`` started, or alone. ``device``: auto, cpu or cuda."""
    world, rank, local = (_from_environment(name, least) for name, least in PLACES)
    chosen = choose_device(device, local)
    if world == 1:
        yield Process(0, 1, chosen)
        return
    cuda = chosen.type == "cuda"
    if cuda:
        torch.cuda.set_device(chosen)
    try:
        distributed.init_process_group("nccl" if cuda else "gloo", timeout=TIMEOUT, device_id=chosen if cuda else None)
    except (ValueError, RuntimeError) as error:
        what = f"{one_line(error):.100}"
        raise ArgumentError(f"the processes don't find each other ({what}); start them by torchrun") from None
    try:
        yield Process(rank, world, chosen, distributed.new_group(timeout=PATIENCE, backend="gloo"))
    except RuntimeError as error:
        if isinstance(error, distributed.DistError) or "gloo" in str(error).lower() or "nccl" in str(error).lower():
            raise TrainingError("another process of this run has ended; its own message says why") from None
        raise
    finally:
        distributed.destroy_process_group()


PLACES = (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0))
"""What torchrun says in the environment, and the least that each can be."""


def _from_environment(name: str, least: int) -> int:
    text = os.environ.get(name, str(least))
    if not text.isdecimal() or int(text) < least:
        raise ArgumentError(f"${name} is {text!r:.20}: unset it, or start by torchrun")
    return int(text)


def choose_device(name: str, local_rank: int = 0) -> torch.device:
    """auto (a GPU if there is one), cpu or cuda. Raises ArgumentError where there is no such thing."""
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ArgumentError("--device cuda: torch finds no CUDA device here; use --device cpu")
    if name == "cpu" or not found:
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        raise ArgumentError(f"process {local_rank} has no GPU of its own; start {torch.cuda.device_count()} at most")
    return torch.device("cuda", local_rank)
