"""mech_figure3: the first steps with a small and a large learning rate, embedded in a plane (the talk)."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, FigureBase
from matplotlib.patheffects import withStroke

from catfish.analysis import labels, mechanisms
from catfish.analysis.collect import Case, LoadedRun, load
from catfish.analysis.figures import style
from catfish.plan import Plan

COLUMNS = ["embedding", "setting", "learning_rate", "seed", "outcome", "step", "x", "y", "covariance_largest",
           "train_accuracy", "parting"]  # fmt: skip
_LINES = ["#0072B2", "#D55E00"]  # the smaller and the larger learning rate: blue and red in the talk
_MARKERS = ["o", "s"]
_PERPLEXITY = 30.0  # neighbours that t-SNE keeps near, scikit-learn's own choice; fewer if there are not so many points
_PANELS = {"covariance_largest": r"$\lambda_\mathbf{K}^1$", "train_accuracy": "training accuracy (%)"}


def draw(plan: Plan, name: str) -> tuple[Figure, pd.DataFrame]:
    """Two rows of panels, by t-SNE and by PCA, coloured by lambda_K^1 and by training accuracy; a row a point.

    Shown are the runs of seed 0 of the smallest and the largest learning rate of the output's setting. Both methods see
    the same vectors: the outputs on the same examples. `parting` marks the last row of either path before they part,
    see `mechanisms.parting`.
    """
    cases = sorted(load(plan, plan.shown(name)), key=lambda case: case.learning_rate)
    ends = [cases[0], cases[-1]]
    paths = [mechanisms.outputs(case.runs[0]) for case in ends]
    apart = mechanisms.parting(paths[1], paths[0])
    data = pd.concat(
        [_rows(kind, case, points, apart if place else None)
         for kind, embedded in _embeddings(paths).items()
         for place, (case, points) in enumerate(zip(ends, embedded))], ignore_index=True,
    )  # fmt: skip
    title = labels.title(plan.params, cases[0].configuration.setting)
    figure, strips = style.rows([f"{title}: {kind}" for kind in ("t-SNE", "PCA")], height=2.6)
    for strip, (_, shown) in zip(strips, data.groupby("embedding", sort=False)):
        _row(strip, shown, ends)
    _legend(strips[-1], ends, apart)
    return figure, data


def _embeddings(paths: list[np.ndarray]) -> dict[str, list[np.ndarray]]:
    """Each path's points in the plane (n, 2), by t-SNE and by PCA of all points together; the same every time."""
    # Here, since they take a second to import, and no other figure needs them.
    from sklearn.decomposition import PCA  # noqa: PLC0415
    from sklearn.manifold import TSNE  # noqa: PLC0415

    points = np.concatenate(paths)
    perplexity = min(_PERPLEXITY, (len(points) - 1) / 3)
    # "exact" does not depend on the number of threads, and a few hundred points take it a second or two.
    tsne = TSNE(perplexity=perplexity, init="pca", method="exact", random_state=0)
    found = {"t-SNE": tsne.fit_transform(points), "PCA": PCA(2, svd_solver="full").fit_transform(points)}
    return {kind: np.split(plane, [len(paths[0])]) for kind, plane in found.items()}


def _rows(kind: str, case: Case, points: np.ndarray, apart: int | None) -> pd.DataFrame:
    run: LoadedRun = case.runs[0]
    table = run.trajectory[["step", "covariance_largest", "train_accuracy"]].assign(
        embedding=kind, setting=case.configuration.setting, learning_rate=case.learning_rate, seed=run.seed,
        outcome=run.outcome_text, x=points[:, 0], y=points[:, 1], parting=False,
    )  # fmt: skip
    table["train_accuracy"] *= 100
    if apart is not None:
        table.loc[table.index[apart - 1], "parting"] = True
    return table[COLUMNS]


def _row(strip: FigureBase, data: pd.DataFrame, cases: list[Case]) -> None:
    for axes, (column, label) in zip(strip.subplots(1, 2), _PANELS.items()):
        values = data[column].replace([np.inf, -np.inf], np.nan).dropna()
        logarithmic = style.spans(values) and bool((values > 0).all())
        norm = (LogNorm if logarithmic else Normalize)(values.min(), values.max())
        for case, colour, marker in zip(cases, _LINES, _MARKERS):
            path = data[data["learning_rate"] == case.learning_rate]
            axes.plot(path["x"], path["y"], color=colour, linewidth=0.8, zorder=1)
            axes.scatter(path["x"], path["y"], c=path[column], norm=norm, cmap="viridis", s=14, marker=marker,
                         edgecolors=colour, linewidths=0.6, zorder=2)  # fmt: skip
            last = path.iloc[-1]
            number = axes.annotate(f"{last['step']:.0f}", (last["x"], last["y"]), xytext=(4, 4),
                                   textcoords="offset points", fontsize=7, color=colour)  # fmt: skip
            number.set_path_effects([withStroke(linewidth=2, foreground="white")])
        marked = data[data["parting"]]
        axes.plot(marked["x"], marked["y"], linestyle="", marker="*", markersize=11, color="#000000",
                  markerfacecolor="none", zorder=3)  # fmt: skip
        axes.set_axis_off()
        axes.margins(0.08)
        strip.colorbar(ScalarMappable(norm, colormaps["viridis"]), ax=axes, pad=0.02, aspect=25).set_label(label)


def _legend(strip: FigureBase, cases: list[Case], apart: int | None) -> None:
    keys = [
        style.key(rf"$\eta$ = {labels.number(case.learning_rate)}{_ended(case)}", colour, "-", marker)
        for case, colour, marker in zip(cases, _LINES, _MARKERS)
    ]
    text = "the paths do not part"
    if apart is not None:
        keys.append(style.key("where they part", "#000000", "", "*"))
        step = cases[1].runs[0].trajectory["step"].iloc[apart - 1]
        text = f"they part after step {step:.0f} of the larger learning rate"
    style.below(strip, keys, f"{text}; numbers: the last step; single runs from the same initialisation")


def _ended(case: Case) -> str:
    return "" if case.runs[0].completed else f" ({case.runs[0].outcome_text})"
