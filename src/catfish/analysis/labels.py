"""How methods, settings and numbers are written in tables and figures."""

import re

from catfish.analysis import published
from catfish.config import Params
from catfish.plan import Plan, Selection
from catfish.records import read_selection

# The TeX forms are valid both in LaTeX and in matplotlib's mathtext.
_METHODS = {
    "eta_star": ("η*", r"$\eta^*$"),
    "baseline": ("Baseline", "Baseline"),
    "gp_x": ("GP_x", "GP$_x$"),
    "gp": ("GP", "GP"),
    "fp": ("FP", "FP"),
    "fp_eta_star": ("FP at η*", r"FP at $\eta^*$"),
    "gp_r": ("GP_r", "GP$_r$"),
    "mixup": ("Mixup", "Mixup"),
    "sam": ("SAM (ours)", "SAM (ours)"),  # not in the paper
    "small_batch": ("SB SGD", "SB SGD"),
    "large_batch": ("LB SGD", "LB SGD"),
    "gn": ("LB + GN", "LB + GN"),
    "ft": ("LB + FT", "LB + FT"),
    "average_jacobian": ("LB + AJ", "LB + AJ"),
    "unit_jacobian": ("LB + UJ", "LB + UJ"),
    "gn_tenth": ("LB + GN, micro-batch 1/10", "LB + GN, micro-batch 1/10"),
    "gn_fifth": ("LB + GN, micro-batch 1/5", "LB + GN, micro-batch 1/5"),
    "gn_half": ("LB + GN, micro-batch 1/2", "LB + GN, micro-batch 1/2"),
    "ft_half": ("LB + FT, micro-batch 1/2", "LB + FT, micro-batch 1/2"),
    "graft_iterative": ("Iterative grafting", "Iterative grafting"),
    "graft_external": ("External grafting", "External grafting"),
    "normalised_gd": ("Normalised GD", "Normalised GD"),
}
_MODELS = {"simplecnn": "SimpleCNN", "vgg11": "VGG11", "densenet40_12": "DenseNet", "wresnet44_3": "WResNet",
           "wresnet44_3_skipinit": "WResNet", "mlp_tanh": "FC-tanh"}  # fmt: skip
_DATASETS = {"cifar10": "C10", "cifar100": "C100", "tinyimagenet": "TinyImageNet", "imagenet": "ImageNet",
             "imagenet64": "ImageNet 64x64", "digits": "digits"}  # fmt: skip
EPOCHS = {"last": "the last epoch", "best_validation": "the epoch of the best validation accuracy"}


def method(name: str) -> str:
    """A method in plain text; its name in params.yaml if the paper has no other."""
    return _METHODS.get(name, (name, name))[0]


def method_tex(name: str) -> str:
    return _METHODS.get(name, (name, name.replace("_", r"\_")))[1]


def output(name: str) -> str:
    """An output as in `Table 1`, and `Table M1` for those around the paper."""
    around, kind, number = re.fullmatch(r"(mech_)?([a-z]+)(\d*)", name).groups()
    return f"{kind.capitalize()} {'M' if around else ''}{number}"


def setting(params: Params, name: str) -> str:
    """A setting as the paper writes it, with its label noise, and with its data set where that is not the paper's.

    Where the paper has no table of it, by its model and data set, as in `ResNet-26/C10`.
    """
    spec = params.settings[name]
    noise = f", {spec.label_noise:.0%} noise" if spec.label_noise else ""
    data = "" if comparable(params, name) else f" ({spec.dataset})"
    model = _MODELS.get(spec.model) or spec.model.partition("_")[0].replace("resnet", "ResNet-")
    meant = _DATASETS[published.dataset(name) or spec.dataset]
    return (published.label(name) or f"{model}/{meant}") + noise + data


def title(params: Params, name: str) -> str:
    """A setting as the heading of a figure, with the scale its runs were made at."""
    return f"{setting(params, name)}, {params.scale} scale"


def comparable(params: Params, name: str) -> bool:
    """Whether a setting has the data set that the paper gives it, as far as its name tells."""
    return published.dataset(name) in (None, params.settings[name].dataset)


def number(value: float) -> str:
    """Three significant digits, without an exponent where it can be avoided."""
    return f"{float(f'{value:.3g}'):g}"


def edge(plan: Plan, selection: Selection) -> str | None:
    """What a selection chose, if that is an end of its grid."""
    chosen = read_selection(plan.selection_path(selection), "best", "edge")
    if not chosen["edge"]:
        return None
    end = {"low": "smallest", "high": "largest"}[chosen["edge"]]
    return f"{selection.id} = {number(chosen['best'])}, the {end} value tried"
