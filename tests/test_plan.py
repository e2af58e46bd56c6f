import json
import time
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

import pytest

from catfish.config import Output, load, parse
from catfish.errors import ConfigError
from catfish.plan import RUN_FILES, Configuration, Plan, Run, Split, canonical, is_figure

PARAMS = Path(__file__).parents[1] / "params.yaml"
SCALES = ["demo", "laptop", "paper"]
S, V, N = "simplecnn_c10", "vgg11_c100", "vgg11_c100_noise25"


@pytest.fixture
def paper(document):
    return parse(document, "paper")


def with_outputs(params, **outputs):
    """The plan of these tables and figures alone: name -> (settings, methods, sweep)."""
    return Plan(replace(params, outputs={name: Output(*spec) for name, spec in outputs.items()}))


def with_setting(params, name, **changes):
    return replace(params, settings=params.settings | {name: replace(params.settings[name], **changes)})


def with_method(params, name, **changes):
    return replace(params, methods=params.methods | {name: replace(params.methods[name], **changes)})


def texts(plan):
    """What every job trains, by configuration."""
    return {configuration.id: plan.job_text(configuration) for configuration in plan.jobs}


def differing(before, after):
    """The configurations of which the text appeared, disappeared or changed."""
    old, new = texts(before), texts(after)
    return {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}


# What a campaign consists of


def test_a_small_campaign_counted_by_hand(paper):
    params = with_setting(paper, S, learning_rates=(0.01, 0.1, 1.0), seeds=3, tuning_seeds=2)
    params = with_method(params, "fp", coefficients=(0.5, 5.0))
    plan = with_outputs(params, table1=((S,), ("eta_star", "baseline", "fp")))
    assert {configuration.id: seeds for configuration, seeds in plan.jobs.items()} == {
        f"{S}/eta_star/lr-eta_star": 3,
        f"{S}/eta_star/lr-0.01": 2,
        f"{S}/eta_star/lr-0.1": 2,
        f"{S}/eta_star/lr-1": 2,
        f"{S}/baseline/lr-small": 3,
        f"{S}/fp/lr-small_coefficient-best": 3,
        f"{S}/fp/lr-small_coefficient-0.5": 2,
        f"{S}/fp/lr-small_coefficient-5": 2,
    }
    assert list(plan.selections) == [f"{S}/eta_star", f"{S}/fp"]
    assert list(plan.splits) == ["cifar10/split_nall_v5000_noise0_seed0"]


def test_tables_that_share_runs_share_configurations(paper):
    spec = ((S, V), ("eta_star", "baseline", "fp"))
    one, four = with_outputs(paper, table1=spec), with_outputs(paper, **{f"table{n}": spec for n in (1, 4, 5, 6)})
    assert one.jobs == four.jobs and one.selections == four.selections
    assert four.shown("table1") == four.shown("table6")
    assert four.inputs("table1") == four.inputs("table6")


@pytest.mark.parametrize("scale", SCALES)
def test_ids_and_paths_are_unique(scale):
    plan = Plan(load(PARAMS, scale))
    assert len({configuration.id for configuration in plan.jobs}) == len(plan.jobs) == len(plan.configurations)
    folders = [folder for configuration in plan.jobs for folder in plan.run_folders(configuration)]
    files = [plan.selection_path(selection) for selection in plan.selections.values()]
    files += [plan.split_path(split) for split in plan.splits.values()]
    files += [plan.manifest_path(split.dataset) for split in plan.splits.values()]
    manifests = len({split.dataset for split in plan.splits.values()})
    assert len(set(folders)) == len(folders) == sum(plan.jobs.values())
    assert len(set(files)) == len(plan.selections) + len(plan.splits) + manifests
    assert not any(folder in other.parents for folder in folders for other in folders[:50])
    assert not any(path.is_absolute() for path in [*folders, *files])


def test_values_that_are_close_have_different_names():
    near = 0.1 + 1e-9
    ids = [Configuration(S, "fp", lr, c).id for lr in (0.1, near, "small") for c in (0.1, near, "best", None)]
    assert len(set(ids)) == 12
    splits = [Split("digits", None, 0, noise, 0).id for noise in (0.1, near, 0.0)]
    assert len(set(splits)) == 3
    assert ids[0] == f"{S}/fp/lr-0.1_coefficient-0.1" and splits[0] == "digits/split_nall_v0_noise0.1_seed0"


@pytest.mark.parametrize("scale", SCALES)
def test_the_graph_is_closed(scale):
    """Every symbol is resolved by a planned selection, whose candidates are planned; nothing is planned for naught."""
    plan = Plan(load(PARAMS, scale))
    symbolic = [c for c in plan.jobs if c.learning_rate in ("eta_star", "small")]
    assert symbolic
    for configuration in symbolic:
        assert any(selection.quantity == "eta_star" for selection in plan.needs(configuration))
    for configuration in plan.jobs:
        for selection in plan.needs(configuration):
            assert plan.selections[selection.id] == selection
            assert all(candidate in plan.jobs for candidate in selection.candidates)
            assert len(selection.candidates) == len(selection.values) >= 1
    wanted = {configuration for output in plan.params.outputs for configuration in plan.shown(output)}
    wanted |= {candidate for selection in plan.selections.values() for candidate in selection.candidates}
    assert set(plan.jobs) == wanted


@pytest.mark.parametrize("scale", SCALES)
def test_files_of_runs_and_candidates_are_made_by_planned_jobs(scale):
    plan = Plan(load(PARAMS, scale))
    folders = {folder for configuration in plan.jobs for folder in plan.run_folders(configuration)}
    selections = {plan.selection_path(selection) for selection in plan.selections.values()}
    for output in plan.params.outputs:
        files = plan.inputs(output)
        assert len(files) == len(set(files))
        assert {path.parent for path in files} - folders == {path.parent for path in selections & set(files)}
    for selection in plan.selections.values():
        files = plan.candidate_files(selection)
        seeds = plan.params.settings[selection.setting].tuning_seeds
        names = sum(len(plan.tables(candidate)) for candidate in selection.candidates)
        assert len(set(files)) == len(files) == seeds * names
        assert {path.parent for path in files} <= folders


def test_noisy_settings_take_eta_star_from_where_it_is_tuned(paper):
    plan = with_outputs(paper, table3=((N,), ("eta_star", "baseline", "fp")))
    assert set(plan.selections) == {f"{V}/eta_star", f"{N}/fp"}
    chosen = {f"{V}/eta_star": {"best": 0.05}, f"{N}/fp": {"best": 0.01}}
    small = plan.run(plan.configuration(N, "fp"), 0, chosen)
    assert (small.learning_rate, small.coefficient, small.split.noise) == (0.005, 0.01, 0.25)
    assert plan.run(plan.configuration(N, "eta_star"), 0, chosen).learning_rate == 0.05
    trained = {configuration.setting for configuration in plan.jobs if configuration.method == "eta_star"}
    assert trained == {N, V}


@pytest.mark.parametrize("order", [("table", "figure"), ("figure", "table")])
def test_the_number_of_seeds_is_the_most_that_anyone_asks_for(paper, order):
    params = with_setting(paper, S, seeds=4, tuning_seeds=2)
    spec = {"table": ((S,), ("baseline", "fp")), "figure": ((S,), ("baseline", "fp"), True)}
    plan = with_outputs(params, **{name: spec[name] for name in order})
    seeds = {configuration.id: plan.seeds(configuration) for configuration in plan.jobs}
    assert seeds[f"{S}/baseline/lr-small"] == (0, 1, 2, 3)
    assert seeds[f"{S}/fp/lr-small_coefficient-best"] == (0, 1, 2, 3)
    assert seeds[f"{S}/fp/lr-small_coefficient-0.1"] == (0, 1)


def test_a_candidate_has_the_seeds_of_its_own_setting(paper):
    params = with_setting(with_setting(paper, V, tuning_seeds=3), N, tuning_seeds=1)
    plan = with_outputs(params, table3=((N,), ("fp",)))
    assert {plan.jobs[c] for c in plan.selections[f"{V}/eta_star"].candidates} == {3}
    assert {plan.jobs[c] for c in plan.selections[f"{N}/fp"].candidates} == {1}


def test_a_sweep_shows_the_grid_and_methods_without_one_as_they_are(paper):
    params = with_method(paper, "fp", coefficients=(0.5, 5.0))
    plan = with_outputs(params, figure5=((S,), ("baseline", "fp"), "coefficients"))
    assert [configuration.id for configuration in plan.shown("figure5")] == [
        f"{S}/baseline/lr-small",
        f"{S}/fp/lr-small_coefficient-0.5",
        f"{S}/fp/lr-small_coefficient-5",
        f"{S}/fp/lr-small_coefficient-best",
    ]
    assert list(plan.selections) == [f"{S}/eta_star", f"{S}/fp"]


def test_a_sweep_of_learning_rates_shows_them_with_the_seeds_of_a_grid(paper):
    params = with_setting(paper, S, learning_rates=(0.01, 0.1), seeds=5, tuning_seeds=2)
    plan = with_outputs(params, figure2=((S,), ("eta_star",), "learning_rates"))
    assert {c.id: seeds for c, seeds in plan.jobs.items()} == {f"{S}/eta_star/lr-{rate}": 2 for rate in (0.01, 0.1)}
    assert [c.id for c in plan.shown("figure2")] == [c.id for c in plan.jobs]
    assert plan.selections == {}


def test_a_method_can_take_the_coefficient_chosen_for_another(paper):
    params = with_method(with_setting(paper, S, seeds=3), "fp", coefficients=(0.5, 5.0))
    plan = with_outputs(params, figure4=((S,), ("fp_from_4",)))
    (shown,) = plan.shown("figure4")
    assert shown.id == f"{S}/fp_from_4/lr-small_coefficient-best"
    assert set(plan.selections) == {f"{S}/eta_star", f"{S}/fp"}
    run = plan.run(shown, 0, {f"{S}/eta_star": {"best": 0.1}, f"{S}/fp": {"best": 5.0}})
    assert (run.coefficient, run.onset, run.penalty) == (5.0, 4, "fisher")


def test_a_setting_can_start_from_the_weights_of_another(paper):
    early = {"epochs": 2, "learning_rates": (0.3,), "tuning_seeds": 1}
    params = with_setting(with_setting(paper, V, **early), N, starts_from=V, tuned_on=None, label_noise=0.0)
    params = with_setting(params, N, learning_rates=(0.2,), tuning_seeds=4)
    plan = with_outputs(params, figure6=((N,), ("eta_star",), "learning_rates"))
    (after,) = plan.shown("figure6")
    assert {c.id: seeds for c, seeds in plan.jobs.items()} == {f"{N}/eta_star/lr-0.2": 4, f"{V}/eta_star/lr-0.3": 1}
    assert plan.start_path(after) == plan.run_folder(plan.start(after), 0) / "weights.pt"
    assert plan.run_files(plan.start(after)) == (*RUN_FILES, "weights.pt")
    assert plan.run_files(after) == RUN_FILES and plan.start(plan.start(after)) is None
    assert plan.run(after, 3).start == plan.run(plan.start(after), 0)
    longer = with_outputs(with_setting(params, V, epochs=3), figure6=((N,), ("eta_star",), "learning_rates"))
    assert plan.run(after, 0).fingerprint("data") != longer.run(after, 0).fingerprint("data")


def test_a_step_can_take_the_gradient_norms_of_small_batches(paper):
    outputs = {"mech_table4": (("mech_resnet18_c10",), ("small_batch", "graft_iterative", "graft_external"))}
    plan = with_outputs(paper, **outputs)
    small, iterative, external = plan.shown("mech_table4")
    recorded = plan.norms(external)
    assert small.id == "mech_resnet18_c10_small/eta_star/lr-eta_star"
    assert recorded.id == "mech_resnet18_c10_small/eta_star/lr-0.1"
    assert plan.norms_path(external) == plan.run_folder(recorded, 0) / "norms.pt"
    assert plan.run_files(recorded) == (*RUN_FILES, "norms.pt")
    assert plan.run_files(small) == plan.run_files(external) == RUN_FILES
    assert plan.norms(iterative) is None and plan.norms_path(small) is None
    assert plan.other_runs(external) == [recorded] and plan.jobs[recorded] == 3
    assert plan.run(external, 2).norms == plan.run(recorded, 0)
    assert (plan.run(external, 0).step_norm, plan.run(iterative, 0).micro_batch) == ("recorded", 128)
    longer = with_outputs(with_setting(paper, "mech_resnet18_c10_small", epochs=3), **outputs)
    assert plan.run(external, 0).fingerprint("data") != longer.run(external, 0).fingerprint("data")
    assert plan.run(iterative, 0).fingerprint("data") == longer.run(iterative, 0).fingerprint("data")


def test_the_norms_are_recorded_though_no_output_shows_their_run(paper):
    plan = with_outputs(paper, mech_table4=(("mech_resnet18_c10",), ("graft_external",)))
    (shown,) = plan.shown("mech_table4")
    assert plan.jobs[plan.norms(shown)] == 1


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_methods_changes_no_number_of_seeds(paper, order):
    methods = ("graft_external", "small_batch")[::order]
    plan = with_outputs(paper, mech_table4=(("mech_resnet18_c10",), methods))
    (recorded,) = {norms for job in plan.jobs if (norms := plan.norms(job))}
    assert plan.jobs[recorded] == paper.settings[recorded.setting].tuning_seeds == 3


def test_large_batches_take_as_many_steps_as_small_ones(paper):
    for name in ("mech_resnet18_c10", "mech_resnet18_c100", "mech_vgg11_c10"):
        large = paper.settings[name]
        small = paper.settings[large.small_batch]
        steps = [setting.epochs * (40_000 // setting.batch_size) for setting in (small, large)]
        assert steps == pytest.approx([15_600, 15_600], rel=0.001)
    rates = {name: paper.settings[name].learning_rates[0] / paper.settings[name].small_factor
             for name in ("mech_resnet18_c10", "mech_resnet18_c100", "mech_vgg11_c10")}  # fmt: skip
    assert list(rates.values()) == [0.1, 0.1, 0.01]  # with the penalties, as published


def test_an_output_can_show_a_method_in_some_settings_only(paper):
    table = replace(paper.outputs["table1"], settings=(S, V), methods=("eta_star", "baseline"), only={"baseline": (V,)})
    plan = Plan(replace(paper, outputs={"table1": table}))
    assert [c.id for c in plan.shown("table1")] == [
        f"{S}/eta_star/lr-eta_star", f"{V}/eta_star/lr-eta_star", f"{V}/baseline/lr-small",
    ]  # fmt: skip
    everywhere = Plan(replace(paper, outputs={"table1": replace(table, only={})}))
    assert plan.output_text("table1") != everywhere.output_text("table1")


@pytest.mark.parametrize("name", ["figure1", "mech_figure7"])
def test_names_of_figures(name):
    assert is_figure(name) and not is_figure(name.replace("figure", "table")) and not is_figure("claims")


def test_a_run_that_measures_at_single_steps_has_a_file_more(paper):
    measure = replace(paper.settings[S].measure, fisher_steps=10)
    plan = with_outputs(with_setting(paper, S, measure=measure), figure1=((S, V), ("eta_star",)))
    steps, plain = (plan.configuration(setting, "eta_star") for setting in (S, V))
    assert plan.run_files(steps) == (*RUN_FILES, "steps.csv") and plan.run_files(plain) == RUN_FILES
    assert [path for path in plan.inputs("figure1") if path.name == "steps.csv"] == [
        folder / "steps.csv" for folder in plan.run_folders(steps)
    ]


def test_the_largest_plan_is_made_in_a_moment():
    params = load(PARAMS, "paper")
    start = time.process_time()
    plan = Plan(params)
    for configuration in plan.jobs:
        plan.job_text(configuration)
        plan.run_folders(configuration)
    for output in params.outputs:
        plan.inputs(output)
    assert plan.selections and plan.splits
    assert time.process_time() - start < 1.0


def test_an_unknown_output_is_named(paper):
    with pytest.raises(ConfigError, match=r"no output 'table9' in params\.yaml; there are: table1, table2, .*figure8"):
        Plan(paper).shown("table9")


# One run, resolved


@pytest.fixture
def tuned(paper):
    """A plan and what its selections might have chosen."""
    params = with_setting(paper, S, learning_rates=(0.02, 0.2), small_factor=4.0)
    params = with_method(params, "fp", coefficients=(0.5, 5.0))
    plan = with_outputs(params, table1=((S,), ("eta_star", "baseline", "fp", "mixup")))
    chosen = {f"{S}/eta_star": {"best": 0.2}, f"{S}/fp": {"best": 5.0}, f"{S}/mixup": {"best": 0.4}}
    return plan, chosen


def test_a_resolved_run_has_every_choice_of_its_setting_and_method(tuned):
    plan, chosen = tuned
    run, setting = plan.run(plan.configuration(S, "fp"), 2, chosen), plan.params.settings[S]
    for key in ("model", "width", "inputs", "augment", "batch_size", "momentum", "weight_decay", "epochs", "milestones",
                "decay", "precision", "depth", "batch_norm_batches"):  # fmt: skip
        assert getattr(run, key) == getattr(setting, key)
    assert (run.learning_rate, run.coefficient, run.penalty, run.every) == (0.05, 5.0, "fisher", 10)
    assert (run.seed, run.mixup, run.code_version) == (2, False, plan.params.code_version)
    assert run.split == Split("cifar10", None, 5000, 0.0, 0) and run.measure == setting.measure


@pytest.mark.parametrize(
    "method, learning_rate, coefficient, mixup",
    [("eta_star", 0.2, None, False), ("baseline", 0.05, None, False), ("mixup", 0.05, 0.4, True)],
)
def test_symbols_are_resolved(tuned, method, learning_rate, coefficient, mixup):
    plan, chosen = tuned
    run = plan.run(plan.configuration(S, method), 0, chosen)
    assert (run.learning_rate, run.coefficient, run.mixup, run.penalty, run.every) == (
        learning_rate, coefficient, mixup, None, 1)  # fmt: skip


def test_without_selections_symbols_stay(tuned):
    plan, _ = tuned
    run = plan.run(plan.configuration(S, "fp"), 0)
    assert (run.learning_rate, run.coefficient) == ("small", "best")


def test_the_grids_run_and_the_resolved_one_are_the_same_run(tuned):
    plan, chosen = tuned
    for configuration, candidates in [
        (plan.configuration(S, "eta_star"), plan.selection(S, "eta_star").candidates),
        (plan.configuration(S, "fp"), plan.selection(S, "fp").candidates),
    ]:
        best = plan.run(configuration, 0, chosen)
        same = [
            plan.run(candidate, 0, chosen).fingerprint("data") == best.fingerprint("data") for candidate in candidates
        ]
        assert same == [False, True]


CHANGED_FIELDS = {
    "model": "vgg11", "width": 0.5, "depth": 0.5, "split": Split("digits", 10, 5, 0.5, 1), "inputs": "standardised",
    "loss": "square",
    "augment": "flip", "batch_size": 64, "momentum": 0.8, "weight_decay": 0.1, "epochs": 7, "milestones": (1,),
    "forward_batch": 32, "sam": True, "step_norm": "constant", "norms": "another run",
    "decay": 0.5, "precision": "bf16", "batch_norm_batches": 3, "learning_rate": 0.3, "penalty": "gradient", "every": 3,
    "onset": 2, "first_examples": 1, "micro_batch": 4, "derivative": "finite_difference", "mixup": True,
    "coefficient": 0.7, "start": "another run", "measure": None, "seed": 1, "code_version": 99,
}  # fmt: skip


def test_any_field_changes_the_fingerprint(tuned):
    plan, chosen = tuned
    run = plan.run(plan.configuration(S, "fp"), 0, chosen)
    assert set(CHANGED_FIELDS) == {item.name for item in fields(run)}
    values = CHANGED_FIELDS | {"measure": replace(run.measure, hessian_probes=5)}
    prints = {key: replace(run, **{key: value}).fingerprint("data") for key, value in values.items()}
    for item in fields(run.split):
        value = {"dataset": "digits", "examples": 200, "validation": 1, "noise": 0.1, "seed": 3}[item.name]
        prints[f"split.{item.name}"] = replace(run, split=replace(run.split, **{item.name: value})).fingerprint("data")
    prints["data"] = run.fingerprint("other data")
    prints["nothing"] = run.fingerprint("data")
    assert len(set(prints.values())) == len(prints) == 39
    assert replace(run).fingerprint("data") == prints["nothing"]


@dataclass(frozen=True)
class LaterRun(Run):
    """As a version of the package with one more choice would have it."""

    clip: float | None = None


def test_a_field_that_comes_later_leaves_runs_without_it_valid(tuned):
    plan, chosen = tuned
    run = plan.run(plan.configuration(S, "fp"), 0, chosen)
    values = {item.name: getattr(run, item.name) for item in fields(run)}
    later = LaterRun(**values, clip=1.0)
    assert LaterRun(**values).fingerprint("data") == run.fingerprint("data")
    assert later.fingerprint("data") != run.fingerprint("data")


def test_a_record_from_before_a_field_came_is_the_planned_run(tuned):
    plan, chosen = tuned
    configuration = plan.configuration(S, "fp")
    found = json.loads(canonical(asdict(plan.run(configuration, 0, chosen))))
    older = {key: value for key, value in found.items() if key not in ("sam", "step_norm")}
    assert plan.differences(configuration, 0, older, chosen) == []
    assert plan.differences(configuration, 0, older | {"sam": True}, chosen) == ["sam"]
    del older["mixup"]
    assert plan.differences(configuration, 0, older, chosen) == ["mixup"]


# What Snakemake compares


def test_a_penaltys_grid_concerns_its_runs_alone(paper):
    before = Plan(paper)
    after = Plan(with_method(paper, "fp", coefficients=(0.123, *paper.methods["fp"].coefficients[1:])))
    changed = differing(before, after)
    first = f"{paper.methods['fp'].coefficients[0]:g}"
    own = ("densenet_c100", V, "wresnet_c100", S)  # the others have grids of their own
    assert changed == {f"{setting}/fp/lr-small_coefficient-{value}" for setting in own for value in (first, "0.123")}


def test_epochs_of_one_setting_concern_it_and_what_extends_it(document, paper):
    document["settings"][V]["epochs"] = 7
    after = Plan(parse(document, "paper"))
    changed = differing(Plan(paper), after)
    settings = {name.split("/")[0] for name in changed}
    assert settings == {V, N, "vgg11_c100_noise50", "vgg11_c100_aug"}
    assert changed == {configuration.id for configuration in after.jobs if configuration.setting in settings}


def test_one_more_learning_rate_is_one_more_job(paper):
    rates = paper.settings[S].learning_rates
    assert differing(Plan(paper), Plan(with_setting(paper, S, learning_rates=(*rates, 5.0)))) == {f"{S}/eta_star/lr-5"}


def test_one_more_seed_concerns_what_is_shown(paper):
    after = Plan(with_setting(paper, S, seeds=paper.settings[S].seeds + 1))
    assert differing(Plan(paper), after) == {
        configuration.id for output in ("table1", "figure1") for configuration in after.shown(output)
        if configuration.setting == S
    }  # fmt: skip


@pytest.mark.parametrize(
    "change, concerned",
    [
        ({"small_factor": 5.0}, lambda c: c.learning_rate == "small"),
        ({"tuned_on": V}, lambda c: isinstance(c.learning_rate, str)),
        ({"label_noise": 0.1}, lambda c: True),
        ({"split_seed": 3}, lambda c: True),
        ({"report": "best_validation"}, lambda c: False),
    ],
)
def test_a_settings_change_reaches_the_jobs_that_depend_on_it(paper, change, concerned):
    before, after = Plan(paper), Plan(with_setting(paper, S, **change))
    shared = {c for c in before.jobs if c in after.jobs and c.setting == S}
    changed = {c for c in shared if before.job_text(c) != after.job_text(c)}
    assert changed == {c for c in shared if concerned(c)}


@pytest.mark.parametrize("change", [{"code_version": 2}, {"measure": {"hessian_probes": 7}}])
def test_what_concerns_every_job(document, paper, change):
    document["scales"]["paper"] = change
    assert differing(Plan(paper), Plan(parse(document, "paper"))) == set(Plan(paper).configurations)


def test_what_a_selection_and_an_output_depend_on(paper):
    before = Plan(paper)
    selection = before.selections[f"{S}/fp"]
    for changed in (
        with_setting(paper, S, report="best_validation"),
        with_method(paper, "fp", coefficients=(1.0, 2.0)),
    ):
        after = Plan(changed)
        assert after.selection_text(after.selections[f"{S}/fp"]) != before.selection_text(selection)
    reported = Plan(with_setting(paper, S, report="best_validation"))
    assert reported.output_text("table1") != before.output_text("table1")
    assert reported.output_text("table3") == before.output_text("table3")
    fewer = with_outputs(paper, table1=((S,), ("eta_star",)))
    assert fewer.output_text("table1") != before.output_text("table1")
    assert Plan(load(PARAMS, "paper")).output_text("table1") == before.output_text("table1")
