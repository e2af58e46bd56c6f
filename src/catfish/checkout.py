"""The state of the code that runs."""

import subprocess
from pathlib import Path


def commit() -> str | None:
    """The project's commit, with a mark if files differ from it; None outside a checkout."""
    try:
        command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=40"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
