import threading
import time

import pytest

from catfish.datasets.ahead import ahead


def test_results_keep_the_order_of_the_items():
    def slow(item):
        time.sleep(0.01 * (item % 3))
        return item * item

    assert list(ahead(slow, range(20), threads=4, waiting=6)) == [item * item for item in range(20)]


def test_no_more_than_asked_is_made_in_advance():
    taken = []

    def items():
        for item in range(10):
            taken.append(item)
            yield item

    results = ahead(lambda item: item, items(), threads=2, waiting=3)
    assert next(results) == 0
    assert taken == [0, 1, 2]
    assert list(results) == list(range(1, 10))


def test_an_error_comes_in_its_place_and_ends_the_threads():
    def fails(item):
        if item == 2:
            raise KeyError(item)
        return item

    threads = threading.active_count()
    results = ahead(fails, range(9), threads=2, waiting=4)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(KeyError):
        next(results)
    assert threading.active_count() == threads


def test_a_caller_that_stops_early_leaves_no_thread():
    threads = threading.active_count()
    results = ahead(lambda item: item, range(100), threads=3, waiting=5)
    next(results)
    results.close()
    assert threading.active_count() == threads
