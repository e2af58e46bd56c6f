import numpy as np
import pandas as pd
import pytest


def test_claims_are_judged_by_the_runs_of_the_campaign(finished, plan):
    folder = finished.folder / plan.figures
    rows = pd.read_csv(folder / "claims.csv")
    numbers = [*map(str, range(1, 12)), *(f"M{number}" for number in range(1, 8))]
    assert rows["claim"].drop_duplicates().tolist() == numbers
    assert {"claims.md", "claims.tex"} <= {path.name for path in folder.iterdir()}

    def accuracy(method):
        folders = plan.run_folders(plan.configuration("simplecnn_c10", method))
        return np.mean([pd.read_csv(finished.folder / f / "history.csv")["test_accuracy"].iloc[-1] for f in folders])

    (part,) = rows[rows["name"] == "small_rate_generalises_worse"].itertuples()
    assert part.value == pytest.approx(100 * (accuracy("baseline") - accuracy("eta_star")))
    assert part.n == 4 and part.note.startswith(
        "digits in place of cifar10; at the edge of a grid: simplecnn_c10/eta_star"
    )
