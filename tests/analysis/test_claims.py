"""Every claim on runs that must reproduce it, contradict it, and leave it open."""

import math
import re
from functools import cache
from io import StringIO
from pathlib import Path

import pandas as pd
import pytest

from catfish import cli, config
from catfish.analysis import claims
from catfish.analysis.claims import curvature, learning_rate, micro_batches, noise, page, penalties
from catfish.analysis.claims.evidence import Evidence
from catfish.analysis.claims.verdicts import Verdict
from catfish.config import Output
from catfish.errors import ConfigError
from catfish.plan import RUN_FILES, STEPS_FILE
from catfish.records import STEP_COLUMNS, Table, read_json, write_record

PARAMS = Path(__file__).parents[2] / "params.yaml"
JITTER = (-1.0, 0.2, 0.8)  # of three seeds; the mean is 0
EPOCHS = 3
VERDICTS = {1: Verdict.REPRODUCED, -1: Verdict.CONTRADICTED, 0: Verdict.INCONCLUSIVE}


@pytest.fixture(autouse=True, scope="module")
def parsed_once():
    """Most of a test's time would go into reading params.yaml."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(config, "load", cache(config.load))
        yield


def flat(value: float, epochs: int = EPOCHS) -> list[float]:
    return [value] * (epochs + 1)


def shown(made):
    """The configurations of all outputs."""
    return list(dict.fromkeys(c for name in made.plan.params.outputs for c in made.plan.shown(name)))


def write(made, columns, diverged=()):
    """Every run of the outputs, from columns(configuration, seed); those of `diverged`, (method, seed), end early."""
    for configuration in shown(made):
        for seed in made.plan.seeds(configuration):
            ends = 7 if (configuration.method, seed) in diverged else None
            made.run(configuration, seed, diverged=ends, **columns(configuration, seed))
    for selection in made.plan.selections.values():
        made.select(selection.setting, selection.quantity, 0.01)


def write_steps(made, largest):
    """steps.csv of every run: Tr(F) rises to what largest(configuration, seed) gives, and ends the same everywhere."""
    for configuration in shown(made):
        for seed in made.plan.seeds(configuration):
            if made.plan.params.settings[configuration.setting].measure.fisher_steps:
                folder = made.plan.run_folder(configuration, seed)
                steps = Table(folder / "steps.csv", STEP_COLUMNS)
                for step, trace in enumerate((1.0, largest(configuration, seed), 2.0), start=1):
                    steps.append({"step": step, "fisher_trace": trace, "minibatch_accuracy": 0.5})
                write_record(folder, read_json(folder / "run.json"), (*RUN_FILES, STEPS_FILE))


def accuracies(means):
    """Test accuracies by method, with 0.5 points of spread over seeds."""

    def columns(configuration, seed):
        accuracy = flat(means[configuration.method] + 0.005 * JITTER[seed])
        return {"test_accuracy": accuracy, "validation_accuracy": accuracy, "train_accuracy": flat(1.0)}

    return columns


def small_rate(project, effect):
    made = project(
        {"table1": Output(("densenet_c100", "vgg11_c100"), ("eta_star", "baseline"))},
        densenet_c100={"seeds": 3}, vgg11_c100={"seeds": 3},
    )  # fmt: skip
    write(made, accuracies({"eta_star": 0.6, "baseline": 0.6 - 0.05 * effect}))
    return learning_rate.small_rate_generalises_worse, made.plan


def early_trace(project, effect):
    sizes = ("resnet26_c10_s100", "resnet26_c10_s500", "resnet26_c100_s100", "resnet26_c100_s300")
    rates = ("resnet26_c10", "resnet26_c100")
    made = project(
        {
            "figure2": Output(rates, ("eta_star",), sweep="learning_rates"),
            "figure7": Output(sizes, ("eta_star",), sweep="learning_rates"),
        },
        **{name: {"tuning_seeds": 3, "early_loss": 1.5} for name in (*sizes, *rates)},
    )
    grids = {name: made.plan.params.settings[name] for name in (*sizes, *rates)}

    def columns(configuration, seed):
        setting = grids[configuration.setting]
        # Large rates and small batches have small early traces.
        strength = setting.batch_size / 16 - 30 * configuration.learning_rate
        accuracy = flat(0.5 - 0.01 * effect * strength + (0.001 if effect else 0.1) * JITTER[seed])
        return {"train_loss": [2.3, 1.4, 0.9, 0.1], "fisher_trace": [900.0, 100 + strength, 5000.0 * seed, 3.0],
                "test_accuracy": accuracy, "validation_accuracy": accuracy}  # fmt: skip

    write(made, columns)
    return learning_rate.early_trace_predicts_accuracy, made.plan


def best_penalty(project, effect):
    methods = ("eta_star", "baseline", "gp_x", "gp", "fp", "gp_r")
    made = project(
        {
            "table1": Output(("vgg11_c100", "simplecnn_c10"), methods),
            "table2": Output(("vgg11_c100_aug",), ("eta_star", "fp_eta_star")),
        },
        **{name: {"seeds": 3} for name in ("vgg11_c100", "simplecnn_c10", "vgg11_c100_aug")},
    )
    lower = 0.6 - 0.05 * effect
    close = {1: 0.6, -1: 0.7, 0: 0.62}[effect]
    write(made, accuracies({"eta_star": lower, "baseline": 0.5, "gp_x": lower, "gp": lower, "fp": 0.6, "gp_r": close,
                            "fp_eta_star": 0.6}))  # fmt: skip
    return penalties.fisher_penalty_generalises_best, made.plan


def largest_trace(project, effect):
    methods = ("eta_star", "baseline", "gp_x", "gp", "fp", "gp_r")
    made = project({"table4": Output(("vgg11_c100",), methods)}, vgg11_c100={"seeds": 3})

    def columns(configuration, seed):
        largest = (100.0 if configuration.method == "baseline" else 100 * 4.0**-effect) * 1.1 ** JITTER[seed]
        return {"fisher_trace": [9e9, 2.0, largest, 1.0]}

    write(made, columns)
    return penalties.penalties_reduce_largest_trace, made.plan


def late_penalty(project, effect):
    methods = ("eta_star", "baseline", "fp", "fp_from_1", "fp_from_2", "fp_from_4")
    made = project({"figure4": Output(("simplecnn_c10",), methods)}, simplecnn_c10={"seeds": 3})

    def columns(configuration, seed):
        onset = made.plan.params.methods[configuration.method].onset
        # A penalty that would start after the end has nothing to say.
        shift = {4: 0.3 * effect}.get(onset, -0.05 * effect * onset)
        return {"test_accuracy": flat(0.6 + shift + (0.001 if effect else 0.02) * JITTER[seed])}

    write(made, columns)
    return penalties.penalty_is_needed_from_the_start, made.plan


def memorisation(project, effect):
    grid = {"fp": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0)}
    made = project(
        {"figure5": Output(("vgg11_c100_noise25",), ("fp",), sweep="coefficients"),
         "figure9": Output(("resnet50_c100_noise25",), ("fp",), sweep="coefficients")},
        vgg11_c100_noise25={"coefficients": grid}, resnet50_c100_noise25={"coefficients": grid},
    )  # fmt: skip

    def columns(configuration, seed):
        best = configuration.coefficient == "best"  # not a value of its own
        rank = 0 if best else grid["fp"].index(configuration.coefficient)
        lead = 0.2 + 0.03 * effect * rank if effect else (0.5, 0.1, 0.2, 0.6, 0.3, 0.4)[rank]
        ratio = 2.0**effect * 1.1**rank if effect else 2.0 ** (-1) ** rank
        return {"clean_accuracy": [0.0, 0.8, None, 0.9], "noisy_accuracy": [1.0, 0.8 - lead, None, 0.9 - lead],
                "clean_gradient_norm": [900.0, 1.0, 2.0, 3.0],
                "noisy_gradient_norm": [1.0, ratio, 2 * ratio, 3 * ratio]}  # fmt: skip

    write(made, columns)
    return noise.penalty_slows_memorisation, made.plan


def label_noise(project, effect):
    methods = ("baseline", "mixup", "gp_x", "fp", "gp_r")
    made = project({"table3": Output(("vgg11_c100_noise25",), methods)}, vgg11_c100_noise25={"seeds": 3})
    penalised = 0.5 + 0.05 * effect
    write(made, accuracies({"baseline": 0.4, "mixup": 0.6, "gp_x": 0.4, "fp": penalised, "gp_r": penalised}))
    return noise.penalties_resist_label_noise, made.plan


def continuations(project, effect):
    early, late = ("resnet26_c100_early_small", "resnet26_c100_early_large"), (
        "resnet26_c100_after_small", "resnet26_c100_after_large")  # fmt: skip
    made = project(
        {"figure6": Output((*early, *late), ("eta_star",), sweep="learning_rates")},
        **{name: {"tuning_seeds": 3} for name in late},
    )

    def columns(configuration, seed):
        large = configuration.setting.endswith("large")
        size = 3.0 ** (-effect if large else 0) * 1.2 ** JITTER[seed]
        return {"fisher_trace": [1.0, 1.0, 1.0, 20.0 if large else 80.0], "hessian_trace": [9e9, 8.0, 50 * size, 1.0],
                "validation_accuracy": [0.1, 0.2, 0.5, 0.4], "test_accuracy": flat(0.5)}  # fmt: skip

    write(made, columns)
    return curvature.early_trace_decides_final_curvature, made.plan


def traces(project, effect):
    made = project(
        {"figure12": Output(("simplecnn_c10",), ("eta_star",), sweep="learning_rates"),
         "figure18": Output(("resnet56_c100",), ("eta_star",))},
        simplecnn_c10={"epochs": 8}, resnet56_c100={"epochs": 8, "seeds": 3},
    )  # fmt: skip
    rising = [float(epoch) for epoch in range(9)]
    mixed = [0.0, 3.0, 1.0, 4.0, 6.0, 2.0, 8.0, 5.0, 7.0]

    def columns(configuration, seed):
        number = (made.plan.params.settings["simplecnn_c10"].learning_rates.index(configuration.learning_rate)
                  if configuration.setting == "simplecnn_c10" else seed)  # fmt: skip
        others = {1: rising, -1: rising[::-1], 0: (rising, mixed, rising[::-1])[number]}[effect]
        return {"fisher_trace": [-1.0, *rising[1:]], "fisher_trace_minibatch": others, "hessian_trace": others}

    write(made, columns)
    return curvature.traces_correlate, made.plan


def approximations(project, effect):
    made = project(
        {"figure13": Output(("simplecnn_c10",), ("fp", "fp_every_step"), sweep="coefficients"),
         "figure14": Output(("simplecnn_c10",), ("fp_first_example",), sweep="coefficients")},
        simplecnn_c10={"seeds": 3},
    )  # fmt: skip
    # As good as: not worse by more than 2 points.
    every = {1: 0.605, -1: 0.65, 0: 0.62}[effect]
    first = {1: 0.595, -1: 0.55, 0: 0.58}[effect]
    write(made, accuracies({"fp": 0.6, "fp_every_step": every, "fp_first_example": first}))
    return penalties.approximations_do_not_matter, made.plan


def explosion(project, effect):
    batches = ("simplecnn_c10_steps_s128", "simplecnn_c10_steps_s512", "simplecnn_c10_steps_s1280")
    rates = "simplecnn_c10_steps"
    made = project(
        {"figure15": Output((rates,), ("eta_star",), sweep="learning_rates"),
         "figure16": Output(batches[::-1], ("eta_star",), sweep="learning_rates"),
         "figure17": Output(("simplecnn_c10_large",), ("eta_star", "baseline", "fp_large_batch"),
                            sweep="coefficients")},
        **{name: {"tuning_seeds": 3} for name in (rates, *batches)}, simplecnn_c10_large={"seeds": 3},
    )  # fmt: skip

    def largest(configuration, seed):
        setting = made.plan.params.settings[configuration.setting]
        explodes = configuration.learning_rate < 0.01 if configuration.setting == rates else setting.batch_size > 100
        return 100 * 3.0 ** (effect * explodes) * 1.2 ** JITTER[seed]

    write(made, accuracies({"eta_star": 0.5, "baseline": 0.6, "fp_large_batch": 0.6 + 0.05 * effect}))
    write_steps(made, largest)
    return learning_rate.large_rate_avoids_large_traces, made.plan


def large_batches(project, settings, outputs):
    """A project of settings with large batches, three seeds each."""
    small = [f"{setting}_small" for setting in settings]
    return project(outputs, **{name: {"seeds": 3} for name in (*settings, *small)})


def recovered(methods):
    """Small batches at 70 %, large ones at 60 %, and methods at, above or below 65 %."""
    settings = ("mech_resnet18_c10", "mech_vgg11_c10")

    def make(project, effect):
        table = {"mech_table3": Output(settings, ("small_batch", "large_batch", *methods))}
        made = large_batches(project, settings, table)
        write(made, accuracies({"eta_star": 0.7, "large_batch": 0.6} | dict.fromkeys(methods, 0.65 + 0.03 * effect)))
        return made.plan

    return make


def micro_batches_penalised(project, effect):
    return micro_batches.gradient_penalties_recover, recovered(("gn", "ft"))(project, effect)


def jacobians_penalised(project, effect):
    methods = ("average_jacobian", "unit_jacobian")
    return micro_batches.jacobian_penalties_do_not, recovered(methods)(project, -effect)


def larger_micro_batches(project, effect):
    settings, sizes = ("mech_resnet18_c100",), ("gn", "gn_half", "gn_tenth", "gn_fifth")  # in the order of their sizes
    made = large_batches(project, settings, {
        "mech_table3": Output(settings, ("small_batch", "large_batch")),
        "mech_figure7": Output(settings, (*sizes, "ft_half")),
    })  # fmt: skip
    means = {method: 0.65 - effect * (0.01 + 0.02 * rank) for rank, method in enumerate(sizes)}
    write(made, accuracies({"eta_star": 0.7, "large_batch": 0.6, "ft_half": 0.65 - 0.03 * effect} | means))
    return micro_batches.large_micro_batches_do_not, made.plan


def resembling_norms(project, effect):
    settings, factors = ("mech_resnet18_c10",), {"large_batch": 0.01, "gn": 1.1, "ft": 3.0}
    made = large_batches(project, settings, {"mech_figure6": Output(settings, ("small_batch", *factors))})

    def columns(configuration, seed):
        factor = factors.get(configuration.method, 1.0)
        accuracy = flat(0.6 - 0.02 * effect * abs(math.log10(factor)) + 0.001 * JITTER[seed])
        norms = [1.0, *(factor * value for value in (2.0, 5.0, 3.0))]
        return {"test_accuracy": accuracy, "validation_accuracy": accuracy, "gradient_norm": norms}

    write(made, columns)
    return micro_batches.similar_norms_recover, made.plan


SCENES = (small_rate, early_trace, best_penalty, largest_trace, late_penalty, memorisation, label_noise, continuations,
          traces, approximations, explosion, micro_batches_penalised, jacobians_penalised, larger_micro_batches,
          resembling_norms)  # fmt: skip


@pytest.mark.parametrize("effect", VERDICTS, ids=[verdict.name for verdict in VERDICTS.values()])
@pytest.mark.parametrize("scene", SCENES, ids=[scene.__name__ for scene in SCENES])
def test_a_claim_is_judged_by_what_the_runs_show(project, scene, effect):
    claim, plan = scene(project, effect)
    judged = claim(Evidence(plan))
    expected = VERDICTS[effect]
    assert {statement.text: statement.verdict for statement in judged.statements} == {
        statement.text: expected for statement in judged.statements
    }
    assert judged.verdict == expected
    for part in (part for statement in judged.statements for part in statement.parts):
        assert part.estimate.low <= part.estimate.value <= part.estimate.high
        assert (part.reason == "the interval reaches to both sides") == (effect == 0)


def test_every_claim_has_a_scene():
    """Those of the talk are in test_mechanisms.py."""
    assert len(SCENES) == len(claims.CLAIMS) - 3


def parts(judged):
    return [part for statement in judged.statements for part in statement.parts]


def test_underfitting_reproduces_nothing_but_can_contradict(project):
    made = project({"table1": Output(("vgg11_c100",), ("eta_star", "baseline"))}, vgg11_c100={"seeds": 3})

    def judged(small_rate_accuracy):
        means = {"eta_star": 0.6, "baseline": small_rate_accuracy}
        write(made, lambda c, seed: accuracies(means)(c, seed) | {"train_accuracy": flat(0.8 + 0.1 * seed)})
        (part,) = parts(learning_rate.small_rate_generalises_worse(Evidence(made.plan)))
        return part

    assert judged(0.5).verdict == Verdict.INCONCLUSIVE
    assert judged(0.5).reason == "training accuracy of 90.0 %, below 99 %: underfitting may explain the gap"
    assert judged(0.7).verdict == Verdict.CONTRADICTED and judged(0.7).reason == ""


@pytest.fixture
def gap(project):
    """The part of claim 1 on a gap of 10 points, from so many seeds of which some diverge."""

    def make(seeds, diverged=()):
        made = project({"table1": Output(("vgg11_c100",), ("eta_star", "baseline"))}, vgg11_c100={"seeds": seeds})
        write(made, accuracies({"eta_star": 0.6, "baseline": 0.5}), diverged)
        (part,) = parts(learning_rate.small_rate_generalises_worse(Evidence(made.plan)))
        return part

    return make


def test_values_and_the_papers_beside_them(gap):
    part = gap(3)
    assert part.estimate.value == pytest.approx(-10) and part.estimate.n == 6
    assert part.paper == pytest.approx(36.86 - 45.86)
    assert part.label == "VGG11/C100 (digits)" and part.note == "digits in place of cifar100"


def test_a_value_at_the_edge_of_its_grid_is_noted(project):
    made = project({"table1": Output(("vgg11_c100",), ("eta_star", "baseline"))}, vgg11_c100={"seeds": 3})
    write(made, accuracies({"eta_star": 0.6, "baseline": 0.5}))
    made.select("vgg11_c100", "eta_star", 0.016, "high")
    (part,) = parts(learning_rate.small_rate_generalises_worse(Evidence(made.plan)))
    assert part.note == (
        "digits in place of cifar100; at the edge of a grid: vgg11_c100/eta_star = 0.016, the largest value tried"
    )


def test_three_levels_without_an_order_decide_nothing(project):
    """However many seeds there are: with 16 at each of three learning rates the interval alone would be narrow."""
    made = project(
        {"figure2": Output(("resnet26_c10",), ("eta_star",), sweep="learning_rates")},
        resnet26_c10={"tuning_seeds": 16, "early_loss": 1.5, "learning_rates": (0.001, 0.01, 0.1)},
    )

    def verdict(*means):
        def columns(configuration, seed):
            level = (0.1, 0.01, 0.001).index(configuration.learning_rate)
            accuracy = flat(means[level] + 0.0001 * seed)
            return {"train_loss": [2.3, 1.4, 0.9, 0.1], "fisher_trace": [9.0, 100.0 * (level + 1) + seed, 5.0, 3.0],
                    "test_accuracy": accuracy, "validation_accuracy": accuracy}  # fmt: skip

        write(made, columns)
        (part,) = parts(learning_rate.early_trace_predicts_accuracy(Evidence(made.plan)))
        return part

    assert verdict(0.81, 0.80, 0.78).verdict == Verdict.REPRODUCED
    assert verdict(0.78, 0.80, 0.81).verdict == Verdict.CONTRADICTED
    unordered = verdict(0.80, 0.81, 0.70)
    assert unordered.estimate.high < 0 and unordered.verdict == Verdict.INCONCLUSIVE
    assert unordered.reason == (
        "mean accuracies by growing Tr(F_i), 80.1, 81.1, 70.1 %, neither fall nor rise from one to the next"
    )


def test_coefficients_with_which_nothing_is_learned_have_no_lead_to_show(project):
    grid = {"fp": (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)}
    made = project(
        {"figure5": Output(("vgg11_c100_noise25",), ("fp",), sweep="coefficients")},
        vgg11_c100_noise25={"coefficients": grid},
    )

    def columns(configuration, seed):
        rank = 0 if configuration.coefficient == "best" else grid["fp"].index(configuration.coefficient)
        clean, lead = (0.8, 0.1 + 0.05 * rank) if rank < 6 else (0.01, 0.0)
        return {"clean_accuracy": flat(clean), "noisy_accuracy": flat(clean - lead),
                "clean_gradient_norm": flat(1.0), "noisy_gradient_norm": flat(2.0)}  # fmt: skip

    write(made, columns)
    trend, _ = parts(noise.penalty_slows_memorisation(Evidence(made.plan)))
    assert trend.estimate.value == pytest.approx(1) and trend.verdict == Verdict.REPRODUCED
    assert trend.note.endswith("without α = 10, 30: less than half of the best accuracy on clean examples")


def test_one_seed_and_diverged_seeds_are_inconclusive(gap):
    assert gap(2).verdict == Verdict.REPRODUCED
    single = gap(1)
    assert single.verdict == Verdict.INCONCLUSIVE and single.estimate.value == pytest.approx(-10)
    assert single.reason == "Baseline: 1 run, 2 needed; η*: 1 run, 2 needed"
    diverged = gap(3, diverged=[("eta_star", 1)])
    assert diverged.verdict == Verdict.INCONCLUSIVE and diverged.reason == "η*: 1 of 3 runs diverged"
    assert math.isnan(diverged.estimate.value)  # and not that of the two others


def test_a_loss_that_is_never_reached_leaves_early_traces_open(project):
    made = project(
        {"figure2": Output(("resnet26_c10",), ("eta_star",), sweep="learning_rates")},
        resnet26_c10={"tuning_seeds": 3, "early_loss": 0.7},
    )

    def columns(configuration, seed):
        reached = configuration.learning_rate < 0.02 or seed
        accuracy = flat(configuration.learning_rate + 0.001 * seed)
        return {"train_loss": [2.0, 1.0, 0.6 if reached else 0.8, None], "fisher_trace": flat(-accuracy[0]),
                "test_accuracy": accuracy, "validation_accuracy": accuracy}  # fmt: skip

    write(made, columns)
    judged = learning_rate.early_trace_predicts_accuracy(Evidence(made.plan))
    (part,) = parts(judged)
    assert part.verdict == Verdict.INCONCLUSIVE
    assert part.reason.startswith("all runs: 1 of 9 runs without a Tr(F) at the training loss")
    assert [statement.verdict for statement in judged.statements] == [Verdict.INCONCLUSIVE, Verdict.NOT_RUN]


@pytest.mark.parametrize(("setting", "paper"), [("simplecnn_c10", 79.7 - 80.02), ("vgg11_c100", math.nan)])
def test_the_papers_number_stands_only_beside_its_setting(project, setting, paper):
    made = project({"figure13": Output((setting,), ("fp",)), "figure14": Output((setting,), ("fp_first_example",))})
    write(made, accuracies({"fp": 0.6, "fp_first_example": 0.6}))
    (part,) = parts(penalties.approximations_do_not_matter(Evidence(made.plan)))
    assert part.paper == pytest.approx(paper, nan_ok=True)


def test_ratios_are_of_roots_and_of_geometric_means(project):
    claim, plan = largest_trace(project, 1)
    judged = claim(Evidence(plan))
    part = judged.statements[0].parts[0]
    assert part.estimate.value == pytest.approx(0.5)  # the trace falls to a quarter
    assert part.paper == pytest.approx(64.93 / 148.19)


def test_groups_of_continuations_are_told_apart_by_their_early_trace(project):
    claim, plan = continuations(project, 1)
    (part,) = parts(claim(Evidence(plan)))
    # Tr(H) at the best validation accuracy, in groups named by what they started from.
    assert part.estimate.value == pytest.approx(1 / 3)
    large, small = "SimpleCNN/C100 (digits) after η = 0.02, S = 32", "SimpleCNN/C100 (digits) after η = 0.003, S = 32"
    assert part.label == f"{large} against {small}"


def test_correlations_are_within_runs(project):
    """Between these runs, whose means fall as the others rise, the correlation would be negative."""
    made = project({"figure18": Output(("resnet56_c100",), ("eta_star",))}, resnet56_c100={"epochs": 8, "seeds": 3})
    rising = [float(epoch) for epoch in range(9)]
    write(made, lambda c, seed: {"fisher_trace": [100.0 * seed + value for value in rising],
                                 "hessian_trace": [-100.0 * seed + value for value in rising]})  # fmt: skip
    assert [part.estimate.value for part in parts(curvature.traces_correlate(Evidence(made.plan)))] == [1.0]


def test_too_few_epochs_for_a_correlation(project):
    made = project({"figure18": Output(("resnet56_c100",), ("eta_star",))}, resnet56_c100={"epochs": 5, "seeds": 2})
    write(made, lambda c, seed: {"fisher_trace": [0.0, 1, 2, 3, 4, 5], "hessian_trace": [0.0, 1, 2, 3, 4, 5]})
    (part,) = parts(curvature.traces_correlate(Evidence(made.plan)))
    assert part.verdict == Verdict.INCONCLUSIVE and part.reason == "all runs: 2 of 2 runs without 6 epochs with both"


def test_without_a_gap_nothing_can_be_recovered(project):
    """Large batches are as good as small ones: neither penalty says anything."""
    made = large_batches(project, ("mech_resnet18_c10",), {
        "mech_table3": Output(("mech_resnet18_c10",), ("small_batch", "large_batch", "gn", "average_jacobian"))
    })  # fmt: skip
    write(made, accuracies({"eta_star": 0.6, "large_batch": 0.7, "gn": 0.8, "average_jacobian": 0.5}))
    for claim in (micro_batches.gradient_penalties_recover, micro_batches.jacobian_penalties_do_not):
        (part,) = parts(claim(Evidence(made.plan)))
        assert part.verdict == Verdict.INCONCLUSIVE
        assert part.reason == "small batches are not better than large ones here"


@pytest.fixture
def tables(project):
    """Tables 1 to 4 with all settings and methods of the params file, one seed."""
    params = config.load(PARAMS, "paper")
    names = ("table1", "table2", "table3", "table4", "mech_table3")
    made = project({name: params.outputs[name] for name in names}, **{name: {"seeds": 1} for name in params.settings})
    write(made, lambda c, seed: accuracies(dict.fromkeys(params.methods, 0.5))(c, seed) | {"fisher_trace": flat(1.0)})
    return made


def test_the_papers_own_numbers_reproduce_its_claims(tables):
    """Each statement's region holds the paper's number in most settings, which is what the thresholds stand on."""
    judged = claims.collect(tables.plan)
    numbers = {1: [5], 3: [5, 5, 5, 5, 5], 4: [4, 4, 4, 4], 7: [4, 4], "M4": [3, 3], "M5": [3, 2]}
    for claim in judged:
        within = [[s.region.low < part.paper < s.region.high for part in s.parts if not math.isnan(part.paper)]
                  for s in claim.statements]  # fmt: skip
        if claim.number in numbers:
            assert [len(found) for found in within] == numbers[claim.number]
            assert all(sum(found) > len(found) / 2 for found in within)
        else:
            assert claim.verdict == Verdict.NOT_RUN


def test_without_outputs_nothing_was_run(project):
    made = project({})
    paths = claims.render(made.plan)
    assert [path.as_posix() for path in paths] == [f"figures/demo/claims.{end}" for end in ("csv", "md", "tex", "html")]
    rows = pd.read_csv(paths[0])
    numbers = [*map(str, range(1, 12)), *(f"M{number}" for number in range(1, 8))]
    assert rows["claim"].drop_duplicates().tolist() == numbers and set(rows["verdict"]) == {"not run"}


@pytest.fixture
def rendered(project):
    """Claim 4 reproduced in all that was run, and two statements of claim 3 contradicted; texts by suffix."""
    params = config.load(PARAMS, "demo")
    made = project({name: Output(("vgg11_c100",), params.outputs["table1"].methods) for name in ("table1", "table4")},
                   vgg11_c100={"seeds": 3})  # fmt: skip
    means = {"eta_star": 0.6, "baseline": 0.5, "gp_x": 0.5, "gp": 0.5, "fp": 0.55, "gp_r": 0.55, "sam": 0.5}

    def columns(configuration, seed):
        largest = (80.0 if configuration.method == "baseline" else 20) * 1.1 ** JITTER[seed]
        return accuracies(means)(configuration, seed) | {"fisher_trace": flat(largest)}

    write(made, columns)
    return {path.suffix: path.read_text() for path in claims.render(made.plan)}, made.plan


def test_the_csv_holds_every_part(rendered):
    texts, plan = rendered
    rows = pd.read_csv(StringIO(texts[".csv"]))
    assert list(rows) == page.COLUMNS
    judged = [part for claim in claims.collect(plan) for part in parts(claim)]
    written = rows[rows["verdict"] != "not run"]
    assert written["part"].tolist() == [part.label for part in judged] and len(judged) == 9
    assert written["value"].tolist() == pytest.approx([part.estimate.value for part in judged])
    assert written["low"].tolist() == pytest.approx([part.estimate.low for part in judged])
    fp = rows[rows["statement"] == "FP beats η*"].iloc[0]
    assert (fp["value"], fp["paper"]) == pytest.approx((-5, 4.01)) and fp["low"] < -5 < fp["high"] < 0
    assert (fp["states"], fp["verdict"], fp["claim_verdict"], fp["n"]) == ("> 0", "contradicted", "contradicted", 6)
    assert fp["note"] == "digits in place of cifar100"


def test_the_page_has_a_summary_and_every_claim(rendered):
    page = rendered[0][".md"]
    summary = [line for line in page.splitlines() if re.match(r"\| M?\d+ ", line)]
    numbers = [str(claim.number) for claim in claims.collect(rendered[1])]
    assert [re.match(r"\| (\w+)", line)[1] for line in summary] == numbers and len(numbers) == len(claims.CLAIMS)
    assert "**contradicted**" in summary[2] and "3 reproduced, 1 contradicted, 1 not run" in summary[2]
    assert "**reproduced**" in summary[3] and "4 reproduced" in summary[3] and "not run" in summary[6]
    assert len(re.findall(r"^## M?\d+\. ", page, re.MULTILINE)) == len(numbers)
    assert r"*FP beats η\**: contradicted" in page  # the star is no mark-up
    assert re.search(r"\| VGG11/C100 \(digits\) +\| −5 \[−\d\.\d+, −\d\.\d+\] +\| 6 +\| 4\.01 +\| contradicted", page)


def test_the_latex_table_is_plain_tex(rendered):
    table = rendered[0][".tex"]
    assert table.isascii()
    assert table.startswith("\\begin{table*}") and table.rstrip().endswith("\\end{table*}")
    assert all(rule in table for rule in ("\\toprule", "\\midrule", "\\bottomrule", "\\label{tab:claims}"))
    assert not re.search(r"(?<!\\)[%#&_](?!\{)", table.replace(" & ", "").replace("GP$_r$", "").replace("GP$_x$", ""))
    assert len(re.findall(r"\\\\$", table, re.MULTILINE)) == 1 + len(claims.CLAIMS)  # a head and the claims


def test_other_names_are_refused(project):
    with pytest.raises(ConfigError, match="'claim'"):
        claims.render(project({}).plan, "claim")


def test_the_command_line_renders_claims(project, monkeypatch, capsys):
    monkeypatch.setattr(cli, "_loaded", lambda options: project({}).plan)
    cli.main(["render", "claims"])
    assert capsys.readouterr().out.splitlines()[1] == "figures/demo/claims.md"


def test_the_chosen_coefficient_is_not_counted_twice(project):
    claim, plan = memorisation(project, 1)
    assert [part.estimate.n for part in parts(claim(Evidence(plan)))] == [6] * 4
