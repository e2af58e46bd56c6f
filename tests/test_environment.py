"""The same versions by pip and by conda, and every package of the pipeline among them."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def pip_pins(lines):
    """{name: version} of lines `name==version`; anything else than an exact pin fails."""
    pins = {}
    for line in lines:
        line = line.split("#")[0].strip()
        if line:
            name, version = re.fullmatch(r"([A-Za-z0-9_.-]+)==([0-9][0-9a-z.]*)", line).groups()
            pins[name.lower()] = version
    return pins


def test_conda_and_pip_install_the_same_versions():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    nested = [entry for entry in environment["dependencies"] if isinstance(entry, dict)]
    assert pip_pins(nested[0]["pip"]) == pip_pins((ROOT / "requirements.txt").read_text().splitlines())


def test_every_dependency_of_the_package_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"] + project["optional-dependencies"]["pipeline"]
    names = {re.match(r"[A-Za-z0-9_-]+", requirement)[0] for requirement in needed}
    assert names == set(pip_pins((ROOT / "requirements.txt").read_text().splitlines()))
