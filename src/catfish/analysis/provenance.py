"""Where every number comes from: all runs of a plan, made or not, and what made them."""

from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from catfish.analysis.collect import LoadedRun, load_case
from catfish.errors import RecordError
from catfish.plan import Configuration, Plan

FAILED = "failed"
COLUMNS = (
    "setting",
    "method",
    "seed",
    "outcome",  # completed, diverged at step n, or failed: there is no run that could be read
    "learning_rate",
    "coefficient",
    "epochs",  # trained
    "precision",  # of the steps: fp32 in place of bf16 where the device does not multiply that
    "wall_seconds",
    "hardware",
    "threads",
    "commit",
    "python",
    "torch",
    "configuration",
    "copied_from",  # the run of which this one is a copy; its seconds were spent there
    "reason",  # why it failed
)


def runs(plan: Plan) -> pd.DataFrame:
    """Every planned run, one row each with `COLUMNS`; cells that a run does not have are missing."""
    rows = [_row(plan, configuration, seed) for configuration in plan.jobs for seed in plan.seeds(configuration)]
    frame = pd.DataFrame(rows, columns=COLUMNS)
    return frame.astype({"epochs": "Int64", "threads": "Int64", "wall_seconds": float})


def _row(plan: Plan, configuration: Configuration, seed: int) -> dict:
    planned = {
        "setting": configuration.setting,
        "method": configuration.method,
        "seed": seed,
        "configuration": configuration.id,
    }
    try:
        run = load_case(plan, configuration, [seed]).runs[0]
    except (RecordError, OSError) as error:
        there = (plan.run_folder(configuration, seed) / "run.json").exists()
        reason = [str(error) if there else "not finished", *_last_words(plan, configuration)]
        return planned | {"outcome": FAILED, "reason": "; ".join(reason)}
    return planned | {"outcome": run.outcome_text} | _found(run)


def _found(run: LoadedRun) -> dict:
    record = run.record
    made_by = {key: record.get("versions", {}).get(key) for key in ("python", "torch")}
    kept = {key: record.get(key) for key in ("wall_seconds", "hardware", "threads", "commit")}
    resolved = {key: record["run"][key] for key in ("learning_rate", "coefficient")}
    epochs = {"epochs": run.history["epoch"].iloc[-1], "copied_from": record.get("copied_from")}
    return resolved | epochs | {"precision": trained_in(record)} | kept | made_by


def trained_in(record: dict) -> str:
    """The precision of a run's steps. Older records have that of its settings, from which it did not differ then."""
    return record.get("precision") or record["run"].get("precision", "unknown")


def _last_words(plan: Plan, configuration: Configuration) -> Iterator[str]:
    """The end of a job's log, where the workflow wrote one: the error, if there was one."""
    log = Path("logs") / plan.params.scale / "train" / f"{configuration.id}.log"
    if log.is_file() and (lines := log.read_text(encoding="utf-8", errors="replace").split("\n")[:-1]):
        yield f"{log} ends with: {lines[-1]}"
