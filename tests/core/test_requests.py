"""Requests of a program that serves: what each consumed, on a machine whose joules are known."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import gc
import itertools
import json
import math
import os
import pickle
import random
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from faults.lab import JOULES_PER_KWH, LabTracker, said, steady

from carbon_core.clock import SystemClock
from carbon_core.ledger.requests import RequestLedger
from carbon_core.outputs import journal, receipt, receipt_reading
from carbon_core.outputs.run_directory import RunDirectory
from carbon_core.records import Energy, Estimate, Snapshot
from carbon_core.request_totals import RequestTotals, totals_of
from carbon_core.testing import FakeClock, FakeMeter, fake_device
from carbon_core.tracker import run as run_module

S = 1_000_000_000


class Server:
    """A machine whose power a test sets, and a tracker on it.

    Args:
        **parts: Parts of every run.
    """

    def __init__(self, **parts: Any) -> None:
        self.clock = FakeClock()
        self._since_s = self._now_s
        self._joules = self._watts = 0.0
        parts = {"start_patience_s": 10.0, **parts}
        self.tracker = LabTracker(
            self.clock, lambda: [FakeMeter(self.clock, lambda t_s: self.value(t_s))], **parts
        )

    @property
    def _now_s(self) -> float:
        return self.clock.monotonic_ns() / 1e9

    def value(self, t_s: float) -> float:
        return self._joules + self._watts * (t_s - self._since_s)

    def work(self, seconds: float, watts: float) -> None:
        """Let time pass at a power; the meters are read before and after, as on a real machine."""
        self.tracker.report()
        self._joules, self._since_s = self.value(self._now_s), self._now_s
        self._watts = watts
        self.clock.advance(seconds)
        self.tracker.report()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    # A busy test machine must not turn an exact figure into an extrapolated one.
    monkeypatch.setattr(run_module, "PATIENCE_S", 10.0)
    one = Server()
    one.tracker.start()
    yield one
    one.tracker.stop()


def joules(estimate: Estimate | None) -> float:
    assert estimate is not None
    assert estimate.low <= estimate.value <= estimate.high
    return estimate.value * JOULES_PER_KWH


def everything(tracker: LabTracker) -> float:
    """Return the joules of all counters and of the idle time."""
    report = tracker.report()
    assert report is not None
    totals = totals_of(report)
    parts = [
        one for each in totals for one in (each.energy_kwh, each.failed_kwh, each.unfinished_kwh)
    ]
    return sum(map(joules, [*parts, totals[0].idle_kwh]))


# --- one after the other -------------------------------------------------------------------------


def test_requests_and_the_time_between_them_have_their_own_energy(server: Server) -> None:
    server.work(5, 77)  # before counting
    requests = server.tracker.requests()
    server.work(10, 50)
    with requests.request(tokens=8):
        server.work(4, 400)
    server.work(6, 50)
    with requests.request() as request:
        server.work(1, 200)
        request.tokens = 2
    totals = requests.totals()
    assert (totals.completed, totals.failed, totals.unfinished, totals.tokens) == (2, 0, 0, 10)
    assert joules(totals.energy_kwh) == pytest.approx(1800)
    assert joules(totals.per_request_kwh) == pytest.approx(900)
    assert joules(totals.per_token_kwh) == pytest.approx(180)
    assert joules(totals.idle_kwh) == pytest.approx(800)
    assert (totals.idle_s, totals.duration_s) == (pytest.approx(16), pytest.approx(21))
    assert request.energy_kwh * JOULES_PER_KWH == pytest.approx(200)
    assert everything(server.tracker) == pytest.approx(2600, rel=1e-12)


def test_a_counter_without_a_request_has_idle_time_only(server: Server) -> None:
    requests = server.tracker.requests("mine")
    server.work(10, 50)
    totals = requests.totals()
    assert (totals.name, totals.completed) == ("mine", 0)
    assert (totals.per_request_kwh, totals.per_token_kwh) == (None, None)
    assert joules(totals.energy_kwh) == 0
    assert joules(totals.idle_kwh) == pytest.approx(500)


def test_a_request_that_is_open_has_its_energy_so_far(server: Server) -> None:
    requests = server.tracker.requests()
    with requests.request():
        server.work(2, 100)
    request = requests.request(tokens=5)
    server.work(3, 100)
    totals = requests.totals()
    assert (totals.completed, totals.unfinished, totals.tokens) == (1, 1, 0)
    assert joules(totals.unfinished_kwh) == pytest.approx(300)
    assert joules(totals.per_request_kwh) == pytest.approx(200)
    assert math.isnan(request.energy_kwh)
    request.end(tokens=2)
    request.end(tokens=100, failed=True)  # too late
    totals = requests.totals()
    assert (totals.completed, totals.unfinished, totals.tokens) == (2, 0, 7)
    assert joules(totals.energy_kwh) == pytest.approx(500)


def test_a_failed_request_is_counted_apart_and_its_exception_raised(server: Server) -> None:
    requests = server.tracker.requests()
    with requests.request(tokens=1):
        server.work(1, 100)
    for error in (ValueError("bad"), KeyboardInterrupt(), asyncio.CancelledError()):
        with pytest.raises(type(error)) as raised, requests.request(tokens=3):
            server.work(2, 100)
            raise error
        assert raised.value is error
    totals = requests.totals()
    assert (totals.completed, totals.failed, totals.tokens) == (1, 3, 1)
    assert joules(totals.energy_kwh) == pytest.approx(100)
    assert joules(totals.failed_kwh) == pytest.approx(600)
    assert everything(server.tracker) == pytest.approx(700)


def test_a_request_that_is_dropped_without_an_end_has_failed(server: Server) -> None:
    requests = server.tracker.requests()
    request = requests.request()
    server.work(1, 100)
    del request
    gc.collect()
    server.work(5, 10)
    totals = requests.totals()
    assert (totals.failed, totals.unfinished) == (1, 0)
    assert (joules(totals.failed_kwh), joules(totals.idle_kwh)) == pytest.approx((100, 50))


# --- at the same time ----------------------------------------------------------------------------


def test_requests_that_overlap_share_the_time_equally_and_no_more(server: Server) -> None:
    requests = server.tracker.requests()
    first = requests.request()
    server.work(3, 100)
    second = requests.request()
    server.work(1, 200)
    first.end()
    server.work(6, 300)
    second.end()
    server.work(1, 40)
    found = [one.energy_kwh * JOULES_PER_KWH for one in (first, second)]
    assert found == pytest.approx([300 + 100, 100 + 1800])
    assert joules(requests.totals().energy_kwh) == pytest.approx(2300)
    assert everything(server.tracker) == pytest.approx(2340)


def test_a_batch_has_the_share_of_as_many_requests(server: Server) -> None:
    requests = server.tracker.requests()
    batch, single = requests.request(n=3), requests.request()
    server.work(2, 100)
    batch.end(tokens=30)
    single.end(tokens=1)
    found = [one.energy_kwh * JOULES_PER_KWH for one in (batch, single)]
    assert found == pytest.approx([150, 50])
    totals = requests.totals()
    assert (totals.completed, totals.tokens) == (4, 31)
    assert joules(totals.per_request_kwh) == pytest.approx(50)


def test_several_counters_share_the_same_time_and_one_name_is_one_counter(server: Server) -> None:
    chat, embed = server.tracker.requests("chat"), server.tracker.requests("embed")
    with chat.request(tokens=4):
        server.work(1, 100)
        with embed.request(), server.tracker.requests("chat").request():
            server.work(3, 90)
    server.work(2, 10)
    found = {one.name: one for one in totals_of(server.tracker.report())}  # type: ignore[arg-type]
    assert joules(found["chat"].energy_kwh) == pytest.approx(100 + 180)
    assert joules(found["embed"].energy_kwh) == pytest.approx(90)
    assert (found["chat"].completed, found["embed"].completed) == (2, 1)
    assert found["chat"].idle_kwh == found["embed"].idle_kwh == chat.totals().idle_kwh
    assert everything(server.tracker) == pytest.approx(390)


def test_tasks_of_an_event_loop_share_the_time(server: Server) -> None:
    requests = server.tracker.requests()

    async def serve(begin: asyncio.Event, end: asyncio.Event) -> float:
        await begin.wait()
        with requests.request(tokens=1) as request:
            await end.wait()
        return request.energy_kwh * JOULES_PER_KWH

    async def program() -> list[float]:
        events = [asyncio.Event() for _ in range(4)]
        tasks = [
            asyncio.ensure_future(serve(events[0], events[2])),
            asyncio.ensure_future(serve(events[1], events[3])),
        ]
        for event in events:
            event.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            server.work(1, 100)
        return [await task for task in tasks]

    assert asyncio.run(program()) == pytest.approx([150, 150])
    assert joules(requests.totals().idle_kwh) == pytest.approx(100)


def test_threads_lose_no_request_and_no_joule() -> None:
    clock = SystemClock()
    tracker = LabTracker(clock, lambda: [steady(clock, 100.0)])
    with tracker:
        counters = [tracker.requests(name) for name in ("a", "b")]
        ready = threading.Barrier(8)

        def serve(counter: Any) -> None:
            ready.wait()
            for _ in range(250):
                with counter.request(tokens=2):
                    pass

        threads = [threading.Thread(target=serve, args=(counters[i % 2],)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    found = [counter.totals() for counter in counters]
    assert [(one.completed, one.tokens, one.unfinished) for one in found] == [(1000, 2000, 0)] * 2
    report = tracker.final_report
    assert report is not None
    assert report.requests is not None
    assert everything(tracker) == pytest.approx(100 * report.requests.duration_s, rel=1e-6)


# --- without a block for each --------------------------------------------------------------------


def test_requests_that_are_done_have_the_time_since_the_last_one(server: Server) -> None:
    requests = server.tracker.requests()
    server.work(2, 100)
    requests.done(4, tokens=40)
    server.work(1, 50)
    requests.done(tokens=5)
    server.work(8, 10)
    requests.idle()
    server.work(1, 300)
    requests.done()
    server.work(3, 10)
    totals = requests.totals()
    assert (totals.completed, totals.tokens) == (6, 45)
    assert joules(totals.energy_kwh) == pytest.approx(200 + 50 + 300)
    assert joules(totals.idle_kwh) == pytest.approx(80 + 30)


def test_requests_that_are_done_within_a_block_have_its_time(server: Server) -> None:
    requests = server.tracker.requests()
    with requests.request(n=0) as steps:
        server.work(2, 100)
        requests.done(2, tokens=20)
        totals = requests.totals()
        assert (totals.completed, totals.unfinished) == (2, 0)
        assert joules(totals.per_request_kwh) == pytest.approx(100)
        server.work(2, 50)
        requests.done()
        steps.tokens = 3
    server.work(5, 10)
    totals = requests.totals()
    assert (totals.completed, totals.tokens) == (3, 23)
    assert joules(totals.per_request_kwh) == pytest.approx(100)
    assert joules(totals.idle_kwh) == pytest.approx(50)


# --- the end of a run ----------------------------------------------------------------------------


def test_a_request_that_is_open_at_the_end_is_unfinished_and_may_end_later(server: Server) -> None:
    requests = server.tracker.requests()
    with requests.request():
        server.work(1, 100)
    with requests.request(tokens=9) as request:
        server.work(2, 100)
        server.tracker.stop()
        server.clock.advance(100)
    totals = requests.totals()
    assert (totals.completed, totals.unfinished, totals.tokens) == (1, 1, 0)
    assert joules(totals.unfinished_kwh) == pytest.approx(200)
    assert everything(server.tracker) == pytest.approx(300)
    assert math.isnan(request.energy_kwh)
    with requests.request():
        requests.done()
        requests.idle()
    assert requests.totals() == totals


def test_a_counter_keeps_to_its_own_run(server: Server) -> None:
    first = server.tracker.requests()
    with first.request():
        server.work(1, 100)
    server.tracker.stop()
    server.tracker.start()
    second = server.tracker.requests()
    with first.request(), second.request():
        server.work(3, 100)
    assert joules(first.totals().energy_kwh) == pytest.approx(100)
    assert joules(second.totals().energy_kwh) == pytest.approx(300)


def test_without_a_run_nothing_is_counted_and_one_line_says_so() -> None:
    tracker = Server().tracker
    for _ in range(3):
        requests = tracker.requests()
        with requests.request(n=-3, tokens="many") as request:  # type: ignore[arg-type]
            requests.done()
            requests.idle()
        assert math.isnan(request.energy_kwh)
        assert requests.totals() == RequestTotals("requests")
    assert said(tracker) == ["requests() needs a running tracker: nothing is counted"]


def test_what_no_meter_read_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    with LabTracker(clock, lambda: [FakeMeter(clock, lambda t_s: None)]) as tracker:
        requests = tracker.requests()
        with requests.request(tokens=1):
            clock.advance(5)
        totals = requests.totals()
    assert (totals.completed, totals.tokens) == (1, 1)
    assert (totals.energy_kwh, totals.per_request_kwh, totals.idle_kwh) == (None, None, None)
    report = tracker.final_report
    assert report is not None
    data = receipt.receipt(report)["requests"]
    assert data["counters"][0]["energy_per_request_kwh"] is None


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))]
)
def test_a_copy_counts_nothing(copied: Any, server: Server) -> None:
    requests = server.tracker.requests()
    with copied(requests).request():
        server.work(1, 100)
    assert requests.totals().completed == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_counts_nothing(server: Server) -> None:
    requests = server.tracker.requests()
    with requests.request():
        server.work(1, 100)
        child = os.fork()
        if child == 0:
            with requests.request():
                requests.done()
            os._exit(0 if requests.totals() == RequestTotals("requests") else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert requests.totals().completed == 1


def test_an_exception_that_left_the_lock_closed_costs_no_request(server: Server) -> None:
    requests = server.tracker.requests()
    assert server.tracker._run is not None
    shared = server.tracker._run.requests
    assert shared is not None
    shared._applying.acquire()
    with requests.request():
        server.clock.advance(2)
    server.tracker.report()
    server.work(3, 100)
    with requests.request():
        server.work(1, 100)
    totals = requests.totals()
    assert (totals.completed, totals.unfinished) == (2, 0)
    assert joules(totals.energy_kwh) == pytest.approx(100)
    assert joules(totals.idle_kwh) == pytest.approx(300)


class Alarm(Exception):
    """What a signal handler of the program raises."""


def test_a_request_that_a_signal_handler_interrupts_leaves_none_open(server: Server) -> None:
    """At each line that a request runs, the handler raises: the program's exception, and no other."""
    requests = server.tracker.requests()
    shared = server.tracker._run.requests  # type: ignore[union-attr]
    assert shared is not None
    owned = ("request_counter.py", "requests.py")
    lines: list[tuple[str, int]] = []

    def serve() -> None:
        with requests.request():
            pass

    def in_del(frame: Any) -> bool:
        """Whether a frame belongs to a finalizer, whose exceptions Python does not raise."""
        while frame is not None and frame.f_code.co_name != "__del__":
            frame = frame.f_back
        return frame is not None

    def traced(act: Any) -> Any:
        def trace(frame: Any, event: str, argument: Any) -> Any:
            if not frame.f_code.co_filename.endswith(owned) or in_del(frame):
                return None
            if event == "line":
                act((frame.f_code.co_filename, frame.f_lineno))
            return trace

        return trace

    sys.settrace(traced(lines.append))
    serve()
    sys.settrace(None)
    assert len(lines) > 30
    for number in range(len(lines)):
        passed = itertools.count()

        def handler(line: Any, passed: Any = passed, number: int = number) -> None:
            if next(passed) == number:
                raise Alarm

        sys.settrace(traced(handler))
        with contextlib.suppress(Alarm):
            serve()
        sys.settrace(None)
    # A request whose end was interrupted may be open; no later one has less than its share.
    server.work(1, 100)
    with requests.request() as request:
        server.work(3, 100)
    totals = requests.totals()
    assert totals.completed + totals.failed + totals.unfinished >= len(lines) / 2
    assert totals.unfinished <= 3
    assert request.energy_kwh * JOULES_PER_KWH <= 300 * (1 + 1e-9)


# --- invalid values ------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [-1, "many", None, math.nan, math.inf, [1], object()])
def test_an_invalid_number_of_tokens_is_a_warning_and_no_exception(
    value: Any, server: Server
) -> None:
    requests = server.tracker.requests()
    with requests.request(tokens=value):
        server.work(1, 100)
    with requests.request() as request:
        request.tokens = value
        server.work(1, 100)
    requests.done(tokens=value)
    requests.done(n=value)
    totals = requests.totals()
    assert (totals.completed, totals.tokens) == (4, 0)
    lines = [line for line in said(server.tracker) if "must be a number of at least 0" in line]
    assert len(lines) == 2
    assert lines[0].startswith("n of a request must be")


def test_numbers_of_other_types_are_accepted(server: Server) -> None:
    class Scalar:
        def __int__(self) -> int:
            return 7

    requests = server.tracker.requests()
    requests.done(tokens=Scalar())  # type: ignore[arg-type]
    requests.done(tokens=2.0)  # type: ignore[arg-type]
    assert requests.totals().tokens == 9


def test_counters_beyond_the_most_are_one(server: Server) -> None:
    for number in range(70):
        with server.tracker.requests(f"user {number}").request():
            pass
    report = server.tracker.report()
    assert report is not None
    totals = totals_of(report)
    assert len(totals) == 65
    assert (totals[-1].name, totals[-1].completed) == ("(other)", 6)


# --- memory and cost -----------------------------------------------------------------------------


def test_thousands_of_requests_do_not_grow_memory(server: Server) -> None:
    requests = server.tracker.requests()

    def serve(count: int) -> None:
        for _ in range(count):
            with requests.request(tokens=1):
                server.clock.advance(0.01)
            server.clock.advance(0.01)

    serve(7000)
    requests.totals()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        serve(5000)
        requests.totals()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 100_000
    assert requests.totals().completed == 12_000


def test_a_request_reads_no_meter_while_others_are_frequent(server: Server) -> None:
    requests = server.tracker.requests()
    marks = []
    sampler = server.tracker._run._sampler  # type: ignore[union-attr]
    real, sampler.mark = sampler.mark, lambda mark: (marks.append(mark), real(mark))
    for _ in range(1000):
        with requests.request():
            server.clock.advance(0.001)
    sampler.mark = real
    # A burst of twenty, and twenty for each of the seconds.
    assert len(marks) <= 20 + 20 * 1.0 + 1


# --- uncertainty ---------------------------------------------------------------------------------


def test_short_requests_between_which_nothing_is_read_have_a_wide_interval(server: Server) -> None:
    """Busy at 400 W for a tenth of the time, else idle at 50 W: time alone gives them a tenth."""
    requests = server.tracker.requests()
    server.tracker.report()
    truth = 0.0
    for _ in range(2000):
        with requests.request():
            server._joules += 0.4
            server._since_s += 0.001
            server.clock.advance(0.001)
        server._joules += 0.45
        server._since_s += 0.009
        server.clock.advance(0.009)
        truth += 0.4
    totals = requests.totals()
    assert totals.energy_kwh is not None
    low, high = (end * JOULES_PER_KWH for end in totals.energy_kwh[1:])
    assert low < truth < high
    assert joules(totals.energy_kwh) < truth


def test_long_requests_have_about_the_interval_of_the_meter(server: Server) -> None:
    requests = server.tracker.requests()
    for _ in range(10):
        with requests.request():
            server.work(60, 400)
        server.work(60, 50)
    per_request = requests.totals().per_request_kwh
    assert per_request is not None
    assert per_request.high / per_request.value < 1.15


# --- any schedule --------------------------------------------------------------------------------


class Truth:
    """The energy of each request, by definition: at each instant, equally among those that are open."""

    def __init__(self) -> None:
        self.open: set[int] = set()
        self.of: dict[int, float] = {}
        self.idle = self.total = 0.0

    def pass_time(self, energy_j: float) -> None:
        self.total += energy_j
        if not self.open:
            self.idle += energy_j
        for one in self.open:
            self.of[one] = self.of.get(one, 0.0) + energy_j / len(self.open)


@pytest.mark.parametrize("seed", range(20))
def test_any_schedule_adds_up_to_the_joules_of_the_machine(seed: int) -> None:
    """Readings at the events or between them, more than are kept apart: each request has its share."""
    rng = random.Random(seed)
    device = (fake_device(),)
    now, energy_j, watts = 0, 0.0, 100.0

    def reading() -> Snapshot:
        return Snapshot(now, device, (Energy(energy_j),))

    ledger, truth = RequestLedger(reading()), Truth()
    ended = []
    numbers = itertools.count()
    begin_ns = 200 * S if rng.random() < 0.5 else S
    for _ in range(rng.choice([20, 700])):
        span_ns = rng.randrange(1, begin_ns)
        now += span_ns
        energy_j += watts * span_ns / S
        truth.pass_time(watts * span_ns / S)
        if truth.open and rng.random() < 0.5:
            number = rng.choice(sorted(truth.open))
            truth.open.remove(number)
            outcome = rng.choice(["completed", "failed"])
            ended.append((number, outcome, ledger.close(now, number, outcome, 1)))  # type: ignore[arg-type]
        elif rng.random() < 0.8:
            number = next(numbers)
            truth.open.add(number)
            ledger.open(now, number, "a", 1)
        else:
            ledger.rest(now)
        if rng.random() < 0.6 and ledger.make_room(now, lambda a, b: b - a, lambda one: True):  # type: ignore[operator, arg-type, return-value]
            ledger.split(reading())
            watts = rng.uniform(0, 500)
    division = ledger.divided(reading(), lambda a, b: b - a)  # type: ignore[operator, arg-type, return-value]
    for outcome in ("completed", "failed"):
        numbers_of = [number for number, how, _ in ended if how == outcome]
        expected = sum(truth.of.get(number, 0.0) for number in numbers_of)
        assert division.joules["a", outcome] == pytest.approx(expected, rel=1e-9, abs=1e-6)  # type: ignore[index]
    unfinished = sum(truth.of.get(number, 0.0) for number in truth.open)
    assert division.joules["a", "open"] == pytest.approx(unfinished, rel=1e-9, abs=1e-6)
    busy_j = sum(energy.joules for energy in division.busy.values())
    assert busy_j + truth.idle == pytest.approx(truth.total, rel=1e-9)
    for number, _, points in ended[-5:]:
        assert points is not None
        found = ledger.joules_between(*points[:2], reading(), lambda a, b: b - a)  # type: ignore[operator, arg-type, return-value]
        assert found == pytest.approx(truth.of.get(number, 0.0), rel=1e-9, abs=1e-6)


def test_a_device_that_is_found_late_counts_for_the_requests_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(run_module, "PATIENCE_S", 10.0)
    clock = FakeClock()
    begun_s = clock.monotonic_ns() / 1e9
    gpu = FakeMeter(
        clock,
        lambda t_s: 300.0 * t_s if t_s >= begun_s + 5 else None,
        fake_device("gpu"),
    )
    tracker = LabTracker(clock, lambda: [steady(clock, 100.0), gpu])
    with tracker:
        requests = tracker.requests()
        with requests.request():
            clock.advance(4)
        tracker.report()
        for _ in range(4):
            clock.advance(1)
            tracker.report()
        totals = requests.totals()
    assert joules(totals.energy_kwh) == pytest.approx(4 * 400)
    assert joules(totals.idle_kwh) == pytest.approx(4 * 400)


# --- results -------------------------------------------------------------------------------------


def served(directory: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> LabTracker:
    monkeypatch.setattr(run_module, "PATIENCE_S", 10.0)
    chosen = {"always_update": False, "keep_journal": True}
    server = Server(make_outputs=lambda: [RunDirectory(directory, "emissions.csv", **chosen)])
    server.tracker.start()
    requests = server.tracker.requests()
    with requests.request(tokens=10):
        server.work(2, 100)
    with pytest.raises(ValueError, match="bad"), requests.request():
        server.work(1, 100)
        raise ValueError("bad")
    server.work(7, 10)
    server.tracker.stop()
    return server.tracker


def valid(schema: str, text: str) -> None:
    """Check a document against a schema of the package."""
    path = Path(receipt.__file__).parents[1] / "data" / schema
    jsonschema.Draft202012Validator(json.loads(path.read_text())).validate(json.loads(text))


def test_receipt_and_journal_have_the_requests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tracker = served(tmp_path, monkeypatch)
    (path,) = tmp_path.rglob("*.receipt.json")
    found = receipt_reading.read(path).requests
    assert found is not None
    (counter,) = found.counters
    assert (counter.completed, counter.failed, counter.tokens) == (1, 1, 10)
    assert counter.energy_per_token_kwh == pytest.approx(20 / JOULES_PER_KWH)
    assert counter.failed_energy_kwh == pytest.approx(100 / JOULES_PER_KWH)
    assert found.idle_energy_kwh == pytest.approx(70 / JOULES_PER_KWH)
    valid("receipt.schema.json", path.read_text())
    (kept,) = tmp_path.rglob("*.journal*")
    for line in kept.read_text().splitlines():
        valid("journal.schema.json", line)
    restored = journal.read(kept)
    assert tracker.final_report is not None
    assert receipt_reading.of_report(restored).requests == found
    assert restored.requests == tracker.final_report.requests
    assert (
        totals_of(restored)[0].per_request_kwh == totals_of(tracker.final_report)[0].per_request_kwh
    )


def test_a_receipt_without_requests_or_of_an_older_version_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(tmp_path, monkeypatch)
    (path,) = tmp_path.rglob("*.receipt.json")
    data = json.loads(path.read_text())
    for change in ({**data, "requests": None}, {k: v for k, v in data.items() if k != "requests"}):
        path.write_text(json.dumps(change))
        assert receipt_reading.read(path).requests is None


def test_a_table_shows_the_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report = served(tmp_path, monkeypatch).final_report
    assert report is not None
    html = report._repr_html_()
    assert html is not None
    for text in (
        "1 completed, 1 failed",
        "per request",
        "per token",
        "without a request",
        "7.00 s",
    ):
        assert text in html


def test_the_facility_s_overhead_is_included(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "PATIENCE_S", 10.0)
    server = Server()
    real = server.tracker.make_parts

    def with_pue(run_id: str) -> Any:
        from carbon_core.record import replace

        parts = real(run_id)
        return replace(parts, facts=replace(parts.facts, pue=1.5))

    server.tracker.make_parts = with_pue  # type: ignore[method-assign]
    with server.tracker:
        requests = server.tracker.requests()
        with requests.request() as request:
            server.work(2, 100)
        assert joules(requests.totals().energy_kwh) == pytest.approx(300)
        assert request.energy_kwh * JOULES_PER_KWH == pytest.approx(300)
