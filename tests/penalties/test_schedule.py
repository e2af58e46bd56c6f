"""When a penalty is recomputed, how it is added, and that it goes on after a checkpoint."""

import copy

import pytest
import torch

from catfish.penalties import PENALTIES, FisherPenalty, GradientPenalty


def generator(seed=7):
    return torch.Generator().manual_seed(seed)


def zero(model):
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)


def step(model, penalty, batch):
    """What one training step adds to every gradient; afterwards the parameters move, so that the next one differs."""
    zero(model)
    penalty.add_gradient(*batch)
    added = [p.grad.clone() for p in model.parameters()]
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.01 * torch.ones_like(p))
    return added


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("every", [1, 2, 3, 10])
def test_recomputed_at_every_fth_call_and_the_last_one_added_in_between(model, make_batch, every):
    reference, penalty = copy.deepcopy(model), GradientPenalty(model, 0.3, every)
    fresh = []  # the gradient that each step's own parameters and batch would give
    for number in range(12):
        fresh.append(GradientPenalty(reference, 0.3).gradient(*make_batch(number)))
        step(reference, GradientPenalty(reference, 0.3), make_batch(number))
    assert not any(equal(fresh[i], fresh[i + 1]) for i in range(11))
    for number in range(12):
        assert equal(step(model, penalty, make_batch(number)), fresh[number - number % every]), number


@pytest.mark.parametrize("every, calls", [(1, 12), (5, 3), (12, 1), (13, 1)])
def test_the_norm_is_evaluated_only_then(model, make_batch, every, calls):
    seen = []

    class Counted(GradientPenalty):
        def gradient(self, *batch):
            seen.append(1)
            return super().gradient(*batch)

    penalty = Counted(model, 0.3, every)
    for number in range(12):
        before = len(seen)
        due = penalty.due
        penalty.add_gradient(*make_batch(number))
        assert due == (len(seen) > before)
    assert len(seen) == calls


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_the_gradient_is_added_to_what_is_there(name, model, make_batch):
    x, y = make_batch()
    gradient = PENALTIES[name](model, 0.3, generator=generator()).gradient(x, y)
    torch.manual_seed(1)
    there = [torch.randn_like(p) for p in model.parameters()]
    for p, value in zip(model.parameters(), there):
        p.grad = value.clone()
    PENALTIES[name](model, 0.3, generator=generator()).add_gradient(x, y)
    assert equal([p.grad for p in model.parameters()], [a + b for a, b in zip(there, gradient)])


def test_missing_gradients_are_created_and_are_not_the_cache(model, make_batch):
    penalty = GradientPenalty(model, 0.3, every=2)
    model[0].bias.grad = torch.ones_like(model[0].bias)
    expected = penalty.gradient(*make_batch())
    penalty.add_gradient(*make_batch())
    assert torch.equal(model[0].bias.grad, 1 + expected[1])
    assert torch.equal(model[0].weight.grad, expected[0])
    for p in model.parameters():
        p.grad.mul_(0)  # what the optimiser does with a gradient must not reach the next step
    penalty.add_gradient(*make_batch())
    assert equal([p.grad for p in model.parameters()], expected)


@pytest.mark.parametrize("name", sorted(PENALTIES))
def test_a_coefficient_of_zero_adds_nothing(name, model, make_batch):
    added = step(model, PENALTIES[name](model, 0.0, generator=generator()), make_batch())
    assert all((g == 0).all() for g in added)


@pytest.mark.parametrize("name", sorted(PENALTIES))
@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"coefficient": -0.1}, ["coefficient", "-0.1", "alpha >= 0"]),
        ({"coefficient": float("nan")}, ["coefficient", "nan", "alpha >= 0"]),
        ({"coefficient": 0.1, "every": 0}, ["every", "0 steps", "1 or more"]),
        ({"coefficient": 0.1, "every": -3}, ["every", "-3 steps", "1 or more"]),
        ({"coefficient": 0.1, "first_examples": 0}, ["first_examples", "0", "None, or 1 or more"]),
        ({"coefficient": 0.1, "micro_batch": -1}, ["micro_batch", "-1", "None, or 1 or more"]),
        ({"coefficient": 0.1, "derivative": "exact"}, ["derivative", "'exact'", "double_backward, finite_difference"]),
    ],
)
def test_impossible_arguments(name, model, arguments, words):
    with pytest.raises(ValueError) as error:
        PENALTIES[name](model, **arguments)
    assert [word for word in words if word not in str(error.value)] == []


@pytest.mark.parametrize("name", ["gradient", "input_gradient"])
def test_labels_that_are_needed_and_not_given(name, model, make_batch):
    with pytest.raises(ValueError, match="needs the batch's labels"):
        PENALTIES[name](model, 0.1).add_gradient(make_batch()[0])


@pytest.mark.parametrize("name", sorted(PENALTIES))
@pytest.mark.parametrize("stop", [0, 1, 4, 6])
def test_it_goes_on_from_a_checkpoint_with_the_same_numbers(tmp_path, name, model, make_batch, stop):
    """Recomputed every third step, interrupted before, within and between two recomputations."""
    source = generator()
    penalty = PENALTIES[name](model, 0.3, 3, source)
    for number in range(stop):
        step(model, penalty, make_batch(number))
    state = {"penalty": penalty.state_dict(), "model": model.state_dict(), "generator": source.get_state()}
    torch.save(state, tmp_path / "checkpoint.pt")
    expected = [step(model, penalty, make_batch(number)) for number in range(stop, stop + 7)]

    loaded = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    resumed, source = copy.deepcopy(model), generator(seed=99)
    with torch.no_grad():
        resumed[0].weight.zero_()
    resumed.load_state_dict(loaded["model"])
    source.set_state(loaded["generator"])
    again = PENALTIES[name](resumed, 0.3, 3, source)
    again.load_state_dict(loaded["penalty"])
    found = [step(resumed, again, make_batch(number)) for number in range(stop, stop + 7)]
    assert all(equal(a, b) for a, b in zip(expected, found))


def test_without_its_state_it_would_not_go_on(model, make_batch):
    """So that the test above can fail: the state matters between two recomputations."""
    penalty = FisherPenalty(model, 0.3, 3, generator())
    step(model, penalty, make_batch(0))
    twin = copy.deepcopy(model)
    cached = step(model, penalty, make_batch(1))
    fresh = step(twin, FisherPenalty(twin, 0.3, 3, generator()), make_batch(1))
    assert not equal(cached, fresh)


def test_a_state_of_another_model_is_refused(model, make_batch):
    penalty = GradientPenalty(model, 0.3, 3)
    penalty.add_gradient(*make_batch())
    smaller = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(40, 4)).double()
    other = GradientPenalty(smaller, 0.3, 3)
    other.load_state_dict(penalty.state_dict())
    with pytest.raises(RuntimeError, match="same size"):
        other.add_gradient(*make_batch())


def test_a_gradient_scaler_changes_nothing_once_its_gradients_are_unscaled(model, make_batch):
    x, y = make_batch()
    scaled, scaler = copy.deepcopy(model), torch.amp.GradScaler("cpu", init_scale=2.0**10)
    for one in (model, scaled):
        optimizer = torch.optim.SGD(one.parameters(), lr=0.1)
        loss = torch.nn.functional.cross_entropy(one(x), y)
        if one is scaled:
            scaler.scale(loss).backward()
            scaler.unscale_(optimizer)
        else:
            loss.backward()
        GradientPenalty(one, 0.3).add_gradient(x, y)
        scaler.step(optimizer) if one is scaled else optimizer.step()
    assert equal(list(model.parameters()), list(scaled.parameters()))
