"""The numbers and curves that `dvc metrics` and `dvc plots` show."""

import math
from typing import Any

import pandas as pd

from catfish.analysis.collect import load
from catfish.analysis.statistics import max_fisher_trace, summarise, test_accuracy
from catfish.plan import Configuration, Plan, is_figure

_CURVES = ["validation_accuracy", "test_accuracy", "fisher_trace"]


def metrics(plan: Plan) -> dict[str, dict[str, dict[str, Any]]]:
    """Setting -> method -> mean `test_accuracy` in [0, 1], mean `max_fisher_trace` and `n`, the runs that completed.

    Covers what the plan's tables show. The means are None where every run diverged.
    """
    result: dict[str, dict[str, dict[str, Any]]] = {}
    for case in load(plan, _in_tables(plan)):
        configuration = case.configuration
        report = plan.params.settings[configuration.setting].report
        result.setdefault(configuration.setting, {})[configuration.method] = {
            "test_accuracy": _mean([test_accuracy(run, report) for run in case.completed]),
            "max_fisher_trace": _mean([max_fisher_trace(run) for run in case.completed]),
            "n": len(case.completed),
        }
    return result


def curves(plan: Plan) -> pd.DataFrame:
    """Mean over the completed runs, for what the plan's tables show; one row per setting, method and epoch."""
    parts = []
    for case in load(plan, _in_tables(plan)):
        if case.completed:
            histories = pd.concat([run.history for run in case.completed])
            mean = histories.groupby("epoch", as_index=False)[_CURVES].mean()
            parts.append(mean.assign(setting=case.configuration.setting, method=case.configuration.method))
    columns = ["setting", "method", "epoch", *_CURVES]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _in_tables(plan: Plan) -> list[Configuration]:
    tables = [name for name, output in plan.params.outputs.items() if not (is_figure(name) or output.sweep)]
    return list(dict.fromkeys(configuration for name in tables for configuration in plan.shown(name)))


def _mean(values: list[float]) -> float | None:
    mean = summarise(values).mean
    return None if math.isnan(mean) else mean
