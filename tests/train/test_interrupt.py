"""Signals as requests: the first is noted, the second acts, and the handlers come back."""

import signal

import pytest

from wfm_jax.train.interrupt import EXIT_CODES, Stopped, StopRequest


@pytest.fixture
def heard():
    """Stands in for what the shell's user has installed; restored afterwards."""
    received = []
    before = {s: signal.signal(s, lambda n, _: received.append(n)) for s in EXIT_CODES}
    yield received
    for signum, handler in before.items():
        signal.signal(signum, handler)


@pytest.mark.parametrize("signum, code", [(signal.SIGINT, 130), (signal.SIGTERM, 75)])
def test_the_first_signal_is_noted(heard, signum, code):
    with StopRequest() as stop:
        stop.raise_if_asked()
        assert stop.signum is None
        signal.raise_signal(signum)
        assert stop.signum == signum
        assert heard == []
        with pytest.raises(Stopped, match=signal.Signals(signum).name) as stopped:
            stop.raise_if_asked()
    assert stopped.value.exit_code == code


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_has_its_usual_effect(heard, second):
    with StopRequest() as stop:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(second)
        assert heard == [second]
        assert stop.signum == signal.SIGINT


def test_a_second_interrupt_is_pythons_own():
    # A shell ignores SIGINT on behalf of what it starts in the background.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with StopRequest():
            signal.raise_signal(signal.SIGINT)
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("asked", [False, True])
def test_handlers_are_restored(asked):
    before = {s: signal.getsignal(s) for s in EXIT_CODES}
    with StopRequest():
        assert all(signal.getsignal(s) != handler for s, handler in before.items())
        if asked:
            signal.raise_signal(signal.SIGTERM)
    assert {s: signal.getsignal(s) for s in EXIT_CODES} == before


def test_handlers_are_restored_after_an_error():
    before = {s: signal.getsignal(s) for s in EXIT_CODES}
    with pytest.raises(RuntimeError), StopRequest():
        raise RuntimeError
    assert {s: signal.getsignal(s) for s in EXIT_CODES} == before


def test_a_request_that_was_never_entered_asks_for_nothing():
    StopRequest().raise_if_asked()
