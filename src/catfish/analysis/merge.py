"""Runs that other machines trained, copied into this project's results of the same scale.

All runs are looked at before the first is copied, and none is copied while one of them is in conflict. A run arrives
under a temporary name and takes its own when all of it is there, so that a reader never sees half of one, on network
file systems too. Selections are not copied: Snakemake makes them from the runs.
"""

import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from catfish.analysis.result_folder import run_folders
from catfish.errors import RecordError, ResultError
from catfish.plan import STEP_FILES, Configuration, Plan
from catfish.records import altered, read_json, read_record

NUMBERS = ("history.csv", *STEP_FILES)  # timing.csv differs from machine to machine


@dataclass
class Merge:
    """What is to be done: folder here -> folder to copy. `conflicts` says of each what is wrong and the cure."""

    new: dict[Path, Path] = field(default_factory=dict)
    equal: list[Path] = field(default_factory=list)
    unfinished: list[Path] = field(default_factory=list)
    unplanned: list[Path] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def merge(plan: Plan, sources: Iterable[Path]) -> Merge:
    """Copy every finished run of the sources, results of one scale such as ../b/results/paper, that is missing here.

    Runs that are here already are left as they are. Raises ResultError, with nothing copied, that lists all conflicts:
    runs that differ from the one here or in another source, are damaged, or were made with other settings.
    """
    found = compare(plan, sources)
    if found.conflicts:
        listed = "\n  ".join(found.conflicts)
        raise ResultError(f"nothing was merged; {len(found.conflicts)} in conflict:\n  {listed}")
    for target, source in found.new.items():
        _copy(source, target)
    return found


def compare(plan: Plan, sources: Iterable[Path]) -> Merge:
    """What merging would do; nothing is written."""
    planned = {
        plan.run_folder(configuration, seed): (configuration, seed)
        for configuration in plan.jobs
        for seed in plan.seeds(configuration)
    }
    found = Merge()
    for source in sources:
        if source.resolve() == plan.results.resolve():
            raise ResultError(f"{source}: these are the results that are merged into; name those of another machine")
        for folder in run_folders(source):
            target = plan.results / folder.relative_to(source)
            if target not in planned:
                found.unplanned.append(folder)
            elif not (folder / "run.json").is_file():
                found.unfinished.append(folder)
            else:
                _judge(plan, folder, target, *planned[target], found)
    return found


def _judge(plan: Plan, folder: Path, target: Path, configuration: Configuration, seed: int, found: Merge) -> None:
    """Put a finished run where it belongs in `found`."""
    other = found.new.get(target, target)
    problems = list(_faults(plan, folder, configuration, seed))
    if not problems and other.is_dir() and any(other.iterdir()):
        problems = list(_disagreements(folder, other))
        if not problems:
            found.equal.append(folder)
            return
    if problems:
        found.conflicts += problems
    else:
        found.new[target] = folder


def _faults(plan: Plan, folder: Path, configuration: Configuration, seed: int) -> Iterator[str]:
    """What is wrong with a run by itself."""
    path = folder / "run.json"
    try:
        record = read_record(path)
    except RecordError as error:
        yield str(error)
        return
    place = (record["configuration"], record["seed"])
    differing = plan.differences(configuration, seed, record["run"])
    if place != (configuration.id, seed):
        yield f"{path}: is seed {place[1]} of {place[0]}; delete the folder there"
    elif differing:
        yield (
            f"{path}: made with other settings than params.yaml has at the scale {plan.params.scale} "
            f"({', '.join(differing)}); merge results of the same scale and params.yaml"
        )
    else:
        for name in altered(folder, record, plan.promised(configuration, record)):
            yield f"{folder / name}: missing, or altered since the run ended; copy it again, or train it again there"


def _disagreements(folder: Path, other: Path) -> Iterator[str]:
    """Why a run is not the same as the one in `other`."""
    if not (other / "run.json").is_file():
        yield f"{folder}: {other} is begun and not finished; let it finish, or delete it to take this one"
        return
    one = read_record(folder / "run.json")
    try:
        two = read_record(other / "run.json")
    except RecordError as error:
        yield str(error)
        return
    cure = "keep one: delete the folder that you do not want"
    if one.get("fingerprint") != two.get("fingerprint"):
        differing = [key for key, value in one["run"].items() if two["run"].get(key) != value]
        what = ", ".join(differing) or "data"
        yield f"{folder} and {other} are the same run made from different {what}; {cure}"
    elif unlike := [name for name in NUMBERS if one["files"].get(name) != two.get("files", {}).get(name)]:
        machines = f"{one.get('hardware')} and {two.get('hardware')}"
        yield f"{folder} and {other} were trained twice, with other numbers in {', '.join(unlike)} ({machines}); {cure}"


def _copy(source: Path, target: Path) -> None:
    """Copy a run whole or not at all; RecordError if the copy is not what was written, or the run is there by now."""
    temporary = target.with_name(f"{target.name}.{os.getpid()}.tmp")
    record = read_json(source / "run.json")
    names = [*record["files"], "run.json"]
    temporary.mkdir(parents=True)
    try:
        for name in names:
            shutil.copyfile(source / name, temporary / name)
        if altered(temporary, record, names) or read_json(temporary / "run.json") != record:
            raise RecordError(f"{source}: was not copied whole; merge again")
        try:
            os.rename(temporary, target)  # onto nothing or an empty folder, else an error
        except OSError as error:
            raise RecordError(f"{target}: was made while merging ({error}); merge again") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
