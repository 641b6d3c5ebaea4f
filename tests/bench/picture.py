"""Draws the rates of the engines: latest.svg."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl  # type: ignore[import-not-found, unused-ignore] # the extra `bench`
from matplotlib.axes import Axes  # type: ignore[import-not-found, unused-ignore] # as above
from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore] # as above

from bench.figures import Figures, Series

OURS, THEIRS, CEILING = "#0b6e4f", "#9aa5b1", "#d5dbe1"
WIDTH_INCHES = 8.0
BAR_INCHES = 0.42
FRAME_INCHES = 1.1


def draw(figures: Figures, path: Path) -> None:
    """Draw a bar an engine, with the spread over the rounds.

    Raises:
        LookupError: nothing was measured that could be drawn.
    """
    drains = [one for one in figures.series.values() if one.row == "drain" and one.unit == "jobs/s"]
    ceiling = figures.series.get(("ceiling", "pgbench"))
    paced = [
        one
        for one in figures.series.values()
        if one.row == "paced" and one.unit == "jobs/s" and one.name.endswith(" 100 at once")
    ]
    panels = [
        (
            "Drain of no-ops, one process; thousands a second",
            [*([ceiling] if ceiling else []), *drains],
        ),
        ("10 ms a call, 100 at once; thousands a second, ideal 10", paced),
    ]
    panels = [(title, series) for title, series in panels if series]
    if not panels:
        raise LookupError("neither drain nor paced was measured: no picture")
    # Text stays text, and the same figures give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "chimewayd", "font.size": 10}):
        heights = [len(series) * BAR_INCHES + FRAME_INCHES for _, series in panels]
        figure = Figure(figsize=(WIDTH_INCHES, sum(heights)), layout="constrained")
        rows = figure.subplots(len(panels), 1, squeeze=False, height_ratios=heights)
        for axes, (title, series) in zip(rows.flat, panels, strict=True):
            _bars(axes, title, series)
        figure.savefig(path, format="svg", metadata={"Date": None}, facecolor="white")


def _bars(axes: Axes, title: str, series: Sequence[Series]) -> None:
    ranked = sorted(series, key=lambda one: one.median)
    rates = [one.median / 1000 for one in ranked]
    spreads = [
        [(one.median - one.low) / 1000 for one in ranked],
        [(one.high - one.median) / 1000 for one in ranked],
    ]
    labels = [_label(one) for one in ranked]
    colors = [_color(one) for one in ranked]
    axes.barh(labels, rates, xerr=spreads, color=colors, capsize=3, ecolor="#52606d", height=0.65)
    for place, (rate, one) in enumerate(zip(rates, ranked, strict=True)):
        axes.annotate(
            f"{rate:.1f}", (one.high / 1000, place), (6, 0), textcoords="offset points", va="center"
        )
    axes.set_title(title, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.1)


def _label(series: Series) -> str:
    if series.row == "ceiling":
        return "Postgres alone\n(the same statements, pgbench)"
    return series.name.removesuffix(", 100 at once")


def _color(series: Series) -> str:
    if series.row == "ceiling":
        return CEILING
    return OURS if series.name.startswith("chimewayd") else THEIRS
