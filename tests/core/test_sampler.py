"""The sampler, step by step on a clock that is turned by hand, and with its own thread."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from itertools import pairwise

import pytest

from carbon_core import units
from carbon_core.clock import SystemClock
from carbon_core.records import Reading, Snapshot
from carbon_core.sampler import Mark, Sampler
from carbon_core.testing import FakeClock, FakeMeter, fake_device
from carbon_core.threads import Latch

START_S = 1_000.0  # a fake clock's first second
PATIENCE_S = 10.0  # of a test that waits for a thread; never reached in good health


def constant(watts: float) -> Callable[[float], float]:
    return lambda t_s: watts * t_s


class Bench:
    """A sampler without a thread, and everything it told."""

    def __init__(
        self, clock: FakeClock, *meters: FakeMeter, heartbeat_s: float = 15.0, first: str = "fit"
    ) -> None:
        self.clock = clock
        self.beats: list[Snapshot] = []
        self.faults: list[str] = []
        self.sampler = Sampler(
            clock=clock,
            opened_ns=clock.monotonic_ns(),
            first_phase=first,
            detect=lambda: meters,
            heartbeat_s=heartbeat_s,
            on_heartbeat=self.beats.append,
            on_fault=self.faults.append,
        )

    def mark(self, phase: str | None = None, *, last: bool = False) -> Mark:
        return Mark(self.clock.monotonic_ns(), phase, last=last)

    def run_to(self, seconds: float, step_s: float, *marks: Mark) -> None:
        """Step until `seconds` after the start; the marks go with the last step."""
        end_ns = units.nanoseconds(START_S + seconds)
        while self.clock.monotonic_ns() < end_ns:
            self.clock.advance(step_s)
            self.sampler.step(marks if self.clock.monotonic_ns() >= end_ns else [])


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


# --- reading --------------------------------------------------------------------------------------


def test_beginning_reads_every_meter_and_tells_the_totals(clock: FakeClock) -> None:
    meter = FakeMeter(clock, constant(100.0))
    bench = Bench(clock, meter)
    bench.sampler.begin()
    assert meter.reads == 1
    assert bench.sampler.started.is_set()
    [beat] = bench.beats
    assert (beat.t_ns, beat.joules) == (clock.monotonic_ns(), 0.0)


def test_each_meter_is_read_at_its_own_period(clock: FakeClock) -> None:
    slow = FakeMeter(clock, constant(100.0), fake_device("cpu"), period_s=15.0)
    fast = FakeMeter(clock, lambda _: 50.0, fake_device("gpu", kind="power"), period_s=1.0)
    bench = Bench(clock, slow, fast, heartbeat_s=1e6)
    bench.sampler.begin()
    bench.run_to(60.0, 0.5)
    # At 0, 0.5, 2 and 8 s, so that a power is known early, and then at 23, 38 and 53 s.
    assert (slow.reads, fast.reads) == (7, 61)
    window = bench.sampler._ledger.snapshot(clock.monotonic_ns())
    assert window.joules == pytest.approx(60 * 150.0)


def test_a_mark_reads_every_meter_at_once(clock: FakeClock) -> None:
    meter = FakeMeter(clock, constant(100.0), period_s=1e6)
    bench = Bench(clock, meter)
    bench.sampler.begin()
    clock.advance(3.0)
    mark = bench.mark()
    bench.sampler.step([mark])
    assert meter.reads == 2
    assert mark.snapshot is not None
    assert mark.snapshot.joules == 300.0


def test_a_mark_is_resolved_at_its_own_time_though_the_reading_came_later(
    clock: FakeClock,
) -> None:
    meter = FakeMeter(clock, constant(100.0), period_s=1e6)
    bench = Bench(clock, meter)
    bench.sampler.begin()
    marks = []
    for _ in range(3):
        clock.advance(2.0)
        marks.append(bench.mark())
    clock.advance(4.0)
    bench.sampler.step(marks)
    assert [mark.snapshot.joules for mark in marks if mark.snapshot] == [200.0, 400.0, 600.0]
    assert [mark.snapshot.t_ns for mark in marks if mark.snapshot] == [m.t_ns for m in marks]


def test_a_mark_from_before_the_first_reading_has_its_share(clock: FakeClock) -> None:
    bench = Bench(clock, FakeMeter(clock, constant(100.0)))
    clock.advance(1.0)
    mark = bench.mark()
    clock.advance(2.0)  # detection takes its time
    bench.sampler.begin()
    clock.advance(1.0)
    bench.sampler.step([mark])
    assert mark.snapshot is not None
    completed = bench.sampler.completed(mark.snapshot)
    assert completed.energies[0].missing_s == 1.0
    assert completed.joules == pytest.approx(100.0)


def test_a_device_that_answers_late_counts_where_its_energy_was_drawn(clock: FakeClock) -> None:
    def joules(t_s: float) -> float | None:
        return None if t_s < START_S + 5.0 else 300.0 * t_s

    gpu = FakeMeter(clock, joules, fake_device("gpu"))
    bench = Bench(clock, FakeMeter(clock, constant(100.0)), gpu)
    bench.sampler.begin()
    marks = []
    for phase in ("validate", "train"):
        clock.advance(2.0)
        marks.append(bench.mark(phase))
        bench.sampler.step(marks[-1:])
    for _ in range(2):
        clock.advance(1.0)
        bench.sampler.step([bench.mark()])
    marks.append(bench.mark("end"))
    bench.sampler.step(marks[-1:])
    at = [bench.sampler.completed(mark.snapshot) for mark in marks if mark.snapshot]
    windows = [later - earlier for earlier, later in pairwise(at)]
    assert [window.component_j("gpu") for window in windows] == pytest.approx([600.0, 600.0])
    assert [e.missing_s for e in windows[0].by_device.values()] == pytest.approx([0.0, 2.0])
    phases = bench.sampler.phases
    assert {name: total.joules for name, total in phases.items()} == pytest.approx(
        {"fit": 800.0, "validate": 800.0, "train": 800.0}
    )
    assert at[-1].joules == pytest.approx(2_400.0)


# --- heartbeats -------------------------------------------------------------------------------------


def test_heartbeats_come_at_their_period_with_the_totals(clock: FakeClock) -> None:
    bench = Bench(clock, FakeMeter(clock, constant(100.0), period_s=1.0), heartbeat_s=15.0)
    bench.sampler.begin()
    bench.run_to(60.0, 1.0)
    assert [units.seconds(beat.t_ns) - START_S for beat in bench.beats] == [0, 15, 30, 45, 60]
    assert [beat.joules for beat in bench.beats] == [0, 1_500, 3_000, 4_500, 6_000]
    assert bench.sampler.latest == bench.beats[-1]


def test_totals_told_at_heartbeats_never_fall(clock: FakeClock) -> None:
    """The load drops to nothing between a reading and the heartbeat before the next one."""

    def joules(t_s: float) -> float:
        return 400.0 * min(t_s - START_S, 16.0)

    bench = Bench(clock, FakeMeter(clock, joules, period_s=15.0), heartbeat_s=14.0)
    bench.sampler.begin()
    bench.run_to(90.0, 0.5)
    totals = [beat.joules for beat in bench.beats]
    assert totals == sorted(totals)
    assert max(totals) == pytest.approx(6_400.0)


def test_the_last_mark_tells_the_totals(clock: FakeClock) -> None:
    bench = Bench(clock, FakeMeter(clock, constant(100.0)))
    bench.sampler.begin()
    clock.advance(5.0)
    bench.sampler.step([bench.mark("end", last=True)])
    assert [beat.joules for beat in bench.beats] == [0.0, 500.0]


def test_a_listener_that_raises_is_told_of_and_measuring_goes_on(clock: FakeClock) -> None:
    bench = Bench(clock, FakeMeter(clock, constant(100.0), period_s=1.0), heartbeat_s=1.0)

    def listen(_: Snapshot) -> None:
        raise ZeroDivisionError("not my day")

    bench.sampler._on_heartbeat = listen
    bench.sampler.begin()
    bench.run_to(5.0, 1.0)
    assert bench.sampler.latest.joules == 500.0
    assert set(bench.faults) == {"cannot report: ZeroDivisionError('not my day')"}


# --- phases -------------------------------------------------------------------------------------------


def test_phases_partition_the_run_exactly(clock: FakeClock) -> None:
    bench = Bench(clock, FakeMeter(clock, constant(100.0), period_s=15.0), first="fit")
    bench.sampler.begin()
    plan = [("train", 1.0), ("validate", 10.0), ("train", 4.0), ("validate", 20.0), ("end", 2.5)]
    for phase, after_s in plan:
        clock.advance(after_s)
        mark = bench.mark(phase)
        clock.advance(0.25)  # the sampler is late every time
        bench.sampler.step([mark])
    phases = bench.sampler.phases
    assert {name: phase.count for name, phase in phases.items()} == {
        "fit": 1,
        "train": 2,
        "validate": 2,
    }
    assert [phase.duration_s for phase in phases.values()] == [1.0, 10.25 + 20.25, 4.25 + 2.75]
    assert [phase.joules for phase in phases.values()] == pytest.approx([100.0, 3_050.0, 700.0])
    end = bench.sampler.latest
    assert sum(phase.joules for phase in phases.values()) == pytest.approx(end.joules)
    assert sum(phase.duration_s for phase in phases.values()) == units.seconds(end.t_ns) - START_S


def test_a_mere_instant_ends_no_phase(clock: FakeClock) -> None:
    bench = Bench(clock, FakeMeter(clock, constant(100.0)))
    bench.sampler.begin()
    clock.advance(1.0)
    bench.sampler.step([bench.mark()])
    assert bench.sampler.phases == {}


def test_the_number_of_phases_is_bounded_and_nothing_is_lost(clock: FakeClock) -> None:
    bench = Bench(clock, FakeMeter(clock, constant(100.0)))
    bench.sampler.begin()
    for i in range(1_000):
        clock.advance(1.0)
        bench.sampler.step([bench.mark(f"phase {i}")])
    phases = bench.sampler.phases
    assert len(phases) <= 257
    assert phases["(other)"].count == 1_000 - 256
    assert sum(phase.joules for phase in phases.values()) == pytest.approx(100_000.0)
    assert sum(phase.count for phase in phases.values()) == 1_000


# --- meters that fail ---------------------------------------------------------------------------------


def failing(clock: FakeClock, **more: object) -> FakeMeter:
    def value(_: float) -> float:
        raise OSError("unplugged")

    return FakeMeter(clock, value, fake_device("gpu"), **more)  # type: ignore[arg-type]


def test_a_meter_that_raises_is_told_once_and_does_not_stop_the_others(clock: FakeClock) -> None:
    bad, good = failing(clock, period_s=1.0), FakeMeter(clock, constant(100.0), period_s=1.0)
    bench = Bench(clock, bad, good)
    bench.sampler.begin()
    bench.run_to(10.0, 1.0)
    assert bench.faults == ["cannot read FakeMeter: OSError('unplugged')"]
    assert bad.reads == good.reads == 11
    totals = bench.sampler._ledger.snapshot(clock.monotonic_ns())
    assert [(e.joules, e.missing_s) for e in totals.energies] == [(0.0, 10.0), (1_000.0, 0.0)]


def test_each_meter_that_raises_is_told_of(clock: FakeClock) -> None:
    bench = Bench(clock, failing(clock), failing(clock))
    bench.sampler.begin()
    assert len(bench.faults) == 2


def test_a_meter_that_recovers_is_read_on_and_its_counter_makes_up(clock: FakeClock) -> None:
    def value(t_s: float) -> float:
        if 1_003.5 < t_s < 1_006.5:
            raise OSError("lost")
        return 100.0 * t_s

    bench = Bench(clock, FakeMeter(clock, value, period_s=1.0))
    bench.sampler.begin()
    bench.run_to(10.0, 1.0)
    [energy] = bench.sampler._ledger.snapshot(clock.monotonic_ns()).energies
    assert (energy.joules, energy.missing_s) == (1_000.0, 3.0)


def test_readings_of_a_device_never_announced_do_not_end_the_measuring(clock: FakeClock) -> None:
    class Odd(FakeMeter):
        def read(self) -> list[Reading]:
            return [*super().read(), Reading("gpu:nobody", clock.monotonic_ns(), 1.0)]

    bench = Bench(clock, Odd(clock, constant(100.0), period_s=1.0))
    bench.sampler.begin()
    bench.run_to(3.0, 1.0)
    assert len(bench.faults) == 1
    assert bench.sampler._ledger.snapshot(clock.monotonic_ns()).joules == pytest.approx(300.0)


# --- with its thread ----------------------------------------------------------------------------------


class Threaded:
    """A sampler with its thread, on the real clock."""

    def __init__(
        self,
        detect: Callable[[], Sequence[FakeMeter]],
        sample_gpus: Callable[[], object] = lambda: None,
    ) -> None:
        self.clock = SystemClock()
        self.faults: list[str] = []
        self.beats: list[Snapshot] = []
        self.opened_ns = self.clock.monotonic_ns()
        self.sampler = Sampler(
            clock=self.clock,
            opened_ns=self.opened_ns,
            first_phase="fit",
            detect=detect,
            heartbeat_s=0.05,
            on_heartbeat=self.beats.append,
            on_fault=self.faults.append,
            sample_gpus=sample_gpus,
        )

    def mark(self, phase: str | None = None, *, last: bool = False) -> Mark:
        mark = Mark(self.clock.monotonic_ns(), phase, Latch(), last=last)
        self.sampler.mark(mark)
        return mark


def real_meter(watts: float = 100.0) -> FakeMeter:
    return FakeMeter(SystemClock(), constant(watts), period_s=0.02)


def test_marks_from_another_thread_partition_the_run_exactly() -> None:
    threaded = Threaded(lambda: [real_meter()])
    assert threaded.sampler.start()
    assert threaded.sampler.started.wait(PATIENCE_S)
    for i in range(200):
        threaded.mark("train" if i % 2 else "validate")
    end = threaded.mark("end", last=True).wait(PATIENCE_S)
    threaded.sampler.stop(PATIENCE_S)
    assert end is not None
    phases = threaded.sampler.phases
    assert {name: phase.count for name, phase in phases.items()} == {
        "fit": 1,
        "validate": 100,
        "train": 100,
    }
    whole_s = units.seconds(end.t_ns - threaded.opened_ns)
    assert sum(phase.duration_s for phase in phases.values()) == pytest.approx(whole_s, abs=1e-6)
    joules = threaded.sampler.completed(end).joules
    assert sum(phase.joules for phase in phases.values()) == pytest.approx(joules, abs=1e-6)
    assert threaded.faults == []


def test_stopping_resolves_the_marks_before_it_and_ends_the_thread() -> None:
    meter = real_meter()
    threaded = Threaded(lambda: [meter])
    threaded.sampler.start()
    marks = [threaded.mark() for _ in range(50)]
    threaded.sampler.stop(PATIENCE_S)
    assert not threaded.sampler.alive
    assert [mark for mark in marks if mark.snapshot is None] == []
    assert meter.closed


def test_a_search_that_fails_is_told_and_the_thread_ends_quietly() -> None:
    def detect() -> list[FakeMeter]:
        raise RuntimeError("no such luck")

    threaded = Threaded(detect)
    threaded.sampler.start()
    threaded.sampler.stop(PATIENCE_S)
    assert not threaded.sampler.alive
    assert threaded.faults == ["measuring stopped: RuntimeError('no such luck')"]


def test_a_slow_search_does_not_hold_up_the_marking_thread() -> None:
    release = threading.Event()

    def detect() -> list[FakeMeter]:
        release.wait(PATIENCE_S)
        return [real_meter()]

    threaded = Threaded(detect)
    threaded.sampler.start()
    marks = [threaded.mark(f"epoch {i}") for i in range(3)]
    assert [mark.snapshot for mark in marks] == [None] * 3
    assert marks[0].wait(0.0) is None
    release.set()
    assert marks[-1].wait(PATIENCE_S) is not None
    threaded.sampler.stop(PATIENCE_S)
    assert [mark.snapshot.t_ns for mark in marks if mark.snapshot] == [m.t_ns for m in marks]


def test_a_meter_whose_closing_fails_does_not_keep_the_others_open() -> None:
    class Stuck(FakeMeter):
        def close(self) -> None:
            raise OSError("stuck")

    stuck, good = Stuck(SystemClock(), constant(1.0)), real_meter()
    threaded = Threaded(lambda: [stuck, good])
    threaded.sampler.start()
    assert threaded.sampler.started.wait(PATIENCE_S)
    threaded.sampler.stop(PATIENCE_S)
    assert good.closed


def test_without_a_thread_to_be_had_stopping_still_resolves_the_marks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    threaded = Threaded(lambda: [real_meter()])
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert not threaded.sampler.start()
    mark = threaded.mark("end", last=True)
    threaded.sampler.stop(0.0)
    assert mark.snapshot is not None
    assert threaded.sampler.phases["fit"].count == 1


def test_stopping_twice_is_stopping_once() -> None:
    threaded = Threaded(lambda: [real_meter()])
    threaded.sampler.start()
    threaded.sampler.stop(PATIENCE_S)
    threaded.sampler.stop(PATIENCE_S)
    assert not threaded.sampler.alive


@pytest.mark.slow
def test_no_mark_is_kept_after_it_is_resolved(clock: FakeClock) -> None:
    bench = Bench(clock, FakeMeter(clock, constant(100.0)))
    bench.sampler.begin()
    before = marks_alive()  # a framework may have kept some of another test's
    for _ in range(500):
        clock.advance(0.01)
        bench.sampler.step([bench.mark("train"), bench.mark()])
    assert marks_alive() - before < 5


def marks_alive() -> int:
    gc.collect()
    return sum(isinstance(thing, Mark) for thing in gc.get_objects())


def test_a_query_of_the_load_that_hangs_costs_only_the_load() -> None:
    released = threading.Event()
    meter = real_meter()
    threaded = Threaded(lambda: [meter], lambda: released.wait(PATIENCE_S))
    threaded.sampler.start()
    assert threaded.sampler.started.wait(PATIENCE_S)
    # Nobody else watches the sampler here: its own thread must not be blocked.
    for _ in range(5):
        reads = meter.reads
        assert threaded.mark().wait(PATIENCE_S) is not None
        assert meter.reads > reads
    while len(threaded.beats) < 4:
        threaded.mark().wait(PATIENCE_S)
    assert threaded.mark("end", last=True).wait(PATIENCE_S) is not None
    threaded.sampler.stop(PATIENCE_S)
    released.set()
    (fault,) = threaded.faults
    assert "load does not respond" in fault
    assert meter.closed


def test_a_query_of_the_load_that_fails_is_reported_once() -> None:
    def fail() -> None:
        raise OSError("no driver")

    threaded = Threaded(lambda: [real_meter()], fail)
    threaded.sampler.start()
    while len(threaded.beats) < 3:
        threaded.mark().wait(PATIENCE_S)
    threaded.mark("end", last=True).wait(PATIENCE_S)
    threaded.sampler.stop(PATIENCE_S)
    assert threaded.faults == ["the load of the GPUs is unknown: OSError('no driver')"]
