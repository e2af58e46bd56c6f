"""SAM, grafting, recorded norms and batches in parts, as steps of a run."""

import copy

import pandas as pd
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from catfish.errors import Interrupted, RecordError
from catfish.plan import NORMS_FILE
from catfish.training import checkpoint, grafting
from catfish.training.checkpoint import Keeper
from catfish.training.loop import train_epoch, train_run
from catfish.training.state import initial_state

CPU = torch.device("cpu")


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()


def batch(size=6):
    source = torch.Generator().manual_seed(1)
    return torch.randn(size, 3, generator=source, dtype=torch.float64), torch.arange(size) % 2


def flat(model):
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def test_a_gradient_takes_a_norm_and_keeps_its_direction():
    model, (x, y) = network(), batch()
    F.cross_entropy(model(x), y).backward()
    before = flat(model).clone()
    assert grafting.gradient_norm(model).item() == pytest.approx(before.norm().item(), rel=1e-14)
    grafting.take_norm(model, torch.tensor(2.5, dtype=torch.float64))
    torch.testing.assert_close(flat(model), 2.5 * before / before.norm(), rtol=1e-12, atol=0)


def test_a_small_batchs_norm_leaves_gradients_and_statistics():
    model, (x, y) = network(), batch()
    F.cross_entropy(model(x), y).backward()
    before, gradient = copy.deepcopy(model.state_dict()), flat(model).clone()
    norm = grafting.small_batch_norm(model, x[:3], y[:3])
    assert torch.equal(flat(model), gradient)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    direct = torch.autograd.grad(F.cross_entropy(model(x[:3]), y[:3]), list(model.parameters()))
    assert norm.item() == pytest.approx(torch.cat([part.flatten() for part in direct]).norm().item(), rel=1e-12)


@pytest.mark.parametrize(
    ("steps", "expected"), [(4, [1, 2, 3, 6]), (2, [1, 3]), (8, [1, 1, 2, 2, 3, 3, 6, 6]), (3, [1, 2, 3])]
)
def test_norms_are_taken_at_the_same_share_of_the_training(tmp_path, steps, expected):
    path = tmp_path / NORMS_FILE
    checkpoint.write(path, {"norms": torch.tensor([1.0, 2, 3, 6])})
    assert grafting.read_norms(path, steps, False, CPU).tolist() == expected
    assert grafting.read_norms(path, steps, True, CPU).tolist() == [3.0] * steps


@pytest.mark.parametrize("content", [{}, {"norms": torch.tensor([])}, {"norms": [1.0]}])
def test_a_file_without_norms_is_named(tmp_path, content):
    checkpoint.write(tmp_path / NORMS_FILE, content)
    with pytest.raises(RecordError, match=r"norms\.pt: holds no gradient norms; delete"):
        grafting.read_norms(tmp_path / NORMS_FILE, 3, False, CPU)


@pytest.fixture
def steps_of(make_run, make_data):
    """The gradients (parameters,) with which the steps of a run's first epoch were taken, and the state after it."""

    def steps(taken=None, records=False, **changes):
        run, data = make_run(epochs=1, momentum=0.0, **changes), make_data()
        state = initial_state(run, data.classes, CPU)
        state.taken_norms = taken
        if records:
            state.norms = torch.full((3,), torch.nan)
        found, step = [], state.optimizer.step

        def noted():
            found.append(flat(state.model).clone())
            step()

        state.optimizer.step = noted
        train_epoch(run, state, data)
        return found, state

    return steps


def test_a_step_of_sam_goes_along_the_gradient_at_the_worst_weights_nearby(steps_of, make_run, make_data):
    found, _ = steps_of(sam=True, coefficient=0.2)
    run, data = make_run(epochs=1), make_data()
    state = initial_state(run, data.classes, CPU)
    index = torch.randperm(96, generator=state.generators["order"])[:32]
    x, y = data.pixels(data.train.images[index]), data.train.labels[index]
    F.cross_entropy(state.model(x), y).backward()
    plain = flat(state.model).clone()
    with torch.no_grad():
        for parameter in state.model.parameters():
            parameter += 0.2 * parameter.grad / plain.norm()
            parameter.grad = None
    F.cross_entropy(state.model(x), y).backward()
    torch.testing.assert_close(found[0], flat(state.model), rtol=1e-3, atol=1e-5)
    assert (found[0] - plain).norm() > 0.05 * plain.norm()


def test_grafted_steps_have_the_norms_that_they_are_given(steps_of):
    norms = torch.tensor([0.5, 3.0, 0.1])
    plain, _ = steps_of()
    found, _ = steps_of(step_norm="recorded", taken=norms)
    assert [gradient.norm().item() for gradient in found] == pytest.approx(norms.tolist(), rel=1e-5)
    torch.testing.assert_close(found[0] / found[0].norm(), plain[0] / plain[0].norm(), rtol=1e-4, atol=1e-7)


def test_an_iteratively_grafted_step_is_as_long_as_a_small_batchs(steps_of, make_run, make_data):
    found, _ = steps_of(step_norm="micro_batch", micro_batch=8)
    run, data = make_run(epochs=1), make_data()
    state = initial_state(run, data.classes, CPU)
    index = torch.randperm(96, generator=state.generators["order"])[:8]
    x, y = data.pixels(data.train.images[index]), data.train.labels[index]
    expected = grafting.small_batch_norm(state.model, x, y).item()
    assert found[0].norm().item() == pytest.approx(expected, rel=1e-5)


def test_norms_are_recorded_before_a_penalty_changes_the_gradient(steps_of):
    plain, state = steps_of(records=True)
    assert state.norms.tolist() == pytest.approx([gradient.norm().item() for gradient in plain], rel=1e-6)
    _, penalised = steps_of(records=True, penalty="gradient", coefficient=1.0, every=1)
    assert penalised.norms[0] == pytest.approx(plain[0].norm().item(), rel=1e-4)


def test_a_batch_in_parts_has_the_same_gradient(steps_of):
    whole, _ = steps_of()
    parts, _ = steps_of(forward_batch=8)
    torch.testing.assert_close(parts[0], whole[0], rtol=1e-4, atol=1e-6)
    penalised, _ = steps_of(penalty="gradient", coefficient=0.01, every=1)
    together, _ = steps_of(penalty="gradient", coefficient=0.01, every=1, forward_batch=8)
    torch.testing.assert_close(together[0], penalised[0], rtol=1e-3, atol=1e-5)


METHODS = {
    "sam": {"sam": True, "coefficient": 0.05},
    "iterative": {"step_norm": "micro_batch", "micro_batch": 8},
    "external": {"step_norm": "recorded"},
    "constant": {"step_norm": "constant"},
    "recording": {},
    "in parts": {"forward_batch": 16, "penalty": "gradient", "coefficient": 0.01, "micro_batch": 16},
}


@pytest.mark.parametrize("changes", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_interrupted_run_ends_with_the_same_numbers(make_run, make_data, tmp_path, multiplied, changes, precision):
    run, data = make_run(epochs=3, precision=precision, **changes), make_data()
    norms = tmp_path / "given.pt"
    checkpoint.write(norms, {"norms": torch.linspace(0.2, 1.2, 9)})
    given = norms if run.step_norm in ("recorded", "constant") else None

    def train(folder, stopping):
        keeper = Keeper(folder, "fingerprint", 1000, stopping=stopping)
        return train_run(run, data, folder, keeper, norms=given, kept=(NORMS_FILE,), say=lambda line: None)

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir(), parts.mkdir()
    assert train(whole, lambda: False)[0] == {"status": "completed"}
    for _ in range(4):
        asked = iter([False, True])
        with pytest.raises(Interrupted):
            train(parts, lambda asked=asked: next(asked))
    train(parts, lambda: False)
    assert (parts / "history.csv").read_bytes() == (whole / "history.csv").read_bytes()
    found, expected = (checkpoint.read(folder / NORMS_FILE, CPU)["norms"] for folder in (parts, whole))
    assert torch.equal(found, expected) and found.isfinite().all() and len(found) == 9
    assert pd.read_csv(whole / "history.csv")["train_loss"].diff().iloc[1:].abs().min() > 0


def test_a_run_that_takes_the_norms_of_a_diverged_one_diverges_there(make_run, make_data, tmp_path):
    checkpoint.write(tmp_path / NORMS_FILE, {"norms": torch.tensor([0.1, 0.1, 0.1, 0.1, torch.nan, torch.nan])})
    run = make_run(step_norm="recorded")
    keeper = Keeper(tmp_path, "fingerprint")
    outcome, _ = train_run(run, make_data(), tmp_path, keeper, norms=tmp_path / NORMS_FILE, say=lambda line: None)
    assert outcome["status"] == "diverged" and outcome["step"] in (5, 6)


def test_without_momentum_the_optimiser_follows_the_gradient(steps_of):
    found, after = steps_of()
    _, before = steps_of(learning_rate=0.0)
    first, last = (torch.cat([p.detach().flatten() for p in s.model.parameters()]) for s in (before, after))
    torch.testing.assert_close(first - last, 0.02 * sum(found), rtol=1e-3, atol=1e-6)
