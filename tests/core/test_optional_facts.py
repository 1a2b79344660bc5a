"""A fact whose file system hangs is done without; one that is found in time is used."""

from __future__ import annotations

import threading

from carbon_core.optional_facts import OptionalFact


def test_a_fact_that_is_found_is_returned() -> None:
    assert OptionalFact(lambda: 7, "carbon-test").result(20.0, 0) == 7


def test_a_fact_that_cannot_be_found_in_time_is_replaced() -> None:
    released = threading.Event()
    fact = OptionalFact(lambda: released.wait(20), "carbon-test")
    assert fact.result(0.0, False) is False
    released.set()
    assert fact.result(20.0, False) is True


def test_a_fact_whose_search_fails_is_replaced() -> None:
    def fail() -> int:
        raise RecursionError

    assert OptionalFact(fail, "carbon-test").result(20.0, 0) == 0
