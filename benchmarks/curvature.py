"""Speed and memory of catfish.curvature beside other libraries and plain PyTorch, measured in one process.

Candidates take turns: round 1 of each, round 2 of each, and so on. A time is divided by that of one plain forward and
backward pass of the same model on the same batch, which is timed before every candidate of the round (median).
"""

import argparse
import copy
import csv
import ctypes
import gc
import math
import os
import platform
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path

import peers
import torch
from peers import Adapter, Measure
from torch import Tensor, nn
from torch.nn import functional as F

from catfish import curvature
from catfish.models import build

try:
    import resource  # not on Windows
except ImportError:
    resource = None

MODELS = {"simplecnn": 10, "vgg11": 100, "densenet40_12": 100, "wresnet44_3": 200}  # classes
BATCH = 128
WARM_UP = 8  # examples of the untimed first call, which loads code and fills caches
PLAIN = "one plain forward and backward pass"
PEERS = ("backpack-for-pytorch", "opacus", "pyhessian", "curvlinops-for-pytorch", "hessian-eigenthings", "scipy")
OURS = "catfish"
MOST_CLASSES = 10  # with more the exact trace takes longer than all the others


@dataclass(frozen=True)
class Task:
    """What is measured, by whom, and how far a candidate's values of all rounds lie from the reference's."""

    title: str
    difference_of: str
    candidates: dict[str, Adapter]
    reference: Callable[[nn.Module, Tensor, Tensor, dict[str, list]], object]
    difference: Callable[[list, object], float]


@dataclass
class Row:
    """One candidate's results."""

    model: str
    task: str
    candidate: str
    rounds: int = 0
    ratio: float = math.nan  # median over the rounds of time / time of one plain pass
    seconds: float = math.nan  # median
    peak_mib: float = math.nan  # median
    difference: float = math.nan
    failure: str = ""


@dataclass
class Running:
    """A candidate while it takes its turns."""

    measure: Measure
    seconds: list[float] = field(default_factory=list)
    ratios: list[float] = field(default_factory=list)
    peaks: list[float] = field(default_factory=list)
    values: list = field(default_factory=list)


# Values and their differences


def exact_norms(model: nn.Module, x: Tensor, y: Tensor, values: dict[str, list]) -> Tensor:
    """One backward pass for every example, in float64."""
    return peers.loop_norms(copy.deepcopy(model).double())(x.double(), y)


def norms_difference(values: list[Tensor], exact: Tensor) -> float:
    return ((values[-1] - exact).abs() / exact).max().item()


def our_traces(model: nn.Module, x: Tensor, y: Tensor, values: dict[str, list]) -> list[tuple[float, float]]:
    return values[OURS]


def trace_difference(values: list[tuple[float, float]], ours: list[tuple[float, float]]) -> float:
    """|difference of the means over the rounds| / its standard error; a library that gives none is lent ours."""
    if values is ours:
        return 0.0
    errors = [error if math.isfinite(error) else ours[0][1] for _, error in values]
    variance = sum(e**2 for e in errors) / len(errors) ** 2 + sum(e**2 for _, e in ours) / len(ours) ** 2
    return abs(statistics.fmean(t for t, _ in values) - statistics.fmean(t for t, _ in ours)) / variance**0.5


def converged_eigenvalue(model: nn.Module, x: Tensor, y: Tensor, values: dict[str, list]) -> float:
    """In float64, to 1e-4."""
    return peers.double_backward_eigenvalue(copy.deepcopy(model).double(), tolerance=1e-4)(x.double(), y)


def eigenvalue_difference(values: list[float], converged: float) -> float:
    return max(abs(value - converged) / abs(converged) for value in values)


def our_norms(model: nn.Module) -> Measure:
    return lambda x, y: curvature.per_example_gradient_norms(model, x, y)


def our_trace(model: nn.Module) -> Measure:
    return lambda x, y: curvature.hessian_trace(model, x, y, probes=peers.PROBES)


def our_trace_by_labels(model: nn.Module) -> Measure:
    """Tr(F), which is Tr(H) for these piecewise linear networks, with one label drawn for each example."""
    return lambda x, y: (curvature.fisher_trace(model, x, labels="sampled"), math.nan)


def our_exact_trace(model: nn.Module) -> Measure:
    """The same over all labels: exact, with a backward pass for each class."""
    classes = list(model.parameters())[-1].numel()
    if classes > MOST_CLASSES:
        raise ValueError(f"{classes} classes take {classes} backward passes")
    return lambda x, y: (curvature.fisher_trace(model, x, labels="expected"), 0.0)


def our_eigenvalue(model: nn.Module) -> Measure:
    def measure(x: Tensor, y: Tensor) -> float:
        return curvature.hessian_eigenvalues(model, x, y, count=1, tolerance=peers.TOLERANCE).values.item()

    return measure


TASKS = {
    "norms": Task(
        "norms of 128 per-example gradients",
        "largest relative difference from float64",
        {
            OURS: our_norms,
            "one by one": peers.loop_norms,
            "torch.func vmap(grad)": peers.vmap_norms,
            "BackPACK BatchL2Grad": peers.backpack_norms,
            "Opacus ghost clipping": peers.opacus_norms,
        },
        exact_norms,
        norms_difference,
    ),
    "trace": Task(
        f"trace of the Hessian, {peers.PROBES} probes",
        "difference from catfish / its standard error",
        {
            OURS: our_trace,
            "catfish by Tr(F), one label sampled": our_trace_by_labels,
            "catfish by Tr(F), all labels": our_exact_trace,
            "double backward, shared graph": peers.double_backward_trace,
            "torch.func jvp(grad)": peers.forward_over_reverse_trace,
            "PyHessian": peers.pyhessian_trace,
            "curvlinops hutchinson_trace": peers.curvlinops_trace,
            "hessian-eigenthings": peers.eigenthings_trace,
        },
        our_traces,
        trace_difference,
    ),
    "eigenvalue": Task(
        f"largest eigenvalue of the Hessian to {peers.TOLERANCE:.0%}",
        "relative difference from the converged value",
        {
            OURS: our_eigenvalue,
            "double backward + SciPy eigsh": peers.double_backward_eigenvalue,
            "PyHessian": peers.pyhessian_eigenvalue,
            "curvlinops + SciPy eigsh": peers.curvlinops_eigenvalue,
            "hessian-eigenthings lanczos": peers.eigenthings_eigenvalue,
        },
        converged_eigenvalue,
        eigenvalue_difference,
    ),
}


# Time and memory


def timed(device: torch.device, call: Callable[[], object]) -> tuple[float, object]:
    """Seconds and result; the device has finished its work before either clock reading."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    start = time.perf_counter()
    result = call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start, result


@contextmanager
def peak_memory(device: torch.device) -> Iterator[list[float]]:
    """A list that afterwards holds the MiB by which the block's peak exceeded what was held before it.

    CUDA: PyTorch's allocator. CPU: the resident memory of the process, whose peak Linux can reset; elsewhere NaN.
    """
    gc.collect()
    result: list[float] = []
    if device.type == "cuda":
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        yield result
        result.append((torch.cuda.max_memory_allocated(device) - before) / 2**20)
        return
    linux = Path("/proc/self/clear_refs").exists()
    if linux:
        # Freed memory that the allocator kept would be used again without being seen.
        getattr(ctypes.CDLL(None), "malloc_trim", lambda _: None)(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets VmHWM
        before = process_memory("VmRSS")
    yield result
    result.append((process_memory("VmHWM") - before) / 2**20 if linux else math.nan)


def process_memory(name: str) -> int:
    """A field of /proc/self/status in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def limit_memory(gibibytes: float) -> None:
    """A candidate that wants more fails by itself, where the system would end the whole process."""
    if resource and Path("/proc/self/status").exists():
        limit = process_memory("VmData") + int(gibibytes * 2**30)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))


def available_memory() -> float:
    """GiB that the system could give now; infinite where it does not say."""
    if not Path("/proc/meminfo").exists():
        return math.inf
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) / 2**20 for line in lines if line.startswith("MemAvailable:"))


# The measurement


def compare(task_name: str, model_name: str, repeats: int, device: torch.device) -> list[Row]:
    """A row for the plain pass and one for each candidate."""
    task = TASKS[task_name]
    torch.manual_seed(0)
    model = build(model_name, MODELS[model_name]).to(device)
    x = torch.randn(BATCH, 3, 32, 32, device=device)
    y = torch.randint(MODELS[model_name], (BATCH,), device=device)
    with torch.no_grad():
        for part in x.split(BATCH // 8):  # so that batch norm has statistics
            model(part)
    model.eval()
    rows = {name: Row(model_name, task_name, name) for name in task.candidates}
    running: dict[str, Running] = {}
    for name, adapter in task.candidates.items():
        with failing(rows[name], running):
            # A copy for each, because some libraries leave their hooks in the model.
            running[name] = Running(adapter(copy.deepcopy(model)))
            running[name].measure(x[:WARM_UP], y[:WARM_UP])
    plain = Running(plain_pass(copy.deepcopy(model)))
    plain.measure(x, y)
    for seed in range(repeats):
        one_round(seed, plain, running, rows, x, y)
    fill(rows, running, task, (model, x, y))
    return [summary(Row(model_name, task_name, PLAIN, difference=0.0), plain), *rows.values()]


def plain_pass(model: nn.Module) -> Measure:
    def measure(x: Tensor, y: Tensor) -> float:
        F.cross_entropy(model(x), y).backward()
        model.zero_grad()
        return 0.0

    return measure


def one_round(seed: int, plain: Running, running: dict[str, Running], rows: dict[str, Row], x: Tensor, y: Tensor):
    """One turn for every candidate, a plain pass before each."""
    first = len(plain.seconds)
    for name, candidate in list(running.items()):
        take_turn(plain, x, y)
        torch.manual_seed(seed)
        with failing(rows[name], running):
            take_turn(candidate, x, y)
    for candidate in running.values():
        candidate.ratios.append(candidate.seconds[-1] / statistics.median(plain.seconds[first:]))


def take_turn(candidate: Running, x: Tensor, y: Tensor) -> None:
    with peak_memory(x.device) as peak:
        seconds, value = timed(x.device, lambda: candidate.measure(x, y))
    candidate.seconds.append(seconds)
    candidate.peaks += peak
    candidate.values.append(value)


def fill(rows: dict[str, Row], running: dict[str, Running], task: Task, case: tuple[nn.Module, Tensor, Tensor]) -> None:
    """Results and differences into the rows of all candidates that did not fail."""
    try:
        reference = task.reference(*case, {name: candidate.values for name, candidate in running.items()})
    except Exception as error:
        print(f"no reference, so no differences: {described(error)}\n", flush=True)
        reference = None
    for name, candidate in running.items():
        summary(rows[name], candidate)
        if reference is not None:
            rows[name].difference = task.difference(candidate.values, reference)


def summary(row: Row, candidate: Running) -> Row:
    if candidate.seconds:
        row.rounds, row.peak_mib = len(candidate.seconds), statistics.median(candidate.peaks)
        row.seconds = statistics.median(candidate.seconds)
        row.ratio = statistics.median(candidate.ratios or [1.0])
    return row


@contextmanager
def failing(row: Row, running: dict[str, Running]) -> Iterator[None]:
    """Notes an exception in the row and takes its candidate out of the running; the benchmark goes on."""
    try:
        yield
    except Exception as error:
        row.failure = described(error)
        running.pop(row.candidate, None)


def described(error: Exception) -> str:
    """One line for a table."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error):
        return "out of memory"
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:120]}".replace("|", "/")


# Output


def heading(device: torch.device, threads: int, repeats: int, limit: float) -> str:
    gpu = f", {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    processor = platform.processor() or platform.machine()
    versions = [f"torch {torch.__version__}"]
    for package in PEERS:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            versions.append(f"{package} not installed")
    memory = f", memory limit {limit:.1f} GiB" if device.type == "cpu" and math.isfinite(limit) else ""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"B = {BATCH}, float32, evaluation mode; {device.type}{gpu}; {processor}, {os.cpu_count()} processors{load}, "
        f"threads: {threads}{memory}; medians of {repeats} rounds. {', '.join(versions)}."
    )


def table(rows: list[Row]) -> str:
    """Markdown: candidates in the order of the task, times in plain passes."""
    task = TASKS[rows[0].task]
    lines = [
        f"### {rows[0].model}: {task.title}",
        "",
        f"| candidate | time / plain pass | seconds | peak memory, MiB | {task.difference_of} |",
        "|---|--:|--:|--:|--:|",
    ]
    for row in rows:
        if row.failure:
            lines.append(f"| {row.candidate} | failed: {row.failure} | | | |")
            continue
        difference = "" if row.candidate == PLAIN else f"{row.difference:.1e}"
        lines.append(f"| {row.candidate} | {row.ratio:.2f} | {row.seconds:.3g} | {row.peak_mib:.0f} | {difference} |")
    return "\n".join(lines) + "\n"


def write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(asdict(rows[0])))
        writer.writeheader()
        writer.writerows(asdict(row) for row in rows)


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""tasks:
  norms       per-example gradient norms; the difference is from a float64 loop
  trace       Hutchinson's estimate of Tr(H); estimates are random, so the difference is in standard errors
  eigenvalue  largest Hessian eigenvalue to 1 %; the difference is from a converged one

examples:
  python benchmarks/curvature.py --models simplecnn --only norms     half a minute
  python benchmarks/curvature.py --repeats 3 --csv speed.csv         everything, fewer rounds
  python benchmarks/curvature.py --device cuda

The table goes to standard output. benchmarks/README.md says what each candidate is called with.""",
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="networks (default: all)")
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS), help="tasks (default: all)")
    parser.add_argument("--repeats", type=positive(int), default=7, help="rounds; the table has medians (default: 7)")
    parser.add_argument(
        "--threads", type=positive(int), default=torch.get_num_threads(), help="of PyTorch (default: %(default)s)"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="(default: %(default)s)")
    parser.add_argument(
        "--memory-limit",
        type=positive(float),
        metavar="GIB",
        help="on the CPU a candidate that needs more fails (default: 80 %% of what is free now)",
    )
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the same results for other programs")
    options = parser.parse_args(given)
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU; allowed here: cpu")
    return options


def positive(kind: type) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if kind(text) <= 0:
            raise argparse.ArgumentTypeError(f"{text} is not allowed; allowed: above 0")
        return kind(text)

    parse.__name__ = kind.__name__  # argparse's messages name the type
    return parse


def main(given: list[str]) -> int:
    options = arguments(given)
    warnings.simplefilter("ignore")  # libraries warn of their own use of PyTorch
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    limit = options.memory_limit or 0.8 * available_memory()
    if device.type == "cpu" and math.isfinite(limit):
        limit_memory(limit)
    print(heading(device, options.threads, options.repeats, limit) + "\n", flush=True)
    results: list[Row] = []
    for model in options.models:
        for task in options.only:
            rows = compare(task, model, options.repeats, device)
            print(table(rows), flush=True)
            results += rows
            if options.csv:
                write_csv(options.csv, results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
