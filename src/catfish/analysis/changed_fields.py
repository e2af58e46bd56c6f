"""How the settings of two result folders differ: the fields of `run` in run.json, configuration by configuration."""

from catfish.analysis.collect import LoadedRun
from catfish.analysis.compare import shared
from catfish.analysis.result_folder import ResultFolder
from catfish.plan import canonical

ABSENT = "absent"
SHOWN_APART = ("seed", "learning_rate", "coefficient")


def changed_fields(a: ResultFolder, b: ResultFolder) -> dict[str, list[str]]:
    """Per setting, each field of `run` that differs in a shared configuration, as `field value → value`.

    Where only some of a setting's configurations have the change, their methods follow in parentheses.
    """
    configurations: dict[str, list[str]] = {}
    for id in shared(a, b):
        configurations.setdefault(id.split("/")[0], []).append(id)
    result = {}
    for setting, ids in configurations.items():
        changes: dict[str, list[str]] = {}
        for id in ids:
            for change in _changes(_fields(a.runs[id]), _fields(b.runs[id])):
                changes.setdefault(change, []).append(id.split("/")[1])
        result[setting] = [
            change if len(methods) == len(ids) else f"{change} ({', '.join(dict.fromkeys(methods))})"
            for change, methods in changes.items()
        ]
    return result


def _changes(a: dict[str, str], b: dict[str, str]) -> list[str]:
    fields = [field for field in a | b if a.get(field) != b.get(field)]
    return [f"{field} {a.get(field, ABSENT)} → {b.get(field, ABSENT)}" for field in fields]


def _fields(runs: list[LoadedRun]) -> dict[str, str]:
    """The fields of runs as text, those of `split` and `measure` with a dot; several values stand beside each other."""
    texts: dict[str, set[str]] = {}
    for run in runs:
        for field, value in run.record["run"].items():
            parts = {f"{field}.{key}": part for key, part in value.items()} if isinstance(value, dict) else None
            for name, part in (parts or {field: value}).items():
                texts.setdefault(name, set()).add(part if isinstance(part, str) else canonical(part))
    return {name: " or ".join(sorted(found)) for name, found in texts.items() if name not in SHOWN_APART}
