"""A run's state on disk, so that it can go on after being killed at any moment."""

import io
import pickle
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from catfish.errors import Interrupted, RecordError
from catfish.files import replacing
from catfish.plan import CHECKPOINTS, RUN_FILES, STEP_FILES
from catfish.records import write_text
from catfish.training.state import State

NAME, OLDER = CHECKPOINTS
TABLES = (*RUN_FILES[1:], *STEP_FILES)
SECONDS = 30.0  # a shorter run is cheaper to repeat than to save
SHARE = 0.01  # of the time that saving may take at most


class Keeper:
    """Saves one run's state from time to time, and at once when the process is asked to end.

    folder: the run's; fingerprint: of the run; seconds: least time between two checkpoints, 0 for one after every
    step; stopping: whether the process was asked to end; sign: gives a sign of life; say: receives a line about a
    checkpoint that is of no use.
    """

    def __init__(
        self,
        folder: Path,
        fingerprint: str,
        seconds: float = SECONDS,
        stopping: Callable[[], bool] = lambda: False,
        sign: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = print,
    ):
        self.folder, self.fingerprint, self.seconds = folder, fingerprint, seconds
        self.stopping, self.sign, self.say = stopping, sign, say
        self.due = time.perf_counter() + seconds

    def after_step(self, state: State) -> None:
        """Save the state if it is time to; raises Interrupted, with the state saved, if the process shall end."""
        self.sign()
        stopping = self.stopping()
        if stopping or time.perf_counter() >= self.due:
            self.save(state)
        if stopping:
            raise Interrupted(f"{self.folder}: stopped as asked after step {state.step}; the same command goes on")

    def save(self, state: State) -> None:
        """Write the state under a temporary name; the last checkpoint becomes the older one, and this the last."""
        started, path = time.perf_counter(), self.folder / NAME
        content = {"fingerprint": self.fingerprint, "tables": self._tables(), **state.state_dict()}
        write(path, content, older=self.folder / OLDER)
        ended = time.perf_counter()
        self.due = ended + (max(self.seconds, (ended - started) / SHARE) if self.seconds else 0)

    def resume(self, state: State) -> bool:
        """Bring the state to where the last checkpoint was that can be used; False if there is none."""
        for path in (self.folder / NAME, self.folder / OLDER):
            if not path.exists():
                continue
            try:
                stored = read(path, next(state.model.parameters()).device)
            except RecordError as error:
                self.say(f"not used: {error}")
                continue
            if stored.get("fingerprint") == self.fingerprint:
                state.load_state_dict(stored)
                for name, text in stored["tables"].items():
                    write_text(self.folder / name, text)
                return True
            self.say(f"not used: {path}: of a run with other settings, code or data")
        return False

    def _tables(self) -> dict[str, str]:
        """The run's tables so far. Snakemake puts the ones from before a failed attempt back, though not the state."""
        paths = [self.folder / name for name in TABLES]
        return {path.name: path.read_text(encoding="utf-8") for path in paths if path.exists()}


def write(path: Path, content: dict, older: Path | None = None) -> None:
    """Write a file whole or not at all; what was there takes the name `older`, if given."""
    whole = io.BytesIO()  # torch hides a full disk behind errors of its own
    torch.save(content, whole)
    with replacing(path) as file:
        file.write(whole.getbuffer())
        if older is not None and path.exists():
            path.replace(older)


def read(path: Path, device: torch.device) -> dict:
    """A file that `write` made, its tensors on the device. Nothing in the file is executed.

    Raises RecordError for a missing or damaged file.
    """
    try:
        with zipfile.ZipFile(path) as members:  # torch itself does not look at the checksums
            if broken := members.testzip():
                raise zipfile.BadZipFile(f"{broken} is not what was written")
        content = torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError as error:
        raise RecordError(f"{path}: missing; train the run that it belongs to") from error
    except (RuntimeError, EOFError, OSError, ValueError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        reason = str(error).partition("\n")[0]
        raise RecordError(f"{path}: damaged ({reason}); delete it and train its run again") from error
    if not isinstance(content, dict):
        raise RecordError(f"{path}: holds a {type(content).__name__}; delete it and train its run again")
    return content


def load_weights(path: Path, model: nn.Module) -> None:
    """Give a model the weights that another run ended with.

    Raises RecordError for a missing or damaged file, or one of another network.
    """
    weights = read(path, next(model.parameters()).device)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RecordError(f"{path}: weights of another network ({error}); train its run again") from error
