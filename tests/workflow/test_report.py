"""`snakemake --report`: what is in the page, and what a reader sees of it in a browser."""

import base64
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from catfish.config import load
from catfish.plan import Plan

BROWSER = Path(__file__).with_name("browser.py")
# Opens every entry of the contents as a reader does, and tells what is then on the screen.
READ = """
const moment = () => new Promise(done => setTimeout(done, 50));
const until = async condition => { for (let i = 0; i < 100 && !condition(); i++) await moment(); };
await until(() => document.querySelector('.prose a'));
const seen = [];
for (const title of [...document.querySelectorAll('.prose li a')].map(link => link.innerText)) {
    app.setView({navbarMode: 'menu', content: 'rulegraph'});
    await until(() => document.querySelector('.prose li a'));
    [...document.querySelectorAll('.prose li a')].find(link => link.innerText === title).click();
    const shown = () => document.querySelector('.p-3 > img') || document.querySelector('iframe');
    if (!title.includes('CSV'))  // which has a button for its download
        await until(() => shown() && (shown().complete || shown().tagName === 'IFRAME'));
    const result = shown();
    seen.push({title, source: result && result.src, width: result && result.naturalWidth,
               caption: [...document.querySelectorAll('.prose')].map(part => part.innerText).join(' ')});
}
const listed = {};
for (const category of Object.keys(categories)) {
    app.setView({navbarMode: 'menu', content: 'rulegraph'});
    await moment();
    app.showCategory(category);
    await until(() => document.querySelector('tbody'));
    listed[category] = [...document.querySelectorAll('tbody tr td:first-child')].map(cell => cell.innerText);
}
return {seen, listed};
"""


@pytest.fixture(scope="module")
def reported(finished, tmp_path_factory):
    """A copy of the finished campaign with its report."""
    project = type(finished)(tmp_path_factory.mktemp("reported") / "campaign")
    shutil.copytree(finished.folder, project.folder, symlinks=True)
    project.snakemake("--report", "report.html")
    return project


@pytest.fixture(scope="module")
def plan(reported):
    return Plan(load(reported.folder / "params.yaml"))


@pytest.fixture(scope="module")
def opened(reported):
    """What a browser shows of the report."""
    try:
        import PyQt6.QtWebEngineWidgets  # noqa: F401, PLC0415
    except ImportError as error:
        pytest.skip(f"no browser engine: {error}; pip install -r requirements-dev.txt")
    command = [sys.executable, str(BROWSER), str(reported.folder / "report.html"), READ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def variable(page: Path, name: str):
    """One of the JSON values that the report's scripts show."""
    script = re.search(rf'<script id="{name}">\s*var {name} = (.*);\s*</script>', page.read_text())
    return json.loads(script[1])


def content(address: str) -> bytes:
    return base64.b64decode(address.partition("base64,")[2])


def shown_files(plan):
    """Every output's file in the order of the contents: figures and tables by their numbers, then the claims."""
    endings = {"figure": "png", "table": "html"}
    names = [re.fullmatch(r"(figure|table)(\d+)", name).groups() for name in plan.params.outputs]
    in_order = sorted(names, key=lambda name: (name[0], int(name[1])))
    files = [*(f"{kind}{number}.{endings[kind]}" for kind, number in in_order), "claims.html"]
    return [plan.figures / file for file in files]


def test_every_output_is_embedded_with_its_caption(reported, plan):
    results = variable(reported.folder / "report.html", "results")
    extra = [plan.figures / name for name in ("overview.html", "runs.html", "runs.csv", "params.html")]
    assert set(results) == {str(path) for path in shown_files(plan) + extra}
    for path, result in results.items():
        assert content(result["data_uri"]) == (reported.folder / path).read_bytes(), path
        assert len(result["caption"]) > 50, path


def test_a_reader_finds_everything_in_the_papers_order(reported, plan, opened):
    assert not isinstance(opened["found"], str), opened["found"]
    seen = opened["found"]["seen"]
    paths = [plan.figures / "overview.html", *shown_files(plan)]
    for path, result in zip(paths, seen):
        assert content(result["source"]) == (reported.folder / path).read_bytes(), (path, result["title"])
        assert len(result["caption"]) > 50
        assert path.suffix == ".html" or result["width"] > 300
    assert [result["title"] for result in seen[len(paths) :]] == ["Every run", "Every run (CSV)", "Params"]


def test_the_menus_have_the_same_order(plan, opened):
    listed = opened["found"]["listed"]
    for category in ("2 Figures", "3 Tables"):
        numbers = [int(re.match(r"\w+ (\d+): ", title)[1]) for title in listed[category]]
        assert numbers == sorted(numbers) and len(set(numbers)) == len(numbers)
    assert len(listed["2 Figures"]) + len(listed["3 Tables"]) == len(plan.params.outputs)


def test_the_page_fetches_nothing(opened):
    assert opened["requested"] == []


def test_every_output_of_the_params_has_a_title_and_a_caption():
    root = Path(__file__).parents[2]
    folder = root / "workflow" / "report"
    outputs, titles = load(root / "params.yaml").outputs, yaml.safe_load((folder / "titles.yaml").read_text())
    assert [name for name in outputs if not (titles.get(name) and (folder / f"{name}.rst").is_file())] == []


def test_after_a_failure_the_report_shows_the_rest_and_names_what_failed(campaign):
    """A damaged selection lets one job fail; a figure is not there."""
    run = "results/tiny/runs/simplecnn_c10/fp/lr-small_coefficient-best/seed0"
    shutil.rmtree(campaign.folder / run)
    (campaign.folder / "results/tiny/select/simplecnn_c10/fp.json").write_text("damaged")
    (campaign.folder / "figures/tiny/figure3.png").unlink()
    (campaign.folder / "figures/tiny/figure3.csv").unlink()
    assert campaign.snakemake(f"{run}/run.json", check=False).returncode != 0
    runs = pd.read_csv(campaign.folder / "figures/tiny/runs.csv")
    failed = runs[runs["outcome"] == "failed"]
    assert failed["configuration"].tolist() == ["simplecnn_c10/fp/lr-small_coefficient-best"]
    assert "fp.json: not valid JSON" in failed["reason"].iloc[0]  # from the job's log
    campaign.snakemake("--report", "report.html")
    results = variable(campaign.folder / "report.html", "results")
    assert "figures/tiny/figure3.png" not in results and "figures/tiny/figure1.png" in results
    overview = content(results["figures/tiny/overview.html"]["data_uri"]).decode()
    assert "seed 0: not finished; logs/tiny/train/" in overview and "<li>figure3</li>" in overview
