"""Numbers of one run, and their mean and spread over runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from catfish.analysis.collect import LoadedRun


@dataclass(frozen=True)
class Summary:
    """Mean over n runs and their sample standard deviation (divisor n - 1); NaN where n is too small."""

    mean: float
    std: float
    n: int

    def text(self, digits: int) -> str:
        """`mean ± std (n)`; for a single run `mean (1)`."""
        spread = "" if self.n < 2 else f" ± {self.std:.{digits}f}"
        return f"{self.mean:.{digits}f}{spread} ({self.n})"


def summarise(values: Sequence[float]) -> Summary:
    """Mean, sample standard deviation and number of `values`."""
    mean = float(np.mean(values)) if len(values) else math.nan
    return Summary(mean, float(np.std(values, ddof=1)) if len(values) > 1 else math.nan, len(values))


def report_row(run: LoadedRun, report: str) -> pd.Series:
    """The row of the epoch whose accuracy counts: the `last`, or the first with the `best_validation` accuracy."""
    if report == "last":
        return run.history.iloc[-1]
    return run.history.loc[run.history["validation_accuracy"].idxmax()]


def test_accuracy(run: LoadedRun, report: str) -> float:
    """Test accuracy in [0, 1] at the epoch that counts; see `report_row`."""
    return float(report_row(run, report)["test_accuracy"])


def train_accuracy(run: LoadedRun) -> float:
    """Training accuracy in [0, 1] at the last epoch."""
    return float(run.history["train_accuracy"].iloc[-1])


def max_fisher_trace(run: LoadedRun) -> float:
    """The largest Tr(F) = E ||g||^2 from the end of the first epoch on.

    The initialisation is left out, as in appendix A.2: Tr(F) explodes there in networks with batch normalisation.
    """
    return float(run.history["fisher_trace"].iloc[1:].max())


def early_fisher_trace(run: LoadedRun, threshold: float) -> float:
    """Tr(F_i), the early-phase Tr(F): that of the first epoch whose training loss is at most `threshold` (section 3).

    Of the epochs where both were measured, without the initialisation; NaN if none of them has so small a loss.
    """
    trained = run.history.iloc[1:]
    crossed = trained.loc[(trained["train_loss"] <= threshold) & trained["fisher_trace"].notna(), "fisher_trace"]
    return float(crossed.iloc[0]) if len(crossed) else math.nan


def reported_hessian_trace(run: LoadedRun, report: str) -> float:
    """Tr(H) at the epoch that counts (see `report_row`), or at the measured epoch nearest to it; the earlier of two.

    Without the initialisation; NaN if Tr(H) was never measured after it.
    """
    measured = run.history["hessian_trace"].iloc[1:].dropna()
    if measured.empty:
        return math.nan
    distance = np.abs(measured.index - report_row(run, report).name)
    return float(measured.iloc[distance.argmin()])


def gradient_norm_distance(run: LoadedRun, others: Sequence[LoadedRun]) -> float:
    """How far a run's gradient norm is from that of other runs at the same step: |log10 of the ratio|.

    Mean over the run's measurements after the initialisation; the others' norm is their geometric mean, and between two
    measurements interpolated in its logarithm. NaN if there are no others, or nothing was measured.
    """
    steps, norms = (values[1:] for values in _log_gradient_norms(run))
    if not others or not len(steps):
        return math.nan
    theirs = np.mean([np.interp(steps, *_log_gradient_norms(other)) for other in others], axis=0)
    return float(np.abs(norms - theirs).mean())


def _log_gradient_norms(run: LoadedRun) -> tuple[np.ndarray, np.ndarray]:
    """The steps after which the gradient norm was measured, the initialisation first, and its logarithm."""
    measured = run.history.dropna(subset="gradient_norm")
    norms = measured["gradient_norm"].to_numpy().clip(min=np.finfo(float).tiny)
    return measured["step"].to_numpy(dtype=float), np.log10(norms)


def curvature_seconds(run: LoadedRun) -> float:
    """Seconds that measuring Tr(F), Tr(F^B) and the gradient norms takes: the median over the epochs that do just that.

    Without the initialisation and without epochs that measure Tr(H) or spectra, too; NaN if there are no others.
    """
    trained = run.history.iloc[1:]
    alone = trained["fisher_trace"].notna() & trained[["hessian_trace", "hessian_largest"]].isna().all(axis="columns")
    return float(run.timing["curvature_seconds"].reindex(trained.index[alone]).median())


def train_seconds(run: LoadedRun) -> float:
    """Seconds of training per epoch, without measurements: the median over the epochs."""
    return float(run.timing["train_seconds"].iloc[1:].median())
