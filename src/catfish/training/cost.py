"""What a scale costs before it is spent: runs, floating-point operations and hours, and which of it is finished.

Hours come from a calibration of this scale (`calibration.py`) where it has the kind of work, else from finished runs
of the same setting and method. Else they are in proportion to the operations: at the rate of finished runs of the same
setting, else of the same network; where there are none, they are not known (NaN).
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from statistics import mean

from catfish import budgets, models
from catfish.datasets.sizes import SIZES
from catfish.errors import RecordError
from catfish.plan import Configuration, Plan
from catfish.records import NUMBER, RECORD, read_checked, read_json, write_json
from catfish.training.calibration import NAME, OF_STEPS, work
from catfish.training.describe import (
    Cost,
    copied,
    count,
    epoch_operations,
    evaluated_images,
    training_images,
)
from catfish.training.step_measurements import rows

COUNTS = "operations.json"  # beside the calibration: counting takes seconds for each network


@dataclass(frozen=True)
class Price:
    """Runs that have to be trained (copies of a grid's best run are not), their operations and their seconds.

    Seconds are those of the runs whose time is known or in proportion to other runs'; `proportional` is the number of
    the latter, `unknown` that of the rest.
    """

    runs: int = 0
    finished: int = 0
    operations: float = 0.0
    seconds: float = 0.0
    seconds_left: float = 0.0  # of the runs that are not finished
    proportional: int = 0
    unknown: int = 0

    def __add__(self, other: "Price") -> "Price":
        return Price(*(a + b for a, b in zip(asdict(self).values(), asdict(other).values())))


class Estimate:
    """The price of any configuration of a plan."""

    def __init__(self, plan: Plan):
        self.plan = plan
        self.counts = _counts(plan)
        self.calibration = _calibration(plan.results / NAME)
        self.timings = self.calibration.get("seconds", {})
        self.records = _records(plan)
        self.setting_rates = self._rates(lambda setting: setting)
        self.network_rates = self._rates(self._model)

    def price(self, configuration: Configuration, seeds: int) -> Price:
        """Of a configuration with that many seeds."""
        trained = range(copied(self.plan, configuration), seeds)
        finished = sum((configuration, seed) in self.records for seed in trained)
        seconds, runs = self.seconds(configuration), len(trained)
        measured = not math.isnan(seconds)
        if not measured:
            seconds = self.proportional_seconds(configuration)
        known = not math.isnan(seconds)
        return Price(
            runs,
            finished,
            runs * self.operations(configuration),
            runs * seconds if known else 0.0,
            (runs - finished) * seconds if known else 0.0,
            runs if known and not measured else 0,
            0 if known else runs,
        )

    def operations(self, configuration: Configuration) -> float:
        """Of one run: training and evaluation; the curvature is not counted."""
        setting = self.plan.params.settings[configuration.setting]
        cost, size = self.counts[_network(setting)], SIZES[setting.dataset]
        return setting.epochs * epoch_operations(self.plan, configuration.setting, configuration.method, size, cost)

    def seconds(self, configuration: Configuration) -> float:
        """Of one run as calibrated or as finished runs took, everything measured included; NaN if there is neither."""
        setting = self.plan.params.settings[configuration.setting]
        method = self.plan.params.methods[configuration.method]
        if work(setting) in self.timings and work(setting, method) in self.timings:
            return run_seconds(self.plan, configuration, self.timings)
        kind = (configuration.setting, configuration.method)
        known = [seconds for other, seconds in self._timed() if (other.setting, other.method) == kind]
        return mean(known) if known else math.nan

    def proportional_seconds(self, configuration: Configuration) -> float:
        """Of one run by its operations, at the rate of its setting's finished runs, else its network's; NaN without."""
        of_network = self.network_rates.get(self._model(configuration.setting), math.nan)
        return self.operations(configuration) * self.setting_rates.get(configuration.setting, of_network)

    def _model(self, setting: str) -> str:
        return self.plan.params.settings[setting].model

    def _timed(self) -> Iterator[tuple[Configuration, float]]:
        """Runs that were trained to their end, and their seconds."""
        for (configuration, _), record in self.records.items():
            if record["outcome"]["status"] == "completed" and "copied_from" not in record:
                yield configuration, record["wall_seconds"]

    def _rates(self, group: Callable[[str], str]) -> dict[str, float]:
        """Seconds an operation of the finished runs, by what `group` makes of their setting's name."""
        seconds, operations = Counter(), Counter()
        for configuration, wall_seconds in self._timed():
            name = group(configuration.setting)
            seconds[name] += wall_seconds
            operations[name] += self.operations(configuration)
        return {name: seconds[name] / operations[name] for name in seconds}


def write_budgets(plan: Plan) -> None:
    """From a calibration, what each job may ask a cluster for (`catfish.budgets`)."""
    estimate = Estimate(plan)
    jobs = {job.id: seeds * estimate.seconds(job) for job, seeds in plan.jobs.items()}
    write_json(plan.results / budgets.NAME, {"megabytes": estimate.calibration["megabytes"], "seconds": jobs})


def run_seconds(plan: Plan, configuration: Configuration, timings: dict[str, dict[str, float]]) -> float:
    """One run's seconds from the timings of its parts: every step, and every measurement that is due."""
    setting = plan.params.settings[configuration.setting]
    method, measure = plan.params.methods[configuration.method], setting.measure
    parts, size = timings[work(setting)], SIZES[setting.dataset]
    steps = training_images(setting, size) // setting.batch_size
    recomputing = timings[work(setting, method)]["step"] - parts["step"]
    every = method.every if method.penalty else 1
    seconds = steps * (setting.epochs * parts["step"] + max(0, setting.epochs - method.onset) * recomputing / every)
    measured = rows(measure, steps * setting.epochs)
    for part, name in OF_STEPS.items():
        seconds += measured[name] * parts.get(part, 0.0)
    seconds += _due(setting.epochs, measure.evaluate_every) * evaluated_images(setting, size) * parts["image"]
    seconds += _due(setting.epochs, measure.curvature_every) * parts.get("gradients", 0.0)
    seconds += _due(setting.epochs, measure.hessian_every) * parts.get("hessian", 0.0)
    seconds += _due(setting.epochs, measure.spectra_every) * parts.get("spectra", 0.0)
    intervals = (measure.evaluate_every, measure.curvature_every, measure.hessian_every, measure.spectra_every)
    often = min(every for every in intervals if every)
    return seconds + _due(setting.epochs, often) * parts.get("statistics", 0.0)


def _due(epochs: int, every: int | None) -> int:
    """How often something is measured: before training, at multiples of `every` and after the last epoch."""
    return 1 + math.ceil(epochs / every) if every else 0


def outputs(plan: Plan) -> dict[str, Plan]:
    """A plan for every table and figure: all that it needs, with the grids behind it."""
    return {name: Plan(replace(plan.params, outputs={name: spec})) for name, spec in plan.params.outputs.items()}


def longest_chain(plan: Plan, weights: dict[Configuration, float]) -> tuple[float, list[Configuration]]:
    """The largest sum of weights over jobs each of which needs the one before, and the jobs that have a weight."""

    @cache
    def chain(configuration: Configuration) -> tuple[float, tuple[Configuration, ...]]:
        before = max(map(chain, needed(plan, configuration)), key=lambda found: found[0], default=(0.0, ()))
        own = (configuration,) if weights[configuration] else ()
        return before[0] + weights[configuration], (*before[1], *own)

    total, jobs = max(map(chain, plan.jobs), key=lambda found: found[0])
    return total, list(jobs)


def waves(plan: Plan) -> list[int]:
    """How many jobs need none, one, two ... finished ones before them: those of a wave can run at once."""

    @cache
    def wave(configuration: Configuration) -> int:
        return 1 + max(map(wave, needed(plan, configuration)), default=-1)

    numbers = [wave(configuration) for configuration in plan.jobs]
    return [numbers.count(number) for number in range(max(numbers) + 1)]


def needed(plan: Plan, configuration: Configuration) -> Iterable[Configuration]:
    """The configurations that have to be finished before this one can begin."""
    grids = [candidate for selection in plan.needs(configuration) for candidate in selection.candidates]
    return [*grids, *plan.other_runs(configuration)]


def _records(plan: Plan) -> dict[tuple[Configuration, int], dict]:
    """run.json of every finished run that was made with the plan's settings; what selections chose is not compared."""
    found = {}
    for configuration in plan.jobs:
        for seed in plan.seeds(configuration):
            path = plan.run_folder(configuration, seed) / "run.json"
            if path.is_file() and (record := _matching(path, plan, configuration, seed)):
                found[configuration, seed] = record
    return found


def _matching(path: Path, plan: Plan, configuration: Configuration, seed: int) -> dict | None:
    try:
        record = read_checked(path, RECORD | {"wall_seconds": NUMBER}, "train again")
    except RecordError:
        return None
    same = (record["configuration"], record["seed"]) == (configuration.id, seed)
    return record if same and not plan.differences(configuration, seed, record["run"]) else None


def _calibration(path: Path) -> dict:
    if not path.is_file():
        return {}
    return read_checked(path, {"seconds": dict, "hardware": str}, "run `catfish plan --calibrate` again")


def _network(setting) -> str:
    return f"{setting.model} {setting.width:g} {setting.depth:g} {setting.dataset}"


def _counted(path: Path) -> dict[str, Cost]:
    """What was counted before; nothing if the file is not there or not whole, since counting again costs seconds."""
    try:
        return {name: Cost(**value) for name, value in read_json(path).items()}
    except (RecordError, TypeError):
        return {}


def _counts(plan: Plan) -> dict[str, Cost]:
    """The operations of every network, counted or read from where they were written when they were counted."""
    path = plan.results / COUNTS
    known = _counted(path)
    counts = dict(known)
    for name in dict.fromkeys(configuration.setting for configuration in plan.jobs):
        setting = plan.params.settings[name]
        if _network(setting) not in counts:
            size = SIZES[setting.dataset]
            network = models.build(setting.model, size.classes, setting.width, setting.depth)
            counts[_network(setting)] = count(network, size.side, size.classes)
    if len(counts) > len(known):
        write_json(path, {name: asdict(cost) for name, cost in counts.items()})
    return counts
