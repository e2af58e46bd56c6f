"""Which process holds something: as a record that another process, on this machine or another, can judge."""

import os
import socket
from pathlib import Path
from typing import Any


def identity() -> dict[str, Any]:
    """This process, as JSON can hold it: its machine, its number, and when it began, as numbers are given again."""
    return {"host": socket.gethostname(), "process": os.getpid(), "began": _began(os.getpid())}


def is_alive(record: dict[str, Any]) -> bool | None:
    """Whether the process with that identity still runs; None if it is of another machine, so nobody here knows.

    Raises KeyError or TypeError for what is not an identity.
    """
    host, process = record["host"], record["process"]
    if host != socket.gethostname():
        return None
    began = record.get("began")
    return _exists(process) and (began is None or began == _began(process))


def _exists(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _began(process: int) -> str | None:
    """The boot of the machine and the clock tick at which a process began; None where /proc does not tell."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        after_name = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return f"{boot} {after_name[19]}"  # field 22 of proc(5); a name may hold spaces and brackets
    except OSError:
        return None
