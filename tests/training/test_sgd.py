import copy
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from catfish.training.sgd import SGD

SOURCE = Path(__file__).parents[2] / "src"
SETTINGS = {"momentum": 0.9, "weight_decay": 1e-2}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3))


def train(model, optimizer, steps, set_rate, start=0):
    for step in range(start, start + steps):
        set_rate(0.1 / (1 + step))
        optimizer.zero_grad()
        model(torch.full((2, 5), 0.3 + step)).square().mean().backward()
        optimizer.step()


def train_ours(model, optimizer, steps, start=0):
    train(model, optimizer, steps, lambda rate: setattr(optimizer, "learning_rate", rate), start)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_the_numbers_are_those_of_torchs_optimiser(momentum):
    ours, torchs, settings = network(), network(), SETTINGS | {"momentum": momentum}
    train_ours(ours, SGD(ours.parameters(), 0.1, **settings), 6)
    reference = torch.optim.SGD(torchs.parameters(), 0.1, fused=True, **settings)
    train(torchs, reference, 6, lambda rate: reference.param_groups[0].update(lr=rate))
    assert torch.equal(weights(ours), weights(torchs))
    assert not torch.equal(weights(ours), weights(network()))


def test_it_goes_on_from_its_state():
    whole, first = network(), network()
    train_ours(whole, SGD(whole.parameters(), 0.1, **SETTINGS), 6)
    optimizer = SGD(first.parameters(), 0.1, **SETTINGS)
    train_ours(first, optimizer, 3)
    state, second = copy.deepcopy(optimizer.state_dict()), copy.deepcopy(first)
    forgetful = copy.deepcopy(first)
    resumed = SGD(second.parameters(), 0.1, **SETTINGS)
    resumed.load_state_dict(state)
    train_ours(second, resumed, 3, start=3)
    assert torch.equal(weights(second), weights(whole))
    train_ours(forgetful, SGD(forgetful.parameters(), 0.1, **SETTINGS), 3, start=3)
    assert not torch.equal(weights(forgetful), weights(whole))


def test_a_parameter_without_gradient_stays():
    model = network()
    model[1].weight.requires_grad_(False)
    before = model[1].weight.clone()
    train_ours(model, SGD(model.parameters(), 0.1, **SETTINGS), 2)
    assert torch.equal(model[1].weight, before)


def test_training_loads_no_compiler():
    code = """
import sys, torch
from catfish.training import loop
from catfish.training.sgd import SGD
model = torch.nn.Linear(2, 2)
optimizer = SGD(model.parameters(), 0.1, 0.9, 0.0)
model(torch.ones(1, 2)).sum().backward()
optimizer.step()
print("torch._dynamo" in sys.modules)
"""
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, check=True, capture_output=True, text=True)
    assert found.stdout == "False\n"
