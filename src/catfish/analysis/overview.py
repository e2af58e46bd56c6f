"""The report's overview of a scale: what ran, what failed, how long it took, and what made it."""

import json
import platform
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import yaml

from catfish import __version__
from catfish.analysis import labels, provenance, webpage
from catfish.checkout import commit
from catfish.errors import RecordError
from catfish.plan import Plan
from catfish.records import write_text

_PACKAGES = ("numpy", "pandas", "matplotlib", "seaborn")
_MACHINE = {"hardware": "hardware", "threads": "threads a job", "torch": "torch", "python": "Python"}
_ORIGIN = {"commit": "commit", **_MACHINE}


def write(plan: Plan) -> list[Path]:
    """Write overview.{md,html}, runs.{csv,html} and params.{yaml,html} into the plan's figures.

    Runs that are missing or cannot be read are listed and are no error.
    """
    runs, resolved = provenance.runs(plan), params(plan)
    overview = markdown(plan, runs)
    title = f"at the scale {plan.params.scale}"
    texts = {
        "overview.md": overview,
        "overview.html": webpage.from_markdown(overview),
        "runs.csv": runs.to_csv(index=False, lineterminator="\n"),
        "runs.html": webpage.from_table(f"Every run {title}", runs),
        "params.yaml": resolved,
        "params.html": webpage.from_text(f"params.yaml {title}", resolved),
    }
    for name, text in texts.items():
        write_text(plan.figures / name, text)
    return [plan.figures / name for name in texts]


def params(plan: Plan) -> str:
    """The params resolved at their scale, as YAML: every setting with all its values, grids as lists."""
    plain = json.loads(json.dumps(asdict(plan.params)))  # lists in place of tuples
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120, default_flow_style=None)


def markdown(plan: Plan, runs: pd.DataFrame) -> str:
    """The overview, from the table that `provenance.runs` makes."""
    diverged = runs[runs["outcome"].str.startswith("diverged")]
    failed = runs[runs["outcome"] == provenance.FAILED]
    parts = [
        f"# Overview of the scale {plan.params.scale}",
        _summary(plan, runs, len(diverged), len(failed)),
        *_listed("Failed or missing runs", _failures(failed)),
        *_listed("Diverged runs", [_divergence(run) for run in diverged.itertuples()]),
        *(_listed("Not rendered", missing) if (missing := _not_rendered(plan)) else []),
        "## Settings",
        _settings(plan, runs),
        "## What made the runs",
        _made_by(runs),
        *_substituted(plan, runs),
        "## What made the tables and figures",
        f"Commit {_short(commit() or 'unknown')}, {_software()}.",
        *_listed("Chosen at the edge of a grid", _edges(plan)),
    ]
    return "\n\n".join(parts) + "\n"


def _summary(plan: Plan, runs: pd.DataFrame, diverged: int, failed: int) -> str:
    copies = runs["copied_from"].notna().sum()
    return (
        f"{len(runs)} runs of {len(plan.jobs)} configurations for {len(plan.params.outputs)} tables "
        f"and figures: **{len(runs) - diverged - failed} completed, {diverged} diverged, {failed} failed or are "
        f"missing.** {copies} of them are the best run of a grid again and were copied, not trained. Training took "
        f"{duration(_seconds(runs))} in all, measurements included."
    )


def _listed(title: str, lines: list[str]) -> list[str]:
    return [f"## {title}", "\n".join(f"- {line}" for line in lines) or "None."]


def _failures(failed: pd.DataFrame) -> list[str]:
    """A line a configuration, with its seeds and the first one's reason."""
    lines = []
    for configuration, part in failed.groupby("configuration", sort=False):
        seeds = f"seed{'s' * (len(part) > 1)} {', '.join(map(str, part['seed']))}"
        lines.append(f"`{configuration}`, {seeds}: {part['reason'].iloc[0]}")
    return lines


def _divergence(run) -> str:
    coefficient = "" if pd.isna(run.coefficient) else f", coefficient {labels.number(run.coefficient)}"
    return (
        f"`{run.configuration}`, seed {run.seed}: {run.outcome} "
        f"(learning rate {labels.number(run.learning_rate)}{coefficient})"
    )


def _not_rendered(plan: Plan) -> list[str]:
    return [name for name in (*plan.params.outputs, "claims") if not (plan.figures / f"{name}.csv").is_file()]


def _settings(plan: Plan, runs: pd.DataFrame) -> str:
    """One row a setting: its data, its runs, their outcomes and their time."""
    rows = []
    for name, part in runs.groupby("setting", sort=False):
        spec = plan.params.settings[name]
        counts = part["outcome"].str.partition(" ")[0].value_counts()
        rows.append({
            "setting": name,
            "data": spec.dataset,
            "epochs": spec.epochs,
            "runs": len(part),
            **{outcome: counts.get(outcome, 0) for outcome in ("completed", "diverged", provenance.FAILED)},
            "time": duration(_seconds(part)),
            "time a run": duration(part["wall_seconds"].mean()),
        })  # fmt: skip
    return _table(pd.DataFrame(rows), numbers=7)


def _made_by(runs: pd.DataFrame) -> str:
    """How many runs each machine with its versions made, of which commit, and a warning where any of it differs."""
    made = runs.loc[runs["outcome"] != provenance.FAILED, list(_ORIGIN)]
    made = made.assign(commit=made["commit"].map(_short, na_action="ignore")).astype(object).fillna("unknown")
    counts = made.groupby(list(_MACHINE), sort=False)["commit"].agg(commit=_one_or_count, runs="size").reset_index()
    differing = [text for column, text in _ORIGIN.items() if made[column].nunique() > 1]
    warning = f"**Warning: these runs differ in {', '.join(differing)}.**\n\n" if differing else ""
    return warning + _table(counts.rename(columns=_MACHINE), numbers=1)


def _one_or_count(commits: pd.Series) -> str:
    """The commit, or how many there are: the table of all runs has each one's."""
    different = commits.unique()
    return different[0] if len(different) == 1 else f"{len(different)} different ones, see runs.csv"


def _substituted(plan: Plan, runs: pd.DataFrame) -> Iterator[str]:
    """Which runs were trained in another precision than their settings say."""
    wanted = runs["setting"].map(lambda setting: plan.params.settings[setting].precision)
    if count := (runs["precision"].notna() & (runs["precision"] != wanted)).sum():
        yield f"Runs of `precision: bf16` that were trained in fp32 where bfloat16 would have been emulated: {count}."


def _short(commit: str) -> str:
    """Twelve digits of a commit, and the mark of files that differ from it."""
    number, *mark = commit.split("-")
    return "-".join([number[:12], *mark])


def _software() -> str:
    return ", ".join([f"catfish {__version__}", f"Python {platform.python_version()}",
                      *(f"{package} {version(package)}" for package in _PACKAGES)])  # fmt: skip


def _edges(plan: Plan) -> list[str]:
    """The selections that ended at an end of their grid; those not made yet are left out."""
    found = []
    for selection in plan.selections.values():
        try:
            found.append(labels.edge(plan, selection))
        except RecordError:
            continue
    return [text for text in found if text]


def _seconds(runs: pd.DataFrame) -> float:
    """The time that was spent: a copy's was spent once."""
    return runs.loc[runs["copied_from"].isna(), "wall_seconds"].sum()


def duration(seconds: float) -> str:
    """Seconds as a person says them: `0.7 s`, `42 s`, `12 min`, `3.5 h`."""
    if pd.isna(seconds):
        return "–"
    if seconds < 120:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _table(frame: pd.DataFrame, numbers: int) -> str:
    """A pipe table whose last `numbers` columns are right-aligned."""
    align = ["left"] * (frame.shape[1] - numbers) + ["right"] * numbers
    return frame.astype(str).to_markdown(index=False, disable_numparse=True, colalign=align)
