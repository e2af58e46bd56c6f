"""From params to runs: every configuration, selection and split that the outputs need, and every path.

Nothing here is trained or read: a learning rate or coefficient may still be a symbol (`eta_star`, `small`, `best`)
that a selection resolves later, so the whole campaign is one static graph.
"""

import hashlib
import json
import re
from dataclasses import MISSING, asdict, dataclass, fields, is_dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from catfish.config import Measure, Params, Setting
from catfish.errors import ConfigError

ETA_STAR = "eta_star"
BEST = "best"
RUN_FILES = ("run.json", "history.csv", "timing.csv")
STEPS_FILE = "steps.csv"  # of runs that measure at single steps
TRAJECTORY_FILE = "trajectory.csv"  # of runs that record where the first steps lead
ALLOCATION_FILE = "allocation.csv"  # of runs that allocate the first steps' loss changes to layers
STEP_FILES = {STEPS_FILE: "fisher_steps", TRAJECTORY_FILE: "trajectory_steps", ALLOCATION_FILE: "allocation_steps"}
WEIGHTS_FILE = "weights.pt"  # of runs that others start from
CHECKPOINTS = ("checkpoint.pt", "checkpoint.older.pt")  # while a run goes on; the second in case the first is damaged
NORMS_FILE = "norms.pt"  # of runs whose gradient norms others take


def is_figure(output: str) -> bool:
    """Whether an output is a figure; else it is a table. `figure` or `table` may have a prefix, as in `mech_table3`."""
    return re.match(r"(\w+_)?figure", output) is not None


@dataclass(frozen=True)
class Configuration:
    """Runs that differ in their seed alone. Learning rate and coefficient are numbers or symbols."""

    setting: str
    method: str
    learning_rate: float | str
    coefficient: float | str | None

    @property
    def id(self) -> str:
        """The configuration's name, and its folder below the runs' folder."""
        coefficient = "" if self.coefficient is None else f"_coefficient-{_text(self.coefficient)}"
        return f"{self.setting}/{self.method}/lr-{_text(self.learning_rate)}{coefficient}"


@dataclass(frozen=True)
class Selection:
    """The choice of the best value of a grid: of eta* (`quantity` "eta_star") or of a method's coefficient."""

    setting: str
    quantity: str
    values: tuple[float, ...]
    candidates: tuple[Configuration, ...]

    @property
    def id(self) -> str:
        return f"{self.setting}/{self.quantity}"

    def compared(self, made: dict[str, Any]) -> bool:
        """Whether a choice that was `made`, as its file says, was one among these values."""
        return [row.get("value") if isinstance(row, dict) else None for row in made["grid"]] == [*self.values]


@dataclass(frozen=True)
class Split:
    """Which images of a data set train, which validate, and with which labels."""

    dataset: str
    examples: int | None
    validation: int
    noise: float
    seed: int

    @property
    def id(self) -> str:
        examples = "all" if self.examples is None else self.examples
        return f"{self.dataset}/split_n{examples}_v{self.validation}_noise{_text(self.noise)}_seed{self.seed}"


@dataclass(frozen=True)
class Run:
    """Everything that decides a run's numbers, resolved; two runs with equal fields are one run.

    A field that comes later has a default, here or in `Measure`, which means "as before": runs that were made without
    it stay valid.
    """

    model: str
    width: float
    depth: float
    split: Split
    inputs: str
    augment: str
    batch_size: int
    momentum: float
    weight_decay: float
    epochs: int
    milestones: tuple[int, ...]
    decay: float
    precision: str
    batch_norm_batches: int
    learning_rate: float | str
    penalty: str | None
    every: int
    onset: int
    first_examples: int | None
    micro_batch: int | None
    derivative: str
    mixup: bool
    coefficient: float | str | None
    start: "Run | None"
    measure: Measure
    seed: int
    code_version: int
    loss: str = "cross_entropy"
    forward_batch: int | None = None
    sam: bool = False
    step_norm: str | None = None
    norms: "Run | None" = None

    def fingerprint(self, data: str) -> str:
        """A hash of the run and of `data`, the checksum of the arrays and split it trains on."""
        return hashlib.sha256(canonical([decisive(self), data]).encode()).hexdigest()


def decisive(spec: Any) -> dict[str, Any]:
    """The fields of a run, or of a part of it, without those that have a default and are at it."""
    found = {item.name: getattr(spec, item.name) for item in fields(spec) if getattr(spec, item.name) != item.default}
    return {key: decisive(value) if is_dataclass(value) else value for key, value in found.items()}


def _filled(found: dict[str, Any]) -> dict[str, Any]:
    """A recorded run with the defaults of those fields that are newer than it."""
    filled = _defaults(Run) | found
    if isinstance(found.get("measure"), dict):
        filled["measure"] = _defaults(Measure) | found["measure"]
    for key in ("start", "norms"):
        if isinstance(found.get(key), dict):
            filled[key] = _filled(found[key])
    return filled


def _defaults(spec: type) -> dict[str, Any]:
    return {item.name: item.default for item in fields(spec) if item.default is not MISSING}


def step_files(measure: dict[str, Any]) -> tuple[str, ...]:
    """The tables with rows of single steps that a run has, by its `measure` as in run.json, also of older versions."""
    return tuple(name for name, key in STEP_FILES.items() if measure.get(key))


def canonical(value: Any) -> str:
    """One text for one value, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


class Plan:
    """What the params ask for at their scale.

    `folder` is the project's folder; all paths are relative to it, as Snakemake and DVC want them.
    """

    def __init__(self, params: Params):
        self.params = params
        self.results = Path("results") / params.scale
        self.figures = Path("figures") / params.scale
        self.prepared = Path("data") / "prepared"
        self.archive = Path("archive") / params.scale

    # Configurations

    def configuration(self, setting: str, method: str, coefficient: float | str | None = BEST) -> Configuration:
        """A method in a setting as tables show it: at its symbolic learning rate and, by default, best coefficient."""
        spec = self.params.methods[method]
        if spec.small_batch:
            return self.configuration(self.params.settings[setting].small_batch, ETA_STAR)
        return Configuration(setting, method, spec.learning_rate, coefficient if spec.regularised else None)

    def shown(self, output: str) -> list[Configuration]:
        """The configurations that a table or figure shows, in the order of the params file.

        With a sweep, the best coefficient comes after all those of the grid.
        """
        spec = self._output(output)
        shown = []
        for setting, method in spec.cells:
            if spec.sweep == "learning_rates" or (spec.sweep and self.params.methods[method].regularised):
                shown += self.selection(setting, method).candidates
            if spec.sweep != "learning_rates":
                shown.append(self.configuration(setting, method))
        return shown

    def seeds(self, configuration: Configuration) -> tuple[int, ...]:
        """The seeds with which a configuration is run."""
        return tuple(range(self.jobs[configuration]))

    def run_folders(self, configuration: Configuration) -> list[Path]:
        """The folders of a configuration's runs, one a seed."""
        return [self.run_folder(configuration, seed) for seed in self.seeds(configuration)]

    def run_folder(self, configuration: Configuration, seed: int | str) -> Path:
        return self.results / "runs" / configuration.id / f"seed{seed}"

    def run_files(self, configuration: Configuration) -> tuple[str, ...]:
        """The names of the files in each of a configuration's run folders."""
        weights = (WEIGHTS_FILE,) if configuration.setting in self._started_from else ()
        norms = (NORMS_FILE,) if configuration in self._recorded else ()
        return (*self.tables(configuration), *weights, *norms)

    def tables(self, configuration: Configuration) -> tuple[str, ...]:
        """Those of the files that tables and figures are made from; the others serve runs that follow."""
        return (*RUN_FILES, *step_files(asdict(self.params.settings[configuration.setting].measure)))

    def promised(self, configuration: Configuration, record: dict[str, Any]) -> tuple[str, ...]:
        """Those of its files that a finished run must have: one from an archive came without weights and norms."""
        tables, listed = self.tables(configuration), record.get("files", {})
        return tuple(name for name in self.run_files(configuration) if name in tables or name in listed)

    @cached_property
    def _started_from(self) -> set[str]:
        """The settings whose weights some configuration starts from."""
        return {self.params.settings[configuration.setting].starts_from for configuration in self.jobs} - {None}

    def start(self, configuration: Configuration) -> Configuration | None:
        """The configuration from whose final weights, of seed 0, a configuration starts; None: its initialisation."""
        setting = self.params.settings[configuration.setting].starts_from
        return None if setting is None else self.selection(setting, ETA_STAR).candidates[0]

    def start_path(self, configuration: Configuration) -> Path | None:
        """Where those weights are."""
        start = self.start(configuration)
        return None if start is None else self.run_folder(start, 0) / WEIGHTS_FILE

    def norms(self, configuration: Configuration) -> Configuration | None:
        """The configuration whose mini-batch gradient norms, of seed 0, a configuration's steps take, if they do."""
        if self.params.methods[configuration.method].step_norm not in ("recorded", "constant"):
            return None
        return self.selection(self.params.settings[configuration.setting].small_batch, ETA_STAR).candidates[0]

    def norms_path(self, configuration: Configuration) -> Path | None:
        """Where those norms are."""
        norms = self.norms(configuration)
        return None if norms is None else self.run_folder(norms, 0) / NORMS_FILE

    @cached_property
    def _recorded(self) -> set[Configuration]:
        """The configurations whose norms some other takes."""
        return {norms for configuration in self.jobs if (norms := self.norms(configuration)) is not None}

    def other_runs(self, configuration: Configuration) -> list[Configuration]:
        """The configurations of which a job needs seed 0 before it begins."""
        return [other for other in (self.start(configuration), self.norms(configuration)) if other is not None]

    @cached_property
    def jobs(self) -> dict[Configuration, int]:
        """Every configuration that has to be trained, with its number of seeds; one job each."""
        jobs: dict[Configuration, int] = {}

        def need(configuration: Configuration, seeds: int) -> None:
            jobs[configuration] = max(jobs.get(configuration, 0), seeds)
            for other in self.other_runs(configuration):
                need(other, 1)
            for selection in self.needs(configuration):
                for candidate in selection.candidates:
                    tuning_seeds = self.params.settings[candidate.setting].tuning_seeds
                    if jobs.get(candidate, 0) < tuning_seeds:
                        need(candidate, tuning_seeds)

        for name in self.params.outputs:
            for configuration in self.shown(name):
                setting = self.params.settings[configuration.setting]
                of_grid = {type(configuration.learning_rate), type(configuration.coefficient)} & {float}
                need(configuration, setting.tuning_seeds if of_grid else setting.seeds)
        return jobs

    @cached_property
    def configurations(self) -> dict[str, Configuration]:
        """Every configuration that has to be trained, by id."""
        return {configuration.id: configuration for configuration in self.jobs}

    # Selections

    def selection(self, setting: str, quantity: str) -> Selection:
        """The search for eta* in a setting, or for a method's coefficient there."""
        if quantity == ETA_STAR:
            values = self.params.settings[setting].learning_rates
            candidates = tuple(Configuration(setting, ETA_STAR, value, None) for value in values)
        else:
            values = self.params.grid(setting, quantity)
            candidates = tuple(self.configuration(setting, quantity, value) for value in values)
        return Selection(setting, quantity, values, candidates)

    def needs(self, configuration: Configuration) -> list[Selection]:
        """The selections that resolve a configuration's symbols."""
        needed = []
        if isinstance(configuration.learning_rate, str):
            tuned_on = self.params.settings[configuration.setting].tuned_on
            needed.append(self.selection(tuned_on or configuration.setting, ETA_STAR))
        if configuration.coefficient == BEST:
            tuned = self.params.methods[configuration.method].coefficient_of or configuration.method
            needed.append(self.selection(configuration.setting, tuned))
        return needed

    @cached_property
    def selections(self) -> dict[str, Selection]:
        """Every selection that some configuration needs, by id."""
        return {selection.id: selection for configuration in self.jobs for selection in self.needs(configuration)}

    def selection_path(self, selection: Selection) -> Path:
        return self.results / "select" / f"{selection.id}.json"

    def candidate_files(self, selection: Selection) -> list[Path]:
        """The files of the runs that a selection compares."""
        seeds = range(self.params.settings[selection.setting].tuning_seeds)
        return [
            self.run_folder(candidate, seed) / name
            for candidate in selection.candidates
            for seed in seeds
            for name in self.tables(candidate)
        ]

    def selection_text(self, selection: Selection) -> str:
        """What a selection chooses from and by what, as text: when it changes, it has to be made again."""
        return canonical([selection.values, self.params.settings[selection.setting].report])

    # Runs

    def run(self, configuration: Configuration, seed: int, chosen: dict[str, dict] | None = None) -> Run:
        """One run, with symbols resolved by `chosen` (selection id -> the selection's JSON) where it is given."""
        setting, method = self.params.settings[configuration.setting], self.params.methods[configuration.method]
        learning_rate, coefficient = configuration.learning_rate, configuration.coefficient
        if chosen is not None:
            for selection in self.needs(configuration):
                best = chosen[selection.id]["best"]
                if selection.quantity == ETA_STAR:
                    learning_rate = best / (setting.small_factor if learning_rate == "small" else 1)
                else:
                    coefficient = best
        own = {item.name for item in fields(Run)}
        return Run(
            **{key: value for key, value in _values(setting).items() if key in own},
            split=self.split(configuration.setting),
            learning_rate=learning_rate,
            penalty=method.penalty,
            every=method.every if method.penalty else 1,
            **{key: getattr(method, key) for key in ("onset", "first_examples", "micro_batch", "derivative")},
            mixup=method.mixup,
            sam=method.sam,
            step_norm=method.step_norm,
            coefficient=coefficient,
            start=None if (start := self.start(configuration)) is None else self.run(start, 0),
            norms=None if (norms := self.norms(configuration)) is None else self.run(norms, 0),
            seed=seed,
            code_version=self.params.code_version,
        )

    def differences(
        self, configuration: Configuration, seed: int, found: dict[str, Any], chosen: dict[str, dict] | None = None
    ) -> list[str]:
        """The fields in which a recorded run is not the planned one; without `chosen`, symbols are not compared."""
        planned, found = json.loads(canonical(asdict(self.run(configuration, seed, chosen)))), _filled(found)
        symbols = [key for key in ("learning_rate", "coefficient") if isinstance(planned[key], str)]
        return [key for key, value in planned.items() if key not in symbols and found.get(key) != value]

    def job_files(self, configuration: Configuration) -> list[Path]:
        """All files that a job makes."""
        names = self.run_files(configuration)
        return [folder / name for folder in self.run_folders(configuration) for name in names]

    def table_files(self, configuration: Configuration) -> list[Path]:
        """Those of them that tables and figures are made from."""
        return [folder / name for folder in self.run_folders(configuration) for name in self.tables(configuration)]

    def job_text(self, configuration: Configuration) -> str:
        """What a job trains, as text: when it changes, the job has to run again."""
        seeds = self.seeds(configuration)
        symbols = [selection.id for selection in self.needs(configuration)]
        if configuration.learning_rate == "small":
            symbols.append(self.params.settings[configuration.setting].small_factor)
        return canonical([decisive(self.run(configuration, seeds[0])), seeds, symbols])

    # Data

    def split(self, setting: str) -> Split:
        spec = self.params.settings[setting]
        return Split(spec.dataset, spec.examples, spec.validation, spec.label_noise, spec.split_seed)

    @cached_property
    def splits(self) -> dict[str, Split]:
        """Every split that some configuration trains on, by id."""
        used = [self.split(configuration.setting) for configuration in self.jobs]
        return {split.id: split for split in used}

    def split_path(self, split: Split) -> Path:
        return self.prepared / f"{split.id}.npz"

    def manifest_path(self, dataset: str) -> Path:
        return self.prepared / dataset / "manifest.json"

    # Outputs

    def inputs(self, output: str) -> list[Path]:
        """The files of runs and selections that a table or figure is made from."""
        paths: dict[Path, None] = {}
        for configuration in self.shown(output):
            for selection in self.needs(configuration):
                paths[self.selection_path(selection)] = None
            paths.update(dict.fromkeys(self.table_files(configuration)))
        return list(paths)

    def output_text(self, output: str) -> str:
        """What a table or figure shows, as text: when it changes, it has to be rendered again."""
        spec = self._output(output)
        reports = [(self.params.settings[s].report, self.params.settings[s].early_loss) for s in spec.settings]
        return canonical([asdict(spec), [c.id for c in self.shown(output)], reports, self.params.code_version])

    def _output(self, name: str):
        if name not in self.params.outputs:
            raise ConfigError(f"no output {name!r} in params.yaml; there are: {', '.join(self.params.outputs)}")
        return self.params.outputs[name]


def _values(setting: Setting) -> dict[str, Any]:
    return {item.name: getattr(setting, item.name) for item in fields(setting)}


def _text(value: float | str) -> str:
    """A value in a file name: short where that is exact, so that different values never share a name."""
    if isinstance(value, str):
        return value
    short = f"{value:g}"
    return short if float(short) == value else repr(value)
