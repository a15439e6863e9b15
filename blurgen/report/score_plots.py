"""Scores as pictures and tables: F by threshold, precision over recall."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable

from blurgen.errors import DependencyError

SIZE_IN, DPI = (12.0, 4.6), 110
COLOURS = {"all": "#00798c", "defocus": "#edae49", "motion": "#d1495b"}
CONSTANT = "#5c5c5c"
KEYS = ("threshold", "precision", "recall", "f1", "f_blurred", "f_focused")


def curves_png(curves: dict[str, dict], constant: dict[str, dict]) -> bytes:
    """F by threshold and precision over recall as a PNG; equal curves give equal bytes.

    Parameters
    ----------
    curves : dict
        Group of images ("all", "defocus", "motion") -> ``Curves.by_threshold`` of it.
    constant : dict
        The same groups -> the scores of a constant map, of which "f_blurred", "f_focused" and "pooled_ap" are drawn.

    Raises DependencyError without matplotlib.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise DependencyError("matplotlib is not installed; pip install 'blurgen[train]'") from None
    figure = Figure(SIZE_IN, DPI, layout="constrained")
    FigureCanvasAgg(figure)
    left, middle, right = figure.subplots(1, 3)
    for axes, key, name in ((left, "f_blurred", "blurred"), (middle, "f_focused", "focused")):
        _frame(axes, f"F ({name}, beta² = .3), mean of images", "threshold", "F")
        _draw(axes, curves, "threshold", key, {group: scores[key] for group, scores in constant.items()})
    _frame(right, "precision and recall of all pixels", "recall", "precision")
    _draw(right, curves, "recall", "precision", {group: scores["pooled_ap"] for group, scores in constant.items()})
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": "blurgen eval"})
    return buffer.getvalue()


def curves_csv(curves: dict[str, dict]) -> bytes:
    """The same curves: a row for each group and threshold, empty where a value is not defined."""
    rows = (
        (group, *(_cell(values[key][place]) for key in KEYS))
        for group, values in curves.items()
        for place in range(len(values["threshold"]))
    )
    return to_csv(("images", *KEYS), rows)


def images_csv(names: Iterable[str], types: Iterable[str], auc: Iterable[float], ap: Iterable[float]) -> bytes:
    """AUC and AP of each image, empty where its truth has one class."""
    rows = (
        (name, kind, _cell(one), _cell(other)) for name, kind, one, other in zip(names, types, auc, ap, strict=True)
    )
    return to_csv(("name", "type", "auc", "ap"), rows)


def to_csv(header: tuple[str, ...], rows: Iterable[tuple]) -> bytes:
    """A table in UTF-8 with line feeds."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _cell(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.6f}"


def _frame(axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.set(xlabel=x, ylabel=y, xlim=(0, 1), ylim=(0, 1.01))
    axes.grid(color="#e6e6e6", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw(axes, curves: dict[str, dict], x: str, y: str, constant: dict[str, float | None]) -> None:
    """A line for each group, dotted for its constant map."""
    for group, values in curves.items():
        axes.plot(values[x], values[y], color=COLOURS[group], label=group, linewidth=2 if group == "all" else 1.2)
        if constant[group] is not None:
            axes.axhline(constant[group], color=COLOURS[group], linestyle=":", linewidth=1)
    axes.plot([], [], color=CONSTANT, linestyle=":", label="constant map")
    axes.legend(frameon=False, fontsize=9, loc="lower center")
