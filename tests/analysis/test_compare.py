"""Two folders of small real runs, A and B, moved away from the project that wrote them."""

import json
import math
import shutil
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import ttest_ind

from catfish.analysis.changed_fields import changed_fields
from catfish.analysis.compare import compare, same_runs
from catfish.analysis.compare_layout import text
from catfish.analysis.result_folder import read_folder
from catfish.cli import main
from catfish.config import Output
from catfish.errors import RecordError, ResultError

SETTING = "simplecnn_c10"
BASELINE, FP = f"{SETTING}/baseline/lr-small", f"{SETTING}/fp/lr-small_coefficient-best"


@pytest.fixture
def write(project):
    """Writes a folder of results by a function that gets the project and its configurations by id."""

    def folder(name, runs, settings=(SETTING,), methods=("baseline", "fp"), **changes) -> Path:
        made = project({"table1": Output(tuple(settings), tuple(methods))}, **changes)
        runs(made, made.plan.configurations)
        return Path("results/demo").rename(name)

    return folder


def accuracies(*values, id=BASELINE, **more):
    """Runs of one configuration with these test accuracies at the last epoch."""

    def runs(made, configurations):
        for seed, value in enumerate(values):
            made.run(configurations[id], seed, test_accuracy=[0.0, 0.9, 0.1, value], **more)

    return runs


def edit(path: Path, **values) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def rows(a: Path, b: Path) -> pd.DataFrame:
    return compare(read_folder(a), read_folder(b)).set_index(["configuration", "quantity"])


def report(a: Path, b: Path) -> list[str]:
    first, second = read_folder(a), read_folder(b)
    return text(first, second, compare(first, second)).splitlines()


def cells(lines: list[str], title: str) -> list[str]:
    (line,) = [line for line in lines if line.startswith(f"| {title} ")]
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


# Numbers


def test_means_spreads_and_the_difference_in_standard_errors(write):
    a, b = write("a", accuracies(0.5, 0.7)), write("b", accuracies(0.6, 0.8, 1.0))
    row = rows(a, b).loc[BASELINE, "test_accuracy"]
    assert row[["n_a", "n_b"]].tolist() == [2, 3] and (row["setting"], row["method"]) == (SETTING, "baseline")
    numbers = row[["mean_a", "std_a", "mean_b", "std_b", "difference", "standard_error"]].tolist()
    assert numbers == pytest.approx([60, math.sqrt(200), 80, 20, 20, math.sqrt(200 / 2 + 400 / 3)])
    welch = ttest_ind([0.6, 0.8, 1.0], [0.5, 0.7], equal_var=False).statistic
    assert row["difference_in_standard_errors"] == pytest.approx(welch)


def test_every_quantity_and_the_epochs_it_is_taken_from(write):
    def runs(made, configurations):
        made.run(configurations[BASELINE], 0, seconds=3.0, test_accuracy=[0.0, 0.9, 0.1, 0.4],
                 train_accuracy=[0.0, 1.0, 0.1, 0.75], fisher_trace=[99.0, 5.0, 7.0, 6.0],
                 hessian_trace=[50.0, None, None, -8.0])  # fmt: skip

    frame = rows(write("a", runs), write("b", runs)).loc[BASELINE]
    assert frame["mean_a"].to_dict() == {
        "test_accuracy": 40, "max_fisher_trace": 7, "train_accuracy": 75, "hessian_trace": -8, "seconds_per_epoch": 3
    }  # fmt: skip
    assert frame["difference"].tolist() == [0] * 5 and frame["standard_error"].isna().all()


def test_what_one_side_did_not_measure_is_a_dash_and_what_neither_did_is_left_out(write):
    a, b = write("a", accuracies(0.5, 0.6)), write("b", accuracies(0.5, 0.6, fisher_trace=[1.0, 4.0, 2.0, 3.0]))
    lines = report(a, b)
    assert cells(lines, "max Tr(F)") == ["–", "4.000 ± 0.000 (2)", "–", "–"]
    assert not any("| Tr(H)" in line for line in lines)
    assert rows(a, b).loc[BASELINE, "hessian_trace"][["n_a", "n_b"]].tolist() == [0, 0]


@pytest.mark.parametrize(
    "a, b, n",
    [([0.5], [0.6, 0.8], ["50.00 (1)", "70.00 ± 14.14 (2)"]), ([0.6, 0.8], [0.5], ["70.00 ± 14.14 (2)", "50.00 (1)"])],
)
def test_a_single_run_has_no_standard_error(write, a, b, n):
    lines = report(write("a", accuracies(*a)), write("b", accuracies(*b)))
    assert cells(lines, "test accuracy (%)") == [*n, "+20.00" if len(a) == 1 else "−20.00", "–"]
    assert lines[-1] == "- Differences of more than 2 standard errors: none can be judged."


def test_equal_values_have_no_standard_error_whatever_rounding_leaves(write):
    a, b = write("a", accuracies(0.107, 0.107, 0.107)), write("b", accuracies(0.307, 0.307, 0.307))
    row = rows(a, b).loc[BASELINE, "test_accuracy"]
    assert 0 < max(row["std_a"], row["std_b"]) < 1e-12  # of three equal numbers
    assert row["difference"] == pytest.approx(20) and math.isnan(row["difference_in_standard_errors"])


def test_large_differences_are_counted(write):
    lines = report(write("a", accuracies(0.50, 0.52)), write("b", accuracies(0.60, 0.62)))
    assert cells(lines, "test accuracy (%)")[2:] == ["+10.00", "+7.1"]
    assert lines[-1] == "- Differences of more than 2 standard errors: test accuracy (%) 1 of 1."


def test_diverged_runs_are_counted_and_left_out_of_means(write):
    def runs(made, configurations):
        accuracies(0.5, 0.7)(made, configurations)
        made.run(configurations[BASELINE], 2, diverged=7, test_accuracy=[0.1])
        made.run(configurations[FP], 0, diverged=9, test_accuracy=[0.1])

    a, b = write("a", runs), write("b", runs)
    frame, lines = rows(a, b), report(a, b)
    assert frame.loc[(BASELINE, "test_accuracy"), ["n_a", "diverged_a", "n_b", "diverged_b"]].tolist() == [2, 1, 2, 1]
    assert "; 4 runs, 2 diverged, 2 configurations; " in lines[2]
    start = lines.index(next(line for line in lines if f"*{FP}*" in line))
    assert [cell.strip() for cell in lines[start + 1].split("|")[1:4]] == ["diverged runs", "1", "1"]
    assert lines[start + 2] == ""  # nothing to average


# What differs


def test_symbols_meet_and_show_what_they_stood_for(write):
    a = write("a", accuracies(0.5, 0.6, id=FP, learning_rate=0.01, coefficient=0.1))
    b = write("b", accuracies(0.5, 0.6, id=FP, learning_rate=0.0316, coefficient=0.1))
    lines = report(a, b)
    assert cells(lines, "learning rate") == ["0.01", "0.0316", "", ""]
    assert not any(line.startswith("| coefficient") for line in lines)
    row = rows(a, b).loc[FP, "test_accuracy"]
    assert row[["learning_rate_a", "learning_rate_b", "coefficient_b"]].tolist() == ["0.01", "0.0316", "0.1"]


def test_changed_settings_are_named_once(write):
    def runs(made, configurations):
        for configuration in configurations.values():
            if configuration.method in ("baseline", "fp") and configuration.coefficient in (None, "best"):
                made.run(configuration, 0)

    settings = (SETTING, "vgg11_c100")
    a = write("a", runs, settings)
    b = write("b", runs, settings, simplecnn_c10={"batch_size": 7}, vgg11_c100={"width": 0.5, "epochs": 4})
    for path in b.rglob("run.json"):
        run = json.loads(path.read_text())["run"]
        extra = {"every": 3} if run["penalty"] else {}
        edit(path, run={key: value for key, value in run.items() if key != "mixup"} | {"code_version": 99} | extra)
    changes = changed_fields(read_folder(a), read_folder(b))
    was = json.loads((a / "runs" / FP / "seed0" / "run.json").read_text())["run"]
    batch, version = f"batch_size {was['batch_size']} → 7", f"code_version {was['code_version']} → 99"
    assert batch in changes[SETTING] and f"every {was['every']} → 3 (fp)" in changes[SETTING]
    assert "epochs 3 → 4" in changes["vgg11_c100"] and "epochs 3 → 4" not in changes[SETTING]
    lines = report(a, b)
    (common,) = [line for line in lines if line.startswith("- All settings (A → B): ")]
    assert "mixup false → absent" in common and version in common
    (own,) = [line for line in lines if line.startswith(f"- {SETTING} (A → B): ")]
    assert own == f"- {SETTING} (A → B): {batch}"


def test_nested_settings_and_seeds_that_disagree_are_shown(write):
    a, b = write("a", accuracies(0.5, 0.6)), write("b", accuracies(0.5, 0.6))
    path = b / "runs" / BASELINE / "seed1" / "run.json"
    run = json.loads(path.read_text())["run"]
    edit(path, run=run | {"split": run["split"] | {"noise": 0.5}})
    assert changed_fields(read_folder(a), read_folder(b)) == {SETTING: ["split.noise 0.0 → 0.0 or 0.5"]}


def test_the_same_runs_are_recognised(write):
    a, b = write("a", accuracies(0.5, 0.6, 0.7)), write("b", accuracies(0.5, 0.6, 0.8, 0.9))
    edit(b / "runs" / BASELINE / "seed0" / "run.json", fingerprint="1")
    assert same_runs(read_folder(a), read_folder(b)) == (3, 2, 2)
    assert "Settings: no difference" in "\n".join(report(a, b))


def test_the_header_says_what_made_the_runs(write):
    a, b = write("a", accuracies(0.5, 0.6, 0.7)), write("b", accuracies(0.5))
    (alone,) = b.rglob("run.json")
    origin = ("versions", "commit", "hardware", "threads")
    alone.write_text(json.dumps({k: v for k, v in json.loads(alone.read_text()).items() if k not in origin}))
    for path in sorted(a.rglob("run.json")):
        made = {"versions": {"torch": "2.14.0", "numpy": "2.4.6"}, "hardware": "A CPU x8", "threads": 4}
        second = "seed1" in str(path)
        edit(path, commit="abc" if second else "def-dirty", precision="fp32" if second else "bf16", **made)
    lines = report(a, b)
    assert lines[2] == (
        "- A is a: scale a; 3 runs, 0 diverged, 1 configuration; commit def-dirty (2 of 3), abc (1 of 3); "
        "versions torch-2.14.0 numpy-2.4.6; hardware A CPU x8; threads 4; precision bf16 (2 of 3), fp32 (1 of 3)"
    )
    assert lines[3].endswith("commit unknown; versions unknown; hardware unknown; threads unknown; precision fp32")


def test_configurations_of_one_folder_are_counted_and_the_first_named(write):
    def everything(made, configurations):
        for configuration in configurations.values():
            made.run(configuration, 0)

    a, b = write("a", everything, methods=("baseline", "fp", "gp", "gp_r")), write("b", accuracies(0.5))
    only = sorted(set(read_folder(a).runs) - {BASELINE})
    assert len(only) > 5
    (line,) = [line for line in report(a, b) if line.startswith("- Only in ")]
    assert line == f"- Only in A: {len(only)} ({', '.join(only[:5])}, and {len(only) - 5} more)"


def test_folders_that_share_nothing_are_still_described(write):
    lines = report(write("a", accuracies(0.5)), write("b", accuracies(0.5, id=FP)))
    assert lines[-1] == "No configuration is in both." and f"- Only in B: 1 ({FP})" in lines


# Folders as they are found


def test_damaged_runs_are_named_and_the_others_compared(write):
    a, b = write("a", accuracies(0.5, 0.6, 0.7)), write("b", accuracies(0.5, 0.6))
    (a / "runs" / BASELINE / "seed0" / "run.json").unlink()
    (a / "runs" / BASELINE / "seed1" / "history.csv").write_bytes(b"\xff\xfe\x00")
    lines = report(a, b)
    (line,) = [line for line in lines if line.startswith("- Left out of A, 2 damaged: ")]
    assert "seed0/run.json: missing" in line and "seed1/history.csv: other columns" not in line
    assert "seed1/history.csv: cut off" in line
    assert cells(lines, "test accuracy (%)")[0] == "70.00 (1)"


def test_a_copied_run_does_not_count_twice(write):
    a = write("a", accuracies(0.5, 0.6))
    shutil.copytree(a / "runs" / BASELINE / "seed1", a / "runs" / BASELINE / "seed1_old")
    folder = read_folder(a)
    assert [run.seed for run in folder.runs[BASELINE]] == [0, 1]
    assert len(folder.damaged) == 1 and f"seed1_old/run.json: is the run of runs/{BASELINE}/seed1" in folder.damaged[0]


def test_tables_of_another_version_are_read(write, rewritten):
    a, b = write("a", accuracies(0.5, 0.6)), write("b", accuracies(0.7, 0.8))
    for name in ("history.csv", "timing.csv"):
        for path in a.rglob(name):
            table = pd.read_csv(path).rename(columns={"noisy_accuracy": "other", "curvature_seconds": "seconds"})
            rewritten(path, table.to_csv(index=False))
    for path in a.rglob("run.json"):  # an older one, that knew fewer measurements
        edit(path, run=json.loads(path.read_text())["run"] | {"measure": {"evaluate_every": 1}})
    folder = read_folder(a)
    assert folder.damaged == [] and folder.runs[BASELINE][0].history["noisy_accuracy"].isna().all()
    assert rows(a, b).loc[BASELINE, "test_accuracy"]["difference"] == pytest.approx(20)


def test_a_pattern_picks_configurations(write):
    def runs(made, configurations):
        accuracies(0.5)(made, configurations)
        accuracies(0.6, id=FP)(made, configurations)

    a = write("a", runs)
    assert list(read_folder(a).runs) == [BASELINE, FP]
    assert list(read_folder(a, "*/fp/*").runs) == [FP]
    with pytest.raises(ResultError, match=r"a/runs: no configuration matches '\*/gp/\*'"):
        read_folder(a, "*/gp/*")


def test_a_wrong_folder_is_refused_with_the_right_one(write):
    a = write("a", accuracies(0.5)).absolute()
    with pytest.raises(ResultError, match=r"nowhere: no such folder; give the results of one scale"):
        read_folder(Path("nowhere"))
    for wrong in (a.parent, a / "runs"):
        with pytest.raises(ResultError) as error:
            read_folder(wrong)
        assert str(error.value) == f"{wrong}: no runs in it (runs/<configuration>/seed<n>/run.json); give {a}"
    project = a.rename(a.parent / "results/demo")
    with pytest.raises(ResultError, match=f"; give {project}$"):
        read_folder(a.parent)
    with pytest.raises(ResultError, match=r"; train some, or give another folder$"):
        read_folder(project / "runs" / BASELINE)


def test_a_folder_of_damaged_runs_only_is_refused(write):
    a = write("a", accuracies(0.5, 0.6))
    for path in a.rglob("run.json"):
        path.write_text("{")
    with pytest.raises(RecordError, match=r"a: none of its 2 runs can be read; .*seed0/run.json: not valid JSON"):
        read_folder(a)


# The command


def test_the_command_needs_no_params_file(write, capsys):
    write("a", accuracies(0.5, 0.6))
    write("b", accuracies(0.6, 0.7))
    main(["compare", "a", "b", "--csv", "out/compared.csv", "--only", "*/baseline/*"])
    lines = capsys.readouterr().out.splitlines()
    assert cells(lines, "test accuracy (%)") == ["55.00 ± 7.07 (2)", "65.00 ± 7.07 (2)", "+10.00", "+1.4"]
    expected = compare(read_folder(Path("a")), read_folder(Path("b")))
    written = pd.read_csv("out/compared.csv")
    assert list(written) == list(expected) and len(written) == 5
    assert written["mean_b"].equals(expected["mean_b"]) and written["learning_rate_a"].tolist() == [0.01] * 5
    assert not Path("params.yaml").exists() and [path.name for path in Path("out").iterdir()] == ["compared.csv"]
