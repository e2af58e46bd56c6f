"""Downloads that appear complete or not at all."""

import http.client
import shutil
import urllib.request
from pathlib import Path
from typing import BinaryIO

from catfish.datasets.errors import DataError
from catfish.files import checksum, replacing

TIMEOUT = 15  # seconds without an answer after which a machine counts as offline


def fetch(url: str, path: Path, md5: str, cure: str) -> None:
    """Download `url` into `path`, which appears only when its md5 is the published one.

    Raises DataError, ending in `cure`, when the place cannot be reached or sends something else.
    """
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response, replacing(path) as file:
            _copy(response, file, path.name)
            file.flush()
            found = checksum(Path(file.name), "md5")
            if found != md5:
                raise DataError(f"{url}: the download has md5 {found}, not the published {md5}; {cure}")
    except (OSError, http.client.HTTPException) as error:  # URLError is an OSError
        raise DataError(f"{path}: could not be downloaded from {url} ({error}); {cure}") from error


def _copy(response, file: BinaryIO, name: str) -> None:
    from tqdm import tqdm

    size = response.headers.get("Content-Length")
    total = int(size) if size else None
    with tqdm.wrapattr(response, "read", total=total, desc=name, disable=None) as body:
        shutil.copyfileobj(body, file, 1 << 20)
