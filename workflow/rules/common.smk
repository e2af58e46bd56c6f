# The plan, and the environment in which rules find the command line `python -m catfish` without an installation.
import hashlib
import re
import sys
from dataclasses import asdict
from pathlib import Path

import yaml
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("9.0")

SOURCE = Path(workflow.basedir) / "src"
sys.path.insert(0, str(SOURCE))

from catfish import archive, budgets, campaign, outdated
from catfish.config import load
from catfish.errors import UserError
from catfish.plan import Plan, canonical, is_figure

# What can be set by `--config`; Snakemake itself takes any key.
CONFIG_KEYS = (
    "scale",
    "only",
    "checkpoint_seconds",
    "gpu_slots",
    "gpu_megabytes",
    "gpu_per_job",
    "train_mem_mb",
    "train_minutes",
)
if unknown := sorted(config.keys() - set(CONFIG_KEYS)):
    raise WorkflowError(
        f"--config {', '.join(unknown)}: unknown; known are: {', '.join(CONFIG_KEYS)}"
    )

try:
    plan = Plan(load("params.yaml", config.get("scale")))
    plan.jobs
    BUDGETS = budgets.read(plan.results)
    ARCHIVE = archive.read(plan)
    # What needs neither training nor data.
    UNPACKED, CHOSEN = map(
        dict.fromkeys, archive.covered(plan, ARCHIVE) if ARCHIVE else ((), ())
    )
except UserError as error:
    raise WorkflowError(str(error))

SCALE = plan.params.scale
if workflow.is_main_process:
    outdated.outdate(plan)
if workflow.is_main_process and (held := campaign.holder()):
    print(f"This folder is locked: {held}.", file=sys.stderr)
if workflow.is_main_process and not ARCHIVE and Path(f"{plan.archive}.dvc").is_file():
    print(
        f"Finished runs of this scale are archived: `make pull SCALE={SCALE}` fetches them.",
        file=sys.stderr,
    )
OPTIONS = f"--scale {SCALE}"
TRAINING_OPTIONS = " ".join(
    f"--{key.replace('_', '-')} {config[key]}"
    for key in ("checkpoint_seconds", "gpu_slots", "gpu_megabytes")
    if key in config
)
# Options that decide no number travel in the environment: among a rule's params, a change would run every job again.
shell.prefix(
    f"export PYTHONPATH='{SOURCE}'${{{{PYTHONPATH:+:$PYTHONPATH}}}}"
    f" SPLIT_OPTIONS='{OPTIONS}' TRAINING_OPTIONS='{TRAINING_OPTIONS}'; "
)
config["scale"] = SCALE  # for the report's first page
TITLES = yaml.safe_load(
    (SOURCE.parent / "workflow" / "report" / "titles.yaml").read_text()
)


def whole_campaign(wildcards):
    """What the target `figures` makes, which is no part of a campaign."""
    if config.get("only"):
        raise WorkflowError(part_without_runs())
    return [*rendered_files(), *metrics_files(), f"{plan.figures}/overview.html"]


def part_without_runs():
    """What to say where `only` would be ignored."""
    return f"only={config['only']} is a part of the campaign, which the target `runs` trains: add `-- runs`"


def rendered_files():
    """Every file of every table and figure, and of the claims."""
    names = [*plan.params.outputs, "claims"]
    return [path for name in names for path in output_files(name)]


def output_files(name):
    """A table's or figure's files, or the claims'; the first one is shown in the report."""
    endings = ("png", "pdf", "csv") if is_figure(name) else ("html", "csv", "md", "tex")
    return [f"{plan.figures}/{name}.{ending}" for ending in endings]


def run_files(settings=None):
    """Every file of every run, or of those of some settings."""
    return [
        path
        for configuration in plan.jobs
        if settings is None or configuration.setting in settings
        for path in made_files(configuration)
    ]


def made_files(configuration):
    """What the workflow makes of a configuration: from the archive come no weights, which nothing needs then."""
    archived = configuration in UNPACKED
    return (
        plan.table_files(configuration) if archived else plan.job_files(configuration)
    )


def unpacked_files():
    """What comes out of the archive."""
    runs = [path for configuration in UNPACKED for path in made_files(configuration)]
    return [*runs, *(plan.selection_path(selection) for selection in CHOSEN)]


def trained():
    """The configurations that are not archived, with their numbers of seeds."""
    return {job: seeds for job, seeds in plan.jobs.items() if job not in UNPACKED}


def chosen_settings(text):
    """Those that `only` names, or all; they need no others, so parts with different names train different runs."""
    planned = {configuration.setting for configuration in plan.jobs}
    chosen = {name.strip() for name in text.split(",")} if text else planned
    if unknown := sorted(chosen - planned):
        raise WorkflowError(
            f"only: {', '.join(unknown)} is no setting that the scale {SCALE} trains; `catfish plan --cost` lists them"
        )
    for name in sorted(chosen):
        setting = plan.params.settings[name]
        others = {setting.tuned_on, setting.starts_from, setting.small_batch}
        if needed := others - chosen - {None}:
            raise WorkflowError(
                f"only: {name} needs runs of {', '.join(sorted(needed))}; name it too"
            )
    return chosen


ONLY = chosen_settings(config.get("only", ""))


def title(name):
    """`Figure  2: ...`: the report sorts as text and a browser shows two spaces as one, so Figure 10 comes after it."""
    around, kind, number = re.fullmatch(r"(mech_)?([a-z]+)(\d*).*", name).groups()
    number = f"{'M' if around else ''}{number}"
    return f"{kind.capitalize()} {number:>2}: {TITLES.get(name, name)}"


def reported(path, name, category, title):
    """A file that the report shows. A missing one would stop the report, so it is left out; the overview names it."""
    if not Path(path).exists():
        return path
    return report(
        path,
        caption=f"../report/{name}.rst",
        category=category,
        labels={"title": title},
    )


def digest(text):
    """What stands for a long text among a rule's params, which the report shows: a change of it is a reason to run."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def metrics_files():
    """What `dvc metrics show` and `dvc plots show` read."""
    return [f"{plan.results}/metrics.json", f"{plan.results}/curves.csv"]


def training_inputs(wildcards):
    """A configuration's data, the selections that give its symbolic values, and the weights it starts from."""
    configuration = plan.configurations[wildcards.configuration]
    if configuration.setting not in ONLY:
        raise WorkflowError(part_without_runs())
    split = plan.split(configuration.setting)
    return [
        plan.manifest_path(split.dataset),
        plan.split_path(split),
        *[plan.selection_path(selection) for selection in plan.needs(configuration)],
        *filter(None, [plan.start_path(configuration), plan.norms_path(configuration)]),
    ]


def training_text(wildcards):
    """What is trained; a change of it is a reason to run the job again."""
    return plan.job_text(plan.configurations[wildcards.configuration])


def training_memory(wildcards, attempt):
    """MB of main memory that a cluster is asked for, more after an attempt that failed; ignored on one machine."""
    return min(attempt, 3) * int(config.get("train_mem_mb", budgets.megabytes(BUDGETS)))


def training_minutes(wildcards, attempt):
    """A cluster's time limit, longer after an attempt that failed. A job that reaches it saves its state and goes on."""
    measured = budgets.minutes(BUDGETS, wildcards.configuration)
    return min(attempt, 3) * int(config.get("train_minutes", measured))


def candidate_files(wildcards):
    """The runs of every value of the grid."""
    return plan.candidate_files(plan.selections[wildcards.selection])


def candidate_values(wildcards):
    """What is chosen from; a change of it is a reason to select again."""
    return plan.selection_text(plan.selections[wildcards.selection])
