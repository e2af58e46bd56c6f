"""Data: raw files -> prepared arrays and a manifest -> split (who trains, who validates, with which labels).

Importing this package needs numpy only; scikit-learn, PIL and torchvision are imported where a data set is prepared.
"""

from catfish.datasets.errors import DataError
from catfish.datasets.preparation import prepare
from catfish.datasets.prepared import Prepared, load_prepared
from catfish.datasets.split import Split, load_split, make_split, write_split

__all__ = [
    "DataError",
    "Prepared",
    "Split",
    "load_prepared",
    "load_split",
    "make_split",
    "prepare",
    "write_split",
]
