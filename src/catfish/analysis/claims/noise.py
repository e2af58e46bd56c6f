"""Claims 6 and 7: learning with noisy labels."""

from catfish.analysis import labels
from catfish.analysis.claims.evidence import TEST_ACCURACY, Evidence, Quantity, compare
from catfish.analysis.claims.intervals import ABOVE_MIDPOINT, GEOMETRIC_MEAN, RANK_CORRELATION
from catfish.analysis.claims.verdicts import Claim, Region, Statement, judge
from catfish.analysis.collect import Case, LoadedRun

_FIGURES = ("figure5", "figure9")


def _mean(run: LoadedRun, column: str) -> float:
    """The mean over the epochs after the initialisation that measured it."""
    return float(run.history[column].iloc[1:].mean())


_COEFFICIENT = Quantity("a coefficient", lambda run, _: run.record["run"]["coefficient"])
_LEAD = Quantity(
    "accuracies on clean and noisy examples",
    lambda run, _: 100 * (_mean(run, "clean_accuracy") - _mean(run, "noisy_accuracy")),
)
_CLEAN = Quantity("an accuracy on clean examples", lambda run, _: 100 * _mean(run, "clean_accuracy"))
_NORM_RATIO = Quantity(
    "gradient norms on clean and noisy examples",
    lambda run, _: _mean(run, "noisy_gradient_norm") / _mean(run, "clean_gradient_norm"),
)


def penalty_slows_memorisation(evidence: Evidence) -> Claim:
    grows, larger = Region(low=0), Region(low=1)
    trends, norms = [], []
    for output in _FIGURES:
        for setting in evidence.settings(output):
            cases, note = evidence.swept(output, setting, "fp"), evidence.note(setting)
            label = labels.setting(evidence.params, setting)
            learned, left_out = _learned(evidence, cases)
            points = evidence.sample("all runs", learned, _COEFFICIENT, _LEAD)
            trends.append(
                judge(label, RANK_CORRELATION, [points], grows, note="; ".join(filter(None, [note, left_out])))
            )
            norms.append(
                judge(label, GEOMETRIC_MEAN, [evidence.sample("all runs", cases, _NORM_RATIO)], larger, note=note)
            )
    return Claim(
        6,
        "penalty_slows_memorisation",
        "The Fisher penalty slows the learning of noisy examples far more than that of clean ones; gradients on noisy"
        " examples are larger.",
        "The larger α, the further noisy examples fall behind clean ones; their gradient norm is the larger one"
        " (Figures 5 and 9).",
        (
            Statement("the lead of clean examples grows with α",
                      "rank correlation of α and clean minus noisy training accuracy (mean over epochs)", "1", grows,
                      tuple(trends)),
            Statement("gradients on noisy examples are larger", "gradient norm (mean over epochs), noisy to clean", "1",
                      larger, tuple(norms)),
        ),
    )  # fmt: skip


def _learned(evidence: Evidence, cases: list[Case]) -> tuple[list[Case], str]:
    """The coefficients with which the network learns, and which were left out: where next to nothing is learned,
    nothing can be in the lead, and it would look as if memorisation went on.
    """
    clean = {case: evidence.sample("", [case], _CLEAN).values.mean() for case in cases}
    least = max(clean.values(), default=0) / 2
    too_little = [case for case in cases if clean[case] < least]
    shown = ", ".join(labels.number(case.coefficient) for case in too_little)
    text = f"without α = {shown}: less than half of the best accuracy on clean examples" if too_little else ""
    return [case for case in cases if case not in too_little], text


def penalties_resist_label_noise(evidence: Evidence) -> Claim:
    def statement(method: str) -> Statement:
        groups = [("table3", method), ("table3", "baseline"), ("table3", "mixup")]
        name = labels.method(method)
        statistic = f"test accuracy, {name} minus halfway from baseline to mixup"
        parts = compare(evidence, groups, TEST_ACCURACY, ABOVE_MIDPOINT, region)
        return Statement(f"{name} gains at least half of what mixup does", statistic, "points", region, parts)

    region = Region(low=0)
    return Claim(
        7,
        "penalties_resist_label_noise",
        "With noisy labels the Fisher penalty and GP_r are competitive with mixup.",
        "On VGG-11 both are 6 to 12 points above mixup, on the ResNet 2 to 4 below it but 4 to 7 above the baseline"
        " (Table 3).",
        (statement("fp"), statement("gp_r")),
    )
