"""`--use-conda` with a stand-in for conda: what it is asked for, and that the rules run in what it made."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONDA = """#!/bin/sh
# Answers what Snakemake asks; `env create` makes an environment whose python tells who called it.
case "$1 $2" in
  "info --json") echo '{{"conda_prefix": "{home}", "platform": "linux-64"}}' ;;
  "--version ") echo "conda 25.1.0" ;;
  "config --get") echo '{{"get": {{"channel_priority": "strict"}}}}' ;;
  "env create")
    while [ $# -gt 1 ]; do
      case "$1" in --file) file=$2 ;; --prefix) prefix=$2 ;; esac
      shift
    done
    cp "$file" "{home}/environment.yml"
    mkdir -p "$prefix/bin"
    printf '#!/bin/sh\\necho "$*" >> "{home}/calls"\\nexec "{python}" "$@"\\n' > "$prefix/bin/python"
    chmod +x "$prefix/bin/python" ;;
  "clean -y") ;;
  *) echo "not expected: conda $*" >&2; exit 1 ;;
esac
"""


@pytest.fixture
def conda(tmp_path) -> Path:
    """The folder of a conda that makes environments out of the running Python."""
    home = tmp_path / "conda"
    (home / "bin").mkdir(parents=True)
    (home / "bin" / "conda").write_text(CONDA.format(home=home, python=sys.executable))
    (home / "bin" / "conda").chmod(0o755)
    (home / "bin" / "activate").write_text('export PATH="$1/bin:$PATH"\n')
    return home


def test_every_rule_runs_in_the_environment_of_environment_yml(campaign, conda):
    campaign.show_only("table1", "figure1")
    (campaign.folder / "figures/tiny/figure1.png").unlink()
    (campaign.folder / "results/tiny/select/simplecnn_c10/eta_star.json").unlink()
    shutil.rmtree(campaign.folder / "results/tiny/runs/simplecnn_c10/baseline")
    shutil.rmtree(campaign.folder / "data/prepared")
    environment = campaign.environment()
    environment["PATH"] = os.pathsep.join([str(conda / "bin"), environment["PATH"]])
    environment.pop("PYTHONPATH", None)  # the rules find the package by themselves
    command = campaign.command("--use-conda", "data", "runs", "figures")
    done = subprocess.run(command, cwd=campaign.folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    asked = yaml.safe_load((conda / "environment.yml").read_text())
    assert asked == yaml.safe_load((ROOT / "environment.yml").read_text())
    called = {line.split()[2] for line in (conda / "calls").read_text().splitlines() if line.startswith("-m catfish")}
    assert {"prepare", "split", "train", "select", "render"} <= called
    assert campaign.planned() == set()
