from dataclasses import replace

import pandas as pd
import pytest
import torch

from catfish.records import COLUMNS, STEP_COLUMNS
from catfish.training import loop
from catfish.training.checkpoint import Keeper
from catfish.training.loop import first_not_finite, learning_rate, train_run
from catfish.training.state import initial_state

REGULARISERS = [
    {},
    {"penalty": "fisher", "coefficient": 0.01, "every": 2},
    {"penalty": "gradient", "coefficient": 0.01, "every": 2},
    {"penalty": "random_label_gradient", "coefficient": 0.001, "every": 2},
    {"penalty": "input_gradient", "coefficient": 10.0, "every": 2},
    {"mixup": True, "coefficient": 0.4},
]


AROUND = {"spectra_every": 1, "spectra_examples": 40, "covariance_batches": 4, "covariance_batch": 8,
          "trajectory_steps": 5, "trajectory_every": 2, "trajectory_examples": 20, "allocation_steps": 4,
          "allocation_examples": 30}  # fmt: skip


def silent(line):
    pass


@pytest.fixture
def weights(monkeypatch):
    """The states of all runs that a test trains."""
    states = []

    def kept(*arguments):
        states.append(initial_state(*arguments))
        return states[-1]

    monkeypatch.setattr(loop, "initial_state", kept)
    return lambda: [torch.cat([p.detach().flatten() for p in state.model.parameters()]) for state in states]


def train(run, data, folder):
    folder.mkdir(parents=True, exist_ok=True)
    outcome, _ = train_run(run, data, folder, Keeper(folder, "fingerprint"), say=silent)
    return outcome, pd.read_csv(folder / "history.csv")


def test_a_network_learns_the_digits(make_run, make_data, tmp_path):
    run = make_run(epochs=30, milestones=(25,), width=0.25)
    outcome, history = train(run, make_data(), tmp_path / "run")
    assert outcome == {"status": "completed"}
    assert history["train_accuracy"].iloc[-1] > 0.95
    assert history["train_accuracy"].iloc[0] < 0.3
    assert list(history["epoch"]) == list(range(31))
    assert list(history["step"]) == [3 * epoch for epoch in range(31)]


@pytest.mark.parametrize("changes", REGULARISERS, ids=lambda c: c.get("penalty") or ("mixup" if c else "none"))
def test_every_regulariser_changes_the_trajectory_and_only_the_seed_decides(
    make_run, make_data, tmp_path, weights, changes
):
    data = make_data()
    for number, run in enumerate((make_run(**changes), make_run(**changes), make_run(), make_run(seed=1))):
        train(run, data, tmp_path / str(number))
    first, again, plain, other_seed = weights()
    assert torch.equal(first, again)
    assert torch.equal(first, plain) == (not changes)
    assert not torch.equal(plain, other_seed)


def test_a_penalty_begins_after_its_onset(make_run, make_data, tmp_path, weights):
    data, fisher = make_data(), {"penalty": "fisher", "coefficient": 0.01, "every": 1}
    for number, changes in enumerate(({}, {**fisher, "onset": 2}, {**fisher, "onset": 1}, fisher)):
        train(make_run(**changes), data, tmp_path / str(number))
    plain, never, later, always = weights()
    assert torch.equal(plain, never)
    assert not torch.equal(plain, later)
    assert not torch.equal(later, always)


@pytest.mark.parametrize("changes", [{}, {"penalty": "fisher", "coefficient": 0.01}], ids=["plain", "fisher"])
def test_measurements_do_not_change_the_trajectory(make_run, make_data, tmp_path, weights, changes):
    run = make_run("vgg11_c100_noise25", augment="flip_crop", **changes)
    nothing = replace(run.measure, evaluate_every=9, curvature_every=9, hessian_every=None)
    everything = replace(run.measure, hessian_every=1, train_examples=50, fisher_steps=4, **AROUND)
    data = make_data("vgg11_c100_noise25")
    torch.manual_seed(0)
    train(replace(run, measure=nothing), data, tmp_path / "a")
    torch.manual_seed(1)
    train(replace(run, measure=everything), data, tmp_path / "b")
    bare, measured = weights()
    assert torch.equal(bare, measured)


def test_everything_that_is_promised_is_measured(make_run, make_data, tmp_path):
    run = make_run("vgg11_c100_noise25")
    _, history = train(run, make_data("vgg11_c100_noise25"), tmp_path / "run")
    assert tuple(history.columns) == COLUMNS
    once = ["hessian_trace", "hessian_trace_error"]
    assert history[once].notna().sum().tolist() == [2, 2]
    unasked = [column for column in COLUMNS if column.startswith("covariance")]
    unasked += ["hessian_largest", "hessian_conditioning"]
    assert history[unasked].isna().all().all()
    assert history.drop(columns=[*once, *unasked, "learning_rate", "minibatch_loss"]).notna().all().all()
    assert history["learning_rate"].tolist()[1:] == [0.02, 0.002]
    mean = 0.75 * history["clean_accuracy"] + 0.25 * history["noisy_accuracy"]
    assert mean.to_numpy() == pytest.approx(history["train_accuracy"].to_numpy(), abs=1e-6)
    timing = pd.read_csv(tmp_path / "run" / "timing.csv")
    assert timing["epoch"].tolist() == [0, 1, 2]
    assert (timing["train_seconds"].iloc[1:] > 0).all()


def test_measuring_less_often_leaves_cells_empty_but_not_the_last(make_run, make_data, tmp_path):
    run = make_run(epochs=3)
    run = replace(run, measure=replace(run.measure, evaluate_every=2, curvature_every=2))
    _, history = train(run, make_data(), tmp_path / "run")
    for column in ("test_accuracy", "fisher_trace"):
        assert history[column].notna().tolist() == [True, False, True, True]


def test_fisher_trace_at_single_steps(make_run, make_data, tmp_path):
    """The first is that of the initialisation: both take all examples, with sampled labels of their own."""
    run = make_run()
    run = replace(run, measure=replace(run.measure, fisher_steps=5, fisher_examples=96))
    _, history = train(run, make_data(), tmp_path / "run")
    steps = pd.read_csv(tmp_path / "run" / "steps.csv")
    assert tuple(steps.columns) == STEP_COLUMNS
    assert steps["step"].tolist() == [1, 2, 3, 4, 5]
    assert steps["fisher_trace"].iloc[0] == pytest.approx(history["fisher_trace"].iloc[0], rel=0.3)
    assert steps["fisher_trace"].nunique() == 5
    correct = 32 * steps["minibatch_accuracy"]
    assert correct.tolist() == pytest.approx(correct.round().tolist())


def test_divergence_is_an_outcome_with_its_step(make_run, make_data, tmp_path):
    outcome, history = train(make_run(learning_rate=1e12), make_data(), tmp_path / "run")
    assert outcome["status"] == "diverged"
    assert 2 <= outcome["step"] <= 3
    assert history["epoch"].tolist() == [0]
    assert not list((tmp_path / "run").glob("checkpoint*"))


def test_the_step_of_divergence():
    assert first_not_finite(torch.tensor([1.0, 2.0])) is None
    assert first_not_finite(torch.tensor([1.0, float("inf"), float("nan")])) == 1


def test_schedule(make_run):
    run = make_run(learning_rate=0.5, epochs=6, milestones=(2, 4), decay=0.1)
    assert [learning_rate(run, epoch) for epoch in range(1, 7)] == pytest.approx([0.5, 0.5, 0.05, 0.05, 0.005, 0.005])


def test_bf16_trains_and_measures_in_float32(make_run, make_data, tmp_path, multiplied):
    run = make_run(epochs=4, milestones=(), precision="bf16", penalty="fisher", coefficient=0.001)
    outcome, history = train(run, make_data(), tmp_path / "run")
    assert outcome == {"status": "completed"}
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[0]
    exact = train(replace(run, precision="fp32"), make_data(), tmp_path / "fp32")[1]
    assert history["fisher_trace"].iloc[0] == exact["fisher_trace"].iloc[0]
    assert history["fisher_trace"].iloc[1] != exact["fisher_trace"].iloc[1]


def test_bf16_that_would_be_emulated_is_fp32(make_run, make_data, tmp_path, emulated):
    run = make_run(precision="bf16")
    _, found = train(run, make_data(), tmp_path / "bf16")
    _, exact = train(replace(run, precision="fp32"), make_data(), tmp_path / "fp32")
    pd.testing.assert_frame_equal(found, exact)


def test_a_batch_larger_than_the_data_is_refused(make_run, make_data, tmp_path):
    with pytest.raises(ValueError, match="batch_size: 97 is more than the 96"):
        train(make_run(batch_size=97), make_data(), tmp_path / "run")


def test_measurements_on_more_examples_than_go_through_the_network_at_once(make_run, make_data, tmp_path, monkeypatch):
    run = make_run(epochs=1)
    run = replace(run, measure=replace(run.measure, fisher_examples=90, hessian_every=None))
    _, whole = train(run, make_data(), tmp_path / "whole")
    monkeypatch.setattr("catfish.training.measurements.PIXELS_AT_ONCE", 7 * 32 * 32)
    _, chunks = train(run, make_data(), tmp_path / "chunks")
    for column in ("train_loss", "test_accuracy", "gradient_norm"):
        assert chunks[column].to_numpy() == pytest.approx(whole[column].to_numpy(), rel=1e-4)
    assert chunks["fisher_trace"].to_numpy() == pytest.approx(whole["fisher_trace"].to_numpy(), rel=0.3)  # other labels
