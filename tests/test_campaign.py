import json
from pathlib import Path

import pytest

from catfish import campaign
from catfish.processes import identity


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder that Snakemake has locked, as the current one."""
    monkeypatch.chdir(tmp_path)
    campaign.LOCKS.mkdir(parents=True)
    (campaign.LOCKS / "0.output.lock").touch()


def begun(**changes):
    campaign.begin("tiny")
    campaign.RECORD.write_text(json.dumps(json.loads(campaign.RECORD.read_text()) | changes))


def test_a_campaign_that_goes_on_is_named_until_it_ends():
    assert campaign.holder() is None
    campaign.begin("tiny")
    this = identity()
    expected = f"the campaign of the scale tiny that process {this['process']} on {this['host']} began here at 2"
    assert campaign.holder().startswith(expected)
    assert campaign.holder().endswith(f" goes on; wait for it, or end it with: kill -INT {this['process']}")
    campaign.end()
    assert campaign.holder() is None and not campaign.RECORD.exists()
    campaign.end()


def test_without_a_lock_of_snakemake_nothing_is_said():
    campaign.begin("tiny")
    for path in campaign.LOCKS.iterdir():
        path.unlink()
    assert campaign.holder() is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"process": 2**22 + 1}, "was killed; say `snakemake --unlock` once"),
        ({"began": "another boot 1"}, "was killed; say `snakemake --unlock` once"),
        ({"host": "elsewhere"}, "on elsewhere began here"),
        ({"host": "elsewhere"}, "if that process is gone, say `snakemake --unlock` once"),
    ],
)
def test_a_campaign_that_does_not_run_here(changes, words):
    begun(**changes)
    assert words in campaign.holder()


def test_the_record_of_another_campaign_is_not_taken_back():
    begun(host="elsewhere")
    campaign.end()
    assert campaign.RECORD.exists()


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"host": 3}'])
def test_a_damaged_record_says_nothing(content):
    Path("logs").mkdir()
    campaign.RECORD.write_text(content)
    campaign.end()
    assert campaign.holder() is None
