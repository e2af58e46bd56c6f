"""A result folder by itself: every run below results/<scale>/runs, whatever params.yaml it was made from."""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from catfish.analysis.collect import LoadedRun, load_run
from catfish.errors import RecordError, ResultError
from catfish.plan import RUN_FILES


@dataclass(frozen=True, eq=False)
class ResultFolder:
    """`runs` by configuration id, in the order of their seeds; `damaged` says of every other run what is wrong."""

    path: Path
    runs: dict[str, list[LoadedRun]]
    damaged: list[str]


def read_folder(path: Path, only: str = "*") -> ResultFolder:
    """The runs in results/<scale> whose configuration's id matches the shell pattern `only`.

    Raises ResultError if there is no such folder, no run in it, or none that matches; RecordError if none of the runs
    can be read.
    """
    matching = [folder for folder in run_folders(path) if fnmatchcase(_place(path, folder.parent), only)]
    if not matching:
        raise ResultError(f"{path / 'runs'}: no configuration matches {only!r}; an id is SETTING/METHOD/lr-VALUE...")
    loaded, damaged = [], []
    for folder in matching:
        try:
            loaded.append(_load(path, folder))
        except RecordError as error:
            damaged.append(str(error))
    if not loaded:
        raise RecordError(f"{path}: none of its {len(damaged)} runs can be read; {damaged[0]}")
    runs: dict[str, list[LoadedRun]] = {}
    for run in sorted(loaded, key=lambda run: (run.record["configuration"], run.seed)):
        runs.setdefault(run.record["configuration"], []).append(run)
    return ResultFolder(path, runs, damaged)


def run_folders(path: Path) -> list[Path]:
    """Every folder with a file of a run, so that a run without its run.json is not overlooked."""
    if not path.is_dir():
        raise ResultError(f"{path}: no such folder; give the results of one scale, such as results/demo")
    folders = sorted({file.parent for name in RUN_FILES for file in (path / "runs").rglob(name)})
    if not folders:
        above = path.resolve().parent
        near = [folder for folder in (above, *path.iterdir(), *path.glob("results/*")) if (folder / "runs").is_dir()]
        cure = f"give {', '.join(map(str, sorted(near)))}" if near else "train some, or give another folder"
        raise ResultError(f"{path}: no runs in it (runs/<configuration>/seed<n>/run.json); {cure}")
    return folders


def _load(path: Path, folder: Path) -> LoadedRun:
    """The run in `folder`; a RecordError if it belongs elsewhere, since a copy would count one run twice."""
    run = load_run(folder, any_version=True)
    place = f"{run.record['configuration']}/seed{run.seed}"
    if _place(path, folder) != place:
        raise RecordError(f"{folder / 'run.json'}: is the run of runs/{place}; move or delete it")
    return run


def _place(path: Path, folder: Path) -> str:
    return folder.relative_to(path / "runs").as_posix()
