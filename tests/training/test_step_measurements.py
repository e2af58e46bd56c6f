"""Rows of single steps, spectra after an epoch, and full-batch gradient descent, against what they are by hand."""

from dataclasses import replace

import pandas as pd
import pytest
import torch

from catfish.curvature import gradient_covariance, hessian_eigenvalues
from catfish.gradients import square_loss
from catfish.records import ALLOCATION_COLUMNS, TRAJECTORY_COLUMNS
from catfish.training import loop
from catfish.training.checkpoint import Keeper
from catfish.training.loop import train_run
from catfish.training.seeds import generator
from catfish.training.state import initial_state
from catfish.training.step_measurements import rows


@pytest.fixture
def states(monkeypatch):
    """The states of all runs that a test trains."""
    found = []

    def kept(*arguments):
        found.append(initial_state(*arguments))
        return found[-1]

    monkeypatch.setattr(loop, "initial_state", kept)
    return found


def train(run, data, folder):
    folder.mkdir()
    outcome, _ = train_run(run, data, folder, Keeper(folder, "fingerprint"), say=lambda line: None)
    assert outcome["status"] == "completed"
    return {path.stem: pd.read_csv(path) for path in folder.glob("*.csv")}


def measuring(run, **changes):
    return replace(run, measure=replace(run.measure, **changes))


def flat(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_rows_by_the_number_of_steps(make_run):
    measure = measuring(make_run(), fisher_steps=4, trajectory_steps=9, trajectory_every=4, allocation_steps=2).measure
    counts = [tuple(rows(measure, steps).values()) for steps in (0, 1, 4, 5, 8, 9, 100)]
    assert counts == [(0, 0, 0), (1, 1, 1), (4, 1, 2), (4, 2, 2), (4, 2, 2), (4, 3, 2), (4, 3, 2)]


def test_the_allocation_adds_up_to_the_change_of_the_loss(make_run, make_data, tmp_path):
    run = measuring(make_run(learning_rate=0.01), allocation_steps=5, allocation_examples=96)
    tables = train(run, make_data(), tmp_path / "run")
    table, history = tables["allocation"], tables["history"]
    assert tuple(table)[:4] == ALLOCATION_COLUMNS and table["step"].tolist() == [1, 2, 3, 4, 5]
    layers = table.drop(columns=list(ALLOCATION_COLUMNS))
    assert list(layers) == ["0", "2", "5", "7", "11", "13"]
    change = table["loss_after"] - table["loss_before"]
    assert layers.sum(axis=1).to_numpy() == pytest.approx(change.to_numpy(), abs=0.03 * change.abs().max())
    assert table["loss_before"].iloc[1:].to_numpy() == pytest.approx(table["loss_after"].iloc[:-1].to_numpy())
    # All 96 training examples: the loss that an evaluation sees.
    assert table["loss_before"].iloc[0] == pytest.approx(history["train_loss"].iloc[0], rel=1e-5)
    assert table["loss_after"].iloc[2] == pytest.approx(history["train_loss"].iloc[1], rel=1e-5)
    assert table["helping"].between(0, 1).all()


def test_the_trajectory_is_that_of_the_outputs(make_run, make_data, tmp_path, states):
    run = measuring(make_run(), trajectory_steps=5, trajectory_every=2, trajectory_examples=96, covariance_batches=3,
                    covariance_batch=32)  # fmt: skip
    data = make_data()
    tables = train(run, data, tmp_path / "run")
    table = tables["trajectory"]
    assert table["step"].tolist() == [0, 2, 4] and tuple(table)[:3] == TRAJECTORY_COLUMNS
    assert table["train_accuracy"].iloc[0] == pytest.approx(tables["history"]["train_accuracy"].iloc[0])
    model = initial_state(run, data.classes, torch.device("cpu")).model.eval()
    outputs = model(data.pixels(data.train.images)).softmax(1).detach()
    order = torch.randperm(96, generator=generator("cpu", run.seed, "trajectory examples"))
    written = torch.tensor(table.filter(regex="^output_").to_numpy()[0]).view(96, 10)
    assert torch.allclose(written, outputs[order].double(), atol=6e-5)
    assert table["covariance_largest"].nunique() == 3


def test_spectra_are_those_of_the_examples(make_run, make_data, tmp_path):
    """All training examples, so that only their order is drawn; K of single examples, which no order changes."""
    run = measuring(make_run(epochs=1), spectra_every=1, spectra_examples=96, spectra_eigenvalues=2,
                    covariance_batches=96, covariance_batch=1)  # fmt: skip
    data = make_data()
    history = train(run, data, tmp_path / "run")["history"]
    model = initial_state(run, data.classes, torch.device("cpu")).model
    x, y = data.pixels(data.train.images), data.train.labels
    largest, second = hessian_eigenvalues(model, x, y, count=2, generator=torch.Generator().manual_seed(5)).values
    covariance = gradient_covariance(model, x, y)
    first = history.iloc[0]
    assert first["hessian_largest"] == pytest.approx(largest.item(), rel=1e-3)
    assert first["hessian_conditioning"] == pytest.approx((second / largest).item(), rel=1e-2)
    assert first["covariance_largest"] == pytest.approx(covariance.largest, rel=1e-3)
    assert first["covariance_trace"] == pytest.approx(covariance.trace, rel=1e-3)
    assert 0 < first["covariance_conditioning"] < 1
    assert history["hessian_largest"].notna().all()


def test_without_mini_batches_k_is_not_measured(make_run, make_data, tmp_path):
    run = measuring(make_run(epochs=1), spectra_every=1, spectra_examples=16, covariance_batches=0)
    history = train(run, make_data(), tmp_path / "run")["history"]
    assert history["hessian_largest"].notna().all()
    assert history[["hessian_conditioning", "covariance_largest"]].isna().all().all()


def test_full_batch_gradient_descent_on_the_square_loss(make_run, make_data, tmp_path, states):
    """Two steps by hand."""
    run = make_run(model="mlp_tanh", loss="square", batch_size=96, momentum=0.0, milestones=(), learning_rate=0.01)
    run = measuring(run, curvature_every=None, hessian_every=None, evaluate_every=1)
    data = make_data()
    history = train(run, data, tmp_path / "run")["history"]
    model = initial_state(run, data.classes, torch.device("cpu")).model
    x, y, losses = data.pixels(data.train.images), data.train.labels, []
    for _ in range(2):
        loss = square_loss(model(x), y)
        losses.append(loss.item())
        with torch.no_grad():
            for p, g in zip(model.parameters(), torch.autograd.grad(loss, list(model.parameters()))):
                p -= 0.01 * g
    assert torch.allclose(flat(states[0].model), flat(model), atol=1e-6)
    assert history["minibatch_loss"].tolist()[1:] == pytest.approx(losses, rel=1e-5)
    assert history["train_loss"].tolist()[:2] == pytest.approx(losses, rel=1e-5)
    assert history["fisher_trace"].isna().all()
