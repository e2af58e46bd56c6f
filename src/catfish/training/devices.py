"""Which device a process trains on. Processes of one machine share its GPUs evenly, and wait where all are taken.

A process holds a lock file that names the GPU and the slot on it for as long as it trains; the system releases it
however the process ends. In the file stands how much of the GPU's memory the process claims. Only the own user's
processes on this machine are counted.
"""

import fcntl
import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from catfish.errors import ResultError

PAUSE = 1.0  # seconds between two looks for a free slot


class Gpu(NamedTuple):
    """A GPU that processes share: by its UUID, since under Slurm every job may call its own one number 0."""

    name: str
    megabytes: int


@contextmanager
def chosen(
    name: str, slots: int | None = None, megabytes: int = 0, say: Callable[[str], None] = print
) -> Iterator[torch.device]:
    """Inside the block, the device called `name` is ours.

    name: `auto` (the GPU that the fewest processes use, if there are any), cpu, cuda, cuda:1 ...; slots: how many
    processes may share a GPU under `auto`, None for any number; megabytes: of the GPU's memory that this process
    claims under `auto`. CUDA_VISIBLE_DEVICES is respected, as torch does it.
    Raises ResultError for a name that torch does not know, for a GPU that it does not see, and for more memory than
    any GPU has.
    """
    if name == "auto" and torch.cuda.is_available():
        with slot(_gpus(), slots, megabytes, say=say) as index:
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


def _gpus() -> list[Gpu]:
    found = map(torch.cuda.get_device_properties, range(torch.cuda.device_count()))
    return [Gpu(str(gpu.uuid), gpu.total_memory // 2**20) for gpu in found]


def _named(name: str) -> torch.device:
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ResultError(f"--device {name}: torch knows no such device; use auto, cpu, cuda, cuda:1 ...") from error


@contextmanager
def slot(
    gpus: Sequence[Gpu],
    slots: int | None = None,
    megabytes: int = 0,
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> Iterator[int]:
    """The index of the GPU with the fewest processes, which counts this one inside the block.

    slots: processes a GPU, None for any number; megabytes: that this process claims, so that the claims on a GPU stay
    within its memory; folder: of the locks, the same for all processes of a user on a machine. Waits while there is no
    room, and says so once. Raises ResultError if the claim is more than any GPU has.
    """
    if megabytes > max(gpu.megabytes for gpu in gpus):
        sizes = ", ".join(str(gpu.megabytes) for gpu in gpus)
        raise ResultError(f"--gpu-megabytes {megabytes}: more than the memory of any GPU here ({sizes} MB)")
    folder = folder or Path(tempfile.gettempdir()) / f"catfish-devices-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    held, waiting = _free(gpus, slots, megabytes, folder), False
    while held is None:
        if not waiting:
            limits = [f"{slots} jobs a GPU"] * (slots is not None) + [f"{megabytes} MB for each job"] * bool(megabytes)
            say(f"waits for room on {len(gpus)} GPUs ({', '.join(limits)})")
            waiting = True
        time.sleep(PAUSE)
        held = _free(gpus, slots, megabytes, folder)
    file, index = held
    try:
        yield index
    finally:
        os.close(file)


def _free(gpus: Sequence[Gpu], slots: int | None, megabytes: int, folder: Path) -> tuple[int, int] | None:
    """An open, locked file and the index of its GPU, of those with room the one with the fewest processes; or None."""
    choosing = _locked(folder / "choosing", wait=True)
    try:
        claims = [_claims(gpu, folder) for gpu in gpus]
        room = [
            (len(held), index)
            for index, (gpu, held) in enumerate(zip(gpus, claims))
            if (slots is None or len(held) < slots) and sum(held.values()) + megabytes <= gpu.megabytes
        ]
        if not room:
            return None
        _, index = min(room)
        level = next(level for level in itertools.count() if level not in claims[index])
        file = _locked(folder / f"{gpus[index].name}.{level}")
        os.truncate(file, 0)
        os.write(file, str(megabytes).encode())
        return file, index
    finally:
        os.close(choosing)


def _claims(gpu: Gpu, folder: Path) -> dict[int, int]:
    """Megabytes that living processes claim on a GPU, by their slots."""
    found = {}
    for path in folder.glob(f"{gpu.name}.*"):
        file = _locked(path)
        if file is None:
            found[int(path.suffix[1:])] = int(path.read_text() or 0)
        else:
            os.close(file)
    return found


def _locked(path: Path, wait: bool = False) -> int | None:
    """The file, open and locked by us, or None if another process has it."""
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        os.close(file)
        return None
    return file
