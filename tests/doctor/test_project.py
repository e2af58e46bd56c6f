"""Folders with and without data, room and remotes."""

import shutil
import subprocess
from collections import namedtuple
from pathlib import Path

import pytest

from catfish.cli import main
from catfish.config import load
from catfish.datasets.sizes import SIZES
from catfish.doctor import finding, project, software
from catfish.doctor.finding import ADVICE, OBSTACLE, OK
from catfish.plan import Plan

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("params.yaml", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    return tmp_path


@pytest.fixture
def paper(folder):
    return Plan(load(scale="paper"))


def test_data_sets_are_found_prepared_or_raw_or_neither(paper, folder):
    assert project.data(paper, "digits").kind == OK
    absent = project.data(paper, "cifar10")
    assert absent.kind == ADVICE and "will download it" in absent.text and "cifar-10-python.tar.gz" in absent.cure
    (folder / "data/raw").mkdir(parents=True)
    (folder / "data/raw/cifar-10-python.tar.gz").touch()
    raw = project.data(paper, "cifar10")
    assert raw.kind == OK and "data/raw/cifar-10-python.tar.gz is here" in raw.text
    paper.manifest_path("cifar10").parent.mkdir(parents=True)
    paper.manifest_path("cifar10").touch()
    assert project.data(paper, "cifar10").text == "cifar10: prepared in data/prepared/cifar10"


def test_imagenet_cannot_be_downloaded(paper, folder):
    absent = project.data(paper, "imagenet")
    assert absent.kind == OBSTACLE and "data/README.md" in absent.cure
    (folder / "data/raw/imagenet").mkdir(parents=True)
    assert project.data(paper, "imagenet").kind == OK


def test_every_data_set_has_its_official_files():
    assert set(project.OFFICIAL) == set(SIZES)


def test_room_for_data_counts_what_is_not_prepared(paper, folder):
    images = 60_000 * 3 * 32 * 32
    assert project.room_for_data(paper, ["cifar10"]) == 2 * images
    (folder / "data/raw/cifar-10-batches-py").mkdir(parents=True)
    assert project.room_for_data(paper, ["cifar10"]) == images
    assert project.room_for_data(paper, ["imagenet"]) == 1_331_167 * 3 * 224 * 224
    paper.manifest_path("cifar10").parent.mkdir(parents=True)
    paper.manifest_path("cifar10").touch()
    assert project.room_for_data(paper, ["cifar10"]) == 0


def test_a_full_disk_is_an_obstacle(paper, monkeypatch):
    usage = namedtuple("usage", "free")
    (wanted,) = project.disks(paper, ["imagenet"])  # data and results lie on one disk
    needed = project.room_for_data(paper, ["imagenet"]) + project.room_for_results(paper)
    assert f"{finding.size(needed)} needed" in wanted.text
    for free, kind in ((needed, OK), (needed - 1, OBSTACLE)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: usage(free))
        (found,) = project.disks(paper, ["imagenet"])
        assert found.kind == kind and bool(found.cure) == (kind == OBSTACLE)


@pytest.mark.parametrize(
    "status, out, error, kind, words",
    [
        (0, "storage\t/mnt/versions\n", "", OK, "DVC remote: storage /mnt/versions"),
        (0, "archive\t/project/archive/store\n", "", ADVICE, "DVC has no remote"),
        (0, "", "", ADVICE, "DVC has no remote"),
        (253, "", "ERROR: you are not inside of a DVC repository\n", ADVICE, "not inside of a DVC repository"),
        (1, "", "No module named dvc\n", ADVICE, "No module named dvc"),
    ],
)
def test_the_remote(monkeypatch, status, out, error, kind, words):
    done = subprocess.CompletedProcess([], status, out, error)
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **named: done)
    found = project.remote()
    assert found.kind == kind and words in found.text and bool(found.cure) == (kind == ADVICE)


def test_packages_are_compared_with_the_pins(folder, monkeypatch):
    versions = software.pins((folder / "requirements.txt").read_text())
    assert {"torch", "snakemake", "dvc"} <= set(versions)
    monkeypatch.setattr(software, "installed", lambda name: versions[name])
    (found,) = software.findings()
    assert found.kind == OK and f"snakemake {versions['snakemake']}, dvc {versions['dvc']}" in found.text
    installed = versions | {"torch": "2.11.0", "dvc": None}
    monkeypatch.setattr(software, "installed", lambda name: installed[name])
    (found,) = software.findings()
    assert found.kind == ADVICE and "pip install -r requirements.txt" in found.cure
    assert found.text.endswith(f"torch 2.11.0 (pinned: {versions['torch']}), dvc missing (pinned: {versions['dvc']})")
    (folder / "requirements.txt").unlink()
    assert "project's folder" in next(software.findings()).cure


def test_a_builds_mark_is_no_other_version(monkeypatch):
    monkeypatch.setattr(software, "version", lambda name: "2.14.0+cu130")
    assert software.installed("torch") == "2.14.0"
    monkeypatch.undo()
    assert software.installed("no-such-package-anywhere") is None


def test_the_status_says_whether_the_scale_is_possible(folder, capsys, monkeypatch):
    monkeypatch.setattr(project, "remote", lambda: finding.Finding(OK, "DVC remote: storage /mnt"))
    main(["doctor", "--scale", "demo"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("scale demo: possible here; ")
    with pytest.raises(SystemExit) as exit:
        main(["doctor", "--scale", "paper"])  # there is no ImageNet
    lines = capsys.readouterr().out.splitlines()
    assert exit.value.code == 1 and lines[-1].startswith("scale paper: not possible here, ")
    place = next(number for number, line in enumerate(lines) if line.startswith("obstacle  imagenet"))
    assert lines[place + 1] == "          -> data/README.md says how to get and place it"
