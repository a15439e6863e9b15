"""The course of a training run as a picture: loss, AUC and average precision over the steps."""

from __future__ import annotations

import io
import math

from blurgen.errors import DependencyError

SIZE_IN, DPI = (11.0, 4.2), 110
PANELS = (
    ("loss", (("loss", "training", "#9aa5b1", "-"), ("val_loss", "held out", "#d1495b", "-"))),
    (
        "score of held-out pairs",
        (
            ("auc", "AUC", "#00798c", "-"),
            ("ap", "average precision", "#edae49", "-"),
            ("laplacian_auc", "AUC of the Laplacian", "#5c5c5c", "--"),
        ),
    ),
)
"""Title -> curves: key of a row, name, colour, line."""


def curves_png(metrics: list[dict]) -> bytes:
    """Two panels over the steps, loss and scores, as a PNG; equal rows give equal bytes.

    ``metrics``: the rows of metrics.jsonl; "step" and any of the keys in ``PANELS``. Values that are missing, None or
    no finite numbers leave a gap that is drawn over. Raises DependencyError without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise DependencyError("matplotlib is not installed; pip install 'blurgen[train]'") from None
    figure = Figure(SIZE_IN, DPI, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (title, curves) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        _draw_panel(axes, title, {curve: _points(metrics, curve[0]) for curve in curves})
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "blurgen curves"})
    return buffer.getvalue()


def _points(metrics: list[dict], key: str) -> list[tuple[int, float]]:
    """(step, value) wherever the value is a number."""
    rows = ((row.get("step"), row.get(key)) for row in metrics)
    return [(step, value) for step, value in rows if _is_number(step) and _is_number(value)]


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _draw_panel(axes, title: str, curves: dict[tuple, list[tuple[int, float]]]) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel("step")
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    for (_, name, colour, line), points in curves.items():
        if points:
            marker = "o" if len(points) <= 40 else None
            last = f"{name} ({points[-1][1]:.3f})"
            axes.plot(*zip(*points, strict=True), line, color=colour, label=last, marker=marker, markersize=3)
    if any(curves.values()):
        axes.legend(frameon=False, fontsize=9)
    else:
        axes.text(0.5, 0.5, "nothing measured", transform=axes.transAxes, ha="center", color="#5c5c5c")
