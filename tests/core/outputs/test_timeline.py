"""The timeline: what a journal tells of how a run went, to the joule."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from core.test_sampler import Bench
from hypothesis import example, given
from hypothesis import strategies as st

from carbon_core import units
from carbon_core.errors import OutputError
from carbon_core.outputs import journal, timeline
from carbon_core.outputs.journal import SUFFIX, Journal
from carbon_core.outputs.timeline import Span, resampled
from carbon_core.records import Curve, Energy, TraceData
from carbon_core.report import Report
from carbon_core.testing import FakeClock, FakeMeter, fake_device

MakeReport = Callable[..., Report]


def square(t_s: float) -> float:
    """Joules of 100 W and 400 W, five seconds each in turn."""
    periods, rest_s = divmod(t_s, 10.0)
    return periods * 2500 + min(rest_s, 5.0) * 100 + max(0.0, rest_s - 5.0) * 400


def at(report: Report, seconds: float, *energies: Energy, trace: TraceData | None = None) -> Report:
    """Return a report of so many seconds; with the energies of its devices, in their order."""
    end = replace(
        report.window.end, t_ns=units.nanoseconds(seconds), energies=energies or report_energies
    )
    window = replace(report.window, end=end)
    return replace(report, window=window, trace=trace or TraceData())


report_energies = (Energy(10.0), Energy(20.0), Energy(30.0))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / f"run-1{SUFFIX}"


def write(path: Path, *reports: Report) -> None:
    kept = Journal(path, reports[0])
    for report in reports:
        kept.append(report)
    kept.close()


def test_readings_between_heartbeats_show_what_the_totals_smooth_out(
    path: Path, make_report: MakeReport
) -> None:
    clock = FakeClock()
    meter = FakeMeter(clock, lambda t_s: square(t_s - 1000), fake_device("gpu"), period_s=0.5)
    bench = Bench(clock, meter, heartbeat_s=15.0)
    bench.sampler.begin()
    reports = []
    for beat in range(1, 5):
        bench.run_to(beat * 15.0, 0.5, bench.mark())
        end = bench.sampler.latest
        window = end - replace(end, t_ns=units.nanoseconds(1000.0), energies=())
        report = replace(make_report(), window=window, trace=bench.sampler.trace.take())
        reports.append(report)
    write(path, *reports)
    seen = timeline.read(path)
    (curve,) = seen.curves
    powers = [b - a for a, b in pairwise(resampled(curve, range(61)))]
    assert powers == pytest.approx(([100.0] * 5 + [400.0] * 5) * 6, rel=1e-6)
    assert sum(powers) == pytest.approx(square(60.0))


def test_readings_are_kept_more_seldom_as_a_run_goes_on() -> None:
    clock = FakeClock()
    bench = Bench(clock, FakeMeter(clock, lambda t_s: 100.0 * t_s, period_s=0.5), heartbeat_s=15.0)
    bench.sampler.begin()
    kept = []
    for hour in range(1, 4):
        bench.run_to(hour * 3600.0, 0.5)
        kept.append(sum(len(curve.t_s) for curve in bench.sampler.trace.take().readings))
    assert 800 < kept[0] < 1100
    # Half a second's step would be 7200 an hour; after 50 minutes the heartbeats say enough.
    assert kept[1:] == [0, 0]


def test_nothing_is_read_for_the_timelines_sake() -> None:
    clock = FakeClock()
    meter = FakeMeter(clock, lambda t_s: 100.0 * t_s, period_s=15.0)
    bench = Bench(clock, meter, heartbeat_s=1e6)
    bench.sampler.begin()
    bench.run_to(60.0, 0.5)
    assert meter.reads == 7


def test_what_nobody_takes_does_not_grow() -> None:
    clock = FakeClock()
    bench = Bench(clock, FakeMeter(clock, lambda t_s: 100.0 * t_s), heartbeat_s=1e9)
    bench.sampler.begin()
    for i in range(5_000):
        clock.advance(1.0)
        bench.sampler.step([bench.mark(f"phase {i}")])
        bench.sampler.trace.note_window(f"window {i}", 0, clock.monotonic_ns())
    taken = bench.sampler.trace.take()
    assert (len(taken.phases), len(taken.windows)) == (256, 256)
    assert (taken.phases[-1], taken.windows[-1][0]) == ((5_000.0, "phase 4999"), "window 4999")
    assert sum(len(curve.t_s) for curve in taken.readings) <= 4096


def test_a_run_that_ended_before_its_last_heartbeat_has_the_joules_of_its_end(
    path: Path, make_report: MakeReport
) -> None:
    report = make_report()
    missing = tuple(energy._replace(missing_s=0.04) for energy in report_energies)
    late = tuple(energy._replace(measured_j=500.0, missing_s=0.08) for energy in report_energies)
    write(
        path,
        at(report, 0.05, *missing),
        at(report, 0.1, *late),
        at(report, 0.02, Energy(1.0), Energy(2.0), Energy(3.0)),
    )
    seen = timeline.read(path)
    assert [(curve.t_s[-1], curve.joules[-1]) for curve in seen.curves] == [
        (0.02, 1.0), (0.02, 2.0), (0.02, 3.0),
    ]  # fmt: skip
    assert seen.missing == [Span("missing", 0.0, 0.02)]


def test_phases_and_windows_come_back_in_order(path: Path, make_report: MakeReport) -> None:
    first = TraceData((), ((0.0, "setup"), (0.5, "train")), (("epoch", 0.5, 9.0),))
    second = TraceData(
        (), ((9.0, "validate"), (10.0, "train"), (20.0, "end")), (("epoch", 9.0, 20.0),)
    )
    report = make_report()
    write(path, at(report, 0.0), at(report, 10.0, trace=first), at(report, 20.0, trace=second))
    seen = timeline.read(path)
    assert seen.duration_s == 20.0
    assert seen.phases == [
        Span("setup", 0.0, 0.5),
        Span("train", 0.5, 9.0),
        Span("validate", 9.0, 10.0),
        Span("train", 10.0, 20.0),
    ]
    assert seen.windows == [Span("epoch", 0.5, 9.0), Span("epoch", 9.0, 20.0)]


def test_time_that_was_not_metered_is_marked(path: Path, make_report: MakeReport) -> None:
    report = make_report()
    gone = [Energy(10.0, 0.0, 0.1), Energy(10.0, 10.0, 10.1), Energy(10.0, 20.0, 20.1)]
    write(
        path,
        at(report, 10.0, gone[0], gone[0], gone[0]),
        at(report, 20.0, gone[0], gone[1], gone[0]),
        at(report, 30.0, gone[0], gone[2], gone[0]),
        at(report, 40.0, gone[0], gone[2], gone[0]),
    )
    assert timeline.read(path).missing == [Span("missing", 10.0, 30.0)]


def test_a_torn_line_is_left_out(path: Path, make_report: MakeReport) -> None:
    report = make_report()
    write(path, at(report, 10.0), at(report, 20.0), at(report, 30.0))
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*lines[:2], lines[2][:-40], lines[3][:-40]]))
    seen = timeline.read(path)
    assert seen.duration_s == 10.0
    assert [curve.joules[-1] for curve in seen.curves] == [10.0, 20.0, 30.0]


def test_a_journal_without_moments_still_has_its_heartbeats(
    path: Path, make_report: MakeReport
) -> None:
    """As they were written before there were any."""
    report = make_report()
    write(path, at(report, 10.0), at(report, 20.0, Energy(20.0), Energy(40.0), Energy(60.0)))
    path.write_bytes(path.read_bytes().replace(b', "moments": {', b', "other": {'))
    seen = timeline.read(path)
    assert seen.curves[1] == Curve(1, [0.0, 10.0, 20.0], [0.0, 20.0, 40.0])
    assert journal.read(path).duration_s == 20.0


@pytest.mark.parametrize(
    "content", [b'{"type": "totals"}\n', b'{"type": "totals", "duration_s": []}']
)
def test_what_is_no_journal_is_an_output_error(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(OutputError, match="no valid record"):
        timeline.read(path)
    with pytest.raises(OutputError, match="cannot be read"):
        timeline.read(path.parent / "absent")


steps = st.lists(st.tuples(st.floats(0.001, 1e4), st.floats(0.0, 1e6)), min_size=1, max_size=40)


@example([(37.0, 221.71958447292218)], [])
@given(steps, st.lists(st.floats(0.0, 1.0), max_size=50))
def test_no_joule_is_lost_however_a_curve_is_resampled(
    steps: list[tuple[float, float]], fractions: list[float]
) -> None:
    curve = Curve(0, [0.0], [0.0])
    for seconds, joules in steps:
        curve.t_s.append(curve.t_s[-1] + seconds)
        curve.joules.append(curve.joules[-1] + joules)
    times = [0.0, *sorted(fraction * curve.t_s[-1] for fraction in fractions), curve.t_s[-1]]
    found = resampled(curve, times)
    assert (found[0], found[-1]) == (0.0, curve.joules[-1])
    assert all(b >= a - 1e-6 * curve.joules[-1] for a, b in pairwise(found))
