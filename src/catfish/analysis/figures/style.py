"""One look for all figures: sizes, fonts, colours, and the files they are written to."""

import math
from contextlib import AbstractContextManager
from io import BytesIO

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from catfish.analysis import labels
from catfish.analysis.collect import Case

PAGE = 6.75  # inches: the full width of a two-column page

# Okabe and Ito's palette, which readers with any colour vision can tell apart; one colour per method in all figures.
_COLOURS = {
    "eta_star": "#D55E00",
    "baseline": "#0072B2",
    "fp": "#009E73",
    "gp": "#E69F00",
    "gp_r": "#CC79A7",
    "gp_x": "#56B4E9",
    "mixup": "#000000",
    "small_batch": "#D55E00",
    "large_batch": "#0072B2",
    "gn": "#E69F00",
    "ft": "#009E73",
    "average_jacobian": "#CC79A7",
    "unit_jacobian": "#56B4E9",
}
_OTHER = "#777777"

_STYLE = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine draws the same
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "lines.linewidth": 1.1,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # TrueType: text stays text, and no Type 3 fonts
    "savefig.dpi": 200,
}


def applied() -> AbstractContextManager:
    """The style, for as long as a figure is drawn and saved."""
    return matplotlib.rc_context(_STYLE)


def colour(method: str) -> str:
    return _COLOURS.get(method, _OTHER)


def rows(titles: list[str], height: float) -> tuple[Figure, list[FigureBase]]:
    """A page-wide figure with one titled strip of `height` inches below the other."""
    figure = Figure(figsize=(PAGE, height * len(titles)), layout="constrained")
    strips = list(figure.subfigures(len(titles), 1, squeeze=False)[:, 0])
    return figure, _titled(strips, titles)


def beside(titles: list[str], height: float, columns: int) -> tuple[Figure, list[FigureBase]]:
    """A figure with titled strips of `height` inches beside each other, at most `columns` in a row.

    It is as wide as a page, or as a column of text if there is a single strip.
    """
    columns = min(columns, len(titles))
    lines = math.ceil(len(titles) / columns)
    figure = Figure(figsize=(PAGE if columns > 1 else PAGE / 2, height * lines), layout="constrained")
    return figure, _titled(list(figure.subfigures(lines, columns, squeeze=False).flat), titles)


def _titled(strips: list[FigureBase], titles: list[str]) -> list[FigureBase]:
    """The first of the strips, as many as there are titles."""
    for strip, title in zip(strips, titles):
        strip.suptitle(title, x=0.01, ha="left", fontsize=8, fontweight="bold")
    return strips[: len(titles)]


def finish(
    axes, data: pd.DataFrame, label: str, end: int, unit: str = "epoch", shared: pd.DataFrame | None = None
) -> None:
    """Labels and scales of a panel over a training up to its last epoch or step, once the lines in `data` are drawn.

    The y axis is logarithmic if positive values, other than percentages, span over two decades. Else it starts at zero,
    or, for percentages that stay in the upper half after a tenth of the training, at the lowest of them, so that
    differences can be seen.
    Its range is that of the completed runs, if there are any, in `shared`: the data of all panels with the same axis.
    """
    axes.set_xlabel(unit)
    axes.set_ylabel(label)
    axes.set_xlim(-0.03 * end, 1.03 * end)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, steps=[1, 2, 5, 10]))
    scaled = data if shared is None else shared
    scaled = scaled[_completed(scaled)] if _completed(scaled).any() else scaled
    high = scaled["y_high"].max()
    if not label.endswith("(%)") and spans(scaled["y"]):
        axes.set_yscale("log")
        axes.set_ylim(scaled.loc[scaled["y_low"] > 0, "y_low"].min() / 1.5, 1.5 * high)
    elif high > 0:
        low = scaled.loc[scaled["x"] >= 0.1 * end, "y_low"].min() if label.endswith("(%)") else 0
        low = low if high / 2 < low < high else 0
        axes.set_ylim(low - 0.05 * (high - low) if low else 0, high + 0.05 * (high - low))
    for cross in axes.get_lines():
        if cross.get_marker() == "x":  # of a diverged run: at the edge if it left the range
            cross.set_ydata(np.clip(cross.get_ydata(), *axes.get_ylim()))
    if not _completed(data).any():
        axes.set_title("every run diverged", loc="right", color=_OTHER)


def _completed(data: pd.DataFrame) -> pd.Series:
    return data["outcome"] == "completed"


def note(axes, text: str) -> None:
    """Why a panel does not show what one would expect there."""
    axes.text(0.97, 0.93, text, transform=axes.transAxes, ha="right", va="top", color=_OTHER)


def empty(axes, text: str) -> None:
    """A panel without anything to draw: the reason, and no numbers on its axes."""
    note(axes, text)
    axes.set(xticks=[], yticks=[])


def spans(values: pd.Series) -> bool:
    """Whether the positive values reach over two decades, so that they need a logarithmic axis."""
    positive = values[values > 0]
    return len(positive) > 0 and positive.max() > 100 * positive.min()


def legend(
    strip: FigureBase,
    keys: list[Artist],
    cases: list[Case],
    window: int = 1,
    unit: str = "epochs",
    remark: str = "",
) -> None:
    """The keys below the panels, and what line and band are: runs, spread, and smoothing over `window` epochs.

    `remark` stands in a line of its own.
    """
    counts = sorted({len(case.completed) for case in cases if case.completed})
    if counts[-1:] == [1] or not counts:
        text = "single runs"
    else:
        text = f"mean and range of {' or '.join(map(str, counts))} runs"
    if window > 1:
        text += f"; moving average over {window} {unit}"
    if remark:
        text += f"\n{remark}"
    if any(case.diverged for case in cases):
        keys = [*keys, key("diverged", linestyle="", marker="x")]
    below(strip, keys, text)


def below(strip: FigureBase, keys: list[Artist], title: str) -> None:
    """A legend below the panels, in as many columns as there is room for."""
    renderer = FigureCanvasAgg(strip.figure).get_renderer()
    for columns in range(len(keys), 0, -1):
        drawn = strip.legend(handles=keys, loc="outside lower center", ncols=columns, title=title, title_fontsize=7)
        if drawn.get_window_extent(renderer).width < strip.bbox.width or columns == 1:
            break
        drawn.remove()


def key(text: str, colour: str = "#000000", linestyle: str = "-", marker: str | None = None, **look) -> Line2D:
    """A legend entry; `look` is what else the line has."""
    return Line2D([], [], color=colour, linestyle=linestyle, marker=marker, markersize=4, label=text, **look)


def case_text(case: Case) -> str:
    """A method with the learning rate and coefficient it was trained with, and how many of its runs diverged."""
    name = case.configuration.method
    rate = labels.number(case.learning_rate)
    text = rf"$\eta^*$ = {rate}" if name == "eta_star" else rf"{labels.method_tex(name)}, $\eta$ = {rate}"
    if case.coefficient is not None:
        symbol = r"$\beta$" if name == "mixup" else r"$\alpha$"
        text += f", {symbol} = {labels.number(case.coefficient)}"
    return text + diverged_text(case)


def diverged_text(case: Case) -> str:
    """How many of a case's runs diverged, in parentheses; nothing if none did."""
    return f" ({len(case.diverged)} of {len(case.runs)} diverged)" if case.diverged else ""


def images(figure: Figure) -> dict[str, bytes]:
    """The figure as vector PDF and as PNG at 200 dpi, the same bytes every time."""
    content = {}
    for suffix, metadata in {"pdf": {"CreationDate": None}, "png": {}}.items():
        buffer = BytesIO()
        figure.savefig(buffer, format=suffix, metadata=metadata)
        content[suffix] = buffer.getvalue()
    return content
