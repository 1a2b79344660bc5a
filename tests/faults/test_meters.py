"""Meters that hang, fail or lie: the training thread never waits, and what is not known is said."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from faults.children import Ended
from faults.lab import JOULES_PER_KWH, LabTracker, eventually, said, steady

from carbon_core.clock import SystemClock
from carbon_core.errors import MeterError
from carbon_core.outputs.base import FileOutput
from carbon_core.testing import FakeClock, FakeMeter, fake_device

pytestmark = pytest.mark.slow

CLOCK = SystemClock()


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """What hanging meters wait for; set at the end, so that no thread outlives the test."""
    released = threading.Event()
    yield released
    released.set()
    assert eventually(
        lambda: not [t for t in threading.enumerate() if t.name.startswith("carbon-")]
    )


def took_s(call: Callable[[], object]) -> float:
    began = time.monotonic()
    call()
    return time.monotonic() - began


def hanging_after(reads: int, released: threading.Event, component: str = "cpu") -> FakeMeter:
    """Return a 100 W counter of which a read hangs for 5 s, once it has been read `reads` times."""
    meter: FakeMeter

    def value(t_s: float) -> float:
        if meter.reads > reads:
            released.wait(20)
        return 100.0 * t_s

    meter = FakeMeter(CLOCK, value, fake_device(component), period_s=0.05)  # type: ignore[arg-type]
    return meter


@pytest.mark.parametrize("reads", [0, 3])
def test_a_meter_that_hangs_delays_nobody(stuck: threading.Event, reads: int) -> None:
    meter = hanging_after(reads, stuck)
    tracker = LabTracker(CLOCK, lambda: [meter], shutdown_timeout_s=0.5)
    assert took_s(tracker.start) <= 0.2
    time.sleep(0.3)
    assert meter.reads > reads, "control: the read does hang"
    assert took_s(lambda: tracker.mark("train")) <= 0.2
    assert took_s(tracker.report) <= 0.2
    assert took_s(tracker.window("w").close) <= 0.2
    assert took_s(tracker.flush) <= 0.2
    assert took_s(lambda: tracker.stop_task(tracker.start_task("task"))) <= 0.3
    assert took_s(tracker.stop) <= 0.5 + 0.5
    report = tracker.final_report
    assert report is not None
    assert report.duration_s >= 0.3
    assert report.missing_s > 0.1, "what was not read is missing, not zero"


def test_a_window_that_no_reading_falls_into_in_time_is_carried_on_and_then_measured(
    stuck: threading.Event,
) -> None:
    meter = hanging_after(4, stuck)
    tracker = LabTracker(CLOCK, lambda: [meter], shutdown_timeout_s=0.5)
    tracker.start()
    assert eventually(lambda: meter.reads == 5), "control: the read does hang"
    with tracker.window("w") as window:
        time.sleep(0.1)
    carried = window.result
    assert carried.duration_s >= 0.1
    assert carried.joules == pytest.approx(100 * carried.duration_s, rel=0.05)
    told = window.report()
    assert told is not None
    assert told.missing_s == pytest.approx(carried.duration_s)
    stuck.set()
    assert eventually(lambda: window.result != carried), "read at last"
    assert window.result.joules == pytest.approx(100 * window.duration_s, rel=0.01)
    told = window.report()
    assert told is not None
    assert told.missing_s == 0.0
    tracker.stop()


def test_what_hangs_is_carried_on_and_graded_so(stuck: threading.Event) -> None:
    meter = hanging_after(4, stuck)
    tracker = LabTracker(CLOCK, lambda: [meter], shutdown_timeout_s=0.5)
    tracker.start()
    time.sleep(0.6)
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    assert report.window.joules == pytest.approx(100 * report.duration_s, rel=0.05)
    assert report.shares_by_grade["E"] > 0.3
    assert any("not respond" in line for line in said(tracker))


def test_a_meter_that_hangs_loses_nothing_of_the_others(stuck: threading.Event) -> None:
    healthy = FakeMeter(CLOCK, lambda t_s: 50.0 * t_s, fake_device("gpu"), period_s=0.05)
    bad = hanging_after(1, stuck)
    tracker = LabTracker(CLOCK, lambda: [bad, healthy], shutdown_timeout_s=0.5)
    tracker.start()
    time.sleep(0.3)
    stuck.set()
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    assert report.window.component_j("gpu") == pytest.approx(50 * report.duration_s, rel=0.02)


def test_the_others_are_read_while_a_meter_hangs(stuck: threading.Event) -> None:
    healthy = FakeMeter(CLOCK, lambda t_s: 50.0 * t_s, fake_device("gpu"), period_s=0.05)
    bad = hanging_after(1, stuck)
    tracker = LabTracker(
        CLOCK,
        lambda: [bad, healthy],
        shutdown_timeout_s=0.5,
        heartbeat_s=0.1,
        meter_patience_s=0.2,
    )
    tracker.start()
    assert eventually(
        lambda: any("the other meters continue" in line for line in said(tracker)), 10
    )
    before = healthy.reads
    assert eventually(lambda: healthy.reads > before + 3)
    # What the others drew is in every window, and in the total.
    with tracker.window("w") as window:
        time.sleep(0.3)
    assert window.component_kwh("gpu") == pytest.approx(50 * window.duration_s / 3.6e6, rel=0.05)
    reads = bad.reads
    stuck.set()
    assert eventually(lambda: bad.reads > reads), "a meter that answers again is read again"
    tracker.stop()
    assert bad.closed
    assert healthy.closed


def test_a_meter_that_hangs_is_set_aside_while_the_program_flushes_often(
    stuck: threading.Event,
) -> None:
    healthy = FakeMeter(CLOCK, lambda t_s: 50.0 * t_s, fake_device("gpu"), period_s=0.05)
    bad = hanging_after(2, stuck)
    tracker = LabTracker(
        CLOCK,
        lambda: [bad, healthy],
        shutdown_timeout_s=0.5,
        heartbeat_s=0.3,
        meter_patience_s=0.2,
    )
    tracker.start()

    def flushed() -> bool:
        tracker.flush()
        return any("the other meters continue" in line for line in said(tracker))

    assert eventually(flushed, 10)
    stuck.set()
    tracker.stop()


def test_stop_does_not_wait_for_a_meter_that_hangs_and_reads_the_others(
    stuck: threading.Event,
) -> None:
    healthy = FakeMeter(CLOCK, lambda t_s: 50.0 * t_s, fake_device("gpu"), period_s=60.0)
    bad = hanging_after(2, stuck)
    tracker = LabTracker(CLOCK, lambda: [bad, healthy], shutdown_timeout_s=1.0)
    tracker.start()
    time.sleep(0.5)
    assert took_s(tracker.stop) <= 1.5
    report = tracker.final_report
    assert report is not None
    (gpu,) = [e for d, e in report.window.by_device.items() if d.component == "gpu"]
    assert gpu.measured_j == pytest.approx(50 * report.window.duration_s, rel=0.1)
    stuck.set()
    assert eventually(lambda: bad.closed), "what was stuck lets go when it can"


def test_a_search_for_meters_that_hangs_delays_nobody(stuck: threading.Event) -> None:
    def search() -> list[FakeMeter]:
        stuck.wait(5)
        return [steady(CLOCK)]

    tracker = LabTracker(CLOCK, search, shutdown_timeout_s=0.5)
    assert took_s(tracker.start) <= 0.2
    assert took_s(lambda: tracker.mark("train")) <= 0.2
    assert took_s(tracker.flush) <= 0.2
    assert took_s(tracker.stop) <= 0.5 + 0.5
    assert tracker.final_report is not None
    assert said(tracker), "the user is told that nothing was measured"


def test_control_a_healthy_meter_is_measured_whole() -> None:
    tracker = LabTracker(CLOCK, lambda: [steady(CLOCK, period_s=0.05)], shutdown_timeout_s=0.5)
    tracker.start()
    time.sleep(0.3)
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    assert report.missing_s < 0.1
    assert report.window.joules == pytest.approx(100 * report.duration_s, rel=0.01)
    assert said(tracker) == [line for line in said(tracker) if line.startswith(("meas", "compl"))]


def test_a_slow_search_is_extrapolated_to_the_start() -> None:
    def search() -> list[FakeMeter]:
        time.sleep(0.3)
        return [steady(CLOCK, period_s=0.05)]

    tracker = LabTracker(CLOCK, search)
    tracker.start()
    time.sleep(0.6)
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    # The run begins when start() has waited for a moment.
    assert 0.2 <= report.missing_s <= 0.45
    assert report.window.joules == pytest.approx(100 * report.duration_s, rel=0.02)


def test_a_search_that_fails_is_said_once_and_nothing_is_made_up() -> None:
    def search() -> list[FakeMeter]:
        raise MeterError("no meter on this machine")

    tracker = LabTracker(FakeClock(), search, start_patience_s=0.0)
    tracker.start()
    tracker.mark("train")
    tracker.clock.advance(60)
    tracker.report()
    tracker.stop()
    report = tracker.final_report
    assert report is not None
    assert sum("no meter on this machine" in line for line in said(tracker)) == 1
    assert not any("a meter did not respond in time" in line for line in said(tracker))


def test_a_meter_that_raises_leaves_the_others_alone() -> None:
    clock = FakeClock()

    def broken(t_s: float) -> float:
        raise OSError("the device is gone")

    meters = [FakeMeter(clock, broken, fake_device("gpu")), steady(clock)]
    tracker = LabTracker(clock, lambda: meters)
    tracker.start()
    for _ in range(3):
        clock.advance(20)
        tracker.report()
    assert tracker.stop() == pytest.approx(6000 / JOULES_PER_KWH)
    assert sum("the device is gone" in line for line in said(tracker)) == 1
    report = tracker.final_report
    assert report is not None
    assert report.missing_s == pytest.approx(60)
    assert all(meter.closed for meter in meters)


def test_a_meter_that_comes_back_makes_up_for_the_gap() -> None:
    clock = FakeClock()
    lost = threading.Event()
    meter = FakeMeter(clock, lambda t_s: None if lost.is_set() else 100.0 * t_s)
    tracker = LabTracker(clock, lambda: [meter])
    tracker.start()
    clock.advance(10)
    tracker.report()
    lost.set()
    clock.advance(30)
    tracker.report()
    lost.clear()
    clock.advance(10)
    assert tracker.stop() == pytest.approx(5000 / JOULES_PER_KWH)


@pytest.mark.parametrize("absurd", [float("nan"), float("inf"), -1.0, 2.0**63])
def test_an_absurd_value_is_never_booked(absurd: float) -> None:
    clock = FakeClock()
    bad = threading.Event()
    meter = FakeMeter(clock, lambda t_s: absurd if bad.is_set() else 100.0 * t_s)
    tracker = LabTracker(clock, lambda: [meter])
    tracker.start()
    clock.advance(10)
    tracker.report()
    bad.set()
    clock.advance(5)
    tracker.report()
    bad.clear()
    clock.advance(10)
    assert tracker.stop() == pytest.approx(2500 / JOULES_PER_KWH, rel=1e-6)


# --- what is unknown is absent --------------------------------------------------------------------


def test_a_run_that_nothing_could_measure_has_no_energy() -> None:
    def search() -> list[FakeMeter]:
        raise MemoryError

    tracker = LabTracker(CLOCK, search)
    tracker.start()
    time.sleep(0.05)
    assert tracker.stop() is None
    assert tracker.final_emissions is None
    report = tracker.final_report
    assert report is not None
    assert not report.provenance.is_known
    assert "energy unknown" in report.summary()


def test_a_meter_without_a_single_reading_is_unknown_and_said() -> None:
    tracker = LabTracker(CLOCK, lambda: [FakeMeter(CLOCK, lambda t_s: None, fake_device("gpu"))])
    tracker.start()
    time.sleep(0.05)
    assert tracker.stop() is None
    assert [line for line in said(tracker) if "its energy is unknown and not counted" in line]


def test_outputs_that_cannot_be_made_do_not_cost_the_measuring() -> None:
    def broken() -> list[FileOutput]:
        raise MemoryError

    clock = FakeClock()
    meter = steady(clock)
    tracker = LabTracker(clock, lambda: [meter], make_outputs=broken, start_patience_s=10.0)
    tracker.start()
    clock.advance(10)
    assert tracker.stop() == pytest.approx(1000 / JOULES_PER_KWH)
    assert [line for line in said(tracker) if "results cannot be written" in line]


def test_meters_that_are_found_after_the_end_are_closed() -> None:
    tracker = LabTracker(CLOCK, lambda: [steady(CLOCK)])
    tracker.start()
    run = tracker._run
    assert run is not None
    tracker.stop()
    late = steady(CLOCK, component="gpu")
    run._sampler.add([late])
    assert late.closed


LIMITED = """
import resource, time
resource.setrlimit(resource.RLIMIT_AS, (64 << 20, 64 << 20))
from carbon_callbacks import EmissionsTracker
tracker = EmissionsTracker(
    save_to_file=False, force_cpu_power=100, force_ram_power=10, measure_power_secs=0.3
)
tracker.start()
time.sleep(0.5)
kg = tracker.stop()
print("known" if kg else kg)
"""


@pytest.mark.skipif(
    sys.version_info >= (3, 13), reason="this Python aborts itself if an import runs out of memory"
)
def test_hardly_any_memory_from_the_start_gives_a_value_or_none(run: Callable[..., Ended]) -> None:
    ended = run(LIMITED)
    assert ended.out.split() in (["known"], ["None"])


WITHIN = """
import sys
import _xxsubinterpreters as interpreters
code = '''
import sys, time
sys.path[:0] = %r
from carbon_callbacks import EmissionsTracker
tracker = EmissionsTracker(save_to_file=False, force_cpu_power=100, force_ram_power=10)
tracker.start()
time.sleep(0.3)
kg = tracker.stop()
print(kg > 0, tracker.final_report.missing_s < 0.3, flush=True)
''' % (sys.path,)
interpreters.run_string(interpreters.create(isolated=True), code)
"""


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason="such an interpreter has its own lock and refuses psutil"
)
def test_an_interpreter_that_may_start_no_thread_measures(run: Callable[..., Ended]) -> None:
    assert run(WITHIN).out.split() == ["True", "True"]
