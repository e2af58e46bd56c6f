"""The archive of a scale, archive/<scale>/: its finished runs as a few compressed tables; run folders made from it.

runs.jsonl.xz        a run.json in each line
selections.jsonl.xz  a selection in each line, with what was asked for
history.csv.xz ...   the runs' tables of that name one below the other, behind the columns configuration and seed

Runs that the archive covers need neither training nor data. A run comes back with every digit: its tables' checksums
in run.json still hold.
"""

import csv
import hashlib
import json
import lzma
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from catfish.errors import RecordError, ResultError
from catfish.files import replacing
from catfish.plan import (
    ALLOCATION_FILE,
    CHECKPOINTS,
    NORMS_FILE,
    RUN_FILES,
    STEPS_FILE,
    TRAJECTORY_FILE,
    WEIGHTS_FILE,
    Configuration,
    Plan,
    Selection,
)
from catfish.records import (
    ALLOCATION_COLUMNS,
    COLUMNS,
    STEP_COLUMNS,
    TIMING_COLUMNS,
    TRAJECTORY_COLUMNS,
    altered,
    read_record,
    read_selection,
    write_json,
    write_text,
)

RUNS, SELECTIONS = "runs.jsonl.xz", "selections.jsonl.xz"
HEADERS = {
    **dict(zip(RUN_FILES[1:], (COLUMNS, TIMING_COLUMNS))),
    STEPS_FILE: STEP_COLUMNS,
    TRAJECTORY_FILE: TRAJECTORY_COLUMNS,
    ALLOCATION_FILE: ALLOCATION_COLUMNS,
}
KEY = ("configuration", "seed")
LEFT_OUT = (WEIGHTS_FILE, NORMS_FILE)  # as large as the network: needed by runs that follow, not by tables and figures

Key = tuple[str, int]


@dataclass(frozen=True)
class Archive:
    """What an archive holds: run.json by configuration id and seed, selections by id; tables are read when needed."""

    folder: Path
    runs: dict[Key, dict[str, Any]]
    selections: dict[str, dict[str, Any]]

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.xz"))

    @cached_property
    def tables(self) -> dict[Key, dict[str, str]]:
        """The text of every run's tables, by file name."""
        found: dict[Key, dict[str, str]] = {key: {} for key in self.runs}
        for name in HEADERS:
            path = _compressed(self.folder, name)
            if path.is_file():
                for key, text in _apart(_lines(path), HEADERS[name]):
                    found.setdefault(key, {})[name] = text
        return found


# Making an archive


def pack(plan: Plan) -> list[str]:
    """Write the archive of the plan's finished runs and selections; returns what is not in it, a line each.

    A run that was made with other settings, or altered since, is left out. In place of a run that is not there, or left
    out, the archive keeps the one that it has if the plan asks for that one, and likewise a selection: so results that
    hold a part of the plan change that part of the archive. Raises ResultError if nothing is left, and RecordError if
    the archive that is there is damaged; ResultError, too, if DVC tracks one that was not fetched.
    """
    before = read(plan)
    if before is None and (tracked := Path(f"{plan.archive}.dvc")).is_file():
        raise ResultError(
            f"{tracked}: this archive was not fetched, and would be replaced by what is here; "
            f"`make pull SCALE={plan.params.scale}` first, or delete that file to begin another"
        )
    runs: dict[Key, dict] = {}
    tables: dict[str, dict[Key, str]] = {name: {} for name in HEADERS}
    missing = []
    for configuration in plan.jobs:
        for seed in plan.seeds(configuration):
            try:
                record, texts = _finished(plan, before, configuration, seed)
            except RecordError as error:
                missing.append(str(error))
                continue
            runs[configuration.id, seed] = record
            for name, text in texts.items():
                tables[name][configuration.id, seed] = text
    if not runs:
        raise ResultError(f"{plan.results}: no finished run of the plan is there; train some, then pack")
    selections = list(_selections(plan, before, runs))
    _write(plan.archive / RUNS, map(json.dumps, runs.values()))
    _write(plan.archive / SELECTIONS, map(json.dumps, selections))
    for name, texts in tables.items():
        path = _compressed(plan.archive, name)
        if texts:
            _write(path, _together(texts))
        else:
            path.unlink(missing_ok=True)
    return missing


def _finished(
    plan: Plan, before: Archive | None, configuration: Configuration, seed: int
) -> tuple[dict, dict[str, str]]:
    """A run's record and its tables' texts, from the results or else the archive; RecordError if neither has it."""
    chosen = {s.id: _selected(plan, before, s) for s in plan.needs(configuration)}
    try:
        return _trained(plan, configuration, seed, chosen)
    except RecordError:
        kept = None if before is None else _kept(plan, before, configuration, seed, chosen)
        if kept is None:
            raise
        return kept


def _trained(plan: Plan, configuration: Configuration, seed: int, chosen: dict) -> tuple[dict, dict[str, str]]:
    """A run from the results; RecordError if it is not there as planned."""
    folder = plan.run_folder(configuration, seed)
    record = read_record(folder / "run.json")
    if differing := plan.differences(configuration, seed, record["run"], chosen):
        raise RecordError(f"{folder}: other settings than planned ({', '.join(differing)})")
    names = plan.tables(configuration)
    if changed := altered(folder, record, names):
        raise RecordError(f"{folder}: {', '.join(changed)} missing, or altered since the run ended")
    record = record | {"files": {name: total for name, total in record["files"].items() if name not in LEFT_OUT}}
    return record, {name: (folder / name).read_text(encoding="utf-8") for name in names if name != "run.json"}


def _kept(
    plan: Plan, before: Archive, configuration: Configuration, seed: int, chosen: dict
) -> tuple[dict, dict[str, str]] | None:
    """A run from the archive as it is; None if it does not hold that run with all its tables."""
    if not _archived(plan, before, configuration, seed, chosen):
        return None
    key = (configuration.id, seed)
    record, names = before.runs[key], [name for name in plan.tables(configuration) if name != "run.json"]
    texts = {name: before.tables[key].get(name, "") for name in names}
    whole = all(hashlib.sha256(texts[name].encode()).hexdigest() == record["files"].get(name) for name in names)
    return (record, texts) if whole else None


def _selected(plan: Plan, before: Archive | None, selection: Selection) -> dict:
    """A selection from the results, or else from the archive if the same was asked for; RecordError if in neither."""
    path = plan.selection_path(selection)
    try:
        made = read_selection(path, "best", "grid")
        if not selection.compared(made):
            raise RecordError(f"{path}: chosen from another grid than planned")
        return made
    except RecordError:
        if before is None or not _same_asked(plan, before, selection):
            raise
        return before.selections[selection.id]["selection"]


def _selections(plan: Plan, before: Archive | None, runs: dict[Key, dict]) -> Iterator[dict]:
    """The selections all of whose runs are archived, each with the text of what was asked for."""
    for selection in plan.selections.values():
        wanted = {(c.id, seed) for c in selection.candidates for seed in range(_tuning_seeds(plan, selection))}
        if wanted <= runs.keys():
            made = _selected(plan, before, selection)
            yield {"id": selection.id, "asked": plan.selection_text(selection), "selection": made}


def _together(texts: dict[Key, str]) -> Iterator[str]:
    """The lines of one table out of many; columns that only some have are empty for the others."""
    parts = {key: list(csv.reader(text.splitlines())) for key, text in texts.items()}
    columns = list(dict.fromkeys(column for header, *_ in parts.values() for column in header))
    yield ",".join([*KEY, *columns])
    for (configuration, seed), (header, *rows) in parts.items():
        places = [header.index(column) if column in header else None for column in columns]
        for row in rows:
            yield ",".join([configuration, str(seed), *("" if place is None else row[place] for place in places)])


def _apart(lines: list[str], own: tuple[str, ...]) -> Iterator[tuple[Key, str]]:
    """The texts of the single tables; besides their `own` columns they have those that their first row fills."""
    header, *rows = csv.reader(lines)
    parts: dict[Key, list[list[str]]] = {}
    for configuration, seed, *cells in rows:
        parts.setdefault((configuration, int(seed)), []).append(cells)
    for key, part in parts.items():
        places = [i for i, column in enumerate(header[len(KEY) :]) if column in own or part[0][i]]
        whole = [[header[len(KEY) + i] for i in places], *([row[i] for i in places] for row in part)]
        yield key, "".join(",".join(row) + "\n" for row in whole)


# Using an archive


def read(plan: Plan) -> Archive | None:
    """The archive of the plan's scale; None if there is none. RecordError names a file that is damaged."""
    if not (plan.archive / RUNS).is_file():
        return None
    runs = [json.loads(line) for line in _lines(plan.archive / RUNS)]
    selections = [json.loads(line) for line in _lines(plan.archive / SELECTIONS)]
    return Archive(
        plan.archive,
        {(record["configuration"], record["seed"]): record for record in runs},
        {row["id"]: row for row in selections},
    )


def covered(plan: Plan, archive: Archive) -> tuple[list[Configuration], list[Selection]]:
    """The configurations and selections for which nothing has to be trained: all their runs are archived as planned.

    A run whose weights others need is not covered unless those others are. These may be tuned on that very run, so all
    that is archived counts as covered first, and then what lacks something goes, until nothing does.
    """
    same = {s.id: s for s in plan.selections.values() if _same_asked(plan, archive, s)}
    needed = {configuration: {s.id for s in plan.needs(configuration)} for configuration in plan.jobs}
    followers = _followers(plan)
    left = {c for c in plan.jobs if needed[c] <= same.keys() and _all_archived(plan, archive, c, needed[c])}
    while True:
        selected = {name for name, selection in same.items() if left.issuperset(selection.candidates)}
        fewer = {c for c in left if needed[c] <= selected and followers[c] <= left}
        if fewer == left:
            break
        left = fewer
    return [c for c in plan.jobs if c in left], [s for s in plan.selections.values() if s.id in selected]


def _followers(plan: Plan) -> dict[Configuration, set[Configuration]]:
    """The configurations that take weights or norms of each."""
    followers: dict[Configuration, set[Configuration]] = {configuration: set() for configuration in plan.jobs}
    for configuration in plan.jobs:
        for other in plan.other_runs(configuration):
            followers[other].add(configuration)
    return followers


def _same_asked(plan: Plan, archive: Archive, selection: Selection) -> bool:
    row = archive.selections.get(selection.id)
    return row is not None and row["asked"] == plan.selection_text(selection)


def _all_archived(plan: Plan, archive: Archive, configuration: Configuration, needed: Iterable[str]) -> bool:
    chosen = {name: archive.selections[name]["selection"] for name in needed}
    return all(_archived(plan, archive, configuration, seed, chosen) for seed in plan.seeds(configuration))


def _archived(plan: Plan, archive: Archive, configuration: Configuration, seed: int, chosen: dict) -> bool:
    record = archive.runs.get((configuration.id, seed))
    return record is not None and not plan.differences(configuration, seed, record["run"], chosen)


def unpack(plan: Plan, archive: Archive) -> tuple[int, int]:
    """Make the run folders and selections that the archive covers; returns how many runs came, and were there already.

    A folder that holds another run is replaced. Raises RecordError if a run does not come back as it was.
    """
    configurations, selections = covered(plan, archive)
    made = there = 0
    for configuration in configurations:
        for seed in plan.seeds(configuration):
            if restore(plan, archive, configuration, seed):
                made += 1
            else:
                there += 1
    for selection in selections:
        write_json(plan.selection_path(selection), archive.selections[selection.id]["selection"])
    return made, there


def restore(plan: Plan, archive: Archive, configuration: Configuration, seed: int) -> bool:
    """Make one run's folder; False if that very run is there already, whose files get new time stamps then."""
    folder, names = plan.run_folder(configuration, seed), plan.tables(configuration)
    record = archive.runs[configuration.id, seed]
    if _holds(folder, record, names):
        for name in names:
            os.utime(folder / name)
        return False
    for name in ("run.json", *CHECKPOINTS):
        (folder / name).unlink(missing_ok=True)
    texts = archive.tables[configuration.id, seed]
    for name in names[1:]:
        write_text(folder / name, texts.get(name, ""))
    if changed := altered(folder, record, names):
        raise RecordError(f"{archive.folder}: {folder / changed[0]} does not come out as it went in; {_CURE}")
    write_json(folder / "run.json", record)
    return True


def _holds(folder: Path, record: dict, names: Iterable[str]) -> bool:
    try:
        found = read_record(folder / "run.json")
    except RecordError:
        return False
    return found.get("fingerprint") == record.get("fingerprint") and not altered(folder, found, names)


# Files

_CURE = "delete the folder and `dvc pull` it again"


def _compressed(folder: Path, name: str) -> Path:
    return folder / f"{name}.xz"


def _write(path: Path, lines: Iterable[str]) -> None:
    with replacing(path) as file:
        file.write(lzma.compress("".join(f"{line}\n" for line in lines).encode(), preset=9))


def _lines(path: Path) -> list[str]:
    try:
        return lzma.decompress(path.read_bytes()).decode().splitlines()
    except (OSError, lzma.LZMAError, EOFError, UnicodeDecodeError) as error:
        raise RecordError(f"{path}: cannot be read ({error}); {_CURE}") from error


def _tuning_seeds(plan: Plan, selection: Selection) -> int:
    return plan.params.settings[selection.setting].tuning_seeds
