"""Claims 1, 2 and 11: what the learning rate and the batch size do to Tr(F) and to generalisation."""

from math import isnan, nan

import numpy as np

from catfish.analysis import labels, published, statistics
from catfish.analysis.claims.evidence import TEST_ACCURACY, Evidence, Quantity, compare
from catfish.analysis.claims.intervals import DIFFERENCE, RANK_CORRELATION, RATIO
from catfish.analysis.claims.verdicts import Claim, Part, Region, Statement, judge
from catfish.analysis.collect import Case, LoadedRun
from catfish.config import Setting
from catfish.plan import ETA_STAR

FULL_ACCURACY = 99.0  # per cent of the training images: less than that is underfitting (the paper's lowest is 99.96)


def _early_trace(run: LoadedRun, setting: Setting) -> float:
    return nan if setting.early_loss is None else statistics.early_fisher_trace(run, setting.early_loss)


def _largest_of_steps(run: LoadedRun, setting: Setting) -> float:
    return nan if run.steps is None else float(run.steps["fisher_trace"].max())


_EARLY_TRACE = Quantity("a Tr(F) at the training loss `early_loss`", _early_trace)
_TRAIN_ACCURACY = Quantity("a training accuracy", lambda run, _: 100 * statistics.train_accuracy(run))
_LARGEST_STEP = Quantity("Tr(F) at every step", _largest_of_steps)


def small_rate_generalises_worse(evidence: Evidence) -> Claim:
    def doubt(setting: str) -> str:
        accuracy = evidence.sample("", evidence.chosen("table1", setting, "baseline"), _TRAIN_ACCURACY).values.mean()
        if isnan(accuracy) or accuracy >= FULL_ACCURACY:
            return ""
        return f"training accuracy of {accuracy:.1f} %, below {FULL_ACCURACY:g} %: underfitting may explain the gap"

    region = Region(high=0)
    groups = [("table1", "baseline"), ("table1", ETA_STAR)]
    parts = compare(evidence, groups, TEST_ACCURACY, DIFFERENCE, region, doubt=doubt)
    statement = Statement("the small η is worse than η*", "test accuracy, small η minus η*", "points", region, parts)
    return Claim(
        1,
        "small_rate_generalises_worse",
        "A small learning rate generalises worse than η*, although it reaches full training accuracy.",
        "Up to 9 points of test accuracy are lost, with training accuracies of at least 99.96 % (Tables 1 and 6).",
        (statement,),
    )


def early_trace_predicts_accuracy(evidence: Evidence) -> Claim:
    region = Region(high=0)
    rates = [
        _prediction(evidence, labels.setting(evidence.params, setting), [setting], "figure2", region)
        for setting in evidence.settings("figure2")
    ]
    groups: dict[str | None, list[str]] = {}
    for setting in evidence.settings("figure7"):
        groups.setdefault(published.dataset(setting), []).append(setting)
    sizes = [_prediction(evidence, _of_sizes(evidence, own), own, "figure7", region) for own in groups.values()]
    statistic = "rank correlation of Tr(F_i) and test accuracy"
    return Claim(
        2,
        "early_trace_predicts_accuracy",
        "A larger Tr(F) early in training goes with a lower final test accuracy.",
        "Falling from one learning rate, or batch size, to the next on every data set (Figures 2 and 7).",
        (
            Statement("across learning rates", statistic, "1", region, tuple(rates)),
            Statement("across batch sizes", statistic, "1", region, tuple(sizes)),
        ),
    )


def _of_sizes(evidence: Evidence, settings: list[str]) -> str:
    """Settings that differ in their batch size, as one label."""
    first = labels.setting(evidence.params, settings[0])
    sizes = [f"{evidence.params.settings[setting].batch_size}" for setting in settings]
    return f"{first}, S = {', '.join(sizes)}"


def _prediction(evidence: Evidence, label: str, settings: list[str], output: str, region: Region) -> Part:
    cases = [case for setting in settings for case in evidence.swept(output, setting, ETA_STAR)]
    sample = evidence.sample("all runs", cases, _EARLY_TRACE, TEST_ACCURACY)
    levels = [evidence.sample("", [case], _EARLY_TRACE, TEST_ACCURACY).values.mean(0) for case in cases]
    return judge(label, RANK_CORRELATION, [sample], region, note=evidence.note(*settings), unmet=_no_trend(levels))


def _no_trend(levels: list[np.ndarray]) -> str:
    """The paper compares three learning rates or batch sizes. Their many seeds make the interval of a correlation
    narrow whatever the three do, so their means have to fall, or rise, from one to the next.
    """
    accuracies = [accuracy for _, accuracy in sorted(map(tuple, levels))]
    if len(levels) > 1 and accuracies in (sorted(accuracies), sorted(accuracies, reverse=True)):
        return ""
    shown = ", ".join(f"{accuracy:.1f}" for accuracy in accuracies)
    return f"mean accuracies by growing Tr(F_i), {shown} %, neither fall nor rise from one to the next"


def large_rate_avoids_large_traces(evidence: Evidence) -> Claim:
    below, better = Region(high=1), Region(low=0)
    groups = [("figure17", "fp_large_batch"), ("figure17", "baseline")]
    repaired = compare(evidence, groups, TEST_ACCURACY, DIFFERENCE, better)
    statistic = "largest Tr(F) of all steps, {} as a ratio"
    return Claim(
        11,
        "large_rate_avoids_large_traces",
        "A large learning rate never enters the region of large Tr(F), not even for one step, and neither does a small"
        " batch; the Fisher penalty repairs training with large batches.",
        "So for SimpleCNN at every step (Figures 15 and 16); 78.70 % with FP and 73.59 % without, in batches of 1280"
        " (appendix E).",
        (
            Statement("large against small η", statistic.format("large to small η"), "1", below,
                      tuple(part for setting in evidence.settings("figure15")
                            for part in _rates(evidence, setting, below))),
            Statement("small against large S", statistic.format("small to large S"), "1", below,
                      _sizes(evidence, below)),
            Statement("FP repairs large batches", "test accuracy in large batches, FP minus none", "points", better,
                      repaired),
        ),
    )  # fmt: skip


def _rates(evidence: Evidence, setting: str, region: Region) -> tuple[Part, ...]:
    """The largest against the smallest learning rate of a setting's grid."""
    cases = evidence.swept("figure15", setting, ETA_STAR)
    if len(cases) < 2:
        return ()
    small, *_, large = cases
    label = f"{labels.setting(evidence.params, setting)}, η = {_rate(large)} and {_rate(small)}"
    samples = [evidence.sample(f"η = {_rate(case)}", [case], _LARGEST_STEP) for case in (large, small)]
    return (judge(label, RATIO, samples, region, note=evidence.note(setting)),)


def _sizes(evidence: Evidence, region: Region) -> tuple[Part, ...]:
    """The smallest against the largest batch size."""
    batch_size = {setting: evidence.params.settings[setting].batch_size for setting in evidence.settings("figure16")}
    if len(batch_size) < 2:
        return ()
    small, *_, large = sorted(batch_size, key=batch_size.get)
    samples = [
        evidence.sample(f"S = {batch_size[setting]}", evidence.swept("figure16", setting, ETA_STAR), _LARGEST_STEP)
        for setting in (small, large)
    ]
    label = f"{labels.setting(evidence.params, small)}, S = {batch_size[small]} and {batch_size[large]}"
    return (judge(label, RATIO, samples, region, note=evidence.note(small, large)),)


def _rate(case: Case) -> str:
    return labels.number(case.learning_rate)
