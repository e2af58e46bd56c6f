"""The best value of a grid, by validation accuracy."""

import math
from typing import Any

from catfish.analysis.collect import Case, load_case
from catfish.analysis.statistics import report_row, summarise
from catfish.errors import ResultError
from catfish.plan import ETA_STAR, Plan, Selection

_CRITERIA = {
    "last": "validation accuracy at the last epoch",
    "best_validation": "best validation accuracy of all epochs",
}


def choose(plan: Plan, selection: Selection) -> dict[str, Any]:
    """The value with the highest mean validation accuracy over the tuning seeds, and how the others did.

    JSON-able: `best`, `edge` (`low` or `high` if the best is an end of the grid, else null), and under `grid` every
    value with its `score` in [0, 1]. A value with a diverged run has no score. On a tie the smaller value is taken.
    Raises ResultError if no value has a score, RecordError if a run cannot be read.
    """
    setting = plan.params.settings[selection.setting]
    seeds = range(setting.tuning_seeds)
    cases = [load_case(plan, candidate, seeds) for candidate in selection.candidates]
    scores = [_score(case, setting.report) for case in cases]
    best = _best(selection, cases, scores)
    return {
        "setting": selection.setting,
        "quantity": selection.quantity,
        "criterion": f"{_CRITERIA[setting.report]}, mean over {setting.tuning_seeds} seed(s); smaller value on a tie",
        "best": best,
        "edge": _edge(selection.values, best),
        "grid": [
            {
                "value": value,
                "score": score,
                "outcomes": [run.outcome_text for run in case.runs],
                "runs": [run.folder.as_posix() for run in case.runs],
            }
            for value, score, case in zip(selection.values, scores, cases)
        ],
    }


def _score(case: Case, report: str) -> float | None:
    # The mean over the seeds that happened to survive would favour values at the brink of divergence.
    if case.diverged:
        return None
    score = summarise([report_row(run, report)["validation_accuracy"] for run in case.runs]).mean
    return None if math.isnan(score) else score


def _best(selection: Selection, cases: list[Case], scores: list[float | None]) -> float:
    scored = [(score, -value) for value, score in zip(selection.values, scores) if score is not None]
    if scored:
        return -max(scored)[1]
    if len(cases) == 1 and not cases[0].diverged:
        return selection.values[0]  # nothing to choose, so no validation images are needed
    grid, key = ", ".join(f"{value:g}" for value in selection.values), _params_key(selection)
    if any(not case.diverged for case in cases):
        raise ResultError(
            f"{selection.id}: no run of the grid {grid} measured a validation accuracy; hold images out "
            f"(settings.{selection.setting}.validation) or leave one value in {key}"
        )
    raise ResultError(f"{selection.id}: every value of the grid {grid} diverged; widen {key} to smaller values")


def _params_key(selection: Selection) -> str:
    """Where params.yaml holds the grid."""
    name = "learning_rates" if selection.quantity == ETA_STAR else f"coefficients.{selection.quantity}"
    return f"settings.{selection.setting}.{name}"


def _edge(values: tuple[float, ...], best: float) -> str | None:
    if len(values) < 2 or min(values) < best < max(values):
        return None
    return "low" if best == min(values) else "high"
