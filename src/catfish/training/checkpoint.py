"""A run's state on disk, so that it can go on after being killed at any moment."""

import pickle
import zipfile
from pathlib import Path

import torch
from torch import nn

from catfish.errors import RecordError
from catfish.files import replacing

NAME = "checkpoint.pt"


def save(path: Path, state: dict) -> None:
    """Write the state under a temporary name, then put it in the place of the older one."""
    with replacing(path) as file:
        torch.save(state, file)


def load_weights(path: Path, model: nn.Module) -> None:
    """Give a model the weights that another run ended with.

    Raises RecordError for a missing or damaged file, or one of another network.
    """
    try:
        weights = _read(path, next(model.parameters()).device)
    except FileNotFoundError as error:
        raise RecordError(f"{path}: missing; train the run that this one starts from") from error
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise RecordError(f"{path}: weights of another network ({error}); train the run it belongs to again") from error


def load(path: Path, fingerprint: str, device: torch.device) -> dict | None:
    """The saved state of the run with this fingerprint, or None if there is none to go on from.

    A state of other settings, code or data is of no use here and is ignored. Nothing in the file is executed.
    Raises RecordError for a damaged file.
    """
    if not path.exists():
        return None
    state = _read(path, device)
    return state if state.get("fingerprint") == fingerprint else None


def _read(path: Path, device: torch.device) -> dict:
    try:
        return torch.load(path, map_location=device, weights_only=True)
    except FileNotFoundError:
        raise
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise RecordError(f"{path}: damaged ({error}); delete it to train its run again from the start") from error
