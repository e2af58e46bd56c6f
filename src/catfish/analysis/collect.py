"""The files of finished runs, read and checked."""

from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import pandas as pd

from catfish.errors import RecordError
from catfish.plan import ALLOCATION_FILE, RUN_FILES, STEPS_FILE, TRAJECTORY_FILE, Configuration, Plan, step_files
from catfish.records import (
    ALLOCATION_COLUMNS,
    COLUMNS,
    STEP_COLUMNS,
    TIMING_COLUMNS,
    TRAJECTORY_COLUMNS,
    altered,
    read_record,
)


@dataclass(frozen=True, eq=False)
class LoadedRun:
    """One run: its folder, run.json, history.csv (a row per epoch from 0, the initialisation) and timing.csv; where it
    measured them, steps.csv and allocation.csv (a row per step from 1) and trajectory.csv (every so many steps from 0).
    """

    folder: Path
    record: dict[str, Any]
    history: pd.DataFrame
    timing: pd.DataFrame
    steps: pd.DataFrame | None = None
    trajectory: pd.DataFrame | None = None
    allocation: pd.DataFrame | None = None

    @property
    def completed(self) -> bool:
        return self.record["outcome"]["status"] == "completed"

    @property
    def outcome_text(self) -> str:
        """`completed`, or for example `diverged at step 123`."""
        return "completed" if self.completed else f"diverged at step {self.record['outcome']['step']}"

    @property
    def seed(self) -> int:
        return self.record["seed"]


@dataclass(frozen=True, eq=False)
class Case:
    """A configuration and its runs, one a seed."""

    configuration: Configuration
    runs: tuple[LoadedRun, ...]

    @property
    def completed(self) -> list[LoadedRun]:
        return [run for run in self.runs if run.completed]

    @property
    def diverged(self) -> list[LoadedRun]:
        return [run for run in self.runs if not run.completed]

    @property
    def learning_rate(self) -> float:
        """The number that was trained with, where the configuration may hold a symbol."""
        return self.runs[0].record["run"]["learning_rate"]

    @property
    def coefficient(self) -> float | None:
        return self.runs[0].record["run"]["coefficient"]


def load(plan: Plan, configurations: Iterable[Configuration]) -> list[Case]:
    """Every configuration with all the runs that the plan has of it; see `load_case` for what is checked."""
    return [load_case(plan, configuration, plan.seeds(configuration)) for configuration in configurations]


def load_case(plan: Plan, configuration: Configuration, seeds: Iterable[int]) -> Case:
    """A configuration with its runs of these seeds.

    Raises RecordError as `load_run` does, for a run of another configuration or seed, for one made with other
    settings than the plan's, and for runs that differ in more than their seed (such as learning rates resolved by two
    different selections).
    """
    runs = []
    for seed in seeds:
        run = load_run(plan.run_folder(configuration, seed))
        if (run.record["configuration"], run.seed) != (configuration.id, seed):
            raise RecordError(
                f"{run.folder / 'run.json'}: is seed {run.seed} of {run.record['configuration']!r}, not "
                f"seed {seed} of {configuration.id!r}; delete the folder and train again"
            )
        _refuse(run, "params.yaml", plan.differences(configuration, seed, run.record["run"]))
        runs.append(run)
        found, first = run.record["run"], runs[0].record["run"]
        unlike = [key for key, value in first.items() if key != "seed" and found.get(key) != value]
        _refuse(run, runs[0].folder.name, unlike)
    return Case(configuration, tuple(runs))


def _refuse(run: LoadedRun, what: str, differing: list[str]) -> None:
    """RecordError if there are fields in which a run differs from `what`."""
    if differing:
        raise RecordError(
            f"{run.folder / 'run.json'}: differs from {what} in {', '.join(differing)}; train the configuration again"
        )


def load_run(folder: Path, any_version: bool = False) -> LoadedRun:
    """The run in `folder`.

    With `any_version`, tables with other columns, of another version of this project, are taken too: what they lack is
    NaN, and what this version does not know is left out.
    Raises RecordError, which names the file and the cure, if a file is missing, truncated, altered, or not a run's.
    """
    record = _record(folder / "run.json")
    epochs = record["run"]["epochs"] if record["outcome"]["status"] == "completed" else None
    history = _read_table(folder / "history.csv", COLUMNS, any_version, first=0, last=epochs)
    timing = _read_table(folder / "timing.csv", TIMING_COLUMNS, any_version, first=0, last=epochs)
    measure = record["run"]["measure"]
    known = {
        STEPS_FILE: {"columns": STEP_COLUMNS, "first": 1},
        TRAJECTORY_FILE: {"columns": TRAJECTORY_COLUMNS, "every": measure.get("trajectory_every"), "further": True},
        ALLOCATION_FILE: {"columns": ALLOCATION_COLUMNS, "first": 1, "further": True},
    }
    names = step_files(measure)
    tables = {Path(name).stem: _read_table(folder / name, any_version=any_version, **known[name]) for name in names}
    if "files" in record or not any_version:
        for name in altered(folder, record, (*RUN_FILES, *names)):
            raise RecordError(
                f"{folder / name}: missing, or altered since the run ended (another sha256 than in run.json); "
                "delete the run's folder and train again"
            )
    return LoadedRun(folder, record, history, timing, **tables)


def _record(path: Path) -> dict[str, Any]:
    record = read_record(path)
    status, step = record["outcome"]["status"], record["outcome"].get("step")
    if status != "completed" and (status != "diverged" or not isinstance(step, int)):
        raise RecordError(
            f"{path}: outcome {record['outcome']} is neither completed nor diverged at a step; train the run again"
        )
    return record


def _read_table(
    path: Path,
    columns: tuple[str, ...],
    any_version: bool,
    first: int = 0,
    last: int | None = None,
    every: int = 1,
    further: bool = False,
) -> pd.DataFrame:
    """A table with one row for every value of its first column, an epoch or step, from `first` up to `last` if given.

    every: how far apart the rows are; further: whether other columns come behind these. Cells that were not measured
    are NaN.
    """
    index = columns[0]
    cure = "delete the run's folder and train again"
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError as error:
        raise RecordError(f"{path}: missing; {cure}") from error
    header = tuple(text.partition("\n")[0].split(","))
    if further:
        columns = columns + header[len(columns) :]
    if header != columns and not any_version:
        unlike = sorted(set(header) ^ set(columns)) or ["their order"]
        raise RecordError(f"{path}: other columns than this version writes ({', '.join(unlike)}); {cure}")
    if not text.endswith("\n"):
        raise RecordError(f"{path}: cut off within its last row; {cure}")
    try:
        table = pd.read_csv(StringIO(text), dtype=float).reindex(columns=columns).astype({index: int})
    except ValueError as error:
        raise RecordError(f"{path}: not a table of numbers ({error}); {cure}") from error
    if table[index].tolist() != list(range(first, first + every * len(table), every)) or table.empty:
        wanted = ", ".join(str(first + every * number) for number in range(3))
        raise RecordError(f"{path}: its rows are not the {index}s {wanted}, ...; {cure}")
    if last is not None and table[index].iloc[-1] != last:
        raise RecordError(f"{path}: ends at {index} {table[index].iloc[-1]}, but the run completed {last}; {cure}")
    return table
