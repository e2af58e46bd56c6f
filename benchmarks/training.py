"""Images per second of catfish's training step beside a loop as it is usually written, and what penalties cost.

Candidates take turns: round 1 of each, round 2 of each, and so on; numbers are medians over the rounds, ratios are
medians of each round's ratio. Batch 128, random crops and flips, penalties recomputed every ten steps.
"""

import argparse
import csv
import os
import platform
import statistics
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import transforms

from catfish.analysis.published import entries
from catfish.config import load
from catfish.datasets import load_prepared
from catfish.models import build
from catfish.plan import Configuration, Plan, Run
from catfish.training.batches import Data, Examples, Pixels
from catfish.training.loop import initial_state, train_epoch
from catfish.training.measurements import curvatures
from catfish.training.memory import keep_freed_memory
from curvature import positive, timed

ROOT = Path(__file__).parents[1]
MODELS = {  # the setting whose run is timed, and the data set whose images it sees
    "simplecnn": ("simplecnn_c10", "cifar10"),
    "vgg11": ("vgg11_c100", "cifar100"),
    "densenet40_12": ("densenet_c100", "cifar100"),
    "wresnet44_3": ("wresnet_tiny", "cifar100"),
}
PENALTIES = {  # fields of a run; the last one's gradient is a difference of two plain gradients
    "gp_x": {"penalty": "input_gradient"},
    "gp": {"penalty": "gradient"},
    "fp": {"penalty": "fisher"},
    "gp_r": {"penalty": "random_label_gradient"},
    "fp_differences": {"penalty": "fisher", "derivative": "finite_difference"},
}
BATCH, EVERY, COEFFICIENT, RATE = 128, 10, 1e-6, 1e-4
EPOCH = 45_000  # CIFAR's training images without those held out; the curvature is measured once an epoch
REFERENCE = "reference loop, fp32"
PRECISIONS = ("fp32", "bf16")

Turn = Callable[[], float]  # seconds a step


# The data


def examples(dataset: str, classes: int, count: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Images (count, 32, 32, 3) uint8 and labels, of the prepared data set or random, and which of the two."""
    folder = ROOT / "data" / "prepared" / dataset
    if (folder / "manifest.json").exists():
        prepared = load_prepared(folder)
        return prepared.train_images[:count].transpose(0, 2, 3, 1).copy(), prepared.train_labels[:count], dataset
    source = np.random.default_rng(0)
    return source.integers(256, size=(count, 32, 32, 3), dtype=np.uint8), source.integers(classes, size=count), "random"


# The reference


class Pictures(torch.utils.data.Dataset):
    """PIL images with torchvision's transforms."""

    def __init__(self, images: np.ndarray, labels: np.ndarray):
        self.images, self.labels = [Image.fromarray(image) for image in images], labels.tolist()
        self.transform = transforms.Compose([
            transforms.RandomCrop(32, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize([0.5] * 3, [0.25] * 3),
        ])  # fmt: skip

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


def endless(loader: torch.utils.data.DataLoader) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader


def reference(model: nn.Module, batches: Iterator, device: torch.device, steps: int) -> tuple[Turn, Turn]:
    """Plain steps, and a step with FP's recomputation by plain autograd."""
    optimizer = torch.optim.SGD(model.parameters(), RATE, momentum=0.9)
    parameters = list(model.parameters())

    def step(penalised: bool) -> None:
        x, y = (tensor.to(device, non_blocking=True) for tensor in next(batches))
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        if penalised:
            logits = model(x)
            labels = torch.distributions.Categorical(logits=logits.detach()).sample()
            gradients = torch.autograd.grad(F.cross_entropy(logits, labels), parameters, create_graph=True)
            penalty = COEFFICIENT * sum(gradient.square().sum() for gradient in gradients)
            for parameter, gradient in zip(parameters, torch.autograd.grad(penalty, parameters)):
                parameter.grad += gradient
        optimizer.step()

    def plain() -> float:
        return timed(device, lambda: [step(False) for _ in range(steps)])[0] / steps

    return plain, lambda: timed(device, lambda: step(True))[0]


# Ours


def ours(run: Run, data: Data, classes: int, device: torch.device) -> Turn:
    """An epoch of `data`; with a penalty one of a single step, whose gradient is recomputed."""
    state = initial_state(run, classes, device)
    steps = len(data.train) // run.batch_size

    def turn() -> float:
        if state.penalty is not None:
            state.penalty.load_state_dict({"calls": 0, "cached": []})
        return timed(device, lambda: train_epoch(run, state, data))[0] / steps

    return turn


def our_curvature(run: Run, data: Data, classes: int, device: torch.device) -> Turn:
    """What is logged at the end of an epoch: Tr(F), Tr(F^B) and the gradient's norm on 128 examples."""
    model = initial_state(run, classes, device).model
    return lambda: timed(device, lambda: list(curvatures(run, model, data, 1)))[0]


def candidates(name: str, options: argparse.Namespace) -> tuple[dict[str, Turn], str]:
    """Everything that takes turns, and which images."""
    setting, dataset = MODELS[name]
    classes, device, size = (10 if dataset == "cifar10" else 100), torch.device(options.device), options.steps * BATCH
    images, labels, origin = examples(dataset, classes, size)
    run = Plan(load(ROOT / "params.yaml", "paper")).run(Configuration(setting, "eta_star", RATE, None), 0)
    run = replace(run, augment="flip_crop")
    whole = Examples(*(torch.from_numpy(array).to(device) for array in (images, labels, np.zeros(size, bool))))
    pixels = Pixels(*(torch.full((3,), value, device=device) for value in (0.5, 0.25)))
    data = Data(whole, whole, whole, pixels, classes)
    one_batch = replace(data, train=whole.subset(torch.arange(BATCH, device=device)))
    loader = torch.utils.data.DataLoader(
        Pictures(images, labels), BATCH, shuffle=True, drop_last=True, num_workers=options.workers,
        persistent_workers=options.workers > 0, pin_memory=device.type == "cuda",
    )  # fmt: skip
    model = build(run.model, classes).to(device)
    turns: dict[str, Turn] = {}
    turns[REFERENCE], turns[REFERENCE + ", fp"] = reference(model, endless(loader), device, options.steps)
    for precision in PRECISIONS:
        plain = replace(run, precision=precision)
        turns[f"catfish, {precision}"] = ours(plain, data, classes, device)
        for method in options.methods:
            penalised = replace(plain, **PENALTIES[method], coefficient=COEFFICIENT, every=EVERY)
            turns[f"catfish, {precision}, {method}"] = ours(penalised, one_batch, classes, device)
    turns["curvature"] = our_curvature(run, data, classes, device)
    return turns, origin


# Output


def rounds(turns: dict[str, Turn], repeats: int) -> list[dict[str, float]]:
    """The seconds of every candidate in each round; a first round loads code and fills caches."""
    for turn in turns.values():
        turn()
    return [{name: turn() for name, turn in turns.items()} for _ in range(repeats)]


def with_penalty(found: dict[str, float], plain: str, method: str) -> float:
    """Seconds a step where one of ten recomputes the penalty."""
    return (found[f"{plain}, {method}"] + (EVERY - 1) * found[plain]) / EVERY


def median(found: list[dict[str, float]], value: Callable[[dict[str, float]], float]) -> float:
    return statistics.median(map(value, found))


def speed_row(model: str, plain: str, found: list[dict[str, float]]) -> dict:
    """Images a second and their ratio to the reference, without a penalty and with FP."""

    def fp(seconds: dict[str, float], candidate: str) -> float:
        return with_penalty(seconds, candidate, "fp")

    return {
        "model": model,
        "candidate": plain,
        "images_per_second": median(found, lambda r: BATCH / r[plain]),
        "times_reference": median(found, lambda r: r[REFERENCE] / r[plain]),
        "fp_images_per_second": median(found, lambda r: BATCH / fp(r, plain)),
        "fp_times_reference": median(found, lambda r: fp(r, REFERENCE) / fp(r, plain)),
    }


def ratio_row(model: str, method: str, found: list[dict[str, float]]) -> dict:
    """An epoch with the penalty over one without, in each precision and in the paper."""

    def ratio(plain: str) -> float:
        return median(found, lambda r: with_penalty(r, plain, method) / r[plain])

    paper = entries("table5")["value"][MODELS[model][0]]
    ours = {precision: ratio(f"catfish, {precision}") for precision in PRECISIONS}
    published = paper[method.removesuffix("_differences")] / paper["baseline"]
    return {"model": model, "method": method, **ours, "paper": published}


def table(rows: list[dict]) -> str:
    lines = ["| " + " | ".join(key.replace("_", " ") for key in rows[0]) + " |"]
    lines.append("|" + "|".join("--:" if isinstance(value, float) else "---" for value in rows[0].values()) + "|")
    for row in rows:
        shown = [value if isinstance(value, str) else f"{value:.{0 if value >= 100 else 2}f}" for value in row.values()]
        lines.append("| " + " | ".join(shown) + " |")
    return "\n".join(lines) + "\n"


def share(found: list[dict[str, float]], precision: str) -> float:
    """The curvature's part of an epoch that is trained and measured."""
    steps = EPOCH // BATCH
    return median(found, lambda r: r["curvature"] / (r["curvature"] + steps * r[f"catfish, {precision}"]))


def heading(options: argparse.Namespace) -> str:
    gpu = f", {torch.cuda.get_device_name()}" if options.device == "cuda" else ""
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"B = {BATCH}; {options.device}{gpu}; {platform.processor() or platform.machine()}, {os.cpu_count()} processors"
        f"{load}, threads: {options.threads}, the reference's loader: {options.workers} more; turns of {options.steps} "
        f"steps, medians of {options.repeats} rounds. torch {torch.__version__}."
    )


def write_csv(path: Path, rows: list[dict]) -> None:
    """Long form, one number a line."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["model", "row", "quantity", "value"])
        for row in rows:
            model, name, *numbers = row.items()
            writer.writerows([model[1], name[1], key, value] for key, value in numbers)


def arguments(given: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="""examples:
  python benchmarks/training.py --models simplecnn            two minutes on one core
  python benchmarks/training.py --methods fp --steps 2 --repeats 3   every network, in less time
  python benchmarks/training.py --device cuda --csv speed.csv""",
    )
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS), help="networks (default: all)")
    parser.add_argument(
        "--methods", nargs="+", choices=PENALTIES, default=list(PENALTIES), help="penalties besides fp (default: all)"
    )
    parser.add_argument("--repeats", type=positive(int), default=5, help="rounds (default: 5)")
    parser.add_argument("--steps", type=positive(int), default=10, help="plain steps a turn (default: 10)")
    parser.add_argument("--workers", type=int, default=2, help="processes of the reference's DataLoader (default: 2)")
    parser.add_argument(
        "--threads", type=positive(int), default=torch.get_num_threads(), help="of PyTorch (default: %(default)s)"
    )
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="(default: %(default)s)")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the same results for other programs")
    options = parser.parse_args(given)
    options.methods = [method for method in PENALTIES if method == "fp" or method in options.methods]
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch finds no GPU; allowed here: cpu")
    return options


def main(given: list[str]) -> int:
    options = arguments(given)
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    keep_freed_memory()  # as `catfish train` does; the reference has it too
    print(heading(options) + "\n", flush=True)
    results: list[dict] = []
    for model in options.models:
        turns, origin = candidates(model, options)
        found = rounds(turns, options.repeats)
        plain = (REFERENCE, *(f"catfish, {precision}" for precision in PRECISIONS))
        speeds = [speed_row(model, name, found) for name in plain]
        ratios = [ratio_row(model, method, found) for method in options.methods]
        print(f"### {model}, images of {origin}\n\n{table(speeds)}\nPenalty epoch : baseline epoch\n\n{table(ratios)}")
        shares = {precision: share(found, precision) for precision in PRECISIONS}
        text = ", ".join(f"{value:.1%} ({precision})" for precision, value in shares.items())
        print(f"The curvature's share of an epoch of {EPOCH:,} images: {text}.\n", flush=True)
        results += [*speeds, *ratios, {"model": model, "row": "curvature", **shares}]
        if options.csv:
            write_csv(options.csv, results)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
