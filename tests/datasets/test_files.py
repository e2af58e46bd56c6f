import hashlib

import pytest

from catfish.datasets import DataError
from catfish.datasets.download import fetch
from catfish.files import checksum, copy, replacing


def test_a_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(RuntimeError), replacing(path) as file:
        file.write(b"half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_copy_is_whole_or_not_there(tmp_path, monkeypatch):
    (tmp_path / "a").write_bytes(b"content")
    copy(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b").read_bytes() == b"content"

    def cut(source, target):
        target.write(source.read(3))
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("catfish.files.shutil.copyfileobj", cut)
    with pytest.raises(OSError, match="No space"):
        copy(tmp_path / "a", tmp_path / "c")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_fetch(tmp_path):
    (tmp_path / "server").write_bytes(b"content")
    md5 = hashlib.md5(b"content").hexdigest()
    fetch((tmp_path / "server").as_uri(), tmp_path / "new" / "file", md5, "cure")
    assert checksum(tmp_path / "new" / "file", "md5") == md5


def test_fetch_refuses_other_content(tmp_path):
    (tmp_path / "server").write_bytes(b"content")
    with pytest.raises(DataError, match="not the published 0123; the cure"):
        fetch((tmp_path / "server").as_uri(), tmp_path / "file", "0123", "the cure")
    assert not (tmp_path / "file").exists()


def test_fetch_offline(tmp_path):
    with pytest.raises(DataError, match=r"file: could not be downloaded from http.*; the cure"):
        fetch("http://127.0.0.1:9/", tmp_path / "file", "0123", "the cure")
