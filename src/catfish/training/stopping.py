"""Ending between two steps when a scheduler or user asks for it."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def noticed() -> Iterator[Callable[[], bool]]:
    """Inside the block, a first SIGTERM or SIGINT is only noted; the function given tells whether there was one.

    A second signal has its usual effect, for whoever does not want to wait.
    """
    received = []
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number, frame):
        received.append(number)
        for each, handler in before.items():
            signal.signal(each, handler)

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
