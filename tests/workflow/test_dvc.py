"""`dvc repro` on a small project: what it makes, that it makes nothing twice, that an interruption loses nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PARTS = ["Snakefile", "workflow", "profiles", "src", "environment.yml", "dvc.yaml", ".dvcignore", ".gitignore",
         ".dvc/config", ".dvc/plots"]  # fmt: skip
UP_TO_DATE = "Data and pipelines are up to date."


@dataclass
class Repository:
    """A git repository with the project's own stages."""

    folder: Path

    def environment(self) -> dict[str, str]:
        author = {
            f"GIT_{who}_{what}": "tester@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")
        }
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        return os.environ | author | {"PATH": path, "DVC_NO_ANALYTICS": "1"}

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.environment(), capture_output=True, text=True)
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def commit(self, message: str) -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def penalise(self, *coefficients: float) -> None:
        """Another grid of the Fisher penalty's coefficients."""
        file = self.folder / "params.yaml"
        document = yaml.safe_load(file.read_text())
        document["scales"]["tiny"]["methods"]["fp"]["coefficients"] = [*coefficients]
        file.write_text(yaml.safe_dump(document, sort_keys=False))

    def histories(self) -> dict[Path, int]:
        """Every finished run's history with the file's identity, which changes whenever the run is trained."""
        finished = (path.with_name("history.csv") for path in self.folder.glob("results/**/run.json"))
        return {path: path.stat().st_ino for path in finished}


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory, tiny_text) -> Repository:
    """After the first `dvc repro`; not to be changed."""
    repository = Repository(tmp_path_factory.mktemp("repository"))
    for part in PARTS:
        source, target = ROOT / part, repository.folder / part
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
        else:
            shutil.copy(source, target)
    document = yaml.safe_load(tiny_text)
    outputs = document["scales"]["tiny"]["outputs"]
    document["outputs"] = {name: document["outputs"][name] | outputs[name] for name in ("table1", "figure1")}
    outputs.clear()
    (repository.folder / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    repository.run("git", "init", "--quiet")
    repository.commit("the project")
    repository.run("dvc", "repro")
    repository.commit("its results")
    return repository


@pytest.fixture
def repository(reproduced, tmp_path) -> Repository:
    shutil.copytree(reproduced.folder, tmp_path / "repository", symlinks=True)
    return Repository(tmp_path / "repository")


def test_repro_makes_everything_and_records_it(reproduced):
    lock = yaml.safe_load((reproduced.folder / "dvc.lock").read_text())
    outs = {out["path"] for stage in lock["stages"].values() for out in stage["outs"]}
    assert outs == {"data/prepared", "figures/tiny", *(f"results/tiny/{name}" for name in
                    ("runs", "select", "curves.csv", "metrics.json"))}  # fmt: skip
    assert {file.name for file in (reproduced.folder / "figures/tiny").iterdir()} == {
        *(f"{name}.{ending}" for name in ("table1", "claims") for ending in ("csv", "html", "md", "tex")),
        "figure1.csv", "figure1.pdf", "figure1.png", "overview.md", "overview.html", "runs.csv", "runs.html",
        "params.yaml", "params.html"}  # fmt: skip
    tracked = reproduced.run("git", "ls-files", "results", "figures", "data").split()
    assert tracked == ["results/tiny/metrics.json"]


def test_a_second_time_nothing_is_made(reproduced):
    before = reproduced.histories()
    assert reproduced.run("dvc", "repro").strip().endswith(UP_TO_DATE)
    planned = reproduced.run("sh", "-c", "snakemake --dry-run --config scale=tiny -- figures 2>&1")
    assert "Nothing to be done" in planned
    assert reproduced.histories() == before
    assert reproduced.run("git", "status", "--short") == ""


def test_metrics_and_plots_show_the_results(repository):
    shown = json.loads(repository.run("dvc", "metrics", "show", "--json"))
    values = shown[""]["data"]["results/tiny/metrics.json"]["data"]
    assert values == json.loads((repository.folder / "results/tiny/metrics.json").read_text())
    assert set(values["simplecnn_c10"]) == {"eta_star", "baseline", "fp"}
    repository.run("dvc", "plots", "show")
    page = (repository.folder / "dvc_plots/index.html").read_text()
    assert page.count('"facet"') == 2
    assert '"method": "baseline"' in page and '"field": "fisher_trace"' in page


def test_a_changed_value_is_told_and_makes_only_what_depends_on_it(repository):
    repository.penalise(0.001, 0.02)
    told = json.loads(repository.run("dvc", "params", "diff", "--json"))["params.yaml"]
    assert list(told) == ["scales.tiny.methods.fp.coefficients"]
    before = repository.histories()
    repository.run("dvc", "repro")
    after = repository.histories()
    assert {path: after[path] for path in before if "/fp/" not in str(path)} == {
        path: file for path, file in before.items() if "/fp/" not in str(path)
    }
    assert any("coefficient-0.02" in str(path) for path in after)
    assert repository.run("dvc", "status").strip() == UP_TO_DATE


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_an_interruption_loses_no_finished_run(repository, how):
    repository.penalise(0.002, 0.02)
    before = repository.histories()
    process = subprocess.Popen(
        ["dvc", "repro"],
        cwd=repository.folder,
        env=repository.environment(),
        start_new_session=True,
        # As in a terminal: whoever starts the tests in the background lets them ignore this signal, and their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    made: dict[Path, int] = {}
    deadline = time.time() + 120
    while not made and time.time() < deadline:
        time.sleep(0.1)
        made = {path: file for path, file in repository.histories().items() if before.get(path) != file}
    os.killpg(process.pid, how)
    assert process.wait(timeout=60) != 0
    made = {path: file for path, file in repository.histories().items() if before.get(path) != file}
    assert made
    if how == signal.SIGKILL:
        repository.run("snakemake", "--unlock")
    repository.run("dvc", "repro")
    after = repository.histories()
    assert {path: after[path] for path in made} == made
    assert repository.run("dvc", "status").strip() == UP_TO_DATE


def test_an_experiment_is_compared_with_the_commit(repository):
    repository.run("dvc", "exp", "run", "--set-param", "scales.tiny.setting_defaults.epochs=3")
    changed = json.loads(repository.run("dvc", "params", "diff", "--json"))["params.yaml"]
    assert changed == {"scales.tiny.setting_defaults.epochs": {"old": 2, "new": 3, "diff": 1}}
    metrics = json.loads(repository.run("dvc", "metrics", "diff", "--json"))["results/tiny/metrics.json"]
    assert any(name.startswith("simplecnn_c10.") and change["diff"] for name, change in metrics.items())
    repository.run("dvc", "plots", "diff", "HEAD")
    assert '"rev": "HEAD"' in (repository.folder / "dvc_plots/index.html").read_text()


def test_results_travel_through_a_remote_and_are_not_trained_again(repository, tmp_path):
    repository.run("dvc", "remote", "add", "--default", "store", str(tmp_path / "store"))
    repository.commit("a remote")
    repository.run("dvc", "push")
    repository.run("git", "clone", "--quiet", str(repository.folder), str(tmp_path / "clone"))
    clone = Repository(tmp_path / "clone")
    assert not (clone.folder / "results/tiny/runs").exists()
    clone.run("dvc", "pull")
    before = clone.histories()
    assert len(before) == len(repository.histories())
    shutil.rmtree(clone.folder / "figures/tiny")
    clone.run("snakemake", "--cores", "2", "--config", "scale=tiny", "--", "figures")
    assert clone.histories() == before
    original = repository.folder / "figures/tiny/table1.csv"
    assert (clone.folder / "figures/tiny/table1.csv").read_bytes() == original.read_bytes()
