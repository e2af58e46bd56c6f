import pytest

from catfish.analysis import metrics
from catfish.config import Output


@pytest.fixture
def plan(project):
    made = project(
        {
            "table1": Output(("simplecnn_c10",), ("eta_star", "baseline")),
            "table4": Output(("simplecnn_c10",), ("baseline",)),
            "figure5": Output(("vgg11_c100_noise25",), ("fp",), sweep="coefficients"),  # its runs are not read
        },
        simplecnn_c10={"seeds": 2},
    )
    tuned, small = made.plan.shown("table1")
    for seed, factor in enumerate((1.0, 0.5)):
        made.run(tuned, seed, test_accuracy=[0.0, 0.2, 0.4, factor], fisher_trace=[99.0, 8 * factor, 4.0, 2.0],
                 validation_accuracy=[0.1] * 4)  # fmt: skip
        made.run(small, seed, diverged=5, test_accuracy=[0.1])
    return made.plan


def test_metrics_are_means_over_completed_runs(plan):
    assert metrics.metrics(plan) == {
        "simplecnn_c10": {
            "eta_star": {"test_accuracy": 0.75, "max_fisher_trace": 6.0, "n": 2},
            "baseline": {"test_accuracy": None, "max_fisher_trace": None, "n": 0},
        }
    }


def test_curves_are_means_over_completed_runs(plan):
    curves = metrics.curves(plan)
    assert list(curves) == ["setting", "method", "epoch", "validation_accuracy", "test_accuracy", "fisher_trace"]
    assert set(curves["method"]) == {"eta_star"} and curves["epoch"].tolist() == [0, 1, 2, 3]
    assert curves["test_accuracy"].tolist() == [0.0, 0.2, 0.4, 0.75]
    assert curves["fisher_trace"].tolist() == [99.0, 6.0, 4.0, 2.0]


def test_curves_without_a_table_are_empty(project):
    empty = metrics.curves(project({"figure5": Output(("vgg11_c100_noise25",), ("fp",), sweep="coefficients")}).plan)
    assert empty.empty and "fisher_trace" in empty
