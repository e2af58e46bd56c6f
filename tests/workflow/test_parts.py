"""A campaign of two machines: each trains the settings it is told, and the parts make the whole."""

import re
import shutil
import sys
from pathlib import Path
from subprocess import run

import pytest

from catfish.config import load
from catfish.plan import Plan

RUNS = ("eta_star/lr-0.01", "eta_star/lr-0.05", "baseline/lr-small")
NOISY = "simplecnn_c10,vgg11_c100_noise25"


@pytest.fixture
def fresh(campaign):
    """The campaign's folder with its data and without its runs."""
    shutil.rmtree(campaign.folder / "results")
    shutil.rmtree(campaign.folder / "figures")
    return campaign


def test_a_part_is_what_its_settings_have(fresh):
    report = fresh.snakemake("--dry-run", "--quiet", "host", "--config", f"only={NOISY}", "--", "runs").stdout
    wildcards = [line.split("=")[1].split("/")[0] for line in report.splitlines() if "configuration=" in line]
    plan = Plan(load(fresh.folder / "params.yaml"))
    planned = [job.setting for job in plan.jobs if job.setting in NOISY.split(",")]
    assert sorted(wildcards) == sorted(planned)
    assert report.count("rule select:") == sum(s.setting in NOISY.split(",") for s in plan.selections.values())


@pytest.mark.parametrize(
    "settings, words",
    [
        ("vgg11_c100_noise25", "only: vgg11_c100_noise25 needs runs of simplecnn_c10; name it too"),
        ("resnet26_c100_after_large", "needs runs of resnet26_c100_early_large"),
        ("vgg12", "only: vgg12 is no setting that the scale tiny trains"),
    ],
)
def test_a_part_that_cannot_stand_alone_is_refused(fresh, settings, words):
    done = fresh.snakemake("--dry-run", "--config", f"only={settings}", "--", "runs", check=False)
    assert done.returncode and words in done.stdout + done.stderr


def test_parts_trained_apart_are_merged_into_a_campaign(campaign, tmp_path):
    """One setting's runs come from another folder: then nothing of them is trained, and the tables are made."""
    part, other = campaign.folder / "results/tiny/runs/simplecnn_c10", tmp_path / "other/results/tiny"
    shutil.copytree(part, other / "runs/simplecnn_c10")
    shutil.rmtree(part)
    shutil.rmtree(campaign.folder / "results/tiny/select/simplecnn_c10")
    command = [sys.executable, "-m", "catfish", "merge", str(other)]
    environment = campaign.environment() | {"PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    done = run(command, cwd=campaign.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.endswith("runs copied, 0 were here already, the same\n"), done.stderr
    before = campaign.histories()
    campaign.snakemake("figures")
    assert campaign.histories() == before
    assert campaign.planned() == set()

    shutil.rmtree(campaign.folder / ".snakemake")  # as in a folder where Snakemake made none of the runs
    document = campaign.params()
    document["scales"]["tiny"]["settings"]["simplecnn_c10"]["epochs"] = 3
    campaign.write_params(document)
    planned = campaign.planned()
    assert {"table1", "figure1"} <= planned
    assert {job.split()[1] for job in planned if job.startswith("train")} >= {f"simplecnn_c10/{n}" for n in RUNS}


@pytest.mark.parametrize("target", ["figures", "table1"])
def test_a_part_is_trained_by_the_target_runs_alone(fresh, target):
    """Another target would begin the whole campaign, whatever `only` says; `figures` is the one without a target."""
    targets = () if target == "figures" else ("--", target)
    only = "simplecnn_c10_steps"
    done = fresh.snakemake("--dry-run", "--config", f"only={only}", *targets, check=False)
    said = done.stdout + done.stderr
    assert done.returncode and f"only={only} is a part of the campaign, which the target `runs` trains" in said
    assert "add `-- runs`" in said


def test_an_unknown_key_is_refused(finished):
    done = finished.snakemake("--dry-run", "--config", "sclae=paper", "onyl=simplecnn_c10", "--", "runs", check=False)
    assert done.returncode
    assert "--config onyl, sclae: unknown; known are: scale, only, checkpoint_seconds, gpu_slots" in (
        done.stdout + done.stderr
    )


def test_every_key_that_is_read_is_known():
    root = Path(__file__).parents[2]
    text = "".join(path.read_text() for path in (root / "Snakefile", *root.glob("workflow/rules/*.smk")))
    known = set(re.search(r"CONFIG_KEYS = \((.*?)\)", text, re.DOTALL)[1].replace('"', "").replace(",", "").split())
    passed = re.search(r"for key in \((.*?)\)", text)[1].replace('"', "").split(", ")  # on to `catfish train`
    assert {*re.findall(r"""config(?:\.get\(|\[)["'](\w+)""", text), *passed} == known
