"""Files that appear complete or not at all, and their checksums."""

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary neighbour of `path` for writing; it takes that name only when the block succeeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def copy(source: Path, target: Path) -> None:
    """Copy a file; the copy takes its name when all of it is there."""
    with open(source, "rb") as original, replacing(target) as file:
        shutil.copyfileobj(original, file)


def checksum(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file; `algorithm` is a name that hashlib knows, such as md5 or sha256."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
