"""What each table shows: its quantities, as numbers of one run, and its notes."""

import math
from collections.abc import Callable
from dataclasses import dataclass

from catfish.analysis import published
from catfish.analysis.collect import LoadedRun
from catfish.analysis.statistics import (
    curvature_seconds,
    max_fisher_trace,
    test_accuracy,
    train_accuracy,
    train_seconds,
)
from catfish.config import Setting

BASELINE = "baseline"  # the method that ratios are taken to

_MICRO_BATCHES = (
    "SB and LB: SGD with small and large batches, in equally many steps. The follow-up paper's public code chose"
    " CIFAR-10's checkpoint on the test images, so its numbers stand beside both choices."
)
# What a reader has to know beyond the numbers; edited here, shown below each table.
NOTES = {
    "table1": [],
    "table2": [],
    "table3": ["Test labels are clean; the noise is in the training labels only."],
    "table4": [
        "Maximum over training from the end of the first epoch on.",
        "The paper does not say whether it tabulates Tr(F) or its root; its number stands beside both. Our runs of"
        " SimpleCNN on CIFAR-10, and of VGG-11 and Wide ResNet on CIFAR-100, agree in size with the root"
        " (docs/paper.md).",
    ],
    "table5": [
        "Training only, without measurements: the median epoch of each run; below it what measuring Tr(F), Tr(F^B) and"
        " the gradient norms takes, the median of the epochs that measure these and not Tr(H).",
        "Seconds depend on the hardware, so only the ratios to the baseline's mean compare with the paper.",
    ],
    "table6": [],
    "mech_table3": [_MICRO_BATCHES],
    "mech_table4": [
        _MICRO_BATCHES,
        "Grafting: the large batch's direction with the gradient norm of a micro-batch (iterative) or of small-batch"
        " SGD at the same step (external); normalised GD: with the mean norm of small-batch SGD.",
    ],
}


@dataclass(frozen=True)
class Quantity:
    """A number of a run, and how it is shown. `ours` and `paper` take a value and the baseline's value beside it."""

    name: str  # in the CSV
    title: str
    unit: str
    best: str  # "max" or "min": which method is set in bold
    of_run: Callable[[LoadedRun, Setting], float]
    ours: Callable[[float, float], float] = lambda value, baseline: value
    paper: Callable[[float, float], float] = lambda value, baseline: value
    differs: bool = True  # whether ours minus paper means anything
    data: str | None = None  # the data set of the paper's that alone shows it

    def shown(self, setting: str) -> bool:
        return self.data in (None, published.dataset(setting))

    def published(self, output: str, setting: str, method: str) -> float:
        """The paper's number in the table `output`, NaN where it has none."""
        return self.paper(*(published.value(output, setting, key) for key in (method, BASELINE)))


@dataclass(frozen=True)
class Table:
    """A title and the quantities that each setting shows, one block of rows each."""

    title: str
    quantities: tuple[Quantity, ...]


def _percent_test(run: LoadedRun, setting: Setting) -> float:
    return 100 * test_accuracy(run, setting.report)


def _best_test(run: LoadedRun, setting: Setting) -> float:
    return 100 * float(run.history["test_accuracy"].max())


def _percent_train(run: LoadedRun, setting: Setting) -> float:
    return 100 * train_accuracy(run)


def _fisher(run: LoadedRun, setting: Setting) -> float:
    return max_fisher_trace(run)


def _seconds(run: LoadedRun, setting: Setting) -> float:
    return train_seconds(run)


def _curvature(run: LoadedRun, setting: Setting) -> float:
    return curvature_seconds(run)


def _not_published(value: float, baseline: float) -> float:
    return math.nan


def _ratio(value: float, baseline: float) -> float:
    return value / baseline


_TEST = Quantity("test_accuracy", "test accuracy", "%", "max", _percent_test)
_CHOSEN_ON_TEST = Quantity(
    "best_test_accuracy", "test accuracy, epoch chosen on the test images", "%", "max", _best_test, data="cifar10"
)
TABLES = {
    "table1": Table("Test accuracy (%)", (_TEST,)),
    "table2": Table("Test accuracy (%) with augmentation, at the tuned learning rate", (_TEST,)),
    "table3": Table("Test accuracy (%) after training with noisy labels", (_TEST,)),
    "table4": Table("Maximum of Tr(F)", (
        Quantity("max_fisher_trace", "Tr(F)", "1", "min", _fisher),
        Quantity("root_max_fisher_trace", "root of Tr(F)", "1", "min", _fisher, ours=lambda value, _: math.sqrt(value)),
    )),
    "table5": Table("Time per epoch (s)", (
        Quantity("seconds_per_epoch", "seconds", "s", "min", _seconds, differs=False),
        Quantity("ratio_to_baseline", "ratio to baseline", "1", "min", _seconds, ours=_ratio, paper=_ratio),
        Quantity("curvature_seconds", "measurements", "s", "min", _curvature, paper=_not_published, differs=False),
    )),
    "table6": Table("Training accuracy (%) at the last epoch", (
        Quantity("train_accuracy", "training accuracy", "%", "max", _percent_train),
    )),
    "mech_table3": Table("Test accuracy (%) with penalties of micro-batches", (_TEST, _CHOSEN_ON_TEST)),
    "mech_table4": Table("Test accuracy (%) with the gradient norms of small batches", (_TEST, _CHOSEN_ON_TEST)),
}  # fmt: skip
