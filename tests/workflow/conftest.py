"""A whole campaign at the tiny scale, run once by Snakemake in a folder of its own, and copies of it to play with."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from filelock import FileLock

ROOT = Path(__file__).parents[2]


@dataclass
class Project:
    """A folder with a params.yaml, in which the project's own Snakefile works."""

    folder: Path

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory",
                str(self.folder), "--workflow-profile", str(ROOT / "profiles" / "default"), "--cores", "2",
                *arguments]  # fmt: skip

    def environment(self) -> dict[str, str]:
        return os.environ | {"PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])}

    def snakemake(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        command, environment = self.command(*arguments), self.environment()
        done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=self.folder)
        if check and done.returncode:
            logs = "".join(f"--- {log}\n{log.read_text()}" for log in self.folder.glob("logs/**/*.log"))
            raise AssertionError(f"{done.stdout}\n{done.stderr}\n{logs}")
        return done

    def planned(self, *targets: str) -> set[str]:
        """What a dry run would make: a job's name, followed by its wildcards' values."""
        report = self.snakemake("--dry-run", "--quiet", "host", "--", *targets).stdout
        jobs, name = set(), None
        for line in report.splitlines():
            words = line.strip().split(maxsplit=1)
            if words[:1] in (["rule"], ["localrule"]):
                name = words[1].rstrip(":")
                jobs.add(name)
            elif words[:1] == ["wildcards:"]:
                jobs.discard(name)
                jobs.add(" ".join([name, *(pair.split("=", 1)[1] for pair in words[1].split(", "))]))
        return jobs

    def params(self) -> dict:
        return yaml.safe_load((self.folder / "params.yaml").read_text())

    def write_params(self, document: dict) -> None:
        (self.folder / "params.yaml").write_text(yaml.safe_dump(document, sort_keys=False))

    def show_only(self, *outputs: str) -> None:
        """Leaves the other outputs out of params.yaml, and with them what only they need."""
        document = self.params()
        for asked in (document, document["scales"]["tiny"]):
            asked["outputs"] = {name: asked["outputs"][name] for name in outputs}
        self.write_params(document)

    def histories(self) -> dict[Path, int]:
        """Every run's history with the file's identity, which changes whenever the run is trained."""
        return {path: path.stat().st_ino for path in self.folder.glob("results/**/history.csv")}


@pytest.fixture(scope="session")
def project_in() -> type[Project]:
    """Makes a project of a folder."""
    return Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory, tiny_text) -> Project:
    """The campaign after `snakemake figures`; not to be changed. Made once for all processes that run tests."""
    own = tmp_path_factory.getbasetemp()
    made = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "campaign"
    with FileLock(f"{made}.lock"):
        if not made.exists():
            project = Project(made.with_name("campaign.unfinished"))
            project.folder.mkdir()
            (project.folder / "params.yaml").write_text(tiny_text)
            project.snakemake("figures")
            project.folder.rename(made)
    return _copy(made, tmp_path_factory.mktemp("campaign"))


@pytest.fixture
def campaign(finished, tmp_path) -> Project:
    """A copy of the finished campaign, with Snakemake's memory and all time stamps."""
    return _copy(finished.folder, tmp_path / "campaign")


def _copy(source: Path, folder: Path) -> Project:
    shutil.copytree(source, folder, symlinks=True, dirs_exist_ok=True)
    return Project(folder)
