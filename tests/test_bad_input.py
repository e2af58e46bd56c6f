"""Whatever a user's files or words get wrong is one line that names the place and the cure, and status 2."""

import errno
import json
import os
import shutil
import stat
import zipfile
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
import yaml
from PIL import Image

from catfish.cli import main
from catfish.config import parse
from catfish.datasets import imagenet, preparation
from catfish.datasets.imagenet import Counts
from catfish.datasets.tinyimagenet import read_tinyimagenet
from catfish.plan import Plan

SPLIT = "digits/split_n96_v40_noise0_seed0"
GRID = "simplecnn_c10/eta_star/lr-0.01"
BEST = "simplecnn_c10/fp/lr-small_coefficient-best"
RUN = f"results/tiny/runs/{BEST}/seed1"
GRID_RUN = f"results/tiny/runs/{GRID}/seed0"
SELECTION = "results/tiny/select/simplecnn_c10/eta_star.json"
PREPARED, MANIFEST = "data/prepared/digits/arrays.npz", "data/prepared/digits/manifest.json"
TRAIN, RENDER, SELECT = ["train", "--device", "cpu", BEST], ["render", "table1"], ["select", "simplecnn_c10/eta_star"]
CIFAR, TINY, TREE = "data/raw/cifar-10-python.tar.gz", "data/raw/tiny-imagenet-200.zip", "data/raw/tiny-imagenet-200"
JPEG = "data/raw/imagenet/train/n02/n02_0.JPEG"

# Damage: what is done to the current folder, with pytest's monkeypatch at hand.
Damage = Callable[[pytest.MonkeyPatch], object]


def nothing(patch):
    pass


def text(path: str, content: str | bytes = "") -> Damage:
    """A file with this content, in place of what was there."""

    def write(patch):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).unlink(missing_ok=True)  # some are links to what all cases share
        Path(path).write_bytes(content if isinstance(content, bytes) else content.encode())

    return write


def edited(path: str, edit: Callable[[str], str]) -> Damage:
    def change(patch):
        before = Path(path).read_text()
        text(path, edit(before))(patch)
        assert Path(path).read_text() != before

    return change


def cut(path: str, size: int) -> Damage:
    return lambda patch: text(path, Path(path).read_bytes()[:size])(patch)


def gone(path: str) -> Damage:
    return lambda patch: shutil.rmtree(path) if Path(path).is_dir() else Path(path).unlink()


def having(path: str, key: str, value: object = ...) -> Damage:
    """A YAML or JSON file with another value under a dotted key, or without the key."""

    def change(patch):
        load, dump = (yaml.safe_load, yaml.safe_dump) if path.endswith("yaml") else (json.loads, json.dumps)
        document = load(Path(path).read_text())
        *above, last = key.split(".")
        place = document
        for name in above:
            place = place.setdefault(name, {})
        if value is ...:
            del place[last]
        else:
            place[last] = value
        text(path, dump(document))(patch)

    return change


def params(key: str, value: object = ...) -> Damage:
    return having("params.yaml", key, value)


def together(*damages: Damage) -> Damage:
    return lambda patch: [damage(patch) for damage in damages]


def read_only(folder: str) -> Damage:
    """Nothing can be written there, not even by root, who is allowed everything."""

    def refuse(patch):
        genuine = open

        def guarded(path, mode="r", *arguments, **options):
            if not isinstance(path, int) and set(mode) & set("wax") and Path(path).is_relative_to(folder):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return genuine(path, mode, *arguments, **options)

        Path(folder).mkdir(parents=True, exist_ok=True)
        patch.setattr("builtins.open", guarded)

    return refuse


def packed(member: str, link: bool = False) -> Damage:
    """TinyImageNet's zip with a member of that name."""

    def write(patch):
        Path(TINY).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(TINY, "w") as file:
            entry = zipfile.ZipInfo(member)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16 if link else 0
            file.writestr(entry, "/etc/passwd")

    return write


def small_tree(patch):
    """TinyImageNet's folder with one class of two training images and one validation image, and a reader for it."""
    images = ["train/n01/images/n01_0.JPEG", "train/n01/images/n01_1.JPEG", "val/images/val_0.JPEG"]
    for name in images:
        path = Path(TREE, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (64, 64)).save(path, "JPEG")
    Path(TREE, "wnids.txt").write_text("n01\n")
    Path(TREE, "val", "val_annotations.txt").write_text("val_0.JPEG\tn01\t0\t0\t1\t1\n")
    patch.setitem(preparation.READERS, "tinyimagenet", partial(read_tinyimagenet, per_class=(2, 1), classes=1))


def small_imagenet(patch):
    """ImageNet's tree with two classes of one training and one validation image each, and a reader for it."""
    for folder in ("train", "val"):
        for wnid in ("n01", "n02"):
            path = Path("data/raw/imagenet", folder, wnid, f"{wnid}_0.JPEG")
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (80, 70)).save(path, "JPEG")
    expected = Counts(classes=2, train=2, train_per_class=(1, 1), test_per_class=1)
    patch.setattr(preparation, "prepare_imagenet", partial(imagenet.prepare_imagenet, expected=expected))


def another_scale(patch):
    """The results of the scale `tiny` under the name of another one, which trains longer."""
    params("scales.longer", yaml.safe_load(Path("params.yaml").read_text())["scales"]["tiny"])(patch)
    params("scales.longer.setting_defaults.epochs", 3)(patch)
    shutil.copytree("results/tiny", "results/longer")


CASES: dict[str, tuple[Damage, list[str], list[str]]] = {
    # params.yaml; tests/test_config.py has all that it may not say
    "params: not there": (gone("params.yaml"), ["plan"], ["params.yaml: cannot be read", "run from the project's"]),
    "params: no YAML": (text("params.yaml", "a: [1"), ["plan"], ["params.yaml: not valid YAML", "line 1"]),
    "params: another file": (nothing, ["plan", "--params", "other.yaml"], ["other.yaml: cannot be read"]),
    "params: a tab": (text("params.yaml", "a: 1\n\tb: 2\n"), ["plan"], ["params.yaml: not valid YAML", "line 2"]),
    "params: a list": (
        text("params.yaml", "- 1"),
        ["plan"],
        ["params.yaml: expected a mapping at the top, found list"],
    ),
    "params: a program": (
        text("params.yaml", "!!python/object/apply:os.mkdir [executed]"),
        ["plan"],
        ["params.yaml: not valid YAML", "python/object"],
    ),
    "params: a misspelt key": (
        params("settings.simplecnn_c10.learning_rat", 0.1),
        ["plan"],
        ["settings.simplecnn_c10.learning_rat: unknown key", "allowed here: model"],
    ),
    "params: another type": (
        params("settings.simplecnn_c10.epochs", "ten"),
        RENDER,
        ["settings.simplecnn_c10.epochs: expected int, found 'ten'"],
    ),
    "params: impossible": (
        params("scales.tiny.setting_defaults.batch_size", 97),
        TRAIN,
        ["settings.", ".examples: 96 is not allowed", "at least the batch size, 97"],
    ),
    "params: more images than there are": (
        params("scales.tiny.settings.simplecnn_c10.examples", 5000),
        ["split", "digits/split_n5000_v40_noise0_seed0"],
        ["examples: 5000 is not allowed", "from 1 to 1357 (1397 less 40 validation)"],
    ),
    "params: a scale that is not": (nothing, ["plan", "--scale", "huge"], ["'huge' is not defined", "tiny"]),
    "params: a table that is not": (
        params("outputs.table9", {"settings": ["simplecnn_c10"], "methods": ["eta_star"]}),
        ["render", "table9"],
        ["outputs.table9: no such table or figure; nearest: table"],
    ),
    # Raw data
    "raw: unknown": (nothing, ["prepare", "mnist"], ["'mnist' is unknown; allowed: digits"]),
    "raw: missing": (nothing, ["prepare", "cifar10", "--offline"], [CIFAR, "missing", "put the official"]),
    "raw: truncated archive": (
        text(CIFAR, b"\x1f\x8b"),
        ["prepare", "cifar10", "--offline"],
        [f"{CIFAR}: damaged (md5 ", "published c58f30108f718f92721af3b95e74349a", "delete it, then put"],
    ),
    "raw: another pickle": (
        together(
            *(
                text(f"data/raw/cifar-10-batches-py/{name}", b"cos\nmkdir\n(S'executed'\ntR.")
                for name in (*(f"data_batch_{k}" for k in range(1, 6)), "test_batch", "batches.meta")
            )
        ),
        ["prepare", "cifar10", "--offline"],
        ["cifar-10-batches-py/data_batch_1: damaged (its md5 is not the published", "delete the folder"],
    ),
    "raw: half a folder": (
        lambda patch: Path("data/raw/cifar-100-python").mkdir(parents=True),
        ["prepare", "cifar100", "--offline"],
        ["cifar-100-python/train: missing; delete the folder", "put the official cifar-100-python.tar.gz"],
    ),
    "raw: a folder that cannot be written to": (
        together(
            read_only("data/raw"),
            lambda patch: patch.setattr("urllib.request.urlopen", lambda *_, **__: nullcontext()),
        ),
        ["prepare", "tinyimagenet"],
        [f"{TINY}: could not be downloaded", "Permission denied", "put the official"],
    ),
    "raw: no zip": (text(TINY, "zip"), ["prepare", "tinyimagenet"], [f"{TINY}: damaged", "delete it, then take"]),
    "raw: a zip that leaves its folder": (
        packed("tiny-imagenet-200/../../evil"),
        ["prepare", "tinyimagenet"],
        [f"{TINY}: unsafe member", "evil", "take the official files"],
    ),
    "raw: a link in a zip": (
        packed("tiny-imagenet-200/link", link=True),
        ["prepare", "tinyimagenet"],
        [f"{TINY}: unsafe member", "link", "take the official files"],
    ),
    "raw: too few classes": (
        text(f"{TREE}/wnids.txt", "n01\n"),
        ["prepare", "tinyimagenet"],
        [f"{TREE}/wnids.txt: 1 classes instead of 200", "take the official files"],
    ),
    "raw: too few images": (
        together(small_tree, gone(f"{TREE}/train/n01/images/n01_1.JPEG")),
        ["prepare", "tinyimagenet"],
        [f"{TREE}, training set: 1 examples of class 0 instead of 2", "get them again"],
    ),
    "raw: a corrupt JPEG": (
        together(small_tree, cut(f"{TREE}/train/n01/images/n01_1.JPEG", 300)),
        ["prepare", "tinyimagenet"],
        ["n01_1.JPEG: not a readable JPEG", "take the official files"],
    ),
    "raw: an unknown class": (
        together(small_tree, text(f"{TREE}/val/val_annotations.txt", "val_0.JPEG\tn07\n")),
        ["prepare", "tinyimagenet"],
        ["val_annotations.txt, line 1: unknown class 'n07'"],
    ),
    "raw: no ImageNet": (nothing, ["prepare", "imagenet"], ["data/raw/imagenet/train: missing", "<wnid>/*.JPEG"]),
    "raw: ImageNet in part": (
        lambda patch: [Path("data/raw/imagenet", name, "n01").mkdir(parents=True) for name in ("train", "val")],
        ["prepare", "imagenet"],
        ["data/raw/imagenet/train: 1 classes (folders) instead of 1000"],
    ),
    "raw: a link that leaves ImageNet": (
        together(small_imagenet, gone(JPEG), lambda patch: Path(JPEG).symlink_to("/etc/passwd")),
        ["prepare", "imagenet64"],
        [f"{JPEG}: a link that leaves", "put the files themselves there"],
    ),
    "raw: a corrupt JPEG of ImageNet": (
        together(small_imagenet, text(JPEG, "no picture")),
        ["prepare", "imagenet64"],
        [f"{JPEG}: not a readable JPEG or PNG image", "take the official"],
    ),
    "prepared: a folder that cannot be written to": (
        read_only("data/prepared"),
        ["prepare", "digits"],
        ["data/prepared/digits/arrays.npz", "Permission denied", "make it readable and writable"],
    ),
    "prepared: a file in the way": (
        together(gone("data/prepared"), text("data/prepared")),
        ["prepare", "digits"],
        ["data/prepared", "in the way"],
    ),
    # Prepared data and splits
    "prepared: missing": (gone(MANIFEST), ["split", SPLIT], [f"{MANIFEST}: missing; run `catfish prepare digits`"]),
    "prepared: truncated": (
        cut(PREPARED, 1000),
        ["split", SPLIT],
        [f"{PREPARED}: damaged or altered", "sha256", "run `catfish prepare digits` again"],
    ),
    "prepared: no manifest": (
        text(MANIFEST, "{}"),
        ["split", SPLIT],
        [f"{MANIFEST}: damaged", "'name'", "catfish pre"],
    ),
    "prepared: a manifest without its checksum": (
        together(having(MANIFEST, "sha256"), gone(RUN)),
        TRAIN,
        [f"{MANIFEST}", "sha256 is missing; run `catfish prepare digits` again"],
    ),
    "prepared: wrong counts": (
        having(MANIFEST, "counts.train", 7),
        ["split", SPLIT],
        [f"{PREPARED}: train_images is uint8 (1397, 3, 32, 32) where manifest.json says uint8 (7, 3, 32, 32)"],
    ),
    "split: not planned": (nothing, ["split", "digits/half"], ["no split 'digits/half' is planned; `catfish plan`"]),
    "split: missing": (
        together(gone(f"data/prepared/{SPLIT}.npz"), gone(RUN)),
        TRAIN,
        [f"data/prepared/{SPLIT}.npz: missing", "catfish split"],
    ),
    "split: truncated": (
        together(cut(f"data/prepared/{SPLIT}.npz", 300), gone(RUN)),
        TRAIN,
        [f"data/prepared/{SPLIT}.npz: damaged", "delete it and make the split again"],
    ),
    # Words on the command line
    "train: not planned": (
        nothing,
        ["train", "simplecnn"],
        ["no configuration 'simplecnn' is planned; `catfish plan`"],
    ),
    "train: no such device": (
        together(gone(RUN)),
        ["train", "--device", "gpu", BEST],
        ["--device gpu", "auto, cpu, cuda, cuda:1"],
    ),
    "train: no such GPU": (
        together(gone(RUN), lambda patch: patch.setattr("torch.cuda.is_available", lambda: False)),
        ["train", "--device", "cuda:7", BEST],
        ["--device cuda:7", "sees no CUDA device; use --device cpu"],
    ),
    "select: not planned": (nothing, ["select", "eta"], ["no selection 'eta' is planned; `catfish plan`"]),
    "render: nothing of that name": (
        nothing,
        ["render", "table99"],
        ["outputs.table99: no such table; there are: table1"],
    ),
    "describe: not there": (nothing, ["describe", "vgg"], ["no setting 'vgg'; there are:", "simplecnn_c10"]),
    "compare: not there": (
        nothing,
        ["compare", "results/tiny", "results/huge"],
        ["results/huge: no such folder; give the results of one scale"],
    ),
    "compare: above the results": (
        nothing,
        ["compare", "results/tiny", "results"],
        ["results: no runs in it", "give results/tiny"],
    ),
    "compare: a pattern without a match": (
        nothing,
        ["compare", "results/tiny", "results/tiny", "--only", "vgg*"],
        ["results/tiny/runs: no configuration matches 'vgg*'", "SETTING/METHOD/lr-VALUE"],
    ),
    "compare: a table that cannot be written": (
        text("out", "a file"),
        ["compare", "results/tiny", "results/tiny", "--csv", "out/table.csv"],
        ["out", "in the way"],
    ),
    "merge: into itself": (nothing, ["merge", "results/tiny"], ["these are the results that are merged into"]),
    # Selections
    "selection: missing": (gone(SELECTION), TRAIN, [f"{SELECTION}: missing; let Snakemake make it"]),
    "selection: cut off": (cut(SELECTION, 30), TRAIN, [f"{SELECTION}: not valid JSON", "delete it and run again"]),
    "selection: without its choice": (
        having(SELECTION, "best"),
        TRAIN,
        [f"{SELECTION}: best is missing; delete it and run `catfish select simplecnn_c10/eta_star`"],
    ),
    "selection: no number": (
        having(SELECTION, "best", "large"),
        TRAIN,
        [SELECTION, "best is 'large'", "catfish select"],
    ),
    "selection: without its grid": (having(SELECTION, "grid"), TRAIN, [SELECTION, "grid is missing", "catfish select"]),
    "selection: of a table": (having(SELECTION, "edge"), RENDER, [SELECTION, "edge is missing", "catfish select"]),
    "selection: a run is missing": (gone(GRID_RUN), SELECT, [f"{GRID_RUN}/run.json: missing"]),
    # Records
    "record: missing": (gone(f"{RUN}/run.json"), RENDER, [f"{RUN}/run.json: missing"]),
    "record: cut off": (cut(f"{RUN}/run.json", 200), RENDER, [f"{RUN}/run.json: not valid JSON", "delete it"]),
    "record: something else": (
        text(f"{RUN}/run.json", "[1]"),
        RENDER,
        ["run.json: expected a JSON object, found list"],
    ),
    "record: without its run": (
        having(f"{RUN}/run.json", "run"),
        RENDER,
        [f"{RUN}/run.json: run is missing; delete the folder"],
    ),
    "record: a run without epochs": (
        having(f"{RUN}/run.json", "run.epochs"),
        RENDER,
        [f"{RUN}/run.json: run.epochs is missing; delete the folder and train"],
    ),
    "record: a run without measurements": (
        having(f"{RUN}/run.json", "run.measure"),
        RENDER,
        [f"{RUN}/run.json", "measure", "train"],
    ),
    "record: a run that is a word": (
        having(f"{RUN}/run.json", "run", "x"),
        RENDER,
        [f"{RUN}/run.json", "run", "train"],
    ),
    "record: an outcome that is a word": (
        having(f"{RUN}/run.json", "outcome", "completed"),
        RENDER,
        [f"{RUN}/run.json", "outcome", "train"],
    ),
    "record: diverged nowhere": (
        having(f"{RUN}/run.json", "outcome", {"status": "diverged"}),
        RENDER,
        [f"{RUN}/run.json", "outcome", "train"],
    ),
    "record: files that are none": (
        having(f"{RUN}/run.json", "files", ["history.csv"]),
        RENDER,
        [f"{RUN}/history.csv: missing, or altered", "train again"],
    ),
    "record: of another seed": (
        having(f"{RUN}/run.json", "seed", 0),
        RENDER,
        ["is seed 0 of", "not seed 1 of", "delete"],
    ),
    "record: of another project": (
        text(
            f"{RUN}/run.json", '{"configuration": "a", "seed": 1, "run": {"lr": 1}, "outcome": {"status": "completed"}}'
        ),
        RENDER,
        [f"{RUN}/run.json", "run.epochs is missing, run.learning_rate is missing", "train again"],
    ),
    "record: one of the selection's": (
        having(f"{GRID_RUN}/run.json", "run.epochs"),
        SELECT,
        [f"{GRID_RUN}/run.json", "epochs"],
    ),
    "record: in a comparison": (
        lambda patch: [having(str(path), "run.epochs")(patch) for path in Path("results").rglob("run.json")],
        ["compare", "results/tiny", "results/tiny"],
        ["results/tiny: none of its", "runs can be read", "run.json", "epochs"],
    ),
    "history: missing": (gone(f"{RUN}/history.csv"), RENDER, [f"{RUN}/history.csv: missing; delete the run's folder"]),
    "history: truncated": (
        edited(f"{RUN}/history.csv", lambda before: before[:-9]),
        RENDER,
        [f"{RUN}/history.csv: cut off within its last row", "train again"],
    ),
    "history: a row too few": (
        edited(f"{RUN}/history.csv", lambda before: "\n".join(before.split("\n")[:-2]) + "\n"),
        RENDER,
        [f"{RUN}/history.csv: ends at epoch 1, but the run completed 2", "train again"],
    ),
    "history: edited": (
        edited(f"{RUN}/history.csv", lambda before: before.replace("0.", "1.", 1)),
        RENDER,
        [f"{RUN}/history.csv: missing, or altered", "train again"],
    ),
    "history: of another version": (
        edited(f"{RUN}/timing.csv", lambda before: before.replace("train_seconds", "seconds")),
        RENDER,
        [f"{RUN}/timing.csv: other columns", "train_seconds", "train again"],
    ),
    "metrics: a damaged run": (
        cut(f"{RUN}/history.csv", 500),
        ["metrics", "--json", "m.json", "--curves", "c.csv"],
        [f"{RUN}/history.csv: cut off"],
    ),
    "figure: a damaged run": (cut(f"{RUN}/history.csv", 500), ["render", "figure3"], [f"{RUN}/history.csv: cut off"]),
    "claims: a damaged run": (cut(f"{RUN}/history.csv", 500), ["render", "claims"], [f"{RUN}/history.csv: cut off"]),
    "calibration: cut off": (
        text("results/tiny/calibration.json", "{"),
        ["plan", "--cost"],
        ["results/tiny/calibration.json: not valid JSON", "delete it"],
    ),
    "calibration: something else": (
        text("results/tiny/calibration.json", "{}"),
        ["plan", "--cost"],
        ["results/tiny/calibration.json", "catfish plan --calibrate"],
    ),
    # Results of another scale or machine
    "another scale's results: a table": (
        another_scale,
        ["render", "--scale", "longer", "table1"],
        ["results/longer/runs/", "run.json: differs from params.yaml in epochs", "train the configuration again"],
    ),
    "another scale's results: a selection": (
        another_scale,
        ["select", "--scale", "longer", "simplecnn_c10/eta_star"],
        ["results/longer/runs/", "run.json: differs from params.yaml in epochs", "train the configuration again"],
    ),
    "another scale's results: merged": (
        together(another_scale, gone("results/longer")),
        ["merge", "--scale", "longer", "results/tiny"],
        ["nothing was merged", "run.json: made with other settings", "(epochs)", "merge results of the same scale"],
    ),
    "merge: a damaged run": (
        together(another_scale, gone(RUN), cut(f"{RUN.replace('tiny', 'longer')}/history.csv", 500)),
        ["merge", "results/longer"],
        ["nothing was merged; 1 in conflict", "history.csv: missing, or altered", "copy it again"],
    ),
    "merge: no record": (
        together(another_scale, gone(RUN), having(f"{RUN.replace('tiny', 'longer')}/run.json", "run", "x")),
        ["merge", "results/longer"],
        ["nothing was merged; 1 in conflict", "run.json: run is 'x'", "delete the folder"],
    ),
    "merge: no record here": (
        together(another_scale, text(f"{RUN}/run.json", "{}")),
        ["merge", "results/longer"],
        ["nothing was merged; 1 in conflict", f"{RUN}", "delete"],
    ),
}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory, tiny_text) -> Path:
    """A finished campaign of one setting and three methods; not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    document = yaml.safe_load(tiny_text)
    shown = {"table1": document["scales"]["tiny"]["outputs"]["table1"]}
    document["scales"]["tiny"]["outputs"] = shown | {"figure3": shown["table1"]}
    document["outputs"] = {name: document["outputs"][name] for name in ("table1", "figure3")}
    plan, before = Plan(parse(document)), Path.cwd()
    os.chdir(folder)
    try:
        Path("params.yaml").write_text(yaml.safe_dump(document))
        main(["prepare", "digits"])
        main(["split", SPLIT])
        chosen = {job: len(plan.needs(job)) for job in plan.jobs}
        for job in sorted(plan.jobs, key=chosen.get):  # the grids first
            for selection in plan.needs(job):
                main(["select", selection.id])
            main(["train", "--device", "cpu", "--threads", "1", job.id])
    finally:
        os.chdir(before)
    return folder


@pytest.fixture
def copy(campaign, tmp_path, monkeypatch) -> Path:
    """A copy of it as the current folder; the images are a link."""
    shutil.copytree(campaign, tmp_path / "copy", ignore=shutil.ignore_patterns("arrays.npz"))
    (tmp_path / "copy" / PREPARED).symlink_to(campaign / PREPARED)
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def said(capsys, arguments: list[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    return stopped.value.code, capsys.readouterr().err


@pytest.mark.parametrize(("damage", "arguments", "words"), CASES.values(), ids=CASES)
def test_bad_input_is_named_with_its_cure(copy, monkeypatch, capsys, damage, arguments, words):
    damage(monkeypatch)
    status, message = said(capsys, arguments)
    monkeypatch.undo()
    assert status == 2 and message.startswith("catfish: "), message
    assert message.count("\n") == 1 or arguments[0] in ("merge", "prepare"), message  # which list all that is wrong
    assert [word for word in words if word not in message] == [], message
    assert not (copy / "executed").exists()


@pytest.mark.parametrize("name", [name for name in CASES if name.startswith(("record", "history"))])
def test_what_looks_at_all_runs_goes_on_and_lists_the_damaged_one(copy, monkeypatch, capsys, name):
    CASES[name][0](monkeypatch)
    with pytest.raises(SystemExit) as stopped:
        main(["verify"])
    found = capsys.readouterr().out
    assert stopped.value.code == 1 and (f": {RUN}" in found or f": {GRID_RUN}" in found), found
    main(["overview"])
    listed = Path("figures/tiny/overview.md").read_text().partition("## Failed or missing runs")[2].partition("##")[0]
    assert f"`{BEST}`, seed" in listed or f"`{GRID}`, seed" in listed, listed
    main(["plan", "--cost"])
