"""Small real run folders, written with the project's own records, for plans made from the real params.yaml."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest

from catfish import config
from catfish.config import Output, Params
from catfish.plan import STEPS_FILE, Configuration, Plan
from catfish.records import COLUMNS, STEP_COLUMNS, TIMING_COLUMNS, Table, write_json, write_record

PARAMS = Path(__file__).parents[2] / "params.yaml"
EPOCHS = 3


class Project:
    """A project's folder (the working directory) and the runs that a test writes into it."""

    def __init__(self, params: Params):
        self.plan = Plan(params)

    def run(
        self,
        configuration: Configuration,
        seed: int,
        diverged: int | None = None,
        learning_rate: float = 0.01,
        coefficient: float = 0.03,
        seconds: float = 2.0,
        steps: dict[str, list[float]] | None = None,
        **columns,
    ) -> None:
        """Write a run. `columns` gives the values of history columns over the epochs from 0, `steps` those of
        steps.csv over the steps from 1; `diverged` the step.

        `learning_rate` and `coefficient` are what the plan's symbols, if it has any there, were resolved to.
        """
        folder = self.plan.run_folder(configuration, seed)
        run = asdict(self.plan.run(configuration, seed))
        resolved = {"learning_rate": learning_rate, "coefficient": coefficient}
        run |= {key: value for key, value in resolved.items() if isinstance(run[key], str)}
        length = len(next(iter(columns.values()))) if columns else run["epochs"] + 1
        Table(folder / "history.csv", COLUMNS).append(*(
            {"epoch": epoch, "step": 10 * epoch, **{key: values[epoch] for key, values in columns.items()}}
            for epoch in range(length)
        ))  # fmt: skip
        Table(folder / "timing.csv", TIMING_COLUMNS).append(*(
            {"epoch": epoch, "train_seconds": seconds if epoch else None, "evaluation_seconds": 0.5,
             "curvature_seconds": 0.25}
            for epoch in range(length)
        ))  # fmt: skip
        if steps is not None:
            Table(folder / STEPS_FILE, STEP_COLUMNS).append(*(
                {"step": index + 1} | {key: values[index] for key, values in steps.items()}
                for index in range(len(steps["fisher_trace"]))
            ))  # fmt: skip
        record = {
            "configuration": configuration.id,
            "seed": seed,
            "fingerprint": "0",
            "run": run,
            "outcome": {"status": "completed"} if diverged is None else {"status": "diverged", "step": diverged},
            "wall_seconds": 10 * seconds,
            "versions": {"python": "3.12.1", "torch": "2.14.0"},
            "commit": "c0ffee",
            "hardware": "Abacus x2",
            "threads": 1,
        }
        write_record(folder, record, [path.name for path in folder.glob("*.csv")])

    def select(self, setting: str, quantity: str, best: float, edge: str | None = None) -> None:
        selection = self.plan.selection(setting, quantity)
        write_json(self.plan.selection_path(selection), {"best": best, "edge": edge})


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Makes a project in an empty working directory from its outputs and changes to single settings.

    Settings are those of the demo scale, but train for EPOCHS epochs unless changed.
    """
    monkeypatch.chdir(tmp_path)

    def make(outputs: dict[str, Output], **settings: dict) -> Project:
        params = config.load(PARAMS, "demo")
        changed = {
            name: replace(setting, **{"epochs": EPOCHS} | settings.get(name, {}))
            for name, setting in params.settings.items()
        }
        return Project(replace(params, outputs=outputs, settings=changed))

    return make
