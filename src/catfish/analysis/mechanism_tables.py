"""mech_table1 and mech_table2, extremes of the spectra and the edge of stability: CSV, Markdown, LaTeX and a page."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from catfish.analysis import labels, layout, mechanisms, webpage
from catfish.analysis.collect import Case, LoadedRun, load
from catfish.config import Params
from catfish.plan import Plan
from catfish.records import write_text

Number = Callable[[LoadedRun], float]


@dataclass(frozen=True)
class MechanismTable:
    """A title, the numbers of a run by heading, and notes."""

    title: str
    quantities: dict[str, Number]
    notes: tuple[str, ...]


def _largest(column: str) -> Number:
    return lambda run: mechanisms.largest(run, column)


def _arrival(run: LoadedRun) -> float:
    start = mechanisms.arrival(run)
    return math.nan if start is None else float(start)


TABLES = {
    "mech_table1": MechanismTable(
        "Extremes of the spectra along training",
        {
            "λ_H^1": _largest("hessian_largest"),
            "λ_K^1": _largest("covariance_largest"),
            "Tr(K)": _largest("covariance_trace"),
            "λ_H^k/λ_H^1": _largest("hessian_conditioning"),
            "λ_K^*/λ_K^1": _largest("covariance_conditioning"),
        },
        ("Maxima over training from the end of the first epoch on.",),
    ),
    "mech_table2": MechanismTable(
        "Full-batch gradient descent at the edge of stability",
        {
            "arrival": _arrival,
            "λ_H^1 η/2": mechanisms.mean_stability,
            "rising steps": mechanisms.share_of_rises,
            "last loss": lambda run: float(run.history["minibatch_loss"].iloc[-1]),
        },
        (
            "Arrival: the first measured step at which λ_H^1 reaches 2/η from below; the next two columns are from"
            " there on: the time average of λ_H^1 η/2, and the share of the steps that raise the training loss.",
        ),
    ),
}


def render(plan: Plan, name: str, folder: Path) -> list[Path]:
    """Write the table as <name>.csv (tidy), .md, .tex and .html. Raises RecordError if a run cannot be read."""
    cases = load(plan, plan.shown(name))
    data, cells = collect(plan.params, name, cases), _cells(plan.params, name, cases)
    heading, notes = _heading(plan.params, name), _notes(name, cases)
    grid = cells.to_markdown(index=False, disable_numparse=True, colalign=["left"] + ["right"] * (cells.shape[1] - 1))
    listed = "\n".join(f"- {note}" for note in notes)
    markdown = f"# {heading}\n\n{grid}\n\n{listed}\n".replace("^*", r"^\*")
    texts = {
        "csv": data.to_csv(index=False, lineterminator="\n"),
        "md": markdown,
        "tex": _latex(name, cells, heading, notes),
        "html": webpage.from_markdown(markdown),
    }
    for suffix, text in texts.items():
        write_text(folder / f"{name}.{suffix}", text)
    return [folder / f"{name}.{suffix}" for suffix in texts]


def collect(params: Params, name: str, cases: list[Case]) -> pd.DataFrame:
    """One row per run and quantity; of a diverged run the value is missing."""
    return pd.DataFrame([
        {"setting": case.configuration.setting, "label": labels.setting(params, case.configuration.setting),
         **mechanisms.hyperparameters(case), "seed": run.seed, "outcome": run.outcome_text, "quantity": quantity,
         "value": of(run) if run.completed else math.nan}
        for case in cases
        for run in case.runs
        for quantity, of in TABLES[name].quantities.items()
    ])  # fmt: skip


def _cells(params: Params, name: str, cases: list[Case]) -> pd.DataFrame:
    """A row a case: model and data, learning rate, batch size, and every quantity."""
    rows = []
    for case in cases:
        values = mechanisms.hyperparameters(case)
        row = {"": labels.setting(params, case.configuration.setting), "η": labels.number(values["learning_rate"]),
               "S": f"{values['batch_size']}"}  # fmt: skip
        row |= {title: _cell(case, of) for title, of in TABLES[name].quantities.items()}
        rows.append(row)
    return pd.DataFrame(rows)


def _cell(case: Case, of: Number) -> str:
    """`mean ± std (n)` to three digits over the completed runs that have the number, or a dash."""
    values = [value for run in case.completed if not math.isnan(value := of(run))]
    if not values:
        return "–"
    spread = f" ± {labels.number(float(np.std(values, ddof=1)))}" if len(values) > 1 else ""
    return f"{labels.number(float(np.mean(values)))}{spread} ({len(values)})"


def _heading(params: Params, name: str) -> str:
    return f"Table M{name.removeprefix('mech_table')}: {TABLES[name].title}, {params.scale} scale"


def _notes(name: str, cases: list[Case]) -> list[str]:
    notes = ["Mean ± sample standard deviation (number of completed runs that have the number).", *TABLES[name].notes]
    for case in cases:
        if case.diverged:
            notes.append(f"{case.configuration.id}: {len(case.diverged)} of {len(case.runs)} runs diverged.")
    return notes


def _latex(name: str, cells: pd.DataFrame, heading: str, notes: list[str]) -> str:
    """A booktabs table in the `table*` environment, notes below."""
    shown = cells.map(layout.tex)
    shown.columns = [_symbol(title) for title in cells]
    table = shown.to_latex(index=False, column_format="l" + "r" * (cells.shape[1] - 1), caption=layout.tex(heading),
                           label=f"tab:{name}", escape=False)  # fmt: skip
    below = " ".join(_symbol(layout.tex(note)) for note in notes)
    return (
        table.replace("\\begin{table}\n", "\\begin{table*}\n\\footnotesize\n\\centering\n")
        .replace("\\end{tabular}\n", f"\\end{{tabular}}\n\\par\\smallskip {below}\n")
        .replace("\\end{table}", "\\end{table*}")
    )


def _symbol(text: str) -> str:
    """Headings and notes of this module as LaTeX."""
    symbols = {"λ_H^k/λ_H^1": r"$\lambda_H^k/\lambda_H^1$", "λ_K^*/λ_K^1": r"$\lambda_K^*/\lambda_K^1$",
               "λ_H^1 η/2": r"$\lambda_H^1\eta/2$", "λ_H^1": r"$\lambda_H^1$", "λ_K^1": r"$\lambda_K^1$",
               r"λ\_H^1 η/2": r"$\lambda_H^1\eta/2$", r"λ\_H^1": r"$\lambda_H^1$",
               "Tr(K)": r"$\mathrm{Tr}(\mathbf{K})$",
               "η": r"$\eta$"}  # fmt: skip
    for plain, tex in symbols.items():
        text = text.replace(plain, tex)
    return text
