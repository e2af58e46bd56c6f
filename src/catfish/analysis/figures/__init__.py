"""Figures, each with a PDF, a PNG, and a CSV of exactly what is drawn."""

from collections.abc import Callable
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from catfish.analysis.figures import (
    allocation,
    continuation,
    correlation,
    early,
    explosion,
    hessian,
    memorisation,
    micro_batch_norms,
    micro_batch_sizes,
    onset,
    penalised,
    spectra,
    stability,
    steps,
    style,
    sweeps,
    trajectory,
)
from catfish.errors import ConfigError
from catfish.files import replacing
from catfish.plan import Plan
from catfish.records import write_text

FIGURES: dict[str, Callable[[Plan, str], tuple[Figure, pd.DataFrame]]] = {
    "figure1": explosion.draw,
    "figure2": early.draw,
    "figure3": penalised.draw,
    "figure4": onset.draw,
    "figure5": memorisation.draw,
    "figure6": continuation.draw,
    "figure7": early.draw,
    "figure8": penalised.draw,
    "figure9": memorisation.draw,
    "figure10": continuation.draw,
    "figure11": hessian.draw,
    "figure12": correlation.draw_learning_rates,
    "figure13": sweeps.draw,
    "figure14": sweeps.draw,
    "figure15": steps.draw,
    "figure16": steps.draw,
    "figure17": sweeps.draw,
    "figure18": correlation.draw_hessian,
    "mech_figure1": spectra.draw_curves,
    "mech_figure2": spectra.draw_extremes,
    "mech_figure3": trajectory.draw,
    "mech_figure4": stability.draw,
    "mech_figure5": allocation.draw,
    "mech_figure6": micro_batch_norms.draw,
    "mech_figure7": micro_batch_sizes.draw,
}


def render(plan: Plan, name: str, folder: Path | None = None) -> list[Path]:
    """Write a figure as <name>.pdf, <name>.png and <name>.csv into `folder` (default: the plan's figures).

    Raises ConfigError for an unknown figure, RecordError if a run cannot be read.
    """
    if name not in FIGURES:
        raise ConfigError(f"outputs.{name}: no such figure; there are: {', '.join(FIGURES)}")
    folder = plan.figures if folder is None else folder
    with style.applied():
        figure, data = FIGURES[name](plan, name)
        images = style.images(figure)
    for suffix, content in images.items():
        with replacing(folder / f"{name}.{suffix}") as file:
            file.write(content)
    write_text(folder / f"{name}.csv", data.to_csv(index=False, lineterminator="\n"))
    return [folder / f"{name}.{suffix}" for suffix in (*images, "csv")]
