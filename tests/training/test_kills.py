"""A run that is killed at any moment and started again ends as if nothing had happened, bit by bit."""

import json
import os
import random
import shutil
import subprocess
import sys
from collections import Counter
from itertools import cycle
from pathlib import Path

import pytest
import yaml

from catfish.config import parse
from catfish.outputs import EARLY_FIGURES, FIGURES, MEASURED
from catfish.plan import Plan
from catfish.records import write_json

KILLER = Path(__file__).with_name("killer.py")
SOURCE = Path(__file__).parents[2] / "src"
EVERY = 4  # steps from one update of a penalty to the next; an epoch has three
METHODS = {
    "fp": {"learning_rate": "small", "penalty": "fisher", "every": EVERY, "coefficients": [0.01]},
    "gp_r": {"learning_rate": "small", "penalty": "random_label_gradient", "every": EVERY, "coefficients": [0.01]},
    "gp_x": {"learning_rate": "small", "penalty": "input_gradient", "every": EVERY, "coefficients": [1.0]},
    "mixup": {"learning_rate": "small", "mixup": True, "coefficients": [0.4]},
    "sam": {"learning_rate": "small", "sam": True, "coefficients": [0.05]},
}
SETTINGS = {
    "setting_defaults": {"epochs": 5, "milestones": [4], "augment": "flip_crop", "seeds": 1},
    "measure": {"curvature_every": 2, "hessian_every": 4},
    "settings": {
        "simplecnn_c10": {},
        "simplecnn_c10_steps": {
            "epochs": 5,
            "measure": {
                "fisher_steps": 13,
                "trajectory_steps": 13,
                "trajectory_every": 3,
                "trajectory_examples": 3,
                "covariance_batches": 2,
                "covariance_batch": 4,
                "allocation_steps": 8,
                "allocation_examples": 4,
            },
        },
        "wresnet_tiny": {"dataset": "digits", "width": 0.1, "depth": 0.15, "learning_rates": [0.01]},
        "vgg11_c100_noise25": {"milestones": [4]},
        "resnet26_c100_early_small": {"epochs": 4, "milestones": []},
        "resnet26_c100_after_small": {"epochs": 4, "milestones": [2], "tuning_seeds": 1},
    },
}
JOBS = [  # setting, method
    ("simplecnn_c10", "eta_star"),
    ("simplecnn_c10", "fp"),
    ("simplecnn_c10", "gp_x"),
    ("simplecnn_c10", "mixup"),
    ("simplecnn_c10", "sam"),
    ("simplecnn_c10_steps", "eta_star"),  # writes steps.csv, trajectory.csv and allocation.csv
    ("vgg11_c100_noise25", "gp_r"),
    ("wresnet_tiny", "fp"),  # batch norm
    ("resnet26_c100_after_small", "eta_star"),  # starts from another run's weights.pt, a job of its own
]
ON_THE_WAY = ["row history.csv", "row timing.csv", "before history.csv", "after history.csv",
              "halve checkpoint.pt", "after checkpoint.older.pt", "after checkpoint.pt"]  # fmt: skip
AT_THE_END = ["before run.json", "after run.json"]


@pytest.fixture
def campaign(project, tiny_document):
    """The plan of the jobs above, with selections and data, in the current folder."""
    tiny = tiny_document["scales"]["tiny"]
    for key in ("setting_defaults", "measure"):
        tiny[key] |= SETTINGS[key]
    for name, values in SETTINGS["settings"].items():
        tiny["settings"][name] = tiny["settings"].get(name, {}) | values
    for name, values in METHODS.items():
        tiny_document["methods"][name] = values
        tiny["methods"].pop(name, None)
    for values in (tiny_document["settings"], tiny["settings"]):
        for setting in values.values():
            setting.pop("coefficients", None)
    names = [name for name in FIGURES if name not in (*EARLY_FIGURES, *MEASURED)]  # which show any setting
    outputs = {name: {"settings": [s], "methods": [m]} for name, (s, m) in zip(names, JOBS)}
    tiny["outputs"], tiny_document["outputs"] = {}, outputs
    Path("params.yaml").write_text(yaml.safe_dump(tiny_document))
    plan = Plan(parse(tiny_document))
    for selection in plan.selections.values():
        write_json(plan.selection_path(selection), {"best": selection.values[-1], "grid": []})
    return plan


def started(plan, jobs, folder):
    """The killer's report on some jobs, in a copy of the project."""
    shutil.copytree(Path.cwd(), folder, symlinks=True)
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, str(KILLER)], cwd=folder, env=environment, input=json.dumps(jobs),
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def results(folder):
    """What has to be the same: every file but seconds, and of run.json what does not tell of time and place."""
    found = {}
    for path in sorted((folder / "results").rglob("*")):
        if path.name == "run.json":
            record = json.loads(path.read_text())
            found[path.relative_to(folder)] = [record[k] for k in ("configuration", "seed", "fingerprint", "outcome")]
        elif path.is_file():
            found[path.relative_to(folder)] = None if path.name == "timing.csv" else path.read_bytes()
    return found


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the killer recognises open files by /proc")
def test_kill_at_any_moment_and_start_again(campaign, tmp_path_factory):
    """SIGKILL at chosen and at random moments; a checkpoint is taken after every step."""
    source, places = random.Random(7), cycle(ON_THE_WAY)
    configurations = [campaign.configuration(*job) for job in JOBS]
    configurations.insert(-1, campaign.start(configurations[-1]))
    jobs = [{"configuration": configuration.id, "kills": []} for configuration in configurations]
    folder = tmp_path_factory.mktemp("kills")
    quiet = started(campaign, jobs, folder / "quiet")
    for index, (job, report, configuration) in enumerate(zip(jobs, quiet, configurations)):
        outside = ["outside", source.uniform(0.05, 0.3) * report["seconds"]]
        others = campaign.run_files(configuration)[3:]
        ending = [[f"{doing} {name}", 1] for name in others for doing in ("halve", "before")]
        last = AT_THE_END[index % len(AT_THE_END)]
        # Most jobs have a checkpoint from their first kill on; the first ones have none for a while.
        job["kills"] = [["step", 1 + index], outside, *([next(places), 1] for _ in range(4)), *ending, [last, 1]]
    fire = started(campaign, jobs, folder / "fire")
    killed = Counter(place for report in fire for place in report["kills"])
    resumed = [report["resumed"] for report in fire]
    assert killed.total() >= 50 and sum(resumed) >= 30, (killed, resumed)
    assert set(killed) >= {"step", *ON_THE_WAY, *AT_THE_END, "before weights.pt", "halve steps.csv"}
    assert any(calls % EVERY for report in fire for calls in report["calls"])  # a cached gradient was alive
    assert results(folder / "fire") == results(folder / "quiet")
    for configuration in configurations:
        names = {path.name for path in (folder / "fire" / campaign.run_folder(configuration, 0)).iterdir()}
        assert names == set(campaign.run_files(configuration))
