"""Which device a process trains on. Processes of one machine share its GPUs evenly, and wait where all are taken.

A process holds a lock file that names the GPU and the slot on it for as long as it trains; the system releases it
however the process ends. Only the own user's processes on this machine are counted.
"""

import fcntl
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import torch

from catfish.errors import ResultError

PAUSE = 1.0  # seconds between two looks for a free slot


@contextmanager
def chosen(name: str, slots: int | None = None, say: Callable[[str], None] = print) -> Iterator[torch.device]:
    """Inside the block, the device called `name` is ours.

    name: `auto` (the GPU that the fewest processes use, if there are any), cpu, cuda, cuda:1 ...; slots: how many
    processes may share a GPU under `auto`, None for any number. CUDA_VISIBLE_DEVICES is respected, as torch does it.
    Raises ResultError for a name that torch does not know, and for a GPU that it does not see.
    """
    if name == "auto" and torch.cuda.is_available():
        # A GPU is known by its UUID: under Slurm every job may call its own one number 0.
        names = [str(torch.cuda.get_device_properties(index).uuid) for index in range(torch.cuda.device_count())]
        with slot(names, slots, say=say) as index:
            torch.cuda.set_device(index)
            yield torch.device("cuda", index)
    else:
        target = _named("cpu" if name == "auto" else name)
        if target.type == "cuda" and not torch.cuda.is_available():
            raise ResultError(
                f"--device {name}: torch {torch.__version__} sees no CUDA device; use --device cpu, or install "
                "a CUDA build of torch and a driver"
            )
        yield target


def _named(name: str) -> torch.device:
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ResultError(f"--device {name}: torch knows no such device; use auto, cpu, cuda, cuda:1 ...") from error


@contextmanager
def slot(
    names: Sequence[str], slots: int | None = None, folder: Path | None = None, say: Callable[[str], None] = print
) -> Iterator[int]:
    """The index of the device with the fewest processes, which counts this one inside the block.

    names: of the devices; slots: processes a device, None for any number; folder: of the locks, the same for all
    processes of a user on a machine. Waits while no slot is free, and says so once.
    """
    folder = folder or Path(tempfile.gettempdir()) / f"catfish-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    held, waiting = _free(names, slots, folder), False
    while held is None:
        if not waiting:
            say(f"waits for one of {len(names) * slots} slots on {len(names)} GPUs")
            waiting = True
        time.sleep(PAUSE)
        held = _free(names, slots, folder)
    file, index = held
    try:
        yield index
    finally:
        os.close(file)


def _free(names: Sequence[str], slots: int | None, folder: Path) -> tuple[int, int] | None:
    """An open, locked file and the index of its device; None if all slots are taken.

    Every device's first slot comes before any second one.
    """
    for level in itertools.count() if slots is None else range(slots):
        for index, name in enumerate(names):
            file = os.open(folder / f"{name}.{level}", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(file)
            else:
                return file, index
    return None
