"""The project's folder: data sets, room on the disk, and where DVC sends versions."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from catfish.doctor.finding import ADVICE, GIB, OBSTACLE, OK, Finding, size
from catfish.doctor.machine import image_bytes
from catfish.plan import Plan

RAW = Path("data") / "raw"
OFFICIAL = {  # what `catfish prepare` looks for below data/raw; digits come with scikit-learn
    "digits": (),
    "cifar10": ("cifar-10-batches-py", "cifar-10-python.tar.gz"),
    "cifar100": ("cifar-100-python", "cifar-100-python.tar.gz"),
    "tinyimagenet": ("tiny-imagenet-200", "tiny-imagenet-200.zip"),
    "imagenet": ("imagenet",),
    "imagenet64": ("imagenet",),
}
ROW = 500  # bytes of an epoch in a run's tables
CHECKPOINTS = GIB  # of the runs under way


def findings(plan: Plan) -> Iterator[Finding]:
    """About the current folder."""
    datasets = dict.fromkeys(split.dataset for split in plan.splits.values())
    yield from (data(plan, name) for name in datasets)
    yield from disks(plan, list(datasets))
    yield remote()


def data(plan: Plan, name: str) -> Finding:
    """Whether a data set is prepared, or can be."""
    prepared = plan.manifest_path(name)
    if prepared.is_file():
        return Finding(OK, f"{name}: prepared in {prepared.parent}")
    raw = raw_files(name)
    if raw or name == "digits":
        return Finding(
            OK, f"{name}: not prepared; {raw[0] if raw else 'scikit-learn'} is here, the workflow prepares it"
        )
    if name.startswith("imagenet"):
        return Finding(
            OBSTACLE, f"{name}: neither prepared nor in {RAW}", "data/README.md says how to get and place it"
        )
    cure = f"without a network, put {' or '.join(OFFICIAL[name])} into {RAW}"
    return Finding(ADVICE, f"{name}: neither prepared nor in {RAW}; the workflow will download it", cure)


def raw_files(name: str) -> list[Path]:
    """Those of a data set's official files or folders that are here."""
    return [RAW / file for file in OFFICIAL[name] if (RAW / file).exists()]


def disks(plan: Plan, datasets: list[str]) -> Iterator[Finding]:
    """Whether there is room on every disk that the data and the results lie on."""
    wanted: dict[int, tuple[Path, float]] = {}
    for folder, needed in ((plan.prepared, room_for_data(plan, datasets)), (plan.results, room_for_results(plan))):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        first, before = wanted.get(there.stat().st_dev, (there, 0.0))
        wanted[there.stat().st_dev] = first, before + needed
    for folder, needed in wanted.values():
        free = shutil.disk_usage(folder).free
        text = f"disk of {folder.resolve()}: {size(free)} free, {size(needed)} needed"
        cure = "free some, or make data/prepared or results a link to a larger disk"
        yield Finding(OK, text) if free >= needed else Finding(OBSTACLE, text, cure)


def room_for_data(plan: Plan, datasets: list[str]) -> int:
    """Bytes of what is not prepared yet, twice where it is downloaded first."""
    total = 0
    for name in datasets:
        if not plan.manifest_path(name).is_file():
            downloaded = OFFICIAL[name] and not name.startswith("imagenet") and not raw_files(name)
            total += image_bytes(name) * (2 if downloaded else 1)
    return total


def room_for_results(plan: Plan) -> int:
    """Bytes of all tables, and of the checkpoints of runs under way."""
    epochs = sum(seeds * plan.params.settings[job.setting].epochs for job, seeds in plan.jobs.items())
    return CHECKPOINTS + ROW * epochs


def remote() -> Finding:
    """Whether DVC knows a place for versions of data and results, besides the project's own archive."""
    cure = "dvc remote add --default storage PLACE, to share or keep versions of data and results; not needed to train"
    try:
        done = subprocess.run([sys.executable, "-m", "dvc", "remote", "list"], capture_output=True, text=True)
    except OSError as error:
        return Finding(ADVICE, f"DVC does not start: {error}", "pip install -r requirements.txt")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[0]
        return Finding(
            ADVICE, f"DVC: {reason}", "run this in a clone of the project with DVC installed; not needed to train"
        )
    lines = [" ".join(line.split()) for line in done.stdout.splitlines() if line.split()[0] != "archive"]
    return Finding(OK, f"DVC remote: {'; '.join(lines)}") if lines else Finding(ADVICE, "DVC has no remote", cure)
