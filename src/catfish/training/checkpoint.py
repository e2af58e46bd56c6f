"""A run's state on disk, so that it can go on after being killed at any moment."""

import pickle
import zipfile
from pathlib import Path

import torch

from catfish.errors import RecordError
from catfish.files import replacing

NAME = "checkpoint.pt"


def save(path: Path, state: dict) -> None:
    """Write the state under a temporary name, then put it in the place of the older one."""
    with replacing(path) as file:
        torch.save(state, file)


def load(path: Path, fingerprint: str, device: torch.device) -> dict | None:
    """The saved state of the run with this fingerprint, or None if there is none to go on from.

    A state of other settings, code or data is of no use here and is ignored. Nothing in the file is executed.
    Raises RecordError for a damaged file.
    """
    if not path.exists():
        return None
    try:
        state = torch.load(path, map_location=device, weights_only=True)
    except (RuntimeError, EOFError, OSError, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        raise RecordError(
            f"{path}: damaged checkpoint ({error}); delete it to train this run from its start"
        ) from error
    return state if state.get("fingerprint") == fingerprint else None
