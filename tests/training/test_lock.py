import json
import os
import socket
import subprocess
import sys

import pytest

from catfish.errors import RecordError
from catfish.processes import identity
from catfish.training import lock


def write(folder, host, process, age=0):
    path = folder / lock.NAME
    path.write_text(json.dumps({"host": host, "process": process}))
    os.utime(path, (path.stat().st_mtime - age,) * 2)


def test_a_folder_is_held_inside_the_block_and_free_after_it(tmp_path):
    for _ in range(2):
        with lock.held(tmp_path):
            assert json.loads((tmp_path / lock.NAME).read_text())["process"] == os.getpid()
        assert not list(tmp_path.iterdir())
    with pytest.raises(ZeroDivisionError), lock.held(tmp_path):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


def test_a_living_process_keeps_it(tmp_path):
    holder = rf"being trained by process {os.getpid()} on {socket.gethostname()}"
    with lock.held(tmp_path):
        with pytest.raises(RecordError, match=holder), lock.held(tmp_path):
            pass
        assert [file.name for file in tmp_path.iterdir()] == [lock.NAME]


def test_a_dead_process_loses_it(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    write(tmp_path, socket.gethostname(), ended.pid)
    with lock.held(tmp_path):
        assert json.loads((tmp_path / lock.NAME).read_text())["process"] == os.getpid()


def test_a_dead_process_loses_it_though_another_has_its_number_now(tmp_path):
    """After a restart of the machine or container, numbers come again."""
    (tmp_path / lock.NAME).write_text(json.dumps(identity() | {"began": "another boot 123"}))
    with lock.held(tmp_path):
        assert json.loads((tmp_path / lock.NAME).read_text()) == identity()


def test_of_two_that_find_a_dead_one_the_faster_gets_it(tmp_path, monkeypatch):
    write(tmp_path, "elsewhere", 1, age=lock.FORGOTTEN + 100)
    genuine = lock._holder

    def overtaken(path):
        monkeypatch.setattr(lock, "_holder", genuine)
        path.unlink()
        write(tmp_path, "elsewhere", 2)

    monkeypatch.setattr(lock, "_holder", overtaken)
    with pytest.raises(RecordError, match="process 2 on elsewhere"), lock.held(tmp_path):
        pass
    assert [file.name for file in tmp_path.iterdir()] == [lock.NAME]


def test_another_machine_keeps_it_as_long_as_it_gives_signs_of_life(tmp_path):
    write(tmp_path, "elsewhere", 1, age=lock.FORGOTTEN - 100)
    with (
        pytest.raises(RecordError, match=r"process 1 on elsewhere; wait for it, or delete .*run\.lock if"),
        lock.held(tmp_path),
    ):
        pass
    write(tmp_path, "elsewhere", 1, age=lock.FORGOTTEN + 100)
    with lock.held(tmp_path):
        pass


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_an_unreadable_lock_is_respected_for_a_while(tmp_path, content):
    path = tmp_path / lock.NAME
    path.write_text(content)
    with pytest.raises(RecordError, match="an unknown machine"), lock.held(tmp_path):
        pass
    os.utime(path, (0, 0))
    with lock.held(tmp_path):
        pass


def test_signs_of_life(tmp_path, monkeypatch):
    with lock.held(tmp_path) as sign:
        path = tmp_path / lock.NAME
        os.utime(path, (0, 0))
        sign()
        assert path.stat().st_mtime == 0
        monkeypatch.setattr(lock, "REFRESHED", -1)
        sign()
        assert path.stat().st_mtime > 0
