"""Planted damage of every kind is found, and named with its file."""

import json
import shutil

import pytest

from catfish.cli import main
from catfish.config import load
from catfish.plan import Plan

RUN = "results/tiny/runs/simplecnn_c10/baseline/lr-small/seed1"
STEPS = "results/tiny/runs/simplecnn_c10_steps/eta_star/lr-0.01/seed0/steps.csv"
WEIGHTS = "results/tiny/runs/resnet26_c100_early_large/eta_star/lr-0.01/seed0/weights.pt"
SELECTION = "results/tiny/select/simplecnn_c10/fp.json"


def changed(path, **values):
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def replaced(path, old, new):
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


def cut(path):
    path.write_text(path.read_text()[:-9])


DAMAGE = {
    "a run is gone": (lambda p: shutil.rmtree(p / RUN), f"missing: {RUN}: not there; run `catfish train"),
    "no record": (lambda p: (p / RUN / "run.json").unlink(), f"unfinished: {RUN}: begun, not finished"),
    "a history is cut": (lambda p: cut(p / RUN / "history.csv"), f"damaged: {RUN}/history.csv: cut off"),
    "a number was edited": (
        lambda p: replaced(p / RUN / "history.csv", "0.", "1."),
        f"damaged: {RUN}/history.csv: missing, or altered",
    ),
    "a table is gone": (lambda p: (p / RUN / "timing.csv").unlink(), f"damaged: {RUN}/timing.csv: missing"),
    "steps were edited": (lambda p: replaced(p / STEPS, "0.", "1."), f"damaged: {STEPS}: missing, or altered"),
    "weights were altered": (lambda p: (p / WEIGHTS).write_bytes(b""), f"damaged: {WEIGHTS}: missing, or altered"),
    "a record is no record": (lambda p: (p / RUN / "run.json").write_text("{"), f"damaged: {RUN}/run.json: not valid"),
    "another seed's run": (
        lambda p: changed(p / RUN / "run.json", seed=0),
        f"differs: {RUN}/run.json: is seed 0 of simplecnn_c10/baseline",
    ),
    "params changed": (
        lambda p: replaced(p / "params.yaml", "momentum: 0.9", "momentum: 0.8"),
        f"differs: {RUN}/run.json: differs from params.yaml or its selections in momentum",
    ),
    "other data": (
        lambda p: changed(p / RUN / "run.json", fingerprint="0"),
        f"differs: {RUN}/run.json: made from other data",
    ),
    "left over": (
        lambda p: (p / RUN / "checkpoint.pt").touch(),
        f"left over: {RUN}/checkpoint.pt: beside a finished run",
    ),
    "unknown": (
        lambda p: shutil.copytree(p / RUN, p / RUN.replace("seed1", "seed7")),
        f"unknown: {RUN[:-1]}7: a run that the plan",
    ),
    "no selection": (lambda p: (p / SELECTION).unlink(), f"missing: {SELECTION}: not there; run `catfish select"),
    "another selection": (
        lambda p: changed(p / SELECTION, best=7.0),
        f"differs: {SELECTION}: is not what its runs give",
    ),
    "arrays altered": (
        lambda p: (p / "data/prepared/digits/arrays.npz").write_bytes(b"x"),
        "damaged: data/prepared/digits/arrays.npz: altered or damaged",
    ),
    "no data for a run that is gone": (
        lambda p: [shutil.rmtree(p / name) for name in ("data", RUN)],
        "missing: data/prepared/digits: not prepared here",
    ),
}


def verify(capsys) -> tuple[int, list[str]]:
    status = 0
    try:
        main(["verify"])
    except SystemExit as stopped:
        status = stopped.code
    return status, capsys.readouterr().out.splitlines()


def test_nothing_is_found_in_a_finished_campaign(finished, monkeypatch, capsys):
    monkeypatch.chdir(finished.folder)
    runs = sum(Plan(load()).jobs.values())
    expected = f"results/tiny: {runs} runs planned; everything there and unharmed"
    assert verify(capsys) == (0, [expected])


def test_finished_runs_need_no_data(campaign, monkeypatch, capsys):
    """As after `make pull` and `make figures`."""
    monkeypatch.chdir(campaign.folder)
    shutil.rmtree("data")
    status, (line,) = verify(capsys)
    assert status == 0 and line.endswith("everything there and unharmed")


@pytest.mark.parametrize(("plant", "expected"), DAMAGE.values(), ids=DAMAGE)
def test_damage_is_found(campaign, monkeypatch, capsys, plant, expected):
    monkeypatch.chdir(campaign.folder)
    plant(campaign.folder)
    status, lines = verify(capsys)
    assert status == 1
    assert any(line.startswith(expected) for line in lines), lines
