"""The experiments around the paper: numbers of runs by hand, what figures and tables show of them, and the claims."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from catfish.analysis import figures, mechanisms, tables
from catfish.analysis.claims import mechanisms as claims
from catfish.analysis.claims.evidence import Evidence
from catfish.analysis.claims.verdicts import Verdict
from catfish.analysis.collect import load_run
from catfish.config import Output
from catfish.plan import ALLOCATION_FILE, TRAJECTORY_FILE
from catfish.records import ALLOCATION_COLUMNS, TRAJECTORY_COLUMNS, Table, read_json, write_record

GD, CNN, LARGE = "mech_gd_c10", "mech_simplecnn_c10", "mech_simplecnn_c10_s512"
SPECTRA = Output((CNN, LARGE), ("eta_star",), sweep="learning_rates")
DESCENT = Output((GD,), ("eta_star",), sweep="learning_rates")


def descent(sharpness, losses, rate=0.5):
    """A run of full-batch gradient descent; None where the sharpness was not measured."""
    history = pd.DataFrame({"hessian_largest": sharpness, "minibatch_loss": [math.nan, *losses]}, dtype=float)
    return SimpleNamespace(history=history, record={"run": {"learning_rate": rate}})


def test_the_edge_of_stability_by_hand():
    """2 / eta = 4: below it at epoch 0, reached at epoch 3; then 4, 6 and 5, so 1, 1.5 and 1.25 of it."""
    run = descent([1, 3, None, 4, 6, None, 5], [9, 8, 7, 5, 6, 4])
    assert mechanisms.arrival(run) == 3
    assert mechanisms.mean_stability(run) == pytest.approx(1.25)
    # After epoch 3 the losses before the steps 4, 5, 6: 5, 6, 4.
    assert mechanisms.share_of_rises(run) == 0.5
    assert mechanisms.loss_ratio(run) == pytest.approx(4 / 5)


@pytest.mark.parametrize("sharpness", [[1, 2, 3, 3.9], [9, 9, 9, 9], [9, 3, 2, 2]])
def test_a_run_that_never_rises_to_the_edge_has_no_numbers(sharpness):
    run = descent(sharpness, [3, 2, 1])
    assert mechanisms.arrival(run) is None
    for number in (mechanisms.mean_stability, mechanisms.share_of_rises, mechanisms.loss_ratio):
        assert math.isnan(number(run))


def test_a_run_that_begins_above_the_edge_arrives_when_it_comes_back():
    assert mechanisms.arrival(descent([9, 5, 3, 4, 4], [4, 3, 2, 1])) == 3


def test_paths_part_after_their_last_common_point():
    common = np.array([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])
    up, right = np.array([[2.0, 3.0], [2.0, 4.0]]), np.array([[3.0, 0.0], [4.0, 0.0]])
    assert mechanisms.parting(np.concatenate([common, up]), np.concatenate([common, right])) == 3
    assert mechanisms.parting(common, common) is None
    assert mechanisms.parting(common + 100, common) is None


def test_what_differs_in_one_hyperparameter_alone():
    def case(rate, size):
        return SimpleNamespace(runs=[SimpleNamespace(record={"run": {"learning_rate": rate, "batch_size": size}})])

    cases = [case(0.1, 32), case(0.01, 32), case(0.1, 512), case(0.3, 32)]
    assert mechanisms.differing_in("learning_rate", cases) == [cases[1], cases[0], cases[3]]
    assert mechanisms.differing_in("batch_size", cases) == [cases[0], cases[2]]
    assert mechanisms.differing_in("batch_size", cases[:2]) == []


def spectra(project, effect, seeds=3):
    """Runs of two learning rates and two batch sizes: extremes as conjectured (1), the other way (-1) or alike (0)."""
    made = project(dict.fromkeys(("mech_figure1", "mech_figure2", "mech_table1"), SPECTRA),
                   **{name: {"tuning_seeds": seeds} for name in (CNN, LARGE)})  # fmt: skip
    for configuration in made.plan.jobs:
        strength = configuration.learning_rate / made.plan.params.settings[configuration.setting].batch_size
        for seed in range(seeds):
            value = strength**-effect * 1.01**seed
            columns = {
                "hessian_largest": [1e9, value, value / 2, None],
                "hessian_conditioning": [0, 1 / value, 0, None],
                "covariance_largest": [1e9, value / 3, value, 0],
                "covariance_conditioning": [0, 0, 2 / value, 0],
                "covariance_trace": [3.0] * 4,
            }
            made.run(configuration, seed, **columns)
            _steps(made, configuration, seed)
    return made.plan


def _steps(made, configuration, seed):
    """A trajectory that turns with the learning rate, and allocations of two layers, where the plan asks for them."""
    folder, names = made.plan.run_folder(configuration, seed), made.plan.run_files(configuration)
    every = made.plan.params.settings[configuration.setting].measure.trajectory_every
    if TRAJECTORY_FILE in names:
        table = Table(folder / TRAJECTORY_FILE, (*TRAJECTORY_COLUMNS, "output_0", "output_1", "output_2"))
        for point in range(12):
            turn = max(0, point - 8) * (configuration.learning_rate - 0.05)
            table.append({"step": every * point, "covariance_largest": 1.0 + point, "train_accuracy": point / 10,
                          "output_0": point / 100, "output_1": turn, "output_2": 0.0})  # fmt: skip
    if ALLOCATION_FILE in names:
        table = Table(folder / ALLOCATION_FILE, (*ALLOCATION_COLUMNS, "first", "last"))
        for step in range(1, 4):
            table.append({"step": step, "loss_before": 3.0 - step + 1, "loss_after": 3.0 - step, "helping": 0.6,
                          "first": -0.25, "last": -0.75})  # fmt: skip
    write_record(folder, read_json(folder / "run.json"), names)


@pytest.mark.parametrize("effect, verdict", [(1, Verdict.REPRODUCED), (-1, Verdict.CONTRADICTED)])
def test_variance_reduction_and_preconditioning(project, effect, verdict):
    evidence = Evidence(spectra(project, effect))
    for claim in (claims.variance_reduction(evidence), claims.preconditioning(evidence)):
        assert claim.verdict == verdict
        assert len(claim.statements) == 4 and all(len(statement.parts) == 1 for statement in claim.statements)
    (part,) = claims.variance_reduction(evidence).statements[0].parts
    rates = sorted(evidence.params.settings[CNN].learning_rates)
    assert part.estimate.value == pytest.approx((rates[0] / rates[-1]) ** effect)  # the initialisation is left out


def test_without_an_effect_or_with_single_runs_nothing_is_claimed(project):
    assert claims.variance_reduction(Evidence(spectra(project, 0))).verdict == Verdict.INCONCLUSIVE


def test_a_single_run_is_too_few(project):
    assert claims.preconditioning(Evidence(spectra(project, 1, seeds=1))).verdict == Verdict.INCONCLUSIVE


def test_curves_and_extremes_are_those_of_the_runs(project):
    plan = spectra(project, 1)
    _, curves = figures.FIGURES["mech_figure1"](plan, "mech_figure1")
    assert set(curves["panel"]) == {"hessian_largest", "covariance_largest", "covariance_trace"}
    assert set(curves["batch_size"]) == {plan.params.settings[name].batch_size for name in (CNN, LARGE)}
    _, data = figures.FIGURES["mech_figure2"](plan, "mech_figure2")
    rates, size = plan.params.settings[CNN].learning_rates, plan.params.settings[CNN].batch_size
    own = data[(data["panel"] == "largest against learning_rate") & (data["series"] == "hessian_largest")]
    assert sorted(own["x"].unique()) == sorted(rates)
    one = own[(own["x"] == rates[0]) & (own["seed"] == 1)]["y"].item()
    assert one == pytest.approx(size / rates[0] * 1.01)
    sizes = data[data["panel"] == "conditioning against batch_size"]
    assert set(sizes["x"]) == {size, plan.params.settings[LARGE].batch_size}


def test_the_table_of_extremes(project):
    plan = spectra(project, 1)
    paths = tables.render(plan, "mech_table1")
    assert [path.suffix for path in paths] == [".csv", ".md", ".tex", ".html"]
    frame = pd.read_csv(paths[0])
    assert len(frame) == 3 * 3 * 5 and (frame.loc[frame["quantity"] == "Tr(K)", "value"] == 3).all()
    assert "3 ± 0 (3)" in paths[1].read_text() and r"λ_K^\*/λ_K^1" in paths[1].read_text()
    assert r"$\lambda_K^*/\lambda_K^1$" in paths[2].read_text()


def test_the_embedding_shows_where_two_learning_rates_part(project):
    made = project(
        {"mech_figure3": Output((CNN,), ("eta_star",), sweep="learning_rates")}, **{CNN: {"tuning_seeds": 1}}
    )
    for configuration in made.plan.jobs:
        made.run(configuration, 0, train_loss=[1, 1, 1, 1])
        _steps(made, configuration, 0)
    _, data = figures.FIGURES["mech_figure3"](made.plan, "mech_figure3")
    assert data.groupby(["embedding", "learning_rate"]).size().tolist() == [12] * 4
    marked = data[data["parting"]]
    every = made.plan.params.settings[CNN].measure.trajectory_every
    assert set(marked["learning_rate"]) == {max(made.plan.params.settings[CNN].learning_rates)}
    assert marked["step"].unique().tolist() == [8 * every]  # the last before the large one turns away
    again = figures.FIGURES["mech_figure3"](made.plan, "mech_figure3")[1]
    pd.testing.assert_frame_equal(data, again)
    plane = data[data["embedding"] == "PCA"][["x", "y"]].to_numpy()
    paths = [mechanisms.outputs(load_run(made.plan.run_folder(c, 0))) for c in
             sorted(made.plan.jobs, key=lambda c: c.learning_rate)]  # fmt: skip
    points = np.concatenate(paths)
    distances = [np.linalg.norm(rows[0] - rows[-1]) for rows in (points, plane)]
    assert distances[0] == pytest.approx(distances[1])  # three dimensions, of which one is constant


def test_allocations_add_up_in_the_figure(project):
    made = project(
        {"mech_figure5": Output((CNN,), ("eta_star",), sweep="learning_rates")}, **{CNN: {"tuning_seeds": 1}}
    )
    for configuration in made.plan.jobs:
        made.run(configuration, 0, train_loss=[1, 1, 1, 1])
        _steps(made, configuration, 0)
    _, data = figures.FIGURES["mech_figure5"](made.plan, "mech_figure5")
    own = data[data["learning_rate"] == data["learning_rate"].max()].set_index("series")["y"]
    assert own["first"].tolist() == [-0.25, -0.5, -0.75] and own["last"].tolist() == [-0.75, -1.5, -2.25]
    assert own["all layers"].tolist() == own["loss"].tolist() == [-1, -2, -3]
    assert own["helping"].tolist() == [60, 60, 60]


def gradient_descent(project, level, falls=True):
    """Runs that rise to `level` times 2 / eta, of which the loss rises at every third step."""
    made = project({"mech_figure4": DESCENT, "mech_table2": DESCENT}, **{GD: {"tuning_seeds": 3, "epochs": 9}})
    for configuration in made.plan.jobs:
        edge = 2 / configuration.learning_rate
        for seed in range(3):
            hover = level * edge * 1.001**seed
            losses = [9, 8, 7, 6, 7, 5, 4, 5, 3] if falls else [1, 2, 3, 2, 3, 4, 3, 4, 5]
            made.run(configuration, seed, hessian_largest=[edge / 9, edge / 3, *[hover] * 8],
                     minibatch_loss=[None, *losses])  # fmt: skip
    return made.plan


@pytest.mark.parametrize(
    "level, falls, verdict",
    [
        (1.05, True, Verdict.REPRODUCED),
        (1.5, True, Verdict.CONTRADICTED),
        (1.05, False, Verdict.CONTRADICTED),
        (0.5, True, Verdict.INCONCLUSIVE),
    ],
)
def test_the_edge_of_stability_is_judged(project, level, falls, verdict):
    claim = claims.edge_of_stability(Evidence(gradient_descent(project, level, falls)))
    assert claim.verdict == verdict
    assert [len(statement.parts) for statement in claim.statements] == [2, 2, 2]
    if level < 1:
        assert "3 of 3 runs without an arrival at 2/η" in claim.statements[0].parts[0].reason


def test_the_edge_in_figure_and_table(project):
    plan = gradient_descent(project, 1.05)
    _, data = figures.FIGURES["mech_figure4"](plan, "mech_figure4")
    loss = data[data["panel"] == "minibatch_loss"]
    assert loss["x"].min() == 0 and loss["x"].max() == 8  # before the first and before the last step
    assert (data["arrival"] == 2).all()
    frame = pd.read_csv(tables.render(plan, "mech_table2")[0])
    means = frame.groupby("quantity")["value"].mean()
    assert means["arrival"] == 2 and means["λ_H^1 η/2"] == pytest.approx(1.05 * 1.001, rel=1e-3)
    assert means["last loss"] == 3
