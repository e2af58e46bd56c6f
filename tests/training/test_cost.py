"""Runs, operations, seconds and chains, from timings and records that are made up."""

import json
import math
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from catfish import budgets
from catfish.cli import main
from catfish.config import load
from catfish.datasets.sizes import SIZES
from catfish.plan import BEST, ETA_STAR, Configuration, Plan
from catfish.records import read_json, write_json
from catfish.training import calibration, cost
from catfish.training.calibration import work
from catfish.training.cost import Estimate, Price, longest_chain, outputs, run_seconds, waves, write_budgets
from catfish.training.describe import Cost, copied

ROOT = Path(__file__).parents[2]
PENALTIES = ("fisher", "gradient", "random_label_gradient", "input_gradient", "average_jacobian", "unit_jacobian")
BASE = {"step": 0.25, "image": 0.125, "gradients": 2.0, "hessian": 8.0, "statistics": 1.0}


@pytest.fixture
def counted(monkeypatch):
    """An example costs 1 operation forward and 3 a step, a penalty's gradient 9."""
    costs = Cost(1, 3, dict.fromkeys(PENALTIES, 9))
    monkeypatch.setattr(
        cost, "_counts", lambda plan: {cost._network(setting): costs for setting in plan.params.settings.values()}
    )


def configuration(plan, method, setting="simplecnn_c10", value=BEST):
    return plan.configuration(setting, method, value)


def timings(plan, setting="simplecnn_c10", method="fp", **parts):
    spec = plan.params.settings[setting]
    return {work(spec): BASE | parts, work(spec, plan.params.methods[method]): {"step": 0.75}}


def record(plan, job, seed, seconds=60.0, **changes):
    """Write run.json of a finished run; 0.02 is what every symbol was resolved to."""
    run = asdict(plan.run(job, seed))
    run |= {key: 0.02 for key in ("learning_rate", "coefficient") if isinstance(run[key], str)}
    found = {
        "configuration": job.id,
        "seed": seed,
        "run": run,
        "outcome": {"status": "completed"},
    }
    write_json(plan.run_folder(job, seed) / "run.json", found | {"wall_seconds": seconds} | changes)


def test_seconds_of_a_run_are_those_of_its_steps_and_of_what_is_due(plan):
    # 96 images in batches of 32: 3 steps an epoch, 2 epochs; evaluated: 96 + 40 + 400 images at epochs 0, 1, 2;
    # Tr(H) every second epoch; the penalty's gradient takes 0.5 s every 10 steps
    assert SIZES["digits"].test == 400
    measured = 3 * 536 * 0.125 + 3 * 2.0 + 2 * 8.0 + 3 * 1.0
    plain = configuration(plan, "baseline")
    assert run_seconds(plan, plain, timings(plan)) == pytest.approx(6 * 0.25 + measured)
    penalised = configuration(plan, "fp")
    assert run_seconds(plan, penalised, timings(plan)) == pytest.approx(6 * 0.25 + 6 * 0.5 / 10 + measured)


def test_a_late_penalty_and_single_steps_take_their_part(plan):
    plan.params.methods["fp"] = replace(plan.params.methods["fp"], onset=1)
    on, off = (run_seconds(plan, configuration(plan, name), timings(plan)) for name in ("fp", "baseline"))
    assert on - off == pytest.approx(3 * 0.5 / 10)
    name = "simplecnn_c10_steps"  # its first 4 steps are measured
    job = Configuration(name, ETA_STAR, 0.01, None)
    without, with_trace = (run_seconds(plan, job, timings(plan, name, trace=value)) for value in (0.0, 16.0))
    assert with_trace - without == 4 * 16.0


def test_measurements_around_the_paper_take_their_part(plan):
    name = "simplecnn_c10"  # 6 steps, 2 epochs
    setting = plan.params.settings[name]
    measure = replace(setting.measure, spectra_every=1, trajectory_steps=5, trajectory_every=2, allocation_steps=9)
    plan.params.settings[name] = replace(setting, measure=measure)
    job, parts = configuration(plan, "baseline"), {"spectra": 100.0, "trajectory": 1000.0, "allocation": 10000.0}
    without, whole = (run_seconds(plan, job, timings(plan, **found)) for found in ({}, parts))
    assert whole - without == 3 * 100 + 3 * 1000 + 6 * 10000


def test_what_is_due():
    assert [cost._due(2, every) for every in (1, 2, 3, None)] == [3, 2, 2, 0]
    assert cost._due(300, 10) == 31


def test_learning_rate_and_length_share_a_timing_but_batches_do_not(plan):
    setting = plan.params.settings["simplecnn_c10"]
    assert work(setting) == work(replace(setting, epochs=7, momentum=0.1, learning_rates=(1.0,)))
    assert work(setting) != work(replace(setting, batch_size=7))
    fp, fp_eta_star, gp = (plan.params.methods[name] for name in ("fp", "fp_eta_star", "gp"))
    assert work(setting, fp) == work(setting, replace(fp_eta_star, every=1)) != work(setting, gp)
    assert work(setting, plan.params.methods["baseline"]) == work(setting)


def test_operations_of_a_run(plan, project, counted):
    estimate = Estimate(plan)
    images, evaluated = 96, 536
    assert estimate.operations(configuration(plan, "baseline")) == 2 * (images * 3 + evaluated)
    assert estimate.operations(configuration(plan, "fp")) == pytest.approx(2 * (images * (3 + 9 / 10) + evaluated))
    fp = plan.params.methods["fp"]
    plan.params.methods["fp"] = replace(fp, first_examples=8, every=1, onset=1)  # of 32, in one of two epochs
    part = 9 * 8 / 32 / 2
    assert estimate.operations(configuration(plan, "fp")) == pytest.approx(2 * (images * (3 + part) + evaluated))


def test_sam_and_grafting_take_their_part(plan, project, counted):
    """Two gradients a step; one more of 8 images in a batch of 32; norms of another run for nothing."""
    methods = plan.params.methods
    plan = Plan(replace(plan.params, methods=methods | {
        "graft_iterative": replace(methods["graft_iterative"], micro_batch=8)
    }))  # fmt: skip
    plain, sam, iterative, external = (
        configuration(plan, name, value=0.1) for name in ("baseline", "sam", "graft_iterative", "normalised_gd")
    )
    parts = timings(plan, method="sam")
    assert run_seconds(plan, sam, parts) - run_seconds(plan, plain, parts) == 6 * (0.75 - 0.25)
    parts |= timings(plan, method="graft_iterative")
    assert run_seconds(plan, iterative, parts) - run_seconds(plan, plain, parts) == 6 * (0.75 - 0.25)
    setting = plan.params.settings["simplecnn_c10"]
    assert work(setting, plan.params.methods["normalised_gd"]) == work(setting)
    estimate = Estimate(plan)
    images = 2 * 96
    assert estimate.operations(sam) - estimate.operations(plain) == images * 3
    assert estimate.operations(iterative) - estimate.operations(plain) == images * 3 / 4
    assert estimate.operations(external) == estimate.operations(plain)


def test_a_calibration_takes_steps_with_sam_and_grafting(plan, project, monkeypatch):
    monkeypatch.setattr(calibration, "SECONDS", 0.0)
    methods = plan.params.methods
    grafted = replace(methods["graft_iterative"], micro_batch=16)
    table = replace(plan.params.outputs["table1"], methods=("baseline", "sam", "graft_iterative"))
    params = replace(plan.params, outputs={"table1": table}, methods=methods | {"graft_iterative": grafted})
    said = []
    calibration.calibrate(Plan(params), torch.device("cpu"), said.append)
    setting, found = params.settings["simplecnn_c10"], read_json(plan.results / calibration.NAME)["seconds"]
    assert set(found) == {work(setting), work(setting, methods["sam"]), work(setting, grafted)}
    assert [line.partition(": ")[0] for line in said] == [
        "simplecnn_c10, no penalty", "simplecnn_c10, SAM", "simplecnn_c10, grafting",
    ]  # fmt: skip


def test_a_run_counts_once_and_copies_do_not(plan, project, counted):
    estimate = Estimate(plan)
    total = sum((estimate.price(job, seeds) for job, seeds in plan.jobs.items()), Price())
    chosen = {selection.id: {"best": selection.values[0]} for selection in plan.selections.values()}
    different = {plan.run(job, seed, chosen) for job in plan.jobs for seed in plan.seeds(job)}
    assert total.runs == len(different) < sum(plan.jobs.values())
    parts = outputs(plan)
    assert set().union(*(part.jobs for part in parts.values())) == set(plan.jobs)
    assert parts["table1"].jobs == parts["table4"].jobs


@pytest.mark.parametrize("scale", ["demo", "laptop", "paper"])
def test_copies_are_the_runs_that_are_the_same(scale):
    plan = Plan(load(ROOT / "params.yaml", scale))
    chosen = {selection.id: {"best": selection.values[0]} for selection in plan.selections.values()}
    for setting in ("simplecnn_c10", "vgg11_c100", "vgg11_c100_noise25", "vgg11_c100_aug", "simplecnn_c10_large"):
        jobs = [job for job in plan.jobs if job.setting == setting]
        different = {plan.run(job, seed, chosen) for job in jobs for seed in plan.seeds(job)}
        assert sum(plan.jobs[job] - copied(plan, job) for job in jobs) == len(different)


def test_finished_runs_are_recognised_by_their_settings(plan, project, counted):
    job = configuration(plan, "baseline")
    record(plan, job, 0, seconds=60)
    price = Estimate(plan).price(job, 2)
    assert (price.runs, price.finished, price.seconds, price.seconds_left, price.unknown) == (2, 1, 120, 60, 0)
    record(plan, job, 1, seconds=120, outcome={"status": "diverged", "step": 3})  # short, no measure of the others
    price = Estimate(plan).price(job, 2)
    assert (price.finished, price.seconds, price.seconds_left) == (2, 120, 0)
    run = json.loads((plan.run_folder(job, 0) / "run.json").read_text())["run"]
    record(plan, job, 0, run=run | {"epochs": 3})
    price = Estimate(plan).price(job, 2)
    assert (price.finished, price.unknown) == (1, 2)


def test_a_calibration_counts_more_than_finished_runs(plan, project, counted):
    job = configuration(plan, "baseline")
    record(plan, job, 0)
    write_json(plan.results / calibration.NAME, {"hardware": "Abacus", "seconds": timings(plan)})
    estimate = Estimate(plan)
    assert estimate.seconds(job) == run_seconds(plan, job, estimate.timings) != 60
    assert estimate.price(Configuration("vgg11_c100_noise25", "fp", "small", BEST), 2).unknown == 1


def test_hours_that_are_not_known_go_by_the_operations_of_the_setting_or_the_network(plan, project, counted):
    """Twice the operations take twice the time; a penalty's step is counted at what it costs more."""
    plain, penalised = (configuration(plan, name) for name in ("baseline", "fp"))
    images, evaluated = 96, 536
    operations = [2 * (images * (3 + part) + evaluated) for part in (0, 9 / 10)]
    record(plan, plain, 0, seconds=60)
    estimate = Estimate(plan)
    assert math.isnan(estimate.seconds(penalised))  # a guess is no budget
    price = estimate.price(penalised, 3)  # one of its three runs is the copy of the grid's best
    expected = 60 * operations[1] / operations[0]
    assert price.seconds == price.seconds_left == pytest.approx(2 * expected)
    assert (price.runs, price.proportional, price.unknown) == (2, 2, 0)
    assert estimate.price(plain, 1).proportional == 0
    steps = Configuration("simplecnn_c10_steps", ETA_STAR, 0.01, None)  # the same network in another setting
    assert estimate.price(steps, 1).seconds == pytest.approx(60 * estimate.operations(steps) / operations[0])
    record(plan, steps, 0, seconds=1)  # counts for itself, and for the network's other settings
    assert Estimate(plan).price(penalised, 3).seconds == pytest.approx(2 * expected)
    record(plan, plain, 0, outcome={"status": "diverged", "step": 3})
    slow = Estimate(plan).price(penalised, 3)
    assert slow.seconds == pytest.approx(2 * operations[1] / estimate.operations(steps))
    assert Estimate(plan).price(Configuration("vgg11_c100_noise25", "fp", "small", BEST), 2).unknown == 1


def test_the_longest_chain_goes_from_the_grid_to_the_shown_runs(plan):
    weights = dict.fromkeys(plan.jobs, 1.0)
    grid = Configuration("simplecnn_c10", ETA_STAR, 0.05, None)
    coefficient = Configuration("vgg11_c100_noise25", "fp", "small", 0.01)
    last = Configuration("vgg11_c100_noise25", "fp", "small", BEST)
    weights |= {grid: 5.0, coefficient: 7.0, last: 2.0}
    assert longest_chain(plan, weights) == (14.0, [grid, coefficient, last])
    weights |= {last: 0.0, coefficient: 0.5}
    assert longest_chain(plan, weights)[0] == 5.0 + 1.0 + 1.0
    early, after = (Configuration(f"resnet26_c100_{part}_large", ETA_STAR, rate, None)
                    for part, rate in (("early", 0.01), ("after", 0.001)))  # fmt: skip
    weights |= {early: 50.0, after: 60.0}
    assert longest_chain(plan, weights) == (110.0, [early, after])


def test_waves_are_grids_then_coefficients_then_what_is_shown(plan):
    jobs = list(plan.jobs)
    tuned = [job for job in jobs if job.coefficient == BEST]
    first = [job for job in jobs if not plan.needs(job) and plan.start(job) is None]
    assert waves(plan) == [len(first), len(jobs) - len(first) - len(tuned), len(tuned)]


def test_a_calibration_times_every_kind_of_work_once(plan, project, monkeypatch):
    monkeypatch.setattr(calibration, "SECONDS", 0.0)
    params = replace(plan.params, outputs={name: plan.params.outputs[name] for name in ("figure5", "figure15")})
    said = []
    before = torch.get_num_threads()
    calibration.calibrate(Plan(params), torch.device("cpu"), said.append)
    found = read_json(plan.results / calibration.NAME)
    assert before == 1 == found["threads"] and found["torch"] and found["hardware"]
    small, steps, noisy = (plan.params.settings[name] for name in
                           ("simplecnn_c10", "simplecnn_c10_steps", "vgg11_c100_noise25"))  # fmt: skip
    fp = plan.params.methods["fp"]
    assert set(found["seconds"]) == {work(small), work(steps), work(noisy), work(noisy, fp)} and len(said) == 4
    assert set(found["seconds"][work(steps)]) == {"step", "image", "gradients", "trace", "hessian", "statistics"}
    assert set(found["seconds"][work(noisy, fp)]) == {"step"}
    assert found["seconds"][work(noisy, fp)]["step"] > found["seconds"][work(noisy)]["step"] > 0
    assert all(value > 0 for parts in found["seconds"].values() for value in parts.values())
    assert 100 < found["megabytes"] < 100_000


def test_an_interrupted_calibration_goes_on(plan, project, monkeypatch):
    monkeypatch.setattr(calibration, "SECONDS", 0.0)
    plan = Plan(replace(plan.params, outputs={"figure15": plan.params.outputs["figure15"]}))
    path, said = plan.results / calibration.NAME, []
    calibration.calibrate(plan, torch.device("cpu"), said.append)
    before = path.read_bytes()
    calibration.calibrate(plan, torch.device("cpu"), said.append)
    assert len(said) == 1 and path.read_bytes() == before
    write_json(path, read_json(path) | {"hardware": "another machine"})
    calibration.calibrate(plan, torch.device("cpu"), said.append)
    assert len(said) == 2


def test_an_extended_calibration_keeps_the_larger_memory(plan, project, monkeypatch):
    """The process that timed the large networks is gone; the one that goes on with small ones has had less."""
    monkeypatch.setattr(calibration, "SECONDS", 0.0)
    output, path = plan.params.outputs["figure15"], plan.results / calibration.NAME

    def calibrated(peak: int, *methods: str) -> int:
        usage = SimpleNamespace(ru_maxrss=1024 * peak)  # in KiB
        monkeypatch.setattr(calibration.resource, "getrusage", lambda who: usage)
        shown = Plan(replace(plan.params, outputs={"figure15": replace(output, methods=methods)}))
        calibration.calibrate(shown, torch.device("cpu"), said.append)
        return read_json(path)["megabytes"]

    said: list[str] = []
    assert calibrated(5000, "eta_star") == 5000
    assert calibrated(300, "eta_star", "sam") == 5000
    assert calibrated(7000, "eta_star", "sam", "fp") == 7000 and len(said) == 3
    write_json(path, read_json(path) | {"hardware": "another machine"})
    assert calibrated(300, "eta_star") == 300


def test_budgets_are_what_was_measured_and_more(plan, project, counted):
    assert budgets.read(plan.results) == {} and budgets.minutes({}, "any") == 240 and budgets.megabytes({}) == 8000
    works = {work(setting, method) for setting in plan.params.settings.values()
             for method in (None, *plan.params.methods.values())}  # fmt: skip
    found = {"hardware": "Abacus", "megabytes": 1000, "seconds": dict.fromkeys(works, BASE)}
    write_json(plan.results / calibration.NAME, found)
    write_budgets(plan)
    made, job = budgets.read(plan.results), configuration(plan, "baseline")
    assert set(made["seconds"]) == {job.id for job in plan.jobs} and budgets.megabytes(made) == 1500
    seconds = len(plan.seeds(job)) * Estimate(plan).seconds(job)
    assert made["seconds"][job.id] == seconds
    assert budgets.minutes(made, job.id) == 10 + math.ceil(1.5 * seconds / 60)


def test_a_calibration_times_the_measurements_around_the_paper(plan, project, monkeypatch):
    monkeypatch.setattr(calibration, "SECONDS", 0.0)
    name = "simplecnn_c10_steps"
    setting = plan.params.settings[name]
    measure = replace(setting.measure, curvature_every=None, hessian_every=None, fisher_steps=0, spectra_every=1,
                      spectra_examples=16, covariance_batches=2, covariance_batch=8, trajectory_steps=2,
                      trajectory_examples=4, allocation_steps=2, allocation_examples=8)  # fmt: skip
    settings = plan.params.settings | {name: replace(setting, measure=measure, loss="square")}
    outputs = {"figure15": plan.params.outputs["figure15"]}
    calibration.calibrate(Plan(replace(plan.params, outputs=outputs, settings=settings)), torch.device("cpu"), print)
    (parts,) = read_json(plan.results / calibration.NAME)["seconds"].values()
    assert set(parts) == {"step", "image", "spectra", "trajectory", "allocation", "statistics"}
    assert all(value > 0 for value in parts.values())


def test_the_command_calibrates_and_shows_hours(plan, project, tiny_document, monkeypatch, capsys, counted):
    monkeypatch.setattr("catfish.cli._loaded", lambda options: plan)
    main(["plan", "--cost"])
    text = capsys.readouterr().out
    assert "Hours are not known" in text and not (plan.results / calibration.NAME).exists()
    job = configuration(plan, "baseline")
    record(plan, job, 0, seconds=7200)
    main(["plan", "--cost"])
    lines = capsys.readouterr().out.splitlines()
    rows = {line.split()[0]: line.split() for line in lines if line}
    hours = float(rows["simplecnn_c10"][-2].removeprefix("~"))  # all methods', from two of a run without a penalty
    assert hours > 4 and rows["simplecnn_c10"][-1] == f"~{hours - 2:.3g}" and rows["simplecnn_c10"][2] == "1"
    assert rows["vgg11_c100_noise25"][-2:] == ["-", "-"] and rows["together"][-1].startswith("~")
    assert rows["together"][-1].endswith("+") and {"~:", "+:"} < set(rows)

    def calibrated(plan, device, say):
        settings, methods = plan.params.settings.values(), plan.params.methods.values()
        kinds = {work(setting, method) for setting in settings for method in (None, *methods)}
        found = {"hardware": f"Abacus on {device}", "megabytes": 1000, "seconds": dict.fromkeys(kinds, BASE)}
        write_json(plan.results / calibration.NAME, found)

    monkeypatch.setattr(calibration, "calibrate", calibrated)
    main(["plan", "--calibrate", "--device", "cpu"])
    text = capsys.readouterr().out
    assert "on Abacus on cpu, calibrated there" in text and "+" not in text.split("together")[1].split("\n")[0]
    assert "Longest chain of jobs: " in text and " hours, " in text


def test_counts_are_kept(plan, project, monkeypatch):
    params = replace(plan.params, outputs={"figure15": plan.params.outputs["figure15"]})
    small = Plan(params)
    first = Estimate(small).counts
    assert (small.results / cost.COUNTS).is_file()
    monkeypatch.setattr(cost, "count", None)  # not to be called again
    assert Estimate(small).counts == first
    job = next(iter(small.jobs))
    assert Estimate(small).operations(job) > 0


@pytest.mark.parametrize("text", ["{", '{"simplecnn 1 1 cifar10": {"forward": 1}}', '{"simplecnn 1 1 cifar10": 3}'])
def test_damaged_counts_are_counted_again(plan, project, text):
    small = Plan(replace(plan.params, outputs={"figure15": plan.params.outputs["figure15"]}))
    first = Estimate(small).counts
    whole = (small.results / cost.COUNTS).read_text()
    (small.results / cost.COUNTS).write_text(text)
    assert Estimate(small).counts == first
    assert (small.results / cost.COUNTS).read_text() == whole


def test_plan_without_options_needs_no_torch(project, tiny_text):
    (project / "params.yaml").write_text(tiny_text)
    code = "import sys; from catfish.cli import main; main(['plan']); print('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.splitlines()[-1] == "False"
