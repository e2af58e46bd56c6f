"""Archived runs: they come back as they were, and stand in for training and data where the params ask for them."""

import json
import lzma
import shutil
import subprocess

import pandas as pd
import pytest

from catfish import archive
from catfish.analysis.verify import verify
from catfish.config import load
from catfish.errors import RecordError, ResultError
from catfish.plan import Plan

EARLY = "resnet26_c100_early_large/eta_star/lr-0.01"
RUN = "results/tiny/runs/simplecnn_c10/baseline/lr-small/seed1"


@pytest.fixture
def plan(campaign, monkeypatch) -> Plan:
    monkeypatch.chdir(campaign.folder)
    return Plan(load("params.yaml"))


@pytest.fixture
def packed(campaign, plan):
    """The campaign's folder with its archive and params alone: no data, no runs, no memory of Snakemake."""
    assert archive.pack(plan) == []
    for name in ("results", "figures", "data", "logs", ".snakemake"):
        shutil.rmtree(campaign.folder / name)
    return campaign


def tables(folder):
    """Every run's tables, by path."""
    return {path.relative_to(folder): path.read_bytes() for path in folder.glob("results/**/*.csv")}


def trained(planned):
    """The configurations among planned jobs that are trained."""
    return {job.split()[1] for job in planned if job.startswith("train_")}


def test_runs_come_back_with_every_digit(finished, packed, plan):
    assert archive.unpack(plan, archive.read(plan)) == (sum(plan.jobs.values()), 0)
    folder = finished.folder / "results/tiny"
    names = [path.name for path in folder.rglob("*.csv") if path.name != "curves.csv"]
    assert {"history.csv", "timing.csv", "steps.csv"} == set(names)
    before = {path: text for path, text in tables(finished.folder).items() if path.name != "curves.csv"}
    assert tables(packed.folder) == before
    for path in folder.rglob("run.json"):
        old = json.loads(path.read_text())
        old["files"].pop("weights.pt", None)
        assert json.loads((packed.folder / path.relative_to(finished.folder)).read_text()) == old
    for path in (folder / "select").rglob("*.json"):
        assert (packed.folder / path.relative_to(finished.folder)).read_bytes() == path.read_bytes()
    assert list(verify(plan)) == []  # nor is anything to be trained, which would need data


def test_unpacking_again_leaves_runs_alone_and_replaces_others(packed, plan):
    archived = archive.read(plan)
    archive.unpack(plan, archived)
    before, path = packed.histories(), packed.folder / RUN / "history.csv"
    path.write_text(path.read_text().replace("0.", "1.", 1))
    (packed.folder / RUN / "checkpoint.pt").write_text("of another run")
    assert archive.unpack(plan, archived) == (1, sum(plan.jobs.values()) - 1)
    changed = {file for file, identity in packed.histories().items() if before[file] != identity}
    assert changed == {path} and not (packed.folder / RUN / "checkpoint.pt").exists()


def test_an_archived_campaign_is_rendered_without_training_and_data(finished, packed):
    shown = ["table1", "table5", "figure1", "figure6", "figure15"]  # every kind of table, and a continued run
    packed.show_only(*shown)
    planned = packed.planned()
    assert "unpack" in planned and trained(planned) == set()
    assert not {job for job in planned if job.split()[0] in ("prepare", "split", "select")}
    packed.snakemake("figures")
    assert not (packed.folder / "data").exists()
    for name in shown:
        made = (folder.folder / f"figures/tiny/{name}.csv" for folder in (finished, packed))
        assert len({path.read_bytes() for path in made}) == 1
    assert packed.planned() == set()


def test_a_change_trains_what_depends_on_it_and_takes_the_rest_from_the_archive(packed):
    document = packed.params()
    document["scales"]["tiny"]["methods"]["fp"]["coefficients"] = [0.001, 0.02]
    packed.write_params(document)
    planned = packed.planned()
    assert {"unpack", "prepare digits", "select simplecnn_c10/fp"} <= planned
    fp = "simplecnn_c10/fp/lr-small_coefficient-"
    assert trained(planned) == {f"{fp}0.02", f"{fp}best"}


def test_runs_whose_weights_are_needed_are_trained_again(packed):
    document = packed.params()
    document["scales"]["tiny"]["settings"]["resnet26_c100_after_small"]["epochs"] = 3
    packed.write_params(document)
    assert {job.split("/")[0] for job in trained(packed.planned())} == {
        "resnet26_c100_early_large", "resnet26_c100_after_large"}  # fmt: skip


def test_another_seed_trains_only_that_seed(finished, packed):
    document = packed.params()
    document["scales"]["tiny"]["settings"]["simplecnn_c10"]["seeds"] = 3
    packed.write_params(document)
    shutil.copytree(finished.folder / "data", packed.folder / "data", symlinks=True)
    name = "simplecnn_c10/baseline/lr-small"
    packed.snakemake("--", *(f"results/tiny/runs/{name}/seed{seed}/history.csv" for seed in range(3)))
    lines = (packed.folder / f"logs/tiny/train/{name}.log").read_text().splitlines()
    assert [line for line in lines if line.endswith(": from archive/tiny")] == lines[:2]
    assert f"{name}/seed2: 2 epochs" in lines[2]


def test_what_is_not_as_planned_is_left_out_and_named(campaign, plan):
    folder = campaign.folder / RUN
    (folder / "timing.csv").unlink()
    record = folder.with_name("seed0") / "run.json"
    record.write_text(record.read_text().replace('"momentum": 0.9', '"momentum": 0.8'))
    shutil.rmtree(campaign.folder / "results/tiny/runs/vgg11_c100_noise25/fp/lr-small_coefficient-0.01")
    missing = archive.pack(plan)
    assert [line.split(": ")[1] for line in missing] == [
        "other settings than planned (momentum)",
        "timing.csv missing, or altered since the run ended",
        "missing; let Snakemake make it, or run the command that writes it",
    ]
    archived = archive.read(plan)
    assert len(archived.runs) == sum(plan.jobs.values()) - 3
    configurations, selections = archive.covered(plan, archived)
    assert {c.id for c in plan.jobs if c not in configurations} == {
        "simplecnn_c10/baseline/lr-small",
        *(f"vgg11_c100_noise25/fp/lr-small_coefficient-{value}" for value in ("0.01", "best")),
    }
    assert {s.id for s in plan.selections.values() if s not in selections} == {"vgg11_c100_noise25/fp"}


def test_packing_a_part_keeps_what_else_is_archived(campaign, plan):
    archive.pack(plan)
    files = archive.read(plan).files
    before = {path: path.read_bytes() for path in files}
    runs = campaign.folder / "results/tiny/runs"
    for path in (*runs.iterdir(), campaign.folder / "results/tiny/select"):
        if path.name != "simplecnn_c10":
            shutil.rmtree(path)
    (runs / "simplecnn_c10/baseline/lr-small/seed1/timing.csv").unlink()
    record = runs / "simplecnn_c10/baseline/lr-small/seed0/run.json"
    record.write_text(record.read_text().replace('"wall_seconds": ', '"wall_seconds": 9'))  # trained once more
    assert archive.pack(plan) == []
    changed = [path.name for path in files if path.read_bytes() != before[path]]
    assert archive.read(plan).files == files and changed == ["runs.jsonl.xz"]
    archived = archive.read(plan)
    assert archived.runs["simplecnn_c10/baseline/lr-small", 0] == json.loads(record.read_text())


def test_packing_keeps_nothing_that_the_plan_does_not_ask_for(campaign, plan):
    """Other settings, another selection that results have now, and tables that are not the record's."""
    archive.pack(plan)
    shutil.rmtree(campaign.folder / "results/tiny/runs")
    selection = campaign.folder / "results/tiny/select/vgg11_c100_noise25/fp.json"
    made = json.loads(selection.read_text())
    selection.write_text(json.dumps(made | {"best": 0.011 - made["best"]}))  # the other one of 0.001 and 0.01
    document = campaign.params()
    document["scales"]["tiny"]["settings"]["simplecnn_c10_steps"]["epochs"] = 3
    campaign.write_params(document)
    table = campaign.folder / "archive/tiny/history.csv.xz"
    lines = lzma.decompress(table.read_bytes()).decode().splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith(f"{EARLY},0,"))
    lines[place] = lines[place].replace(f"{EARLY},0,", f"{EARLY},0,1", 1)
    table.write_bytes(lzma.compress("".join(f"{line}\n" for line in lines).encode()))
    archive.pack(plan := Plan(load("params.yaml")))
    packed = {name for name, _ in archive.read(plan).runs}
    assert plan.configurations.keys() - packed == {
        EARLY, "vgg11_c100_noise25/fp/lr-small_coefficient-best", "simplecnn_c10_steps/eta_star/lr-0.01"}  # fmt: skip


def test_an_archive_that_was_not_fetched_is_not_replaced(campaign, plan):
    (campaign.folder / "archive").mkdir(exist_ok=True)
    (campaign.folder / "archive/tiny.dvc").write_text("outs: []\n")
    with pytest.raises(ResultError, match=r"archive/tiny\.dvc: .* not fetched.* `make pull SCALE=tiny` first"):
        archive.pack(plan)
    assert archive.read(plan) is None


def test_nothing_to_pack(campaign, plan):
    shutil.rmtree(campaign.folder / "results")
    with pytest.raises(ResultError, match="results/tiny: no finished run of the plan is there"):
        archive.pack(plan)
    assert archive.read(plan) is None


def test_the_tables_are_read_by_pandas(packed):
    history = pd.read_csv(packed.folder / "archive/tiny/history.csv.xz")
    records = pd.read_json(packed.folder / "archive/tiny/runs.jsonl.xz", lines=True)
    assert len(history.groupby(["configuration", "seed"])) == len(records)
    assert history["test_accuracy"].notna().any()


@pytest.mark.parametrize("name", ["runs.jsonl.xz", "selections.jsonl.xz", "steps.csv.xz"])
def test_a_damaged_archive_is_named_with_its_cure(packed, plan, name):
    path = packed.folder / "archive/tiny" / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(RecordError, match=f"archive/tiny/{name}: cannot be read .*`dvc pull`"):
        archive.unpack(plan, archive.read(plan))
    assert not (packed.folder / "results/tiny/runs" / EARLY / "seed0/run.json").exists() or name == "steps.csv.xz"


def test_numbers_that_were_changed_in_an_archive_are_noticed(packed, plan):
    path = packed.folder / "archive/tiny/history.csv.xz"
    path.write_bytes(lzma.compress(lzma.decompress(path.read_bytes()).replace(b",0.1", b",0.2")))
    with pytest.raises(RecordError, match=r"history\.csv does not come out as it went in"):
        archive.unpack(plan, archive.read(plan))


def test_an_archive_travels_with_dvc_and_git(packed, tmp_path):
    """From `make archive` to a clone that renders: pack, add, push; clone, pull, unpack."""

    def run(folder, *command):
        author = {f"GIT_{who}_{what}": "a@b.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        environment = packed.environment() | author | {"DVC_NO_ANALYTICS": "1"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    root, folder = archive.__file__.partition("/src/")[0], packed.folder
    (folder / ".dvc").mkdir()
    shutil.copy(f"{root}/.dvc/config", folder / ".dvc/config")
    (folder / "archive").mkdir(exist_ok=True)
    run(folder, "git", "init", "--quiet")
    run(folder, "dvc", "add", "archive/tiny")
    run(folder, "dvc", "push", "--remote", "archive", "archive/tiny.dvc")
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", "the archive")
    clone = tmp_path / "clone"
    run(tmp_path, "git", "clone", "--quiet", str(folder), str(clone))
    assert not (clone / "archive/tiny").exists()
    told = type(packed)(clone).snakemake("--dry-run").stderr
    assert "`make pull SCALE=tiny` fetches them" in told
    run(clone, "dvc", "pull", "--remote", "archive", "archive/tiny.dvc")
    assert {path.name: path.read_bytes() for path in (clone / "archive/tiny").iterdir()} == {
        path.name: path.read_bytes() for path in (folder / "archive/tiny").iterdir()
    }
