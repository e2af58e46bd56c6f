"""The scale of a panel follows from what is drawn in it."""

import pandas as pd
import pytest
from matplotlib.figure import Figure

from catfish.analysis.figures import style

ACCURACY, TRACE = "accuracy (%)", "Tr(F)"


@pytest.mark.parametrize(
    "label, values, limits",
    [
        (ACCURACY, [10, 70, 72, 74], (70 - 0.2, 74 + 0.2)),  # what comes later is what is compared
        (ACCURACY, [10, 30, 72, 74], (0, 1.05 * 74)),  # below half of the highest
        (ACCURACY, [10, 10, 10, 10], (0, 10.5)),
        (TRACE, [10, 70, 72, 74], (0, 1.05 * 74)),
        (TRACE, [0.1, 70, 72, 74], (0.1 / 1.5, 1.5 * 74)),  # logarithmic
    ],
)
def test_the_range_of_the_y_axis(label, values, limits):
    axes = Figure().subplots()
    data = pd.DataFrame({"x": range(len(values)), "y": values, "outcome": "completed"})
    style.finish(axes, data.assign(y_low=data["y"], y_high=data["y"]), label, end=len(values) - 1)
    assert axes.get_ylim() == pytest.approx(limits)
