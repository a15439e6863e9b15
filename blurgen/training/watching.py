"""What people watch while a model trains: curves.png, and TensorBoard's files where that is installed."""

from __future__ import annotations

import math
import time
from importlib.util import find_spec
from pathlib import Path

from blurgen.files import publish
from blurgen.report.curves import curves_png
from blurgen.training.run import CURVES_NAME

EVENTS_NAME = "tensorboard"
DRAWN_EVERY_S = 30


class Watching:
    """Called with all rows of metrics.jsonl, at the end of each epoch, and once more at the end of the run.

    The curves are drawn seldom, since that may take longer than an epoch; at the end they show every row.
    """

    def __init__(self, out: Path) -> None:
        self._out, self._writer, self._drawn = out, None, -math.inf

    def __call__(self, rows: list[dict], last: bool = False) -> None:
        if last or time.monotonic() - self._drawn > DRAWN_EVERY_S:
            publish(self._out / CURVES_NAME, curves_png(rows))
            self._drawn = time.monotonic()
        if not last and find_spec("tensorboard"):
            self._to_tensorboard(rows[-1])

    def _to_tensorboard(self, row: dict) -> None:
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # After a resume, what a former process wrote of this step and later ones no longer counts.
            self._writer = SummaryWriter(str(self._out / EVENTS_NAME), purge_step=row["step"])
        for name, value in row.items():
            if isinstance(value, float):
                self._writer.add_scalar(name, value, row["step"])
        self._writer.flush()

    def close(self) -> None:
        """Close TensorBoard's file, if there is one."""
        if self._writer is not None:
            self._writer.close()
