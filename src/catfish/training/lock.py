"""One process a run: the folder of a run that is being trained holds the name of the process that trains it."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from catfish.errors import RecordError

NAME = "run.lock"
REFRESHED = 60  # seconds between two signs of life
FORGOTTEN = 15 * 60  # seconds without one after which a process of another machine is taken for dead


@contextmanager
def held(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold the folder inside the block; gives a function to call now and then, as a sign of life.

    Works on network file systems (a hard link is made or it is not). The lock of a dead process is taken over.
    Raises RecordError that names the holder if there is one.
    """
    path = folder / NAME
    own = folder / f"{NAME}.{socket.gethostname()}.{os.getpid()}.tmp"
    own.write_text(json.dumps({"host": socket.gethostname(), "process": os.getpid()}))
    try:
        _link(own, path)
    finally:
        own.unlink()
    try:
        yield _sign_of_life(path)
    finally:
        path.unlink(missing_ok=True)


def _link(own: Path, path: Path) -> None:
    try:
        os.link(own, path)
    except FileExistsError:
        holder = _holder(path)
        if holder is not None:
            raise RecordError(
                f"{path.parent}: is being trained by {holder}; wait for it, or delete {path} if that process is gone"
            ) from None
        path.unlink(missing_ok=True)
        _link(own, path)  # unless somebody else was faster


def _holder(path: Path) -> str | None:
    """Who holds a lock; None if that process is dead."""
    try:
        content, age = json.loads(path.read_text()), time.time() - path.stat().st_mtime
        host, process = content["host"], content["process"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError):
        host, process, age = "an unknown machine", "?", time.time() - path.stat().st_mtime
    here = host == socket.gethostname()
    alive = _exists(process) if here else age < FORGOTTEN
    return f"process {process} on {host}" if alive else None


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _sign_of_life(path: Path) -> Callable[[], None]:
    last = time.monotonic()

    def sign() -> None:
        nonlocal last
        if time.monotonic() - last > REFRESHED:
            last = time.monotonic()
            path.touch()

    return sign
