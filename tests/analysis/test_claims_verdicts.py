import math

import numpy as np
import pytest

from catfish.analysis.claims.intervals import DIFFERENCE, RANK_CORRELATION, Estimate
from catfish.analysis.claims.verdicts import Claim, Part, Region, Sample, Statement, Verdict, judge

R, C, U, N = Verdict.REPRODUCED, Verdict.CONTRADICTED, Verdict.INCONCLUSIVE, Verdict.NOT_RUN
BELOW, CLOSE = Region(high=0), Region(-2, 2)


@pytest.mark.parametrize(
    "region, low, high, verdict",
    [
        (BELOW, -3, -1, R),
        (BELOW, -3, 0, U),  # reaches the threshold
        (BELOW, 0, 0, U),
        (BELOW, -1, 1, U),
        (BELOW, 0.1, 3, C),
        (Region(low=0.5), 0.6, 0.9, R),
        (Region(low=0.5), 0.5, 0.9, U),
        (Region(low=0.5), 0.1, 0.4, C),
        (CLOSE, -1.9, 1.9, R),
        (CLOSE, -2.1, 1, U),
        (CLOSE, -5, 5, U),
        (CLOSE, 2.1, 5, C),
        (CLOSE, -5, -2.1, C),
    ],
)
def test_where_the_interval_lies_decides(region, low, high, verdict):
    assert region.verdict(Estimate((low + high) / 2, low, high, 4)) == verdict


def test_regions_are_said_in_words():
    assert [region.text for region in (BELOW, Region(low=0.5), CLOSE)] == ["< 0", "> 0.5", "from -2 to 2"]


def part(verdict):
    return Part("setting", Estimate(0, 0, 0, 2), verdict)


def statement(*verdicts):
    return Statement("text", "difference", "points", BELOW, tuple(part(verdict) for verdict in verdicts))


@pytest.mark.parametrize(
    "verdicts, verdict",
    [
        ([R], R),
        ([R, R, C], R),
        ([R, R, U, C, R], R),
        ([R, C], U),
        ([R, R, U, U], U),  # exactly half is not most
        ([R, U, U], U),
        ([C, C, R], C),
        ([C, U], U),
        ([], N),
    ],
)
def test_a_statement_takes_the_verdict_of_most_parts(verdicts, verdict):
    assert statement(*verdicts).verdict == verdict


@pytest.mark.parametrize(
    "statements, verdict",
    [
        ([[R], [R]], R),
        ([[R], [C]], C),
        ([[U], [C]], C),
        ([[R], [U]], U),
        ([[R], []], U),  # half a claim that was not run
        ([[], []], N),
    ],
)
def test_a_claim_needs_all_its_statements(statements, verdict):
    assert Claim(1, "name", "text", "paper", tuple(statement(*verdicts) for verdicts in statements)).verdict == verdict


def sample(*values, name="FP", diverged=0):
    return Sample(name, "Tr(H)", np.array(values, dtype=float), diverged)


def judged(*samples):
    return judge("setting", DIFFERENCE, list(samples), BELOW)


def test_a_part_on_constructed_groups():
    low, high = sample(1, 1.1, 0.9), sample(3, 3.2, 2.8)
    assert judged(low, high).verdict == R and judged(low, high).reason == ""
    assert judged(high, low).verdict == C
    unclear = judged(low, sample(1, 0.8, 1.3))
    assert unclear.verdict == U and unclear.reason == "the interval reaches to both sides"


def test_one_run_is_too_few_but_its_value_is_shown():
    single = judged(sample(1), sample(3, 4, name="η*"))
    assert single.verdict == U and single.reason == "FP: 1 run, 2 needed"
    assert single.estimate.value == -2.5 and math.isnan(single.estimate.low)


def test_no_runs_are_too_few():
    none = judged(sample(), sample(3, 4))
    assert none.verdict == U and none.reason == "FP: 0 runs, 2 needed" and math.isnan(none.estimate.value)


def test_survivors_of_divergence_prove_nothing():
    """Without the rule the two that completed would reproduce it."""
    part = judged(sample(1, 1.1, math.nan, math.nan, diverged=1), sample(3, 3.1))
    assert part.verdict == U and part.reason == "FP: 1 of 4 runs diverged; FP: 1 of 4 runs without Tr(H)"


def test_too_few_points_for_a_rank_correlation():
    points = Sample("runs", "Tr(F)", np.stack([np.arange(5.0), -np.arange(5.0)], -1))
    part = judge("setting", RANK_CORRELATION, [points], BELOW)
    assert part.verdict == U and part.reason == "runs: 5 runs, 6 needed" and part.estimate.value == pytest.approx(-1)


def test_a_constant_has_no_rank_correlation():
    part = judge("setting", RANK_CORRELATION, [Sample("runs", "Tr(F)", np.ones((8, 2)))], BELOW)
    assert part.verdict == U and part.reason == "the statistic does not exist for these values"
