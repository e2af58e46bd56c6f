"""What several tests stand on: the real params.yaml with a scale `tiny`, small enough to train in a test."""

from pathlib import Path

import pytest
import torch
import yaml

from catfish.config import parse
from catfish.datasets import load_prepared, make_split, prepare, write_split
from catfish.plan import Plan

ROOT = Path(__file__).parents[1]
METHODS = ["eta_star", "baseline", "fp"]
TINY = {
    "setting_defaults": {
        "examples": 96,
        "validation": 40,
        "batch_size": 32,
        "epochs": 2,
        "milestones": [1],
        "seeds": 2,
        "tuning_seeds": 1,
    },
    "settings": {
        "simplecnn_c10": {"dataset": "digits", "width": 0.1, "learning_rates": [0.01, 0.05]},
        "vgg11_c100": {"dataset": "digits", "width": 0.05, "milestones": [1], "learning_rates": [0.003, 0.01]},
        "resnet18_imagenet": {"examples": None},
        "resnet26_c10": {"examples": None},
        "vgg11_c100_noise25": {"tuned_on": "simplecnn_c10", "coefficients": {"fp": [0.001, 0.01]}},
    },
    "methods": {"fp": {"coefficients": [0.001, 0.01]}, "fp_eta_star": {"coefficients": [0.001]}},
    "measure": {"hessian_epochs": [-1], "hessian_probes": 2, "hessian_examples": 16, "fisher_examples": 16},
    "outputs": {
        **{f"table{n}": {"settings": ["simplecnn_c10"], "methods": METHODS} for n in (1, 4, 5, 6)},
        "table2": {"settings": ["simplecnn_c10"], "methods": ["eta_star", "fp_eta_star"]},
        "table3": {"settings": ["vgg11_c100_noise25"], "methods": ["baseline", "fp"]},
        "figure1": {"settings": ["simplecnn_c10"]},
        "figure3": {"settings": ["simplecnn_c10"], "methods": METHODS},
        "figure5": {"settings": ["vgg11_c100_noise25"], "methods": ["fp"]},
        "figure8": {"settings": ["simplecnn_c10"], "methods": METHODS},
    },
}


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny_text() -> str:
    """The text of params.yaml with the scale `tiny` as its default."""
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["scales"]["tiny"] = TINY
    return yaml.safe_dump(document | {"scale": "tiny"}, sort_keys=False)


@pytest.fixture
def tiny_document(tiny_text) -> dict:
    """The content of that file, free to be changed."""
    return yaml.safe_load(tiny_text)


@pytest.fixture
def plan(tiny_document) -> Plan:
    return Plan(parse(tiny_document))


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Path:
    """A folder with the prepared digits, made once."""
    folder = tmp_path_factory.mktemp("prepared") / "digits"
    prepare("digits", folder / "raw", folder)
    return folder


@pytest.fixture
def project(tmp_path, monkeypatch, plan, digits) -> Path:
    """An empty project with data but no runs, as the current folder."""
    monkeypatch.chdir(tmp_path)
    prepared = tmp_path / "data" / "prepared"
    prepared.mkdir(parents=True)
    (prepared / "digits").mkdir()
    for file in ("arrays.npz", "manifest.json"):
        (prepared / "digits" / file).symlink_to(digits / file)

    labels = load_prepared(digits).train_labels
    for split in plan.splits.values():
        made = make_split(
            labels, 10, examples=split.examples, validation=split.validation, noise=split.noise, seed=split.seed
        )
        write_split(made, plan.split_path(split))
    return tmp_path
