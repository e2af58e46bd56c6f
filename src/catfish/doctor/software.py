"""Whether the installed packages are the pinned ones."""

import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from catfish.doctor.finding import ADVICE, OK, Finding

REQUIREMENTS = Path("requirements.txt")
CURE = "pip install -r requirements.txt (make figures does it in .venv); with conda: snakemake --use-conda"


def findings() -> Iterator[Finding]:
    """Every package of requirements.txt that is missing or has another version; Snakemake and DVC by name."""
    python = f"Python {platform.python_version()}"
    if not REQUIREMENTS.is_file():
        yield Finding(ADVICE, f"{python}; no {REQUIREMENTS} here to compare with", "run this in the project's folder")
        return
    pinned = pins(REQUIREMENTS.read_text(encoding="utf-8"))
    found = {name: installed(name) for name in pinned}
    tools = ", ".join(f"{name} {found.get(name) or 'missing'}" for name in ("snakemake", "dvc"))
    differing = [
        f"{name} {found[name] or 'missing'} (pinned: {pin})" for name, pin in pinned.items() if found[name] != pin
    ]
    if differing:
        yield Finding(ADVICE, f"{python}; other packages than {REQUIREMENTS} pins: {', '.join(differing)}", CURE)
    else:
        yield Finding(OK, f"{python}; {tools}; all {len(pinned)} packages of {REQUIREMENTS} in their pinned versions")


def pins(text: str) -> dict[str, str]:
    """{name: version} of the lines `name==version`."""
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    return dict(line.split("==") for line in lines if "==" in line)


def installed(name: str) -> str | None:
    """A package's version without the mark of its build (`+cu130`); None: it is not installed."""
    try:
        return version(name).partition("+")[0]
    except PackageNotFoundError:
        return None
