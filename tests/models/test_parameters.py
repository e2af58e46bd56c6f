"""Numbers of parameters, from formulas that are first held against what the defining papers state."""

import pytest

from catfish.models import build


def batch_norm(channels):
    return 2 * channels


def basic(inputs, outputs, shortcut):
    """A basic block with batch norm and no biases."""
    return 9 * inputs * outputs + 9 * outputs**2 + 2 * batch_norm(outputs) + shortcut


def resnet(n, classes, a=16, b=32, c=64):
    """He et al. 2016, section 4.2: 6n + 2 layers, shortcuts without parameters."""
    total, inputs = 9 * 3 * a + batch_norm(a), a
    for outputs in (a, b, c):
        for _ in range(n):
            total, inputs = total + basic(inputs, outputs, 0), outputs
    return total + c * classes + classes


def wide(n, k, classes, stem=16):
    """Zagoruyko & Komodakis 2016: n pre-activation blocks in each of three stages, 1x1 shortcuts at their beginning."""
    return _wide(n, [16 * k, 32 * k, 64 * k], classes, stem, normalised=True)


def skipinit(n, k, classes):
    """A bias for every channel instead of batch norm's two numbers, and a scalar for every block."""
    return _wide(n, [16 * k, 32 * k, 64 * k], classes, 16, normalised=False) + 3 * n


def _wide(n, channels, classes, stem, normalised):
    bias = 0 if normalised else 1
    norm = batch_norm if normalised else (lambda channels: 0)
    total, inputs = 9 * 3 * stem + bias * stem, stem
    for outputs in channels:
        total += inputs * outputs + bias * outputs
        for _ in range(n):
            total += norm(inputs) + 9 * inputs * outputs + norm(outputs) + 9 * outputs**2 + 2 * bias * outputs
            inputs = outputs
    return total + norm(inputs) + inputs * classes + classes


def densenet(layers, k, classes, stem=16):
    """Huang et al. 2017, without bottleneck and compression: `layers` in each of three dense blocks."""
    total, channels = 9 * 3 * stem, stem
    for block in range(3):
        if block:
            total += batch_norm(channels) + channels**2
        for _ in range(layers):
            total += batch_norm(channels) + 9 * channels * k
            channels += k
    return total + batch_norm(channels) + channels * classes + classes


def arpit(n, classes, a=16, b=32, c=64):
    """Convolutions with biases, 1x1 shortcuts where the shape changes."""
    total, inputs = 9 * 3 * a + a, a
    for outputs in (a, b, c):
        total += (inputs * outputs + outputs) if outputs != inputs else 0
        for _ in range(n):
            total += 9 * inputs * outputs + 9 * outputs**2 + 2 * outputs
            inputs = outputs
    return total + c * classes + classes


def resnet18(classes, window, channels=(64, 128, 256, 512), n=2):
    """He et al. 2016, table 1, with a first window of `window` pixels and 1x1 shortcuts with batch norm."""
    total, inputs = window * 3 * channels[0] + batch_norm(channels[0]), channels[0]
    for outputs in channels:
        for _ in range(n):
            shortcut = inputs * outputs + batch_norm(outputs) if outputs != inputs else 0
            total, inputs = total + basic(inputs, outputs, shortcut), outputs
    return total + channels[-1] * classes + classes


def fixup(classes, window):
    """Instead of batch norm five scalars a block, one behind the first layer and one in front of the last."""
    norms = 64 + 4 * 64 + 5 * (128 + 256 + 512)
    return resnet18(classes, window) - batch_norm(norms) + 8 * 5 + 2


STATED = {  # in millions
    "He et al., table 6": {resnet(3, 10): "0.27", resnet(5, 10): "0.46", resnet(7, 10): "0.66", resnet(9, 10): "0.85"},
    "Zagoruyko & Komodakis, table 4": {wide(6, 1, 10): "0.6", wide(6, 2, 10): "2.2", wide(6, 4, 10): "8.9",
                                       wide(2, 8, 10): "11.0", wide(3, 8, 10): "17.2", wide(4, 10, 10): "36.5"},
    "Huang et al., table 2": {densenet(12, 12, 10): "1.0", densenet(32, 12, 10): "7.0", densenet(32, 24, 10): "27.2"},
}  # fmt: skip


@pytest.mark.parametrize("source", STATED)
def test_the_formulas_give_what_the_papers_state(source):
    for count, stated in STATED[source].items():
        decimals = len(stated.partition(".")[2])
        assert f"{count / 1e6:.{decimals}f}" == stated


FULL = [
    ("resnet32", 10, resnet(5, 10), 464_154),
    ("resnet50", 10, resnet(8, 10), 755_802),
    ("resnet56", 10, resnet(9, 10), 853_018),
    ("wresnet44_3", 200, wide(7, 3, 200), 5_947_480),
    ("wresnet44_3_skipinit", 100, skipinit(7, 3, 100), 5_923_817),
    ("densenet40_12", 10, densenet(12, 12, 10), 1_019_722),  # as Huang et al.'s network is usually counted
    ("densenet40_12", 100, densenet(12, 12, 100), 1_060_132),
    ("resnet26_arpit", 10, arpit(4, 10), 368_682),
    ("resnet18", 10, resnet18(10, 9), 11_173_962),
    ("resnet18_fixup", 1000, fixup(1000, 49), 11_679_954),  # 11,689,512 with batch norm, as torchvision's
    ("resnet18_fixup_cifar", 10, fixup(10, 9), 11_164_404),
]


def test_torchvision_s_resnet18():
    assert resnet18(1000, 49) == 11_689_512


def parameters(model):
    return sum(p.numel() for p in model.parameters())


@pytest.mark.parametrize("name, classes, derived, total", FULL)
def test_full_size(name, classes, derived, total):
    assert derived == total
    assert parameters(build(name, classes)) == total


@pytest.mark.parametrize(
    "name, width, depth, derived",
    [
        ("resnet56", 0.25, 1 / 3, resnet(3, 10, 4, 8, 16)),
        ("resnet32", 2.0, 0.01, resnet(1, 10, 32, 64, 128)),
        ("wresnet44_3", 1 / 3, 2 / 7, _wide(2, [16, 32, 64], 10, 5, normalised=True)),
        ("wresnet44_3_skipinit", 0.5, 1 / 7, _wide(1, [24, 48, 96], 10, 8, normalised=False) + 3),
        ("densenet40_12", 0.5, 0.25, densenet(3, 6, 10, 8)),
        ("resnet26_arpit", 0.5, 0.5, arpit(2, 10, 8, 16, 32)),
        ("resnet18", 0.125, 0.5, resnet18(10, 9, (8, 16, 32, 64), 1)),
    ],
)
def test_width_multiplies_channels_and_depth_blocks(name, width, depth, derived):
    assert parameters(build(name, 10, width, depth)) == derived
