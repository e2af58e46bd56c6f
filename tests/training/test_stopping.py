import signal

import pytest

from catfish.training import stopping


def test_signals_of_one_request_are_noted_and_nothing_ends():
    """Slurm and the programs between it and the training may each send one."""
    before = signal.getsignal(signal.SIGTERM)
    with stopping.noticed() as asked:
        assert not asked()
        for _ in range(3):
            signal.raise_signal(signal.SIGTERM)
            assert asked()
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_later_signal_has_its_usual_effect(monkeypatch):
    monkeypatch.setattr(stopping, "SAME_REQUEST", 0.0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), stopping.noticed() as asked:
            signal.raise_signal(signal.SIGINT)
            assert asked()
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
