"""One output and what it has accepted: the sum of the parts is the run, whatever fails on the way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from core.outputs.conftest import report_of
from faults.lab import eventually, lab, said
from hypothesis import given
from hypothesis import strategies as st

from carbon_core.errors import OutputError
from carbon_core.outputs.base import Delivered
from carbon_core.outputs.delivery import Delivery
from carbon_core.records import Amounts
from carbon_core.testing import FakeClock

JOULES_PER_KWH = 3.6e6


class Listener:
    """An output that answers as it is told to, and adds up what it accepts.

    Args:
        answers: For each telling, what is done: ``ok``, ``raise`` or the share that is accepted.
    """

    remote_id = "theirs"

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.heard = Amounts()
        self.calls: list[str] = []

    def open(self, report: Any) -> None:
        self.calls.append("open")
        if self.answers and self.answers[0] == "refuse to open":
            self.answers.pop(0)
            raise OutputError("not yet")

    def update(self, report: Any, delta: Amounts) -> Amounts | None:
        self.calls.append("update")
        return self._answer(delta)

    def close(self, report: Any, delta: Amounts) -> Amounts | None:
        self.calls.append("close")
        return self._answer(delta)

    def _answer(self, delta: Amounts) -> Amounts | None:
        answer = self.answers.pop(0) if self.answers else "ok"
        if answer == "raise":
            raise RuntimeError("on purpose")
        if answer == "ok":
            self.heard = self.heard.plus(delta)
            return None
        part = Amounts(*(answer * amount for amount in delta))
        self.heard = self.heard.plus(part)
        return part


class Told:
    """A delivery to a listener, under a clock of its own."""

    def __init__(self, *answers: Any, **more: Any) -> None:
        self.output = Listener(*answers)
        self.clock = FakeClock()
        self.warnings: list[str] = []
        self.confirmed: list[Delivered] = []
        self.delivery = Delivery(
            "them",
            self.output,
            clock=self.clock,
            warn=self.warnings.append,
            confirm=self.confirmed.append,
            **more,
        )

    def tell(self, report: Any) -> None:
        self.delivery.submit_update(report, lambda job: job())


def at(kwh: float) -> Any:
    return report_of(kwh=kwh)


ANSWERS = st.lists(st.sampled_from(["ok", "raise", 0.0, 0.25, 1.0, "refuse to open"]), max_size=20)


@given(ANSWERS, st.lists(st.floats(0.0, 5.0), min_size=1, max_size=20))
def test_what_was_accepted_adds_up_to_the_run_whatever_fails(answers: Any, steps: Any) -> None:
    told, kwh = Told(*answers), 1.0
    for step in steps:
        kwh += step
        told.tell(at(kwh))
        told.clock.advance(4000)  # longer than any rest after a failure
    told.output.answers.clear()
    told.delivery.close(at(kwh))
    assert told.output.heard == pytest.approx(at(kwh).amounts)
    assert told.confirmed[-1].amounts == pytest.approx(at(kwh).amounts)


def test_a_failure_is_told_once_and_tried_again_after_a_rest() -> None:
    told = Told("raise", "raise")
    for _ in range(3):
        told.tell(at(1))
    assert told.output.calls == ["open", "update"]
    assert len(told.warnings) == 1
    assert "delivery to them failed: RuntimeError('on purpose')" in told.warnings[0]
    assert "carbon-callbacks resend" in told.warnings[0]
    told.clock.advance(61)
    told.tell(at(2))
    told.clock.advance(119)
    told.tell(at(2))
    assert told.output.calls.count("update") == 2
    told.clock.advance(2)
    told.tell(at(2))
    assert told.output.heard == pytest.approx(at(2).amounts)
    assert len(told.warnings) == 1


def test_the_end_is_told_even_soon_after_a_failure() -> None:
    told = Told("raise")
    told.tell(at(1))
    told.delivery.close(at(2))
    assert told.output.heard == pytest.approx(at(2).amounts)


def test_a_service_that_asked_for_patience_is_left_alone_even_at_the_end() -> None:
    told = Told()

    def refuse(*_: Any) -> None:
        raise OutputError("too many", retry_after_s=100)

    told.output.update = refuse  # type: ignore[method-assign]
    told.tell(at(1))
    told.delivery.close(at(2))
    assert "close" not in told.output.calls


def test_an_output_is_opened_once_and_again_only_after_it_refused() -> None:
    told = Told("refuse to open")
    told.tell(at(1))
    told.clock.advance(100)
    told.tell(at(2))
    told.delivery.close(at(3))
    assert told.output.calls == ["open", "open", "update", "close"]


def test_many_updates_for_an_output_that_is_slow_become_one() -> None:
    told = Told()
    jobs: list[Any] = []
    for kwh in (1, 2, 3):
        told.delivery.submit_update(at(kwh), jobs.append)
    assert len(jobs) == 1
    jobs[0]()
    assert told.output.heard == pytest.approx(at(3).amounts)


def test_after_it_was_given_up_nothing_is_told() -> None:
    told = Told()
    told.delivery.give_up()
    told.tell(at(1))
    told.delivery.close(at(1))
    assert told.output.calls == []


def flushed(told: Told, *kwhs: float) -> list[Any]:
    """Return the jobs of flushes at these totals."""
    jobs: list[Any] = []
    for kwh in kwhs:
        told.delivery.submit_flush(at(kwh), jobs.append)
    return jobs


def flushing(*answers: Any) -> tuple[Told, list[Amounts]]:
    """Return a delivery to an output with a method for flushes, and the deltas that this one got."""
    deltas: list[Amounts] = []

    def flush(_: Any, delta: Amounts) -> Amounts | None:
        deltas.append(delta)
        return told.output._answer(delta)

    told = Told(*answers, flush=flush)
    return told, deltas


def test_each_flush_is_delivered_on_its_own() -> None:
    told, deltas = flushing()
    for job in flushed(told, 1, 2, 4):
        job()
    steps = [at(1).amounts, *(at(b).amounts.minus(at(a).amounts) for a, b in ((1, 2), (2, 4)))]
    assert deltas == [pytest.approx(step) for step in steps]
    assert told.output.calls == ["open"]


def test_without_a_method_for_flushes_they_are_updates_and_many_become_one() -> None:
    told = Told()
    (job,) = flushed(told, 1, 2)
    job()
    assert told.output.calls == ["open", "update"]
    assert told.output.heard == pytest.approx(at(2).amounts)


def test_what_a_flush_did_not_deliver_comes_with_the_next() -> None:
    told, deltas = flushing("raise")
    first, second = flushed(told, 1, 2)
    first()
    told.clock.advance(61)
    second()
    assert deltas[-1] == pytest.approx(at(2).amounts)
    assert told.output.heard == pytest.approx(at(2).amounts)


def test_a_flush_after_the_end_delivers_nothing() -> None:
    told, deltas = flushing()
    (job,) = flushed(told, 1)
    told.delivery.close(at(1))
    job()
    assert deltas == []
    assert told.output.calls == ["open", "close"]


def test_an_update_that_is_due_at_the_end_comes_before_it_with_the_final_totals() -> None:
    told = Told()
    told.delivery.close(at(2), update_due=True)
    assert told.output.calls == ["open", "update", "close"]
    assert told.output.heard == pytest.approx(at(2).amounts)


def test_an_update_that_fails_at_the_end_leaves_all_to_the_end() -> None:
    told = Told("raise")
    told.delivery.close(at(2), update_due=True)
    assert told.output.calls == ["open", "update", "close"]
    assert told.output.heard == pytest.approx(at(2).amounts)


def test_what_it_had_accepted_before_is_not_told_again() -> None:
    before = Delivered("them", at(1).amounts, "theirs")
    told = Told(before=before)
    told.delivery.close(at(3))
    assert told.output.heard == pytest.approx(at(3).amounts.minus(at(1).amounts))
    assert told.confirmed == [before, Delivered("them", pytest.approx(at(3).amounts), "theirs")]


# --- within a run ---


def running(*listeners: Listener, **parts: Any) -> Any:
    def deliveries() -> list[Delivery]:
        return [
            Delivery(f"output {i}", one, clock=clock, warn=tracker.messages.warn)
            for i, one in enumerate(listeners)
        ]

    tracker, clock = lab(
        make_deliveries=lambda: deliveries(), heartbeat_s=1.0, live_every=2, **parts
    )
    return tracker, clock


def test_a_run_tells_its_outputs_on_the_way_and_at_its_end() -> None:
    listener = Listener()
    tracker, clock = running(listener)
    tracker.start()
    for second in range(1, 9):
        clock.advance(1.0)
        tracker.report()
        if second % 4 == 0:
            assert eventually(lambda: listener.heard.duration_s > 0)
    tracker.stop()
    assert listener.calls[0] == "open"
    assert listener.calls[-1] == "close"
    assert "update" in listener.calls
    assert listener.heard == pytest.approx(tracker.final_report.amounts)
    assert listener.heard.energy_kwh == pytest.approx(800.0 / JOULES_PER_KWH)


def test_one_output_that_fails_stops_no_other_and_not_the_figure() -> None:
    bad, good = Listener(*["raise"] * 50), Listener()
    tracker, clock = running(bad, good)
    tracker.start()
    clock.advance(10.0)
    assert tracker.stop() == pytest.approx(1000.0 / JOULES_PER_KWH)
    assert good.heard == pytest.approx(tracker.final_report.amounts)
    assert bad.heard == Amounts()
    assert len([line for line in said(tracker) if "delivery to output 0 failed" in line]) == 1


def test_a_flush_tells_them_at_once() -> None:
    listener = Listener()
    tracker, clock = running(listener)
    tracker.start()
    clock.advance(5.0)
    tracker.flush()
    assert eventually(lambda: listener.heard.energy_kwh > 0)
    tracker.stop()


def test_tasks_are_part_of_what_is_told() -> None:
    tracker, clock = lab()
    with tracker:
        for name in ("one", "two", "left open"):
            tracker.start_task(name)
            clock.advance(10.0)
            if name != "left open":
                tracker.stop_task(name)
    tasks = dict(tracker.final_report.tasks)
    assert list(tasks) == ["one", "two", "left open"]
    assert tasks["one"].energy_kwh.value == pytest.approx(1000.0 / JOULES_PER_KWH)
    assert tracker.final_report.energy_kwh.value == pytest.approx(3000.0 / JOULES_PER_KWH)


def test_a_price_that_is_revised_downwards_is_a_negative_delta() -> None:
    told = Told()
    told.tell(at(2))
    cheaper = at(2)
    prices = tuple(share._replace(grams=share.grams / 2) for share in cheaper.intensities)
    told.delivery.close(replace(cheaper, intensities=prices))
    assert told.output.heard.emissions_kg == pytest.approx(at(2).amounts.emissions_kg / 2)
