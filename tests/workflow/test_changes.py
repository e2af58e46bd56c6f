"""What runs again after a change, and what does not."""

import json
import os
import signal
import subprocess
import time

import pytest


def test_nothing_is_left_to_do(finished):
    assert finished.planned() == set()


def test_a_comment_changes_nothing(campaign):
    path = campaign.folder / "params.yaml"
    path.write_text("# a new comment\n" + path.read_text())
    assert campaign.planned() == set()


def test_how_training_is_spread_over_machines_changes_nothing(finished):
    planned = finished.snakemake("--dry-run", "--config", "gpu_slots=2", "checkpoint_seconds=7", "--", "figures").stdout
    assert "Nothing to be done" in planned


def test_one_methods_coefficient_reruns_what_depends_on_it(campaign):
    document = campaign.params()
    document["scales"]["tiny"]["methods"]["fp"]["coefficients"] = [0.001, 0.02]
    campaign.write_params(document)
    planned = campaign.planned()
    assert "train_1_seeds simplecnn_c10/fp/lr-small_coefficient-0.02" in planned
    assert "select simplecnn_c10/fp" in planned
    assert {"table1", "figure3", "metrics"} <= planned
    assert "figure1" not in planned
    assert "table3" not in planned  # the noise setting has a grid of its own
    others = {job for job in planned if "/" in job or job.startswith("select")}
    assert all("simplecnn_c10" in job and "fp" in job for job in others)
    campaign.snakemake("figures")
    assert campaign.planned() == set()


def test_another_seed_trains_only_that_seed(campaign):
    before = campaign.histories()
    document = campaign.params()
    document["scales"]["tiny"]["setting_defaults"]["seeds"] = 3
    campaign.write_params(document)
    campaign.snakemake("runs")
    after = campaign.histories()
    assert {path: after[path] for path in before} == before
    assert {path.parent.name for path in set(after) - set(before)} == {"seed2"}
    assert campaign.planned("runs") == set()


def test_a_longer_training_reruns_one_setting(campaign):
    document = campaign.params()
    document["scales"]["tiny"]["settings"]["vgg11_c100_noise25"]["epochs"] = 3
    campaign.write_params(document)
    planned = campaign.planned()
    assert {"table3", "figure5"} <= planned
    assert not {"table1", "figure1", "figure3"} & planned
    assert all("vgg11_c100_noise25" in job for job in planned if "/" in job)


def test_wrong_params_stop_before_anything_runs(campaign):
    document = campaign.params()
    document["settings"]["simplecnn_c10"]["learning_rat"] = 0.1
    campaign.write_params(document)
    done = campaign.snakemake("--dry-run", check=False)
    assert done.returncode != 0
    assert "settings.simplecnn_c10.learning_rat: unknown key" in done.stderr + done.stdout


def test_a_failing_seed_loses_no_finished_one(campaign):
    """The second seed cannot write its folder; the first one's files stay, and only the second is made later."""
    campaign.show_only("table1")
    runs = campaign.folder / "results/tiny/runs/simplecnn_c10/baseline/lr-small"
    kept = (runs / "seed0/history.csv").read_bytes()
    for file in (runs / "seed1").iterdir():
        file.unlink()
    (runs / "seed1").rmdir()
    (runs / "seed1").write_text("in the way")
    assert campaign.snakemake("runs", check=False).returncode != 0
    assert (runs / "seed0/history.csv").read_bytes() == kept
    (runs / "seed1").unlink()
    campaign.snakemake("runs")
    assert json.loads((runs / "seed1/run.json").read_text())["outcome"] == {"status": "completed"}
    assert (runs / "seed0/history.csv").read_bytes() == kept
    campaign.snakemake("figures")
    assert campaign.planned() == set()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_an_interrupted_campaign_continues(campaign, how):
    """All processes stopped in the middle; finished runs stay as they are."""
    campaign.show_only("table1", "table3")
    document = campaign.params()
    document["scales"]["tiny"]["setting_defaults"]["momentum"] = 0.8
    campaign.write_params(document)
    before = campaign.histories()
    process = subprocess.Popen(
        campaign.command("runs"),
        cwd=campaign.folder,
        env=campaign.environment(),
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # the tests' own process may ignore it
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )

    def until_begun(count: int) -> None:  # two jobs at a time train: with the third begun run one is finished
        deadline = time.time() + 120
        while sum(file != before[path] for path, file in campaign.histories().items()) < count:
            assert time.time() < deadline
            time.sleep(0.1)

    until_begun(1)
    second = campaign.snakemake("runs", check=False)
    assert second.returncode
    assert f"the campaign of the scale tiny that process {process.pid} on " in second.stderr
    assert "goes on; wait for it" in second.stderr and process.poll() is None
    until_begun(3)
    os.killpg(process.pid, how)
    process.wait(timeout=60)
    done = {path.with_name("history.csv") for path in campaign.folder.glob("results/**/run.json")
            if json.loads(path.read_text())["run"]["momentum"] == 0.8}  # fmt: skip
    files = {path: file for path, file in campaign.histories().items() if path in done}
    assert files
    unlocked = campaign.snakemake("--unlock")
    assert ("was killed; say `snakemake --unlock` once" in unlocked.stderr) == (how == signal.SIGKILL)
    made = campaign.snakemake("figures")
    assert "locked" not in made.stderr
    after = campaign.histories()
    assert {path: after[path] for path in files} == files
    assert campaign.planned() == set()
