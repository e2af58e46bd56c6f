"""The process's memory: kept for the next step instead of given back to the system after every operation, and the error
when there is too little of it.

The C library returns large blocks as soon as they are free, and the system clears the pages of new ones: on two cores
that took a tenth of a training step, and a third of an evaluation.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from catfish.errors import ResultError

_SIGNS = ("out of memory", "can't allocate memory", "not enough memory")  # in the messages of torch
TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed_memory() -> None:
    """For this process, from now on; nothing happens where the C library has no such choice."""
    try:
        choose = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; another system
        return
    choose(MMAP_MAX, 0)
    choose(TRIM_THRESHOLD, -1)


@contextmanager
def exhausted(folder: Path, setting: str) -> Iterator[None]:
    """Raises ResultError that says what to lower when a run's memory, on the device or host, does not suffice."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if not isinstance(error, MemoryError) and not any(sign in text for sign in _SIGNS):
            raise
        raise ResultError(
            f"{folder}: out of memory ({text.partition(chr(10))[0][:200]}); run fewer jobs at once (--cores, "
            f"--resources gpu), or lower settings.{setting}.batch_size or .width, or measure.fisher_examples, "
            ".hessian_examples. Started again, the run goes on from its last checkpoint"
        ) from error
