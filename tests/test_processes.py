import json
import os
import subprocess
import sys

import pytest

from catfish.processes import identity, is_alive


def test_this_process_lives():
    record = json.loads(json.dumps(identity()))
    assert record["process"] == os.getpid() and is_alive(record)


def test_an_ended_process_is_dead():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    record = identity() | {"process": process.pid, "began": None}
    assert is_alive(record)
    process.communicate(b"\n")
    assert not is_alive(record)


@pytest.mark.skipif(identity()["began"] is None, reason="/proc does not tell when a process began")
def test_another_process_with_the_same_number_is_not_it():
    assert not is_alive(identity() | {"began": "another boot 1"})


def test_nobody_knows_of_another_machine():
    assert is_alive(identity() | {"host": "elsewhere"}) is None
