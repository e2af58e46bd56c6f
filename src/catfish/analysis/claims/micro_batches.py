"""Claims M4 to M7, of the follow-up paper: penalties of micro-batches in large batches (Novack et al. 2022)."""

import math

from catfish.analysis import labels, statistics
from catfish.analysis.claims.evidence import TEST_ACCURACY, Evidence, Quantity, compare
from catfish.analysis.claims.intervals import ABOVE_MIDPOINT, RANK_CORRELATION
from catfish.analysis.claims.verdicts import Claim, Part, Region, Statement, judge

TABLE, SWEEP, NORMS = "mech_table3", "mech_figure7", "mech_figure6"
SMALL, LARGE = "small_batch", "large_batch"

_MICRO_BATCH = Quantity("a micro-batch size", lambda run, _: run.record["run"]["micro_batch"])


def gradient_penalties_recover(evidence: Evidence) -> Claim:
    return Claim(
        "M4",
        "mech_gradient_penalties_recover",
        "Penalising the gradient norm of micro-batches (GN), or the trace of their Fisher matrix (FT), recovers with"
        " large batches the accuracy of small ones.",
        "(Novack et al. 2022) GN closes 68 to 87 % of the gap, FT 59 to 105 %.",
        tuple(_recovery(evidence, TABLE, method, Region(low=0)) for method in ("gn", "ft")),
    )


def jacobian_penalties_do_not(evidence: Evidence) -> Claim:
    return Claim(
        "M5",
        "mech_jacobian_penalties_do_not",
        "Penalising the norm of the Jacobian of the logits of micro-batches does not recover it.",
        "(Novack et al. 2022) Average and unit Jacobian close at most 11 % of the gap.",
        tuple(_recovery(evidence, TABLE, method, Region(high=0)) for method in ("average_jacobian", "unit_jacobian")),
    )


def large_micro_batches_do_not(evidence: Evidence) -> Claim:
    below = Region(high=0)
    trends = [_trend(evidence, setting, below) for setting in evidence.settings(SWEEP)]
    return Claim(
        "M6",
        "mech_large_micro_batches_do_not",
        "The effect vanishes as the micro-batches approach the batch.",
        "(Novack et al. 2022) With half the batch, less than half of the gap is closed on VGG-11, nothing on CIFAR-100;"
        " for ResNet-18 on CIFAR-10 its public table has 65.09 %, probably a misprint.",
        (
            _recovery(evidence, SWEEP, "gn_half", below),
            _recovery(evidence, SWEEP, "ft_half", below),
            Statement("the larger the micro-batches, the worse", "rank correlation of their size and test accuracy",
                      "1", below, tuple(part for part in trends if part)),
        ),
    )  # fmt: skip


def similar_norms_recover(evidence: Evidence) -> Claim:
    below = Region(high=0)
    parts = [_similarity(evidence, setting, below) for setting in evidence.settings(NORMS)]
    return Claim(
        "M7",
        "mech_similar_norms_recover",
        "The more closely the gradient norms along training resemble those of small-batch SGD, the more is recovered.",
        "(Novack et al. 2022) Stated of curves, without a number.",
        (
            Statement("the closer the norms, the better",
                      "rank correlation of their distance to small-batch SGD's and test accuracy", "1",
                      below, tuple(part for part in parts if part)),
        ),
    )  # fmt: skip


def _recovery(evidence: Evidence, output: str, method: str, region: Region) -> Statement:
    """A method's accuracy above halfway between large and small batches: more than half of the gap is closed."""
    groups = [(output, method), (TABLE, SMALL), (TABLE, LARGE)]
    parts = compare(evidence, groups, TEST_ACCURACY, ABOVE_MIDPOINT, region, unmet=lambda s: _no_gap(evidence, s))
    does = "recovers" if region.low == 0 else "does not recover"
    name = labels.method(method)
    statistic = f"test accuracy, {name} minus halfway from LB to SB SGD"
    return Statement(f"{name} {does} small-batch accuracy", statistic, "points", region, parts)


def _no_gap(evidence: Evidence, setting: str) -> str:
    """Why there is nothing to recover in a setting, if so."""
    small, large = (
        evidence.sample(name, evidence.chosen(TABLE, setting, name), TEST_ACCURACY).values.mean()
        for name in (SMALL, LARGE)
    )
    return "" if small > large else "small batches are not better than large ones here"


def _trend(evidence: Evidence, setting: str, region: Region) -> Part | None:
    """Accuracy against the size of the micro-batches, over the runs with GN."""
    methods = [m for m in evidence.params.outputs[SWEEP].methods if evidence.params.methods[m].penalty == "gradient"]
    cases = [case for method in methods for case in evidence.chosen(SWEEP, setting, method)]
    if not cases:
        return None
    sample = evidence.sample("all runs", cases, _MICRO_BATCH, TEST_ACCURACY)
    label = labels.setting(evidence.params, setting)
    return judge(label, RANK_CORRELATION, [sample], region, math.nan, evidence.note(setting))


def _similarity(evidence: Evidence, setting: str, region: Region) -> Part | None:
    """Accuracy against the distance of the gradient norms, over all runs with large batches."""
    small = [run for case in evidence.chosen(NORMS, setting, SMALL) for run in case.completed]
    methods = [method for method in evidence.params.outputs[NORMS].methods if method != SMALL]
    cases = [case for method in methods for case in evidence.chosen(NORMS, setting, method)]
    if not cases:
        return None
    distance = Quantity("a gradient norm", lambda run, _: statistics.gradient_norm_distance(run, small))
    sample = evidence.sample("all runs", cases, distance, TEST_ACCURACY)
    label = labels.setting(evidence.params, setting)
    return judge(label, RANK_CORRELATION, [sample], region, math.nan, evidence.note(setting))
