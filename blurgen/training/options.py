"""What a run is asked for beside its parameters and its data, and what it answers."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from blurgen.errors import ArgumentError

CHOICES = {"device": ("auto", "cpu", "cuda"), "amp": ("auto", "bf16", "off"), "cache": ("none", "ram", "gpu")}


@dataclass(frozen=True)
class Real:
    """Photos with human masks to train on; see ``open_labelled`` for the first three."""

    root: str | Path
    polarity: str
    masks: str | None = None
    fraction: float = 1.0
    """Share of those that are not held out that is trained on."""

    def __post_init__(self) -> None:
        if not 0 < self.fraction <= 1:
            raise ArgumentError(f"--real-fraction is {self.fraction}: give a share above 0, 1 at most")


@dataclass(frozen=True)
class Execution:
    """Where a model is trained, and how fast; nothing that decides what it learns."""

    device: str = "auto"
    """auto (a GPU if there is one), cpu or cuda."""
    amp: str = "auto"
    """Products rounded to bfloat16: auto (on a GPU), bf16 or off."""
    compile: bool = False
    cache: str = "none"
    """Decoded pairs are kept: none, ram or gpu."""
    workers: int | None = None
    """Threads that make batches."""
    threads: int | None = None
    """Threads that a CPU computes with; with one, equal runs give equal weights to the bit."""
    checkpoint_every: int = 500
    """Steps."""
    notes: str | Path | None = None
    """Folder where it is noted which data sets were verified; the cache of blurgen if not given."""

    def __post_init__(self) -> None:
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ArgumentError(f"{name} is {getattr(self, name)!r:.40}: give one of {', '.join(known)}")


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
    """In which steps were made, without validation."""
    expected_seconds: float | None
    """A dry run: how long the whole run would take, with validation."""
    pairs_per_second: float
    waiting_share: float
    best: dict | None
    fresh: list[str]
    """Tensors that the file of weights to begin with had nothing for."""

    def to_dict(self) -> dict:
        """As plain values."""
        return asdict(self)
