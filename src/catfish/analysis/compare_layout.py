"""The comparison of two result folders for reading: what each is, how they differ, and one Markdown table."""

import math
from collections import Counter
from collections.abc import Iterable, Sized
from typing import Any

import pandas as pd

from catfish.analysis.changed_fields import changed_fields
from catfish.analysis.compare import QUANTITIES, same_runs, shared
from catfish.analysis.provenance import trained_in
from catfish.analysis.result_folder import ResultFolder
from catfish.analysis.statistics import Summary

LISTED = 5  # of names and damaged runs; the rest is counted
LARGE = 2  # standard errors
_HEAD = ["", "A", "B", "B − A", "in standard errors"]
NOTES = (
    "Mean ± sample standard deviation (number of completed runs). Accuracies and Tr(H) at the last epoch, max Tr(F) "
    "from the end of the first epoch on, seconds of training in the median epoch.",
    "In standard errors: (B − A) / sqrt(s²/n of A + s²/n of B), as if all runs were independent. – where a side has "
    "fewer than two runs, or neither varies. Among many rows some are large by chance, the more so the smaller n.",
)


def text(a: ResultFolder, b: ResultFolder, frame: pd.DataFrame) -> str:
    """The whole comparison; `frame` is what `compare.compare` makes of A and B."""
    lines = ["# Two result folders", "", *(f"- {line}" for line in _header(a, b)), ""]
    if frame.empty:
        return "\n".join([*lines, "No configuration is in both.", ""])
    rows = [row for _, part in frame.groupby("configuration") for row in _block(part)]
    alignment = ["left"] + ["right"] * (len(_HEAD) - 1)
    table = pd.DataFrame(rows, columns=_HEAD).to_markdown(index=False, disable_numparse=True, colalign=alignment)
    return "\n".join([*lines, table, "", *(f"- {note}" for note in (*NOTES, _large(frame))), ""])


def _header(a: ResultFolder, b: ResultFolder) -> list[str]:
    runs, fingerprints, histories = same_runs(a, b)
    return [
        _described("A", a),
        _described("B", b),
        *_damaged("A", a),
        *_damaged("B", b),
        f"In both: {_count(shared(a, b), 'configuration')}; {runs} of their runs have the same seed, {fingerprints} of "
        f"these the same fingerprint (settings, code version, data), {histories} the same history to the last digit",
        *_only("A", sorted(set(a.runs) - set(b.runs))),
        *_only("B", sorted(set(b.runs) - set(a.runs))),
        *_changed(changed_fields(a, b)),
    ]


def _described(name: str, folder: ResultFolder) -> str:
    """What a folder is. Its scale is the name of the folder: the runs do not record it."""
    runs = [run for runs in folder.runs.values() for run in runs]
    parts = [f"{title} {_counted(of_run(run.record) for run in runs)}" for title, of_run in _PROVENANCE.items()]
    counts = f"{_count(runs, 'run')}, {sum(not run.completed for run in runs)} diverged, "
    counts += _count(folder.runs, "configuration")
    return "; ".join([f"{name} is {folder.path}: scale {folder.path.resolve().name}", counts, *parts])


def _count(things: Sized, name: str) -> str:
    return f"{len(things)} {name}{'' if len(things) == 1 else 's'}"


def _versions(record: dict[str, Any]) -> str:
    return " ".join(f"{package}-{version}" for package, version in record.get("versions", {}).items()) or "unknown"


_PROVENANCE = {
    "commit": lambda record: record.get("commit") or "unknown",
    "versions": _versions,
    "hardware": lambda record: record.get("hardware", "unknown"),
    "threads": lambda record: str(record.get("threads", "unknown")),
    "precision": trained_in,
}


def _counted(values: Iterable[str]) -> str:
    """The one value, or the most common ones with the number of runs that have each."""
    counts = Counter(values)
    if len(counts) == 1:
        return next(iter(counts))
    return _listed([f"{value} ({count} of {counts.total()})" for value, count in counts.most_common()], ", ")


def _listed(names: list[str], separator: str) -> str:
    more = [f"and {len(names) - LISTED} more"] if len(names) > LISTED else []
    return separator.join([*names[:LISTED], *more])


def _only(name: str, configurations: list[str]) -> list[str]:
    return [f"Only in {name}: {len(configurations)} ({_listed(configurations, ', ')})"] if configurations else []


def _damaged(name: str, folder: ResultFolder) -> list[str]:
    if not folder.damaged:
        return []
    return [f"Left out of {name}, {len(folder.damaged)} damaged: {_listed(folder.damaged, '; ')}"]


def _changed(changes: dict[str, list[str]]) -> list[str]:
    """Lines of what differs between A and B in every setting, then setting by setting."""
    if not any(changes.values()):
        return ["Settings: no difference beyond the values in the table"] if changes else []
    first, *others = changes.values()
    common = [change for change in first if all(change in other for other in others)]
    lines = [f"All settings (A → B): {'; '.join(common)}"] if common else []
    apart = {setting: [change for change in listed if change not in common] for setting, listed in changes.items()}
    return lines + [f"{setting} (A → B): {'; '.join(listed)}" for setting, listed in apart.items() if listed]


def _block(part: pd.DataFrame) -> list[list[str]]:
    """The rows of a configuration: its id, what was trained differently or diverged, and its quantities."""
    first = part.iloc[0]
    rows = [[f"*{first['configuration']}*", "", "", "", ""]]
    for key, title in (("learning_rate", "learning rate"), ("coefficient", "coefficient")):
        if first[f"{key}_a"] != first[f"{key}_b"]:
            rows.append([title, first[f"{key}_a"], first[f"{key}_b"], "", ""])
    if first["diverged_a"] or first["diverged_b"]:
        rows.append(["diverged runs", f"{first['diverged_a']}", f"{first['diverged_b']}", "", ""])
    titles = {quantity.name: quantity.title for quantity in QUANTITIES}
    return rows + [[titles[row.quantity], *_cells(row)] for row in part.itertuples() if row.n_a or row.n_b]


def _cells(row) -> list[str]:
    sides = (Summary(row.mean_a, row.std_a, row.n_a), Summary(row.mean_b, row.std_b, row.n_b))
    means = [side.text(_digits(side.mean, side.std)).replace("-", "−") if side.n else "–" for side in sides]
    difference = _signed(row.difference, _digits(row.mean_a, row.mean_b))
    return [*means, difference, _signed(row.difference_in_standard_errors, 1)]


def _digits(*values: float) -> int:
    """Decimals that give the largest of the values four significant digits; none for thousands."""
    largest = max((abs(value) for value in values if math.isfinite(value)), default=0.0)
    return max(0, 3 - math.floor(math.log10(largest))) if largest else 2


def _signed(value: float, digits: int) -> str:
    # Adding zero turns the -0.0 that rounding can give into 0.0.
    return "–" if math.isnan(value) else f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def _large(frame: pd.DataFrame) -> str:
    """How many differences are large, quantity by quantity."""
    counts = []
    for quantity in QUANTITIES:
        sizes = frame.loc[frame["quantity"] == quantity.name, "difference_in_standard_errors"].abs().dropna()
        if len(sizes):
            counts.append(f"{quantity.title} {(sizes > LARGE).sum()} of {len(sizes)}")
    return f"Differences of more than {LARGE} standard errors: {'; '.join(counts) or 'none can be judged'}."
