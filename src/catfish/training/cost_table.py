"""The cost of a scale as text."""

from collections.abc import Iterator

from tabulate import tabulate

from catfish.plan import Plan
from catfish.training.cost import Estimate, Price, longest_chain, outputs, waves
from catfish.training.describe import copied, operations_text

HEADER = ("", "runs", "finished", "a run", "operations", "hours", "hours left")
HOUR = 3600


def table(plan: Plan) -> str:
    """A row a setting, a row a table or figure with all that stands behind it, the total, and what takes longest."""
    estimate = Estimate(plan)
    total = _sum(estimate, plan)
    rows = [_row(name, price) for name, price in _by_setting(estimate, plan)]
    rows += [None, *(_row(name, _sum(estimate, part)) for name, part in outputs(plan).items())]
    rows += [None, _row("together", total)]
    lines = [_aligned(rows), "", *_notes(plan, estimate, total), *_schedule(plan, estimate, total)]
    return "\n".join(lines) + "\n"


def _sum(estimate: Estimate, plan: Plan) -> Price:
    return sum((estimate.price(configuration, seeds) for configuration, seeds in plan.jobs.items()), Price())


def _by_setting(estimate: Estimate, plan: Plan) -> Iterator[tuple[str, Price]]:
    for name in dict.fromkeys(configuration.setting for configuration in plan.jobs):
        jobs = [(job, seeds) for job, seeds in plan.jobs.items() if job.setting == name]
        yield name, sum((estimate.price(*job) for job in jobs), Price())


def _row(name: str, price: Price) -> tuple[str, ...]:
    mean = operations_text(price.operations / price.runs) if price.runs else "-"
    hours = [_hours(seconds, price) for seconds in (price.seconds, price.seconds_left)]
    return name, f"{price.runs:,}", f"{price.finished:,}", mean, operations_text(price.operations), *hours


def _hours(seconds: float, price: Price) -> str:
    """Hours; ~ if partly by operations, + if runs of unknown time come on top, a dash if nothing is known."""
    if price.unknown == price.runs:
        return "-"
    hours = seconds / HOUR
    text = f"{hours:,.0f}" if hours >= 100 else f"{hours:.3g}"
    return "~" * (price.proportional > 0 and seconds > 0) + text + "+" * (price.unknown > 0)


def _aligned(rows: list[tuple[str, ...] | None]) -> str:
    cells = [row or ("",) * len(HEADER) for row in rows]
    return tabulate(cells, HEADER, "plain", colalign=("left", *["right"] * (len(HEADER) - 1)), disable_numparse=True)


def _notes(plan: Plan, estimate: Estimate, total: Price) -> Iterator[str]:
    copies = sum(min(copied(plan, job), seeds) for job, seeds in plan.jobs.items())
    yield f"The total counts a run once, whatever shows it; {copies:,} more are copies of a grid's best run."
    yield "Operations: training and evaluation without the curvature; a multiplication and an addition are two."
    if estimate.calibration:
        hardware = estimate.calibration["hardware"]
        yield f"Hours: of one job at a time on {hardware}, calibrated there; everything measured included."
    elif total.unknown < total.runs:
        yield "Hours: those of finished runs; `catfish plan --calibrate` measures this device."
    else:
        yield "Hours are not known: `catfish plan --calibrate` measures this device."
    if total.proportional:
        yield (
            f"~: {total.proportional:,} runs by their operations, at the rate of finished runs of their setting, "
            "else of their network."
        )
    if 0 < total.unknown < total.runs:
        yield f"+: {total.unknown:,} runs of unknown time come on top."


def _schedule(plan: Plan, estimate: Estimate, total: Price) -> Iterator[str]:
    """How far more devices help: the jobs that can run at once, and the longest chain of jobs."""
    numbers = ", then ".join(f"{jobs:,}" for jobs in waves(plan))
    yield f"A job trains a configuration's seeds, one after another: {len(plan.jobs):,} jobs, {numbers} at once."
    measured = total.unknown == 0
    prices = {job: estimate.price(job, seeds) for job, seeds in plan.jobs.items()}
    weights = {job: price.seconds if measured else price.operations for job, price in prices.items()}
    length, jobs = longest_chain(plan, weights)
    text = f"{_hours(length, total)} hours" if measured else operations_text(length)
    share = length / sum(weights.values())
    yield f"Longest chain of jobs: {text}, {share:.1%} of the total, so more than {1 / share:.0f} devices do not help:"
    yield from (f"  {job.id}  {prices[job].runs} x {operations_text(estimate.operations(job))}" for job in jobs)
