"""The published numbers: published.csv, one row per entry of Tables 1 to 6 and of the follow-up paper's results.

Beside them are the test accuracies that the text gives for Figures 13, 14 and 17.
"""

from functools import cache
from importlib.resources import files
from math import nan

import pandas as pd

_DATASETS = {"c10": "cifar10", "c100": "cifar100", "tiny": "tinyimagenet", "imagenet": "imagenet"}


@cache
def table() -> pd.DataFrame:
    """All entries: output, setting, label, method, value, spread (NaN where none is given), unit, source.

    Percentages are kept as printed; `unit` 1 means a pure number.
    """
    with (files("catfish.analysis") / "published.csv").open(encoding="utf-8") as file:
        return pd.read_csv(file, dtype={"unit": str})


@cache
def entries(output: str) -> pd.DataFrame:
    """The numbers of one table or figure, `value` and `spread` by (setting, method); empty if the paper has none."""
    rows = table()[table()["output"] == output]
    return rows.set_index(["setting", "method"])[["value", "spread"]]


def value(output: str, setting: str, method: str) -> float:
    """The number of a table or figure, NaN if the paper has none."""
    return entries(output)["value"].get((setting, method), nan)


def label(setting: str) -> str | None:
    """A setting's name in the paper, None if the paper does not have it."""
    labels = table().loc[table()["setting"] == setting, "label"]
    return None if labels.empty else labels.iloc[0]


def dataset(setting: str) -> str | None:
    """The data set that a setting's name stands for, None if the name says nothing."""
    return next((_DATASETS[part] for part in setting.split("_") if part in _DATASETS), None)
