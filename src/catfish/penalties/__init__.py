"""Gradient-norm penalties, ready for any training loop."""

from catfish.penalties.gradient_norms import (
    FisherPenalty,
    GradientPenalty,
    InputGradientPenalty,
    RandomLabelGradientPenalty,
)
from catfish.penalties.jacobian_norms import AverageJacobianPenalty, UnitJacobianPenalty
from catfish.penalties.penalty import Penalty

PENALTIES: dict[str, type[Penalty]] = {
    "fisher": FisherPenalty,
    "gradient": GradientPenalty,
    "random_label_gradient": RandomLabelGradientPenalty,
    "input_gradient": InputGradientPenalty,
    "average_jacobian": AverageJacobianPenalty,
    "unit_jacobian": UnitJacobianPenalty,
}

__all__ = [
    "PENALTIES",
    "AverageJacobianPenalty",
    "FisherPenalty",
    "GradientPenalty",
    "InputGradientPenalty",
    "Penalty",
    "RandomLabelGradientPenalty",
    "UnitJacobianPenalty",
]
