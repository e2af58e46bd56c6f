"""A job: one configuration with its seeds in one process. Finished runs are recognised before torch is imported."""

import os
import platform
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from catfish import __version__, archive, processor
from catfish.checkout import commit
from catfish.errors import Interrupted, RecordError
from catfish.files import copy
from catfish.plan import CHECKPOINTS, Configuration, Plan, Run
from catfish.records import altered, data_checksum, finished, read_json, read_selection, write_record
from catfish.training import lock

PACKAGES = ("torch", "numpy", "pandas", "scikit-learn", "torchvision")


def train_job(
    plan: Plan,
    configuration: Configuration,
    device: str = "auto",
    threads: int | None = None,
    checkpoint_seconds: float | None = None,
    gpu_slots: int | None = None,
    gpu_megabytes: int = 0,
) -> None:
    """Make every run of a configuration that is not already there; prints one line an epoch.

    device: auto (the GPU with the fewest jobs, where there is one), cpu, cuda, cuda:1 ...; threads: of torch on the
    CPU; gpu_slots: how many jobs may share a GPU under `auto`; gpu_megabytes: that this job claims of its memory there.
    """
    needed = plan.needs(configuration)
    chosen = {selection.id: read_selection(plan.selection_path(selection), "best", "grid") for selection in needed}
    split = plan.split(configuration.setting)
    data_text = data_checksum(plan.manifest_path(split.dataset), plan.split_path(split))
    missing: list[tuple[int, Run, str]] = []
    archived = archive.read(plan)
    for seed in plan.seeds(configuration):
        run = plan.run(configuration, seed, chosen)
        fingerprint, folder = run.fingerprint(data_text), plan.run_folder(configuration, seed)
        if finished(folder, fingerprint, plan.run_files(configuration)):
            print(f"{folder}: already there")
            _tidy(folder)
            for name in plan.run_files(configuration):  # newer than their inputs again, for whoever goes by time stamps
                os.utime(folder / name)
        elif not (
            _restored(plan, archived, configuration, seed, fingerprint)
            or _copied(plan, folder, fingerprint, configuration, chosen)
        ):
            missing.append((seed, run, fingerprint))
    if missing:
        from catfish.training import devices

        with devices.chosen(device, gpu_slots, gpu_megabytes, _say) as target:
            _train(plan, configuration, missing, target, threads, checkpoint_seconds)


def _say(line: str) -> None:
    print(line, flush=True)


def _tidy(folder: Path) -> None:
    """Remove what a process left beside a finished run when it was killed before it could do so itself."""
    if any(_leftovers(folder)) or (folder / lock.NAME).exists():
        with lock.held(folder):
            for path in _leftovers(folder):
                path.unlink(missing_ok=True)


def _leftovers(folder: Path) -> Iterator[Path]:
    return (path for path in folder.iterdir() if path.name in CHECKPOINTS or path.suffix == ".tmp")


def _restored(
    plan: Plan, archived: archive.Archive | None, configuration: Configuration, seed: int, fingerprint: str
) -> bool:
    """Take this very run from the archive of the scale, if it is there with all files that are needed of it."""
    if archived is None or plan.run_files(configuration) != plan.tables(configuration):
        return False
    if archived.runs.get((configuration.id, seed), {}).get("fingerprint") != fingerprint:
        return False
    archive.restore(plan, archived, configuration, seed)
    print(f"{plan.run_folder(configuration, seed)}: from {archived.folder}")
    return True


def _copied(plan: Plan, folder: Path, fingerprint: str, configuration: Configuration, chosen: dict[str, dict]) -> bool:
    """Take over the files of a grid's run if it is this very run: a best value was trained when the grid was."""
    names = plan.run_files(configuration)
    for selection in chosen.values():
        for source in (Path(run) for entry in selection["grid"] for run in entry["runs"]):
            if source != folder and finished(source, fingerprint, names):
                folder.mkdir(parents=True, exist_ok=True)
                record = read_json(source / "run.json")
                (folder / "run.json").unlink(missing_ok=True)
                for name in names[1:]:
                    copy(source / name, folder / name)
                record |= {"configuration": configuration.id, "copied_from": str(source)}
                write_record(folder, record, names)
                _tidy(folder)
                print(f"{folder}: the same run as {source}, copied")
                return True
    return False


def _train(
    plan: Plan,
    configuration: Configuration,
    missing: list[tuple[int, Run, str]],
    target,
    threads: int | None,
    checkpoint_seconds: float | None,
) -> None:
    import torch

    from catfish.datasets import load_prepared, load_split
    from catfish.training import checkpoint, stopping
    from catfish.training.batches import on_device
    from catfish.training.loop import train_run
    from catfish.training.memory import exhausted, keep_freed_memory
    from catfish.training.precision import trained_in

    keep_freed_memory()
    if threads:
        torch.set_num_threads(threads)
    split = plan.split(configuration.setting)
    data = on_device(  # the prepared arrays are not kept beside it
        load_prepared(plan.manifest_path(split.dataset).parent),
        load_split(plan.split_path(split)),
        missing[0][1].inputs,
        target,
    )
    names = plan.run_files(configuration)
    start, norms = _unharmed(plan.start_path(configuration)), _unharmed(plan.norms_path(configuration))
    interval = checkpoint.SECONDS if checkpoint_seconds is None else checkpoint_seconds

    with stopping.noticed() as asked:
        for seed, run, fingerprint in missing:
            folder = plan.run_folder(configuration, seed)
            if asked():
                raise Interrupted(f"{folder}: not begun, as asked; the same command goes on")
            precision = trained_in(run, target)
            emulated = "" if precision == run.precision else ", in fp32: bfloat16 is only emulated there, and slow"
            _say(f"{folder}: {run.epochs} epochs on {target}{emulated}")
            folder.mkdir(parents=True, exist_ok=True)
            with lock.held(folder) as sign, exhausted(folder, configuration.setting):
                (folder / "run.json").unlink(missing_ok=True)
                keeper = checkpoint.Keeper(folder, fingerprint, interval, asked, sign, _say)
                outcome, seconds = train_run(run, data, folder, keeper, start, norms, names, _say)
                record = {"configuration": configuration.id, "seed": seed, "fingerprint": fingerprint}
                record |= {"run": asdict(run), "precision": precision, "outcome": outcome}
                record |= {"wall_seconds": round(seconds, 3)}
                write_record(folder, record | provenance(target), names)
            _tidy(folder)
            _say(f"{folder}: {outcome['status']}, {seconds:.1f} s")


def _unharmed(path: Path | None) -> Path | None:
    """A file of another run that a configuration needs, checked against that run's record."""
    if path is not None and altered(path.parent, read_json(path.parent / "run.json"), [path.name]):
        raise RecordError(f"{path}: missing, or altered since its run ended; delete {path.parent} and train it again")
    return path


def provenance(device) -> dict:
    """What made a run: code, packages and hardware."""
    import torch

    versions = {"catfish": __version__, "python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    hardware = torch.cuda.get_device_name(device) if device.type == "cuda" else processor.name()
    return {"versions": versions, "commit": commit(), "hardware": hardware, "threads": torch.get_num_threads()}
