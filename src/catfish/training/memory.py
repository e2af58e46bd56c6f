"""The process's memory, kept for the next step instead of given back to the system after every operation.

The C library returns large blocks as soon as they are free, and the system clears the pages of new ones: on two cores
that took a tenth of a training step, and a third of an evaluation.
"""

import ctypes

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's malloc.h


def keep_freed_memory() -> None:
    """For this process, from now on; nothing happens where the C library has no such choice."""
    try:
        choose = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # another C library; another system
        return
    choose(MMAP_MAX, 0)
    choose(TRIM_THRESHOLD, -1)
