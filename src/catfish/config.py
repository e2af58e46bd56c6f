"""params.yaml as typed, frozen objects: the one place that knows what the file may say."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from itertools import product
from math import inf, isfinite, log10
from pathlib import Path
from typing import Any, Literal

import yaml

from catfish.errors import ConfigError
from catfish.outputs import (
    CONTINUATION_FIGURES,
    EARLY_FIGURES,
    FIGURES,
    MEASURED,
    MECHANISM_TABLES,
    TABLES,
    TRAJECTORY_FIGURES,
)
from catfish.typed import build, check_keys, exponent_hint

Model = Literal[
    "simplecnn",
    "vgg11",
    "mlp_tanh",
    "wresnet44_3",
    "wresnet44_3_skipinit",
    "densenet40_12",
    "resnet26_arpit",
    "resnet32",
    "resnet50",
    "resnet56",
    "resnet18",
    "resnet18_fixup",
    "resnet18_fixup_cifar",
]
FIXED_DEPTH = ("simplecnn", "vgg11", "mlp_tanh")
Dataset = Literal["digits", "cifar10", "cifar100", "tinyimagenet", "imagenet", "imagenet64"]
Penalty = Literal["fisher", "gradient", "random_label_gradient", "input_gradient", "average_jacobian", "unit_jacobian"]
Symbol = Literal["eta_star", "small"]
StepNorm = Literal["micro_batch", "recorded", "constant"]

_ROOT = "params.yaml"
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's, where PyYAML was built with it: seven times faster
_GRID_KEYS = {"low", "high", "count"}


@dataclass(frozen=True)
class Measure:
    """What is measured along a run, and how often (in epochs)."""

    evaluate_every: int
    curvature_every: int | None
    train_examples: int | None
    fisher_examples: int | None
    fisher_steps: int
    hessian_every: int | None
    hessian_probes: int
    hessian_examples: int
    spectra_every: int | None = None
    spectra_examples: int = 2500
    spectra_eigenvalues: int = 1
    covariance_batches: int = 25
    covariance_batch: int = 128
    trajectory_steps: int = 0
    trajectory_every: int = 10
    trajectory_examples: int = 200
    allocation_steps: int = 0
    allocation_examples: int = 1000


@dataclass(frozen=True)
class Setting:
    """A model, a data set and how one is trained on the other; fields as in params.yaml."""

    model: Model
    dataset: Dataset
    width: float
    depth: float
    inputs: Literal["standardised", "unit"]
    loss: Literal["cross_entropy", "square"]
    examples: int | None
    validation: int
    split_seed: int
    label_noise: float
    augment: Literal["none", "flip", "flip_crop"]
    batch_size: int
    forward_batch: int | None
    momentum: float
    weight_decay: float
    epochs: int
    milestones: tuple[int, ...]
    decay: float
    precision: Literal["fp32", "bf16"]
    batch_norm_batches: int
    small_factor: float
    learning_rates: tuple[float, ...]
    tuned_on: str | None
    starts_from: str | None
    small_batch: str | None
    early_loss: float | None
    report: Literal["last", "best_validation"]
    seeds: int
    tuning_seeds: int
    measure: Measure
    coefficients: dict[str, tuple[float, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Method:
    """What is trained: the learning rate's symbol, and at most one regulariser with its grid of coefficients.

    `sam` and `step_norm` change the step instead of the loss. With `small_batch` the method is SGD in another setting,
    the one that its setting names as its small-batch counterpart.
    """

    learning_rate: Symbol
    penalty: Penalty | None = None
    every: int = 10
    onset: int = 0
    first_examples: int | None = None
    micro_batch: int | None = None
    derivative: Literal["double_backward", "finite_difference"] = "double_backward"
    mixup: bool = False
    sam: bool = False
    step_norm: StepNorm | None = None
    small_batch: bool = False
    coefficients: tuple[float, ...] = ()
    coefficient_of: str | None = None

    @property
    def regularised(self) -> bool:
        return self.mixup or self.sam or self.penalty is not None


@dataclass(frozen=True)
class Output:
    """A table or figure: the settings and methods it shows, at their best values; with `sweep`, at all of a grid.

    `only` names the settings, of those shown, in which a method is shown, if not in all.
    """

    settings: tuple[str, ...]
    methods: tuple[str, ...]
    sweep: Literal["coefficients", "learning_rates"] | None = None
    only: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def cells(self) -> list[tuple[str, str]]:
        """Setting and method of everything that is shown, in the order of the params file."""
        pairs = product(self.settings, self.methods)
        return [(setting, method) for setting, method in pairs if setting in self.only.get(method, self.settings)]


@dataclass(frozen=True)
class Params:
    """The whole params.yaml at one scale."""

    scale: str
    code_version: int
    settings: dict[str, Setting]
    methods: dict[str, Method]
    outputs: dict[str, Output]

    def grid(self, setting: str, method: str) -> tuple[float, ...]:
        """The coefficients that are tried for a method in a setting."""
        tuned = self.methods[method].coefficient_of or method
        return self.settings[setting].coefficients.get(tuned, self.methods[tuned].coefficients)


def load(path: Path | str = _ROOT, scale: str | None = None) -> Params:
    """Read params.yaml at one scale (default: the file's own `scale`).

    Raises ConfigError naming the key, its value and what is allowed, or the file if it cannot be read.
    """
    try:
        document = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_LOADER)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); run from the project's folder") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    return parse(document, scale)


def parse(document: Any, scale: str | None = None) -> Params:
    """Typed params from the file's content; see `load`."""
    if not isinstance(document, dict):
        raise ConfigError(f"{_ROOT}: expected a mapping at the top, found {type(document).__name__}")
    _check_names(document, "")
    check_keys(document, ["setting_defaults", "measure", "scales", *(item.name for item in fields(Params))], "params")
    document = dict(document)
    scales = _mapping(document, "scales")
    del document["scales"]
    scale = scale or document.get("scale")
    if not isinstance(scale, str) or scale not in scales:
        raise ConfigError(f"scale: {scale!r} is not defined; defined under `scales`: {', '.join(scales) or 'none'}")
    overlay = scales[scale] or {}
    if not isinstance(overlay, dict):
        raise ConfigError(f"scales.{scale}: expected a mapping, found {overlay!r}")
    document = _merge(document, overlay) | {"scale": scale}
    only = document.pop("only", None)
    defaults, settings, methods = (_mapping(document, key) for key in ("setting_defaults", "settings", "methods"))
    measure = _mapping(document, "measure")
    _check_measure("measure", build(Measure, measure, "measure"))
    del document["setting_defaults"], document["measure"]
    check_keys(defaults, [item.name for item in fields(Setting)], "setting_defaults")
    document["settings"] = {
        name: _complete(_inherit(name, settings, defaults), measure, f"settings.{name}") for name in settings
    }
    document["methods"] = {
        name: _with_grid(values, "coefficients", f"methods.{name}") for name, values in methods.items()
    }
    params = build(Params, document, "params")
    _check(params)
    return params if only is None else replace(params, outputs=_restricted(params, only, f"scales.{scale}.only"))


def _restricted(params: Params, only: Any, where: str) -> dict[str, Output]:
    """The outputs that `only` lists, all without a list, with the settings that it lists; those left without any go."""
    if not isinstance(only, dict):
        raise ConfigError(f"{where}: expected a mapping with `settings`, `outputs` or both, found {only!r}")
    check_keys(only, ["settings", "outputs"], where)
    named = {"settings": params.settings, "outputs": params.outputs}
    for key, names in only.items():
        allowed = f"a list of some of {', '.join(named[key])}"
        _require(isinstance(names, list) and names != [], f"{where}.{key}", repr(names), allowed)
        for name in names:
            _require(name in [*named[key]], f"{where}.{key}", repr(name), allowed)
    settings, outputs = (only.get(key, names) for key, names in named.items())
    shown = {
        name: replace(output, settings=tuple(setting for setting in output.settings if setting in settings))
        for name, output in params.outputs.items()
        if name in outputs
    }
    shown = {name: output for name, output in shown.items() if output.cells}
    _require(bool(shown), where, repr(only), "names that leave something to be shown")
    return shown


def _mapping(document: dict, key: str) -> dict:
    if not isinstance(document.get(key), dict):
        raise ConfigError(f"{key}: expected a mapping of names, found {document.get(key)!r}")
    return document[key]


def _check_names(value: Any, where: str) -> None:
    """YAML reads an unquoted 1, no or null as something other than text, which no key and no name may be."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise ConfigError(
                    f"{where}{key}: a name has to be text, found {key!r} ({type(key).__name__}); quote it"
                )
            _check_names(item, f"{where}{key}.")


def _merge(base: Any, over: Any) -> Any:
    """`over` laid on `base`: mappings key by key, everything else replaced. A grid is replaced whole."""
    if not (isinstance(base, Mapping) and isinstance(over, Mapping)) or over.keys() & _GRID_KEYS:
        return over
    return {**base, **{key: _merge(base[key], value) if key in base else value for key, value in over.items()}}


def _inherit(name: str, settings: dict, defaults: dict) -> dict:
    chain, current = [], name
    while current is not None:
        if not isinstance(current, str) or current not in settings:
            raise ConfigError(f"settings.{chain[-1]}.extends: no setting {current!r}; there are: {', '.join(settings)}")
        if current in chain:
            raise ConfigError(f"settings.{name}.extends: goes in a circle: {' -> '.join([*chain, current])}")
        if not isinstance(settings[current], dict):
            raise ConfigError(f"settings.{current}: expected a mapping, found {settings[current]!r}")
        chain.append(current)
        current = settings[current].get("extends")
    merged = defaults
    for ancestor in reversed(chain):
        merged = _merge(merged, {k: v for k, v in settings[ancestor].items() if k != "extends"})
    return merged


def _complete(values: dict, measure: dict, where: str) -> dict:
    """A setting with all its measurements, its own laid over those of all, and its grids written out as lists."""
    values = values | {"measure": _merge(measure, values.get("measure", {}))}
    coefficients = values.get("coefficients")
    if isinstance(coefficients, dict):
        grids = {method: _grid(grid, f"{where}.coefficients.{method}") for method, grid in coefficients.items()}
        values = values | {"coefficients": grids}
    return _with_grid(values, "learning_rates", where)


def _with_grid(values: Any, key: str, where: str) -> Any:
    if not isinstance(values, dict) or key not in values:
        return values
    return values | {key: _grid(values[key], f"{where}.{key}")}


def _grid(grid: Any, where: str) -> Any:
    if not isinstance(grid, dict):
        return grid
    if grid.keys() != _GRID_KEYS:
        raise ConfigError(f"{where}: a grid is a list of values or has the keys low, high, count; found {grid!r}")
    low, high, count = grid["low"], grid["high"], grid["count"]
    numbers = all(type(value) in (int, float) for value in (low, high)) and type(count) is int
    if not numbers or not 0 < low < high < inf or count < 2:
        hint = exponent_hint(low) or exponent_hint(high)
        raise ConfigError(f"{where}: needs numbers 0 < low < high and count >= 2; found {grid!r}{hint}")
    return log_grid(low, high, count)


def log_grid(low: float, high: float, count: int) -> list[float]:
    """`count` values from `low` to `high`, evenly spaced in the logarithm, to three significant digits.

    Three digits keep the values readable in tables and folder names; the grid is a choice to begin with.
    """
    step = (log10(high) - log10(low)) / (count - 1)
    return [float(f"{10 ** (log10(low) + i * step):.3g}") for i in range(count)]


def _check(params: Params) -> None:
    named = {
        "settings": params.settings,
        "methods": params.methods,
        "outputs": params.outputs,
        "scales": [params.scale],
    }
    for where, names in named.items():
        for name in names:
            # Names become folders and words of shell commands.
            plain = re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII) is not None
            _require(plain, where, repr(name), "names of letters, digits, _, - and .")
    for name, setting in params.settings.items():
        _check_setting(f"settings.{name}", name, setting, params)
    for name, method in params.methods.items():
        _check_method(f"methods.{name}", method, params)
    search = Method(learning_rate="eta_star")
    found = params.methods.get("eta_star")
    _require(found == search, "methods.eta_star", found, "{learning_rate: eta_star}, with which eta* is searched")
    for name, output in params.outputs.items():
        _check_output(f"outputs.{name}", output, params)
        _check_rendering(f"outputs.{name}", name, output, params)


def _check_rendering(where: str, name: str, output: Output, params: Params) -> None:
    """What could not be rendered after all is trained is refused before."""
    names = (*TABLES, *MECHANISM_TABLES, *FIGURES)
    if name not in names:
        near = get_close_matches(name, names)
        raise ConfigError(
            f"{where}: no such table or figure; {'nearest' if near else 'all'}: {', '.join(near or names)}"
        )
    if name in TABLES and output.sweep is not None:
        raise ConfigError(f"{where}.sweep: {output.sweep!r}, but {name} shows best values only; set it to null")
    for setting in output.settings:
        _check_shown(where, name, f"settings.{setting}", params.settings[setting])
    if name in TRAJECTORY_FIGURES:
        rates = sum(len(params.settings[setting].learning_rates) for setting in output.settings)
        single = len(output.settings) == 1 and output.sweep == "learning_rates" and rates > 1
        allowed = "one setting with two learning rates or more, and `sweep: learning_rates`"
        _require(single, f"{where}.settings", ", ".join(output.settings), allowed)


def _check_shown(where: str, name: str, setting: str, spec: Setting) -> None:
    """An output can show only what its settings measure."""
    if name in EARLY_FIGURES and spec.early_loss is None:
        raise ConfigError(f"{setting}.early_loss: null, but {where} needs it; give a training loss")
    key = "hessian_every" if name in CONTINUATION_FIGURES and spec.starts_from else MEASURED.get(name)
    found = getattr(spec.measure, key) if key else None
    if key and not found:
        found = "null" if found is None else found
        raise ConfigError(f"{setting}.measure.{key}: {found}, but {where} shows what it measures; give a number")


def _check_output(where: str, output: Output, params: Params) -> None:
    _require(bool(output.settings), f"{where}.settings", "empty", "at least one setting")
    _require(bool(output.methods), f"{where}.methods", "empty", "at least one method")
    for setting in output.settings:
        _known(f"{where}.settings", setting, params.settings)
    for method in output.methods:
        _known(f"{where}.methods", method, params.methods)
    if output.sweep == "learning_rates":
        _require(output.methods == ("eta_star",), f"{where}.methods", output.methods, "[eta_star] with this sweep")
        for setting in output.settings:
            tuned_on = params.settings[setting].tuned_on
            _require(tuned_on is None, f"settings.{setting}.tuned_on", tuned_on, f"null, as {where} shows its grid")
    for method, names in output.only.items():
        _known(f"{where}.only", method, params.methods)
        for setting in names:
            _known(f"{where}.only.{method}", setting, params.settings)
    for setting, method in output.cells:
        spec, counterpart = params.methods[method], params.settings[setting].small_batch
        if (spec.small_batch or spec.step_norm in ("recorded", "constant")) and counterpart is None:
            raise ConfigError(f"settings.{setting}.small_batch: null, but {where} shows {method}, which needs it")
        _check_micro_batch(where, setting, method, params)
        if not spec.regularised:
            continue
        loss, allowed = params.settings[setting].loss, f"cross_entropy, as {where} shows {method}"
        _require(loss == "cross_entropy", f"settings.{setting}.loss", loss, allowed)
        grid = params.grid(setting, method)
        if not grid:
            own = method in params.settings[setting].coefficients
            key = f"settings.{setting}.coefficients.{method}" if own else f"methods.{method}.coefficients"
            raise ConfigError(f"{key}: empty, but {where} needs at least one value")
        if params.settings[setting].validation == 0 and len(grid) > 1 and not output.sweep:
            raise ConfigError(
                f"settings.{setting}.validation: 0, but {where} needs the best of {method}'s coefficients"
                ", chosen by validation accuracy; hold some images out"
            )


def _check_micro_batch(where: str, setting: str, method: str, params: Params) -> None:
    """A method's micro-batches have to divide what it penalises of a batch."""
    spec, batch = params.methods[method], params.settings[setting].batch_size
    penalised = min(spec.first_examples or batch, batch)
    _require(
        spec.micro_batch is None or penalised % spec.micro_batch == 0,
        f"methods.{method}.micro_batch",
        spec.micro_batch,
        f"a divisor of the {penalised} examples of a batch of {setting}, in which {where} shows it",
    )


def _check_measure(where: str, measure: Measure) -> None:
    ones = ("evaluate_every", "hessian_examples", "spectra_examples", "spectra_eigenvalues", "covariance_batch")
    ones += ("trajectory_every", "trajectory_examples", "allocation_examples")
    zeros = ("fisher_steps", "covariance_batches", "trajectory_steps", "allocation_steps")
    for key, least in {**dict.fromkeys(ones, 1), **dict.fromkeys(zeros, 0), "hessian_probes": 2}.items():
        _require(getattr(measure, key) >= least, f"{where}.{key}", getattr(measure, key), f"at least {least}")
    for key in ("curvature_every", "train_examples", "fisher_examples", "hessian_every", "spectra_every"):
        value = getattr(measure, key)
        _require(value is None or value >= 1, f"{where}.{key}", value, "null or at least 1")
    _require(measure.covariance_batches != 1, f"{where}.covariance_batches", 1, "0, or at least 2")
    known = not measure.trajectory_steps or measure.covariance_batches
    _require(known, f"{where}.covariance_batches", 0, "at least 2, as trajectory_steps asks for K")


def _check_setting(where: str, name: str, setting: Setting, params: Params) -> None:
    for key in ("width", "depth", "batch_size", "epochs", "small_factor", "decay", "seeds", "tuning_seeds"):
        _require(getattr(setting, key) > 0, f"{where}.{key}", getattr(setting, key), "greater than 0")
    for key in ("validation", "weight_decay", "split_seed", "batch_norm_batches"):
        _require(getattr(setting, key) >= 0, f"{where}.{key}", getattr(setting, key), "0 or more")
    _require(
        setting.depth == 1 or setting.model not in FIXED_DEPTH,
        f"{where}.depth",
        setting.depth,
        f"1.0, as {setting.model} has no blocks to leave out",
    )
    for item in fields(setting):
        value = getattr(setting, item.name)
        _require(not isinstance(value, float) or isfinite(value), f"{where}.{item.name}", value, "finite")
    parts = setting.forward_batch
    _require(
        parts is None or (parts >= 1 and setting.batch_size % parts == 0),
        f"{where}.forward_batch",
        parts,
        f"null or a divisor of the batch size, {setting.batch_size}",
    )
    _require(0 <= setting.label_noise <= 1, f"{where}.label_noise", setting.label_noise, "a fraction from 0 to 1")
    _require(0 <= setting.momentum < 1, f"{where}.momentum", setting.momentum, "from 0 to below 1")
    _require(
        setting.examples is None or setting.examples >= setting.batch_size,
        f"{where}.examples",
        setting.examples,
        f"null or at least the batch size, {setting.batch_size}",
    )
    milestones = setting.milestones
    increasing = list(milestones) == sorted(set(milestones)) and all(epoch >= 1 for epoch in milestones)
    _require(increasing, f"{where}.milestones", milestones, "increasing epochs, from 1")
    _check_grid(f"{where}.learning_rates", setting.learning_rates)
    _require(bool(setting.learning_rates), f"{where}.learning_rates", "empty", "at least one value")
    _check_measure(f"{where}.measure", setting.measure)
    _check_measured(f"{where}.measure", setting)
    for method, grid in setting.coefficients.items():
        _known(f"{where}.coefficients", method, params.methods)
        _check_grid(f"{where}.coefficients.{method}", grid)
        _require(
            not grid or params.methods[method].regularised,
            f"{where}.coefficients.{method}",
            grid,
            f"none, as {method} has neither a penalty, mixup nor SAM",
        )
    _require(
        setting.early_loss is None or setting.early_loss > 0,
        f"{where}.early_loss",
        setting.early_loss,
        "null or a loss greater than 0",
    )
    if setting.starts_from is not None:
        _check_other_run(f"{where}.starts_from", setting, setting.starts_from, params)
    if setting.small_batch is not None:
        _check_other_run(f"{where}.small_batch", setting, setting.small_batch, params)
    if setting.tuned_on is not None:
        _known(f"{where}.tuned_on", setting.tuned_on, params.settings)
        other = params.settings[setting.tuned_on].tuned_on
        _require(
            setting.tuned_on != name and other is None,
            f"{where}.tuned_on",
            setting.tuned_on,
            "a setting that searches its own learning rate",
        )
    searched = setting.tuned_on is None and len(setting.learning_rates) > 1
    if setting.validation == 0 and (setting.report == "best_validation" or searched):
        raise ConfigError(
            f"{where}.validation: 0, but grids and best_validation choose by validation accuracy; hold some images out"
        )


def _check_measured(where: str, setting: Setting) -> None:
    """What is measured has to exist: enough examples, and a distribution of labels where the Fisher matrix is."""
    measure = setting.measure
    for key in ("trajectory_examples", "allocation_examples"):
        count = getattr(measure, key) if getattr(measure, key.replace("examples", "steps")) else 0
        _require(count <= (setting.examples or inf), f"{where}.{key}", count, "at most the setting's `examples`")
    count = measure.covariance_batches * measure.covariance_batch
    measures_it = measure.spectra_every is not None or measure.trajectory_steps
    text = f"{measure.covariance_batches} of {measure.covariance_batch} examples"
    fits = not measures_it or count <= (setting.examples or inf)
    _require(fits, f"{where}.covariance_batches", text, "at most the setting's `examples` together")
    for key, off in {"curvature_every": None, "fisher_steps": 0, "hessian_every": None}.items():
        value = getattr(measure, key)
        _require(setting.loss == "cross_entropy" or value == off, f"{where}.{key}", value,
                 f"{'null' if off is None else off}, as Tr(F) and Tr(H) are of the cross-entropy")  # fmt: skip


def _check_other_run(where: str, setting: Setting, name: str, params: Params) -> None:
    """`name` is a setting whose one run another setting builds on: of the same network and data."""
    _known(where, name, params.settings)
    other = params.settings[name]
    one = len(other.learning_rates) == 1 and other.tuned_on is None and other.starts_from is None
    _require(
        one,
        where,
        name,
        "a setting with one learning rate, and neither `tuned_on` nor `starts_from` of its own",
    )
    for key in ("model", "width", "depth", "dataset", "inputs", "examples", "validation", "split_seed", "label_noise"):
        _require(
            getattr(other, key) == getattr(setting, key),
            where,
            name,
            f"a setting with the same {key} ({getattr(setting, key)}, not {getattr(other, key)})",
        )


def _check_method(where: str, method: Method, params: Params) -> None:
    _check_kind(where, method)
    _require(
        not method.coefficients or method.regularised,
        f"{where}.coefficients",
        method.coefficients,
        "none, as the method has neither a penalty, mixup nor SAM",
    )
    _require(method.every >= 1, f"{where}.every", method.every, "at least 1 step")
    _require(method.onset >= 0, f"{where}.onset", method.onset, "0 or more epochs")
    for key in ("first_examples", "micro_batch"):
        value = getattr(method, key)
        _require(value is None or value >= 1, f"{where}.{key}", value, "null or at least 1")
    own = {"micro_batch"} if method.step_norm == "micro_batch" else set()
    for key in {"onset", "first_examples", "micro_batch", "derivative"} - own:
        if method.penalty is None and getattr(method, key) != getattr(Method, key):
            raise ConfigError(f"{where}.{key}: concerns a penalty, and the method has none")
    if own and method.micro_batch is None:
        raise ConfigError(f"{where}.micro_batch: null, but step_norm micro_batch takes the norm of so many examples")
    _check_grid(f"{where}.coefficients", method.coefficients)
    if method.coefficient_of is not None:
        _known(f"{where}.coefficient_of", method.coefficient_of, params.methods)
        other = params.methods[method.coefficient_of]
        _require(
            method.regularised and not method.coefficients and other.regularised and other.coefficient_of is None,
            f"{where}.coefficient_of",
            method.coefficient_of,
            "a regularised method with a grid of its own, for a regularised method without one",
        )


def _check_kind(where: str, method: Method) -> None:
    """A method changes one thing."""
    if method.mixup and method.penalty:
        raise ConfigError(f"{where}: mixup and penalty {method.penalty!r} share one coefficient; choose one of them")
    kinds = ("penalty", "mixup", "sam", "step_norm", "small_batch")
    chosen = [key for key in kinds if getattr(method, key)]
    if len(chosen) > 1:
        raise ConfigError(f"{where}: {' and '.join(chosen)} cannot be combined; choose one of them")


def _check_grid(where: str, grid: tuple[float, ...]) -> None:
    _require(all(isfinite(v) and v > 0 for v in grid), where, grid, "finite values greater than 0")
    _require(len(set(grid)) == len(grid), where, grid, "values that differ")


def _known(where: str, name: str, names: Mapping) -> None:
    _require(name in names, where, repr(name), f"one of {', '.join(names)}")


def _require(condition: bool, where: str, value: Any, allowed: str) -> None:
    if not condition:
        raise ConfigError(f"{where}: {value} is not allowed; allowed: {allowed}")
