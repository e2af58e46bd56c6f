"""An ordered colour for an ordered quantity, such as the coefficient alpha: larger is warmer, in all figures."""

from collections.abc import Collection

import matplotlib
import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.figure import FigureBase
from matplotlib.ticker import FixedLocator

from catfish.analysis import labels
from catfish.analysis.collect import Case

# Dark blue to orange, lighter step by step, so that the order also shows in grey and with any colour vision; without
# plasma's yellow end, which is hard to see on white.
_COLOURS = LinearSegmentedColormap.from_list("ordered", matplotlib.colormaps["plasma"](np.linspace(0, 0.8, 256)))
_TICKS = 12  # that a strip has room for


def colours(values: Collection[float]) -> ScalarMappable:
    """Colours over the logarithm of positive values, by `to_rgba`; half a decade to either side of a single value."""
    low, high = min(values), max(values)
    return ScalarMappable(LogNorm(low, high) if low < high else LogNorm(low / 10**0.5, high * 10**0.5), _COLOURS)


def coefficient_bar(strip: FigureBase, axes, scale: ScalarMappable, cases: list[Case]) -> None:
    """A colour bar with a tick for every case's coefficient; those with a diverged run have a cross."""
    crosses = {case.coefficient: r" $\times$" if case.diverged else "" for case in cases}
    bar = strip.colorbar(scale, ax=axes, pad=0.01, aspect=25)
    # Above the bar, without room of its own: only a strip's title, at the left, is at this height.
    bar.ax.text(0.5, 1.03, r"$\alpha$", transform=bar.ax.transAxes, ha="center").set_in_layout(False)
    values = sorted(crosses)[:: -(-len(crosses) // _TICKS)]
    bar.ax.yaxis.set_major_locator(FixedLocator(values))
    bar.ax.set_yticklabels([labels.number(value) + crosses[value] for value in values])
    bar.minorticks_off()
