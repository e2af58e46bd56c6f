"""Runs and selections on disk that are not the planned ones, made to look old, so that Snakemake makes them again.

Snakemake compares a job's parameters with those in its own metadata. Files that it did not make here (merged, pulled,
copied) have none, and of those it sees time stamps only: an edited hyper-parameter would change nothing.
"""

import os
from pathlib import Path

from catfish.errors import RecordError
from catfish.plan import Configuration, Plan, Selection
from catfish.records import read_record, read_selection


def outdate(plan: Plan) -> list[Path]:
    """Give every run.json and selection that differs from the plan the oldest time stamp; returns their paths.

    Nothing is lost: with the old parameters back, a run is recognised by its settings and left alone.
    """
    runs = [
        folder / "run.json"
        for configuration in plan.jobs
        for seed, folder in zip(plan.seeds(configuration), plan.run_folders(configuration))
        if _another(plan, configuration, seed, folder / "run.json")
    ]
    selections = [
        plan.selection_path(selection) for selection in plan.selections.values() if _of_another_grid(plan, selection)
    ]
    for path in (*runs, *selections):
        os.utime(path, (1, 1))
    return [*runs, *selections]


def _another(plan: Plan, configuration: Configuration, seed: int, path: Path) -> bool:
    try:
        return path.is_file() and bool(plan.differences(configuration, seed, read_record(path)["run"]))
    except RecordError:
        return False  # whoever reads it says what is wrong with it


def _of_another_grid(plan: Plan, selection: Selection) -> bool:
    path = plan.selection_path(selection)
    try:
        return path.is_file() and not selection.compared(read_selection(path, "grid"))
    except RecordError:
        return False
