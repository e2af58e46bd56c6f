"""Claims 8 and 9: early Tr(F) and final Tr(H), and how closely the three traces go together."""

import math

from catfish.analysis import labels, statistics
from catfish.analysis.claims.evidence import Evidence, Quantity
from catfish.analysis.claims.intervals import MEAN_CORRELATION, RANK_CORRELATION, RATIO
from catfish.analysis.claims.verdicts import Claim, Part, Region, Statement, judge
from catfish.analysis.collect import Case, LoadedRun
from catfish.plan import ETA_STAR

STRONG = 0.5  # rank correlation from which on two traces "correlate": the paper says strongly, and shows no number
LEAST_EPOCHS = 6  # with both traces, for a correlation within a run

_FINAL = Quantity("Tr(H)", lambda run, setting: statistics.reported_hessian_trace(run, setting.report))


def early_trace_decides_final_curvature(evidence: Evidence) -> Claim:
    region = Region(high=1)
    parts = [_continuations(evidence, output, region) for output in ("figure6", "figure10")]
    return Claim(
        8,
        "early_trace_decides_final_curvature",
        "A low Tr(F) early in training leads to a lower final Tr(H), even if the rest of training is the same.",
        "Continuations from the network with the larger Tr(F) always end in sharper minima (Figures 6 and 10).",
        (
            Statement("low early Tr(F), low final Tr(H)", "final Tr(H), from low to from high early Tr(F), as a ratio",
                      "1", region, tuple(part for part in parts if part)),
        ),
    )  # fmt: skip


def _continuations(evidence: Evidence, output: str, region: Region) -> Part | None:
    """The continuations from the network with the lowest Tr(F) against those from the one with the highest."""
    settings = [s for s in evidence.settings(output) if evidence.params.settings[s].starts_from is not None]
    groups = [case for setting in settings for case in evidence.swept(output, setting, ETA_STAR)]
    if len(groups) < 2:
        return None
    traces = {group: _early_trace(evidence, group) for group in groups}
    low, *_, high = sorted(groups, key=lambda group: (math.isnan(traces[group]), traces[group]))
    label = f"{_name(evidence, low)} against {_name(evidence, high)}"
    note = evidence.note(*settings)
    samples = [evidence.sample(_name(evidence, group), [group], _FINAL) for group in (low, high)]
    doubt = "" if traces[low] < traces[high] else "the early networks do not differ in a measured Tr(F)"
    return judge(label, RATIO, samples, region, note=note, doubt=doubt)


def _early_trace(evidence: Evidence, group: Case) -> float:
    """Tr(F) of the weights that a group of continuations started from."""
    start = evidence.case(evidence.plan.start(group.configuration)).runs[0]
    return float(start.history["fisher_trace"].iloc[-1]) if start.completed else math.nan


def _name(evidence: Evidence, group: Case) -> str:
    """A group of continuations by the learning rate and batch size of the network that it started from."""
    start = evidence.plan.start(group.configuration)
    rate, size = labels.number(start.learning_rate), evidence.params.settings[start.setting].batch_size
    return f"{labels.setting(evidence.params, start.setting)} after η = {rate}, S = {size}"


def traces_correlate(evidence: Evidence) -> Claim:
    region = Region(low=STRONG)
    statistic = "rank correlation over the epochs of a run, mean over runs"
    return Claim(
        9,
        "traces_correlate",
        "Tr(F) correlates with the mini-batch's Tr(F^B), and with Tr(H).",
        "Both strongly, the former for most of training (Figures 12 and 18).",
        (
            Statement("Tr(F^B) and Tr(F)", statistic, "1", region,
                      _along_runs(evidence, "figure12", ("fisher_trace_minibatch", "fisher_trace"), region)),
            Statement("Tr(F) and Tr(H)", statistic, "1", region,
                      _along_runs(evidence, "figure18", ("fisher_trace", "hessian_trace"), region)),
        ),
    )  # fmt: skip


def _along_runs(evidence: Evidence, output: str, columns: tuple[str, str], region: Region) -> tuple[Part, ...]:
    def of_run(run: LoadedRun, _) -> float:
        points = run.history.loc[1:, list(columns)].dropna().to_numpy()
        return RANK_CORRELATION.value(points) if len(points) >= LEAST_EPOCHS else math.nan

    quantity = Quantity(f"{LEAST_EPOCHS} epochs with both", of_run)
    parts = []
    for setting in evidence.settings(output):
        cases = evidence.swept(output, setting, ETA_STAR) or evidence.chosen(output, setting, ETA_STAR)
        sample = evidence.sample("all runs", cases, quantity)
        label = labels.setting(evidence.params, setting)
        parts.append(judge(label, MEAN_CORRELATION, [sample], region, note=evidence.note(setting)))
    return tuple(parts)
