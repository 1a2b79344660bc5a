"""A thread of ours exists at most once, however many ask for it at the same time."""

from __future__ import annotations

import signal
import sys
import threading
import time

import pytest

from carbon_core.threads import LazyThread


def test_many_who_need_it_at_once_start_one() -> None:
    ran: list[str] = []
    go = threading.Barrier(8)
    thread = LazyThread(lambda: ran.append(threading.current_thread().name), "carbon-test")

    def need() -> None:
        go.wait()
        assert thread.start()

    needing = [threading.Thread(target=need) for _ in range(8)]
    for other in needing:
        other.start()
    for other in needing:
        other.join()
    assert thread.join(5)
    assert ran == ["carbon-test"]
    assert thread.exists
    assert not thread.alive


def test_before_it_is_needed_there_is_none() -> None:
    thread = LazyThread(lambda: None, "carbon-test")
    assert not thread.exists
    assert not thread.alive
    assert not thread.join(5)


def test_waiting_for_one_that_goes_on_ends_in_time() -> None:
    go_on = threading.Event()
    thread = LazyThread(go_on.wait, "carbon-test")
    thread.start()
    assert not thread.join(0.01)
    assert thread.alive
    go_on.set()
    assert thread.join(5)


def test_it_does_not_wait_for_itself() -> None:
    ended: list[bool] = []
    thread = LazyThread(lambda: ended.append(thread.join(5)), "carbon-test")
    thread.start()
    assert thread.join(5)
    assert ended == [False]


@pytest.mark.skipif(sys.platform == "win32", reason="interval timers of POSIX")
def test_handlers_may_start_and_join_it_while_it_starts() -> None:
    threads: list[LazyThread] = []

    def handler(*_: object) -> None:
        for thread in threads[-1:]:
            thread.start()
            thread.join(0.001)

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.001, 0.003)
    try:
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            threads.append(LazyThread(lambda: None, "carbon-test"))
            assert threads[-1].start()
            assert threads[-1].join(5)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(threads) > 10
