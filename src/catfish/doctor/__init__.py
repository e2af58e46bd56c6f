"""What this machine has and lacks for a scale, with the cure beside each finding (`catfish doctor`)."""

from collections.abc import Iterator

from catfish.doctor import machine, project, software
from catfish.doctor.finding import ADVICE, OBSTACLE, OK, Finding
from catfish.plan import Plan

__all__ = ["ADVICE", "OBSTACLE", "OK", "Finding", "examine"]


def examine(plan: Plan) -> Iterator[Finding]:
    """Software first, then the machine, then the project in the current folder."""
    yield from software.findings()
    yield from machine.findings(plan)
    yield from project.findings(plan)
