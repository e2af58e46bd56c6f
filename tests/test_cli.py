import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml

from catfish import __version__
from catfish.cli import main
from catfish.config import load
from catfish.datasets import load_prepared, load_split
from catfish.plan import Plan

ROOT = Path(__file__).parents[1]
COMMANDS = [
    "prepare",
    "split",
    "train",
    "select",
    "render",
    "metrics",
    "compare",
    "merge",
    "overview",
    "describe",
    "doctor",
    "verify",
    "plan",
]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty project with a params file, as the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text((ROOT / "params.yaml").read_text())
    return tmp_path


# Help


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit) as exit:
        main(["--help"])
    text = capsys.readouterr().out
    assert exit.value.code == 0
    assert [name for name in COMMANDS if f"\n    {name} " not in text] == []
    assert text.count("catfish ") >= len(COMMANDS)


@pytest.mark.parametrize(
    "command, words",
    [
        ("prepare", ["cifar10", "--raw", "--prepared", "--offline"]),
        ("split", ["--params", "--scale", "demo, laptop or paper"]),
        ("train", ["--device", "--threads", "--checkpoint-seconds", "--scale"]),
        ("select", ["SETTING/eta_star", "--scale"]),
        ("render", ["outputs", "--scale"]),
        ("metrics", ["--json", "--curves", "--scale"]),
        ("compare", ["results/demo", "--only PATTERN", "--csv FILE"]),
        ("describe", ["setting", "--scale"]),
        ("merge", ["SOURCE", "../other/results/paper", "--scale"]),
        ("doctor", ["with cures", "--scale"]),
        ("plan", ["--params", "--scale", "--cost", "--calibrate", "results/<scale>/calibration.json", "--device"]),
    ],
)
def test_every_command_has_help(capsys, command, words):
    with pytest.raises(SystemExit) as exit:
        main([command, "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert exit.value.code == 0
    assert text.startswith(f"usage: catfish {command}")
    assert [word for word in words if word not in text] == []


def test_version(capsys):
    with pytest.raises(SystemExit):
        main(["--version"])
    assert capsys.readouterr().out == f"catfish {__version__}\n"


@pytest.mark.parametrize("arguments", [[], ["fly"], ["train"], ["render"], ["metrics"], ["plan", "--speed", "3"]])
def test_a_wrong_command_line_prints_the_usage(capsys, arguments):
    with pytest.raises(SystemExit) as exit:
        main(arguments)
    assert exit.value.code == 2
    assert capsys.readouterr().err.startswith("usage: catfish")


# Errors; those that a user can make are in test_bad_input.py


def test_a_mistake_of_the_code_is_not_hidden(folder, monkeypatch):
    def broken(*arguments):
        raise KeyError("a bug")

    monkeypatch.setattr("catfish.cli.load", broken)
    with pytest.raises(KeyError, match="a bug"):
        main(["plan"])


def test_as_a_module(folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "catfish", "plan", "--scale", "huge"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "catfish: scale: 'huge' is not defined; defined under `scales`: paper, laptop, demo\n"


def test_a_reader_who_has_seen_enough_ends_the_output_quietly(folder):
    """As in `catfish plan | head`."""
    reading, writing = os.pipe()
    os.close(reading)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "catfish", "plan"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, env=environment)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


# Plan


def test_plan_lists_and_counts(folder, capsys):
    document = yaml.safe_load((folder / "params.yaml").read_text())
    document["outputs"] = {"table1": {"settings": ["simplecnn_c10"], "methods": ["eta_star", "baseline", "fp"]}}
    document["scales"]["paper"] = {
        "setting_defaults": {"seeds": 3, "tuning_seeds": 1},
        "settings": {"simplecnn_c10": {"learning_rates": [0.1, 1], "coefficients": {"fp": [0.5]}}},
        "methods": {"fp": {"coefficients": [0.5]}},
    }
    (folder / "params.yaml").write_text(yaml.safe_dump(document))
    main(["plan", "--scale", "paper"])
    assert capsys.readouterr().out.splitlines() == [
        "split   cifar10/split_nall_v5000_noise0_seed0",
        "train   simplecnn_c10/eta_star/lr-eta_star  (3 seeds)",
        "train   simplecnn_c10/eta_star/lr-0.1  (1 seed)",
        "train   simplecnn_c10/eta_star/lr-1  (1 seed)",
        "train   simplecnn_c10/baseline/lr-small  (3 seeds)",
        "train   simplecnn_c10/fp/lr-small_coefficient-best  (3 seeds)",
        "train   simplecnn_c10/fp/lr-small_coefficient-0.5  (1 seed)",
        "select  simplecnn_c10/eta_star  from 0.1, 1",
        "select  simplecnn_c10/fp  from 0.5",
        "render  table1",
        "scale paper: 6 configurations, 12 runs, 2 selections, 1 tables and figures",
    ]


@pytest.mark.parametrize("scale", ["demo", "laptop", "paper"])
def test_plan_prints_what_the_other_commands_take(folder, capsys, scale):
    main(["plan", "--scale", scale])
    lines, plan = capsys.readouterr().out.splitlines(), Plan(load("params.yaml", scale))
    listed = {kind: [line.split()[1] for line in lines if line.startswith(f"{kind} ")] for kind in
              ("split", "train", "select", "render")}  # fmt: skip
    assert listed["split"] == list(plan.splits) and listed["train"] == list(plan.configurations)
    assert listed["select"] == list(plan.selections) and listed["render"] == list(plan.params.outputs)


# Data


def test_prepare_and_split_write_valid_files(folder, capsys):
    main(["prepare", "digits", "--offline"])
    assert capsys.readouterr().out == "data/prepared/digits: 1397 train, 400 test images of 10 classes\n"
    prepared = load_prepared(folder / "data/prepared/digits")
    assert prepared.train_images.shape[0] == len(prepared.train_labels) == 1397

    plan = Plan(load("params.yaml", "demo"))
    wanted = plan.split("vgg11_c100_noise25")
    main(["split", "--scale", "demo", wanted.id])
    path = plan.split_path(wanted)
    assert capsys.readouterr().out == (
        f"{path}: 640 training images (160 with replaced labels), 300 for validation\n"
    )  # fmt: skip
    split = load_split(path)
    assert (len(split.train_index), len(split.validation_index), split.noisy.sum()) == (640, 300, 160)
    assert split.metadata == {"examples": 640, "validation": 300, "noise": 0.25, "seed": 0, "classes": 10}
    assert np.array_equal(split.clean_labels, prepared.train_labels[split.train_index])
