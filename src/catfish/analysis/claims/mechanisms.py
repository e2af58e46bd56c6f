"""The claims around the paper: variance reduction, pre-conditioning, and the edge of stability."""

from collections.abc import Callable

from catfish.analysis import labels, mechanisms
from catfish.analysis.claims.evidence import Evidence, Quantity
from catfish.analysis.claims.intervals import GEOMETRIC_MEAN, MEAN, RATIO, Statistic
from catfish.analysis.claims.verdicts import Claim, Part, Region, Statement, judge
from catfish.analysis.collect import Case, LoadedRun
from catfish.plan import ETA_STAR

SPECTRA, DESCENT = "mech_figure2", "mech_figure4"  # the outputs whose runs these claims are judged by
EDGE = Region(0.9, 1.2)  # where lambda_H^1 eta / 2 hovers: a little above 1 (Cohen et al. 2021, Figure 1)
_SYMBOLS = {"learning_rate": "η", "batch_size": "S"}
_WORDS = {"learning_rate": "large to small η", "batch_size": "small to large S"}


def variance_reduction(evidence: Evidence) -> Claim:
    columns = {"hessian_largest": "λ_H^1", "covariance_largest": "λ_K^1"}
    return Claim(
        "M1",
        "mech_variance_reduction",
        "Along the trajectory of SGD the maxima of λ_H^1 and of λ_K^1 are smaller for a larger learning rate or a"
        " smaller batch.",
        "conjectured, and so for SimpleCNN and ResNet-32 on CIFAR-10.",
        _of_maxima(evidence, columns, Region(high=1)),
        "Jastrzebski et al. 2020",
    )


def preconditioning(evidence: Evidence) -> Claim:
    columns = {"covariance_conditioning": "λ_K^*/λ_K^1", "hessian_conditioning": "λ_H^k/λ_H^1"}
    return Claim(
        "M2",
        "mech_preconditioning",
        "Along the trajectory of SGD the maxima of λ_K^*/λ_K^1, and of the same ratio of H, are larger for a larger"
        " learning rate or a smaller batch.",
        "conjectured, and so for the ratio of K of SimpleCNN and ResNet-32 on CIFAR-10.",
        _of_maxima(evidence, columns, Region(low=1)),
        "Jastrzebski et al. 2020",
    )


def _of_maxima(evidence: Evidence, columns: dict[str, str], region: Region) -> tuple[Statement, ...]:
    """A statement for each quantity and each hyper-parameter."""
    return tuple(
        Statement(f"{symbol}, {_WORDS[key]}", f"largest {symbol} along training, {_WORDS[key]} as a ratio", "1", region,
                  _ends(evidence, key, column, symbol, region))
        for column, symbol in columns.items()
        for key in mechanisms.HYPERPARAMETERS
    )  # fmt: skip


def _ends(evidence: Evidence, key: str, column: str, symbol: str, region: Region) -> tuple[Part, ...]:
    """A part for each model: the strongest against the weakest regularisation by learning rate or batch size."""
    models: dict[str, list[str]] = {}
    for setting in evidence.settings(SPECTRA):
        models.setdefault(labels.setting(evidence.params, setting), []).append(setting)
    quantity = Quantity(symbol, lambda run, _: mechanisms.largest(run, column))
    parts = []
    for label, settings in models.items():
        cases = [case for setting in settings for case in evidence.swept(SPECTRA, setting, ETA_STAR)]
        family = mechanisms.differing_in(key, cases)
        if family:
            ends = (family[-1], family[0]) if key == "learning_rate" else (family[0], family[-1])
            named = [(f"{_SYMBOLS[key]} = {labels.number(mechanisms.hyperparameters(c)[key])}", c) for c in ends]
            samples = [evidence.sample(name, [case], quantity) for name, case in named]
            text = f"{label}, {named[0][0]} and {labels.number(mechanisms.hyperparameters(ends[1])[key])}"
            parts.append(judge(text, RATIO, samples, region, note=evidence.note(*settings)))
    return tuple(parts)


def edge_of_stability(evidence: Evidence) -> Claim:
    def statement(text: str, statistic: str, of: Callable[[LoadedRun], float], kind: Statistic, region: Region):
        quantity = Quantity("an arrival at 2/η", lambda run, _: of(run))
        parts = tuple(
            judge(_rate(evidence, case), kind, [evidence.sample("all runs", [case], quantity)], region,
                  note=evidence.note(setting))
            for setting in evidence.settings(DESCENT)
            for case in evidence.swept(DESCENT, setting, ETA_STAR)
        )  # fmt: skip
        return Statement(text, statistic, "1", region, parts)

    return Claim(
        "M3",
        "mech_edge_of_stability",
        "In full-batch gradient descent the sharpness λ_H^1 rises to 2/η and hovers there, while the training loss"
        " falls, though not at every step.",
        "so for every network, loss and learning rate tried, among them this one.",
        (
            statement("hovers at 2/η", "time average of λ_H^1 η/2 after arrival", mechanisms.mean_stability,
                      GEOMETRIC_MEAN, EDGE),
            statement("the loss rises at times", "share of the steps after arrival that raise the loss",
                      mechanisms.share_of_rises, MEAN, Region(low=0)),
            statement("the loss falls", "training loss, last to that on arrival", mechanisms.loss_ratio,
                      GEOMETRIC_MEAN, Region(high=1)),
        ),
        "Cohen et al. 2021",
    )  # fmt: skip


def _rate(evidence: Evidence, case: Case) -> str:
    return f"{labels.setting(evidence.params, case.configuration.setting)}, η = {labels.number(case.learning_rate)}"
