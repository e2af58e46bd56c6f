"""What several tests stand on: the real params.yaml with a scale `tiny`, small enough to train in a test."""

import re
from pathlib import Path

import pytest
import torch
import yaml

from catfish.config import parse
from catfish.datasets import load_prepared, make_split, prepare, write_split
from catfish.plan import Plan

ROOT = Path(__file__).parents[1]
LARGE_BATCHES = re.compile("simplecnn_c10_(steps_|large).*|resnet26_c10_.*|resnet26_c100_s.*|mech_.*")  # not in `tiny`
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
        "simplecnn_c10_steps": {"learning_rates": [0.01], "epochs": 2, "measure": {"fisher_steps": 4}},
        "vgg11_c100": {"dataset": "digits", "width": 0.05, "milestones": [1], "learning_rates": [0.003, 0.01]},
        "resnet18_imagenet": {"examples": None},
        "resnet26_c10": {"dataset": "digits", "batch_size": 32, "width": 0.25, "depth": 0.25, "augment": "none"},
        "resnet26_c100": {"dataset": "digits", "batch_size": 32},
        "resnet26_c100_early_large": {"epochs": 1, "milestones": []},
        "resnet26_c100_after_small": {"epochs": 2, "milestones": [1], "tuning_seeds": 2},
        "vgg11_c100_noise25": {"tuned_on": "simplecnn_c10", "coefficients": {"fp": [0.001, 0.01]}},
    },
    "methods": {"fp": {"coefficients": [0.001, 0.01]}, "fp_eta_star": {"coefficients": [0.001]}},
    "measure": {"hessian_every": 2, "hessian_probes": 2, "hessian_examples": 16, "fisher_examples": 16},
    "outputs": {
        **{f"table{n}": {"settings": ["simplecnn_c10"], "methods": METHODS} for n in (1, 4, 5, 6)},
        "table2": {"settings": ["simplecnn_c10"], "methods": ["eta_star", "fp_eta_star"]},
        "table3": {"settings": ["vgg11_c100_noise25"], "methods": ["baseline", "fp"]},
        "figure1": {"settings": ["simplecnn_c10"]},
        "figure3": {"settings": ["simplecnn_c10"], "methods": METHODS},
        "figure5": {"settings": ["vgg11_c100_noise25"], "methods": ["fp"]},
        "figure8": {"settings": ["simplecnn_c10"], "methods": METHODS},
        "figure6": {"settings": ["resnet26_c100_early_large", "resnet26_c100_after_large"]},
        "figure15": {"settings": ["simplecnn_c10_steps"]},
    },
}


def pytest_collection_modifyitems(items):
    """Whole campaigns first: they take longest, and short tests fill up what is left of several processes' time."""
    items.sort(key=lambda item: ROOT / "tests" / "workflow" not in item.path.parents)


@pytest.fixture
def document() -> dict:
    """The content of params.yaml with some of its outputs and without the settings of others, free to be changed.

    The Fisher penalty on SimpleCNN has the method's own grid.
    """
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    shown = [*(f"table{n}" for n in range(1, 7)), *(f"figure{n}" for n in (1, 3, 5, 8))]
    document["outputs"] = {name: document["outputs"][name] for name in shown}
    for values in (document, *document["scales"].values()):
        values.pop("only", None)
        for name in list(values.get("settings", {})):
            if name.startswith(
                ("simplecnn_c10_steps", "simplecnn_c10_large", "mech_simplecnn", "mech_resnet32", "mech_gd")
            ):
                del values["settings"][name]
        values["outputs"] = {name: output for name, output in values.get("outputs", {}).items() if name in shown}
        values.get("settings", {}).get("simplecnn_c10", {}).pop("coefficients", None)
    return document


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    torch.set_num_threads(1)


def tiny_params() -> dict:
    """The content of params.yaml with the scale `tiny` as its default."""
    document = yaml.safe_load((ROOT / "params.yaml").read_text())
    document["scales"]["tiny"] = TINY
    for name in filter(LARGE_BATCHES.fullmatch, list(document["settings"])):
        del document["settings"][name]
    del document["settings"]["simplecnn_c10"]["coefficients"]
    document["outputs"] = {name: document["outputs"][name] for name in TINY["outputs"]}
    return document | {"scale": "tiny"}


@pytest.fixture(scope="session")
def tiny_text() -> str:
    """The text of that file."""
    return yaml.safe_dump(tiny_params(), sort_keys=False)


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
