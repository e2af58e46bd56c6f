"""The files of a run: run.json (what it was and how it ended), history.csv and timing.csv (one row per epoch), and in
some runs steps.csv, trajectory.csv and allocation.csv (rows of single steps).

Everything written here appears under its final name only when it is complete; history and timing grow by whole rows
and are cut back to the last checkpoint when a run is resumed.
"""

import csv
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from catfish.errors import RecordError
from catfish.files import checksum, replacing

COLUMNS = (
    "epoch",  # epochs trained; 0 is the initialisation
    "step",  # optimisation steps taken
    "learning_rate",  # of the epoch that ended
    "minibatch_loss",  # mean over the epoch's steps of the cross-entropy trained on (no penalty)
    "train_loss",
    "train_accuracy",
    "clean_accuracy",  # training examples that kept their label
    "noisy_accuracy",  # training examples whose label was replaced, by the replaced label
    "validation_loss",
    "validation_accuracy",
    "test_loss",
    "test_accuracy",
    "fisher_trace",  # Tr(F)
    "fisher_trace_minibatch",  # Tr(F^B)
    "gradient_norm",  # of the mini-batch loss
    "clean_gradient_norm",
    "noisy_gradient_norm",
    "hessian_trace",  # Tr(H)
    "hessian_trace_error",  # its standard error over the probes
    "hessian_largest",  # lambda_H^1
    "hessian_conditioning",  # lambda_H^k / lambda_H^1, of the k largest eigenvalues asked for; empty for k = 1
    "covariance_largest",  # lambda_K^1
    "covariance_conditioning",  # lambda_K^* / lambda_K^1
    "covariance_trace",  # Tr(K)
)
STEP_COLUMNS = (
    "step",  # from 1; each row is about the weights before it
    "fisher_trace",  # Tr(F)
    "minibatch_accuracy",  # of the step's own mini-batch
)
# What readers of the files rely on: keys, dotted within objects, and the types of their values.
NUMBER = int | float
RECORD = {
    "configuration": str,
    "seed": int,
    "run": dict,
    "run.epochs": int,
    "run.learning_rate": NUMBER,
    "run.coefficient": NUMBER | None,
    "run.measure": dict,
    "outcome": dict,
    "outcome.status": str,
}
SELECTION = {"best": NUMBER, "edge": str | None, "grid": list}
TRAJECTORY_COLUMNS = (  # and behind them output_0, output_1, ...: the softmax of each example, one after the other
    "step",  # taken so far
    "covariance_largest",  # lambda_K^1
    "train_accuracy",  # of the examples whose outputs follow
)
ALLOCATION_COLUMNS = (  # and behind them the layers, each with the loss change that it brought
    "step",  # from 1; each row is about what that step did
    "loss_before",  # of the allocation's examples
    "loss_after",
    "helping",  # share of the parameters whose own allocation is negative
)
TIMING_COLUMNS = ("epoch", "train_seconds", "evaluation_seconds", "curvature_seconds")


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as file:
        file.write(text.encode())


def write_json(path: Path, value: Any) -> None:
    write_text(path, json.dumps(value, indent=1, allow_nan=False) + "\n")


def read_json(path: Path) -> dict:
    """A JSON object from a file; RecordError names the file and the cure if there is none."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise RecordError(f"{path}: missing; let Snakemake make it, or run the command that writes it") from error
    except ValueError as error:
        raise RecordError(f"{path}: not valid JSON ({error}); delete it and run again") from error
    if not isinstance(value, dict):
        raise RecordError(f"{path}: expected a JSON object, found {type(value).__name__}; delete it and run again")
    return value


def read_checked(path: Path, kinds: dict[str, Any], cure: str) -> dict:
    """A JSON object in which the keys of `kinds` have values of those types; RecordError, ending in `cure`, if not."""
    value = read_json(path)
    wrong: dict[str, str] = {}
    for key, kind in kinds.items():
        found = _under(value, key)
        if not isinstance(found, kind) and key.rpartition(".")[0] not in wrong:
            wrong[key] = "missing" if found is ... else f"{found!r:.40}"
    if wrong:
        raise RecordError(f"{path}: {', '.join(f'{key} is {what}' for key, what in wrong.items())}; {cure}")
    return value


def _under(value: Any, key: str) -> Any:
    """What stands under a dotted key; `...`, which is of no JSON type, if nothing does."""
    for name in key.split("."):
        value = value.get(name, ...) if isinstance(value, dict) else ...
    return value


def read_record(path: Path) -> dict:
    """A run.json, of this version or an older one."""
    return read_checked(path, RECORD, "delete the folder and train again")


def read_selection(path: Path, *keys: str) -> dict:
    """A selection, with those of its parts that the caller needs: best, edge, grid."""
    kinds = {key: SELECTION[key] for key in keys}
    return read_checked(path, kinds, f"delete it and run `catfish select {path.parent.name}/{path.stem}`")


def data_checksum(manifest: Path, split: Path) -> str:
    """What identifies the data of a run: the arrays' checksum from their manifest, and the split's own."""
    if not split.is_file():
        raise RecordError(f"{split}: missing; let Snakemake make it, or run `catfish split`")
    cure = f"run `catfish prepare {manifest.parent.name}` again"
    return read_checked(manifest, {"sha256": str}, cure)["sha256"] + checksum(split, "sha256")


def write_record(folder: Path, record: dict[str, Any], names: Iterable[str]) -> None:
    """Write run.json, the last of a run's files, with the checksums of the others among `names` under `files`."""
    sums = {name: checksum(folder / name, "sha256") for name in names if name != "run.json"}
    write_json(folder / "run.json", record | {"files": sums})


def altered(folder: Path, record: dict[str, Any], names: Iterable[str]) -> list[str]:
    """Those of a run's files `names` that are missing, or not the ones that its run.json was written for."""
    sums = files if isinstance(files := record.get("files"), dict) else {}
    others = [name for name in names if name != "run.json"]
    return [n for n in others if not (folder / n).is_file() or checksum(folder / n, "sha256") != sums.get(n)]


class Table:
    """A CSV file that grows by one row at a time and always ends in a whole row.

    Numbers are written so that reading gives back the same float; what was not measured is an empty cell.
    """

    def __init__(self, path: Path, columns: tuple[str, ...], keep: int = 0):
        """Start the file, or cut it back to its first `keep` rows.

        Raises RecordError if it holds fewer rows than that, or other columns.
        """
        self.path, self.columns = path, columns
        rows: list[list[str]] = []
        if keep:
            lines = self._lines()[: keep + 1]
            rows = lines[1:]
            if not lines or tuple(lines[0]) != columns or len(rows) < keep or {len(r) for r in rows} != {len(columns)}:
                raise RecordError(
                    f"{path}: does not hold the {keep} rows that its checkpoint promises; "
                    "delete the run's folder and train again"
                )
        self._write([list(columns), *rows])

    def append(self, *rows: dict[str, Any]) -> None:
        """Add rows, which are on the disk when this returns; raises ValueError for a key that is no column."""
        unknown = {key for row in rows for key in row} - set(self.columns)
        if unknown:
            raise ValueError(f"{self.path}: no column {', '.join(sorted(unknown))}")
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([_cell(row.get(column)) for column in self.columns] for row in rows)
            file.flush()
            os.fsync(file.fileno())  # run.json, written after them, vouches for them

    def _lines(self) -> list[list[str]]:
        """The whole lines; one that a kill cut off has no line end."""
        if not self.path.exists():
            return []
        text = self.path.read_bytes().decode(errors="replace")
        return list(csv.reader(text[: text.rfind("\n") + 1].splitlines()))

    def _write(self, rows: Iterable[list[str]]) -> None:
        write_text(self.path, "".join(",".join(row) + "\n" for row in rows))


def _cell(value: Any) -> str:
    # A numpy float is a float whose own repr is no number.
    return "" if value is None else repr(float(value) if isinstance(value, float) else value)


def finished(folder: Path, fingerprint: str, names: Iterable[str]) -> bool:
    """Whether `folder` holds the complete files, those with these names, of the run with that fingerprint."""
    try:
        record = read_json(folder / "run.json")
    except RecordError:
        return False
    return record.get("fingerprint") == fingerprint and not altered(folder, record, names)
