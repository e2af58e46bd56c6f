"""Who trains, who validates, and with which labels."""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from catfish.datasets.errors import DataError
from catfish.files import replacing

ARRAYS = {  # key in the file -> type
    "train_index": np.int64,
    "train_labels": np.int64,
    "clean_labels": np.int64,
    "noisy": np.bool_,
    "validation_index": np.int64,
}


@dataclass(frozen=True, eq=False)
class Split:
    """n training and m validation examples, as positions in the prepared training arrays.

    A noisy example is one whose label was replaced by a uniform draw over all classes, so 1 / classes of the noisy
    examples carry their true label, by chance.
    """

    train_index: np.ndarray  # (n,) int64, in random order
    train_labels: np.ndarray  # (n,) int64, to train on
    clean_labels: np.ndarray  # (n,) int64, the true ones
    noisy: np.ndarray  # (n,) bool, True where the label was replaced
    validation_index: np.ndarray  # (m,) int64; their labels are always clean
    metadata: dict[str, Any]  # examples (n), validation (m), noise, seed, classes


def make_split(
    labels: np.ndarray,
    classes: int,
    *,
    examples: int | None = None,
    validation: int = 0,
    noise: float = 0.0,
    seed: int = 0,
) -> Split:
    """Hold out validation examples at random, keep `examples` of the rest (None: all), replace labels.

    labels: (N,) integers in [0, classes). Exactly round(noise * examples) training labels are replaced (a half rounds
    to even). One seed gives one random order of the data: the validation set depends on nothing else, a smaller
    `examples` is the beginning of a larger one, and, at equal `examples`, the labels replaced at a smaller noise are
    among those replaced at a larger one, by the same draws.
    Raises DataError (a ValueError), naming key, value and what is allowed, for an impossible request.
    """
    labels = np.asarray(labels)
    _check_labels(labels, classes)
    _check_integer("seed", seed, 0, None)
    _check_integer("validation", validation, 0, len(labels) - 1)
    if examples is None:
        examples = len(labels) - validation
    _check_integer("examples", examples, 1, len(labels) - validation, f" ({len(labels)} less {validation} validation)")
    if not (isinstance(noise, int | float) and 0 <= noise <= 1):
        raise DataError(f"noise: {noise!r} is not allowed; allowed: a fraction from 0 to 1")

    # Three independent generators, so that none of the three choices moves when another one changes.
    children = np.random.SeedSequence(seed).spawn(3)
    order, choice, draw = (np.random.Generator(np.random.PCG64(child)) for child in children)
    permutation = order.permutation(len(labels))
    train_index = permutation[validation : validation + examples]
    noisy = np.zeros(examples, dtype=bool)
    noisy[choice.permutation(examples)[: round(noise * examples)]] = True
    clean_labels = labels[train_index].astype(np.int64)
    train_labels = np.where(noisy, draw.integers(classes, size=examples), clean_labels)
    metadata = {
        "examples": examples,
        "validation": validation,
        "noise": float(noise),
        "seed": seed,
        "classes": classes,
    }
    return Split(train_index, train_labels, clean_labels, noisy, permutation[:validation], metadata)


def write_split(split: Split, path: Path) -> None:
    """Write a split as npz, whole or not at all; the same split gives the same bytes."""
    metadata = np.array(json.dumps(split.metadata, sort_keys=True))
    with replacing(Path(path)) as file:
        np.savez(file, **{key: getattr(split, key) for key in ARRAYS}, metadata=metadata)


def load_split(path: Path) -> Split:
    """Read a split. Raises DataError, naming the file and the cure, if it is missing or damaged."""
    cure = "make the split again"
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key].astype(dtype, casting="equiv") for key, dtype in ARRAYS.items()}
            return Split(**arrays, metadata=json.loads(str(file["metadata"])))
    except FileNotFoundError as error:
        raise DataError(f"{path}: missing; {cure}") from error
    except (OSError, EOFError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged ({error}); delete it and {cure}") from error


def _check_labels(labels: np.ndarray, classes: int) -> None:
    _check_integer("classes", classes, 2, None)
    if labels.ndim != 1 or len(labels) == 0 or not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"labels: {labels.dtype} {labels.shape} is not allowed; allowed: integers of shape (N,), N > 0")
    if labels.min() < 0 or labels.max() >= classes:
        raise DataError(f"labels: {labels.min()} to {labels.max()} is not allowed; allowed: 0 to {classes - 1}")


def _check_integer(key: str, value: Any, low: int, high: int | None, why: str = "") -> None:
    fits = type(value) is int and value >= low and (high is None or value <= high)
    if not fits:
        allowed = f"an integer from {low}" + ("" if high is None else f" to {high}{why}")
        raise DataError(f"{key}: {value!r} is not allowed; allowed: {allowed}")
