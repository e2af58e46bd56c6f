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

GPUS = [devices.Gpu(name, 80_000) for name in "abcd"]
SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(devices, "PAUSE", 0.002)


def test_every_device_has_one_process_before_any_has_two(tmp_path):
    with ExitStack() as stack:
        held = [stack.enter_context(devices.slot(GPUS, folder=tmp_path)) for _ in range(10)]
        assert held == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    with devices.slot(GPUS, folder=tmp_path) as index:
        assert index == 0


def test_a_device_that_was_left_is_the_next(tmp_path):
    with devices.slot(GPUS, folder=tmp_path), ExitStack() as second, devices.slot(GPUS, folder=tmp_path):
        with devices.slot(GPUS, folder=tmp_path):
            second.enter_context(devices.slot(GPUS, folder=tmp_path))
        with devices.slot(GPUS, folder=tmp_path) as index:
            assert index == 2


def test_more_jobs_than_slots_wait_and_all_are_served(tmp_path):
    """Twenty at once on four devices with two slots each: never more than two on one, nor eight in all."""
    now, most, together, said, guard = Counter(), Counter(), [], [], threading.Lock()

    def job():
        with devices.slot(GPUS, 2, folder=tmp_path, say=said.append) as index:
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
    assert set(said) == {"waits for room on 4 GPUs (2 jobs a GPU)"}


def test_a_dead_process_leaves_its_slot(tmp_path):
    code = (
        "import pathlib, sys, time; from catfish.training import devices\n"
        "gpu = devices.Gpu('a', 80_000)\n"
        "with devices.slot([gpu], 1, 50_000, pathlib.Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True,
                               env={"PYTHONPATH": str(SOURCE)})  # fmt: skip
    assert process.stdout.readline() == "held\n"
    assert devices._free(GPUS[:1], 1, 0, tmp_path) is None  # no slot
    assert devices._free(GPUS[:1], 2, 40_000, tmp_path) is None  # no memory
    process.kill()
    process.communicate()
    with devices.slot(GPUS[:1], 1, 40_000, folder=tmp_path) as index:
        assert index == 0


def test_claims_stay_within_a_gpus_memory(tmp_path):
    """A large job goes where the memory is and not where fewer jobs are; one that fits nowhere yet waits."""
    small, large = devices.Gpu("small", 10_000), devices.Gpu("large", 40_000)
    said, served = [], threading.Event()

    def wait():
        with devices.slot([small, large], 3, 25_000, tmp_path, said.append) as index:
            assert index == 1
            served.set()

    with devices.slot([small, large], 3, 20_000, tmp_path) as first:
        assert first == 1
        with devices.slot([small, large], 3, 9_000, tmp_path) as second:
            assert second == 0
            with devices.slot([small, large], 3, 2_000, tmp_path) as third:
                assert third == 1
        waiting = threading.Thread(target=wait)
        waiting.start()
        assert not served.wait(0.1) and said == ["waits for room on 2 GPUs (3 jobs a GPU, 25000 MB for each job)"]
    waiting.join()
    assert served.is_set()
    with pytest.raises(ResultError, match=r"--gpu-megabytes 40001: more than .* any GPU here \(10000, 40000 MB\)"):
        devices.slot([small, large], 3, 40_001, tmp_path).__enter__()


def test_auto_knows_gpus_by_their_uuid(tmp_path, monkeypatch):
    """Two jobs of Slurm call different GPUs number 0, and one GPU may be number 0 here and 1 there."""
    current, visible = [], ["GPU-x"]
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(visible))
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=visible[index], total_memory=2**36)
    )
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
