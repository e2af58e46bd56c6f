"""Machines that are described, not those that run the test."""

from types import SimpleNamespace

import pytest

from catfish.config import parse
from catfish.doctor import machine
from catfish.doctor.finding import ADVICE, GIB, OBSTACLE, OK
from catfish.plan import Plan


def fake_torch(cuda: str | None, gpus: tuple[float, ...] = ()):
    """A torch with that build, which sees GPUs with so many free of 80 GiB."""
    functions = {
        "is_available": lambda: bool(gpus),
        "device_count": lambda: len(gpus),
        "get_device_name": lambda number: f"Abacus {number}",
        "mem_get_info": lambda number: (int(gpus[number] * GIB), 80 * GIB),
    }
    return SimpleNamespace(
        __version__="2.14.0", version=SimpleNamespace(cuda=cuda), cuda=SimpleNamespace(**functions)
    )  # fmt: skip


def devices(plan, *arguments, driver: bool = True):
    return list(machine.devices(fake_torch(*arguments), driver, plan))


def test_a_cuda_build_with_its_gpus(plan):
    found = devices(plan, "13.0", (79.0, 0.5))
    assert [finding.kind for finding in found] == [OK, OK, ADVICE]
    assert found[0].text == "torch 2.14.0, built for CUDA 13.0"
    assert found[1].text == "cuda:0, Abacus 0: 79 GiB of 80 GiB free"
    assert found[2].text.startswith("cuda:1, Abacus 1: 0.5 GiB of 80 GiB free; a run takes at least") and found[2].cure


def test_a_cpu_build_beside_a_driver_is_named_with_the_way_to_the_cuda_build(plan):
    (finding,) = devices(plan, None)
    assert finding.kind == ADVICE and "a build for the CPU only; this machine has an NVIDIA driver" in finding.text
    assert "--force-reinstall -r requirements.txt" in finding.cure


def test_a_driver_that_is_too_old_is_named(plan):
    (finding,) = devices(plan, "13.0")
    assert finding.kind == ADVICE and "sees no device" in finding.text and "driver for CUDA 13.0" in finding.cure


def test_a_machine_without_a_gpu_is_all_right_but_for_the_paper(plan):
    (finding,) = devices(plan, "13.0", driver=False)
    assert finding.kind == OK and finding.text.endswith("so the processor trains")
    plan.params = SimpleNamespace(scale="paper")
    assert [finding.kind for finding in devices(plan, None, driver=False)] == [OK, ADVICE]


def test_torch_that_cannot_be_imported_is_an_obstacle(plan, monkeypatch):
    def broken(name):
        raise ImportError("libcudart.so.13: cannot open shared object file")

    monkeypatch.setattr(machine, "import_module", broken)
    (finding,) = machine.findings(plan)
    assert finding.kind == OBSTACLE and "libcudart.so.13" in finding.text and finding.cure


@pytest.mark.parametrize(
    "units, wanted, kind, words",
    [
        (["AMX", "AVX512-BF16"], True, OK, "bfloat16: AMX, AVX512-BF16; settings of this scale"),
        ([], True, ADVICE, "2, which train in fp32 here"),
        ([], False, OK, "not used by this scale"),
        (["the GPU"], False, OK, "the GPU; not used"),
    ],
)
def test_what_bf16_means_here(tiny_document, units, wanted, kind, words):
    tiny_document["scales"]["tiny"]["settings"]["simplecnn_c10"]["precision"] = "bf16" if wanted else "fp32"
    found = machine.precision(Plan(parse(tiny_document)), units)
    assert found.kind == kind and words in found.text and bool(found.cure) == (kind == ADVICE)
    assert ("`precision: bf16`" in found.text) == wanted


@pytest.mark.parametrize("cores, total, kind", [(2, 24, OK), (64, 24, ADVICE), (1, 0.5, OBSTACLE)])
def test_memory_bounds_the_jobs(plan, cores, total, kind):
    found = machine.memory(plan, cores, int(total * GIB))
    assert found.kind == kind and f"{cores} cores" in found.text
    assert (kind == ADVICE) == ("--cores 23" in found.cure)  # 1 GiB and the digits' 5 MB each


def test_the_memory_of_this_machine_is_a_number():
    assert 0.1 * GIB < machine.total_memory() < 2**50


def test_sizes_of_data():
    assert machine.image_bytes("cifar10") == 60_000 * 3 * 32 * 32
    assert machine.image_bytes("imagenet") == (1_281_167 + 50_000) * 3 * 224 * 224
