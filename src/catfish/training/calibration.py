"""How long the parts of a run take on a device: each is timed for some seconds on random images, so no data are needed.

What is timed depends on the network, its images and the kind of penalty, not on learning rates, coefficients or epochs,
so settings that share these share a timing. Reading images from files (ImageNet) is not in it.
"""

import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from catfish.config import Method, Setting
from catfish.datasets.sizes import SIZES
from catfish.gradients import trainable
from catfish.plan import ALLOCATION_FILE, ETA_STAR, STEPS_FILE, TRAJECTORY_FILE, Configuration, Plan, Run, canonical
from catfish.records import read_json, write_json
from catfish.training.batch_norm import refreshed_statistics
from catfish.training.batches import Data, Examples, Pixels
from catfish.training.loop import train_epoch
from catfish.training.measurements import PIXELS_AT_ONCE, evaluate, gradients, hessian, spectra
from catfish.training.memory import exhausted, keep_freed_memory
from catfish.training.state import State, initial_state
from catfish.training.step_measurements import allocation, step_fisher_trace, trajectory_point
from catfish.training.train import provenance

SECONDS = 1.0  # for which a part is repeated; a slow one is made twice, the first time as a warm-up
STEPS = 50  # of training at most, between two readings of the losses from the device
PROBES = 5  # of Tr(H) at most; more take proportionally longer
SMALL = 1e-6  # learning rate and coefficient: the network stays as it is
NAME = "calibration.json"  # below results/<scale>

OF_SETTING = ("model", "width", "depth", "dataset", "inputs", "loss", "augment", "batch_size", "precision",
              "forward_batch", "batch_norm_batches")  # fmt: skip
OF_MEASURE = ("fisher_examples", "hessian_probes", "hessian_examples", "spectra_examples", "spectra_eigenvalues",
              "covariance_batches", "covariance_batch", "trajectory_examples", "allocation_examples")  # fmt: skip
SOMETIMES = ("curvature_every", "spectra_every", "fisher_steps", "trajectory_steps", "allocation_steps")
OF_STEPS = {"trace": STEPS_FILE, "trajectory": TRAJECTORY_FILE, "allocation": ALLOCATION_FILE}  # part: its table
OF_METHOD = ("penalty", "first_examples", "micro_batch", "derivative", "sam")


def work(setting: Setting, method: Method | None = None) -> str:
    """What decides how long a step takes, and with no method how long the measurements take, as text."""
    kind = {name: getattr(setting, name) for name in OF_SETTING}
    kind |= {name: getattr(setting.measure, name) for name in OF_MEASURE}
    kind |= {"noisy": setting.label_noise > 0, **{name: bool(getattr(setting.measure, name)) for name in SOMETIMES}}
    if method is not None and (method.penalty or method.sam or method.micro_batch):
        kind |= {name: getattr(method, name) for name in OF_METHOD}
    return canonical(kind)


def calibrate(plan: Plan, device: torch.device, say: Callable[[str], None] = print) -> None:
    """Time each kind of work in the plan, and write {"hardware", "torch", "threads", "megabytes", "seconds": {work:
    {part: s}}}; megabytes: the most main memory that a process has had that timed some of it.

    Parts: `step`, with a penalty one that recomputes it; without a penalty also `image` (one image evaluated),
    `gradients`, `hessian`, `spectra`, `statistics` (of batch norm) and, where single steps are measured, `trace`,
    `trajectory` and `allocation`, a row each. The file is written after each kind, for what is known should a later one
    exceed the memory (ResultError, or a kill); what it has from the same device and torch is not timed again. On a CPU
    one thread works, as in the workflow's jobs.
    """
    keep_freed_memory()
    if device.type == "cpu":
        torch.set_num_threads(1)
    origin = provenance(device)
    found = {"hardware": origin["hardware"], "torch": origin["versions"]["torch"], "threads": origin["threads"]}
    megabytes, seconds = _known(plan.results / NAME, found)
    for configuration in plan.jobs:
        setting = plan.params.settings[configuration.setting]
        for method in (None, plan.params.methods[configuration.method]):
            kind = work(setting, method)
            if kind in seconds:
                continue
            with exhausted(plan.results / NAME, configuration.setting):
                seconds[kind] = _timings(plan, configuration, method, device)
            megabytes = max(megabytes, _peak())
            write_json(plan.results / NAME, found | {"megabytes": megabytes, "seconds": seconds})
            text = ", ".join(f"{part} {value:.3g} s" for part, value in seconds[kind].items())
            say(f"{configuration.setting}, {_named(method)}: {text}")


def _known(path: Path, origin: dict) -> tuple[int, dict[str, dict[str, float]]]:
    """The megabytes and seconds that an earlier calibration, of the same origin, came to."""
    before = read_json(path) if path.is_file() else {}
    if not before or any(before.get(key) != value for key, value in origin.items()):
        return 0, {}
    return before["megabytes"], before["seconds"]


def _peak() -> int:
    """The most main memory that this process has had, in MiB."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)  # Linux counts in KiB


def _named(method: Method | None) -> str:
    if method is None or not (method.sam or method.step_norm):
        return f"{method.penalty if method else 'no'} penalty"
    return "SAM" if method.sam else "grafting"


def _timings(plan: Plan, configuration: Configuration, method: Method | None, device: torch.device) -> dict[str, float]:
    """The seconds of each part."""
    run = plan.run(Configuration(configuration.setting, ETA_STAR, SMALL, None), 0)
    run = replace(run, epochs=10**6, milestones=(), start=None)
    if method is not None:
        form = {name: getattr(method, name) for name in OF_METHOD}
        form["step_norm"] = method.step_norm if method.step_norm == "micro_batch" else None  # others cost nothing
        run = replace(run, **form, coefficient=SMALL, every=1, onset=0)
    data = _random_data(run, plan.params.settings[configuration.setting], device)
    state = initial_state(run, data.classes, device)
    # Past the steps that are measured, which have a time of their own.
    state.step = max(run.measure.fisher_steps, run.measure.trajectory_steps, run.measure.allocation_steps)
    seconds = {"step": _step(run, state, data)}
    return seconds if method is not None else seconds | dict(_measurements(run, state.model, data, device))


def _step(run: Run, state: State, data: Data) -> float:
    """Seconds of a training step, in a sequence of them as long as SECONDS allows."""
    batch = torch.arange(run.batch_size, device=data.train.labels.device)

    def together(steps: int) -> float:
        state.epoch, state.elapsed, state.order = 1, 0.0, batch.expand(steps, -1)
        train_epoch(run, state, data)  # which ends when the device has finished
        return state.elapsed / steps

    together(1)
    one = together(1)
    steps = min(STEPS, int(SECONDS / one))
    return together(steps) if steps > 1 else one


def _measurements(run: Run, model, data: Data, device: torch.device) -> Iterator[tuple[str, float]]:
    """What is measured at the end of an epoch: on fewer examples, probes or batches, and multiplied accordingly."""
    size = SIZES[run.split.dataset]
    at_once = max(1, PIXELS_AT_ONCE // size.side**2)
    some = data.train.subset(torch.arange(at_once, device=device))
    yield "image", _timed(lambda: evaluate(model, some, data.pixels, run.loss), device) / at_once
    examples = run.measure.fisher_examples or run.batch_size
    part = _measuring(run, fisher_examples=min(examples, at_once))
    factor = examples / part.measure.fisher_examples
    if run.measure.curvature_every:
        yield "gradients", factor * _timed(lambda: dict(gradients(part, model, data, 0)), device)
    if run.measure.fisher_steps:
        yield "trace", factor * _timed(lambda: step_fisher_trace(part, model, data, 0), device)
    probed = _measuring(run, hessian_probes=min(run.measure.hessian_probes, PROBES))
    factor = run.measure.hessian_probes / probed.measure.hessian_probes
    if run.measure.hessian_every:
        yield "hessian", factor * _timed(lambda: dict(hessian(probed, model, data, 0)), device)
    yield from _around_the_paper(run, model, data, device)
    if run.batch_norm_batches:
        one = replace(run, batch_norm_batches=1)
        yield "statistics", run.batch_norm_batches * _timed(lambda: _refresh(one, model, data), device)


def _around_the_paper(run: Run, model, data: Data, device: torch.device) -> Iterator[tuple[str, float]]:
    """Spectra, and what is recorded of single steps for the embedding and the allocation; as large as in the run."""
    if run.measure.spectra_every:
        yield "spectra", _timed(lambda: dict(spectra(run, model, data, 0)), device)
    if run.measure.trajectory_steps:
        yield "trajectory", _timed(lambda: trajectory_point(run, model, data, 0), device)
    if run.measure.allocation_steps:
        start = [parameter.detach().clone() for parameter in trainable(model)]
        yield "allocation", _timed(lambda: allocation(run, model, data, 0, start), device)


def _measuring(run: Run, **changes: int) -> Run:
    return replace(run, measure=replace(run.measure, **changes))


def _refresh(run: Run, model, data: Data) -> None:
    with refreshed_statistics(run, model, data, 0):
        pass


def _random_data(run: Run, setting: Setting, device: torch.device) -> Data:
    """Random images and labels, as many as the timings need; as many labels are noisy as the setting's."""
    size = SIZES[run.split.dataset]
    measure = run.measure
    count = max(run.batch_size, measure.hessian_examples, PIXELS_AT_ONCE // size.side**2)
    if measure.spectra_every or measure.trajectory_steps:
        count = max(count, measure.spectra_examples, measure.covariance_batches * measure.covariance_batch)
    if measure.trajectory_steps or measure.allocation_steps:
        count = max(count, measure.trajectory_examples, measure.allocation_examples)
    images = torch.randint(256, (count, size.side, size.side, 3), dtype=torch.uint8, device=device)
    labels = torch.arange(count, device=device) % size.classes
    examples = Examples(images, labels, torch.arange(count, device=device) < setting.label_noise * count)
    pixels = Pixels(torch.full((3,), 0.5, device=device), torch.full((3,), 0.25, device=device))
    return Data(examples, examples, examples, pixels, size.classes)


def _timed(repeat: Callable[[], object], device: torch.device) -> float:
    """Seconds a repetition, after one that is not counted."""

    def finish() -> float:
        repeat()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    started, times = finish(), 0
    while (ended := finish()) - started < SECONDS:
        times += 1
    return (ended - started) / (times + 1)
