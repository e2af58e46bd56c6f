"""Settings that share a panel: what they are called, and how they differ."""

from collections.abc import Iterable

import pandas as pd

from catfish.analysis import labels
from catfish.analysis.collect import Case
from catfish.config import Params

ACCURACY = {"last": "final test accuracy (%)", "best_validation": "test accuracy (%)\nat best validation"}
_SYMBOLS = {"learning_rate": r"$\eta$", "batch_size": "$S$"}


def groups(params: Params, settings: Iterable[str]) -> dict[str, list[str]]:
    """Settings by label: those of one model and data set belong together."""
    found: dict[str, list[str]] = {}
    for setting in settings:
        found.setdefault(labels.setting(params, setting), []).append(setting)
    return found


def hyperparameters(params: Params, case: Case) -> dict[str, float]:
    """Learning rate and batch size."""
    return {"learning_rate": case.learning_rate, "batch_size": params.settings[case.configuration.setting].batch_size}


def differences(params: Params, cases: list[Case]) -> dict[tuple[str, float], str]:
    """Setting and learning rate -> what tells a case from the others, as in `S = 100`; the rate if nothing does."""
    values = [hyperparameters(params, case) for case in cases]
    varied = [key for key in _SYMBOLS if len({each[key] for each in values}) > 1] or ["learning_rate"]
    texts = [", ".join(f"{_SYMBOLS[key]} = {labels.number(each[key])}" for key in varied) for each in values]
    return {(case.configuration.setting, case.learning_rate): text for case, text in zip(cases, texts)}


def noise_scale(params: Params, case: Case) -> float:
    """eta / S: the smaller it is, the weaker the implicit regularisation."""
    values = hyperparameters(params, case)
    return values["learning_rate"] / values["batch_size"]


def rank_correlation(points: pd.DataFrame) -> float:
    """Spearman's, of the columns x and y; NaN below three points, or where one of them is constant."""
    ranks = points[["x", "y"]].dropna().rank()
    return float(ranks["x"].corr(ranks["y"], min_periods=3))


def correlation_text(points: pd.DataFrame, unit: str) -> str:
    """The rank correlation and how many points it is from: `Spearman: -0.93 (96 runs)`."""
    value = rank_correlation(points)
    written = "–" if pd.isna(value) else f"{value:.2f}".replace("-", "−")
    return f"Spearman: {written} ({len(points)} {unit})"
