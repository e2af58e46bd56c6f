import pytest

from catfish.analysis import published


def test_every_entry_of_every_table_once():
    table = published.table()
    assert table.groupby("output").size().to_dict() == {
        "table1": 30, "table2": 10, "table3": 20, "table4": 24, "table5": 30, "table6": 30,
        "figure13": 1, "figure14": 1, "figure17": 3,
        "mech_table3": 17, "mech_table4": 10, "mech_figure7": 4,
    }  # fmt: skip
    assert not table.duplicated(["output", "setting", "method"]).any()
    assert table.drop(columns="spread").notna().all().all()
    sources = {f"table{number}": f"ICML 2021, Table {number}" for number in range(1, 7)}
    sources |= dict.fromkeys(("figure13", "figure14"), "ICML 2021, appendix C")
    sources["figure17"] = "ICML 2021, appendix E"
    assert (table["output"].map(sources).fillna("Novack et al. 2022, public results") == table["source"]).all()


@pytest.mark.parametrize(
    ("output", "setting", "method", "value"),
    [
        ("table1", "vgg11_c100", "fp", 49.87),
        ("table1", "wresnet_tiny", "gp_r", 55.41),
        ("table2", "simplecnn_c10_aug", "fp_eta_star", 87.52),
        ("table3", "vgg11_c100_noise25", "mixup", 52.31),
        ("table3", "resnet50_c100_noise50", "gp_r", 50.08),
        ("table4", "vgg11_c100", "baseline", 148.19),
        ("table5", "wresnet_c100", "gp_x", 71.33),
        ("table6", "simplecnn_c10", "gp_x", 97.79),
        ("figure13", "simplecnn_c10", "fp", 80.02),
        ("figure14", "simplecnn_c10", "fp_first_example", 79.7),
        ("figure17", "simplecnn_c10_large", "baseline", 73.59),
        ("mech_table3", "mech_resnet18_c100", "ft", 71.20),
        ("mech_table3", "mech_vgg11_c10", "average_jacobian", 74.09),
        ("mech_table4", "mech_resnet18_c10", "graft_external", 92.16),
        ("mech_figure7", "mech_resnet18_c100", "ft_half", 64.89),
    ],
)
def test_values_as_printed(output, setting, method, value):
    assert published.entries(output).loc[(setting, method), "value"] == value


def test_only_table_2_gives_a_spread():
    table = published.table()
    assert set(table.loc[table["spread"].notna(), "output"]) == {"table2"}
    assert published.entries("table2").loc[("vgg11_c100_aug", "eta_star"), "spread"] == 1.23


def test_units_are_those_of_the_tables():
    units = published.table().groupby("output")["unit"].unique().map(list).to_dict()
    others = {output: unit for output, unit in units.items() if unit != ["%"]}
    assert others == {"table4": ["1"], "table5": ["s"]}


def test_names_of_settings():
    assert published.label("vgg11_c100") == "VGG11/C100" and published.label("other") is None
    assert published.dataset("simplecnn_c10") == "cifar10"
    assert published.dataset("vgg11_c100_noise25") == "cifar100"
    assert published.dataset("wresnet_tiny") == "tinyimagenet"
    assert published.dataset("resnet18_imagenet") == "imagenet"
    assert published.dataset("other") is None
