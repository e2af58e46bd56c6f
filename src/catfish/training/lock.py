"""One process a run: the folder of a run that is being trained holds the name of the process that trains it."""

import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from catfish.errors import RecordError
from catfish.processes import identity, is_alive

NAME = "run.lock"
REFRESHED = 60  # seconds between two signs of life
FORGOTTEN = 15 * 60  # seconds without one after which a process of another machine is taken for dead


@contextmanager
def held(folder: Path) -> Iterator[Callable[[], None]]:
    """Hold the folder inside the block; gives a function to call now and then, as a sign of life.

    Works on network file systems (a hard link is made or it is not). The lock of a dead process is taken over.
    Raises RecordError that names the holder if there is one.
    """
    path, holder = folder / NAME, identity()
    own = folder / f"{NAME}.{holder['host']}.{holder['process']}.tmp"
    own.write_text(json.dumps(holder))
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
        _bury(path, own.with_suffix(".dead.tmp"))
        _link(own, path)


def _bury(path: Path, grave: Path) -> None:
    """Take a dead process's lock away, but not the one that somebody else may have put in its place meanwhile."""
    try:
        path.rename(grave)
    except FileNotFoundError:
        return
    if _holder(grave) is not None:
        os.link(grave, path)
    grave.unlink()


def _holder(path: Path) -> str | None:
    """Who holds a lock; None if that process is dead."""
    try:
        text, age = path.read_text(), time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return None
    try:
        content = json.loads(text)
        alive, name = is_alive(content), f"process {content['process']} on {content['host']}"
    except (ValueError, KeyError, TypeError):
        alive, name = None, "process ? on an unknown machine"
    if alive is None:
        alive = age < FORGOTTEN
    return name if alive else None


def _sign_of_life(path: Path) -> Callable[[], None]:
    last = time.monotonic()

    def sign() -> None:
        nonlocal last
        if time.monotonic() - last > REFRESHED:
            last = time.monotonic()
            with suppress(FileNotFoundError):  # deleted by hand
                os.utime(path)

    return sign
