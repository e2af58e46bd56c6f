import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from catfish.errors import ResultError
from catfish.training import devices

NAMES = ["a", "b", "c", "d"]
SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(devices, "PAUSE", 0.002)


def test_every_device_has_one_process_before_any_has_two(tmp_path):
    with ExitStack() as stack:
        held = [stack.enter_context(devices.slot(NAMES, folder=tmp_path)) for _ in range(10)]
        assert held == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    with devices.slot(NAMES, folder=tmp_path) as index:
        assert index == 0


def test_a_device_that_was_left_is_the_next(tmp_path):
    with devices.slot(NAMES, folder=tmp_path), ExitStack() as second, devices.slot(NAMES, folder=tmp_path):
        with devices.slot(NAMES, folder=tmp_path):
            second.enter_context(devices.slot(NAMES, folder=tmp_path))
        with devices.slot(NAMES, folder=tmp_path) as index:
            assert index == 2


def test_more_jobs_than_slots_wait_and_all_are_served(tmp_path):
    """Twenty at once on four devices with two slots each: never more than two on one, nor eight in all."""
    now, most, together, said, guard = Counter(), Counter(), [], [], threading.Lock()

    def job():
        with devices.slot(NAMES, 2, tmp_path, said.append) as index:
            with guard:
                now[index] += 1
                most[index] = max(most[index], now[index])
                together.append(now.total())
            time.sleep(0.05)
            with guard:
                now[index] -= 1

    threads = [threading.Thread(target=job) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(together) == 20 and max(together) <= 8
    assert max(most.values()) <= 2
    assert set(said) == {"waits for one of 8 slots on 4 GPUs"}


def test_a_dead_process_leaves_its_slot(tmp_path):
    code = (
        "import pathlib, sys, time; from catfish.training import devices\n"
        "with devices.slot(['a'], 1, pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True,
                               env={"PYTHONPATH": str(SOURCE)})  # fmt: skip
    assert process.stdout.readline() == "held\n"
    assert devices._free(["a"], 1, tmp_path) is None
    process.kill()
    process.communicate()
    with devices.slot(["a"], 1, tmp_path) as index:
        assert index == 0


def test_auto_knows_gpus_by_their_uuid(tmp_path, monkeypatch):
    """Two jobs of Slurm call different GPUs number 0, and one GPU may be number 0 here and 1 there."""
    current, visible = [], ["GPU-x"]
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(visible))
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=visible[index]))
    monkeypatch.setattr(torch.cuda, "set_device", current.append)
    with devices.chosen("auto", 1) as first:
        visible[:] = ["GPU-x", "GPU-y"]
        with devices.chosen("auto", 1) as second:
            assert [first, second] == [torch.device("cuda:0"), torch.device("cuda:1")]
            assert current == [0, 1]
            with devices.chosen("cuda:0") as named, devices.chosen("cpu") as cpu:  # asked for by name: no waiting
                assert [named, cpu] == [torch.device("cuda:0"), torch.device("cpu")]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu():
    with devices.chosen("auto", 2) as device:
        assert device == torch.device("cpu")
    with pytest.raises(ResultError, match="sees no CUDA device"), devices.chosen("cuda:1"):
        pass
