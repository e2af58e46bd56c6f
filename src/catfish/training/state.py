"""All that changes while a run goes on, and so all that a checkpoint holds."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from catfish import models
from catfish.penalties import PENALTIES
from catfish.plan import Run
from catfish.training.seeds import derive, generator
from catfish.training.sgd import SGD

_NUMBERS = ("epoch", "step", "seconds", "rows", "elapsed")


@dataclass
class State:
    """A run between two steps: its network, optimiser, penalty and randomness, and how far it is."""

    model: nn.Module
    optimizer: SGD
    penalty: object | None
    generators: dict[str, torch.Generator]
    epoch: int = 0  # epochs begun
    step: int = 0  # steps taken
    seconds: float = 0.0  # training and measuring, of the epochs that ended
    rows: int = 0  # of history.csv
    elapsed: float = 0.0  # seconds of training in the epoch under way
    order: Tensor | None = None  # (steps, batch_size), the batches of the epoch under way
    losses: list[Tensor] = field(default_factory=list)  # of that epoch's steps so far
    measured: dict[str, list[dict]] = field(default_factory=dict)  # its rows of steps.csv and the like, by file name
    norms: Tensor | None = None  # (steps of the run,) of the gradients so far, NaN: to come; where they are recorded
    taken_norms: Tensor | None = None  # (steps of the run,) that the steps take; as their file has them, so not saved
    parts: dict = field(init=False)

    def __post_init__(self):
        self.parts = {"model": self.model, "optimizer": self.optimizer}
        if self.penalty is not None:
            self.parts["penalty"] = self.penalty

    def state_dict(self) -> dict:
        return {
            **{name: part.state_dict() for name, part in self.parts.items()},
            "generators": {name: source.get_state() for name, source in self.generators.items()},
            **{name: getattr(self, name) for name in _NUMBERS},
            "order": self.order,
            "losses": torch.stack(self.losses) if self.losses else None,
            "measured": self.measured,
            "norms": self.norms,
        }

    def load_state_dict(self, state: dict) -> None:
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        for name, source in self.generators.items():
            source.set_state(state["generators"][name].cpu())
        for name in _NUMBERS:
            setattr(self, name, state[name])
        self.order, self.measured, self.norms = state["order"], state["measured"], state["norms"]
        self.losses = [] if state["losses"] is None else list(state["losses"])


def initial_state(run: Run, classes: int, device: torch.device) -> State:
    """The run before its first step; initial weights depend on the run's seed alone, whatever the method."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(run.seed, "weights"))
        model = models.build(run.model, classes, run.width, run.depth)
    model = model.to(device, memory_format=torch.channels_last)
    optimizer = SGD(model.parameters(), run.learning_rate, run.momentum, run.weight_decay)
    generators = {name: generator(device, run.seed, name) for name in ("order", "augmentation", "labels", "mixup")}
    penalty = None
    if run.penalty is not None:
        form = {key: getattr(run, key) for key in ("first_examples", "micro_batch", "derivative")}
        penalty = PENALTIES[run.penalty](model, run.coefficient, run.every, generators["labels"], **form)
    return State(model, optimizer, penalty, generators)
