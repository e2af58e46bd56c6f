"""What a setting consists of and what it costs, before anything is trained."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from catfish import models
from catfish.config import Method, Setting
from catfish.datasets.sizes import SIZES, Size
from catfish.penalties import PENALTIES
from catfish.plan import BEST, ETA_STAR, Configuration, Plan

COUNTED = 2  # examples whose operations are counted; the count grows in proportion to their number


@dataclass(frozen=True)
class Cost:
    """Floating-point operations an example: of a forward pass, of a training step, and of each penalty's gradient."""

    forward: float
    step: float
    penalties: dict[str, float]


def describe(plan: Plan, name: str) -> str:
    """The model, the schedule, the grids, the runs and their floating-point operations, as text."""
    setting = plan.params.settings[name]
    size = SIZES[setting.dataset]
    model = models.build(setting.model, size.classes, setting.width, setting.depth)
    parts = [_model(name, setting, size, model), _schedule(plan, name, size), _grids(plan, name)]
    return "\n\n".join([*parts, _runs(plan, name, size, count(model, size.side, size.classes))]) + "\n"


class _Operations(TorchDispatchMode):
    """Adds up what torch's own formulas say of each operation.

    FlopCounterMode would do the same, but its tracking of modules cannot follow gradients at an input (GP_x).
    """

    def __init__(self):
        super().__init__()
        self.total = 0

    def __torch_dispatch__(self, function, types, arguments=(), named=None):
        result = function(*arguments, **(named or {}))
        if function._overloadpacket in flop_registry:
            self.total += flop_registry[function._overloadpacket](*arguments, **(named or {}), out_val=result)
        return result


def count(model: nn.Module, side: int, classes: int) -> Cost:
    """Count the operations of matrix products and convolutions (a multiplication and an addition are two)."""
    x, y = torch.randn(COUNTED, 3, side, side), torch.arange(COUNTED) % classes
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]

    def operations(work) -> float:
        with _Operations() as counter:
            work()
        return counter.total / COUNTED

    with torch.no_grad():
        forward = operations(lambda: model(x))
    step = operations(lambda: torch.autograd.grad(F.cross_entropy(model(x), y), parameters))
    source = torch.Generator().manual_seed(0)
    penalties = {
        name: operations(lambda penalty=penalty: penalty(model, 1.0, 1, source).gradient(x, y))
        for name, penalty in PENALTIES.items()
    }
    return Cost(forward, step, penalties)


def _model(name: str, setting: Setting, size: Size, model: nn.Module) -> str:
    lines = [f"{name}: {setting.model} on {setting.dataset}, width {setting.width:g}, depth {setting.depth:g}"]
    rows = list(_layers(model, size.side))
    width = max(len(row[0]) for row in rows)
    lines += [f"  {part:{width}}  {shape:>16}  {parameters:>11,}" for part, shape, parameters in rows]
    total = sum(parameter.numel() for parameter in model.parameters())
    return "\n".join([*lines, f"  {'parameters':{width}}  {'':>16}  {total:>11,}"])


def _layers(model: nn.Module, side: int) -> Iterator[tuple[str, str, int]]:
    """Name, output shape and number of parameters of the parts that the model consists of."""
    found: dict[str, tuple[str, str, int]] = {}
    hooks = []
    for name, part in model.named_children():
        own = sum(parameter.numel() for parameter in part.parameters())

        def note(module, inputs, output, name=name, own=own):
            found[name] = (f"{name} {type(module).__name__}", "x".join(map(str, output.shape[1:])), own)

        hooks.append(part.register_forward_hook(note))
    model.eval()
    with torch.no_grad():
        model(torch.zeros(1, 3, side, side))
    model.train()
    for hook in hooks:
        hook.remove()
    yield from found.values()


def training_images(setting: Setting, size: Size) -> int:
    """How many images a setting trains on."""
    return setting.examples or size.training - setting.validation


def _schedule(plan: Plan, name: str, size: Size) -> str:
    setting = plan.params.settings[name]
    images = training_images(setting, size)
    noise = f", {setting.label_noise:.0%} of their labels replaced" if setting.label_noise else ""
    milestones = ", ".join(map(str, setting.milestones)) or "none"
    return "\n".join([
        f"  training    {images:,} images{noise}, {setting.validation:,} held out, {size.test:,} for the test",
        f"  augmented   {setting.augment}; inputs {setting.inputs}; loss {setting.loss.replace('_', ' ')}",
        f"  steps       {images // setting.batch_size:,} of batch size {setting.batch_size} an epoch, "
        f"{setting.epochs} epochs",
        f"  optimiser   SGD, momentum {setting.momentum:g}, weight decay {setting.weight_decay:g}; learning rate "
        f"x{setting.decay:g} after epochs {milestones}",
        f"  precision   {setting.precision}",
        f"  reported    {setting.report} epoch",
    ])  # fmt: skip


def _grids(plan: Plan, name: str) -> str:
    setting = plan.params.settings[name]
    rates = ", ".join(f"{value:g}" for value in setting.learning_rates)
    origin = f"that of {setting.tuned_on}" if setting.tuned_on else f"best of {rates}"
    lines = [f"  eta*             {origin}; small: eta* / {setting.small_factor:g}"]
    for method in dict.fromkeys(c.method for c in plan.jobs if c.setting == name):
        grid = plan.params.grid(name, method)
        if grid:
            lines.append(f"  {method:16} {', '.join(f'{value:g}' for value in grid)}")
    return "\n".join(lines)


def _runs(plan: Plan, name: str, size: Size, cost: Cost) -> str:
    setting = plan.params.settings[name]
    runs: dict[str, int] = {}
    for configuration, seeds in plan.jobs.items():
        if configuration.setting == name:
            runs[configuration.method] = runs.get(configuration.method, 0) + seeds - copied(plan, configuration)
    if not runs:
        return f"  No table or figure at scale {plan.params.scale} shows this setting."
    lines, total = [f"  {'method':16} {'runs':>5}  {'an epoch':>10}  {'all runs':>10}   operations"], 0.0
    for method, number in runs.items():
        epoch = epoch_operations(plan, name, method, size, cost)
        total += number * setting.epochs * epoch
        together = operations_text(number * setting.epochs * epoch)
        lines.append(f"  {method:16} {number:5}  {operations_text(epoch):>10}  {together:>10}")
    lines.append(f"  {'together':16} {sum(runs.values()):5}  {'':>10}  {operations_text(total):>10}")
    lines.append("  Training and evaluation of accuracies; the curvature is not counted.")
    return "\n".join(lines)


def copied(plan: Plan, configuration: Configuration) -> int:
    """How many of a configuration's seeds, from 0, are the best runs of a grid, and therefore not trained again."""
    setting, method = plan.params.settings[configuration.setting], plan.params.methods[configuration.method]
    best_rate = method == Method(ETA_STAR) and configuration.learning_rate == ETA_STAR and setting.tuned_on is None
    best_coefficient = configuration.coefficient == BEST and method.coefficient_of is None
    return min(setting.seeds, setting.tuning_seeds) if best_rate or best_coefficient else 0


def epoch_operations(plan: Plan, name: str, method: str, size: Size, cost: Cost) -> float:
    """Operations of training and evaluation in an epoch, on average over a run's epochs."""
    setting, spec = plan.params.settings[name], plan.params.methods[method]
    images = training_images(setting, size)
    step = cost.step
    if spec.sam:
        step *= 2
    if spec.step_norm and spec.micro_batch:
        step += cost.step * min(1, spec.micro_batch / setting.batch_size)
    if spec.penalty:
        examples = min(spec.first_examples or setting.batch_size, setting.batch_size) / setting.batch_size
        epochs = max(0, setting.epochs - spec.onset) / setting.epochs
        step += cost.penalties[spec.penalty] / spec.every * examples * epochs
    return images * step + evaluated_images(setting, size) * cost.forward / setting.measure.evaluate_every


def evaluated_images(setting: Setting, size: Size) -> int:
    """How many images an evaluation of accuracies sees."""
    images = training_images(setting, size)
    return min(images, setting.measure.train_examples or images) + setting.validation + size.test


def operations_text(operations: float) -> str:
    """Such as `1.23 PFLOP`."""
    for unit in ("", "k", "M", "G", "T", "P", "E"):
        if operations < 1000 or unit == "E":
            break
        operations /= 1000
    return f"{operations:.3g} {unit}FLOP"
