"""What makes a claim reproduced, contradicted or inconclusive: all the rules, in one place.

A claim is one or more statements. A statement is a statistic, the region in which the paper puts it, and one part for
each setting it is tested in.

- A part is reproduced if the 95 % interval lies within the region, and contradicted if it lies wholly outside.
  Otherwise it is inconclusive, as it is with too few runs, with a run that diverged, or with a missing quantity: the
  runs that happened to survive are no fair sample. So it is where the setting did not meet the claim's condition.
- A statement takes the verdict of more than half of its parts, else it is inconclusive: the paper, too, says
  "in most settings". Without any part it was not run.
- A claim is reproduced if all its statements are, contradicted if one of them is, and inconclusive otherwise. It was
  not run if none of its statements was.
"""

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from math import inf, isnan, nan

import numpy as np

from catfish.analysis.claims.intervals import Estimate, Statistic


class Verdict(StrEnum):
    REPRODUCED = "reproduced"
    CONTRADICTED = "contradicted"
    INCONCLUSIVE = "inconclusive"
    NOT_RUN = "not run"


@dataclass(frozen=True)
class Region:
    """Where a statement puts its statistic: between two values, of which one may be infinite."""

    low: float = -inf
    high: float = inf

    @property
    def text(self) -> str:
        if self.high == inf:
            return f"> {self.low:g}"
        return f"< {self.high:g}" if self.low == -inf else f"from {self.low:g} to {self.high:g}"

    def verdict(self, estimate: Estimate) -> Verdict:
        if self.low < estimate.low and estimate.high < self.high:
            return Verdict.REPRODUCED
        outside = estimate.high < self.low or estimate.low > self.high
        return Verdict.CONTRADICTED if outside else Verdict.INCONCLUSIVE


@dataclass(frozen=True, eq=False)
class Sample:
    """One number, or one row of numbers, for each run of a group; NaN where a run does not have it.

    what: the number's name, for what is said about missing ones. diverged: how many of the runs ended early.
    """

    name: str
    what: str
    values: np.ndarray
    diverged: int = 0

    def complaints(self, least: int) -> list[str]:
        """What keeps the group from being compared."""
        found, runs = [], f"of {len(self.values)} runs"
        lacking = np.isnan(self.values if self.values.ndim == 1 else self.values.sum(-1))
        missing = int(lacking.sum()) - self.diverged
        if self.diverged:
            found.append(f"{self.name}: {self.diverged} {runs} diverged")
        if missing > 0:
            found.append(f"{self.name}: {missing} {runs} without {self.what}")
        if len(self.values) < least:
            found.append(f"{self.name}: {_runs(len(self.values))}, {least} needed")
        return found


@dataclass(frozen=True)
class Part:
    """A statement in one setting. `paper`: the same statistic from the paper's numbers, NaN where it prints none."""

    label: str
    estimate: Estimate
    verdict: Verdict
    reason: str = ""
    paper: float = nan
    note: str = ""


@dataclass(frozen=True)
class Statement:
    """What the paper states, as a region for a statistic; `unit` is "1" for a pure number."""

    text: str
    statistic: str
    unit: str
    region: Region
    parts: tuple[Part, ...]

    @property
    def verdict(self) -> Verdict:
        if not self.parts:
            return Verdict.NOT_RUN
        (verdict, count), *_ = Counter(part.verdict for part in self.parts).most_common()
        return verdict if 2 * count > len(self.parts) else Verdict.INCONCLUSIVE


@dataclass(frozen=True)
class Claim:
    """A claim in our words, and what the paper reports for it, or another `source` if the claim is not the paper's."""

    number: int | str
    name: str
    text: str
    paper: str
    statements: tuple[Statement, ...]
    source: str = "The paper"

    @property
    def verdict(self) -> Verdict:
        found = {statement.verdict for statement in self.statements}
        if len(found) == 1:
            return found.pop()
        return Verdict.CONTRADICTED if Verdict.CONTRADICTED in found else Verdict.INCONCLUSIVE


def judge(
    label: str,
    statistic: Statistic,
    samples: list[Sample],
    region: Region,
    paper: float = nan,
    note: str = "",
    doubt: str = "",
    unmet: str = "",
) -> Part:
    """The verdict on one part; see the rules above. A value without an interval is given where one exists.

    doubt: why even an interval within the region does not reproduce the statement, if there is such a reason.
    unmet: why no interval says anything about the statement, if there is such a reason.
    """
    n = sum(len(sample.values) for sample in samples)
    complaints = [text for sample in samples for text in sample.complaints(statistic.least)]
    groups = [sample.values for sample in samples]
    if complaints:
        complete = n > 0 and all(len(group) and not np.isnan(group).any() for group in groups)
        value = statistic.value(*groups) if complete else nan
        return Part(label, Estimate(value, nan, nan, n), Verdict.INCONCLUSIVE, "; ".join(complaints), paper, note)
    estimate = statistic.estimate(*groups)
    verdict = region.verdict(estimate)
    reason = ""
    if verdict == Verdict.REPRODUCED and doubt:
        verdict, reason = Verdict.INCONCLUSIVE, doubt
    elif verdict != Verdict.INCONCLUSIVE and unmet:
        verdict, reason = Verdict.INCONCLUSIVE, unmet
    elif isnan(estimate.low):
        reason = "the statistic does not exist for these values"
    elif verdict == Verdict.INCONCLUSIVE:
        reason = "the interval reaches to both sides"
    return Part(label, estimate, verdict, reason, paper, note)


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"
