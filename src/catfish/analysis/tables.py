"""The tables: our numbers beside the paper's, as CSV, Markdown, LaTeX and a page."""

import math
from pathlib import Path

import pandas as pd

from catfish.analysis import labels, layout, mechanism_tables, published, webpage
from catfish.analysis.collect import Case, load
from catfish.analysis.quantities import BASELINE, TABLES, Quantity
from catfish.analysis.statistics import summarise
from catfish.errors import ConfigError
from catfish.plan import Configuration, Plan
from catfish.records import write_text


def render(plan: Plan, name: str, folder: Path | None = None) -> list[Path]:
    """Write a table as <name>.csv (tidy), .md, .tex and .html into `folder` (default: the plan's figures).

    Raises ConfigError for an unknown table, RecordError if a run or selection cannot be read.
    """
    folder = plan.figures if folder is None else folder
    if name in mechanism_tables.TABLES:
        return mechanism_tables.render(plan, name, folder)
    if name not in TABLES:
        known = ", ".join([*TABLES, *mechanism_tables.TABLES])
        raise ConfigError(f"outputs.{name}: no such table; there are: {known}")
    frame = collect(plan, name)
    markdown = layout.markdown(plan.params, name, frame)
    texts = {
        "csv": frame.to_csv(index=False, lineterminator="\n"),
        "md": markdown,
        "tex": layout.latex(plan.params, name, frame),
        "html": webpage.from_markdown(markdown),
    }
    for suffix, text in texts.items():
        write_text(folder / f"{name}.{suffix}", text)
    return [folder / f"{name}.{suffix}" for suffix in texts]


def collect(plan: Plan, name: str) -> pd.DataFrame:
    """The table's content, one row per setting, quantity and method.

    `ours_mean` and `ours_std` are over the `n` runs that completed; `difference` is ours minus the paper's; `edge`
    names the selections behind the runs whose best value is an end of its grid.
    """
    if plan.params.outputs[name].sweep:
        raise ConfigError(f"outputs.{name}.sweep: a table shows the best coefficient only; set it to null")
    output = plan.params.outputs[name]
    cases = dict(zip(output.cells, load(plan, plan.shown(name))))  # a method's runs may be another setting's
    return pd.DataFrame([
        _row(plan, name, quantity, (setting, method), cases)
        for setting in output.settings
        for quantity in TABLES[name].quantities
        for method in output.methods
        if (setting, method) in cases and quantity.shown(setting)
    ])  # fmt: skip


def _row(plan: Plan, name: str, quantity: Quantity, cell: tuple[str, str], cases: dict[tuple[str, str], Case]) -> dict:
    (setting, method), case, baseline = cell, cases[cell], cases.get((cell[0], BASELINE))
    spec, paper_data = plan.params.settings[setting], published.dataset(setting)
    base = summarise([quantity.of_run(run, spec) for run in baseline.completed] if baseline else []).mean
    ours = summarise([quantity.ours(quantity.of_run(run, spec), base) for run in case.completed])
    value = quantity.published(name, setting, method)
    return {
        "setting": setting,
        "label": labels.setting(plan.params, setting),
        "dataset": spec.dataset,
        "method": method,
        "quantity": quantity.name,
        "ours_mean": ours.mean,
        "ours_std": ours.std,
        "n": ours.n,
        "diverged": len(case.diverged),
        "published": value,
        "published_spread": published.entries(name)["spread"].get((setting, method), math.nan),
        "difference": ours.mean - value if quantity.differs else math.nan,
        "unit": quantity.unit,
        "edge": "; ".join(_edges(plan, case.configuration)),
        "outcomes": "; ".join(f"{run.outcome_text} (seed {run.seed})" for run in case.diverged),
        "note": "" if labels.comparable(plan.params, setting) else f"{spec.dataset} in place of {paper_data}",
    }


def _edges(plan: Plan, configuration: Configuration) -> list[str]:
    """The selections of a configuration that ended at an end of their grid, as text."""
    return [text for selection in plan.needs(configuration) if (text := labels.edge(plan, selection))]
