"""The archived campaign: it renders without training, and the documents show what it gives."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from catfish.analysis import document

ROOT = Path(__file__).parents[2]
DOCUMENTS = ("README.md", "docs/results.md", "docs/verdicts.md")


@pytest.fixture(scope="module")
def archived(tmp_path_factory, project_in):
    """A clone's params and archive, pulled from the store that comes with it."""
    project = project_in(tmp_path_factory.mktemp("archived"))
    for name in ("params.yaml", ".dvc/config", *DOCUMENTS):
        (project.folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, project.folder / name)
    shutil.copytree(ROOT / "archive", project.folder / "archive", ignore=lambda *_: ["laptop"])
    for command in (["git", "init", "--quiet"], ["dvc", "pull", "--remote", "archive", "archive/laptop.dvc"]):
        environment = project.environment() | {"DVC_NO_ANALYTICS": "1"}
        done = subprocess.run(command, cwd=project.folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return project


def test_it_renders_without_training_and_the_documents_show_it(archived, monkeypatch):
    arguments = ("--config", "scale=laptop", "--", "figures")
    planned = archived.snakemake("--dry-run", "--quiet", "host", *arguments).stdout
    assert "rule unpack:" in planned
    assert not [line for line in planned.splitlines() if line.startswith(("rule train", "rule prepare", "rule split"))]
    archived.snakemake(*arguments)
    monkeypatch.chdir(archived.folder)
    for name in DOCUMENTS:
        assert document.update(Path(name)) > 0
        assert Path(name).read_text() == (ROOT / name).read_text(), f"{name}: make documents SCALE=laptop"
    claims, verdicts = (
        re.findall("^## (.+)$", Path(page).read_text(), re.M)
        for page in ("figures/laptop/claims.md", "docs/verdicts.md")
    )
    assert verdicts == claims
