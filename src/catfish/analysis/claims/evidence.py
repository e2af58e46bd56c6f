"""What claims are judged by: the runs of the outputs, numbers of single runs, and comparisons of methods."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from catfish.analysis import labels, published, statistics
from catfish.analysis.claims.intervals import Statistic
from catfish.analysis.claims.verdicts import Part, Region, Sample, judge
from catfish.analysis.collect import Case, LoadedRun, load
from catfish.config import Setting
from catfish.plan import Configuration, Plan


@dataclass(frozen=True)
class Quantity:
    """A number of one run, NaN where it was not measured; `what` names it where it is missing."""

    what: str
    of: Callable[[LoadedRun, Setting], float]


TEST_ACCURACY = Quantity("a test accuracy", lambda run, setting: 100 * statistics.test_accuracy(run, setting.report))


class Evidence:
    """The runs of a plan's outputs, each read once. Raises RecordError where they cannot be read."""

    def __init__(self, plan: Plan):
        self.plan, self.params = plan, plan.params
        self._cases: dict[Configuration, Case] = {}

    def case(self, configuration: Configuration) -> Case:
        if configuration not in self._cases:
            (self._cases[configuration],) = load(self.plan, [configuration])
        return self._cases[configuration]

    def settings(self, output: str) -> tuple[str, ...]:
        """The settings of an output; none if the params file does not have the output."""
        return self.params.outputs[output].settings if output in self.params.outputs else ()

    def chosen(self, output: str, setting: str, method: str) -> list[Case]:
        """A method's runs at its best values; an empty list if the output does not show it."""
        return [case for case in self._shown(output, setting, method) if not _of_grid(case.configuration)]

    def swept(self, output: str, setting: str, method: str) -> list[Case]:
        """A method's runs at every value of its grid, by learning rate and coefficient."""
        found = [case for case in self._shown(output, setting, method) if _of_grid(case.configuration)]
        return sorted(found, key=lambda case: (case.learning_rate, case.coefficient or 0))

    def _shown(self, output: str, setting: str, method: str) -> list[Case]:
        if output not in self.params.outputs or (setting, method) not in self.params.outputs[output].cells:
            return []
        place = self.plan.configuration(setting, method)  # its runs may be another setting's
        shown = self.plan.shown(output)
        return [self.case(c) for c in shown if (c.setting, c.method) == (place.setting, place.method)]

    def sample(self, name: str, cases: Iterable[Case], *quantities: Quantity) -> Sample:
        """One number, or one row of numbers, for each run of the cases; of a diverged run none."""
        runs = [(run, self.params.settings[case.configuration.setting]) for case in cases for run in case.runs]
        rows = [[q.of(run, setting) if run.completed else math.nan for q in quantities] for run, setting in runs]
        values = np.array(rows, dtype=float).reshape(len(runs), len(quantities))
        diverged = sum(not run.completed for run, _ in runs)
        what = " and ".join(quantity.what for quantity in quantities)
        return Sample(name, what, values[:, 0] if len(quantities) == 1 else values, diverged)

    def edges(self, cases: Iterable[Case]) -> str:
        """Which of the values that cases were tuned to are ends of their grids, beyond which better ones may lie."""
        selections = {s.id: s for case in cases for s in self.plan.needs(case.configuration)}
        found = [text for selection in selections.values() if (text := labels.edge(self.plan, selection))]
        return f"at the edge of a grid: {'; '.join(found)}" if found else ""

    def note(self, *settings: str) -> str:
        """What keeps settings from being compared with the paper."""
        others = [setting for setting in settings if not labels.comparable(self.params, setting)]
        texts = {f"{self.params.settings[s].dataset} in place of {published.dataset(s)}": None for s in others}
        return "; ".join(texts)


def compare(
    evidence: Evidence,
    groups: list[tuple[str, str]],
    quantity: Quantity,
    statistic: Statistic,
    region: Region,
    doubt: Callable[[str], str] = lambda setting: "",
    unmet: Callable[[str], str] = lambda setting: "",
) -> tuple[Part, ...]:
    """One part for each setting of the first group's output in which every group was run.

    groups: (output, method) pairs, whose chosen runs are the statistic's groups. doubt, unmet: see `judge`, for
    a setting.
    """
    parts = []
    for setting in evidence.settings(groups[0][0]):
        cases = [evidence.chosen(output, setting, method) for output, method in groups]
        if all(cases):
            names = [labels.method(method) for _, method in groups]
            samples = [evidence.sample(name, own, quantity) for name, own in zip(names, cases)]
            numbers = [published.value(output, setting, method) for output, method in groups]
            paper = statistic.value(*(np.array([number]) for number in numbers))
            label = labels.setting(evidence.params, setting)
            edges = evidence.edges(case for own in cases for case in own)
            note = "; ".join(filter(None, [evidence.note(setting), edges]))
            texts = (note, doubt(setting), unmet(setting))
            parts.append(judge(label, statistic, samples, region, paper, *texts))
    return tuple(parts)


def _of_grid(configuration: Configuration) -> bool:
    return isinstance(configuration.learning_rate, float) or isinstance(configuration.coefficient, float)
