import math

import pytest

from catfish.analysis import statistics
from catfish.analysis.collect import load
from catfish.config import Output


def test_mean_and_sample_standard_deviation():
    summary = statistics.summarise([1.0, 2.0, 6.0])
    assert (summary.mean, summary.n) == (3.0, 3)
    assert summary.std == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    assert summary.text(2) == "3.00 ± 2.65 (3)"


def test_one_run_has_no_spread_and_none_no_mean():
    single, none = statistics.summarise([4.25]), statistics.summarise([])
    assert math.isnan(single.std) and single.text(1) == "4.2 (1)"
    assert math.isnan(none.mean) and none.n == 0


@pytest.fixture
def run(project):
    made = project({"table1": Output(("simplecnn_c10",), ("baseline",))}, simplecnn_c10={"seeds": 1})
    (configuration,) = made.plan.shown("table1")
    made.run(configuration, 0, seconds=1.5, test_accuracy=[0.1, 0.5, 0.6, 0.4], train_accuracy=[0.1, 0.5, 1.0, 0.9],
             validation_accuracy=[0.1, 0.7, 0.7, 0.3], fisher_trace=[90.0, 4.0, 9.0, 1.0])  # fmt: skip
    (case,) = load(made.plan, [configuration])
    return case.runs[0]


def test_test_accuracy_at_the_last_epoch_or_at_the_best_validation(run):
    assert statistics.test_accuracy(run, "last") == 0.4
    assert statistics.test_accuracy(run, "best_validation") == 0.5  # the first of the two best, not the best test


def test_numbers_of_a_run(run):
    assert statistics.train_accuracy(run) == 0.9
    assert statistics.max_fisher_trace(run) == 9.0  # not the initialisation's 90
    assert statistics.train_seconds(run) == 1.5


def test_seconds_are_the_median_epoch(run):
    run.timing["train_seconds"] = [float("nan"), 30.0, 2.0, 1.0]  # a slow first epoch
    assert statistics.train_seconds(run) == 2.0


def loaded(made, configuration, **columns):
    made.run(configuration, 0, **columns)
    return load(made.plan, [configuration])[0].runs[0]


@pytest.fixture
def trained(project):
    """Makes a run of three epochs from values of columns, None where nothing was measured."""
    made = project({"table1": Output(("simplecnn_c10",), ("baseline",))}, simplecnn_c10={"seeds": 1})
    (configuration,) = made.plan.shown("table1")
    return lambda **columns: loaded(made, configuration, **columns)


@pytest.mark.parametrize(
    "traces, seconds",
    [
        ([9.0, None, 4.0, 5.0], 0.5),  # not the initialisation's, nor the next to nothing of an epoch without
        ([9.0, 3.0, 4.0, 5.0], 0.6),
        ([9.0, None, None, 5.0], float("nan")),
    ],
)
def test_curvature_seconds_are_those_of_epochs_that_measure_the_fisher_trace_alone(trained, traces, seconds):
    run = trained(fisher_trace=traces, hessian_trace=[8.0, None, None, 6.0])
    run.timing["curvature_seconds"] = [50.0, 0.7, 0.5, 20.0]
    assert statistics.curvature_seconds(run) == pytest.approx(seconds, nan_ok=True)


def test_early_fisher_trace_is_that_of_the_first_epoch_below_the_loss(trained):
    run = trained(train_loss=[1.0, 2.5, 1.2, 0.9], fisher_trace=[7.0, 8.0, 9.0, 3.0])
    assert statistics.early_fisher_trace(run, 1.2) == 9.0  # reached exactly, and not the initialisation's 7
    assert statistics.early_fisher_trace(run, 1.1) == 3.0
    assert statistics.early_fisher_trace(run, 3.0) == 8.0
    assert math.isnan(statistics.early_fisher_trace(run, 0.8))


def test_early_fisher_trace_waits_until_both_are_measured(trained):
    run = trained(train_loss=[2.0, 0.5, None, 0.9], fisher_trace=[7.0, None, 9.0, 3.0])
    assert statistics.early_fisher_trace(run, 1.0) == 3.0


@pytest.mark.parametrize(
    "traces, last, best",
    [
        ([90.0, 5.0, 6.0, 7.0], 7.0, 6.0),
        ([90.0, 5.0, None, 7.0], 7.0, 5.0),  # epochs 1 and 3 are equally near to the best, 2
        ([90.0, None, None, 7.0], 7.0, 7.0),
        ([90.0, 5.0, None, None], 5.0, 5.0),
    ],
)
def test_reported_hessian_trace_is_that_of_the_nearest_measured_epoch(trained, traces, last, best):
    run = trained(validation_accuracy=[0.9, 0.3, 1.0, 0.4], hessian_trace=traces)
    assert statistics.reported_hessian_trace(run, "last") == last
    assert statistics.reported_hessian_trace(run, "best_validation") == best


def test_hessian_trace_that_was_never_measured_is_nan(trained):
    run = trained(validation_accuracy=[0.1, 0.3, 0.5, 0.4], hessian_trace=[90.0, None, None, None])
    assert math.isnan(statistics.reported_hessian_trace(run, "last"))
