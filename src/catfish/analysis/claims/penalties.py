"""Claims 3, 4, 5 and 10: what penalties of gradient norms do, from when on, and how closely they must be computed."""

import math

from catfish.analysis import labels, statistics
from catfish.analysis.claims.evidence import TEST_ACCURACY, Evidence, Quantity, compare
from catfish.analysis.claims.intervals import DIFFERENCE, RANK_CORRELATION, RATIO
from catfish.analysis.claims.verdicts import Claim, Part, Region, Statement, judge
from catfish.analysis.collect import Case
from catfish.plan import ETA_STAR

MARGIN = (
    2.0  # points of test accuracy that "close to" and "as good as" allow; in Table 1 FP and GP_r differ by up to 1.6
)

_ROOT_OF_LARGEST = Quantity("Tr(F)", lambda run, _: math.sqrt(statistics.max_fisher_trace(run)))
_ONSET = Quantity("an onset", lambda run, _: run.record["run"]["onset"])


def fisher_penalty_generalises_best(evidence: Evidence) -> Claim:
    def statement(text: str, output: str, first: str, second: str, region: Region) -> Statement:
        parts = compare(evidence, [(output, first), (output, second)], TEST_ACCURACY, DIFFERENCE, region)
        statistic = f"test accuracy, {labels.method(first)} minus {labels.method(second)}"
        return Statement(text, statistic, "points", region, parts)

    above, below, close = Region(low=0), Region(high=0), Region(-MARGIN, MARGIN)
    return Claim(
        3,
        "fisher_penalty_generalises_best",
        "The Fisher penalty closes the gap between the small learning rate and η* and beats η* in most settings;"
        " GP_r is close to it, GP and GP_x are weaker.",
        "FP above η* in 5 of 5 settings (Table 1) and 4 of 5 with augmentation (Table 2); GP_r within 1.6 points of FP;"
        " GP and GP_x below FP in 4 of 5.",
        (
            statement("FP beats η*", "table1", "fp", ETA_STAR, above),
            statement("FP beats η*, at η* and augmented", "table2", "fp_eta_star", ETA_STAR, above),
            statement("GP_r is close to FP", "table1", "gp_r", "fp", close),
            statement("GP is weaker than FP", "table1", "gp", "fp", below),
            statement("GP_x is weaker than FP", "table1", "gp_x", "fp", below),
        ),
    )


def penalties_reduce_largest_trace(evidence: Evidence) -> Claim:
    def statement(method: str) -> Statement:
        groups = [("table4", method), ("table4", "baseline")]
        parts = compare(evidence, groups, _ROOT_OF_LARGEST, RATIO, region)
        name = labels.method(method)
        return Statement(f"{name} reduces it", f"root of the largest Tr(F), {name} to baseline", "1", region, parts)

    region = Region(high=1)
    return Claim(
        4,
        "penalties_reduce_largest_trace",
        "Every penalty of a gradient norm lowers the maximum of Tr(F).",
        "In all settings, by 8 to 62 % relative to the small learning rate alone (Table 4).",
        tuple(statement(method) for method in ("fp", "gp_r", "gp", "gp_x")),
    )


def penalty_is_needed_from_the_start(evidence: Evidence) -> Claim:
    below = Region(high=0)
    settings = evidence.settings("figure4")
    starts = {setting: _onsets(evidence, setting) for setting in settings}
    trends = [_trend(evidence, setting, starts[setting], below) for setting in settings if starts[setting]]
    gaps = [_gap(evidence, setting, starts[setting][-1], below) for setting in settings if starts[setting][1:]]
    return Claim(
        5,
        "penalty_is_needed_from_the_start",
        "The Fisher penalty has to act from the beginning: the later it starts, the less of the gap it closes.",
        "Accuracy falls with the epoch E at which FP starts, and the gap to η* stays open (Figure 4).",
        (
            Statement("the later, the worse", "rank correlation of E and test accuracy", "1", below, tuple(trends)),
            Statement("the gap stays open", "test accuracy, FP from the latest E minus η*", "points", below,
                      tuple(part for part in gaps if part)),
        ),
    )  # fmt: skip


def _onsets(evidence: Evidence, setting: str) -> list[Case]:
    """The runs of the Fisher penalty by the epoch it starts at, without those that end before it would."""
    methods = evidence.params.outputs["figure4"].methods
    cases = [case for method in methods for case in evidence.chosen("figure4", setting, method)]
    starts = {case: evidence.params.methods[case.configuration.method] for case in cases}
    epochs = evidence.params.settings[setting].epochs
    penalised = [case for case in cases if starts[case].penalty == "fisher" and starts[case].onset < epochs]
    return sorted(penalised, key=lambda case: starts[case].onset)


def _trend(evidence: Evidence, setting: str, cases: list[Case], region: Region) -> Part:
    sample = evidence.sample("all runs", cases, _ONSET, TEST_ACCURACY)
    label = labels.setting(evidence.params, setting)
    return judge(label, RANK_CORRELATION, [sample], region, note=evidence.note(setting))


def _gap(evidence: Evidence, setting: str, latest: Case, region: Region) -> Part | None:
    best = evidence.chosen("figure4", setting, ETA_STAR)
    if not best:
        return None
    onset = evidence.params.methods[latest.configuration.method].onset
    samples = [evidence.sample(f"E = {onset}", [latest], TEST_ACCURACY), evidence.sample("η*", best, TEST_ACCURACY)]
    label = f"{labels.setting(evidence.params, setting)}, E = {onset}"
    return judge(label, DIFFERENCE, samples, region, note=evidence.note(setting))


def approximations_do_not_matter(evidence: Evidence) -> Claim:
    as_good = Region(low=-MARGIN)
    every = compare(evidence, [("figure13", "fp"), ("figure13", "fp_every_step")], TEST_ACCURACY, DIFFERENCE, as_good)
    groups = [("figure14", "fp_first_example"), ("figure13", "fp")]
    exact = compare(evidence, groups, TEST_ACCURACY, DIFFERENCE, as_good)
    return Claim(
        10,
        "approximations_do_not_matter",
        "Recomputing the penalty every 10 steps is as good as every step, and the penalty of one example's gradient"
        " (equation 6) as good as that of the mini-batch's.",
        "About 80 % test accuracy with f = 10 and with f = 1; 79.7 % with equation 6 and 80.02 % with the mini-batch's"
        " gradient (appendix C).",
        (
            Statement("f = 10 is as good as f = 1", "test accuracy, f = 10 minus f = 1", "points", as_good, every),
            Statement("equation 6 is as good as the mini-batch's gradient", "test accuracy, equation 6 minus FP",
                      "points", as_good, exact),
        ),
    )  # fmt: skip
