import re
import zlib

import pandas as pd
import pytest

from catfish.analysis import figures, labels
from catfish.analysis.figures import curves, style
from catfish.config import Output
from catfish.errors import ConfigError

HISTORY = {
    "train_accuracy": [0.1, 0.5, 0.7, 1.0],
    "test_accuracy": [0.1, 0.3, 0.4, 0.5],
    "validation_accuracy": [0.1, 0.35, 0.45, 0.55],
    "fisher_trace": [2.0, 40.0, 20.0, 10.0],
    "gradient_norm": [1.0, 6.0, 4.0, 3.0],
    "clean_accuracy": [0.1, 0.6, 0.8, 1.0],
    "noisy_accuracy": [0.1, 0.1, 0.2, 0.3],
    "clean_gradient_norm": [1.0, 2.0, 2.0, 1.0],
    "noisy_gradient_norm": [1.0, 4.0, 8.0, 4.0],
}


def history(factor: float, rows: int = 4) -> dict[str, list[float]]:
    return {name: [factor * value for value in values[:rows]] for name, values in HISTORY.items()}


@pytest.fixture
def plan(project):
    """Figures 1, 3, 5 with two seeds (factors 1.0 and 0.5); the second run of `diverging` ends after epoch 1."""

    def make(diverging: tuple[str, ...] = (), both: bool = False):
        made = project(
            {
                "figure1": Output(("simplecnn_c10",), ("eta_star", "baseline")),
                "figure3": Output(("simplecnn_c10", "vgg11_c100"), ("eta_star", "fp")),
                "figure5": Output(("vgg11_c100_noise25",), ("fp",), sweep="coefficients"),
            },
            simplecnn_c10={"seeds": 2},
            vgg11_c100={"seeds": 2},
            vgg11_c100_noise25={"tuning_seeds": 2, "coefficients": {"fp": (0.01, 0.1)}},
        )
        for configuration in dict.fromkeys(c for name in made.plan.params.outputs for c in made.plan.shown(name)):
            for seed, factor in enumerate((1.0, 0.5)):
                ends = configuration.method in diverging and (both or seed == 1)
                made.run(configuration, seed, diverged=17 if ends else None, learning_rate=0.0316,
                         **history(factor, 2 if ends else 4))  # fmt: skip
        return made.plan

    return make


def drawn(figure) -> list[list[tuple[float, float]]]:
    """The points of every line of more than its cross in the figure's panels."""
    lines = [line for ax in figure.axes for line in ax.get_lines() if line.get_marker() == "None"]
    return sorted([tuple(map(float, point)) for point in line.get_xydata()] for line in lines)


def listed(data: pd.DataFrame) -> list[list[tuple[float, float]]]:
    keys = ["panel", "setting", "method", "coefficient", "series", "outcome"]
    return sorted([tuple(point) for point in part[["x", "y"]].astype(float).to_numpy().tolist()]
                  for _, part in data.groupby(keys, dropna=False))  # fmt: skip


def draw(plan, name: str):
    with style.applied():
        return figures.FIGURES[name](plan, name)


@pytest.mark.parametrize("name", ["figure1", "figure3", "figure5"])
def test_the_csv_holds_what_is_drawn(plan, name):
    made = plan(diverging=("fp", "baseline"))
    figure, _ = draw(made, name)
    data = pd.read_csv(figures.render(made, name)[2])
    assert list(data) == curves.COLUMNS
    assert drawn(figure) == listed(data)


def test_figure_1_is_mean_and_range_in_the_units_of_its_axes(plan):
    _, data = draw(plan(), "figure1")
    test = data[(data["method"] == "baseline") & (data["series"] == "test")]
    assert test["x"].tolist() == [0, 1, 2, 3] and test["n"].tolist() == [2] * 4
    assert test["y"].tolist() == pytest.approx([7.5, 22.5, 30.0, 37.5])  # per cent
    assert test["y_low"].tolist() == pytest.approx([5, 15, 20, 25])
    assert test["y_high"].tolist() == pytest.approx([10, 30, 40, 50])
    assert set(data["panel"]) == {"accuracy", "fisher_trace", "gradient_norm"} and set(data["outcome"]) == {"completed"}


def test_figure_5_divides_run_by_run(plan):
    _, data = draw(plan(), "figure5")
    ratio = data[(data["panel"] == "gradient_norm_ratio") & (data["coefficient"] == 0.1)]
    assert ratio["y"].tolist() == [0.5, 0.25, 0.25]
    assert sorted(set(data["coefficient"])) == [0.01, 0.1]


def test_runs_without_a_penalty_stand_beside_those_of_every_penalty(project):
    noisy = "vgg11_c100_noise25"
    grids = {"fp": (0.01, 0.1), "gp_r": (0.01,)}
    made = project(
        {"figure5": Output((noisy,), ("baseline", "fp", "gp_r"), sweep="coefficients")},
        **{noisy: {"seeds": 1, "coefficients": grids}},
    )
    for configuration in made.plan.shown("figure5"):
        made.run(configuration, 0, **history(1.0 if configuration.coefficient is None else 0.5))
    figure, data = draw(made.plan, "figure5")
    assert len(figure.subfigs) == 2 and set(data["method"]) == {"baseline", *grids}
    for strip, (_, grid) in zip(figure.subfigs, grids.items()):
        lines = strip.axes[0].get_lines()
        grey = [line for line in lines if line.get_color() == "0.6"]
        assert len(grey) == 2 and len(lines) == 2 + 2 * len(grid)
        assert [text.get_text() for text in strip.legends[0].get_texts()][2] == "without penalty"


def test_diverged_runs_are_drawn_to_their_end_and_marked(plan):
    made = plan(diverging=("baseline",))
    figure, data = draw(made, "figure1")
    ended = data[data["outcome"] == "diverged at step 17 (seed 1)"]
    assert set(ended["method"]) == {"baseline"} and ended["x"].max() == 1
    completed = data[(data["method"] == "baseline") & (data["outcome"] == "completed")]
    assert completed["x"].max() == 3 and set(completed["n"]) == {1}
    crosses = [line for ax in figure.axes for line in ax.get_lines() if line.get_marker() == "x"]
    assert len(crosses) == 4 and all(len(line.get_xdata()) == 1 for line in crosses)
    assert any("(1 of 2 diverged)" in text for text in legend_texts(figure))


def test_axes_follow_completed_runs_and_keep_crosses_in_sight(plan, rewritten):
    made = plan(diverging=("baseline",))
    (_, baseline) = made.shown("figure1")
    path = made.run_folder(baseline, 1) / "history.csv"
    rewritten(path, path.read_text().replace("20.0,", "1e+30,"))  # Tr(F) after the first epoch
    figure, data = draw(made, "figure1")
    assert data["y_high"].max() == 1e30
    assert [ax.get_yscale() for ax in figure.axes] == ["linear"] * 3
    assert figure.axes[1].get_ylim()[1] == pytest.approx(1.05 * 40)
    (cross,) = [line for line in figure.axes[1].get_lines() if line.get_marker() == "x"]
    assert cross.get_ydata().tolist() == [pytest.approx(1.05 * 40)] and not cross.get_clip_on()


def test_values_that_overflowed_are_left_out(plan, rewritten):
    made = plan(diverging=("baseline",))
    (_, baseline) = made.shown("figure1")
    path = made.run_folder(baseline, 1) / "history.csv"
    rewritten(path, path.read_text().replace("20.0,", "inf,"))
    _, data = draw(made, "figure1")
    ended = data[(data["outcome"] != "completed") & (data["panel"] == "fisher_trace")]
    assert ended["x"].tolist() == [0]


def test_a_setting_is_headed_by_the_one_it_varies(plan):
    params = plan().params
    assert labels.title(params, "simplecnn_c10_large") == "SimpleCNN/C10 (digits), demo scale"
    assert labels.title(params, "resnet56_c100") == "ResNet-56/C100 (digits), demo scale"


def legend_texts(figure) -> list[str]:
    return [text.get_text() for strip in figure.subfigs for legend in strip.legends for text in legend.get_texts()]


def test_a_figure_without_a_completed_run_says_so(plan):
    made = plan(diverging=("eta_star", "baseline", "fp"), both=True)
    figure, _ = draw(made, "figure3")
    assert [ax.get_title("right") for ax in figure.axes] == ["every run diverged"] * 4
    figure, _ = draw(made, "figure5")
    assert [ax.get_title("right") for ax in figure.axes[:3]] == ["every run diverged"] * 3


def test_legends_carry_the_resolved_values(plan):
    figure, _ = draw(plan(diverging=("eta_star",)), "figure3")
    assert legend_texts(figure)[:2] == [r"$\eta^*$ = 0.0316 (1 of 2 diverged)", r"FP, $\eta$ = 0.0316, $\alpha$ = 0.03"]


def test_a_long_legend_is_broken_to_fit_the_page():
    with style.applied():
        figure, (strip,) = style.rows(["title"], height=2.4)
        strip.subplots(1, 2)
        style.legend(strip, [style.key(f"method {number}, with its learning rate") for number in range(8)], cases=[])
        figure.draw_without_rendering()
    box = strip.legends[0].get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and len(strip.legends) == 1


def test_wide_traces_get_a_logarithmic_axis(plan, rewritten):
    made = plan()
    (configuration, _) = made.shown("figure1")
    for seed in (0, 1):
        path = made.run_folder(configuration, seed) / "history.csv"
        rewritten(path, path.read_text().replace("40.0", "4000.0").replace("20.0", "2000.0"))
    figure, _ = draw(made, "figure1")
    assert [ax.get_yscale() for ax in figure.axes] == ["linear", "log", "linear"]


def test_smoothing_is_a_centred_average(project):
    assert [curves.smoothing_window(epochs) for epochs in (12, 59, 60, 300)] == [1, 1, 3, 11]
    values = [0.0, 0.0, 0.3, 0.6, 0.0]
    made = project({"figure3": Output(("simplecnn_c10",), ("baseline",))}, simplecnn_c10={"seeds": 1, "epochs": 60})
    (configuration,) = made.plan.shown("figure3")
    made.run(configuration, 0, diverged=99, validation_accuracy=values, fisher_trace=[1.0] * 5)
    _, data = draw(made.plan, "figure3")
    smooth = data[data["panel"] == "validation_accuracy"]
    assert smooth["x"].tolist() == [1, 2, 3, 4]  # the initialisation is left out
    assert smooth["y"].tolist() == pytest.approx([15, 30, 30, 30])


def test_epochs_without_a_measurement_are_left_out(project):
    made = project({"figure3": Output(("simplecnn_c10",), ("baseline",))}, simplecnn_c10={"seeds": 1})
    (configuration,) = made.plan.shown("figure3")
    made.run(configuration, 0, validation_accuracy=[0.1, None, 0.3, 0.4], fisher_trace=[1.0] * 4)
    _, data = draw(made.plan, "figure3")
    assert data.loc[data["panel"] == "validation_accuracy", "x"].tolist() == [2, 3]


def test_rendering_twice_gives_the_same_bytes(plan):
    made = plan(diverging=("fp",))
    first = figures.render(made, "figure5")
    content = [path.read_bytes() for path in first]
    assert first == [made.figures / f"figure5.{suffix}" for suffix in ("pdf", "png", "csv")]
    assert content == [path.read_bytes() for path in figures.render(made, "figure5")]
    assert sorted(made.figures.iterdir()) == sorted(first)  # nothing else left behind


def test_pdf_fonts_are_embedded_and_not_type_3(plan):
    pdf = figures.render(plan(), "figure1")[0].read_bytes()
    streams = re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)
    text = pdf + b"".join(inflate(stream) for stream in streams)
    assert b"/FontFile2" in text and b"/Type3" not in text and b"/CreationDate" not in text


def inflate(stream: bytes) -> bytes:
    try:
        return zlib.decompress(stream)
    except zlib.error:
        return b""


def test_an_unknown_figure_is_an_error(plan):
    with pytest.raises(ConfigError, match=r"outputs.figure99: no such figure; there are: figure1, figure2, figure3"):
        figures.render(plan(), "figure99")
