from pathlib import Path

import pytest
import yaml

from catfish.config import Measure, Method, load, log_grid, parse
from catfish.errors import ConfigError
from catfish.plan import Plan

PARAMS = Path(__file__).parents[1] / "params.yaml"
REMOVED = "(removed)"  # a value with a name that is the same in every process, for the tests' ids


def changed(document: dict, changes: dict) -> dict:
    """The document with values at dotted paths replaced, added or removed."""
    for path, value in changes.items():
        *parents, last = path.split(".")
        at = document
        for key in parents:
            at = at[key]
        if value == REMOVED:
            del at[last]
        else:
            at[last] = value
    return document


# The file as it stands


def test_the_laptop_scale_without_what_limits_it_is_whole():
    document = yaml.safe_load(PARAMS.read_text())
    for limit in ("only", "outputs"):
        del document["scales"]["laptop"][limit]
    whole, paper = parse(document, "laptop"), parse(document, "paper")
    assert whole.outputs == paper.outputs and len(Plan(whole).jobs) > 300


@pytest.mark.parametrize("scale", ["demo", "laptop", "paper"])
def test_the_projects_file_loads_at_every_scale(scale):
    params = load(PARAMS, scale)
    assert params.scale == scale
    assert {"eta_star", "baseline", "fp"} <= set(params.methods)
    assert {"table1", "figure1"} <= set(params.outputs)


def test_the_default_scale_is_the_files_own(document):
    assert parse(document).scale == "demo"
    assert parse(document | {"scale": "laptop"}).scale == "laptop"
    assert parse(document | {"scale": "laptop"}, "paper").scale == "paper"


def test_the_papers_values_arrive():
    """Some of the paper's choices, as printed there (G.2, G.3), through defaults, extends and grids."""
    params = load(PARAMS, "paper")
    vgg, noisy, half = (params.settings[f"vgg11_c100{end}"] for end in ("", "_noise25", "_noise50"))
    assert (vgg.model, vgg.dataset, vgg.batch_size, vgg.momentum, vgg.weight_decay) == (
        "vgg11", "cifar100", 128, 0.9, 1e-4)  # fmt: skip
    assert (noisy.model, noisy.weight_decay, noisy.label_noise, noisy.tuned_on) == ("vgg11", 0.0, 0.25, "vgg11_c100")
    assert (half.label_noise, half.report, half.coefficients) == (0.5, "best_validation", noisy.coefficients)
    assert params.methods["fp"].every == 10 and params.methods["fp"].penalty == "fisher"
    assert params.grid("vgg11_c100_noise25", "gp_x") == (10.0, 30.0, 100.0, 300.0, 1000.0)
    assert params.grid("vgg11_c100", "fp") == params.methods["fp"].coefficients
    assert len(params.grid("vgg11_c100_noise25", "fp")) == 6


def test_params_are_frozen():
    with pytest.raises(AttributeError):
        load(PARAMS).settings["simplecnn_c10"].epochs = 1


# Overlays


def test_an_overlay_merges_mappings_and_replaces_lists(document):
    document["scales"]["paper"] = {
        "setting_defaults": {"seeds": 7},
        "settings": {"simplecnn_c10": {"milestones": [9], "width": 0.5}},
        "measure": {"hessian_every": 3},
        "outputs": {"table1": {"methods": ["baseline"]}},
    }
    params = parse(document, "paper")
    setting = params.settings["simplecnn_c10"]
    assert (setting.milestones, setting.width, setting.seeds) == ((9,), 0.5, 7)
    assert (setting.model, setting.batch_size) == ("simplecnn", 128)
    around = (None, 2500, 1, 25, 128, 0, 10, 200, 0, 1000)
    assert setting.measure == Measure(1, 1, None, None, 0, 3, 30, 128, *around)
    assert params.settings["resnet26_c10"].measure == Measure(1, 1, None, 5000, 0, 3, 30, 128, *around)
    assert params.outputs["table1"].methods == ("baseline",)
    assert params.outputs["table1"].settings[-2:] == ("wresnet_c100", "simplecnn_c10")
    assert params.settings["vgg11_c100"].seeds == 7


@pytest.mark.parametrize("grid", [[0.5], {"low": 0.1, "high": 10.0, "count": 3}])
def test_an_overlay_replaces_a_grid_whole(document, grid):
    written = (0.5,) if isinstance(grid, list) else (0.1, 1.0, 10.0)
    document["scales"]["paper"] = {
        "settings": {"vgg11_c100": {"learning_rates": grid}, "vgg11_c100_noise25": {"coefficients": {"gp_x": grid}}},
        "methods": {"fp": {"coefficients": grid}},
    }
    params = parse(document, "paper")
    assert params.settings["vgg11_c100"].learning_rates == written
    assert params.methods["fp"].coefficients == written
    assert params.grid("vgg11_c100_noise25", "gp_x") == written
    assert params.grid("vgg11_c100_noise25", "fp") == (0.01, 0.0398, 0.158, 0.631, 2.51, 10.0)


def test_extends_inherits_the_overlays_of_the_parent(document):
    document["scales"]["paper"] = {"settings": {"vgg11_c100": {"width": 0.25, "epochs": 11, "weight_decay": 0.5}}}
    document["settings"]["vgg11_c100_noise25"]["epochs"] = 5
    params = parse(document, "paper")
    grandchild = params.settings["vgg11_c100_noise50"]
    assert (grandchild.width, grandchild.epochs, grandchild.weight_decay) == (0.25, 5, 0.0)


def test_overlays_of_one_scale_do_not_touch_another(document):
    before = parse(document, "paper")
    parse(document, "demo")
    assert parse(document, "paper") == before
    assert before.settings["vgg11_c100"].dataset == "cifar100"


def test_a_scale_makes_only_what_it_lists(document):
    document["scales"]["paper"] = {"only": {"settings": ["simplecnn_c10", "vgg11_c100"]}}
    params = parse(document, "paper")
    assert params.outputs["table1"].settings == ("vgg11_c100", "simplecnn_c10")  # in the order of the file
    assert "table3" not in params.outputs and "figure5" not in params.outputs
    assert {configuration.setting for configuration in Plan(params).jobs} == {"simplecnn_c10", "vgg11_c100"}
    document["scales"]["paper"]["only"]["outputs"] = ["table1", "figure5"]
    assert list(parse(document, "paper").outputs) == ["table1"]
    document["scales"]["paper"] = {"only": {"outputs": ["figure5"]}}
    assert list(parse(document, "paper").outputs) == ["figure5"]
    assert len(parse(document, "demo").outputs) == len(document["outputs"])


# Grids


@pytest.mark.parametrize(
    "low, high, count, values",
    [
        (1e-3, 1e-1, 3, [0.001, 0.01, 0.1]),
        (1e-2, 1.0, 5, [0.01, 0.0316, 0.1, 0.316, 1.0]),
        (1, 100, 2, [1.0, 100.0]),
        (1e-3, 1e-1, 10, [0.001, 0.00167, 0.00278, 0.00464, 0.00774, 0.0129, 0.0215, 0.0359, 0.0599, 0.1]),
    ],
)
def test_log_grid(low, high, count, values):
    assert log_grid(low, high, count) == values


# What is not allowed: changes -> what the message has to contain

S, V, M = "settings.simplecnn_c10", "settings.vgg11_c100", "methods.fp"
ONLY = "scales.paper.only"
SHOWN = {"settings": ["simplecnn_c10"], "methods": ["eta_star"]}
TRAJECTORIES = {
    f"settings.{name}.measure": {"trajectory_steps": 10} for name in ("simplecnn_c10", "vgg11_c100", "resnet56_c100")
}
GRID = "0 < low < high and count >= 2"
BAD = [
    # Unknown keys and names, at every level
    ({"sale": "demo"}, ["params.sale: unknown key", "setting_defaults", "scales", "outputs"]),
    ({"setting_defaults.widht": 1.0}, ["setting_defaults.widht: unknown key", "width"]),
    ({"setting_defaults.extends": "vgg11_c100"}, ["setting_defaults.extends: unknown key", "tuned_on"]),
    ({f"{S}.widht": 1.0}, [f"{S}.widht: unknown key", "width", "epochs"]),
    ({f"{M}.penaltie": "fisher"}, [f"{M}.penaltie: unknown key", "penalty"]),
    ({"measure.curvature": 1}, ["measure.curvature: unknown key", "curvature_every"]),
    ({"outputs.table1.setings": []}, ["outputs.table1.setings: unknown key", "settings, methods, sweep"]),
    ({"scales.paper": {"measured": {}}}, ["params.measured: unknown key", "measure"]),
    ({"scales.paper": {"settings": {"new": {"epochs": 3}}}}, ["settings.new.model: missing"]),
    ({f"{S}.model": "resnet"}, [f"{S}.model", "'resnet'", "simplecnn, vgg11"]),
    ({f"{S}.dataset": "mnist"}, [f"{S}.dataset", "'mnist'", "digits, cifar10, cifar100, tinyimagenet"]),
    ({f"{S}.precision": "fp16"}, [f"{S}.precision", "'fp16'", "fp32, bf16"]),
    ({f"{M}.penalty": "jacobian"}, [f"{M}.penalty", "'jacobian'", "fisher, gradient"]),
    ({f"{M}.learning_rate": 0.1}, [f"{M}.learning_rate", "0.1", "eta_star, small"]),
    ({"outputs.table1.settings": ["vgg16"]}, ["outputs.table1.settings", "'vgg16'", "densenet_c100, vgg11_c100"]),
    ({"outputs.table1.methods": ["fb"]}, ["outputs.table1.methods", "'fb'", "eta_star, baseline, fp"]),
    ({f"{S}.coefficients": {"fb": [1]}}, [f"{S}.coefficients", "'fb'", "eta_star, baseline, fp"]),
    ({f"{S}.tuned_on": "vgg16"}, [f"{S}.tuned_on", "'vgg16'", "densenet_c100, vgg11_c100"]),
    ({f"{S}.extends": "vgg16"}, [f"{S}.extends", "'vgg16'", "densenet_c100, vgg11_c100"]),
    ({f"{S}.extends": ["vgg11_c100"]}, [f"{S}.extends", "['vgg11_c100']", "densenet_c100, vgg11_c100"]),
    # Missing
    ({f"{S}.model": REMOVED}, [f"{S}.model: missing", "simplecnn", "vgg11"]),
    ({"setting_defaults.epochs": REMOVED}, ["settings.wresnet_tiny.epochs: missing", "int"]),
    ({"measure.hessian_probes": REMOVED}, ["measure.hessian_probes: missing", "int"]),
    ({"code_version": REMOVED}, ["params.code_version: missing", "int"]),
    ({"methods": REMOVED}, ["methods: expected a mapping of names, found None"]),
    ({"methods.eta_star": REMOVED}, ["methods.eta_star", "None", "{learning_rate: eta_star}"]),
    # Types
    ({f"{S}.epochs": "ten"}, [f"{S}.epochs", "int", "'ten'"]),
    ({f"{S}.epochs": 1.5}, [f"{S}.epochs", "int", "1.5"]),
    ({f"{S}.epochs": True}, [f"{S}.epochs", "int", "True (bool)"]),
    ({f"{S}.width": True}, [f"{S}.width", "float", "True (bool)"]),
    ({f"{S}.examples": True}, [f"{S}.examples", "int", "True (bool)"]),
    ({f"{S}.augment": True}, [f"{S}.augment", "True", "none, flip, flip_crop"]),
    ({f"{S}.milestones": 3}, [f"{S}.milestones", "list", "3"]),
    ({f"{S}.milestones": [3, True]}, [f"{S}.milestones[1]", "int", "True"]),
    ({f"{S}.weight_decay": "1e-4"}, [f"{S}.weight_decay", "float", "'1e-4' (str)", "1.0e-4"]),
    ({f"{S}.learning_rates": ["1e-3", 1]}, [f"{S}.learning_rates[0]", "float", "'1e-3'", "1.0e-4"]),
    ({f"{M}.coefficients": ["1e-3"]}, [f"{M}.coefficients[0]", "float", "'1e-3'", "1.0e-4"]),
    ({f"{M}.mixup": "no"}, [f"{M}.mixup", "bool", "'no'"]),
    ({"outputs.table1.sweep": True}, ["outputs.table1.sweep", "True", "coefficients, learning_rates"]),
    ({"outputs.table1.settings": "vgg11_c100"}, ["outputs.table1.settings", "list", "'vgg11_c100'"]),
    ({f"{S}.coefficients": [1]}, [f"{S}.coefficients", "mapping", "[1]"]),
    ({"code_version": "1"}, ["params.code_version", "int", "'1'"]),
    # Not mappings
    ({"settings": ["simplecnn_c10"]}, ["settings: expected a mapping of names", "['simplecnn_c10']"]),
    ({S: "simplecnn"}, [f"{S}: expected a mapping", "'simplecnn'"]),
    ({M: None}, [f"{M}: expected a mapping", "None"]),
    ({"setting_defaults": 3}, ["setting_defaults: expected a mapping", "3"]),
    ({"measure": []}, ["measure: expected a mapping", "[]"]),
    ({"outputs": {"table1": 1}}, ["outputs.table1: expected a mapping", "1"]),
    ({"scales": 3}, ["scales: expected a mapping", "3"]),
    ({"scales.paper": [1]}, ["scales.paper: expected a mapping", "[1]"]),
    # Names
    ({"settings": {1: {}}}, ["settings.1: a name has to be text", "1 (int)"]),
    ({"outputs": {True: {}}}, ["outputs.True: a name has to be text", "True (bool)"]),
    (
        {"outputs.table 1": {"settings": ["simplecnn_c10"], "methods": ["baseline"]}},
        ["outputs", "'table 1'", "letters"],
    ),
    ({"methods.a/b": {"learning_rate": "small"}}, ["methods", "'a/b'", "letters, digits"]),
    # Values
    ({f"{S}.width": 0}, [f"{S}.width", "0.0", "greater than 0"]),
    ({f"{S}.width": -1.0}, [f"{S}.width", "-1.0", "greater than 0"]),
    ({f"{S}.width": float("inf")}, [f"{S}.width", "inf", "finite"]),
    ({f"{S}.width": float("nan")}, [f"{S}.width", "nan", "greater than 0"]),
    ({f"{S}.batch_size": 0}, [f"{S}.batch_size", "0", "greater than 0"]),
    ({f"{S}.epochs": 0}, [f"{S}.epochs", "0", "greater than 0"]),
    ({f"{S}.epochs": -1}, [f"{S}.epochs", "-1", "greater than 0"]),
    ({f"{S}.decay": 0}, [f"{S}.decay", "0.0", "greater than 0"]),
    ({f"{S}.small_factor": 0}, [f"{S}.small_factor", "0.0", "greater than 0"]),
    ({f"{S}.seeds": 0}, [f"{S}.seeds", "0", "greater than 0"]),
    ({f"{S}.tuning_seeds": 0}, [f"{S}.tuning_seeds", "0", "greater than 0"]),
    ({f"{S}.validation": -1}, [f"{S}.validation", "-1", "0 or more"]),
    ({f"{S}.weight_decay": -0.1}, [f"{S}.weight_decay", "-0.1", "0 or more"]),
    ({f"{S}.split_seed": -1}, [f"{S}.split_seed", "-1", "0 or more"]),
    ({f"{S}.label_noise": 1.1}, [f"{S}.label_noise", "1.1", "from 0 to 1"]),
    ({f"{S}.label_noise": -0.1}, [f"{S}.label_noise", "-0.1", "from 0 to 1"]),
    ({f"{S}.momentum": 1}, [f"{S}.momentum", "1.0", "from 0 to below 1"]),
    ({f"{S}.momentum": -0.1}, [f"{S}.momentum", "-0.1", "from 0 to below 1"]),
    ({f"{S}.examples": 127}, [f"{S}.examples", "127", "null or at least the batch size, 128"]),
    ({f"{S}.milestones": [20, 10]}, [f"{S}.milestones", "(20, 10)", "increasing"]),
    ({f"{S}.milestones": [10, 10]}, [f"{S}.milestones", "(10, 10)", "increasing"]),
    ({f"{S}.milestones": [0, 10]}, [f"{S}.milestones", "(0, 10)", "from 1"]),
    ({f"{M}.every": 0}, [f"{M}.every", "0", "at least 1"]),
    ({f"{M}.onset": -1}, [f"{M}.onset", "-1", "0 or more epochs"]),
    ({f"{M}.first_examples": 0}, [f"{M}.first_examples", "0", "null or at least 1"]),
    ({f"{M}.micro_batch": 0}, [f"{M}.micro_batch", "0", "null or at least 1"]),
    ({f"{M}.derivative": "exact"}, [f"{M}.derivative", "'exact'", "double_backward, finite_difference"]),
    ({"methods.baseline.onset": 3}, ["methods.baseline.onset", "concerns a penalty"]),
    ({f"{S}.depth": 0.5}, [f"{S}.depth", "0.5", "simplecnn has no blocks"]),
    ({f"{S}.batch_norm_batches": -1}, [f"{S}.batch_norm_batches", "-1", "0 or more"]),
    ({f"{S}.early_loss": 0}, [f"{S}.early_loss", "0", "greater than 0"]),
    ({f"{S}.starts_from": "vgg"}, [f"{S}.starts_from", "'vgg'", "one of"]),
    ({f"{S}.starts_from": "vgg11_c100"}, [f"{S}.starts_from", "vgg11_c100", "one learning rate"]),
    (
        {f"{S}.starts_from": "vgg11_c100", "settings.vgg11_c100.learning_rates": [0.1]},
        [f"{S}.starts_from", "the same model (simplecnn, not vgg11)"],
    ),
    (
        {f"{S}.starts_from": "resnet50_c100_noise25"},
        [f"{S}.starts_from", "neither `tuned_on` nor `starts_from` of its own"],
    ),
    ({f"{S}.small_batch": "vgg"}, [f"{S}.small_batch", "'vgg'", "one of"]),
    ({f"{S}.small_batch": "vgg11_c100"}, [f"{S}.small_batch", "vgg11_c100", "one learning rate"]),
    ({f"{S}.forward_batch": 48}, [f"{S}.forward_batch", "48", "a divisor of the batch size, 128"]),
    ({f"{S}.forward_batch": 0}, [f"{S}.forward_batch", "0", "a divisor"]),
    ({f"{M}.sam": True}, [M, "penalty and sam cannot be combined"]),
    ({"methods.baseline": {"learning_rate": "small", "step_norm": "unit"}}, ["methods.baseline.step_norm", "'unit'"]),
    ({"methods.graft_iterative.micro_batch": REMOVED}, ["methods.graft_iterative.micro_batch", "step_norm"]),
    ({"methods.graft_external.micro_batch": 8}, ["methods.graft_external.micro_batch", "concerns a penalty"]),
    ({"outputs.table1.methods": ["graft_external"]}, ["settings.wresnet_tiny.small_batch", "table1", "graft_external"]),
    (
        {"methods.fp.micro_batch": 48},
        ["methods.fp.micro_batch: 48", "a divisor of the 128 examples of a batch of wresnet_tiny", "outputs.table1"],
    ),
    ({"outputs.table1.methods": ["small_batch"]}, ["settings.wresnet_tiny.small_batch: null", "shows small_batch"]),
    ({"outputs.table1.only": {"sam": ["cnn"]}}, ["outputs.table1.only.sam", "'cnn'", "one of"]),
    ({"outputs.table1.only": {"sum": ["vgg11_c100"]}}, ["outputs.table1.only", "'sum'", "one of"]),
    ({f"{M}.coefficient_of": "gp"}, [f"{M}.coefficient_of", "gp", "for a regularised method without one"]),
    ({"methods.fp_from_4.coefficient_of": "nobody"}, ["methods.fp_from_4.coefficient_of", "'nobody'", "one of"]),
    ({"methods.fp_from_4.coefficient_of": "baseline"}, ["methods.fp_from_4.coefficient_of", "a regularised method"]),
    ({"methods.fp_from_4.coefficient_of": "fp_from_2"}, ["methods.fp_from_4.coefficient_of", "a grid of its own"]),
    ({"outputs.figure1.sweep": "learning_rates"}, ["outputs.figure1.methods", "[eta_star] with this sweep"]),
    (
        {"outputs.figure1": {"settings": ["vgg11_c100_noise25"], "methods": ["eta_star"], "sweep": "learning_rates"}},
        ["settings.vgg11_c100_noise25.tuned_on", "vgg11_c100", "null, as outputs.figure1 shows its grid"],
    ),
    ({"measure.fisher_steps": -1}, ["measure.fisher_steps", "-1", "at least 0"]),
    ({f"{S}.measure": {"hessian_probes": 1}}, [f"{S}.measure.hessian_probes", "1", "at least 2"]),
    ({f"{S}.measure": {"probes": 1}}, [f"{S}.measure.probes: unknown key", "hessian_probes"]),
    ({f"{S}.measure": 3}, [f"{S}.measure", "expected a mapping", "3"]),
    ({"measure.evaluate_every": 0}, ["measure.evaluate_every", "0", "at least 1"]),
    ({"measure.curvature_every": -2}, ["measure.curvature_every", "-2", "null or at least 1"]),
    ({"measure.spectra_every": 0}, ["measure.spectra_every", "0", "null or at least 1"]),
    ({"measure.spectra_eigenvalues": 0}, ["measure.spectra_eigenvalues", "0", "at least 1"]),
    ({"measure.trajectory_every": 0}, ["measure.trajectory_every", "0", "at least 1"]),
    ({"measure.allocation_steps": -1}, ["measure.allocation_steps", "-1", "at least 0"]),
    ({"measure.covariance_batches": 1}, ["measure.covariance_batches", "1", "0, or at least 2"]),
    (
        {f"{S}.measure": {"trajectory_steps": 5, "covariance_batches": 0}},
        [f"{S}.measure.covariance_batches", "at least 2, as trajectory_steps asks for K"],
    ),
    (
        {f"{S}.examples": 3000, f"{S}.measure": {"spectra_every": 1}},
        [f"{S}.measure.covariance_batches", "25 of 128 examples", "`examples` together"],
    ),
    (
        {f"{S}.examples": 900, f"{S}.measure": {"allocation_steps": 1}},
        [f"{S}.measure.allocation_examples", "1000", "at most the setting's `examples`"],
    ),
    ({f"{S}.loss": "hinge"}, [f"{S}.loss", "'hinge'", "cross_entropy, square"]),
    ({f"{S}.loss": "square"}, [f"{S}.measure.curvature_every", "1", "null, as Tr(F) and Tr(H) are"]),
    (
        {f"{S}.loss": "square", f"{S}.measure": {"curvature_every": None, "hessian_every": None}},
        [f"{S}.loss", "square", "cross_entropy, as outputs.table"],
    ),
    ({"measure.hessian_probes": 1}, ["measure.hessian_probes", "1", "at least 2"]),
    ({"measure.hessian_examples": 0}, ["measure.hessian_examples", "0", "at least 1"]),
    ({"measure.hessian_every": 0}, ["measure.hessian_every", "0", "null or at least 1"]),
    ({"measure.train_examples": 0}, ["measure.train_examples", "0", "null or at least 1"]),
    ({"measure.fisher_examples": 0}, ["measure.fisher_examples", "0", "null or at least 1"]),
    ({"outputs.table1.settings": []}, ["outputs.table1.settings", "empty", "at least one setting"]),
    ({"outputs.table1.methods": []}, ["outputs.table1.methods", "empty", "at least one method"]),
    # What could not be rendered
    *(
        ({f"outputs.{name}": SHOWN}, [f"outputs.{name}: no such table or figure; nearest: ", near])
        for name, near in {"table7": "table6", "figure19": "figure1", "tabel1": "table1", "Table1": "table1"}.items()
    ),
    ({"outputs.claims": SHOWN}, ["outputs.claims: no such table or figure; all: table1, ", "mech_table2, figure1, "]),
    (
        {"outputs.table1.sweep": "coefficients"},
        ["outputs.table1.sweep: 'coefficients', but table1 shows best values only; set it to null"],
    ),
    *(
        ({f"outputs.{name}": SHOWN}, [f"{S}.early_loss: null, but outputs.{name} needs it; give a training loss"])
        for name in ("figure2", "figure7")
    ),
    *(
        (
            {f"outputs.{name}": SHOWN, f"{S}.measure": {key: off}},
            [f"{S}.measure.{key}: {said}, but outputs.{name} shows"],
        )
        for name, key, off, said in (
            ("figure11", "hessian_every", None, "null"),
            ("figure18", "hessian_every", None, "null"),
            ("figure15", "fisher_steps", 0, "0"),
            ("mech_figure1", "spectra_every", None, "null"),
            ("mech_table2", "spectra_every", None, "null"),
            ("mech_figure3", "trajectory_steps", 0, "0"),
            ("mech_figure5", "allocation_steps", 0, "0"),
        )
    ),
    *(
        (
            {
                f"outputs.{name}": {"settings": [setting], "methods": ["eta_star"], "sweep": "learning_rates"},
                f"settings.{setting}.measure": {"hessian_every": None},
            },
            [f"settings.{setting}.measure.hessian_every: null, but outputs.{name} shows"],
        )
        for setting, name in (("resnet26_c100_after_large", "figure6"), ("resnet26_c10_after_s100", "figure10"))
    ),
    *(
        (
            {"outputs.mech_figure3": shown | {"methods": ["eta_star"]}, **TRAJECTORIES},
            ["outputs.mech_figure3.settings", "one setting with two"],
        )
        for shown in (
            {"settings": ["simplecnn_c10"]},  # its best learning rate only
            {"settings": ["simplecnn_c10", "vgg11_c100"], "sweep": "learning_rates"},
            {"settings": ["resnet56_c100"], "sweep": "learning_rates"},  # which has one
        )
    ),
    # Grids
    ({f"{V}.learning_rates": []}, [f"{V}.learning_rates", "empty", "at least one value"]),
    ({f"{V}.learning_rates": [0.1, -1]}, [f"{V}.learning_rates", "(0.1, -1.0)", "greater than 0"]),
    ({f"{V}.learning_rates": [0.1, 0]}, [f"{V}.learning_rates", "(0.1, 0.0)", "greater than 0"]),
    ({f"{V}.learning_rates": [0.1, float("inf")]}, [f"{V}.learning_rates", "inf", "finite"]),
    ({f"{V}.learning_rates": [0.1, 0.2, 0.1]}, [f"{V}.learning_rates", "(0.1, 0.2, 0.1)", "values that differ"]),
    ({f"{V}.learning_rates": {"low": 0.1, "high": 1.0}}, [f"{V}.learning_rates", "low, high, count", "'high': 1.0"]),
    (
        {f"{V}.learning_rates": {"low": 0.1, "high": 1.0, "count": 3, "base": 2}},
        [f"{V}.learning_rates", "low, high, count", "'base': 2"],
    ),
    ({f"{V}.learning_rates": {"low": 0.1, "high": 1.0, "count": 1}}, [f"{V}.learning_rates", GRID, "'count': 1"]),
    ({f"{V}.learning_rates": {"low": 0.1, "high": 1.0, "count": 2.0}}, [f"{V}.learning_rates", GRID, "'count': 2.0"]),
    ({f"{V}.learning_rates": {"low": 1.0, "high": 0.1, "count": 3}}, [f"{V}.learning_rates", GRID, "'low': 1.0"]),
    ({f"{V}.learning_rates": {"low": 0.0, "high": 0.1, "count": 3}}, [f"{V}.learning_rates", GRID, "'low': 0.0"]),
    ({f"{V}.learning_rates": {"low": True, "high": 2.0, "count": 3}}, [f"{V}.learning_rates", GRID, "'low': True"]),
    (
        {f"{V}.learning_rates": {"low": 0.1, "high": float("inf"), "count": 3}},
        [f"{V}.learning_rates", GRID, "'high': inf"],
    ),
    (
        {f"{V}.learning_rates": {"low": "1e-3", "high": 0.1, "count": 3}},
        [f"{V}.learning_rates", GRID, "'low': '1e-3'", "1.0e-4"],
    ),
    ({f"{V}.learning_rates": {"low": 1.0, "high": 1.0001, "count": 2}}, [f"{V}.learning_rates", "values that differ"]),
    ({f"{M}.coefficients": {"low": 0.1, "count": 3}}, [f"{M}.coefficients", "low, high, count", "'low': 0.1"]),
    ({f"{M}.coefficients": [0.1, 0.1]}, [f"{M}.coefficients", "(0.1, 0.1)", "values that differ"]),
    ({f"{M}.coefficients": []}, [f"{M}.coefficients", "empty", "outputs.table1"]),
    ({f"{S}.coefficients": {"fp": []}}, [f"{S}.coefficients.fp", "empty", "outputs.table1"]),
    ({f"{S}.coefficients": {"fp": {"low": 1, "high": 2}}}, [f"{S}.coefficients.fp", "low, high, count", "'high': 2"]),
    ({f"{S}.coefficients": {"fp": [-1]}}, [f"{S}.coefficients.fp", "(-1.0,)", "greater than 0"]),
    # What does not go together
    (
        {"methods.baseline.coefficients": [0.1]},
        ["methods.baseline.coefficients", "(0.1,)", "neither a penalty, mixup nor SAM"],
    ),
    (
        {f"{S}.coefficients": {"baseline": [1]}},
        [f"{S}.coefficients.baseline", "(1.0,)", "neither a penalty, mixup nor SAM"],
    ),
    ({"methods.mixup.penalty": "fisher"}, ["methods.mixup", "mixup", "'fisher'", "one of them"]),
    ({"methods.eta_star.learning_rate": "small"}, ["methods.eta_star", "'small'", "{learning_rate: eta_star}"]),
    (
        {"methods.eta_star": {"learning_rate": "eta_star", "mixup": True, "coefficients": [1.0]}},
        ["methods.eta_star", "mixup=True", "{learning_rate: eta_star}"],
    ),
    ({f"{S}.tuned_on": "simplecnn_c10"}, [f"{S}.tuned_on", "simplecnn_c10", "searches its own learning rate"]),
    (
        {f"{S}.tuned_on": "vgg11_c100_noise25"},
        [f"{S}.tuned_on", "vgg11_c100_noise25", "searches its own learning rate"],
    ),
    ({f"{V}.extends": "vgg11_c100"}, [f"{V}.extends", "circle", "vgg11_c100 -> vgg11_c100"]),
    (
        {f"{V}.extends": "vgg11_c100_noise50"},
        [f"{V}.extends", "circle", "vgg11_c100 -> vgg11_c100_noise50 -> vgg11_c100_noise25 -> vgg11_c100"],
    ),
    ({f"{S}.validation": 0}, [f"{S}.validation: 0", "validation accuracy", "hold some images out"]),
    (
        {f"{S}.validation": 0, f"{S}.learning_rates": [0.1], f"{S}.report": "best_validation"},
        [f"{S}.validation: 0", "best_validation", "hold some images out"],
    ),
    (
        {f"{S}.validation": 0, f"{S}.learning_rates": [0.1]},
        [f"{S}.validation: 0", "outputs.table1", "gp_x", "hold some images out"],
    ),
    # Parts of a scale
    ({ONLY: ["simplecnn_c10"]}, [ONLY, "`settings`, `outputs` or both", "['simplecnn_c10']"]),
    ({ONLY: {"methods": ["fp"]}}, [f"{ONLY}.methods", "unknown key", "settings, outputs"]),
    ({ONLY: {"settings": []}}, [f"{ONLY}.settings", "[]", "a list of some of"]),
    ({ONLY: {"outputs": "table1"}}, [f"{ONLY}.outputs", "'table1'", "a list of some of"]),
    ({ONLY: {"settings": ["simplecnn"]}}, [f"{ONLY}.settings", "'simplecnn'", "simplecnn_c10"]),
    ({ONLY: {"outputs": [["table1"]]}}, [f"{ONLY}.outputs", "['table1']", "table2"]),
    (
        {ONLY: {"settings": ["simplecnn_c10"], "outputs": ["figure5"]}},
        [ONLY, "simplecnn_c10", "figure5", "leave something to be shown"],
    ),
]


@pytest.mark.parametrize("changes, words", BAD, ids=[" ".join(f"{k}={v}" for k, v in c.items())[:80] for c, _ in BAD])
def test_what_is_not_allowed_is_named(document, changes, words):
    with pytest.raises(ConfigError) as error:
        parse(changed(document, changes), "paper")
    message = str(error.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["..", "", "a b", "a;b", "-x", "x\n", "é"])
def test_names_that_are_no_folder_or_word_of_a_command(document, name):
    document["settings"][name] = {"extends": "simplecnn_c10"}
    with pytest.raises(ConfigError, match=r"settings: .* is not allowed; allowed: names of letters, digits"):
        parse(document, "paper")


@pytest.mark.parametrize("scale", ["huge", 3, ["demo"], None, ""])
def test_an_unknown_scale(document, scale):
    with pytest.raises(ConfigError) as error:
        parse(document | {"scale": scale})
    assert str(error.value) == f"scale: {scale!r} is not defined; defined under `scales`: paper, laptop, demo"


@pytest.mark.parametrize(
    "changes",
    [
        # Nothing here is chosen by validation accuracy, so none is needed.
        {"outputs": {"table1": {"settings": ["simplecnn_c10"], "methods": ["baseline"]}},
         f"{S}.validation": 0, f"{S}.learning_rates": [0.1]},
        {"outputs": {"figure5": {"settings": ["simplecnn_c10"], "methods": ["fp"], "sweep": "coefficients"}},
         f"{S}.validation": 0, f"{S}.learning_rates": [0.1]},
        {"outputs": {"table1": {"settings": ["simplecnn_c10"], "methods": ["fp"]}},
         f"{S}.validation": 0, f"{S}.tuned_on": "vgg11_c100", f"{S}.coefficients": {"fp": [0.1]}},
        {f"{S}.label_noise": 1, f"{S}.momentum": 0, f"{S}.examples": 128, f"{S}.milestones": []},
        {f"{S}.examples": 3200, f"{S}.measure": {"spectra_every": 1, "allocation_steps": 9, "trajectory_steps": 9}},
        {"measure.hessian_probes": 2, "measure.hessian_every": None},
        {"outputs.table1.sweep": None},
        {f"{S}.early_loss": 1.0, "outputs.figure2": SHOWN},
        # Of an early phase Figure 6 shows Tr(F) only.
        {"outputs.figure6": {"settings": ["resnet26_c100_early_small"], "methods": ["eta_star"]},
         "settings.resnet26_c100_early_small.measure": {"hessian_every": None}},
        {"scales.paper": None},
    ],
)  # fmt: skip
def test_the_limits_of_what_is_allowed(document, changes):
    parse(changed(document, changes), "paper")


@pytest.mark.parametrize("content", [None, [], "text", 3])
def test_a_document_that_is_no_mapping(content):
    with pytest.raises(
        ConfigError, match=f"params.yaml: expected a mapping at the top, found {type(content).__name__}"
    ):
        parse(content)


# The file


def test_a_missing_file(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml: cannot be read \(No such file or directory\); run from"):
        load(tmp_path / "absent.yaml")


def test_a_folder_in_place_of_the_file(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot be read \(Is a directory\)"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"scale: [demo\nsettings: }", b"scale: demo\n\tx: 1\n", b"scale: \xff\xfe\n"])
def test_a_file_that_is_not_yaml(tmp_path, content):
    path = tmp_path / "params.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"params\.yaml: not valid YAML: ") as error:
        load(path)
    assert "\n" not in str(error.value)


def test_a_value_that_yaml_reads_as_text_is_caught_from_the_file(tmp_path):
    path = tmp_path / "params.yaml"
    text = PARAMS.read_text()
    path.write_text(text.replace("weight_decay: 1.0e-4", "weight_decay: 1e-4", 1))
    assert path.read_text() != text
    with pytest.raises(ConfigError, match=r"settings\.wresnet_tiny\.weight_decay: .* '1e-4' .* 1\.0e-4"):
        load(path, "paper")


def test_regularised():
    assert not Method("small").regularised
    assert Method("small", penalty="fisher").regularised and Method("small", mixup=True).regularised
