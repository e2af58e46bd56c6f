"""What a training job may ask a cluster for: what a calibration of its scale measured, with room to spare."""

import math
from pathlib import Path
from typing import Any

from catfish.records import read_checked

NAME = "budgets.json"  # below results/<scale>
MINUTES, MEGABYTES = 240, 8000  # where nothing was measured: guesses on the safe side
SPARE = 1.5  # on what was measured
STARTING = 10  # minutes for the process, the data and a slow file system


def read(results: Path) -> dict[str, Any]:
    """The budgets of a scale, {"seconds": {configuration: s}, "megabytes": n}; empty without a calibration."""
    path = results / NAME
    if not path.is_file():
        return {}
    return read_checked(path, {"seconds": dict, "megabytes": int | float}, "run `catfish plan --calibrate` again")


def minutes(budgets: dict[str, Any], configuration: str) -> int:
    """A time limit for a configuration's job, with all its seeds."""
    seconds = budgets.get("seconds", {}).get(configuration)
    return MINUTES if seconds is None else STARTING + math.ceil(SPARE * seconds / 60)


def megabytes(budgets: dict[str, Any]) -> int:
    """Main memory for any job: what the largest one took."""
    measured = budgets.get("megabytes")
    return MEGABYTES if measured is None else math.ceil(SPARE * measured)
