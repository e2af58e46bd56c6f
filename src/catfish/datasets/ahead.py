"""Work in threads, results in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def ahead(function: Callable[[Item], Result], items: Iterable[Item], threads: int, waiting: int) -> Iterator[Result]:
    """function(item) of every item, in their order, computed in threads while earlier results are used.

    At most `waiting` results are ready or being made, so memory stays bounded. An error of `function` is raised where
    that item's result would have come.
    """
    with ThreadPoolExecutor(threads) as pool:
        queue: deque = deque()
        try:
            for item in items:
                queue.append(pool.submit(function, item))
                if len(queue) == waiting:
                    yield queue.popleft().result()
            while queue:
                yield queue.popleft().result()
        finally:
            for future in queue:  # after an error, or where the caller stops early
                future.cancel()
