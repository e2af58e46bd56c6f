"""torch's build, the devices it sees, bfloat16, cores and memory."""

import os
import shutil
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

from catfish import processor
from catfish.datasets.sizes import SIZES
from catfish.doctor.finding import ADVICE, OBSTACLE, OK, Finding, size
from catfish.plan import Plan

PROCESS = 2**30  # bytes of a training process besides its data: torch and a small network
ROUNDING = "nothing, unless their rounding is to be that of bfloat16: then train where it is multiplied"
PYPI = "pip install --force-reinstall -r requirements.txt (for Linux, PyPI's build of torch brings CUDA)"


def findings(plan: Plan) -> Iterator[Finding]:
    """About everything that trains here."""
    try:
        torch = import_module("torch")
    except (ImportError, OSError) as error:
        yield Finding(OBSTACLE, f"torch cannot be imported: {error}", "pip install -r requirements.txt")
        return
    yield from devices(torch, has_driver(), plan)
    if torch.cuda.is_available():  # then it trains, whatever the processor can do
        yield precision(plan, ["the GPU"] * torch.cuda.is_bf16_supported(including_emulation=False))
    else:
        yield precision(plan, processor.bfloat16_units())
    yield memory(plan, len(os.sched_getaffinity(0)), total_memory())


def devices(torch, driver: bool, plan: Plan) -> Iterator[Finding]:
    """torch's build and devices, and whether one belongs to the other."""
    build = f"built for CUDA {torch.version.cuda}" if torch.version.cuda else "a build for the CPU only"
    text = f"torch {torch.__version__}, {build}"
    if torch.cuda.is_available():
        yield Finding(OK, text)
        yield from (_device(torch, number, plan) for number in range(torch.cuda.device_count()))
    elif driver and torch.version.cuda:
        cure = (
            f"install a driver for CUDA {torch.version.cuda} (nvidia-smi shows its CUDA), and see CUDA_VISIBLE_DEVICES"
        )
        yield Finding(ADVICE, f"{text}; it sees no device though this machine has an NVIDIA driver", cure)
    elif driver:
        yield Finding(ADVICE, f"{text}; this machine has an NVIDIA driver", PYPI)
    else:
        yield Finding(OK, f"{text}; no NVIDIA driver here, so the processor trains")
        if plan.params.scale == "paper":
            cure = "train elsewhere; `catfish plan --calibrate --scale paper` says how long it would take here"
            yield Finding(ADVICE, "the scale paper is meant for GPUs", cure)


def _device(torch, number: int, plan: Plan) -> Finding:
    name, (free, total) = torch.cuda.get_device_name(number), torch.cuda.mem_get_info(number)
    text = f"cuda:{number}, {name}: {size(free)} of {size(total)} free"
    needed = PROCESS + largest_in_memory(plan)
    if free < needed:
        return Finding(ADVICE, f"{text}; a run takes at least {size(needed)}", "end what else runs on it")
    return Finding(OK, text)


def has_driver() -> bool:
    """Whether an NVIDIA driver is installed."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia").is_dir()


def precision(plan: Plan, units: list[str]) -> Finding:
    """What multiplies bfloat16 here, and how many settings want it."""
    wanted = {job.setting for job in plan.jobs if plan.params.settings[job.setting].precision == "bf16"}
    text = f"bfloat16: {', '.join(units) or 'nothing that multiplies it'}"
    if not wanted:
        return Finding(OK, f"{text}; not used by this scale")
    text += f"; settings of this scale with `precision: bf16`: {len(wanted)}"
    return Finding(OK, text) if units else Finding(ADVICE, f"{text}, which train in fp32 here", ROUNDING)


def memory(plan: Plan, cores: int, total: int) -> Finding:
    """Whether a process and its data fit, and how many at once."""
    needed = PROCESS + largest_in_memory(plan)
    text = f"{cores} cores, {size(total)} of memory; a job takes at least {size(needed)}"
    if total < needed:
        return Finding(OBSTACLE, text, "take a machine with more memory")
    if total < cores * needed:
        return Finding(ADVICE, f"{text}, {total // needed} at once", f"snakemake --cores {total // needed}")
    return Finding(OK, text)


def largest_in_memory(plan: Plan) -> int:
    """Bytes of the largest data set that lies in a run's memory; ImageNet stays in files."""
    datasets = {split.dataset for split in plan.splits.values()}
    return max((image_bytes(name) for name in datasets if not name.startswith("imagenet")), default=0)


def image_bytes(dataset: str) -> int:
    """Of all images of a data set, three bytes a pixel."""
    counted = SIZES[dataset]
    return (counted.training + counted.test) * 3 * counted.side**2


def total_memory() -> int:
    """Bytes that this process may use: the machine's, or the control group's limit."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _read(Path("/sys/fs/cgroup/memory.max")).strip()
    return min(machine, int(limit)) if limit.isdigit() else machine


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
