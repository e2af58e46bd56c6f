import re

import pytest
from torch import nn

from catfish.cli import main
from catfish.datasets import load_prepared
from catfish.datasets.sizes import SIZES
from catfish.training.describe import count, describe


def test_operations_are_those_of_the_matrix_products():
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 5, bias=False), nn.ReLU(), nn.Linear(5, 3, bias=False))
    cost = count(model, side=2, classes=3)
    assert cost.forward == 2 * (12 * 5 + 5 * 3)
    assert cost.step == cost.forward + 2 * (12 * 5 + 2 * 5 * 3)  # the first layer has no gradient at its input
    for penalty in ("fisher", "gradient", "random_label_gradient"):
        assert 1.5 * cost.step < cost.penalties[penalty] < 4 * cost.step


def test_the_number_of_runs_is_that_of_different_runs(plan):
    chosen = {
        selection.id: {"best": selection.values[0]}
        for configuration in plan.jobs
        for selection in plan.needs(configuration)
    }
    for name in ("simplecnn_c10", "vgg11_c100_noise25"):
        different = {
            plan.run(configuration, seed, chosen).fingerprint("data")
            for configuration in plan.jobs
            for seed in plan.seeds(configuration)
            if configuration.setting == name
        }
        assert int(re.search(r"together +(\d+)", describe(plan, name))[1]) == len(different)


def test_everything_a_reader_wants_is_said(plan):
    text = describe(plan, "vgg11_c100_noise25")
    for words in ("vgg11 on digits", "96 images, 25% of their labels replaced, 40 held out", "3 of batch size 32",
                  "learning rate x0.1 after epochs 1", "that of simplecnn_c10; small: eta* / 10",
                  "0.001, 0.01"):  # fmt: skip
        assert words in text


def test_a_setting_that_nothing_shows_has_no_runs(plan):
    assert "No table or figure at scale tiny shows this setting" in describe(plan, "vgg11_c100")


def test_an_unknown_setting_is_named(project, tiny_text, capsys):
    (project / "params.yaml").write_text(tiny_text)
    with pytest.raises(SystemExit) as exit:
        main(["describe", "vgg12"])
    assert exit.value.code == 2
    assert "no setting 'vgg12'; there are: wresnet_tiny" in capsys.readouterr().err


def test_sizes_are_those_of_the_prepared_data(digits):
    manifest = load_prepared(digits).manifest
    counts = manifest["counts"]
    assert SIZES["digits"] == (counts["train"], counts["test"], manifest["classes"], 32)
