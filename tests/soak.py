"""A whole campaign under fire: processes are killed again and again, and every result has to be that of a quiet one.

    python tests/soak.py --kills 100 --scale demo

Two folders are made: `quiet`, where Snakemake runs undisturbed, and `fire`, where a training process is killed with
SIGKILL while it is at a run, every few seconds, and now and then Snakemake itself with all its jobs. A checkpoint is
taken after every step, so that runs are cut off inside epochs, between updates of a penalty, and while files are
written. In the end all histories, steps, weights, outcomes and selections are compared, bit by bit.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

ROOT = Path(__file__).parents[1]
SAME = ("history.csv", "steps.csv", "weights.pt")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100, help="processes to kill (default: 100)")
    parser.add_argument("--scale", default="demo", help="scale of params.yaml (default: demo)")
    parser.add_argument("--folder", type=Path, default=Path("soak"), help="where both campaigns go (default: soak)")
    parser.add_argument("--target", default="runs", help="what Snakemake makes (default: runs)")
    parser.add_argument("--seed", type=int, default=0, help="of the moments that are hit")
    options = parser.parse_args()
    quiet, fire = (_project(options.folder / name) for name in ("quiet", "fire"))
    subprocess.run(_snakemake(options, quiet), cwd=quiet, check=True)
    killed = _under_fire(options, fire, random.Random(options.seed))
    different = _differences(quiet / "results", fire / "results")
    resumed = sum("goes on after step" in log.read_text() for log in fire.glob("logs/**/*.log"))
    print(f"{killed} processes killed, {resumed} jobs ended from a checkpoint; {len(different)} files differ")
    print(*different, sep="\n")
    sys.exit(bool(different) or killed < options.kills)


def _project(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")
    return folder.resolve()


def _snakemake(options: argparse.Namespace, folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(folder),
            "--workflow-profile", str(ROOT / "profiles" / "default"), "--cores", "all", "--retries", "1000",
            "--config", f"scale={options.scale}", "checkpoint_seconds=0", *more, "--", options.target]  # fmt: skip


def _under_fire(options: argparse.Namespace, folder: Path, source: random.Random) -> int:
    """Run the campaign to its end; the number of processes that were killed on the way."""
    killed = 0
    while True:
        subprocess.run(_snakemake(options, folder, "--unlock"), cwd=folder, check=True, capture_output=True)
        campaign = subprocess.Popen(_snakemake(options, folder), cwd=folder, start_new_session=True)
        while campaign.poll() is None:
            time.sleep(source.uniform(0.2, 3.0))
            if killed >= options.kills:
                campaign.wait()
            elif source.random() < 0.03:
                os.killpg(campaign.pid, signal.SIGKILL)
                killed += 1
            else:
                killed += _kill_one(folder, source)
        if campaign.returncode == 0:
            return killed


def _kill_one(folder: Path, source: random.Random) -> int:
    """Kill one of the processes that are at a run of this folder, if there are any; how many were killed."""
    training = []
    for path in folder.glob("results/**/run.lock"):
        with suppress(OSError, ValueError):  # it has ended meanwhile
            process = json.loads(path.read_text())["process"]
            if b"catfish" in Path(f"/proc/{process}/cmdline").read_bytes():
                training.append(process)
    with suppress(IndexError, ProcessLookupError):
        os.kill(source.choice(training), signal.SIGKILL)
        return 1
    return 0


def _differences(quiet: Path, fire: Path) -> list[str]:
    """The files of results that are not the same in both folders."""
    names = {path.relative_to(folder) for folder in (quiet, fire) for path in folder.rglob("*") if path.is_file()}
    return [str(name) for name in sorted(names) if not _same(quiet / name, fire / name)]


def _same(quiet: Path, fire: Path) -> bool:
    if not (quiet.is_file() and fire.is_file()):
        return False
    if quiet.name in SAME or quiet.parent.parent.name == "select":
        return quiet.read_bytes() == fire.read_bytes()
    if quiet.name == "run.json":
        a, b = (json.loads(path.read_text()) for path in (quiet, fire))
        return all(a[key] == b[key] for key in ("configuration", "seed", "fingerprint", "run", "outcome"))
    return quiet.name == "timing.csv"  # seconds differ


if __name__ == "__main__":
    main()
