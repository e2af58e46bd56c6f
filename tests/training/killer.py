"""Training jobs that are killed again and again: children of one process, which imports torch once for all of them.

    python tests/training/killer.py < jobs.json > report.json      in a project's folder

jobs.json: a list of {"configuration": id, "kills": [[place, number], ...]}, which are done in their order. A child
dies the number-th time that it comes to its place; at `outside` the parent kills it after that number of seconds. Then
the job is run to its end.
report.json: a list of {"kills": [place, ...], "resumed": how often a child went on from a checkpoint, "calls": the
penalty's calls so far in every checkpoint that was left, "seconds": of the whole}.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.fx.experimental.symbolic_shapes  # which torch imports late, and so would do in every child

from catfish import records
from catfish.config import load
from catfish.plan import Configuration, Plan
from catfish.training import loop  # noqa: F401 -- as above
from catfish.training.checkpoint import NAME, OLDER
from catfish.training.sgd import SGD
from catfish.training.train import train_job

Report = dict[str, list | int]


def dies() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(owner: object, name: str, number: int, here: Callable[..., bool], before=None, after=None) -> None:
    """Let the process die at the number-th call of owner.name that is `here`: as soon as it ended, or `before` it."""
    genuine, left = getattr(owner, name), [number]

    def call(*arguments, **options):
        left[0] -= (hit := here(*arguments))
        if hit and left[0] == 0 and before:
            before(*arguments)
            dies()
        result = genuine(*arguments, **options)
        if hit and left[0] == 0:
            if after:
                after(*arguments)
            dies()
        return result

    setattr(owner, name, call)


def opened_as(prefix: str, descriptor: int) -> bool:
    return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name.startswith(prefix)


def cut_in_half(descriptor: int) -> None:
    os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)


def cut_row(table: records.Table, *rows: dict) -> None:
    os.truncate(table.path, table.path.stat().st_size - 5)


def becomes(name: str, source: Path, target: Path) -> bool:
    return Path(target).name == name


def nothing(*arguments) -> None:
    pass


def at(place: str, number: int) -> None:
    """Choose where this process dies."""
    doing, _, name = place.partition(" ")
    choices = {
        "step": (SGD, "step", lambda *_: True),  # the weights have moved, the state has not
        "halve": (os, "fsync", partial(opened_as, name), cut_in_half),
        "row": (records.Table, "append", lambda table, *_: table.path.name == name, None, cut_row),
        "before": (os, "replace", partial(becomes, name), nothing),
        "after": (os, "replace", partial(becomes, name)),
    }
    owner, attribute, here, *actions = choices[doing]
    deadly(owner, attribute, number, here, *actions)


def run(plan: Plan, configuration: Configuration, place: str | None = None, number: float = 0) -> int:
    """Train in a child; its exit code, negative for a signal. What it prints goes into job.log."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.dup2(os.open("job.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
            if place not in (None, "outside"):
                at(place, number)
            train_job(plan, configuration, "cpu", 1, checkpoint_seconds=0)
            status = 0
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)
    if place == "outside":
        time.sleep(number)
        os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def left_behind(folder: Path) -> list[int]:
    """The penalty's calls in the checkpoint that the next child finds, if there is one, and it has a penalty."""
    for path in (folder / NAME, folder / OLDER):
        if path.exists():
            return [torch.load(path)["penalty"]["calls"]] if "penalty" in torch.load(path) else []
    return []


def disturb(plan: Plan, job: dict) -> Report:
    """Run a job with all its kills, and once more to the end."""
    configuration = plan.configurations[job["configuration"]]
    Path("job.log").unlink(missing_ok=True)
    kills, calls = [], []
    for place, number in job["kills"]:
        status = run(plan, configuration, place, number)
        if status == -signal.SIGKILL:
            kills.append(place)
            calls += left_behind(plan.run_folder(configuration, 0))
        elif status:
            raise RuntimeError(f"{configuration.id}: status {status} instead of death at {place}")
    if status := run(plan, configuration):
        raise RuntimeError(f"{configuration.id}: status {status} at the end")
    return {"kills": kills, "resumed": Path("job.log").read_text().count("goes on after step"), "calls": calls}


def main() -> None:
    torch.set_num_threads(1)  # a pool of threads would not survive a fork
    plan = Plan(load())
    report = []
    for job in json.load(sys.stdin):
        started = time.perf_counter()
        report.append(disturb(plan, job) | {"seconds": time.perf_counter() - started})
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
