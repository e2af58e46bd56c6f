from dataclasses import replace

import pytest
import torch
from torch import nn

from catfish.training.batch_norm import refreshed_statistics


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.LazyLinear(10))


@pytest.fixture
def model(make_data):
    data, model = make_data(), network()
    for start in (0, 32):  # running statistics that are not the initial ones
        model(data.pixels(data.train.images[start : start + 32]))
    return model


def test_statistics_are_those_of_the_training_batches(make_run, make_data, model):
    data, run = make_data(), make_run(batch_norm_batches=3)  # all of the 96 examples
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    hidden = model[0](data.pixels(data.train.images)).detach()
    with refreshed_statistics(run, model, data, epoch=1):
        assert torch.allclose(model[1].running_mean, hidden.mean((0, 2, 3)), atol=1e-5)
        assert not torch.allclose(model[1].running_mean, before["1.running_mean"], atol=1e-3)
        # Variances of batches, averaged: close to that of all.
        assert torch.allclose(model[1].running_var, hidden.var((0, 2, 3)), rtol=0.05)
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    assert model[1].momentum == 0.1


def test_no_batches_leaves_the_running_statistics(make_run, make_data, model):
    before = model[1].running_mean.clone()
    with refreshed_statistics(make_run(batch_norm_batches=0), model, make_data(), epoch=1):
        assert torch.equal(model[1].running_mean, before)


def test_an_epoch_at_which_nothing_is_measured_takes_no_batches(make_run, make_data, model):
    run, before = make_run(batch_norm_batches=2, epochs=3), model[1].running_mean.clone()
    rare = replace(run, measure=replace(run.measure, evaluate_every=2, curvature_every=2, hessian_every=None))
    for epoch, measured in ((0, True), (1, False), (2, True), (3, True)):
        with refreshed_statistics(rare, model, make_data(), epoch):
            assert torch.equal(model[1].running_mean, before) != measured
    with refreshed_statistics(replace(rare, measure=replace(rare.measure, hessian_every=1)), model, make_data(), 1):
        assert not torch.equal(model[1].running_mean, before)


def test_modes_and_statistics_come_back_after_an_error(make_run, make_data, model):
    before = model[1].running_mean.clone()
    model.eval()
    model[1].train()
    with pytest.raises(KeyError), refreshed_statistics(make_run(batch_norm_batches=2), model, make_data(), epoch=1):
        assert [module.training for module in model] == [False, True, False, False, False]
        raise KeyError
    assert [module.training for module in model] == [False, True, False, False, False]
    assert torch.equal(model[1].running_mean, before)


def test_epochs_draw_different_batches_and_the_seed_decides(make_run, make_data, model):
    data, found = make_data(), []
    for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1)):
        with refreshed_statistics(make_run(batch_norm_batches=1, seed=seed), model, data, epoch):
            found.append(model[1].running_mean.clone())
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert not torch.equal(found[0], found[3])
