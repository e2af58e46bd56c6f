from dataclasses import replace

import pytest
import torch

from catfish.datasets import load_prepared, load_split
from catfish.plan import Configuration
from catfish.training.batches import on_device


@pytest.fixture
def make_run(plan):
    """A run of the tiny scale's SimpleCNN with any field replaced."""

    def make(setting="simplecnn_c10", **changes):
        return replace(plan.run(Configuration(setting, "eta_star", 0.02, None), 0), **changes)

    return make


@pytest.fixture
def multiplied(monkeypatch):
    """Runs of `precision: bf16` train in it, also where the processor has to emulate it."""
    monkeypatch.setattr("catfish.training.precision.multiplies_bfloat16", lambda device: True)


@pytest.fixture
def emulated(monkeypatch):
    """No device multiplies bfloat16."""
    monkeypatch.setattr("catfish.training.precision.multiplies_bfloat16", lambda device: False)


@pytest.fixture
def make_data(project, plan):
    """The data of a setting of the tiny scale, on the CPU."""

    def make(setting="simplecnn_c10", inputs="unit"):
        split = plan.split(setting)
        prepared = load_prepared(plan.manifest_path(split.dataset).parent)
        return on_device(prepared, load_split(plan.split_path(split)), inputs, torch.device("cpu"))

    return make
