"""Tables for reading: Markdown, and LaTeX made from the same cells."""

import math
import re

import pandas as pd

from catfish.analysis import labels, published
from catfish.analysis.quantities import NOTES, TABLES, Quantity
from catfish.analysis.statistics import Summary
from catfish.config import Params

_LATEX_BEGIN = r"""\begin{table*}
\footnotesize
\setlength{\tabcolsep}{3pt}
\centering
"""


def markdown(params: Params, name: str, frame: pd.DataFrame) -> str:
    """A heading, a pipe table and notes. `frame` is the content that `tables.collect` makes."""
    cells = _layout(params, name, frame)
    cells.columns = ["", *map(labels.method, params.outputs[name].methods)]
    grid = cells.to_markdown(index=False, disable_numparse=True, colalign=["left"] + ["right"] * (cells.shape[1] - 1))
    notes = "\n".join(f"- {note}" for note in _notes(params, name, frame))
    return f"# {labels.output(name)}: {TABLES[name].title}\n\n{_heading(params, name)}\n\n{grid}\n\n{notes}\n"


def latex(params: Params, name: str, frame: pd.DataFrame) -> str:
    """A booktabs table in the `table*` environment, notes below."""
    cells = _layout(params, name, frame).map(tex)
    cells.columns = ["", *map(labels.method_tex, params.outputs[name].methods)]
    table = cells.to_latex(
        index=False,
        column_format="l" + "r" * (cells.shape[1] - 1),
        caption=tex(f"{TABLES[name].title}, {labels.output(name)} of {_origin(name)}. {_heading(params, name)}"),
        label=f"tab:{name}",
    )
    notes = " ".join(tex(note) for note in _notes(params, name, frame))
    return (
        table.replace("\\begin{table}\n", _LATEX_BEGIN)
        .replace("\\end{tabular}\n", f"\\end{{tabular}}\n\\par\\smallskip {notes}\n")
        .replace("\\end{table}", "\\end{table*}")
    )


def tex(text: str) -> str:
    """Markdown text of this module as LaTeX."""
    text = re.sub(r"([%_&#])", r"\\\1", text)
    for plain, tex in {
        "η*": r"$\eta^*$",
        "±": r"$\pm$",
        "−": "$-$",
        "–": "--",
        "†": r"$^\dagger$",
        "Tr(F)": r"$\mathrm{Tr}(\mathbf{F})$",
        r"GP\_x": "GP$_x$",
        r"GP\_r": "GP$_r$",
    }.items():
        text = text.replace(plain, tex)
    text = re.sub(r"\*\*(.+?)\*\*", r"\\textbf{\1}", text)
    return re.sub(r"(?<!\^)\*(.+?)(?<!\^)\*", r"\\emph{\1}", text)


def _origin(name: str) -> str:
    return "the experiments around the paper" if name.startswith("mech_") else "the paper"


def _listed(words: list[str], conjunction: str) -> str:
    *others, last = words
    return f"{', '.join(others)} {conjunction} {last}" if others else last


def _heading(params: Params, name: str) -> str:
    """The scale, and what keeps it from comparing with the paper."""
    names = params.outputs[name].settings
    epochs = sorted({params.settings[setting].epochs for setting in names})
    parts = [f"Scale {params.scale}: {_listed([str(value) for value in epochs], 'or')} epochs."]
    for data in dict.fromkeys(params.settings[s].dataset for s in names if not labels.comparable(params, s)):
        listed = [s for s in names if params.settings[s].dataset == data and not labels.comparable(params, s)]
        written = _listed(list(dict.fromkeys(published.label(setting) or setting for setting in listed)), "and")
        parts.append(f"In place of the paper's data, {written} use {data}: not comparable with the paper's numbers.")
    if len(parts) == 1 and params.scale != "paper":
        parts.append("Runs at this scale are shorter or smaller than the paper's.")
    return " ".join(parts)


def _layout(params: Params, name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Text cells: per setting its name, then ours, the paper's and the difference of every quantity."""
    rows, methods = [], list(params.outputs[name].methods)
    for setting in params.outputs[name].settings:
        part = frame[frame["setting"] == setting]
        rows.append([f"*{labels.setting(params, setting)}*"] + [""] * len(methods))
        for quantity in TABLES[name].quantities:
            if not quantity.shown(setting):
                continue
            block = part[part["quantity"] == quantity.name].set_index("method").reindex(methods)
            # The frame has ours only, and a method may be shown in another setting alone
            block["published"] = [quantity.published(name, setting, method) for method in methods]
            rows += [[head, *cells] for head, cells in _block(quantity, block, params, setting).items()]
    return pd.DataFrame(rows)


def _block(quantity: Quantity, part: pd.DataFrame, params: Params, setting: str) -> dict[str, list[str]]:
    """The rows of one quantity in one setting: ours, and where there are any, the paper's and the differences."""
    ours = [_ours(row) for row in part.itertuples()]
    block = {f"{quantity.title}, ours": _bold_best(ours, part["ours_mean"], quantity.best)}
    if part["published"].notna().any():
        printed = ["–" if math.isnan(value) else f"{value:.2f}" for value in part["published"]]
        block["paper"] = _bold_best(printed, part["published"], quantity.best)
    # Between two different data sets a difference would say nothing.
    if part["difference"].notna().any() and labels.comparable(params, setting):
        block["difference"] = ["" if math.isnan(row.n) else _signed(row.difference) for row in part.itertuples()]
    return block


def _ours(row) -> str:
    """`mean ± std (n)` of a row of the frame, or how its runs diverged; empty where the table does not show any."""
    if math.isnan(row.n):
        return ""
    if row.n == 0:
        return row.outcomes.partition(" (seed")[0]
    cell = "–" if math.isnan(row.ours_mean) else Summary(row.ours_mean, row.ours_std, int(row.n)).text(2)
    return cell + ("†" if row.edge else "")


def _bold_best(cells: list[str], values: pd.Series, best: str) -> list[str]:
    rounded = values.round(2)  # what reads the same is best together
    top = rounded.max() if best == "max" else rounded.min()
    return [f"**{cell}**" if value == top else cell for cell, value in zip(cells, rounded)]


def _signed(value: float) -> str:
    # Adding zero turns the -0.0 that rounding can give into 0.0.
    return "–" if math.isnan(value) else f"{round(value, 2) + 0.0:+.2f}".replace("-", "−")


def _notes(params: Params, name: str, frame: pd.DataFrame) -> list[str]:
    """What the cells mean, the table's own notes, and which values diverged or lie at the edge of a grid."""
    best = TABLES[name].quantities[0].best
    notes = [
        "Ours: mean ± sample standard deviation (number of runs). Bold: "
        f"{'highest' if best == 'max' else 'lowest'} of the row."
    ]
    if TABLES[name].quantities[0].name == "test_accuracy":
        notes += _report_notes(params, name)
    notes += NOTES[name]
    for row in frame.drop_duplicates(["setting", "method"]).itertuples():
        if row.diverged:
            notes.append(
                f"{row.label}, {labels.method(row.method)}: {row.outcomes}; {row.diverged} of "
                f"{row.diverged + row.n} runs left out of the mean."
            )
    edges = dict.fromkeys(edge for cell in frame["edge"] if cell for edge in cell.split("; "))
    return notes + ([f"† Chosen at the edge of a grid: {'; '.join(edges)}."] if edges else [])


def _report_notes(params: Params, name: str) -> list[str]:
    """At which epoch the accuracy was taken, setting by setting if they differ."""
    reports: dict[str, list[str]] = {}
    for setting in params.outputs[name].settings:
        reports.setdefault(params.settings[setting].report, []).append(labels.setting(params, setting))
    if len(reports) == 1:
        return [f"Accuracy at {labels.EPOCHS[next(iter(reports))]}."]
    return [f"Accuracy at {labels.EPOCHS[report]}: {' and '.join(where)}." for report, where in reports.items()]
