"""A campaign on a Slurm of one node, made for it: its jobs are preempted, go on, and give what a quiet campaign gives.

    make test-slurm

Two folders are made: `local`, where Snakemake runs as on a laptop, and `slurm`, where it submits through
profiles/slurm. There a training job gets SIGTERM, as two minutes before the end of its time; when it has gone on in a
new job, a job of a partition that goes first preempts it. It has to go on from its checkpoints, and all histories are
compared, bit by bit. Without root or Slurm it says so and ends.
"""

import re
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
DISTURBED = f"{SETTING}/eta_star/lr-0.01"
TARGET = f"results/tiny/select/{SETTING}/eta_star.json"  # the grid's runs and what follows from them
SECONDS = 150  # for anything that is waited for
SLURM = ["--profile", str(ROOT / "profiles" / "slurm"), "--slurm-init-seconds-before-status-checks", "4"]


def main() -> None:
    if reason := cluster.missing():
        print(f"test-slurm SKIPPED: {reason}")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("test-slurm: ended"))
    started, folder = time.monotonic(), Path(tempfile.mkdtemp(prefix="catfish-slurm-"))
    local, remote = (_project(folder / name) for name in ("local", "slurm"))
    subprocess.run(_snakemake(local, "data", "--cores", "2"), check=True)
    shutil.copytree(local / "data", remote / "data", symlinks=True)
    quiet = subprocess.Popen(_snakemake(local, TARGET, "--cores", "1"))  # while Slurm's jobs are waited for
    try:
        with cluster.running(folder / "cluster"):
            _disturbed(remote)
    finally:
        failed = quiet.wait()
    different = _differences(local, remote)
    print(f"test-slurm: {len(different)} files differ, {time.monotonic() - started:.0f} s", *different, sep="\n")
    if different or failed:
        sys.exit(1)
    shutil.rmtree(folder)


def _project(folder: Path) -> Path:
    """A grid of two learning rates, with epochs enough to be hit in the middle."""
    params = tiny_params()
    tiny = params["scales"]["tiny"]
    tiny["settings"][SETTING] |= {"epochs": 200, "milestones": [140], "learning_rates": [0.01, 0.05], "seeds": 1}
    params["outputs"] = {"table1": params["outputs"]["table1"]}
    tiny["outputs"] = {"table1": {"settings": [SETTING], "methods": ["baseline"]}}
    folder.mkdir()
    (folder / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    return folder


def _snakemake(folder: Path, target: str, *more: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder),
            "--workflow-profile", str(ROOT / "profiles" / "default"), *more, "--config", "gpu_per_job=1",
            "train_mem_mb=500", "--", target]  # fmt: skip


def _disturbed(folder: Path) -> None:
    """The campaign on Slurm, with one of its jobs disturbed twice."""
    campaign = subprocess.Popen(_snakemake(folder, TARGET, *SLURM))
    log = folder / "logs" / "tiny" / "train" / f"{DISTURBED}.log"
    try:
        _until(campaign, log, "epoch 10/")
        _slurm("scancel", "--signal=TERM", _job())
        _until(campaign, log, "goes on after step .*(\n.*epoch.*){5}")
        _slurm("sbatch", "--partition=urgent", "--exclusive", "--output=/dev/null", "--wrap=true")
        _until(campaign, log, "stopped as asked")
        _until(campaign, log, "goes on after step")
        if campaign.wait(SECONDS):
            sys.exit("test-slurm: the campaign on Slurm failed")
    finally:
        if campaign.poll() is None:
            campaign.send_signal(signal.SIGINT)  # which cancels what runs
            campaign.wait()


def _until(campaign: subprocess.Popen, log: Path, text: str) -> None:
    """Wait for a text in the log of the disturbed job."""
    limit = time.monotonic() + SECONDS
    while not (log.exists() and re.search(text, log.read_text())):
        if campaign.poll() is not None or time.monotonic() > limit:
            sys.exit(f"test-slurm: waited in vain for {text!r} in {log}")
        time.sleep(0.1)


def _job() -> str:
    """The disturbed job's number; Snakemake tells Slurm the rule and the configuration as a comment."""
    jobs = _slurm("squeue", "--noheader", "--states=R", "--format=%A %k")
    (number,) = re.findall(rf"^(\d+) .*{DISTURBED.replace('/', '_')}$", jobs, re.MULTILINE)
    if "TresPerJob=gres:gpu:1" not in _slurm("scontrol", "show", "job", number):
        sys.exit(f"test-slurm: job {number} has no GPU")
    return number


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
