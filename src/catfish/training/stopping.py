"""Ending between two steps when a scheduler or user asks for it."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Seconds after the first signal in which others are the same request: a preempting Slurm sends SIGTERM to every process
# of the job's step, and so do the programs between, each to the next.
SAME_REQUEST = 5.0


@contextmanager
def noticed() -> Iterator[Callable[[], bool]]:
    """Inside the block, a first SIGTERM or SIGINT is only noted; the function given tells whether there was one.

    One that comes more than SAME_REQUEST seconds later has its usual effect, for whoever does not want to wait.
    """
    received: list[float] = []  # when
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number, frame):
        received.append(time.monotonic())
        if received[-1] - received[0] > SAME_REQUEST:
            for each, handler in before.items():
                signal.signal(each, handler)
            signal.raise_signal(number)

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
