"""What stops a run: signals, a full disk, too little memory. Started again, it ends as if nothing had happened."""

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from catfish.cli import TRY_AGAIN
from catfish.config import parse
from catfish.errors import ResultError
from catfish.plan import RUN_FILES, Configuration, Plan
from catfish.training.memory import exhausted

SOURCE = Path(__file__).parents[2] / "src"
RUN = Configuration("simplecnn_c10", "eta_star", 0.05, None)
COMMAND = [sys.executable, "-m", "catfish", "train", "--device", "cpu", "--threads", "1", RUN.id]


@pytest.fixture
def folder(project, tiny_document):
    """The folder of a run of 12 epochs with three steps each."""
    tiny_document["scales"]["tiny"]["setting_defaults"] |= {"epochs": 12, "augment": "flip_crop"}
    Path("params.yaml").write_text(yaml.safe_dump(tiny_document))
    return Plan(parse(tiny_document)).run_folder(RUN, 0)


def start(*options, **settings):
    environment = os.environ | {"PYTHONPATH": str(SOURCE)}
    return subprocess.Popen([*COMMAND, *options], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, **settings)  # fmt: skip


def ended(process):
    out, error = process.communicate()
    return process.returncode, out, error


@pytest.fixture(scope="module")
def trained():
    """The history, once a test has trained the run without any fault."""
    return {}


@pytest.fixture
def expected(folder, trained):
    """The history that the run has without any fault; trained once for all tests."""
    if not trained:
        assert ended(start())[0] == 0
        trained["history"] = (folder / "history.csv").read_bytes()
        for name in RUN_FILES:
            (folder / name).unlink()
    return trained["history"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_to_end_a_run_saves_its_state_and_goes_on_later(folder, expected, number):
    process = start("--checkpoint-seconds", "1000")
    for line in iter(process.stdout.readline, ""):
        if line.startswith("epoch 3/"):
            process.send_signal(number)
            break
    status, _, error = ended(process)
    assert status == TRY_AGAIN
    assert error.startswith("catfish: ") and "stopped as asked after step" in error
    assert (folder / "checkpoint.pt").is_file() and not (folder / "run.json").exists()
    status, out, _ = ended(start())
    assert status == 0 and "goes on after step" in out
    assert (folder / "history.csv").read_bytes() == expected
    assert sorted(file.name for file in folder.iterdir()) == sorted(RUN_FILES)


@pytest.mark.parametrize("limit", [500, 3000, 30_000], ids=["history", "later row", "checkpoint"])
def test_a_full_disk_is_an_error_and_loses_nothing(folder, expected, limit):
    """Files cannot grow beyond the limit, in bytes: the history at its first rows, or a checkpoint."""

    def no_space():
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    status, _, error = ended(start("--checkpoint-seconds", "0", preexec_fn=no_space))
    assert status == 2
    assert error.startswith("catfish: ") and error.count("\n") == 1
    assert "File too large; free some space, then the same command goes on" in error
    assert not (folder / "run.json").exists() and not list(folder.glob("*.lock"))
    assert ended(start())[0] == 0
    assert (folder / "history.csv").read_bytes() == expected
    assert sorted(file.name for file in folder.iterdir()) == sorted(RUN_FILES)


def test_two_processes_do_not_train_one_run(folder):
    first = start()
    for line in iter(first.stdout.readline, ""):
        if line.startswith("epoch 1/"):
            break
    first.send_signal(signal.SIGSTOP)
    status, _, error = ended(start())
    first.send_signal(signal.SIGCONT)
    assert status == 2 and f"{folder}: is being trained by process {first.pid}" in error
    assert ended(first)[0] == 0


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=["device", "host", "python"],
)
def test_too_little_memory_says_what_to_lower(error, tmp_path):
    with pytest.raises(ResultError, match=r"out of memory .*settings\.vgg\.batch_size"), exhausted(tmp_path, "vgg"):
        raise error


def test_other_errors_are_not_taken_for_it(tmp_path):
    with pytest.raises(RuntimeError, match="shapes"), exhausted(tmp_path, "vgg"):
        raise RuntimeError("shapes do not match")


def test_memory_really_runs_out(tmp_path):
    with pytest.raises(ResultError, match="out of memory"), exhausted(tmp_path, "vgg"):
        torch.empty(2**60, dtype=torch.uint8)
