"""A campaign on a Slurm of one node, made for it: its jobs are preempted, go on, and give what a quiet campaign gives.

    make test-slurm

Two folders are made: `local`, where Snakemake runs as on a laptop, and `slurm`, where it submits through
profiles/slurm. There one training job gets SIGTERM as at the end of its time, and has to be submitted once more;
another is preempted by a job of a partition that goes first, and has to be begun again by Slurm itself. Both have to
go on from their checkpoints, and all histories are compared, bit by bit. Without root or Slurm it says so and ends.
"""

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cluster
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests"))
from conftest import tiny_params  # noqa: E402

SETTING = "simplecnn_c10"
SECONDS = 100  # for anything that is waited for
SLURM = ["--profile", str(ROOT / "profiles" / "slurm"), "--slurm-init-seconds-before-status-checks", "4"]


def main() -> None:
    if reason := cluster.missing():
        print(f"test-slurm SKIPPED: {reason}")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("test-slurm: ended"))
    started, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="catfish-slurm-"))
    local, remote = (_project(folder / name) for name in ("local", "slurm"))
    subprocess.run(_snakemake(local, "--cores", "2"), check=True)
    shutil.copytree(local / "data", remote / "data", symlinks=True)
    with cluster.running(folder / "cluster"):
        _disturbed(remote)
    different = _differences(local, remote)
    print(f"test-slurm: {len(different)} files differ, {time.monotonic() - started:.0f} s", *different, sep="\n")
    if different:
        sys.exit(1)
    shutil.rmtree(folder)


def _project(folder: Path) -> Path:
    """Two learning rates, with epochs enough to be hit in the middle, and the runs at the smaller one."""
    params = tiny_params()
    tiny = params["scales"]["tiny"]
    tiny["settings"][SETTING] |= {"epochs": 60, "milestones": [40]}
    params["outputs"] = {"table1": params["outputs"]["table1"]}
    tiny["outputs"] = {"table1": {"settings": [SETTING], "methods": ["eta_star", "baseline"]}}
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return folder


def _snakemake(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder),
            "--workflow-profile", str(ROOT / "profiles" / "default"), *more, "--config", "gpu_per_job=0",
            "train_mem_mb=500", "--", "runs"]  # fmt: skip


def _disturbed(folder: Path) -> None:
    """The campaign on Slurm, with two of its jobs disturbed."""
    campaign = subprocess.Popen(_snakemake(folder, *SLURM))
    try:
        log = _trains(folder, campaign, "eta_star/lr-0.01")
        _slurm("scancel", "--signal=TERM", _job("eta_star/lr-0.01"))
        _goes_on(log, campaign)
        log = _trains(folder, campaign, "baseline/lr-small")
        _slurm("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=true")
        _goes_on(log, campaign)
        if campaign.wait(SECONDS):
            raise SystemExit("test-slurm: the campaign on Slurm failed")
    finally:
        if campaign.poll() is None:
            campaign.send_signal(signal.SIGINT)  # which cancels what runs
            campaign.wait()


def _trains(folder: Path, campaign: subprocess.Popen, name: str) -> Path:
    """Wait until a configuration is in the middle of its training; its log."""
    log = folder / "logs" / "tiny" / "train" / SETTING / f"{name}.log"
    _until(lambda: log.exists() and "epoch 10/" in log.read_text(), campaign, f"{name} to train")
    return log


def _goes_on(log: Path, campaign: subprocess.Popen) -> None:
    _until(lambda: log.exists() and "goes on after step" in log.read_text(), campaign, f"{log} to go on")


def _until(happened, campaign: subprocess.Popen, what: str) -> None:
    limit = time.monotonic() + SECONDS
    while not happened():
        if campaign.poll() is not None or time.monotonic() > limit:
            raise SystemExit(f"test-slurm: waited in vain for {what}")
        time.sleep(0.1)


def _job(name: str) -> str:
    """The Slurm job that trains a configuration, which Snakemake names in its comment."""
    for line in _slurm("squeue", "--noheader", "--states=R", "--format=%A %k").splitlines():
        if name.replace("/", "_") in line:
            return line.split()[0]
    raise SystemExit(f"test-slurm: no job for {name} in\n{_slurm('squeue', '--format=%A %T %k')}")


def _slurm(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _differences(local: Path, remote: Path) -> list[str]:
    files = [path.relative_to(local) for path in local.glob("results/**/history.csv")]
    if not files:
        raise SystemExit("test-slurm: no history to compare")
    return [
        str(file)
        for file in files
        if not (remote / file).exists() or (local / file).read_bytes() != (remote / file).read_bytes()
    ]


if __name__ == "__main__":
    main()
