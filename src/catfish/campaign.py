"""Who runs Snakemake in this folder: Snakemake's own lock keeps a second one out, and does not say for whom."""

import json
import time
from pathlib import Path
from typing import Any

from catfish.files import replacing
from catfish.processes import identity, is_alive

RECORD = Path("logs") / "campaign.json"
LOCKS = Path(".snakemake") / "locks"


def begin(scale: str) -> None:
    """Write down that this process runs a campaign here."""
    record = identity() | {"scale": scale, "since": time.strftime("%Y-%m-%d %H:%M:%S")}
    with replacing(RECORD) as file:
        file.write(json.dumps(record).encode())


def end() -> None:
    """Take that back, unless another campaign has written its own."""
    if identity().items() <= _record().items():
        RECORD.unlink(missing_ok=True)


def holder() -> str | None:
    """Who holds this folder, and what to do about it; None where Snakemake has not locked it or nothing is known."""
    record = _record()
    try:
        alive, name = is_alive(record), f"process {record['process']} on {record['host']}"
        what = f"the campaign of the scale {record['scale']} that {name} began here at {record['since']}"
    except (KeyError, TypeError):
        return None
    if not any(LOCKS.glob("*.lock")):
        return None
    if alive:
        return f"{what} goes on; wait for it, or end it with: kill -INT {record['process']}"
    if alive is None:
        return f"{what} may go on there; if that process is gone, say `snakemake --unlock` once"
    return f"{what} was killed; say `snakemake --unlock` once, then start again"


def _record() -> dict[str, Any]:
    """What `begin` wrote; empty if there is nothing like it."""
    try:
        record = json.loads(RECORD.read_text())
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
