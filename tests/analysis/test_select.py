import json

import pytest

from catfish.analysis.select import choose
from catfish.config import Output
from catfish.errors import ResultError

OUTPUTS = {"table1": Output(("simplecnn_c10",), ("eta_star", "fp"))}
GRID = (0.01, 0.1, 1.0)


@pytest.fixture
def grid(project):
    """Makes the runs of the learning rates' grid: value -> last validation accuracy per seed, None if it diverged."""

    def make(scores: dict[float, list[float | None]], report="last", early=0.0, **setting):
        seeds = max(map(len, scores.values()))
        made = project(OUTPUTS, simplecnn_c10={"learning_rates": tuple(scores), "tuning_seeds": seeds,
                                               "report": report, **setting})  # fmt: skip
        selection = made.plan.selection("simplecnn_c10", "eta_star")
        for candidate, values in zip(selection.candidates, scores.values()):
            for seed, value in enumerate(values):
                if value is None:
                    made.run(candidate, seed, diverged=9, validation_accuracy=[0.1, 0.99])
                else:
                    made.run(candidate, seed, validation_accuracy=[0.1, early, 0.2, value])
        return made.plan, selection

    return make


def test_the_highest_mean_over_the_tuning_seeds_wins(grid):
    plan, selection = grid({0.01: [0.5, 0.6], 0.1: [0.9, 0.4], 1.0: [0.1, 0.95]})
    chosen = choose(plan, selection)
    assert (chosen["setting"], chosen["quantity"]) == ("simplecnn_c10", "eta_star")
    assert chosen["best"] == 0.1 and chosen["edge"] is None
    assert [row["value"] for row in chosen["grid"]] == [0.01, 0.1, 1.0]
    assert [row["score"] for row in chosen["grid"]] == pytest.approx([0.55, 0.65, 0.525])
    assert chosen["grid"][0]["runs"] == [
        "results/demo/runs/simplecnn_c10/eta_star/lr-0.01/seed0",
        "results/demo/runs/simplecnn_c10/eta_star/lr-0.01/seed1",
    ]
    assert "last epoch" in chosen["criterion"] and "2 seed" in chosen["criterion"]
    assert json.loads(json.dumps(chosen)) == chosen == choose(plan, selection)


def test_best_validation_counts_the_best_epoch(grid):
    scores = {0.01: [0.5], 0.1: [0.6], 1.0: [0.7]}
    assert choose(*grid(scores, "last", early=0.65))["best"] == 1.0
    chosen = choose(*grid(scores | {1.0: [0.6]}, "best_validation", early=0.65))
    assert [row["score"] for row in chosen["grid"]] == [0.65, 0.65, 0.65]


def test_the_smaller_of_two_equal_values_wins(grid):
    assert choose(*grid({1.0: [0.6], 0.1: [0.6], 0.01: [0.5]}))["best"] == 0.1


@pytest.mark.parametrize(("best", "edge"), [(0.01, "low"), (0.1, None), (1.0, "high")])
def test_an_end_of_the_grid_is_reported(grid, best, edge):
    chosen = choose(*grid({value: [0.9 if value == best else 0.5] for value in GRID}))
    assert (chosen["best"], chosen["edge"]) == (best, edge)


def test_a_value_with_a_diverged_run_has_no_score(grid):
    chosen = choose(*grid({0.01: [0.5, 0.5], 0.1: [0.4, 0.4], 1.0: [0.99, None]}))
    assert chosen["best"] == 0.01
    assert chosen["grid"][2] | {"runs": 0} == {
        "value": 1.0, "score": None, "outcomes": ["completed", "diverged at step 9"], "runs": 0,
    }  # fmt: skip


def test_a_grid_that_diverged_throughout_is_an_error(grid):
    with pytest.raises(ResultError, match=r"simplecnn_c10/eta_star: every value of the grid 0.01, 0.1 diverged; widen "
                                          r"settings.simplecnn_c10.learning_rates to smaller values"):  # fmt: skip
        choose(*grid({0.01: [None], 0.1: [None]}))


def test_a_single_value_needs_no_validation_images(grid):
    plan, selection = grid({0.1: [float("nan")]}, validation=0)
    chosen = choose(plan, selection)
    assert (chosen["best"], chosen["edge"], chosen["grid"][0]["score"]) == (0.1, None, None)


def test_several_values_need_validation_images(grid):
    with pytest.raises(ResultError, match=r"no run of the grid 0.1, 1 measured a validation accuracy"):
        choose(*grid({0.1: [float("nan")], 1.0: [float("nan")]}))


def test_coefficients_are_chosen_among_runs_at_the_small_learning_rate(project):
    made = project(OUTPUTS, simplecnn_c10={"coefficients": {"fp": (0.1, 1.0)}, "tuning_seeds": 1})
    selection = made.plan.selection("simplecnn_c10", "fp")
    for candidate, accuracy in zip(selection.candidates, (0.3, 0.4)):
        made.run(candidate, 0, validation_accuracy=[0.0, 0.0, 0.0, accuracy])
    chosen = choose(made.plan, selection)
    assert (chosen["best"], chosen["edge"]) == (1.0, "high")
    assert chosen["grid"][1]["runs"] == ["results/demo/runs/simplecnn_c10/fp/lr-small_coefficient-1/seed0"]
