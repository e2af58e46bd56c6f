"""The command line: every rule of the workflow is one of these commands, and each can be used by hand."""

import argparse
import errno
import os
import signal
import sys
from collections import Counter
from functools import partial
from pathlib import Path

from catfish import __version__
from catfish.config import load
from catfish.errors import Interrupted, UserError
from catfish.plan import Plan, is_figure

TRY_AGAIN = 75  # the exit status for "a temporary failure" (sysexits.h)
EPILOG = """examples:
  catfish verify --scale laptop                    is every run there, unharmed, and what params.yaml asks for?
  catfish doctor --scale laptop                    what this machine has and lacks for a scale, with cures
  catfish plan --scale laptop                      what a scale consists of
  catfish plan --scale laptop --cost               runs, operations and hours; --calibrate measures this device first
  catfish describe vgg11_c100 --scale paper        a setting's model, schedule, runs and compute
  catfish prepare cifar10                          download, check and convert a data set
  catfish split digits/split_nall_v300_noise0.25_seed0   hold out validation images, replace labels
  catfish train simplecnn_c10/eta_star/lr-0.0316   train one configuration with all its seeds
  catfish select simplecnn_c10/eta_star            choose the best learning rate of a grid
  catfish render table1 figure5                    tables and figures beside the published numbers
  catfish render claims                            a verdict on each of the paper's claims
  catfish compare results/demo results/laptop      two scales, commits or people's results, side by side
  catfish merge --scale paper ../b/results/paper   runs of another machine, copied here unless they are in conflict
  catfish overview                                 what ran, what failed, how long it took, and what made it

All paths are below the current folder: data/, results/<scale>/, figures/<scale>/. Snakemake calls these commands in
the right order: snakemake --cores all figures"""


_CURES = {
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), "free some space, then the same command goes on"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "make it readable and writable for you"),
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR, errno.EISDIR), "a file is in the way of a folder, or a folder in "
                    "that of a file: move it away"),
}  # fmt: skip


def main(arguments: list[str] | None = None) -> None:
    """Run one command.

    A user's error, or a file system that refuses, is printed as one line and exits with status 2; a run that was asked
    to end and has saved its state with TRY_AGAIN. A reader who has seen enough of the output ends it quietly.
    """
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        sys.stdout.flush()
    except UserError as error:
        _exit(str(error), 2)
    except Interrupted as error:
        _exit(str(error), TRY_AGAIN)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at its end
        sys.exit(128 + signal.SIGPIPE)
    except OSError as error:
        if error.errno not in _CURES:
            raise
        _exit(f"{error.filename or 'disk'}: {error.strerror}; {_CURES[error.errno]}", 2)


def _exit(message: str, status: int) -> None:
    print(f"catfish: {message}", file=sys.stderr)
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="catfish",
        description="Reproduce the catastrophic Fisher explosion, one step at a time.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"catfish {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    planned = argparse.ArgumentParser(add_help=False)
    planned.add_argument(
        "--params",
        type=Path,
        default=Path("params.yaml"),
        metavar="FILE",
        help="the configuration (default: params.yaml)",
    )
    planned.add_argument("--scale", help="demo, laptop or paper (default: the `scale` in the params file)")

    prepare = _command(commands, "prepare", _prepare, "convert a data set's raw files into arrays and a manifest")
    prepare.add_argument("name", help="digits, cifar10, cifar100, tinyimagenet, imagenet or imagenet64")
    prepare.add_argument(
        "--raw",
        type=Path,
        default=Path("data/raw"),
        metavar="FOLDER",
        help="where the official files are or are downloaded to (default: data/raw)",
    )
    prepare.add_argument(
        "--prepared",
        type=Path,
        default=Path("data/prepared"),
        metavar="FOLDER",
        help="where the prepared data sets go (default: data/prepared)",
    )
    prepare.add_argument("--offline", action="store_true", help="never download; fail if the files are not there")

    split = _command(commands, "split", _split, "choose who trains, who validates, and with which labels", planned)
    split.add_argument("split", help="an id that `catfish plan` lists")

    train = _command(commands, "train", _train, "train a configuration's missing runs; resumes what was begun", planned)
    train.add_argument("configuration", help="an id that `catfish plan` lists")
    train.add_argument("--device", default="auto", help="auto (the GPU with the fewest jobs), cpu, cuda, cuda:1 ...")
    train.add_argument("--gpu-slots", type=_positive, metavar="N", help="jobs that may share a GPU; more of them wait")
    train.add_argument(
        "--gpu-megabytes",
        type=_positive,
        default=0,
        metavar="MB",
        help="GPU memory that this job claims; it waits while the claims of others leave less",
    )
    train.add_argument("--threads", type=int, help="CPU threads (default: torch's own choice)")
    train.add_argument(
        "--checkpoint-seconds", type=float, metavar="S", help="least time between two checkpoints (default: 30)"
    )

    select = _command(commands, "select", _select, "choose the best value of a grid by validation accuracy", planned)
    select.add_argument("selection", help="SETTING/eta_star or SETTING/METHOD")

    render = _command(commands, "render", _render, "make tables and figures from finished runs", planned)
    render.add_argument("outputs", nargs="+", help="`claims`, or names of the params file's `outputs`, such as table1")

    metrics = _command(commands, "metrics", _metrics, "summarise the tables' runs for DVC", planned)
    metrics.add_argument("--json", type=Path, required=True, metavar="FILE", help="accuracies and traces by method")
    metrics.add_argument("--curves", type=Path, required=True, metavar="FILE", help="CSV of the curves over epochs")

    compare = _command(commands, "compare", _compare, "show two result folders side by side, with standard errors")
    compare.add_argument("a", type=Path, metavar="A", help="the results of one scale, such as results/demo")
    compare.add_argument("b", type=Path, metavar="B", help="those of another scale, commit or person")
    compare.add_argument("--only", default="*", metavar="PATTERN", help="configurations, such as 'vgg11_c100/fp/*'")
    compare.add_argument("--csv", type=Path, metavar="FILE", help="write the table there too, a row per number")
    merge = _command(
        commands, "merge", _merge, "take over finished runs of the same scale from other machines", planned
    )
    merge.add_argument("sources", nargs="+", type=Path, metavar="SOURCE", help="such as ../other/results/paper")
    merge.epilog = (
        "Copies finished runs that are missing here, each whole or not at all; skips those that are here with the same "
        "numbers. Nothing is copied while a run is in conflict: damaged, begun here, of other settings or data, or "
        "with other numbers than the one here. Selections, tables and figures are then made by Snakemake."
    )
    pack = _command(commands, "pack", _pack, "put a scale's finished runs into its archive", planned)
    pack.epilog = (
        "Writes archive/<scale>/: the runs' records and tables and the selections, compressed, a file for each kind, "
        "which pandas reads as they are; no weights. Where an archive is, the workflow takes its runs instead of "
        "training them."
    )
    _command(commands, "unpack", _unpack, "make run folders of the archived runs that the params ask for", planned)
    _command(
        commands, "overview", _overview, "list every run with its outcome, time and origin, and the params", planned
    )

    document = _command(commands, "document", _document, "put rendered tables and pictures between a document's marks")
    document.add_argument("files", nargs="+", type=Path, metavar="FILE", help="Markdown, such as README.md")
    document.epilog = (
        "What stands between `<!-- laptop: table1 -->` and `<!-- end -->` becomes figures/laptop/table1.md; a figure "
        "is copied to docs/pictures. `<!-- laptop: overview / Settings -->` takes one section of a page."
    )

    describe = _command(commands, "describe", _describe, "show a setting's model, schedule, runs and cost", planned)
    describe.add_argument("setting", help="a name in the params file's `settings`")

    doctor = _command(
        commands, "doctor", _doctor, "say what this machine has and lacks for a scale, with cures", planned
    )
    doctor.epilog = (
        "Looks at packages, torch's build and devices, bfloat16, memory, data sets, disk and DVC's remote. Each line "
        "is ok, advice or an obstacle; the exit status is 1 only if an obstacle makes the scale impossible here."
    )

    _command(commands, "verify", _verify, "check every result file against its checksum and the plan", planned)

    shown = _command(
        commands, "plan", _plan, "list what a scale trains, selects and renders, or what it costs", planned
    )
    shown.add_argument(
        "--cost", action="store_true", help="runs, operations and hours of every setting, table and figure instead"
    )
    shown.add_argument(
        "--calibrate",
        action="store_true",
        help="first time steps and measurements of every network on this device, on random images (slow on a CPU), "
        "and write results/<scale>/calibration.json, from which --cost takes its hours",
    )
    shown.add_argument("--device", default="auto", help="of the calibration: auto, cpu, cuda, cuda:1 ...")
    shown.epilog = (
        "Hours are those of one job at a time: from the calibration, else from finished runs of the same setting and "
        "method, else (~) in proportion to the operations, from finished runs of the same setting or network. "
        "docs/scaling.md says what is counted."
    )
    return parser


def _command(commands, name: str, function, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", parents=parents)
    parser.set_defaults(command=function)
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _loaded(options: argparse.Namespace) -> Plan:
    return Plan(load(options.params, options.scale))


def _one_of(planned: dict, name: str, what: str):
    if name not in planned:
        raise UserError(f"no {what} {name!r} is planned; `catfish plan` lists those of a scale")
    return planned[name]


def _prepare(options: argparse.Namespace) -> None:
    from catfish.datasets import prepare

    manifest = prepare(options.name, options.raw, options.prepared / options.name, download=not options.offline)
    counts = ", ".join(f"{count} {part}" for part, count in manifest["counts"].items())
    print(f"{options.prepared / options.name}: {counts} images of {manifest['classes']} classes")


def _split(options: argparse.Namespace) -> None:
    from catfish.datasets import load_prepared, make_split, write_split

    plan = _loaded(options)
    wanted = _one_of(plan.splits, options.split, "split")
    path = plan.split_path(wanted)
    prepared = load_prepared(plan.manifest_path(wanted.dataset).parent)
    split = make_split(
        prepared.train_labels,
        prepared.manifest["classes"],
        examples=wanted.examples,
        validation=wanted.validation,
        noise=wanted.noise,
        seed=wanted.seed,
    )
    write_split(split, path)
    print(
        f"{path}: {len(split.train_index)} training images ({split.noisy.sum()} with replaced labels), "
        f"{len(split.validation_index)} for validation"
    )


def _train(options: argparse.Namespace) -> None:
    from catfish.training.train import train_job

    plan = _loaded(options)
    configuration = _one_of(plan.configurations, options.configuration, "configuration")
    train_job(
        plan,
        configuration,
        options.device,
        options.threads,
        options.checkpoint_seconds,
        gpu_slots=options.gpu_slots,
        gpu_megabytes=options.gpu_megabytes,
    )


def _select(options: argparse.Namespace) -> None:
    from catfish.analysis.select import choose
    from catfish.records import write_json

    plan = _loaded(options)
    selection = _one_of(plan.selections, options.selection, "selection")
    result = choose(plan, selection)
    write_json(plan.selection_path(selection), result)
    edge = f" (the {result['edge']} end of its grid: widen it)" if result["edge"] else ""
    print(f"{plan.selection_path(selection)}: best {result['best']:g}{edge}")


def _render(options: argparse.Namespace) -> None:
    plan = _loaded(options)
    for name in options.outputs:
        if name == "claims":  # each alone, as importing matplotlib or scipy takes most of the time
            from catfish.analysis import claims as module
        elif is_figure(name):
            from catfish.analysis import figures as module
        else:
            from catfish.analysis import tables as module
        for path in module.render(plan, name):
            print(path)


def _metrics(options: argparse.Namespace) -> None:
    from catfish.analysis.metrics import curves, metrics
    from catfish.records import write_json, write_text

    plan = _loaded(options)
    write_json(options.json, metrics(plan))
    write_text(options.curves, curves(plan).to_csv(index=False))


def _compare(options: argparse.Namespace) -> None:
    from catfish.analysis import compare, compare_layout
    from catfish.analysis.result_folder import read_folder
    from catfish.records import write_text

    a, b = (read_folder(path, options.only) for path in (options.a, options.b))
    frame = compare.compare(a, b)
    if options.csv:
        write_text(options.csv, frame.to_csv(index=False, lineterminator="\n"))
    print(compare_layout.text(a, b, frame), end="")


def _merge(options: argparse.Namespace) -> None:
    from catfish.analysis.merge import merge

    plan = _loaded(options)
    done = merge(plan, options.sources)
    for target, source in done.new.items():
        print(f"{target}: copied from {source}")
    for folder in done.unfinished:
        print(f"{folder}: begun, not finished; left there")
    for folder in done.unplanned:
        print(f"{folder}: not a run of the scale {plan.params.scale}; left there")
    print(f"{plan.results}: {len(done.new)} runs copied, {len(done.equal)} were here already, the same")


def _pack(options: argparse.Namespace) -> None:
    from catfish import archive

    plan = _loaded(options)
    missing = archive.pack(plan)
    for line in missing:
        print(f"not packed: {line}")
    runs, files = sum(plan.jobs.values()) - len(missing), archive.read(plan).files
    size = sum(file.stat().st_size for file in files)
    print(f"{plan.archive}: {runs} of {runs + len(missing)} runs, {len(files)} files, {size / 1e6:.2f} MB")


def _unpack(options: argparse.Namespace) -> None:
    from catfish import archive

    plan = _loaded(options)
    if (found := archive.read(plan)) is None:
        raise UserError(f"{plan.archive}: no archive there; `dvc pull {plan.archive}.dvc` fetches it")
    made, there = archive.unpack(plan, found)
    print(f"{plan.results}: {made} runs unpacked, {there} were there already, of {sum(plan.jobs.values())} planned")


def _overview(options: argparse.Namespace) -> None:
    from catfish.analysis import overview

    for path in overview.write(_loaded(options)):
        print(path)


def _document(options: argparse.Namespace) -> None:
    from catfish.analysis.document import update

    for file in options.files:
        print(f"{file}: {update(file)} places up to date")


def _describe(options: argparse.Namespace) -> None:
    from catfish.training.describe import describe

    plan = _loaded(options)
    if options.setting not in plan.params.settings:
        raise UserError(f"no setting {options.setting!r}; there are: {', '.join(plan.params.settings)}")
    print(describe(plan, options.setting), end="")


def _verify(options: argparse.Namespace) -> None:
    from catfish.analysis.verify import verify

    plan = _loaded(options)
    findings = list(verify(plan))
    for finding in findings:
        print(f"{finding.kind}: {finding.text}")
    counts = Counter(finding.kind for finding in findings)
    summary = ", ".join(f"{count} {kind}" for kind, count in counts.items()) or "everything there and unharmed"
    print(f"{plan.results}: {sum(plan.jobs.values())} runs planned; {summary}")
    if findings:
        sys.exit(1)


def _doctor(options: argparse.Namespace) -> None:
    from catfish import doctor

    plan, counts = _loaded(options), Counter()
    for finding in doctor.examine(plan):
        print(finding)
        counts[finding.kind] += 1
    obstacles = counts[doctor.OBSTACLE]
    verdict = f"not possible here, {obstacles} in the way" if obstacles else "possible here"
    print(f"scale {plan.params.scale}: {verdict}; {counts[doctor.ADVICE]} pieces of advice")
    if obstacles:
        sys.exit(1)


def _plan(options: argparse.Namespace) -> None:
    plan = _loaded(options)
    if options.cost or options.calibrate:
        _cost(plan, options)
        return
    for split in plan.splits:
        print(f"split   {split}")
    for configuration, seeds in plan.jobs.items():
        print(f"train   {configuration.id}  ({seeds} {'seed' if seeds == 1 else 'seeds'})")
    for selection in plan.selections.values():
        print(f"select  {selection.id}  from {', '.join(f'{value:g}' for value in selection.values)}")
    for name in plan.params.outputs:
        print(f"render  {name}")
    print(
        f"scale {plan.params.scale}: {len(plan.jobs)} configurations, {sum(plan.jobs.values())} runs, "
        f"{len(plan.selections)} selections, {len(plan.params.outputs)} tables and figures"
    )


def _cost(plan: Plan, options: argparse.Namespace) -> None:
    from catfish.training import calibration, cost, cost_table
    from catfish.training.devices import chosen

    if options.calibrate:
        with chosen(options.device) as device:
            calibration.calibrate(plan, device, partial(print, flush=True))
        cost.write_budgets(plan)
    print(cost_table.table(plan), end="")
