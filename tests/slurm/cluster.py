"""A Slurm of one node with stand-ins for two GPUs: munge, slurmctld and slurmd on loopback, no systemd, no database."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGES = ("munge", "slurmctld", "slurmd", "slurm-client")
SYSTEM = Path("/etc/slurm")  # where a job's own srun looks: Snakemake's plugin drops SLURM_CONF from its environment
CONFIGURATION = """\
ClusterName=catfish
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthInfo=socket={folder}/munge.socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort=16917
SlurmdPort=16918
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
PlugStackConfig={folder}/plugstack.conf
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
AccountingStorageType=accounting_storage/none
SchedulerParameters=sched_interval=1,bf_interval=1,sched_min_interval=100000
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
GresTypes=gpu
MinJobAge=600
ReturnToService=2
InactiveLimit=0
KillWait=20
NodeName={host} NodeAddr=127.0.0.1 CPUs={processors} RealMemory={memory} Gres=gpu:2
PartitionName=main Nodes={host} Default=YES PriorityTier=1 GraceTime=20 State=UP
PartitionName=urgent Nodes={host} PriorityTier=2 PreemptMode=OFF State=UP
"""


def missing() -> str | None:
    """Why there can be no Slurm here, after an attempt to install it; None if there can."""
    if os.geteuid() != 0:
        return "it needs root, who may start daemons and install Debian's packages " + " ".join(PACKAGES)
    if (SYSTEM / "slurm.conf").exists() or (SYSTEM / "slurm.conf").is_symlink():
        return f"{SYSTEM}/slurm.conf is there: this machine belongs to a cluster"
    if all(map(shutil.which, ("munged", "slurmctld", "slurmd", "sbatch"))):
        return None
    if not shutil.which("apt-get"):
        return f"no apt-get to install {' '.join(PACKAGES)}"
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update"], ["install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(["apt-get", "-qq", *command], env=environment, capture_output=True, text=True)
        if done.returncode:
            return f"apt-get {command[0]}: {done.stderr.strip()[-300:]}"
    return None


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Inside the block, a cluster whose files are in the folder; every daemon has ended after it."""
    _configure(folder)
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    links = [SYSTEM / name for name in ("slurm.conf", "gres.conf")]
    try:
        for link in links:
            link.symlink_to(folder / link.name)
        _start(folder)
        yield
    finally:
        _stop(folder)
        for link in links:
            if link.is_symlink() and link.readlink() == folder / link.name:
                link.unlink()


def _configure(folder: Path) -> None:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    for number in range(2):
        (folder / f"gpu{number}").touch()  # a GPU has to be a file; any file will do
    settings = {"host": host, "folder": folder, "processors": os.cpu_count(), "memory": memory - 512}
    (folder / "slurm.conf").write_text(CONFIGURATION.format(**settings))
    (folder / "gres.conf").write_text(f"AutoDetect=off\nNodeName={host} Name=gpu File={folder}/gpu[0-1]\n")
    (folder / "plugstack.conf").touch()
    (folder / "munge.key").write_bytes(os.urandom(1024))
    (folder / "munge.key").chmod(0o400)


def _start(folder: Path) -> None:
    munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    _run("munged", "--force", f"--socket={folder}/munge.socket", *munge)
    _run("slurmctld", "-c")
    _run("slurmd")
    for _ in range(200):
        state = subprocess.run(["sinfo", "-h", "-p", "main", "-o", "%T"], capture_output=True, text=True).stdout.strip()
        if state == "idle":
            return
        time.sleep(0.1)
    logs = "\n".join(path.read_text()[-2000:] for path in folder.glob("*.log"))
    raise RuntimeError(f"Slurm did not start: the node is {state or 'unknown'}\n{logs}")


def _run(*command: str) -> None:
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def _stop(folder: Path) -> None:
    """End the jobs, then the daemons, all by their own files."""
    subprocess.run(["scancel", "--user=root"], capture_output=True)
    for _ in range(300):
        if not subprocess.run(["squeue", "--noheader"], capture_output=True, text=True).stdout:
            break
        time.sleep(0.1)
    for name in ("slurmd", "slurmctld", "munge"):
        path = folder / f"{name}.pid"
        if path.exists():
            process = int(path.read_text())
            os.kill(process, 15)
            for _ in range(100):
                if not _lives(process):
                    break
                time.sleep(0.1)
            else:
                os.kill(process, 9)


def _lives(process: int) -> bool:
    """Whether a process runs; one that has ended and is not waited for by its parent does not."""
    try:
        return ") Z" not in Path(f"/proc/{process}/stat").read_text()
    except FileNotFoundError:
        return False
