"""The claims as CSV (one row a part), and to be read: a summary of the claims, then the parts of each."""

import math
from collections import Counter

import pandas as pd

from catfish.analysis.claims.intervals import LEVEL, Estimate
from catfish.analysis.claims.verdicts import Claim, Part, Statement, Verdict
from catfish.config import Params

COLUMNS = ["claim", "name", "claim_verdict", "statement", "part", "statistic", "unit", "states", "value", "low", "high",
           "n", "paper", "verdict", "reason", "note"]  # fmt: skip
_SYMBOLS = {"η*": r"$\eta^*$", "η": r"$\eta$", "α": r"$\alpha$", "−": "$-$", "–": "--", r"GP\_r": "GP$_r$",
            r"GP\_x": "GP$_x$", "<": "$<$", ">": "$>$",
            r"λ\_H\textasciicircum 1": r"$\lambda_{H}^1$", r"λ\_K\textasciicircum 1": r"$\lambda_{K}^1$",
            r"λ\_K\textasciicircum *": r"$\lambda_{K}^*$"}  # fmt: skip


def table(claims: list[Claim]) -> pd.DataFrame:
    """One row a part; a statement that was not run is one row without numbers."""
    rows = []
    for claim in claims:
        for statement in claim.statements:
            nothing = Part("", Estimate(math.nan, math.nan, math.nan, 0), Verdict.NOT_RUN, "no output shows it")
            rows += [_row(claim, statement, part) for part in statement.parts or (nothing,)]
    return pd.DataFrame(rows, columns=COLUMNS)


def _row(claim: Claim, statement: Statement, part: Part) -> list:
    of_claim = [claim.number, claim.name, claim.verdict.value]
    of_statement = [statement.text, part.label, statement.statistic, statement.unit, statement.region.text]
    estimate = part.estimate
    numbers = [estimate.value, estimate.low, estimate.high, estimate.n, part.paper]
    return [*of_claim, *of_statement, *numbers, part.verdict.value, part.reason, part.note]


def markdown(params: Params, claims: list[Claim]) -> str:
    """A page: the summary, then every claim with what the paper reports and a table of its parts."""
    summary = pd.DataFrame(
        [[f"{claim.number}", claim.text, _bold(claim.verdict), _counts(claim)] for claim in claims],
        columns=["", "Claim", "Verdict", "Parts"],
    )
    sections = [f"# The paper's claims\n\n{_heading(params)}", _grid(summary), *map(_section, claims)]
    return "\n\n".join(sections).replace("η*", r"η\*").replace("^*", r"^\*") + "\n"


def latex(params: Params, claims: list[Claim]) -> str:
    """The summary as a booktabs table in the `table*` environment."""
    rows = [[claim.number, claim.text, claim.verdict.value, _counts(claim)] for claim in claims]
    table = pd.DataFrame(rows, columns=["", "Claim", "Verdict", "Parts"]).to_latex(
        index=False,
        escape=True,
        column_format=r"rp{0.58\textwidth}lp{0.2\textwidth}",
        caption=f"The paper's claims. {_heading(params)}".replace("%", r"\%"),
        label="tab:claims",
    )
    for plain, tex in _SYMBOLS.items():
        table = table.replace(plain, tex)
    return table.replace("\\begin{table}\n", "\\begin{table*}\n\\footnotesize\n\\centering\n").replace(
        "\\end{table}", "\\end{table*}"
    )


def _heading(params: Params) -> str:
    smaller = "" if params.scale == "paper" else ", whose runs are shorter or smaller than the paper's"
    return (
        f"Scale {params.scale}{smaller}. A part is reproduced if its {100 * LEVEL:.0f} % interval over runs lies where"
        " the paper states it, contradicted if it lies wholly elsewhere, and inconclusive otherwise; a statement takes"
        " the verdict of more than half of its parts, and a claim needs all its statements."
    )


def _section(claim: Claim) -> str:
    """One claim: its text, the paper's evidence, and its statements."""
    head = f"## {claim.number}. {claim.text}\n\n**{claim.verdict.capitalize()}.** {claim.source}: {claim.paper}"
    return "\n\n".join([head, *map(_statement, claim.statements)])


def _statement(statement: Statement) -> str:
    unit = "" if statement.unit == "1" else f" ({statement.unit})"
    verdict = statement.verdict
    head = f"*{statement.text}*: {verdict}. Stated: {statement.statistic}{unit} {statement.region.text}."
    if not statement.parts:
        return head
    columns = ["", "Value [95 % interval]", "Runs", "Paper", "Verdict", "Why, and notes"]
    parts = [
        [part.label, _interval(part.estimate), f"{part.estimate.n}", _number(part.paper), part.verdict.value,
         "; ".join(filter(None, [part.reason, part.note]))]
        for part in statement.parts
    ]  # fmt: skip
    return f"{head}\n\n{_grid(pd.DataFrame(parts, columns=columns))}"


def _grid(cells: pd.DataFrame) -> str:
    return cells.to_markdown(index=False, disable_numparse=True)


def _counts(claim: Claim) -> str:
    """How many parts came out how, such as `3 reproduced, 1 inconclusive`; statements that were not run count one."""
    verdicts = [part.verdict for statement in claim.statements for part in statement.parts]
    found = Counter(verdicts + [Verdict.NOT_RUN for statement in claim.statements if not statement.parts])
    return ", ".join(f"{found[verdict]} {verdict}" for verdict in Verdict if found[verdict])


def _interval(estimate: Estimate) -> str:
    if math.isnan(estimate.low):
        return _number(estimate.value)
    return f"{_number(estimate.value)} [{_number(estimate.low)}, {_number(estimate.high)}]"


def _number(value: float) -> str:
    """Three significant digits, or two decimals from 10 on."""
    if math.isnan(value):
        return "–"
    text = f"{value:.2f}" if abs(value) >= 10 else f"{value:.3g}"
    return text.replace("-", "−")


def _bold(verdict: Verdict) -> str:
    return f"**{verdict}**" if verdict in (Verdict.REPRODUCED, Verdict.CONTRADICTED) else str(verdict)
