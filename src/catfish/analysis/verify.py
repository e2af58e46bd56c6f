"""Whether a results folder holds what the plan asks for, and holds it unharmed."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from catfish.analysis.collect import load_run
from catfish.analysis.select import choose
from catfish.errors import RecordError, UserError
from catfish.files import checksum
from catfish.plan import Configuration, Plan, Split
from catfish.records import altered, data_checksum, read_checked, read_json, read_selection

TO_TRAIN = ("missing", "unfinished", "damaged", "differs")  # a run of which this was found has to be trained


@dataclass(frozen=True)
class Finding:
    """Something that is not as it should be: its kind, and a text that names the file and the cure."""

    kind: str  # missing | unfinished | damaged | differs | left over | unknown
    text: str


def verify(plan: Plan) -> Iterator[Finding]:
    """Look at every data set, run and selection of the plan, and at run folders that are not in it.

    A data set may be missing where all its runs are finished: those of an archive come without it.
    """
    found = {
        configuration: [finding for seed in plan.seeds(configuration) for finding in _run(plan, configuration, seed)]
        for configuration in plan.jobs
    }
    trained = {c for c, findings in found.items() if any(finding.kind in TO_TRAIN for finding in findings)}
    needed = {plan.split(configuration.setting).dataset for configuration in trained}
    for dataset in dict.fromkeys(split.dataset for split in plan.splits.values()):
        yield from _data(plan, dataset, dataset in needed)
    yield from chain.from_iterable(found.values())
    for selection in plan.selections.values():
        yield from _selection(plan, selection)
    yield from _unknown(plan)


def _data(plan: Plan, dataset: str, needed: bool) -> Iterator[Finding]:
    manifest = plan.manifest_path(dataset)
    if not manifest.is_file():
        if needed:
            yield Finding("missing", f"{manifest.parent}: not prepared here; run `catfish prepare {dataset}`")
        return
    try:
        promised = read_checked(manifest, {"sha256": str}, "delete it")["sha256"]
        damaged = checksum(manifest.with_name("arrays.npz"), "sha256") != promised
    except (RecordError, OSError) as error:
        yield Finding("damaged", f"{manifest}: {error}; run `catfish prepare {dataset}` again")
        return
    if damaged:
        text = "altered or damaged, its sha256 is not the one in manifest.json"
        yield Finding("damaged", f"{manifest.with_name('arrays.npz')}: {text}; delete it and prepare it again")


def _run(plan: Plan, configuration: Configuration, seed: int) -> Iterator[Finding]:
    folder = plan.run_folder(configuration, seed)
    if not (folder / "run.json").is_file():
        begun = folder.is_dir() and any(folder.iterdir())
        kind, what = ("unfinished", "begun, not finished") if begun else ("missing", "not there")
        yield Finding(kind, f"{folder}: {what}; run `catfish train {configuration.id}`")
        return
    try:
        record = load_run(folder).record
    except RecordError as error:
        yield Finding("damaged", str(error))
        return
    names = plan.promised(configuration, record)
    for name in altered(folder, record, names):
        yield Finding("damaged", f"{folder / name}: missing, or altered since the run ended; train the run again")
    if (record["configuration"], record["seed"]) != (configuration.id, seed):
        found = f"seed {record['seed']} of {record['configuration']}"
        yield Finding("differs", f"{folder / 'run.json'}: is {found}; delete the folder and train again")
    else:
        yield from _settings(plan, configuration, seed, record)
    for path in sorted(folder.iterdir()):
        if path.name not in names:
            yield Finding("left over", f"{path}: beside a finished run; delete it")


def _settings(plan: Plan, configuration: Configuration, seed: int, record: dict) -> Iterator[Finding]:
    """Whether a run was made by the settings, selections and data that there are now."""
    path = plan.run_folder(configuration, seed) / "run.json"
    try:
        needed = plan.needs(configuration)
        chosen = {selection.id: read_selection(plan.selection_path(selection), "best") for selection in needed}
        planned = plan.run(configuration, seed, chosen)
    except RecordError as error:
        yield Finding("missing", f"{path}: cannot be compared ({error})")
        return
    if differing := plan.differences(configuration, seed, record["run"], chosen):
        text = f"differs from params.yaml or its selections in {', '.join(differing)}"
        yield Finding("differs", f"{path}: {text}; train it again, or take the change back")
    elif _other_data(plan, plan.split(configuration.setting), planned, record):
        yield Finding("differs", f"{path}: made from other data than is prepared here; train it again")


def _other_data(plan: Plan, split: Split, planned, record: dict) -> bool:
    manifest, path = plan.manifest_path(split.dataset), plan.split_path(split)
    if not (manifest.is_file() and path.is_file()):
        return False  # results can be looked at without their data
    try:
        return planned.fingerprint(data_checksum(manifest, path)) != record.get("fingerprint")
    except RecordError:
        return False  # a manifest that is damaged, which is a finding of its own


def _selection(plan: Plan, selection) -> Iterator[Finding]:
    path = plan.selection_path(selection)
    if not path.is_file():
        yield Finding("missing", f"{path}: not there; run `catfish select {selection.id}`")
        return
    try:
        same = read_json(path) == choose(plan, selection)
    except RecordError:
        return  # one of its runs, which is a finding of its own
    except UserError as error:
        yield Finding("differs", f"{path}: {error}")
        return
    if not same:
        yield Finding("differs", f"{path}: is not what its runs give; run `catfish select {selection.id}` again")


def _unknown(plan: Plan) -> Iterator[Finding]:
    planned = {folder for configuration in plan.jobs for folder in plan.run_folders(configuration)}
    for path in sorted(Path(plan.results).glob("runs/**/run.json")):
        if path.parent not in planned:
            yield Finding("unknown", f"{path.parent}: a run that the plan does not have; delete it if it is not wanted")
