"""Who may import whom. The table is the design's; a file that breaks it fails here and not in a review."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src"

# What each room, a module or a package directly below catfish, may import of the others.
BELOW = {"errors", "files", "checkout", "typed", "processes", "processor", "outputs"}
ALLOWED = {
    "errors": set(),
    "files": set(),
    "checkout": set(),
    "typed": {"errors"},
    "processes": set(),
    "processor": set(),
    "outputs": set(),
    "config": BELOW,
    "plan": {"config"} | BELOW,
    "records": BELOW,
    "campaign": BELOW,
    "archive": {"plan", "records"} | BELOW,
    "outdated": {"plan", "records"} | BELOW,
    "budgets": {"records"} | BELOW,
    "concatenation": BELOW,
    "normalisation": BELOW,
    "convolution": {"concatenation", "normalisation"} | BELOW,
    "gradients": BELOW,
    "perturbation": {"gradients"} | BELOW,
    "models": {"gradients"} | BELOW,
    "penalties": {"gradients", "convolution"} | BELOW,
    "curvature": {"gradients", "convolution"} | BELOW,
    "datasets": {"gradients"} | BELOW,
    "training": {
        "gradients",
        "perturbation",
        "convolution",
        "models",
        "penalties",
        "curvature",
        "datasets",
        "config",
        "plan",
        "records",
        "archive",
        "budgets",
    }
    | BELOW,
    "analysis": {"config", "plan", "records"} | BELOW,
    "doctor": {"config", "plan", "datasets"} | BELOW,
    "cli": {"config", "plan", "records", "archive", "datasets", "training", "analysis", "doctor"} | BELOW,
    "__main__": {"cli"},
    "__init__": set(),
}
TORCHLESS = (
    "errors",
    "files",
    "checkout",
    "typed",
    "processes",
    "processor",
    "outputs",
    "config",
    "plan",
    "records",
    "campaign",
    "archive",
    "outdated",
    "budgets",
    "analysis",
)


def imported(path: Path, package: str) -> Iterator[str]:
    """The dotted name of everything that a file imports, wherever the import stands in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([base] if base else [])])
            yield from (f"{base}.{alias.name}" for alias in node.names)


def violations(source: Path) -> list[str]:
    """Every import below source/catfish that the table forbids, as `file: room imports name`."""
    root, found = source / "catfish", []
    rooms = {path.stem for path in root.iterdir() if path.suffix == ".py" or path.is_dir()} - {"__pycache__"}
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        room = parts[1]
        if room not in ALLOWED:
            found.append(f"{path.relative_to(source)}: no rule for {room}")
            continue
        for name in imported(path, ".".join(parts[:-1])):
            top, *rest = name.split(".")
            if top == "torch" and room in TORCHLESS:
                found.append(f"{path.relative_to(source)}: {room} imports {name}")
            if top == "catfish" and rest and rest[0] in rooms and rest[0] not in ALLOWED[room] | {room}:
                found.append(f"{path.relative_to(source)}: {room} imports {name}")
    return found


def test_the_rules_hold():
    assert violations(SOURCE) == []


def test_every_rule_is_about_something():
    rooms = {path.stem for path in (SOURCE / "catfish").iterdir() if not path.name.startswith("__pycache__")}
    assert set(ALLOWED) == rooms


def test_the_two_wings_never_meet_and_nobody_imports_the_command_line():
    """The table itself, so that it is not loosened by a slip."""
    assert "analysis" not in ALLOWED["training"] and "training" not in ALLOWED["analysis"]
    assert [room for room, allowed in ALLOWED.items() if "cli" in allowed] == ["__main__"]
    wing = {"models", "penalties", "curvature", "datasets"}
    assert all(not ALLOWED[room] & wing for room in wing | {"config", "plan", "records", "analysis"})


@pytest.fixture
def tree(tmp_path):
    """A small tree that keeps the rules; the function writes lines into one of its files."""
    for room in ("config.py", "plan.py", "models/__init__.py", "penalties/__init__.py", "training/loop.py",
                 "analysis/select.py", "analysis/figures/one.py", "cli.py", "datasets/__init__.py"):  # fmt: skip
        path = tmp_path / "catfish" / room
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("import json\n")

    def write(name: str, text: str) -> list[str]:
        (tmp_path / "catfish" / name).write_text(text)
        return violations(tmp_path)

    return write


@pytest.mark.parametrize(
    "file, text",
    [
        ("config.py", "import torch\n"),
        ("config.py", "from torch.nn import functional\n"),
        ("config.py", "from catfish.plan import Plan\n"),
        ("plan.py", "def late():\n    import torch.nn as nn\n"),
        ("plan.py", "from catfish import cli\n"),
        ("models/__init__.py", "import catfish.penalties\n"),
        ("models/__init__.py", "from .. import penalties\n"),
        ("penalties/__init__.py", "from ..datasets import prepare\n"),
        ("penalties/__init__.py", "try:\n    from catfish.models import build\nexcept ImportError:\n    pass\n"),
        ("training/loop.py", "from catfish.analysis.select import choose\n"),
        ("training/loop.py", "from catfish.cli import main\n"),
        ("analysis/select.py", "from catfish.training import loop\n"),
        ("analysis/select.py", "from catfish import models\n"),
        ("analysis/select.py", "from ..training.loop import train_run\n"),
        ("analysis/figures/one.py", "from ... import training\n"),
        ("analysis/figures/one.py", "if True:\n    import torch\n"),
        ("engine.py", "import json\n"),
    ],
)
def test_the_checker_sees_a_broken_rule(tree, file, text):
    found = tree(file, text)
    assert len(found) == 1 and found[0].startswith(str(Path("catfish") / file))


@pytest.mark.parametrize(
    "file, text",
    [
        ("config.py", "from catfish.typed import build\n"),
        ("plan.py", "from catfish import __version__\n"),
        ("training/loop.py", "import torch\nfrom catfish import models\nfrom catfish.training import checkpoint\n"),
        ("analysis/figures/one.py", "from catfish.analysis import select\nfrom .. import select\nimport torchless\n"),
        ("cli.py", "def late():\n    from catfish.training.loop import train_run\n"),
    ],
)
def test_the_checker_allows_what_is_allowed(tree, file, text):
    assert tree(file, text) == []


@pytest.mark.parametrize(
    "modules",
    [
        "catfish.config, catfish.plan, catfish.records, catfish.typed, catfish.errors, catfish.files",
        "catfish.analysis.collect, catfish.analysis.select, catfish.analysis.metrics",
        "catfish.analysis.tables, catfish.analysis.figures, catfish.analysis.compare_layout",
        "catfish.datasets",
        "catfish.training.train",
        "catfish.doctor",
        "catfish.cli",
    ],
)
def test_importing_loads_neither_torch_nor_a_global_figure_state(modules):
    unwanted = ("torch", "torchvision", "matplotlib.pyplot")
    code = f"import sys, {modules}\nprint([name for name in {unwanted} if name in sys.modules])"
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.strip() == "[]"
