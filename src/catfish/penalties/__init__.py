"""Gradient-norm penalties, ready for any training loop."""

from catfish.penalties.penalty import (
    FisherPenalty,
    GradientPenalty,
    InputGradientPenalty,
    Penalty,
    RandomLabelGradientPenalty,
)

PENALTIES: dict[str, type[Penalty]] = {
    "fisher": FisherPenalty,
    "gradient": GradientPenalty,
    "random_label_gradient": RandomLabelGradientPenalty,
    "input_gradient": InputGradientPenalty,
}

__all__ = [
    "PENALTIES",
    "FisherPenalty",
    "GradientPenalty",
    "InputGradientPenalty",
    "Penalty",
    "RandomLabelGradientPenalty",
]
