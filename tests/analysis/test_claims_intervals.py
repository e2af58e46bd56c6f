import math

import numpy as np
import pytest
from scipy import stats

from catfish.analysis.claims.intervals import (
    ABOVE_MIDPOINT,
    DIFFERENCE,
    MEAN_CORRELATION,
    RANK_CORRELATION,
    RATIO,
    correlation,
)

TRIALS = 300


def array(*values):
    return np.array(values, dtype=float)


def coverage(statistic, truth, draw):
    """The share of simulated experiments whose interval covers the truth."""
    random = np.random.default_rng(0)
    estimates = [statistic.estimate(*draw(random)) for _ in range(TRIALS)]
    return np.mean([estimate.low <= truth <= estimate.high for estimate in estimates])


@pytest.mark.parametrize("sizes, spreads", [((2, 2), (1, 1)), ((2, 2), (1, 5)), ((3, 3), (1, 1)), ((8, 5), (1, 3))])
def test_the_interval_covers_a_difference_of_means_in_95_percent(sizes, spreads):
    def draw(random):
        return [random.normal(2 * i, spread, size) for i, (size, spread) in enumerate(zip(sizes, spreads))]

    assert 0.92 < coverage(DIFFERENCE, -2, draw) <= 0.99


def test_the_interval_covers_a_ratio_of_geometric_means():
    def draw(random):
        return [np.exp(random.normal(mean, 1, 3)) for mean in (2, 3)]

    assert 0.92 < coverage(RATIO, math.exp(-1), draw) <= 0.99


@pytest.mark.parametrize("points, pearson", [(6, 0.0), (8, -0.5), (8, -0.9), (24, -0.9)])
def test_the_interval_covers_a_rank_correlation(points, pearson):
    def draw(random):
        return [random.multivariate_normal([0, 0], [[1, pearson], [pearson, 1]], points, method="cholesky")]

    # The population's value, exact for a normal distribution.
    assert 0.92 < coverage(RANK_CORRELATION, 6 / math.pi * math.asin(pearson / 2), draw) <= 1


def test_the_interval_of_a_mean_is_students():
    values = array(0.1, 0.2, 0.4, 0.9)
    exact = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    estimate = MEAN_CORRELATION.estimate(values)
    assert (estimate.value, estimate.n) == (pytest.approx(0.4), 4)
    assert (estimate.low, estimate.high) == pytest.approx(exact, rel=0.1)  # 2000 resamples: about 2 %


def test_the_interval_of_a_difference_is_welchs():
    a, b = array(1, 2, 4, 9), array(5, 5.5)
    exact = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    estimate = DIFFERENCE.estimate(a, b)
    assert (estimate.value, estimate.n) == (-1.25, 6)
    assert (estimate.low, estimate.high) == pytest.approx((exact.low, exact.high), rel=0.1)


def test_rank_correlation_is_spearmans_with_ties():
    x, y = array(1, 2, 2, 4, 8, 8, 9), array(9, 7, 7, 5, 6, 1, 2)
    points = np.stack([x, y], -1)
    assert RANK_CORRELATION.value(points) == pytest.approx(stats.spearmanr(x, y).statistic)
    many = correlation(np.stack([points, points * [1, -1]]))
    assert many == pytest.approx([RANK_CORRELATION.value(points), -RANK_CORRELATION.value(points)])


def test_values_of_the_other_statistics():
    assert RATIO.value(array(1, 4), array(8, 2)) == pytest.approx(0.5)
    assert ABOVE_MIDPOINT.value(array(7, 9), array(2, 4), array(8, 8)) == 2.5


def test_the_same_runs_give_the_same_interval():
    runs = [array(1, 2, 4), array(5, 9)]
    assert DIFFERENCE.estimate(*runs) == DIFFERENCE.estimate(*runs)


def test_equal_runs_have_an_interval_without_width():
    estimate = DIFFERENCE.estimate(array(3, 3), array(1, 1))
    assert (estimate.low, estimate.value, estimate.high) == (2, 2, 2)


def test_the_interval_of_a_correlation_ends_at_one():
    """Six points with a correlation of -0.89, whose plain interval would reach to -1.6."""
    estimate = RANK_CORRELATION.estimate(np.stack([np.arange(6), array(5, 3, 4, 2, 0, 1)], -1))
    assert estimate.low == -1 < estimate.value < estimate.high < 1


def test_a_correlation_with_a_constant_does_not_exist():
    points = np.stack([np.ones(8), np.arange(8.0)], -1)
    estimate = RANK_CORRELATION.estimate(points)
    assert math.isnan(estimate.value) and math.isnan(estimate.low) and math.isnan(RANK_CORRELATION.value(points))


@pytest.mark.parametrize(
    "statistic, groups", [(DIFFERENCE, [array(1), array(1, 2)]), (RANK_CORRELATION, [np.ones((5, 2))])]
)
def test_too_few_runs_give_no_interval(statistic, groups):
    with pytest.raises(ValueError, match=f"{statistic.least}"):
        statistic.estimate(*groups)
